//! Purpose-key attestations (reference, sections 3.1 and 3.4).

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::codec::{self, DataType, Variant};
use super::{AttestationError, ChangeHash, Identifier, Identity};
use crate::UnixSeconds;
use crate::crypto::{DhPublic, Signature, SigningKey, VerifyingKey};
use crate::wire::DecodeError;
use crate::wire::cbor::{Reader, Writer};

/// How long a purpose key is valid unless said otherwise: five years (reference, section 3.4).
pub const PURPOSE_KEY_SECONDS: u64 = 157_680_000;
/// How far in the future a signed object may have been made: clocks differ (reference, section 3.4).
pub const CLOCK_SKEW_SECONDS: u64 = 60;
/// Longest attestation in bytes; the reference's take some 200 to 250.
pub const MAX_ATTESTATION_LEN: usize = 1024;

/// A key that an identity uses for one purpose. The kind is part of what is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PurposeKey {
    /// The static X25519 key of secure channels.
    SecureChannel(DhPublic),
    /// A key that signs credentials.
    CredentialSigning(VerifyingKey),
    /// The static X25519 key of hybrid channels: never the same key as that of the others.
    HybridStatic(DhPublic),
}

/// An identity's signed word that a purpose key is its own.
///
/// ```cddl
/// Attestation     = [data: bstr .cbor VersionedData, signature: Signature]
/// AttestationData = [subject: bstr .size 32, subject_latest_change: bstr .size 32,
///                    key: PurposeKey, created_at: uint, expires_at: uint]
/// PurposeKey      = [0, [bstr .size 32]] / [1, [PublicKey]] / [3, [bstr .size 32]]
/// ```
///
/// Reading one verifies nothing; [`verify`](Self::verify) does, and only it yields the key. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Attestation {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    bytes: Vec<u8>,
    digest: [u8; 32],
    signature: Signature,
    data: Data,
}

#[derive(Clone, Copy, Debug)]
struct Data {
    subject: Identifier,
    change: ChangeHash,
    key: PurposeKey,
    created_at: UnixSeconds,
    expires_at: UnixSeconds,
}

impl Attestation {
    /// Attests `key` for five years from `now`, or as long as the identity's key is valid.
    ///
    /// # Errors
    /// [`AttestationError::KeyExpired`] if that is over, [`AttestationError::Signature`] if `signer`
    /// is not the identity's latest key.
    pub fn issue(
        signer: &SigningKey,
        identity: &Identity,
        key: PurposeKey,
        now: UnixSeconds,
    ) -> Result<Self, AttestationError> {
        let validity = identity.latest_change().validity();
        let created_at = now.max(validity.from);
        let expires_at = created_at.plus(PURPOSE_KEY_SECONDS).min(validity.until);
        let pending = PendingAttestation::begin(identity, key, created_at, expires_at)?;
        let signature = signer.sign(pending.to_sign());
        pending.finish(signature)
    }

    /// Reads an attestation and keeps its bytes. Bytes behind it are ignored and not kept.
    ///
    /// # Errors
    /// [`AttestationError::Data`], [`AttestationError::TooLong`].
    pub fn decode(bytes: &[u8]) -> Result<Self, AttestationError> {
        Self::read(&mut Reader::new(bytes))
    }

    /// Reads an attestation that stands inside another item.
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, AttestationError> {
        let start = reader.position();
        let mut fields = reader.array()?;
        fields.expect(reader, "attestation data")?;
        let wrapped = reader.bytes_at_most(MAX_ATTESTATION_LEN)?;
        fields.expect(reader, "signature")?;
        let signature = codec::read_signature(reader)?;
        fields.skip_rest(reader)?;
        let bytes = reader.since(start);
        if bytes.len() > MAX_ATTESTATION_LEN {
            return Err(AttestationError::TooLong { got: bytes.len() });
        }
        Ok(Self {
            inner: Arc::new(Inner {
                bytes: bytes.to_vec(),
                digest: codec::digest(wrapped),
                signature,
                data: Data::decode(codec::unwrap(wrapped, DataType::PurposeKeyAttestation)?)?,
            }),
        })
    }

    /// The attestation as it was received or made.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.inner.bytes
    }

    /// Whose key it is, if it verifies.
    #[must_use]
    pub fn subject(&self) -> Identifier {
        self.inner.data.subject
    }

    /// Under which of the subject's changes it was made.
    #[must_use]
    pub fn change(&self) -> ChangeHash {
        self.inner.data.change
    }

    /// When it was made.
    #[must_use]
    pub fn created_at(&self) -> UnixSeconds {
        self.inner.data.created_at
    }

    /// The last second in which it is valid.
    #[must_use]
    pub fn expires_at(&self) -> UnixSeconds {
        self.inner.data.expires_at
    }

    /// Verifies that `identity` attests a key with this, and that it is valid at `now`.
    ///
    /// # Errors
    /// Any [`AttestationError`] but those of decoding. The signature is verified last.
    pub fn verify(
        &self,
        identity: &Identity,
        now: UnixSeconds,
    ) -> Result<PurposeKey, AttestationError> {
        let data = &self.inner.data;
        self.check_subject(identity)?;
        let validity = identity.latest_change().validity();
        if now > validity.until {
            let valid_until = validity.until;
            return Err(AttestationError::KeyExpired { valid_until });
        }
        if data.expires_at > validity.until {
            return Err(AttestationError::OutlivesKey);
        }
        if data.created_at < validity.from {
            return Err(AttestationError::PredatesKey);
        }
        if data.created_at > now.plus(CLOCK_SKEW_SECONDS) {
            let created_at = data.created_at;
            return Err(AttestationError::NotYetValid { created_at });
        }
        if data.expires_at < now {
            let expires_at = data.expires_at;
            return Err(AttestationError::Expired { expires_at });
        }
        identity
            .latest_key()
            .verify(&self.inner.digest, &self.inner.signature)?;
        Ok(data.key)
    }

    /// Whether it was made under the latest change of `identity`. Says nothing about the signature.
    pub(crate) fn check_subject(&self, identity: &Identity) -> Result<(), AttestationError> {
        let data = &self.inner.data;
        let expected = identity.identifier();
        if data.subject != expected {
            let found = data.subject;
            return Err(AttestationError::WrongSubject { expected, found });
        }
        if data.change != identity.latest_change().hash() {
            return Err(AttestationError::OutdatedChange);
        }
        Ok(())
    }

    /// The key it names, without any verification.
    pub(crate) fn claimed_key(&self) -> &PurposeKey {
        &self.inner.data.key
    }
}

/// An attestation that lacks its signature.
#[derive(Clone, Debug)]
pub struct PendingAttestation {
    identity: Identity,
    wrapped: Vec<u8>,
    digest: [u8; 32],
}

impl PendingAttestation {
    /// Prepares an attestation of `key` under the latest change of `identity`.
    ///
    /// # Errors
    /// [`AttestationError::KeyExpired`] if the identity's key is no longer valid at `created_at`,
    /// [`AttestationError::OutlivesKey`], [`AttestationError::PredatesKey`].
    pub fn begin(
        identity: &Identity,
        key: PurposeKey,
        created_at: UnixSeconds,
        expires_at: UnixSeconds,
    ) -> Result<Self, AttestationError> {
        let change = identity.latest_change();
        let validity = change.validity();
        if created_at > validity.until {
            let valid_until = validity.until;
            return Err(AttestationError::KeyExpired { valid_until });
        }
        if expires_at > validity.until {
            return Err(AttestationError::OutlivesKey);
        }
        if created_at < validity.from {
            return Err(AttestationError::PredatesKey);
        }
        let data = Data {
            subject: identity.identifier(),
            change: change.hash(),
            key,
            created_at,
            expires_at,
        };
        let wrapped = codec::wrap(DataType::PurposeKeyAttestation, &data.encode());
        Ok(Self {
            identity: identity.clone(),
            digest: codec::digest(&wrapped),
            wrapped,
        })
    }

    /// The 32 bytes that the identity's latest key signs.
    #[must_use]
    pub const fn to_sign(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Puts the signature in place.
    ///
    /// # Errors
    /// [`AttestationError::Signature`] if it is not the identity's latest key's.
    pub fn finish(self, signature: Signature) -> Result<Attestation, AttestationError> {
        self.identity
            .latest_key()
            .verify(&self.digest, &signature)?;
        let mut writer = Writer::vec();
        writer.array(2).bytes(&self.wrapped);
        codec::write_signature(&mut writer, &signature);
        Attestation::decode(&writer.into_sink())
    }
}

impl Data {
    fn decode(data: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        let mut fields = reader.array()?;
        fields.expect(&mut reader, "subject")?;
        let subject = Identifier::from_bytes(reader.byte_array()?);
        fields.expect(&mut reader, "subject_latest_change_hash")?;
        let change = ChangeHash::from_bytes(reader.byte_array()?);
        fields.expect(&mut reader, "public_key")?;
        let key = read_purpose_key(&mut reader)?;
        fields.expect(&mut reader, "created_at")?;
        let created_at = UnixSeconds(reader.u64()?);
        fields.expect(&mut reader, "expires_at")?;
        let expires_at = UnixSeconds(reader.u64()?);
        fields.skip_rest(&mut reader)?;
        Ok(Self {
            subject,
            change,
            key,
            created_at,
            expires_at,
        })
    }

    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::vec();
        writer
            .array(5)
            .bytes(self.subject.as_bytes())
            .bytes(self.change.as_bytes());
        match &self.key {
            PurposeKey::SecureChannel(key) => {
                writer.array(2).unsigned(0).array(1).bytes(&key.0);
            }
            PurposeKey::CredentialSigning(key) => {
                writer.array(2).unsigned(1).array(1);
                codec::write_verifying_key(&mut writer, key);
            }
            PurposeKey::HybridStatic(key) => {
                writer.array(2).unsigned(3).array(1).bytes(&key.0);
            }
        }
        writer
            .unsigned(self.created_at.0)
            .unsigned(self.expires_at.0);
        writer.into_sink()
    }
}

fn read_purpose_key(reader: &mut Reader<'_>) -> Result<PurposeKey, DecodeError> {
    let mut variant = Variant::read(reader)?;
    variant.field(reader, "purpose key")?;
    let key = match variant.number {
        0 => PurposeKey::SecureChannel(DhPublic(reader.byte_array()?)),
        1 => PurposeKey::CredentialSigning(codec::read_verifying_key(reader)?),
        3 => PurposeKey::HybridStatic(DhPublic(reader.byte_array()?)),
        value => {
            let what = "purpose key type";
            return Err(DecodeError::Unknown { what, value });
        }
    };
    variant.finish(reader)?;
    Ok(key)
}
