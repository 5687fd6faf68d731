//! Keys, signatures, key agreement, hashes and AEAD: the primitives of the reference, section 4.1
//! (X25519, SHA-256, HKDF, AES-256-GCM) and section 3.2 (Ed25519, ECDSA P-256); and ML-KEM-768 (FIPS 203).
//!
//! Two backends offer the same items and yield the same bytes: [`host`] on aws-lc (feature
//! `aws-lc`; its AES-256-GCM comes from ring where that is faster, see [`gcm`]), [`portable`] on pure-Rust crates. This module offers the host's where it is built,
//! otherwise the portable one's. Two things are pure Rust in both: ECDSA P-256 signing, because only
//! there the nonce is derived from key and message (RFC 6979), and ML-KEM, because only there its
//! randomness is an argument.
//!
//! Randomness is an argument: [`CryptoRng`] of `rand_core`.

#[cfg(feature = "aws-lc")]
pub mod gcm;
#[cfg(feature = "aws-lc")]
pub mod host;
mod ml_kem;
pub mod portable;
mod types;

#[cfg(feature = "aws-lc")]
use host as default_backend;
#[cfg(not(feature = "aws-lc"))]
use portable as default_backend;

pub use default_backend::{
    AeadKey, DhSecret, SigningKey, hkdf_sha256, hmac_sha256, sha256, verify,
};
pub use ml_kem::{DecapsulationKey, EncapsulationKey, KEM_SEED_LEN};
pub use rand_core::CryptoRng;
pub use types::{
    CIPHERTEXT_LEN, DhError, DhPublic, Digest, ENCAPSULATION_KEY_LEN, InvalidEncapsulationKey,
    KEY_LEN, KeyError, KeyType, NONCE_LEN, SharedSecret, Signature, SignatureError, TAG_LEN,
    TagMismatch, VerifyingKey,
};

impl Digest {
    /// SHA-256 over the concatenation of `parts`.
    #[must_use]
    pub fn sha256(parts: &[&[u8]]) -> Self {
        Self(sha256(parts))
    }
}

impl VerifyingKey {
    /// Verifies `signature` over `message` with the default backend; the rules are those of
    /// [`verify`].
    ///
    /// # Errors
    /// [`SignatureError`] where the key or the signature is not acceptable.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureError> {
        verify(self, message, signature)
    }
}
