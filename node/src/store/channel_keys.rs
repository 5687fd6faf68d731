//! The keys that an identity shows in handshakes, one for each suite, with their attestations: made on demand, kept
//! until the identity is rotated or the attestation nears its end.

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::crypto::{DhSecret, SigningKey};
use sealway_core::identity::{Attestation, Identity};
use zeroize::Zeroizing;

use super::Store;
use super::identities::{self, IdentityStoreError};
use super::name::Name;
use super::writer::{After, Pending};

/// The purpose of a suite's static key in the table: its number in attestations (docs/wire.md, "Attestations").
const fn purpose(suite: Suite) -> i64 {
    match suite {
        Suite::Classical => 0,
        Suite::Hybrid => 3,
    }
}

/// An attestation with less than so many seconds to go is replaced: 30 days.
const RENEW_BEFORE: u64 = 30 * 24 * 3600;

/// What an identity needs to open and accept secure channels of one suite.
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

    /// The channel keys of the identity of this name, or of the default one, the classical
    /// and the hybrid one. One is made, attested and stored if there is none, if the identity was rotated since, or if the attestation
    /// ends within 30 days. All are of one change of the identity. All processes of a home get the same.
    ///
    /// Fails as [`super::Identities::get`], and with [`IdentityStoreError::Attestation`] if the
    /// identity's own key has expired.
    pub fn load(
        &self,
        name: Option<&Name>,
        now: UnixSeconds,
    ) -> Pending<[ChannelKey; 2], IdentityStoreError> {
        match self.find(name, now) {
            Err(error) => return Pending::ready(Err(error)),
            Ok(Some(keys)) => return Pending::ready(Ok(keys)),
            Ok(None) => {}
        }
        let name = name.cloned();
        self.store.write(After::Nothing, move |transaction| {
            let (stored, signer) = identities::find(transaction, name.as_ref())?;
            let key = |suite| match current(transaction, &stored.identity, suite, now)? {
                // Another process has made it in the meantime, or it is still good.
                Some(key) => Ok(key),
                None => make(transaction, &stored.identity, suite, &signer, now),
            };
            Ok([key(Suite::Classical)?, key(Suite::Hybrid)?])
        })
    }

    /// All keys, unless one is missing.
    fn find(
        &self,
        name: Option<&Name>,
        now: UnixSeconds,
    ) -> Result<Option<[ChannelKey; 2]>, IdentityStoreError> {
        let connection = self.store.read();
        let (stored, _) = identities::find(&connection, name)?;
        let key = |suite| current(&connection, &stored.identity, suite, now);
        Ok(key(Suite::Classical)?
            .zip(key(Suite::Hybrid)?)
            .map(<[ChannelKey; 2]>::from))
    }
}

/// The stored key, if it is there, fits, and is good for a while.
fn current(
    connection: &Connection,
    identity: &Identity,
    suite: Suite,
    now: UnixSeconds,
) -> rusqlite::Result<Option<ChannelKey>> {
    let row = connection
        .prepare_cached(
            "SELECT secret, attestation FROM purpose_keys WHERE identifier = ?1 AND purpose = ?2",
        )?
        .query_row((identity.identifier().as_bytes(), purpose(suite)), |row| {
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
            attestation.verify(identity, now) == Ok(suite.purpose(secret.public()))
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
    identity: &Identity,
    suite: Suite,
    signer: &SigningKey,
    now: UnixSeconds,
) -> Result<ChannelKey, IdentityStoreError> {
    let secret = DhSecret::generate(&mut super::rng());
    let purpose_key = suite.purpose(secret.public());
    let attestation = Attestation::issue(signer, identity, purpose_key, now)?;
    transaction
        .prepare_cached(
            "INSERT INTO purpose_keys (identifier, purpose, secret, attestation)
             VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (identifier, purpose) DO UPDATE SET
                secret = excluded.secret, attestation = excluded.attestation",
        )?
        .execute((
            identity.identifier().as_bytes(),
            purpose(suite),
            secret.to_bytes().as_slice(),
            attestation.as_bytes(),
        ))?;
    Ok(ChannelKey {
        identity: identity.clone(),
        attestation,
        secret,
    })
}
