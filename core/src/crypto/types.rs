//! What both backends share: public keys, signatures, shared secrets, errors, and the rules on
//! keys that must not depend on the backend.

use core::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Length in bytes of an AES-256 key.
pub const KEY_LEN: usize = 32;
/// Length in bytes of a GCM nonce (NIST SP 800-38D, 5.2.1.1: 96 bits).
pub const NONCE_LEN: usize = 12;
/// Length in bytes of a GCM tag (reference, section 4.1).
pub const TAG_LEN: usize = 16;

/// Length in bytes of an ML-KEM-768 encapsulation key (FIPS 203, table 3).
pub const ENCAPSULATION_KEY_LEN: usize = 1184;
/// Length in bytes of an ML-KEM-768 ciphertext (FIPS 203, table 3).
pub const CIPHERTEXT_LEN: usize = 1088;

/// Longest output in bytes of HKDF-SHA256 (RFC 5869, 2.3: 255 blocks).
pub(super) const HKDF_MAX: usize = 255 * 32;

/// A SHA-256 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// The kinds of signing keys (reference, section 3.1: `PrimaryPublicKey`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyType {
    /// Ed25519 (RFC 8032), the default of identities.
    Ed25519,
    /// ECDSA over P-256 with SHA-256 (FIPS 186-5).
    P256,
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 => "Ed25519",
            Self::P256 => "P-256",
        })
    }
}

/// The public half of a [`SigningKey`](super::SigningKey).
///
/// Any bytes can stand here: whether they are a key is decided where a signature is verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum VerifyingKey {
    /// The compressed point, 32 bytes (RFC 8032, 5.1.2).
    Ed25519([u8; 32]),
    /// The uncompressed point, 65 bytes: `04 || x || y` (SEC 1, 2.3.3).
    P256([u8; 65]),
}

impl VerifyingKey {
    /// Which kind of key this is.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::Ed25519,
            Self::P256(_) => KeyType::P256,
        }
    }

    /// The encoded point: 32 bytes of Ed25519, 65 of P-256.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Ed25519(bytes) => bytes,
            Self::P256(bytes) => bytes,
        }
    }

    /// Refuses keys on which the backends, or the reference and we, could disagree, and keys
    /// whose signatures bind nothing.
    pub(super) fn check(&self) -> Result<(), SignatureError> {
        let acceptable = match self {
            Self::Ed25519(bytes) => is_acceptable_ed25519(bytes),
            // Other leading bytes are SEC 1's compressed and hybrid forms.
            Self::P256(bytes) => bytes.first() == Some(&0x04),
        };
        if acceptable {
            Ok(())
        } else {
            Err(SignatureError::InvalidKey)
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({} ", self.key_type())?;
        write_hex(f, self.as_bytes())?;
        f.write_str(")")
    }
}

/// y coordinates, little-endian, of the eight points whose order divides eight. Under such a
/// "key" one signature fits most messages (RFC 8032, 8.9 and section 7 of RFC 7748).
const ED25519_SMALL_ORDER_Y: [[u8; 32]; 5] = [
    // 0: order 4
    [0; 32],
    // 1: the neutral point
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    // -1: order 2
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    // order 8, both signs of y
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Whether y is in canonical form (below 2^255 - 19) and the point is not of small order.
fn is_acceptable_ed25519(key: &[u8; 32]) -> bool {
    let mut y = *key;
    let [first, middle @ .., last] = &mut y;
    *last &= 0x7f;
    let canonical = *last != 0x7f || *first < 0xed || middle.iter().any(|&byte| byte != 0xff);
    canonical && !ED25519_SMALL_ORDER_Y.contains(&y)
}

/// A signature of 64 bytes, with the type of the key that made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signature {
    /// `R || S` (RFC 8032, 5.1.6).
    Ed25519([u8; 64]),
    /// `r || s`, each 32 bytes big-endian (the reference's "fixed" form, section 3.2).
    P256([u8; 64]),
}

impl Signature {
    /// Which kind of key made this signature.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::Ed25519,
            Self::P256(_) => KeyType::P256,
        }
    }

    /// The 64 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 64] {
        match self {
            Self::Ed25519(bytes) | Self::P256(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({} ", self.key_type())?;
        write_hex(f, self.as_bytes())?;
        f.write_str(")")
    }
}

/// An X25519 public key, 32 bytes (RFC 7748, 5): any bytes are one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DhPublic(pub [u8; 32]);

impl DhPublic {
    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for DhPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DhPublic(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// The output of a key agreement, which is never all zero, or of an encapsulation: 32 bytes, wiped on
/// drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret([u8; 32]);

impl SharedSecret {
    /// Takes over the output of X25519 and refuses the all-zero one, which a peer's point of
    /// small order yields whatever our secret is (RFC 7748, 6.1).
    pub(super) fn contributory(mut output: [u8; 32]) -> Result<Self, DhError> {
        // All bytes are looked at, so that the time does not tell where the first non-zero one is.
        let any = output.iter().fold(0, |any, byte| any | byte);
        let result = if any == 0 {
            Err(DhError)
        } else {
            Ok(Self(output))
        };
        output.zeroize();
        result
    }

    /// Takes over the secret of an encapsulation.
    pub(super) const fn encapsulated(secret: [u8; 32]) -> Self {
        Self(secret)
    }

    /// The 32 bytes; they are to be fed to a key derivation, not to be used as a key.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

/// These bytes are no secret key of the type asked for: zero, or not below the order of P-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("secret key out of range for {0}")]
pub struct KeyError(pub KeyType);

/// Why a signature was not accepted. All of it is the fault of who made key and signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// A signature of one type for a key of the other.
    #[error("{signature} signature under a {key} key")]
    TypeMismatch {
        /// The key's type.
        key: KeyType,
        /// The signature's type.
        signature: KeyType,
    },
    /// The verifying key is no point of P-256, or an Ed25519 key that is of small order or not in
    /// its one canonical form.
    #[error("unusable verifying key")]
    InvalidKey,
    /// The signature does not fit key and message (an Ed25519 key that is no point fits nothing).
    #[error("signature does not verify")]
    Mismatch,
}

/// The peer's public key leads to an all-zero shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("public key of small order")]
pub struct DhError;

/// The encapsulation key has a coefficient that is not below the modulus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("encapsulation key is not reduced modulo 3329")]
pub struct InvalidEncapsulationKey;

/// The ciphertext, its associated data, nonce or key is not what was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("authentication tag does not match")]
pub struct TagMismatch;

/// Writes `bytes` as lower-case hex.
fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}
