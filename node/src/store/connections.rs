//! What a home was connected to by tickets: enough to connect again, and no secret.

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;
use sealway_core::identity::{ChangeHash, Identifier};
use sealway_core::wire::MultiAddr;

use super::Store;
use super::fault::StoreFault;
use super::name::Name;
use super::peers::{self, Direction, Pin, PinOrigin, Resource};
use super::writer::{After, Pending};

/// A resource of a peer that a ticket was redeemed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// What it is called here.
    pub name: Name,
    /// Who offers it.
    pub peer: Identifier,
    /// What it is called there.
    pub resource: String,
    /// The change that the peer's history must hold.
    pub minimum_change: ChangeHash,
    /// The ways to the peer's channel listener, the preferred one first.
    pub ways: Vec<MultiAddr>,
    /// Where it appeared here last: `HOST:PORT`.
    pub listen: String,
}

/// Why something could not be done with a connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// There is none of this name.
    #[error("there is no connection {name:?}")]
    Missing {
        /// The name.
        name: String,
    },
    /// The name belongs to a connection to something else.
    #[error("the name {name} belongs to the connection to {resource:?} at {peer}")]
    NameTaken {
        /// The name.
        name: Name,
        /// To whom that one leads.
        peer: Identifier,
        /// To what.
        resource: String,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<rusqlite::Error> for ConnectionError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl ConnectionError {
    /// The next step; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => {
                "give a ticket, or the name of a connection: sealway peer list shows them"
            }
            Self::NameTaken { .. } => "choose another name: --name",
            Self::Fault(fault) => fault.hint(),
        }
    }
}

/// The connections of a home. See [`Store::connections`].
#[derive(Clone, Copy, Debug)]
pub struct Connections<'a> {
    store: &'a Store,
}

type Answer<T> = Pending<T, ConnectionError>;

impl<'a> Connections<'a> {
    pub(crate) const fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Keeps a connection, in place of one to the same resource of the same peer, and pins the peer for it, outbound.
    ///
    /// Fails with [`ConnectionError::NameTaken`].
    pub fn set(&self, known: Known, now: UnixSeconds) -> Answer<()> {
        self.store.write(After::Nothing, move |transaction| {
            set(transaction, &known, now)
        })
    }

    /// The connection of this name.
    ///
    /// # Errors
    /// [`ConnectionError::Missing`], or a fault.
    pub fn find(&self, name: &str) -> Result<Known, ConnectionError> {
        let connection = self.store.read();
        let row = connection
            .prepare_cached(
                "SELECT name, peer, resource, minimum_change, listen FROM connections WHERE name = ?1",
            )?
            .query_row([name], read_row)
            .optional()?;
        match row {
            Some(row) => Ok(with_ways(&connection, row)?),
            None => Err(ConnectionError::Missing {
                name: name.chars().take(80).collect(),
            }),
        }
    }

    /// All connections, by name.
    ///
    /// # Errors
    /// The store's faults.
    pub fn list(&self) -> Result<Vec<Known>, StoreFault> {
        let connection = self.store.read();
        let mut statement = connection.prepare_cached(
            "SELECT name, peer, resource, minimum_change, listen FROM connections ORDER BY name",
        )?;
        let rows = statement.query_map([], read_row)?;
        rows.map(|row| with_ways(&connection, row?)).collect()
    }
}

fn set(transaction: &Connection, known: &Known, now: UnixSeconds) -> Result<(), ConnectionError> {
    let holder = transaction
        .prepare_cached("SELECT peer, resource FROM connections WHERE name = ?1")?
        .query_row([known.name.as_str()], |row| {
            Ok((
                Identifier::from_bytes(row.get(0)?),
                row.get::<_, String>(1)?,
            ))
        })
        .optional()?;
    if let Some((peer, resource)) = holder
        && (peer != known.peer || resource != known.resource)
    {
        let name = known.name.clone();
        return Err(ConnectionError::NameTaken {
            name,
            peer,
            resource,
        });
    }
    let pin = Pin {
        direction: Direction::Outbound,
        resource: Resource::Named(known.resource.clone()),
        origin: PinOrigin::Ticket,
        added: now,
    };
    peers::insert(transaction, &known.peer, &pin)?;
    transaction.execute(
        "DELETE FROM connections WHERE peer = ?1 AND resource = ?2",
        (known.peer.as_bytes(), &known.resource),
    )?;
    transaction
        .prepare_cached(
            "INSERT INTO connections (name, peer, resource, minimum_change, listen)
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute((
            known.name.as_str(),
            known.peer.as_bytes(),
            &known.resource,
            known.minimum_change.as_bytes(),
            &known.listen,
        ))?;
    for (way, position) in known.ways.iter().zip(0_i64..) {
        transaction
            .prepare_cached(
                "INSERT INTO connection_ways (connection, position, way) VALUES (?1, ?2, ?3)",
            )?
            .execute((known.name.as_str(), position, way.to_string()))?;
    }
    Ok(())
}

type Row = (String, [u8; 32], String, [u8; 32], String);

fn read_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok((
        row.get(0)?,
        row.get(1)?,
        row.get(2)?,
        row.get(3)?,
        row.get(4)?,
    ))
}

fn with_ways(connection: &Connection, row: Row) -> Result<Known, StoreFault> {
    let (name, peer, resource, minimum_change, listen) = row;
    let mut statement = connection.prepare_cached(
        "SELECT way FROM connection_ways WHERE connection = ?1 ORDER BY position",
    )?;
    let ways = statement.query_map([&name], |row| row.get::<_, String>(0))?;
    let damaged = || StoreFault::damaged("a way of a connection cannot be read");
    let ways = ways
        .map(|way| way?.parse().map_err(|_| damaged()))
        .collect::<Result<_, StoreFault>>()?;
    Ok(Known {
        name: name
            .parse()
            .map_err(|_| StoreFault::damaged("the name of a connection is impossible"))?,
        peer: Identifier::from_bytes(peer),
        resource,
        minimum_change: ChangeHash::from_bytes(minimum_change),
        ways,
        listen,
    })
}
