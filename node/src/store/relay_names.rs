//! Aliases at our relay. The first identity that claims one keeps it until it expires.

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;
use sealway_core::identity::Identifier;

use super::fault::StoreFault;
use super::writer::{After, Pending};
use super::{Store, seconds, to_column};

/// Longest alias in bytes.
pub const MAX_ALIAS: usize = 255;

/// What a relay grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayQuota {
    /// Most aliases that one identity holds.
    pub per_identity: u32,
    /// Most aliases in all.
    pub total: u32,
    /// How many seconds an alias is kept after its owner claimed it last.
    pub lifetime_seconds: u64,
}

impl Default for RelayQuota {
    /// 32 aliases for each identity, 100,000 in all (some 20 MiB on the disk), kept for 30 days.
    fn default() -> Self {
        Self {
            per_identity: 32,
            total: 100_000,
            lifetime_seconds: 30 * 24 * 3600,
        }
    }
}

/// An alias and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayName {
    /// The alias, as the owner chose it: to be escaped where it is shown.
    pub alias: String,
    /// Whose it is.
    pub owner: Identifier,
    /// When its owner claimed it last.
    pub claimed: UnixSeconds,
    /// When it becomes free, unless it is claimed again.
    pub expires: UnixSeconds,
}

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
        max: u32,
    },
    /// The relay gives no more names.
    #[error("the relay holds {max} names already")]
    Full {
        /// How many it holds.
        max: u32,
    },
    /// The alias is empty or longer than [`MAX_ALIAS`].
    #[error("a name of {got} bytes is not between 1 and {MAX_ALIAS}")]
    Length {
        /// Its length in bytes.
        got: usize,
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

    /// Gives the alias to `owner`, or keeps it for another lifetime if it is the owner's already;
    /// answers once that is on the disk. The owner was proved by a secure channel.
    ///
    /// Fails with any [`RelayNameError`].
    pub fn claim(
        &self,
        alias: &str,
        owner: Identifier,
        quota: RelayQuota,
        now: UnixSeconds,
    ) -> Pending<RelayName, RelayNameError> {
        let got = alias.len();
        if got == 0 || got > MAX_ALIAS {
            return Pending::ready(Err(RelayNameError::Length { got }));
        }
        let name = RelayName {
            alias: alias.to_owned(),
            owner,
            claimed: now,
            expires: now.plus(quota.lifetime_seconds),
        };
        self.store.write(After::Nothing, move |transaction| {
            claim(transaction, name, quota)
        })
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
    pub fn list(&self, now: UnixSeconds) -> Result<Vec<RelayName>, StoreFault> {
        let connection = self.store.read();
        let mut statement = connection.prepare_cached(
            "SELECT alias, owner, claimed, expires FROM relay_names WHERE expires > ?1
             ORDER BY alias",
        )?;
        let rows = statement.query_map([to_column(now)], |row| {
            Ok(RelayName {
                alias: row.get(0)?,
                owner: Identifier::from_bytes(row.get(1)?),
                claimed: seconds(row.get(2)?),
                expires: seconds(row.get(3)?),
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

fn claim(
    transaction: &Connection,
    name: RelayName,
    quota: RelayQuota,
) -> Result<RelayName, RelayNameError> {
    let holder = holder(transaction, &name.alias, name.claimed)?;
    match holder {
        Some(holder) if holder != *name.owner.as_bytes() => return Err(RelayNameError::Taken),
        Some(_) => {}
        None => check_quota(transaction, &name, quota)?,
    }
    transaction
        .prepare_cached(
            "INSERT INTO relay_names (alias, owner, claimed, expires) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (alias) DO UPDATE SET
                owner = excluded.owner, claimed = excluded.claimed, expires = excluded.expires",
        )?
        .execute((
            &name.alias,
            name.owner.as_bytes(),
            to_column(name.claimed),
            to_column(name.expires),
        ))?;
    Ok(name)
}

fn check_quota(
    transaction: &Connection,
    name: &RelayName,
    quota: RelayQuota,
) -> Result<(), RelayNameError> {
    let now = to_column(name.claimed);
    let owned: i64 = transaction
        .prepare_cached("SELECT count(*) FROM relay_names WHERE owner = ?1 AND expires > ?2")?
        .query_row((name.owner.as_bytes(), now), |row| row.get(0))?;
    if owned >= i64::from(quota.per_identity) {
        let max = quota.per_identity;
        return Err(RelayNameError::TooMany { max });
    }
    let count = |transaction: &Connection| {
        transaction
            .prepare_cached("SELECT count(*) FROM relay_names")?
            .query_row([], |row| row.get::<_, i64>(0))
    };
    if count(transaction)? >= i64::from(quota.total) {
        purge(transaction, name.claimed)?;
        if count(transaction)? >= i64::from(quota.total) {
            let max = quota.total;
            return Err(RelayNameError::Full { max });
        }
    }
    Ok(())
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
