//! Why histories and attestations are refused.

use thiserror::Error;

use super::Identifier;
use super::history::{MAX_CHANGES, MAX_HISTORY_LEN};
use crate::UnixSeconds;
use crate::crypto::SignatureError;
use crate::wire::DecodeError;

/// Why a signed object's wrapper was refused (reference, section 3.1, `VersionedData`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignedDataError {
    /// The bytes are not the structure's encoding.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Another format version than 1.
    #[error("signed data of version {got} instead of 1")]
    Version {
        /// The version found.
        got: u64,
    },
    /// An object of another kind in this place.
    #[error("signed data of type {got} instead of {expected}")]
    DataType {
        /// The type found.
        got: u64,
        /// The type of what is read here.
        expected: u8,
    },
}

/// Why a history was refused. `change` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// The bytes are not a history's encoding.
    #[error(transparent)]
    Data(#[from] SignedDataError),
    /// There is no change.
    #[error("history is empty")]
    Empty,
    /// More changes than are accepted.
    #[error("history of more than {MAX_CHANGES} changes")]
    TooManyChanges,
    /// More bytes than are accepted.
    #[error("history of {got} bytes exceeds {MAX_HISTORY_LEN}")]
    TooLong {
        /// Length in bytes.
        got: usize,
    },
    /// A change does not name its predecessor's hash, or the first one names any.
    #[error("change {change} does not follow the one before it")]
    WrongPrevious {
        /// The change at fault.
        change: usize,
    },
    /// A change begins earlier than its predecessor, or ends before it begins.
    #[error("change {change} has an impossible validity period")]
    WrongPeriod {
        /// The change at fault.
        change: usize,
    },
    /// A change was made after the key that had to sign it had expired.
    #[error("change {change} was signed by an expired key")]
    KeyExpired {
        /// The change at fault.
        change: usize,
    },
    /// A change lacks the signature of the key it replaces.
    #[error("change {change} lacks the previous key's signature")]
    MissingPreviousSignature {
        /// The change at fault.
        change: usize,
    },
    /// A signature does not verify.
    #[error("change {change}: {error}")]
    Signature {
        /// The change at fault.
        change: usize,
        /// What is wrong with the signature.
        error: SignatureError,
    },
    /// It is somebody else's history.
    #[error("history of {found} instead of {expected}")]
    WrongIdentifier {
        /// The identity asked for.
        expected: Identifier,
        /// The identity presented.
        found: Identifier,
    },
}

impl From<DecodeError> for IdentityError {
    fn from(error: DecodeError) -> Self {
        Self::Data(error.into())
    }
}

/// Why an attestation was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AttestationError {
    /// The bytes are not an attestation's encoding.
    #[error(transparent)]
    Data(#[from] SignedDataError),
    /// More bytes than are accepted.
    #[error("attestation of {got} bytes is too long")]
    TooLong {
        /// Length in bytes.
        got: usize,
    },
    /// It attests a key of somebody else.
    #[error("attestation of {found} instead of {expected}")]
    WrongSubject {
        /// The identity asked for.
        expected: Identifier,
        /// The identity it is about.
        found: Identifier,
    },
    /// It was not made under the identity's latest change.
    #[error("attestation was not made under the identity's latest key")]
    OutdatedChange,
    /// It ends later than the key that signed it.
    #[error("attestation outlives the identity's key")]
    OutlivesKey,
    /// It was made before the key that signed it was valid.
    #[error("attestation is older than the identity's key")]
    PredatesKey,
    /// It was made in the future, beyond what clocks may differ.
    #[error("attestation was made at {created_at:?}, which is in the future")]
    NotYetValid {
        /// When it was made.
        created_at: UnixSeconds,
    },
    /// It has expired.
    #[error("attestation expired at {expires_at:?}")]
    Expired {
        /// When it expired.
        expires_at: UnixSeconds,
    },
    /// The identity's own key has expired: it can attest nothing until it is rotated.
    #[error("identity's key expired at {valid_until:?}")]
    KeyExpired {
        /// When the key expired.
        valid_until: UnixSeconds,
    },
    /// The signature does not verify.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl From<DecodeError> for AttestationError {
    fn from(error: DecodeError) -> Self {
        Self::Data(error.into())
    }
}
