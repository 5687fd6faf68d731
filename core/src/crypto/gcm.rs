//! AES-256-GCM on hosts: two implementations of the one cipher, each where the processor runs it faster.
//!
//! aws-lc has code for AVX-512 and code for the 128-bit AES instructions, and none between the two.
//! ring has code for VAES with AVX2: on processors that have these and no AVX-512 (AMD before Zen 4,
//! Intel's without P-cores) it takes half the time. Both use the same names, so that one macro
//! writes both.

macro_rules! gcm {
    ($library:ident, $holder:ty, $about:literal) => {
        use core::fmt;

        use $library::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};

        use crate::crypto::types::{KEY_LEN, NONCE_LEN, TAG_LEN, TagMismatch};

        #[doc = $about]
        pub struct AeadKey($holder);

        fn expanded(key: &[u8; KEY_LEN]) -> LessSafeKey {
            let key = UnboundKey::new(&AES_256_GCM, key).expect("an AES-256 key has 32 bytes");
            LessSafeKey::new(key)
        }

        impl AeadKey {
            /// Sets up the cipher for `key`.
            #[must_use]
            pub fn new(key: &[u8; KEY_LEN]) -> Self {
                Self(<$holder>::from(expanded(key)))
            }

            /// Encrypts `in_out` in place and returns the tag over it and `associated_data`.
            ///
            /// # Panics
            /// If `in_out` is longer than 2^36 - 32 bytes (NIST SP 800-38D, 5.2.1.1).
            #[must_use]
            pub fn seal_in_place(
                &self,
                nonce: &[u8; NONCE_LEN],
                associated_data: &[u8],
                in_out: &mut [u8],
            ) -> [u8; TAG_LEN] {
                let nonce = Nonce::assume_unique_for_key(*nonce);
                let tag = self
                    .0
                    .seal_in_place_separate_tag(nonce, Aad::from(associated_data), in_out)
                    .expect("shorter than 64 GiB");
                tag.as_ref().try_into().expect("a GCM tag has 16 bytes")
            }

            /// Decrypts `in_out`, which is `ciphertext || tag`, in place and returns the length of
            /// the plaintext at its front.
            ///
            /// # Errors
            /// [`TagMismatch`] if the tag does not fit or `in_out` is shorter than one. What
            /// `in_out` holds then is unspecified; it is never the plaintext.
            pub fn open_in_place(
                &self,
                nonce: &[u8; NONCE_LEN],
                associated_data: &[u8],
                in_out: &mut [u8],
            ) -> Result<usize, TagMismatch> {
                let nonce = Nonce::assume_unique_for_key(*nonce);
                self.0
                    .open_in_place(nonce, Aad::from(associated_data), in_out)
                    .map(|plaintext| plaintext.len())
                    .map_err(|_| TagMismatch)
            }
        }

        impl fmt::Debug for AeadKey {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("AeadKey(..)")
            }
        }
    };
}

/// AES-256-GCM of aws-lc.
pub mod aws_lc {
    gcm!(
        aws_lc_rs,
        LessSafeKey,
        "An AES-256-GCM key, with its key schedule set up once; aws-lc wipes it on drop."
    );
}

/// AES-256-GCM of ring.
#[cfg(target_arch = "x86_64")]
pub mod ring {
    use alloc::boxed::Box;

    use zeroize::optimization_barrier;

    gcm!(
        ring,
        Box<LessSafeKey>,
        "An AES-256-GCM key, with its key schedule set up once; wiped on drop.\n\n\
         Boxed, so that a move leaves no copy behind."
    );

    impl AeadKey {
        /// ring gives nobody its key's bytes and does not wipe them. A key of zeros in their place
        /// has the same form on the same processor: it overwrites all of them.
        fn wipe(&mut self) {
            *self.0 = expanded(&[0; KEY_LEN]);
            // Else the compiler could leave out what is written to memory that is freed next.
            optimization_barrier(&*self.0);
        }
    }

    impl Drop for AeadKey {
        fn drop(&mut self) {
            self.wipe();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_wiped_key_is_the_key_of_zeros() {
            let tag = |key: &AeadKey| key.seal_in_place(&[1; NONCE_LEN], b"", &mut [2; 100]);
            let (mut key, zeros) = (AeadKey::new(&[7; KEY_LEN]), AeadKey::new(&[0; KEY_LEN]));
            assert_ne!(tag(&key), tag(&zeros));
            key.wipe();
            assert_eq!(tag(&key), tag(&zeros));
        }
    }
}

/// An AES-256-GCM key, with its key schedule set up once; wiped on drop.
pub(super) enum Fastest {
    /// Nearly everywhere.
    AwsLc(aws_lc::AeadKey),
    /// Where [`has_vaes_without_avx512`].
    #[cfg(target_arch = "x86_64")]
    Ring(ring::AeadKey),
}

/// Calls `$call` on whichever key it is.
macro_rules! whichever {
    ($key:expr, $bound:ident => $call:expr) => {
        match $key {
            Fastest::AwsLc($bound) => $call,
            #[cfg(target_arch = "x86_64")]
            Fastest::Ring($bound) => $call,
        }
    };
}
pub(super) use whichever;

impl Fastest {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        #[cfg(target_arch = "x86_64")]
        if has_vaes_without_avx512() {
            return Self::Ring(ring::AeadKey::new(key));
        }
        Self::AwsLc(aws_lc::AeadKey::new(key))
    }
}

/// Whether ring has faster code for this processor than aws-lc.
///
/// The second line is what aws-lc's own `crypto_gcm_avx512_enabled` asks for beside VAES and
/// VPCLMULQDQ; the first one is ring's. Detected once; afterwards this reads a few bits.
#[cfg(target_arch = "x86_64")]
fn has_vaes_without_avx512() -> bool {
    macro_rules! all {
        ($($feature:tt)*) => { true $(&& std::arch::is_x86_feature_detected!($feature))* };
    }
    all!("aes" "pclmulqdq" "avx2" "vaes" "vpclmulqdq")
        && !all!("avx512f" "avx512bw" "avx512dq" "avx512vl")
}
