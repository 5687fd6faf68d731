//! Aliases at our relay. The first identity that claims one keeps it until it expires.

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;
use sealway_core::identity::Identifier;
use sealway_core::relay::{Limits, NameRecord};

use crate::relay::NameStore;
use crate::transport::BoxFuture;

use super::fault::StoreFault;
use super::writer::{After, Pending};
use super::{Store, seconds, to_column};

/// Why an alias is not given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayNameError {
    /// Another identity holds it.
    #[error("the name belongs to another identity")]
    Taken,
    /// The identity holds as many as it may.
    #[error("the identity holds {max} names already")]
    TooMany {
        /// How many it may hold.
        max: usize,
    },
    /// The relay gives no more names.
    #[error("the relay holds {max} names already")]
    Full {
        /// How many it holds.
        max: usize,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<rusqlite::Error> for RelayNameError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

/// The aliases of a home's relay. See [`Store::relay_names`].
#[derive(Clone, Copy, Debug)]
pub struct RelayNames<'a> {
    store: &'a Store,
}

impl<'a> RelayNames<'a> {
    pub(crate) const fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Gives an alias to its owner in the record, or keeps it for the owner until the record's
    /// `expires`; answers once that is on the disk. The owner was proved by a secure channel.
    ///
    /// The relay's table has checked the same rules for this process; here they hold for all
    /// processes of the home. Fails with any [`RelayNameError`].
    pub fn claim(
        &self,
        record: NameRecord,
        limits: Limits,
        now: UnixSeconds,
    ) -> Pending<(), RelayNameError> {
        self.store.write(After::Nothing, move |transaction| {
            claim(transaction, &record, limits, now)
        })
    }

    /// The aliases as a relay keeps them (`RelayOptions::names`), within the relay's `limits`.
    #[must_use]
    pub fn keeper(&self, limits: Limits) -> KeptNames {
        KeptNames {
            store: self.store.clone(),
            limits,
        }
    }

    /// Gives an alias back; false if it was not this owner's.
    pub fn release(&self, alias: &str, owner: Identifier) -> Pending<bool, StoreFault> {
        let alias = alias.to_owned();
        self.store.write(After::Nothing, move |transaction| {
            let freed = transaction.execute(
                "DELETE FROM relay_names WHERE alias = ?1 AND owner = ?2",
                (alias, owner.as_bytes()),
            )?;
            Ok(freed > 0)
        })
    }

    /// Whose the alias is at `now`.
    ///
    /// # Errors
    /// The store's faults.
    pub fn owner(&self, alias: &str, now: UnixSeconds) -> Result<Option<Identifier>, StoreFault> {
        let connection = self.store.read();
        let found = holder(&connection, alias, now)?;
        Ok(found.map(Identifier::from_bytes))
    }

    /// All aliases that are held at `now`, by name.
    ///
    /// # Errors
    /// The store's faults.
    pub fn list(&self, now: UnixSeconds) -> Result<Vec<NameRecord>, StoreFault> {
        let connection = self.store.read();
        let mut statement = connection.prepare_cached(
            "SELECT alias, owner, expires FROM relay_names WHERE expires > ?1 ORDER BY alias",
        )?;
        let rows = statement.query_map([to_column(now)], |row| {
            Ok(NameRecord {
                alias: row.get(0)?,
                owner: Identifier::from_bytes(row.get(1)?),
                expires: seconds(row.get(2)?),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// Forgets the aliases that have expired; gives how many.
    pub fn purge(&self, now: UnixSeconds) -> Pending<usize, StoreFault> {
        self.store
            .write(After::Nothing, move |transaction| purge(transaction, now))
    }
}

/// The aliases of a home, for its relay. See [`RelayNames::keeper`].
#[derive(Clone, Debug)]
pub struct KeptNames {
    store: Store,
    limits: Limits,
}

impl NameStore for KeptNames {
    fn load(&self) -> Vec<NameRecord> {
        let now = self.store.clock().now();
        self.store.relay_names().list(now).unwrap_or_else(|fault| {
            // Nobody can take a name for that: saving it asks the state file again.
            tracing::error!(%fault, "the relay's names could not be read");
            Vec::new()
        })
    }

    fn save(&self, record: NameRecord) -> BoxFuture<'_, Result<(), String>> {
        let now = self.store.clock().now();
        let claimed = self.store.relay_names().claim(record, self.limits, now);
        Box::pin(async move { claimed.await.map_err(|error| error.to_string()) })
    }
}

fn claim(
    transaction: &Connection,
    record: &NameRecord,
    limits: Limits,
    now: UnixSeconds,
) -> Result<(), RelayNameError> {
    match holder(transaction, &record.alias, now)? {
        Some(holder) if holder != *record.owner.as_bytes() => return Err(RelayNameError::Taken),
        Some(_) => {}
        None => check_room(transaction, &record.owner, limits, now)?,
    }
    transaction
        .prepare_cached(
            "INSERT INTO relay_names (alias, owner, claimed, expires) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (alias) DO UPDATE SET
                owner = excluded.owner, claimed = excluded.claimed, expires = excluded.expires",
        )?
        .execute((
            &record.alias,
            record.owner.as_bytes(),
            to_column(now),
            to_column(record.expires),
        ))?;
    Ok(())
}

fn check_room(
    transaction: &Connection,
    owner: &Identifier,
    limits: Limits,
    now: UnixSeconds,
) -> Result<(), RelayNameError> {
    let owned = transaction
        .prepare_cached("SELECT count(*) FROM relay_names WHERE owner = ?1 AND expires > ?2")?
        .query_row((owner.as_bytes(), to_column(now)), read_count)?;
    if owned >= limits.names_per_identity {
        let max = limits.names_per_identity;
        return Err(RelayNameError::TooMany { max });
    }
    let count = || -> rusqlite::Result<usize> {
        transaction
            .prepare_cached("SELECT count(*) FROM relay_names")?
            .query_row([], read_count)
    };
    let max = limits.names;
    if count()? >= max {
        purge(transaction, now)?;
        if count()? >= max {
            return Err(RelayNameError::Full { max });
        }
    }
    Ok(())
}

fn read_count(row: &rusqlite::Row<'_>) -> rusqlite::Result<usize> {
    let count: i64 = row.get(0)?;
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

fn holder(
    connection: &Connection,
    alias: &str,
    now: UnixSeconds,
) -> Result<Option<[u8; 32]>, StoreFault> {
    Ok(connection
        .prepare_cached("SELECT owner FROM relay_names WHERE alias = ?1 AND expires > ?2")?
        .query_row((alias, to_column(now)), |row| row.get(0))
        .optional()?)
}

fn purge(transaction: &Connection, now: UnixSeconds) -> Result<usize, StoreFault> {
    Ok(transaction
        .prepare_cached("DELETE FROM relay_names WHERE expires <= ?1")?
        .execute([to_column(now)])?)
}
