//! Our own identities: named histories with the keys that sign for them.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};
use sealway_core::UnixSeconds;
use sealway_core::crypto::{KeyType, SigningKey};
use sealway_core::identity::{
    AttestationError, Evolution, Identifier, Identity, IdentityError, Rotation,
};
use zeroize::Zeroizing;

use super::backup::{Backup, BackupError};
use super::fault::StoreFault;
use super::histories;
use super::name::Name;
use super::writer::{After, Pending};
use super::{Store, seconds, to_column};

/// One of our own identities, without its secrets.
#[derive(Clone, Debug)]
pub struct StoredIdentity {
    /// Its name in this home.
    pub name: Name,
    /// Its verified history.
    pub identity: Identity,
    /// When it was made or imported.
    pub created: UnixSeconds,
    /// Whether it is used where none is named.
    pub is_default: bool,
}

impl StoredIdentity {
    /// The kind of its key.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.identity.latest_key().key_type()
    }
}

/// Why something could not be done with one of our identities.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityStoreError {
    /// There is no identity of this name.
    #[error("there is no identity named {name}")]
    Missing {
        /// The name.
        name: Name,
    },
    /// No identity was named, and there is none at all.
    #[error("there is no identity yet")]
    NoneYet,
    /// The name is in use.
    #[error("there is an identity named {name} already")]
    NameTaken {
        /// The name.
        name: Name,
    },
    /// The identity is here, under another name perhaps.
    #[error("{identifier} is here already, as {name}")]
    AlreadyHere {
        /// The identity.
        identifier: Identifier,
        /// The name that it has here.
        name: Name,
    },
    /// A longer history of this identity is known than the one at hand: it is an old copy.
    #[error("{identifier} is an old copy: it has {ours} changes, and {known} are known")]
    Behind {
        /// The identity.
        identifier: Identifier,
        /// Changes in the history at hand.
        ours: usize,
        /// Changes in the history that is known.
        known: usize,
    },
    /// Another history of this identity is known: its key made two.
    #[error("another history of {identifier} is known, which does not go on from this one")]
    Diverged {
        /// The identity.
        identifier: Identifier,
    },
    /// What is stored of this identity does not verify.
    #[error("the identity {name} is damaged: {detail}")]
    Damaged {
        /// Its name.
        name: String,
        /// What does not fit, without the secret.
        detail: String,
    },
    /// The identity cannot go on.
    #[error("the identity cannot be changed: {0}")]
    Identity(#[from] IdentityError),
    /// The identity cannot attest a key.
    #[error("the identity cannot attest its channel key: {0}")]
    Attestation(#[from] AttestationError),
    /// The text is no backup of an identity.
    #[error("not a backup of an identity: {0}")]
    Backup(#[from] BackupError),
    /// The store could not do its work.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<rusqlite::Error> for IdentityStoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl IdentityStoreError {
    /// The next step; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "see which there are: sealway identity list",
            Self::NoneYet => "make one: sealway identity create",
            Self::NameTaken { .. } => "choose another name",
            Self::AlreadyHere { .. } => "use it by that name, or delete it first",
            Self::Behind { .. } => {
                "this home was restored from an old copy: bring the latest one, or make a new identity and tell its peers"
            }
            Self::Diverged { .. } => {
                "its key was used in two places: make a new identity and tell its peers"
            }
            Self::Damaged { .. } => "import it from a backup, or delete it and make a new one",
            Self::Identity(_) => "make a new identity and tell its peers",
            Self::Attestation(_) => "check the clock; if the identity's key has expired, rotate it",
            Self::Backup(_) => "use a file that sealway identity export --secret wrote",
            Self::Fault(fault) => fault.hint(),
        }
    }
}

/// The identities of a home. See [`Store::identities`].
#[derive(Clone, Copy, Debug)]
pub struct Identities<'a> {
    store: &'a Store,
}

type Answer<T> = Pending<T, IdentityStoreError>;

impl<'a> Identities<'a> {
    pub(crate) const fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Makes an identity with a new key, valid for ten years from `now`. The first one is the default.
    ///
    /// Fails with [`IdentityStoreError::NameTaken`].
    pub fn create(
        &self,
        name: &Name,
        key_type: KeyType,
        now: UnixSeconds,
    ) -> Answer<StoredIdentity> {
        let name = name.clone();
        self.store.write(After::Nothing, move |transaction| {
            create(transaction, &name, key_type, now)
        })
    }

    /// The default identity; made, with the given name and kind of key, if there is none at all.
    pub fn default_or_create(
        &self,
        name: &Name,
        key_type: KeyType,
        now: UnixSeconds,
    ) -> Answer<StoredIdentity> {
        match self.get(None) {
            Err(IdentityStoreError::NoneYet) => {}
            found => return Pending::ready(found),
        }
        let name = name.clone();
        // Asked again inside: another process may have made it in the meantime.
        self.store.write(After::Nothing, move |transaction| {
            match find(transaction, None) {
                Err(IdentityStoreError::NoneYet) => create(transaction, &name, key_type, now),
                found => found.map(|(identity, _)| identity),
            }
        })
    }

    /// All of them, by name. A damaged one does not hide the others.
    ///
    /// # Errors
    /// The store's faults.
    pub fn list(&self) -> Result<Vec<Result<StoredIdentity, IdentityStoreError>>, StoreFault> {
        let connection = self.store.read();
        let mut statement =
            connection.prepare_cached(&format!("{SELECT} ORDER BY name COLLATE BINARY"))?;
        let rows = statement.query_map([], RawIdentity::read)?;
        rows.map(|row| Ok(row?.verify().map(|(identity, _)| identity)))
            .collect()
    }

    /// The identity of this name, or without one the default identity.
    ///
    /// # Errors
    /// [`IdentityStoreError::Missing`], [`IdentityStoreError::NoneYet`],
    /// [`IdentityStoreError::Damaged`], or a fault.
    pub fn get(&self, name: Option<&Name>) -> Result<StoredIdentity, IdentityStoreError> {
        find(&self.store.read(), name).map(|(identity, _)| identity)
    }

    /// Makes the identity of this name the default one.
    ///
    /// Fails with [`IdentityStoreError::Missing`].
    pub fn set_default(&self, name: &Name) -> Answer<()> {
        let name = name.clone();
        self.store.write(After::Nothing, move |transaction| {
            transaction.execute(
                "UPDATE identities SET is_default = 0 WHERE is_default = 1",
                [],
            )?;
            let changed = transaction.execute(
                "UPDATE identities SET is_default = 1 WHERE name = ?1",
                [name.as_str()],
            )?;
            (changed == 1)
                .then_some(())
                .ok_or(IdentityStoreError::Missing { name })
        })
    }

    /// Replaces the key by a new one and drops the purpose keys, in one step: whatever happens, the
    /// key and the history fit.
    ///
    /// Fails with [`IdentityStoreError::Behind`] or [`IdentityStoreError::Diverged`] if this home
    /// knows another history of the identity that its own does not contain, and with
    /// [`IdentityStoreError::Missing`], [`IdentityStoreError::NoneYet`],
    /// [`IdentityStoreError::Identity`].
    pub fn rotate(
        &self,
        name: Option<&Name>,
        key_type: KeyType,
        rotation: Rotation,
        now: UnixSeconds,
    ) -> Answer<StoredIdentity> {
        let name = name.cloned();
        self.store.write(After::TruncateLog, move |transaction| {
            let (stored, key) = find(transaction, name.as_ref())?;
            check_not_behind(transaction, &stored.identity)?;
            let new = SigningKey::generate(key_type, &mut super::rng());
            let identity = stored.identity.rotate(&key, &new, now, rotation)?;
            let identifier = *identity.identifier().as_bytes();
            transaction.execute(
                "UPDATE identities SET history = :history, key_type = :key_type, secret_key = :secret
                 WHERE identifier = :identifier",
                named_params! {
                    ":history": identity.export(),
                    ":key_type": key_type_to_column(key_type),
                    ":secret": new.to_bytes().as_slice(),
                    ":identifier": identifier,
                },
            )?;
            transaction.execute("DELETE FROM purpose_keys WHERE identifier = ?1", [identifier])?;
            histories::remember(transaction, &identity, now)?;
            Ok(StoredIdentity { identity, ..stored })
        })
    }

    /// Takes in an identity with its key.
    ///
    /// Fails with [`IdentityStoreError::NameTaken`], [`IdentityStoreError::AlreadyHere`], and
    /// [`IdentityStoreError::Behind`] or [`IdentityStoreError::Diverged`] for a copy that this home
    /// knows to be old.
    pub fn import(&self, backup: Backup, now: UnixSeconds) -> Answer<StoredIdentity> {
        self.store.write(After::Nothing, move |transaction| {
            check_not_behind(transaction, &backup.identity)?;
            insert(
                transaction,
                &backup.name,
                &backup.identity,
                &backup.key,
                now,
            )
        })
    }

    /// The identity with its key, to be kept as a secret.
    ///
    /// # Errors
    /// As [`Identities::get`].
    pub fn back_up(&self, name: Option<&Name>) -> Result<Backup, IdentityStoreError> {
        let (stored, key) = find(&self.store.read(), name)?;
        Ok(Backup {
            name: stored.name,
            identity: stored.identity,
            key,
        })
    }

    /// Deletes the identity, its key and its purpose keys, also from the free pages of the file. If
    /// it was the default, the oldest of the others becomes it.
    ///
    /// Fails with [`IdentityStoreError::Missing`]. A damaged identity can be deleted.
    pub fn delete(&self, name: &Name) -> Answer<()> {
        let name = name.clone();
        self.store.write(After::TruncateLog, move |transaction| {
            let deleted =
                transaction.execute("DELETE FROM identities WHERE name = ?1", [name.as_str()])?;
            if deleted == 0 {
                return Err(IdentityStoreError::Missing { name });
            }
            transaction.execute(
                "UPDATE identities SET is_default = 1
                 WHERE NOT EXISTS (SELECT 1 FROM identities WHERE is_default = 1)
                 AND name = (SELECT name FROM identities ORDER BY created, rowid LIMIT 1)",
                [],
            )?;
            Ok(())
        })
    }
}

const SELECT: &str =
    "SELECT name, identifier, history, key_type, secret_key, created, is_default FROM identities";

/// A row, before anything in it was verified.
struct RawIdentity {
    name: String,
    identifier: [u8; 32],
    history: Vec<u8>,
    key_type: i64,
    secret_key: Zeroizing<[u8; 32]>,
    created: i64,
    is_default: bool,
}

impl RawIdentity {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            name: row.get(0)?,
            identifier: row.get(1)?,
            history: row.get(2)?,
            key_type: row.get(3)?,
            secret_key: Zeroizing::new(row.get(4)?),
            created: row.get(5)?,
            is_default: row.get(6)?,
        })
    }

    /// Verifies the history and that the key signs for it: a flipped bit is found here.
    fn verify(self) -> Result<(StoredIdentity, SigningKey), IdentityStoreError> {
        let shown: String = self.name.escape_debug().collect();
        let damaged = |detail: String| IdentityStoreError::Damaged {
            name: shown.clone(),
            detail,
        };
        let name = self
            .name
            .parse()
            .map_err(|_| damaged("its name is impossible".to_owned()))?;
        let identifier = Identifier::from_bytes(self.identifier);
        let identity = Identity::import(&self.history, Some(&identifier))
            .map_err(|error| damaged(error.to_string()))?;
        let key = key_type_from_column(self.key_type)
            .and_then(|key_type| SigningKey::from_bytes(key_type, &self.secret_key).ok())
            .filter(|key| key.verifying_key() == *identity.latest_key())
            .ok_or_else(|| damaged("its key does not fit its history".to_owned()))?;
        let stored = StoredIdentity {
            name,
            identity,
            created: seconds(self.created),
            is_default: self.is_default,
        };
        Ok((stored, key))
    }
}

/// The identity of this name or the default one, with its key.
pub(crate) fn find(
    connection: &Connection,
    name: Option<&Name>,
) -> Result<(StoredIdentity, SigningKey), IdentityStoreError> {
    let row = match name {
        Some(name) => connection
            .prepare_cached(&format!("{SELECT} WHERE name = ?1"))?
            .query_row([name.as_str()], RawIdentity::read),
        None => connection
            .prepare_cached(&format!("{SELECT} WHERE is_default = 1"))?
            .query_row([], RawIdentity::read),
    };
    match (row.optional()?, name) {
        (Some(row), _) => row.verify(),
        (None, Some(name)) => Err(IdentityStoreError::Missing { name: name.clone() }),
        (None, None) => Err(IdentityStoreError::NoneYet),
    }
}

fn create(
    transaction: &Connection,
    name: &Name,
    key_type: KeyType,
    now: UnixSeconds,
) -> Result<StoredIdentity, IdentityStoreError> {
    let key = SigningKey::generate(key_type, &mut super::rng());
    let identity = Identity::create(&key, now);
    insert(transaction, name, &identity, &key, now)
}

fn insert(
    transaction: &Connection,
    name: &Name,
    identity: &Identity,
    key: &SigningKey,
    now: UnixSeconds,
) -> Result<StoredIdentity, IdentityStoreError> {
    let identifier = identity.identifier();
    let taken = transaction
        .prepare_cached(
            "SELECT name, identifier FROM identities WHERE name = ?1 OR identifier = ?2",
        )?
        .query_row((name.as_str(), identifier.as_bytes()), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?))
        })
        .optional()?;
    match taken {
        Some((other, bytes)) if bytes == *identifier.as_bytes() => {
            let name = other
                .parse()
                .map_err(|_| StoreFault::damaged("a name is impossible"))?;
            return Err(IdentityStoreError::AlreadyHere { identifier, name });
        }
        Some(_) => return Err(IdentityStoreError::NameTaken { name: name.clone() }),
        None => {}
    }
    let is_default = transaction.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM identities WHERE is_default = 1)",
        [],
        |row| row.get::<_, bool>(0),
    )?;
    transaction
        .prepare_cached(
            "INSERT INTO identities
                (name, identifier, history, key_type, secret_key, created, is_default)
             VALUES (:name, :identifier, :history, :key_type, :secret, :created, :is_default)",
        )?
        .execute(named_params! {
            ":name": name.as_str(),
            ":identifier": identifier.as_bytes(),
            ":history": identity.export(),
            ":key_type": key_type_to_column(key.key_type()),
            ":secret": key.to_bytes().as_slice(),
            ":created": to_column(now),
            ":is_default": is_default,
        })?;
    histories::remember(transaction, identity, now)?;
    Ok(StoredIdentity {
        name: name.clone(),
        identity: identity.clone(),
        created: now,
        is_default,
    })
}

/// Refuses to go on from a history when a longer or another one is known.
///
/// Two rotations of the same copy would make two histories, and every peer would refuse one of them.
fn check_not_behind(
    connection: &Connection,
    identity: &Identity,
) -> Result<(), IdentityStoreError> {
    let identifier = identity.identifier();
    let Some(known) = histories::known(connection, &identifier)? else {
        return Ok(());
    };
    match identity.compare(&known) {
        Evolution::Same | Evolution::Newer => Ok(()),
        Evolution::Older => Err(IdentityStoreError::Behind {
            identifier,
            ours: identity.change_count(),
            known: known.change_count(),
        }),
        Evolution::Diverged => Err(IdentityStoreError::Diverged { identifier }),
    }
}

/// The reference's numbers of its key variants (reference, section 3.1).
const fn key_type_to_column(key_type: KeyType) -> i64 {
    match key_type {
        KeyType::Ed25519 => 0,
        KeyType::P256 => 1,
    }
}

const fn key_type_from_column(column: i64) -> Option<KeyType> {
    match column {
        0 => Some(KeyType::Ed25519),
        1 => Some(KeyType::P256),
        _ => None,
    }
}
