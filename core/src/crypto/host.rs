//! The backend for hosts: aws-lc, and the data path's AES-GCM at the speed of the machine ([`gcm`](super::gcm)).

use core::fmt;

use aws_lc_rs::{
    agreement, digest, hmac,
    signature::{ECDSA_P256_SHA256_FIXED, ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::gcm::{Fastest, whichever};
pub use super::ml_kem::{DecapsulationKey, EncapsulationKey, KEM_SEED_LEN};
use super::portable::{P256Secret, generate};
use super::types::HKDF_MAX;
pub use super::types::{
    CIPHERTEXT_LEN, DhError, DhPublic, Digest, ENCAPSULATION_KEY_LEN, InvalidEncapsulationKey,
    KEY_LEN, KeyError, KeyType, NONCE_LEN, SharedSecret, Signature, SignatureError, TAG_LEN,
    TagMismatch, VerifyingKey,
};
#[cfg(sealway_weaken)]
use crate::weaken;

/// SHA-256 over the concatenation of `parts`.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = digest::Context::new(&digest::SHA256);
    for part in parts {
        hash.update(part);
    }
    let digest = hash.finish();
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// HMAC-SHA256 (RFC 2104) over the concatenation of `parts`; `key` may have any length.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    hmac_with(&hmac::Key::new(hmac::HMAC_SHA256, key), parts)
}

fn hmac_with(key: &hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = hmac::Context::with_key(key);
    for part in parts {
        mac.update(part);
    }
    let tag = mac.sign();
    tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
}

/// HKDF-SHA256 (RFC 5869), extract and expand, filling `out`.
///
/// Written over HMAC, because aws-lc-rs leaves copies of its pseudo-random key unwiped.
///
/// # Panics
/// If `out` is longer than 255 * 32 bytes: lengths come from the protocol, not from a peer.
pub fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[u8], out: &mut [u8]) {
    assert!(out.len() <= HKDF_MAX, "HKDF-SHA256 yields 8160 bytes");
    let prk = Zeroizing::new(hmac_sha256(salt, &[ikm]));
    let prk = hmac::Key::new(hmac::HMAC_SHA256, prk.as_ref());
    let mut block = Zeroizing::new([0; 32]);
    let mut previous: usize = 0;
    for (chunk, counter) in out.chunks_mut(32).zip(1u8..=255) {
        let (before, _) = block.split_at(previous);
        *block = hmac_with(&prk, &[before, info, &[counter]]);
        let (front, _) = block.split_at(chunk.len());
        chunk.copy_from_slice(front);
        previous = block.len();
    }
}

/// A secret signing key; wiped on drop.
pub struct SigningKey(Secret);

enum Secret {
    Ed25519 {
        seed: Zeroizing<[u8; 32]>,
        pair: Ed25519KeyPair,
    },
    P256(P256Secret),
}

impl SigningKey {
    /// Draws a new key.
    pub fn generate(key_type: KeyType, rng: &mut impl CryptoRng) -> Self {
        generate(rng, |bytes| Self::from_bytes(key_type, bytes))
    }

    /// The key with these secret bytes: an Ed25519 seed (RFC 8032, 5.1.5) or a P-256 scalar,
    /// big-endian.
    ///
    /// # Errors
    /// [`KeyError`] if a P-256 scalar is zero or not below the order of the curve.
    pub fn from_bytes(key_type: KeyType, bytes: &[u8; 32]) -> Result<Self, KeyError> {
        Ok(Self(match key_type {
            KeyType::Ed25519 => Secret::Ed25519 {
                seed: Zeroizing::new(*bytes),
                pair: Ed25519KeyPair::from_seed_unchecked(bytes)
                    .map_err(|_| KeyError(KeyType::Ed25519))?,
            },
            KeyType::P256 => Secret::P256(P256Secret::from_bytes(bytes)?),
        }))
    }

    /// Which kind of key this is.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self.0 {
            Secret::Ed25519 { .. } => KeyType::Ed25519,
            Secret::P256(_) => KeyType::P256,
        }
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Secret::Ed25519 { pair, .. } => VerifyingKey::Ed25519(
                (pair.public_key().as_ref())
                    .try_into()
                    .expect("an Ed25519 public key has 32 bytes"),
            ),
            Secret::P256(key) => key.verifying_key(),
        }
    }

    /// Signs `message`, the same signature each time: Ed25519 over the message as it is,
    /// ECDSA P-256 over its SHA-256 (RFC 6979, the smaller of the two `s`).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        match &self.0 {
            Secret::Ed25519 { pair, .. } => Signature::Ed25519(
                (pair.sign(message).as_ref())
                    .try_into()
                    .expect("an Ed25519 signature has 64 bytes"),
            ),
            Secret::P256(key) => key.sign(message),
        }
    }

    /// The secret bytes, as [`SigningKey::from_bytes`] takes them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        match &self.0 {
            Secret::Ed25519 { seed, .. } => seed.clone(),
            Secret::P256(key) => key.to_bytes(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Verifies `signature` over `message`.
///
/// Ed25519 as RFC 8032 without the cofactor, as the reference does it (section 3.2), but keys of
/// small order or with a y of 2^255 - 19 or more are refused. ECDSA P-256 hashes `message` with
/// SHA-256 and accepts the larger `s` as well as the smaller, because the reference emits either.
/// So a P-256 signature can be altered into another valid one: no protocol may take a signature's
/// bytes for a name of what was signed.
///
/// # Errors
/// [`SignatureError`] where types differ, the key is unusable, or the signature does not fit.
pub fn verify(
    key: &VerifyingKey,
    message: &[u8],
    signature: &Signature,
) -> Result<(), SignatureError> {
    key.check()?;
    if key.key_type() != signature.key_type() {
        return Err(SignatureError::TypeMismatch {
            key: key.key_type(),
            signature: signature.key_type(),
        });
    }
    let bytes = key.as_bytes();
    let key = match key {
        VerifyingKey::Ed25519(_) => UnparsedPublicKey::new(&ED25519, bytes),
        VerifyingKey::P256(_) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes),
    };
    let key = key.parse().map_err(|_| SignatureError::InvalidKey)?;
    key.verify_sig(message, signature.as_bytes())
        .map_err(|_| SignatureError::Mismatch)
}

/// A secret X25519 key (RFC 7748) and its public half; wiped on drop.
pub struct DhSecret {
    bytes: Zeroizing<[u8; 32]>,
    secret: agreement::PrivateKey,
    public: DhPublic,
}

impl DhSecret {
    /// Draws a new key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(bytes.as_mut());
        Self::from_bytes(*bytes)
    }

    /// The key with these secret bytes; any 32 bytes are one.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let secret = agreement::PrivateKey::from_private_key(&agreement::X25519, bytes.as_ref())
            .expect("any 32 bytes are an X25519 secret");
        let public = secret
            .compute_public_key()
            .expect("every X25519 secret has a public key");
        let public = public.as_ref().try_into();
        let public = DhPublic(public.expect("an X25519 public key has 32 bytes"));
        Self {
            bytes,
            secret,
            public,
        }
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> DhPublic {
        self.public
    }

    /// The secret shared with the holder of `peer`.
    ///
    /// # Errors
    /// [`DhError`] if it is all zero, that is, if `peer` is of small order. The reference has no
    /// such check (section 4.1); no honest key is refused by it.
    pub fn agree(&self, peer: &DhPublic) -> Result<SharedSecret, DhError> {
        let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, peer.0);
        agreement::agree(&self.secret, peer, DhError, |output| {
            SharedSecret::contributory(output.try_into().map_err(|_| DhError)?)
        })
    }

    /// The secret bytes, as [`DhSecret::from_bytes`] takes them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        self.bytes.clone()
    }
}

impl fmt::Debug for DhSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DhSecret(..)")
    }
}

/// An AES-256-GCM key, with its key schedule set up once; wiped on drop.
///
/// Of the implementations in [`gcm`](super::gcm), the one that is the fastest on this processor.
pub struct AeadKey(Fastest);

impl AeadKey {
    /// Sets up the cipher for `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Fastest::new(key))
    }

    /// Encrypts `in_out` in place and returns the tag over it and `associated_data`.
    ///
    /// A nonce must never be used twice with one key.
    ///
    /// # Panics
    /// If `in_out` is longer than 2^36 - 32 bytes (NIST SP 800-38D, 5.2.1.1), far above any frame.
    #[must_use]
    pub fn seal_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated_data: &[u8],
        in_out: &mut [u8],
    ) -> [u8; TAG_LEN] {
        #[cfg(sealway_weaken)]
        if weaken::off(weaken::Check::Encryption) {
            return [0; TAG_LEN];
        }
        whichever!(&self.0, key => key.seal_in_place(nonce, associated_data, in_out))
    }

    /// Decrypts `in_out`, which is `ciphertext || tag`, in place and returns the length of the
    /// plaintext at its front.
    ///
    /// # Errors
    /// [`TagMismatch`] if the tag does not fit or `in_out` is shorter than one. What `in_out`
    /// holds then is unspecified; it is never the plaintext.
    pub fn open_in_place(
        &self,
        nonce: &[u8; NONCE_LEN],
        associated_data: &[u8],
        in_out: &mut [u8],
    ) -> Result<usize, TagMismatch> {
        #[cfg(sealway_weaken)]
        if let Some(opened) = self.open_weakened(nonce, in_out) {
            return opened;
        }
        whichever!(&self.0, key => key.open_in_place(nonce, associated_data, in_out))
    }

    /// Opens without a check, where one is switched off. GCM is CTR mode, so that sealing the
    /// ciphertext again yields the plaintext.
    #[cfg(sealway_weaken)]
    fn open_weakened(
        &self,
        nonce: &[u8; NONCE_LEN],
        in_out: &mut [u8],
    ) -> Option<Result<usize, TagMismatch>> {
        let plain = weaken::off(weaken::Check::Encryption);
        if !plain && !weaken::off(weaken::Check::Tag) {
            return None;
        }
        let Some((text, tag)) = in_out.split_last_chunk_mut::<TAG_LEN>() else {
            return Some(Err(TagMismatch));
        };
        if !plain {
            let _tag = self.seal_in_place(nonce, b"", text);
        } else if *tag != [0; TAG_LEN] {
            return Some(Err(TagMismatch));
        }
        Some(Ok(text.len()))
    }
}

impl fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AeadKey(..)")
    }
}
