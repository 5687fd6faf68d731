//! Making identities and rotating their keys, with the signer on the other side of a boundary.

use alloc::vec::Vec;

use super::codec::{self, DataType};
use super::history::{Identity, MAX_CHANGES, Validity};
use super::{ChangeHash, Identifier, IdentityError};
use crate::UnixSeconds;
use crate::crypto::{Signature, SigningKey, VerifyingKey};
use crate::wire::cbor::Writer;

/// How long a primary key is valid unless said otherwise: ten years (reference, section 3.4).
pub const IDENTITY_SECONDS: u64 = 315_360_000;

impl Validity {
    /// [`IDENTITY_SECONDS`] from `now` on.
    #[must_use]
    pub const fn starting(now: UnixSeconds) -> Self {
        Self {
            from: now,
            until: now.plus(IDENTITY_SECONDS),
        }
    }
}

/// What a rotation declares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// The old key or a purpose key may be in wrong hands: running channels are to end.
    pub revoke_all_purpose_keys: bool,
}

/// A change that lacks its signatures.
#[derive(Clone, Debug)]
pub struct PendingChange {
    base: Option<Identity>,
    /// The `VersionedData` that is hashed.
    data: Vec<u8>,
    digest: [u8; 32],
}

impl PendingChange {
    /// The 32 bytes that the new key signs, and in a rotation the old key too. An ECDSA signer
    /// hashes them once more (reference, section 3.2).
    #[must_use]
    pub const fn to_sign(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Puts the signatures in place: the new key's, and in a rotation the `previous` key's.
    ///
    /// # Errors
    /// [`IdentityError::Signature`], [`IdentityError::MissingPreviousSignature`], and whatever else
    /// would make an importer refuse the history: the result was verified as one.
    pub fn finish(
        self,
        signature: Signature,
        previous: Option<Signature>,
    ) -> Result<Identity, IdentityError> {
        let count = self.base.as_ref().map_or(0, Identity::change_count);
        let mut writer = Writer::vec();
        writer.array(count + 1);
        if let Some(base) = &self.base {
            writer.encoded(base.items());
        }
        let previous = previous.filter(|_| self.base.is_some());
        writer
            .array(2 + usize::from(previous.is_some()))
            .bytes(&self.data);
        codec::write_signature(&mut writer, &signature);
        if let Some(previous) = &previous {
            codec::write_signature(&mut writer, previous);
        }
        let identifier = match &self.base {
            Some(base) => base.identifier(),
            None => Identifier::from_bytes(self.digest),
        };
        Identity::import(&writer.into_sink(), Some(&identifier))
    }
}

impl Identity {
    /// Makes an identity whose first key is `key`, valid for ten years from `now`.
    #[must_use]
    pub fn create(key: &SigningKey, now: UnixSeconds) -> Self {
        let pending = Self::begin(key.verifying_key(), Validity::starting(now));
        let signature = key.sign(pending.to_sign());
        pending
            .finish(signature, None)
            .expect("a change that was just signed with its own key verifies")
    }

    /// Prepares the first change of an identity.
    #[must_use]
    pub fn begin(key: VerifyingKey, validity: Validity) -> PendingChange {
        let data = change_data(None, &key, Rotation::default(), validity);
        PendingChange::new(None, &data)
    }

    /// Replaces the `old` primary key by `new`, valid for ten years from `now`. All earlier
    /// attestations are void from then on.
    ///
    /// # Errors
    /// [`IdentityError::Signature`] if `old` is not the latest key, [`IdentityError::KeyExpired`],
    /// [`IdentityError::TooManyChanges`].
    pub fn rotate(
        &self,
        old: &SigningKey,
        new: &SigningKey,
        now: UnixSeconds,
        rotation: Rotation,
    ) -> Result<Self, IdentityError> {
        // A clock behind the last change must not make a history that nobody accepts.
        let now = now.max(self.latest_change().validity().from);
        let pending =
            self.begin_rotation(new.verifying_key(), Validity::starting(now), rotation)?;
        let (signature, previous) = (new.sign(pending.to_sign()), old.sign(pending.to_sign()));
        pending.finish(signature, Some(previous))
    }

    /// Prepares a change to `key`.
    ///
    /// # Errors
    /// [`IdentityError::TooManyChanges`] if the history is full.
    pub fn begin_rotation(
        &self,
        key: VerifyingKey,
        validity: Validity,
        rotation: Rotation,
    ) -> Result<PendingChange, IdentityError> {
        if self.change_count() >= MAX_CHANGES {
            return Err(IdentityError::TooManyChanges);
        }
        let previous = self.latest_change().hash();
        let data = change_data(Some(&previous), &key, rotation, validity);
        Ok(PendingChange::new(Some(self.clone()), &data))
    }
}

impl PendingChange {
    fn new(base: Option<Identity>, data: &[u8]) -> Self {
        let data = codec::wrap(DataType::Change, data);
        let digest = codec::digest(&data);
        Self { base, data, digest }
    }
}

fn change_data(
    previous: Option<&ChangeHash>,
    key: &VerifyingKey,
    rotation: Rotation,
    validity: Validity,
) -> Vec<u8> {
    let mut writer = Writer::vec();
    writer.array(5);
    match previous {
        Some(hash) => writer.bytes(hash.as_bytes()),
        None => writer.null(),
    };
    codec::write_verifying_key(&mut writer, key);
    writer
        .bool(rotation.revoke_all_purpose_keys)
        .unsigned(validity.from.0)
        .unsigned(validity.until.0);
    writer.into_sink()
}
