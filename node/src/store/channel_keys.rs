//! The key that an identity shows in handshakes, with its attestation: made on demand, kept until
//! the identity is rotated or the attestation nears its end.

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;
use sealway_core::crypto::{DhSecret, SigningKey};
use sealway_core::identity::{Attestation, Identity, PurposeKey};
use zeroize::Zeroizing;

use super::Store;
use super::identities::{self, IdentityStoreError};
use super::name::Name;
use super::writer::{After, Pending};

/// The purpose of the static key of secure channels, in the table (reference, section 3.1).
const SECURE_CHANNEL: i64 = 0;

/// An attestation with less than so many seconds to go is replaced: 30 days.
const RENEW_BEFORE: u64 = 30 * 24 * 3600;

/// What an identity needs to open and accept secure channels.
#[derive(Debug)]
pub struct ChannelKey {
    /// The identity, at its latest change.
    pub identity: Identity,
    /// Its word for the key, made under that change.
    pub attestation: Attestation,
    /// The key.
    pub secret: DhSecret,
}

/// The channel keys of a home's identities. See [`Store::channel_keys`].
#[derive(Clone, Copy, Debug)]
pub struct ChannelKeys<'a> {
    store: &'a Store,
}

impl<'a> ChannelKeys<'a> {
    pub(crate) const fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// The channel key of the identity of this name, or of the default one. It is made, attested and
    /// stored if there is none, if the identity was rotated since, or if the attestation ends within
    /// 30 days. All processes of a home get the same.
    ///
    /// Fails as [`super::Identities::get`], and with [`IdentityStoreError::Attestation`] if the
    /// identity's own key has expired.
    pub fn load(
        &self,
        name: Option<&Name>,
        now: UnixSeconds,
    ) -> Pending<ChannelKey, IdentityStoreError> {
        match self.find(name, now) {
            Err(error) => return Pending::ready(Err(error)),
            Ok(Some(key)) => return Pending::ready(Ok(key)),
            Ok(None) => {}
        }
        let name = name.cloned();
        self.store.write(After::Nothing, move |transaction| {
            let (stored, signer) = identities::find(transaction, name.as_ref())?;
            match current(transaction, &stored.identity, now)? {
                // Another process has made it in the meantime.
                Some(key) => Ok(key),
                None => make(transaction, stored.identity, &signer, now),
            }
        })
    }

    fn find(
        &self,
        name: Option<&Name>,
        now: UnixSeconds,
    ) -> Result<Option<ChannelKey>, IdentityStoreError> {
        let connection = self.store.read();
        let (stored, _) = identities::find(&connection, name)?;
        Ok(current(&connection, &stored.identity, now)?)
    }
}

/// The stored key, if it is there, fits, and is good for a while.
fn current(
    connection: &Connection,
    identity: &Identity,
    now: UnixSeconds,
) -> rusqlite::Result<Option<ChannelKey>> {
    let row = connection
        .prepare_cached(
            "SELECT secret, attestation FROM purpose_keys WHERE identifier = ?1 AND purpose = ?2",
        )?
        .query_row((identity.identifier().as_bytes(), SECURE_CHANNEL), |row| {
            Ok((
                Zeroizing::new(row.get::<_, [u8; 32]>(0)?),
                row.get::<_, Vec<u8>>(1)?,
            ))
        })
        .optional()?;
    let Some((secret, attestation)) = row else {
        return Ok(None);
    };
    let secret = DhSecret::from_bytes(*secret);
    // A row that does not verify, by a flipped bit or a rotation, is replaced like a missing one.
    Ok(Attestation::decode(&attestation)
        .ok()
        .filter(|attestation| {
            attestation.verify(identity, now) == Ok(PurposeKey::SecureChannel(secret.public()))
                && !is_due(attestation, identity, now)
        })
        .map(|attestation| ChannelKey {
            identity: identity.clone(),
            attestation,
            secret,
        }))
}

/// Whether a new attestation is needed soon, and would last longer.
fn is_due(attestation: &Attestation, identity: &Identity, now: UnixSeconds) -> bool {
    let ends = attestation.expires_at();
    ends < now.plus(RENEW_BEFORE) && ends < identity.latest_change().validity().until
}

fn make(
    transaction: &Connection,
    identity: Identity,
    signer: &SigningKey,
    now: UnixSeconds,
) -> Result<ChannelKey, IdentityStoreError> {
    let secret = DhSecret::generate(&mut super::rng());
    let purpose_key = PurposeKey::SecureChannel(secret.public());
    let attestation = Attestation::issue(signer, &identity, purpose_key, now)?;
    transaction
        .prepare_cached(
            "INSERT INTO purpose_keys (identifier, purpose, secret, attestation)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (identifier, purpose) DO UPDATE SET
                secret = excluded.secret, attestation = excluded.attestation",
        )?
        .execute((
            identity.identifier().as_bytes(),
            SECURE_CHANNEL,
            secret.to_bytes().as_slice(),
            attestation.as_bytes(),
        ))?;
    Ok(ChannelKey {
        identity,
        attestation,
        secret,
    })
}
