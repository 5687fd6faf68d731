//! The backend of pure-Rust crates: everything on targets without an operating system, ECDSA
//! P-256 signing everywhere.

use core::fmt;

use aes_gcm::{
    Aes256Gcm,
    aead::{AeadInOut, KeyInit, inout::InOutBuf},
};
use ed25519_dalek::{Signer as _, Verifier as _};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use p256::ecdsa;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use super::ml_kem::{DecapsulationKey, EncapsulationKey, KEM_SEED_LEN};
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
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

/// HMAC-SHA256 (RFC 2104) over the concatenation of `parts`; `key` may have any length.
#[must_use]
pub fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac =
        <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// HKDF-SHA256 (RFC 5869), extract and expand, filling `out`.
///
/// # Panics
/// If `out` is longer than 255 * 32 bytes: lengths come from the protocol, not from a peer.
pub fn hkdf_sha256(salt: &[u8], ikm: &[u8], info: &[u8], out: &mut [u8]) {
    assert!(out.len() <= HKDF_MAX, "HKDF-SHA256 yields 8160 bytes");
    Hkdf::<Sha256>::new(Some(salt), ikm)
        .expand(info, out)
        .expect("the length was checked above");
}

/// A secret signing key; wiped on drop.
pub struct SigningKey(Secret);

enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
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
            KeyType::Ed25519 => Secret::Ed25519(ed25519_dalek::SigningKey::from_bytes(bytes)),
            KeyType::P256 => Secret::P256(P256Secret::from_bytes(bytes)?),
        }))
    }

    /// Which kind of key this is.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        match self.0 {
            Secret::Ed25519(_) => KeyType::Ed25519,
            Secret::P256(_) => KeyType::P256,
        }
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            Secret::Ed25519(key) => VerifyingKey::Ed25519(key.verifying_key().to_bytes()),
            Secret::P256(key) => key.verifying_key(),
        }
    }

    /// Signs `message`, the same signature each time: Ed25519 over the message as it is,
    /// ECDSA P-256 over its SHA-256 (RFC 6979, the smaller of the two `s`).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        match &self.0 {
            Secret::Ed25519(key) => Signature::Ed25519(key.sign(message).to_bytes()),
            Secret::P256(key) => key.sign(message),
        }
    }

    /// The secret bytes, as [`SigningKey::from_bytes`] takes them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        match &self.0 {
            Secret::Ed25519(key) => Zeroizing::new(key.to_bytes()),
            Secret::P256(key) => key.to_bytes(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

/// Draws bytes until they are a key; for P-256 all but one in 2^32 are.
pub(super) fn generate<K>(
    rng: &mut impl CryptoRng,
    key: impl Fn(&[u8; 32]) -> Result<K, KeyError>,
) -> K {
    let mut bytes = Zeroizing::new([0; 32]);
    loop {
        rng.fill_bytes(bytes.as_mut());
        if let Ok(key) = key(&bytes) {
            return key;
        }
    }
}

/// A P-256 secret, used by both backends; wiped on drop.
pub(super) struct P256Secret(ecdsa::SigningKey);

impl P256Secret {
    pub(super) fn from_bytes(bytes: &[u8; 32]) -> Result<Self, KeyError> {
        let key =
            ecdsa::SigningKey::from_bytes(&(*bytes).into()).map_err(|_| KeyError(KeyType::P256))?;
        Ok(Self(key))
    }

    pub(super) fn verifying_key(&self) -> VerifyingKey {
        let point = self.0.verifying_key().to_sec1_point(false);
        let bytes = point.as_bytes().try_into();
        VerifyingKey::P256(bytes.expect("an uncompressed point has 65 bytes"))
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        let signature: ecdsa::Signature = self.0.sign(message);
        Signature::P256(signature.normalize_s().to_bytes().into())
    }

    pub(super) fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes().into())
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
    match (key, signature) {
        (VerifyingKey::Ed25519(key), Signature::Ed25519(signature)) => {
            let signature = ed25519_dalek::Signature::from_bytes(signature);
            // aws-lc does not tell a y without a point from a signature that does not fit.
            ed25519_dalek::VerifyingKey::from_bytes(key)
                .and_then(|key| key.verify(message, &signature))
        }
        (VerifyingKey::P256(key), Signature::P256(signature)) => {
            let key = ecdsa::VerifyingKey::from_sec1_bytes(key)
                .map_err(|_| SignatureError::InvalidKey)?;
            ecdsa::Signature::from_slice(signature)
                .and_then(|signature| key.verify(message, &signature))
        }
        _ => {
            return Err(SignatureError::TypeMismatch {
                key: key.key_type(),
                signature: signature.key_type(),
            });
        }
    }
    .map_err(|_| SignatureError::Mismatch)
}

/// A secret X25519 key (RFC 7748) and its public half; wiped on drop.
pub struct DhSecret {
    secret: x25519_dalek::StaticSecret,
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
        let secret = x25519_dalek::StaticSecret::from(bytes);
        let public = DhPublic(x25519_dalek::PublicKey::from(&secret).to_bytes());
        Self { secret, public }
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
        let peer = x25519_dalek::PublicKey::from(peer.0);
        SharedSecret::contributory(self.secret.diffie_hellman(&peer).to_bytes())
    }

    /// The secret bytes, as [`DhSecret::from_bytes`] takes them.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }
}

impl fmt::Debug for DhSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DhSecret(..)")
    }
}

/// An AES-256-GCM key, with its key schedule set up once; wiped on drop.
pub struct AeadKey(Aes256Gcm);

impl AeadKey {
    /// Sets up the cipher for `key`.
    #[must_use]
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        Self(Aes256Gcm::new(&(*key).into()))
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
        self.0
            .encrypt_inout_detached(&(*nonce).into(), associated_data, InOutBuf::from(in_out))
            .expect("shorter than 64 GiB")
            .into()
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
        let (text, tag) = in_out
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(TagMismatch)?;
        let len = text.len();
        self.0
            .decrypt_inout_detached(
                &(*nonce).into(),
                associated_data,
                InOutBuf::from(text),
                &(*tag).into(),
            )
            .map_err(|_| TagMismatch)?;
        Ok(len)
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
