//! SymmetricState with the CipherState inside it (Noise rev 34, 5.1 and 5.2).

use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::{NoiseError, TAG_LEN};
use crate::crypto::{AeadKey, SharedSecret, hkdf_sha256, sha256};

/// Chaining key, transcript hash and the handshake cipher.
///
/// Cloning is how a caller tries a received message on a copy and commits only if it verifies.
#[derive(Clone)]
pub struct SymmetricState {
    ck: Zeroizing<[u8; 32]>,
    h: [u8; 32],
    cipher: Option<CipherState>,
}

/// The handshake key and its nonce. The raw key is kept, not a cipher object: a handshake uses each
/// key at most twice, and copies must be cheap.
#[derive(Clone)]
struct CipherState {
    k: Zeroizing<[u8; 32]>,
    n: u64,
}

impl SymmetricState {
    /// `InitializeSymmetric(name)`, then `MixHash(prologue)`.
    ///
    /// A name of up to 32 bytes is padded with zeros, a longer one hashed.
    #[must_use]
    pub fn new(name: &str, prologue: &[u8]) -> Self {
        let name = name.as_bytes();
        let mut h = [0; 32];
        match h.get_mut(..name.len()) {
            Some(start) => start.copy_from_slice(name),
            None => h = sha256(&[name]),
        }
        let mut state = Self {
            ck: Zeroizing::new(h),
            h,
            cipher: None,
        };
        state.mix_hash(prologue);
        state
    }

    /// The transcript hash `h`.
    #[must_use]
    pub const fn handshake_hash(&self) -> &[u8; 32] {
        &self.h
    }

    /// `h`, `ck` and `k`, for the vectors; `k` is zero before the first `MixKey`.
    #[cfg(test)]
    pub(super) fn variables(&self) -> [[u8; 32]; 3] {
        let k = self.cipher.as_ref().map_or([0; 32], |cipher| *cipher.k);
        [self.h, *self.ck, k]
    }

    /// `h = SHA-256(h || data)`.
    pub fn mix_hash(&mut self, data: &[u8]) {
        self.h = sha256(&[&self.h, data]);
    }

    /// `ck, k = HKDF(ck, shared)`; the nonce starts again at 0.
    pub fn mix_key(&mut self, shared: &SharedSecret) {
        let (ck, k) = self.hkdf(shared.as_bytes());
        self.ck = ck;
        self.cipher = Some(CipherState { k, n: 0 });
    }

    /// Appends `EncryptAndHash(plaintext)` to `out`: the plaintext itself before the first key,
    /// ciphertext and 16-byte tag after it.
    pub fn encrypt_and_hash(&mut self, plaintext: &[u8], out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(plaintext);
        if let Some(cipher) = &mut self.cipher {
            let in_out = out.get_mut(start..).unwrap_or_default();
            let tag = AeadKey::new(&cipher.k).seal_in_place(&nonce(cipher.n), &self.h, in_out);
            cipher.n += 1;
            out.extend_from_slice(&tag);
        }
        let ciphertext = out.get(start..).unwrap_or_default();
        self.h = sha256(&[&self.h, ciphertext]);
    }

    /// `DecryptAndHash(ciphertext)`.
    ///
    /// # Errors
    /// [`NoiseError::TooShort`] without room for a tag, [`NoiseError::Forged`] if the tag does not
    /// verify. The state is then as it was.
    pub fn decrypt_and_hash(&mut self, ciphertext: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let mut in_out = ciphertext.to_vec();
        if let Some(cipher) = &mut self.cipher {
            if ciphertext.len() < TAG_LEN {
                return Err(NoiseError::TooShort {
                    got: ciphertext.len(),
                });
            }
            let len = AeadKey::new(&cipher.k)
                .open_in_place(&nonce(cipher.n), &self.h, &mut in_out)
                .map_err(|_| NoiseError::Forged)?;
            in_out.truncate(len);
            cipher.n += 1;
        }
        self.mix_hash(ciphertext);
        Ok(in_out)
    }

    /// `Split()`: the two transport keys, in the order of the HKDF's outputs.
    #[must_use]
    pub fn split(&self) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
        self.hkdf(&[])
    }

    fn hkdf(&self, ikm: &[u8]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
        let mut out = Zeroizing::new([0; 64]);
        hkdf_sha256(self.ck.as_slice(), ikm, &[], out.as_mut_slice());
        let (mut first, mut second) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 32]));
        let (a, b) = out.split_at(32);
        first.copy_from_slice(a);
        second.copy_from_slice(b);
        (first, second)
    }
}

impl fmt::Debug for SymmetricState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SymmetricState(..)")
    }
}

/// The 96-bit nonce of a message number: 4 zero bytes, then the number big-endian.
pub(crate) fn nonce(n: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    let (_, counter) = nonce.split_at_mut(4);
    counter.copy_from_slice(&n.to_be_bytes());
    nonce
}
