//! ML-KEM-768 (FIPS 203), for both backends: libcrux's, which is formally verified (no panics, the
//! right result, no dependence of time on secrets) and uses AVX2 or NEON where the processor has them.
//!
//! Not aws-lc's on hosts: aws-lc-rs draws the randomness of its KEM itself and takes no seed, so that
//! it could neither obey "randomness is an argument" nor reproduce a vector. It is the oracle of the
//! conformance suite instead.

use alloc::boxed::Box;
use core::fmt;
use core::ops::IndexMut as _;

use libcrux_ml_kem::mlkem768::{
    self, MlKem768Ciphertext, MlKem768PrivateKey, MlKem768PublicKey, validate_public_key,
};
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use super::types::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN, InvalidEncapsulationKey, SharedSecret};

/// Length in bytes of the seed of a key pair (FIPS 203, 7.1: `d || z`).
pub const KEM_SEED_LEN: usize = 64;

/// Where in an encoded decapsulation key the encapsulation key lies (FIPS 203, algorithm 16:
/// `dk_PKE || ek || H(ek) || z`).
const ENCAPSULATION_KEY_AT: usize = 1152;

/// A secret decapsulation key; wiped on drop. It is meant to be used for one exchange.
///
/// Boxed, so that a move leaves no copy behind.
pub struct DecapsulationKey(Box<MlKem768PrivateKey>);

impl DecapsulationKey {
    /// Draws a new key pair (FIPS 203, algorithm 19): 64 bytes of `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; KEM_SEED_LEN]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_seed(&seed)
    }

    /// The key pair of a seed, `d || z`; any 64 bytes are one.
    #[must_use]
    pub fn from_seed(seed: &[u8; KEM_SEED_LEN]) -> Self {
        let (mut secret, _public) = mlkem768::generate_key_pair(*seed).into_parts();
        let boxed = Self(Box::new(secret.clone()));
        wipe(&mut secret);
        boxed
    }

    /// The public half, encoded.
    #[must_use]
    pub fn encapsulation_key(&self) -> [u8; ENCAPSULATION_KEY_LEN] {
        let encoded = self.0.as_slice().get(ENCAPSULATION_KEY_AT..);
        *encoded
            .and_then(|from| from.first_chunk())
            .expect("a decapsulation key has 2,400 bytes")
    }

    /// The secret that `ciphertext` encapsulates (FIPS 203, algorithm 21).
    ///
    /// There is no failure to see: what was not made with this pair's public half yields a secret
    /// that nobody else knows (implicit rejection), so that the next tag does not verify.
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> SharedSecret {
        let ciphertext = MlKem768Ciphertext::from(ciphertext);
        secret(mlkem768::decapsulate(&self.0, &ciphertext))
    }
}

/// Overwrites a key, which libcrux itself does not.
fn wipe(key: &mut MlKem768PrivateKey) {
    let len = key.as_slice().len();
    key.index_mut(0..len).zeroize();
}

impl Drop for DecapsulationKey {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for DecapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecapsulationKey(..)")
    }
}

/// A peer's public encapsulation key, checked.
#[derive(Clone)]
pub struct EncapsulationKey(MlKem768PublicKey);

impl EncapsulationKey {
    /// Reads and checks an encoded key (FIPS 203, 7.2).
    ///
    /// # Errors
    /// [`InvalidEncapsulationKey`] if a coefficient is not below the modulus 3,329.
    pub fn from_bytes(
        bytes: &[u8; ENCAPSULATION_KEY_LEN],
    ) -> Result<Self, InvalidEncapsulationKey> {
        let key = MlKem768PublicKey::from(bytes);
        if validate_public_key(&key) {
            Ok(Self(key))
        } else {
            Err(InvalidEncapsulationKey)
        }
    }

    /// A fresh secret, and the ciphertext that takes it to the holder of the decapsulation key
    /// (FIPS 203, algorithm 20): 32 bytes of `rng`.
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> ([u8; CIPHERTEXT_LEN], SharedSecret) {
        let mut message = Zeroizing::new([0; 32]);
        rng.fill_bytes(message.as_mut_slice());
        let (ciphertext, shared) = mlkem768::encapsulate(&self.0, *message);
        (ciphertext.into(), secret(shared))
    }
}

impl fmt::Debug for EncapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncapsulationKey(..)")
    }
}

fn secret(mut shared: [u8; 32]) -> SharedSecret {
    let taken = SharedSecret::encapsulated(shared);
    shared.zeroize();
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wiped_key_is_zeros() {
        let mut key = DecapsulationKey::from_seed(&[7; KEM_SEED_LEN]);
        assert_ne!(*key.0.as_slice(), [0; 2400]);
        wipe(&mut key.0);
        assert_eq!(*key.0.as_slice(), [0; 2400]);
    }
}
