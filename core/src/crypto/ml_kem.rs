//! ML-KEM-768 (FIPS 203), for both backends.
//!
//! Pure Rust on hosts too: aws-lc-rs draws the randomness of its KEM itself and takes no seed, so that
//! it could neither obey "randomness is an argument" nor reproduce a vector. It is the oracle of the
//! conformance suite instead.

use core::fmt;

use ml_kem::kem::{Decapsulate as _, Encapsulate as _, KeyExport as _};
use ml_kem::ml_kem_768;
use rand_core::CryptoRng;
use zeroize::{Zeroize as _, Zeroizing};

use super::types::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN, InvalidEncapsulationKey, SharedSecret};

/// Length in bytes of the seed of a key pair (FIPS 203, 7.1: `d || z`).
pub const KEM_SEED_LEN: usize = 64;

/// A secret decapsulation key; wiped on drop. It is meant to be used for one exchange.
pub struct DecapsulationKey(ml_kem_768::DecapsulationKey);

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
        Self(ml_kem_768::DecapsulationKey::from_seed((*seed).into()))
    }

    /// The public half, encoded.
    #[must_use]
    pub fn encapsulation_key(&self) -> [u8; ENCAPSULATION_KEY_LEN] {
        self.0.encapsulation_key().to_bytes().into()
    }

    /// The secret that `ciphertext` encapsulates (FIPS 203, algorithm 21).
    ///
    /// There is no failure to see: what was not made with this pair's public half yields a secret
    /// that nobody else knows (implicit rejection), so that the next tag does not verify.
    #[must_use]
    pub fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> SharedSecret {
        secret(self.0.decapsulate(ciphertext.into()))
    }
}

impl fmt::Debug for DecapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DecapsulationKey(..)")
    }
}

/// A peer's public encapsulation key, checked.
#[derive(Clone)]
pub struct EncapsulationKey(ml_kem_768::EncapsulationKey);

impl EncapsulationKey {
    /// Reads and checks an encoded key (FIPS 203, 7.2).
    ///
    /// # Errors
    /// [`InvalidEncapsulationKey`] if a coefficient is not below the modulus 3,329.
    pub fn from_bytes(
        bytes: &[u8; ENCAPSULATION_KEY_LEN],
    ) -> Result<Self, InvalidEncapsulationKey> {
        ml_kem_768::EncapsulationKey::new(bytes.into())
            .map(Self)
            .map_err(|_| InvalidEncapsulationKey)
    }

    /// A fresh secret, and the ciphertext that takes it to the holder of the decapsulation key
    /// (FIPS 203, algorithm 20): 32 bytes of `rng`.
    pub fn encapsulate(&self, rng: &mut impl CryptoRng) -> ([u8; CIPHERTEXT_LEN], SharedSecret) {
        let (ciphertext, shared) = self.0.encapsulate_with_rng(rng);
        (ciphertext.into(), secret(shared))
    }
}

impl fmt::Debug for EncapsulationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncapsulationKey(..)")
    }
}

fn secret(mut shared: ml_kem::SharedKey) -> SharedSecret {
    let taken = SharedSecret::encapsulated(shared.0);
    shared.zeroize();
    taken
}
