//! The weakest suite in which a pinned peer may be met.

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::channel::Suite;
use sealway_core::identity::Identifier;

use super::fault::StoreFault;
use super::peers::{self, Peer, PeerError, Peers};
use super::writer::{After, Pending};

impl Peers<'_> {
    /// The weakest suite in which this peer may be met; `None` if it is no peer of this home.
    ///
    /// # Errors
    /// The store's faults: then it is not met at all.
    pub fn floor(&self, peer: &Identifier) -> Result<Option<Suite>, StoreFault> {
        let connection = self.store.read();
        let mut statement =
            connection.prepare_cached("SELECT suite_floor FROM peers WHERE identifier = ?1")?;
        let floor = statement.query_row([peer.as_bytes()], |row| row.get(0));
        floor.optional()?.map(from_column).transpose()
    }

    /// The peer was met in `suite`: all that it is pinned for is not given in a weaker one from now on. Lowers nothing; does
    /// nothing for who is no peer of this home.
    pub fn raise_floor(&self, peer: Identifier, suite: Suite) -> Pending<(), StoreFault> {
        self.store.write(After::Nothing, move |transaction| {
            raise(transaction, &peer, suite)
        })
    }

    /// Sets the floor of the peer of this name or identifier, as the operator's word: the only way down.
    ///
    /// Fails with [`PeerError::Missing`].
    pub fn set_floor(&self, name_or_identifier: &str, floor: Suite) -> Pending<Peer, PeerError> {
        let text = name_or_identifier.to_owned();
        self.store.write(After::Nothing, move |transaction| {
            let peer = peers::find(transaction, &text)?;
            set(transaction, &peer.identifier, floor)?;
            Ok(Peer { floor, ..peer })
        })
    }
}

fn set(transaction: &Connection, peer: &Identifier, floor: Suite) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE peers SET suite_floor = ?2 WHERE identifier = ?1")?
        .execute((peer.as_bytes(), floor.number()))?;
    Ok(())
}

/// A suite as the table has it: its number on the wire.
pub(super) fn from_column(number: u16) -> Result<Suite, StoreFault> {
    Suite::from_number(number)
        .ok_or_else(|| StoreFault::damaged("the suite floor of a peer is impossible"))
}

/// Raises the floor of a peer that is known; a higher one stays.
pub(super) fn raise(
    transaction: &Connection,
    peer: &Identifier,
    suite: Suite,
) -> Result<(), StoreFault> {
    transaction
        .prepare_cached(
            "UPDATE peers SET suite_floor = max(suite_floor, ?2) WHERE identifier = ?1",
        )?
        .execute((peer.as_bytes(), suite.number()))?;
    Ok(())
}
