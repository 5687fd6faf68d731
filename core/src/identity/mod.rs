//! Identities: histories of primary keys, and the purpose keys they attest (reference, section 3).
//!
//! An [`Identity`] is a verified history and keeps the bytes it was received in: what is signed and
//! hashed is those bytes, never a re-encoding. Signing goes through a boundary: a [`PendingChange`]
//! or [`PendingAttestation`] yields the 32 bytes to sign and takes the signature back, so that the
//! key may live elsewhere.

mod attestation;
mod codec;
mod error;
mod history;
mod identifier;
mod pending;

pub use attestation::{
    Attestation, CLOCK_SKEW_SECONDS, MAX_ATTESTATION_LEN, PURPOSE_KEY_SECONDS, PendingAttestation,
    PurposeKey,
};
pub use error::{AttestationError, IdentityError, SignedDataError};
pub use history::{
    Change, Evolution, Identity, MAX_CHANGES, MAX_HISTORY_LEN, UnverifiedIdentity, Validity,
};
pub use identifier::{ChangeHash, Identifier, ParseIdentifierError};
pub use pending::{IDENTITY_SECONDS, PendingChange, Rotation};
