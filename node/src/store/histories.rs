//! Histories of others: the longest that was verified, so that no shorter one is believed again
//! (reference, section 3.3).

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;
use sealway_core::identity::{Evolution, Identifier, Identity};

use super::fault::StoreFault;
use super::writer::{After, Pending};
use super::{Store, to_column};

/// Histories that are kept of identities that are neither ours nor pinned: some 100 MiB at most, as
/// the longest history is bounded. Beyond it the ones that changed longest ago are forgotten.
const MAX_STRANGERS: i64 = 6_400;

/// Why a history that a peer presented is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// It lacks changes that are known: a rotation is hidden, or the peer was restored from an old
    /// copy.
    #[error("{identifier} shows {presented} changes, and {known} are known")]
    Older {
        /// Whose it is.
        identifier: Identifier,
        /// Changes in what was presented.
        presented: usize,
        /// Changes in what is known.
        known: usize,
    },
    /// It differs from what is known: one of the peer's keys made two histories.
    #[error("{identifier} shows another history than the known one")]
    Diverged {
        /// Whose it is.
        identifier: Identifier,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl HistoryError {
    /// The next step; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Older { .. } => {
                "the peer runs on an old copy of its home, or somebody holds its old key: ask its operator"
            }
            Self::Diverged { .. } => "the peer's key was used in two places: ask its operator",
            Self::Fault(fault) => fault.hint(),
        }
    }
}

/// The known histories of a home. See [`Store::histories`].
#[derive(Clone, Copy, Debug)]
pub struct Histories<'a> {
    store: &'a Store,
}

impl<'a> Histories<'a> {
    pub(crate) const fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// The longest history that was verified of this identity, if it has more than one change. A
    /// shorter one says no more than the identifier does, and is not kept.
    ///
    /// # Errors
    /// The store's faults.
    pub fn known(&self, identifier: &Identifier) -> Result<Option<Identity>, StoreFault> {
        known(&self.store.read(), identifier)
    }

    /// Whether the history that an authenticated peer presents may be believed. Stores nothing.
    ///
    /// # Errors
    /// [`HistoryError::Older`], [`HistoryError::Diverged`], or a fault.
    pub fn check(&self, presented: &Identity) -> Result<(), HistoryError> {
        evolution(&self.store.read(), presented).map(drop)
    }

    /// [`Histories::check`], and keeps the history if it is longer than what is known. To be asked
    /// once the peer was accepted; writes only if there is something new.
    ///
    /// Fails as `check`.
    pub fn accept(&self, presented: &Identity, now: UnixSeconds) -> Pending<(), HistoryError> {
        match evolution(&self.store.read(), presented) {
            Err(error) => return Pending::ready(Err(error)),
            Ok(Evolution::Same) => return Pending::ready(Ok(())),
            Ok(_) => {}
        }
        let presented = presented.clone();
        // Asked again inside: another process may have learned more in the meantime.
        self.store.write(After::Nothing, move |transaction| {
            accept(transaction, &presented, now)
        })
    }
}

/// Keeps the history if it is longer than what is known.
pub(crate) fn accept(
    transaction: &Connection,
    presented: &Identity,
    now: UnixSeconds,
) -> Result<(), HistoryError> {
    if evolution(transaction, presented)? == Evolution::Newer {
        remember(transaction, presented, now)?;
    }
    Ok(())
}

/// `Same` or `Newer`; a history of one change that nothing is known about is `Same`.
fn evolution(connection: &Connection, presented: &Identity) -> Result<Evolution, HistoryError> {
    let identifier = presented.identifier();
    let Some(known) = known(connection, &identifier)? else {
        return Ok(if presented.change_count() > 1 {
            Evolution::Newer
        } else {
            Evolution::Same
        });
    };
    match presented.compare(&known) {
        Evolution::Older => Err(HistoryError::Older {
            identifier,
            presented: presented.change_count(),
            known: known.change_count(),
        }),
        Evolution::Diverged => Err(HistoryError::Diverged { identifier }),
        evolution => Ok(evolution),
    }
}

pub(crate) fn known(
    connection: &Connection,
    identifier: &Identifier,
) -> Result<Option<Identity>, StoreFault> {
    let history: Option<Vec<u8>> = connection
        .prepare_cached("SELECT history FROM known_histories WHERE identifier = ?1")?
        .query_row([identifier.as_bytes()], |row| row.get(0))
        .optional()?;
    history
        .map(|bytes| Identity::import(&bytes, Some(identifier)))
        .transpose()
        .map_err(|error| StoreFault::damaged(format!("the known history of {identifier}: {error}")))
}

/// Keeps a history that was found to be no older than what is known.
pub(crate) fn remember(
    transaction: &Connection,
    identity: &Identity,
    now: UnixSeconds,
) -> Result<(), StoreFault> {
    if identity.change_count() < 2 {
        return Ok(());
    }
    transaction
        .prepare_cached(
            "INSERT INTO known_histories (identifier, history, seen) VALUES (?1, ?2, ?3)
             ON CONFLICT (identifier) DO UPDATE SET history = excluded.history, seen = excluded.seen",
        )?
        .execute((identity.identifier().as_bytes(), identity.export(), to_column(now)))?;
    forget_strangers(transaction, MAX_STRANGERS)
}

fn forget_strangers(transaction: &Connection, keep: i64) -> Result<(), StoreFault> {
    let count: i64 = transaction
        .prepare_cached("SELECT count(*) FROM known_histories")?
        .query_row([], |row| row.get(0))?;
    if count <= keep {
        return Ok(());
    }
    transaction
        .prepare_cached(
            "DELETE FROM known_histories WHERE identifier IN (
                SELECT identifier FROM known_histories
                WHERE identifier NOT IN (SELECT identifier FROM identities)
                AND identifier NOT IN (SELECT peer FROM pins)
                ORDER BY seen LIMIT ?1)",
        )?
        .execute([count - keep])?;
    Ok(())
}
