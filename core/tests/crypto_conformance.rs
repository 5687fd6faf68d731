//! One suite for both crypto backends: known answers of the RFCs, the rules on keys that are ours,
//! and each backend against the other.
#![allow(missing_docs, clippy::unwrap_used)]

use core::convert::Infallible;

use sealway_core::crypto;
use sealway_core::crypto::{
    DhPublic, KeyError, KeyType, Signature, SignatureError, TagMismatch, VerifyingKey,
};

/// Bytes that repeat from run to run: SHA-256 of a seed and a counter.
struct TestRng {
    seed: u64,
    counter: u64,
}

impl TestRng {
    fn new(seed: u64) -> Self {
        Self { seed, counter: 0 }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        rand_core::Rng::fill_bytes(self, &mut bytes);
        bytes
    }
}

impl rand_core::TryRng for TestRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for chunk in out.chunks_mut(32) {
            let block =
                crypto::portable::sha256(&[&self.seed.to_le_bytes(), &self.counter.to_le_bytes()]);
            self.counter += 1;
            chunk.copy_from_slice(&block[..chunk.len()]);
        }
        Ok(())
    }
}

impl rand_core::TryCryptoRng for TestRng {}

/// Answers first with the given blocks, then with ones: to steer `generate`.
struct GivenRng(Vec<[u8; 32]>);

impl rand_core::TryRng for GivenRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("keys are drawn by fill_bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("keys are drawn by fill_bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0.pop().unwrap_or([1; 32]));
        Ok(())
    }
}

impl rand_core::TryCryptoRng for GivenRng {}

fn unhex<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

/// The order of P-256, big-endian (FIPS 186-5).
const P256_ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// The other `s` that is as valid: order - s.
fn other_s(signature: &Signature) -> Signature {
    let mut bytes = *signature.as_bytes();
    let order: [u8; 32] = unhex(P256_ORDER);
    let mut borrow = 0i16;
    for index in (0..32).rev() {
        let difference = i16::from(order[index]) - i16::from(bytes[32 + index]) - borrow;
        borrow = i16::from(difference < 0);
        bytes[32 + index] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    Signature::P256(bytes)
}

macro_rules! conformance {
    ($backend:ident) => {
        mod $backend {
            use super::*;
            use sealway_core::crypto::$backend::{
                AeadKey, DecapsulationKey, DhSecret, EncapsulationKey, InvalidEncapsulationKey,
                SigningKey, hkdf_sha256, hmac_sha256, sha256, verify,
            };

            #[test]
            fn sha256_known_answers() {
                // FIPS 180-4 examples, the second one cut at every place.
                let empty =
                    unhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
                assert_eq!(sha256(&[]), empty);
                assert_eq!(sha256(&[b"", b""]), empty);
                let message = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
                let expected =
                    unhex("248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
                for cut in 0..=message.len() {
                    let (left, right) = message.split_at(cut);
                    assert_eq!(sha256(&[left, right]), expected);
                }
            }

            #[test]
            fn hmac_known_answers() {
                // RFC 4231, cases 2 and 6 (a key longer than the block).
                assert_eq!(
                    hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"]),
                    unhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
                );
                assert_eq!(
                    hmac_sha256(
                        &[0xaa; 131],
                        &[b"Test Using Larger Than Block-Size Key - Hash Key First"]
                    ),
                    unhex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
                );
            }

            #[test]
            fn hkdf_known_answers() {
                // RFC 5869, A.1 and A.3.
                let mut out = [0; 42];
                let salt: [u8; 13] = unhex("000102030405060708090a0b0c");
                let info: [u8; 10] = unhex("f0f1f2f3f4f5f6f7f8f9");
                hkdf_sha256(&salt, &[0x0b; 22], &info, &mut out);
                assert_eq!(
                    hex::encode(out),
                    "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
                     34007208d5b887185865"
                );
                hkdf_sha256(b"", &[0x0b; 22], b"", &mut out);
                assert_eq!(
                    hex::encode(out),
                    "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d\
                     9d201395faa4b61a96c8"
                );
                hkdf_sha256(b"", b"", b"", &mut []);
                hkdf_sha256(b"", b"", b"", &mut [0; 255 * 32]);
            }

            #[test]
            #[should_panic(expected = "8160")]
            fn hkdf_refuses_more_than_255_blocks() {
                hkdf_sha256(b"", b"", b"", &mut [0; 255 * 32 + 1]);
            }

            #[test]
            fn x25519_known_answers() {
                // RFC 7748, 5.2.
                let scalar =
                    unhex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4");
                let point =
                    unhex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c");
                let shared = DhSecret::from_bytes(scalar)
                    .agree(&DhPublic(point))
                    .unwrap();
                assert_eq!(
                    hex::encode(shared.as_bytes()),
                    "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"
                );
            }

            #[test]
            fn agreement_is_mutual_and_bytes_round_trip() {
                let mut rng = TestRng::new(1);
                let a = DhSecret::generate(&mut rng);
                let b = DhSecret::generate(&mut rng);
                let ab = a.agree(&b.public()).unwrap();
                let ba = b.agree(&a.public()).unwrap();
                assert_eq!(ab.as_bytes(), ba.as_bytes());
                let again = DhSecret::from_bytes(*a.to_bytes());
                assert_eq!(again.public(), a.public());
                assert_eq!(again.agree(&b.public()).unwrap().as_bytes(), ab.as_bytes());
            }

            #[test]
            fn all_zero_shared_secret_is_refused() {
                let secret = DhSecret::generate(&mut TestRng::new(2));
                // The u coordinates of small order (RFC 7748, 7), canonical and not.
                for u in [
                    "0000000000000000000000000000000000000000000000000000000000000000",
                    "0100000000000000000000000000000000000000000000000000000000000000",
                    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
                    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                ] {
                    assert!(secret.agree(&DhPublic(unhex(u))).is_err(), "{u}");
                    let mut high_bit = unhex(u);
                    high_bit[31] |= 0x80;
                    assert!(secret.agree(&DhPublic(high_bit)).is_err(), "{u}");
                }
            }

            #[test]
            fn encapsulated_secret_is_mutual_and_fresh() {
                let mut rng = TestRng::new(8);
                let seed = rng.bytes();
                let key = DecapsulationKey::from_seed(&seed);
                let public = EncapsulationKey::from_bytes(&key.encapsulation_key()).unwrap();
                let (ciphertext, shared) = public.encapsulate(&mut rng);
                assert_eq!(key.decapsulate(&ciphertext).as_bytes(), shared.as_bytes());
                let (other, not_shared) = public.encapsulate(&mut rng);
                assert_ne!(other, ciphertext);
                assert_ne!(not_shared.as_bytes(), shared.as_bytes());
                let again = DecapsulationKey::from_seed(&seed);
                assert_eq!(again.encapsulation_key(), key.encapsulation_key());
                let next = DecapsulationKey::generate(&mut rng);
                assert_ne!(next.encapsulation_key(), key.encapsulation_key());
            }

            /// FIPS 203, algorithm 18: SHAKE256(z || ciphertext), which hangs on every bit of it.
            #[test]
            fn altered_encapsulation_yields_another_secret_each_time() {
                let mut rng = TestRng::new(9);
                let key = DecapsulationKey::generate(&mut rng);
                let public = EncapsulationKey::from_bytes(&key.encapsulation_key()).unwrap();
                let (ciphertext, shared) = public.encapsulate(&mut rng);
                let mut seen = vec![*shared.as_bytes()];
                for index in (0..ciphertext.len()).step_by(17) {
                    let mut altered = ciphertext;
                    altered[index] ^= 1;
                    let rejected = *key.decapsulate(&altered).as_bytes();
                    assert_eq!(rejected, *key.decapsulate(&altered).as_bytes());
                    assert!(!seen.contains(&rejected), "byte {index}");
                    seen.push(rejected);
                }
            }

            #[test]
            fn encapsulation_key_beyond_the_modulus_is_refused() {
                let key = DecapsulationKey::generate(&mut TestRng::new(10)).encapsulation_key();
                // Each of the 768 coefficients, 12 bits little-endian, in turn.
                for index in 0..768 {
                    for (coefficient, valid) in [(3328u16, true), (3329, false), (4095, false)] {
                        let mut altered = key;
                        let [low, high] = coefficient.to_le_bytes();
                        let at = index / 2 * 3;
                        if index % 2 == 0 {
                            altered[at] = low;
                            altered[at + 1] = altered[at + 1] & 0xf0 | high;
                        } else {
                            altered[at + 1] = altered[at + 1] & 0x0f | low << 4;
                            altered[at + 2] = low >> 4 | high << 4;
                        }
                        let read = EncapsulationKey::from_bytes(&altered);
                        assert_eq!(read.is_ok(), valid, "{coefficient} at {index}");
                        assert!(valid || read.err() == Some(InvalidEncapsulationKey));
                    }
                }
            }

            #[test]
            fn ed25519_known_answers() {
                // RFC 8032, 7.1, tests 1 and 3.
                for (seed, public, message, signature) in [
                    (
                        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
                        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
                        "",
                        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
                         5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
                    ),
                    (
                        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
                        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
                        "af82",
                        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                         18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
                    ),
                ] {
                    let message = hex::decode(message).unwrap();
                    let key = SigningKey::from_bytes(KeyType::Ed25519, &unhex(seed)).unwrap();
                    assert_eq!(key.verifying_key(), VerifyingKey::Ed25519(unhex(public)));
                    assert_eq!(key.sign(&message), Signature::Ed25519(unhex(signature)));
                    assert_eq!(*key.to_bytes(), unhex::<32>(seed));
                }
            }

            #[test]
            fn p256_known_answers() {
                // RFC 6979, A.2.5, SHA-256, messages "sample" and "test"; the first has the larger
                // s there, and is emitted with the smaller.
                let key = SigningKey::from_bytes(
                    KeyType::P256,
                    &unhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721"),
                )
                .unwrap();
                assert_eq!(
                    key.verifying_key(),
                    VerifyingKey::P256(unhex(
                        "0460fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6\
                         7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
                    ))
                );
                let sample = Signature::P256(unhex(
                    "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
                     f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
                ));
                assert_eq!(key.sign(b"sample"), other_s(&sample));
                assert_eq!(verify(&key.verifying_key(), b"sample", &sample), Ok(()));
                assert_eq!(
                    key.sign(b"test"),
                    Signature::P256(unhex(
                        "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367\
                         019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"
                    ))
                );
            }

            #[test]
            fn signatures_verify_and_altered_ones_do_not() {
                let mut rng = TestRng::new(3);
                for key_type in [KeyType::Ed25519, KeyType::P256] {
                    let key = SigningKey::generate(key_type, &mut rng);
                    let other = SigningKey::generate(key_type, &mut rng);
                    let public = key.verifying_key();
                    assert_eq!(public.key_type(), key_type);
                    let signature = key.sign(b"message");
                    assert_eq!(signature, key.sign(b"message"), "signing is deterministic");
                    assert_eq!(verify(&public, b"message", &signature), Ok(()));
                    assert!(verify(&public, b"massage", &signature).is_err());
                    assert!(verify(&other.verifying_key(), b"message", &signature).is_err());
                    for byte in 0..64 {
                        let mut bytes = *signature.as_bytes();
                        bytes[byte] ^= 1;
                        let altered = match key_type {
                            KeyType::Ed25519 => Signature::Ed25519(bytes),
                            KeyType::P256 => Signature::P256(bytes),
                        };
                        assert!(verify(&public, b"message", &altered).is_err());
                    }
                    let again = SigningKey::from_bytes(key_type, &key.to_bytes()).unwrap();
                    assert_eq!(again.verifying_key(), public);
                }
            }

            #[test]
            fn signature_of_the_other_type_is_refused() {
                let mut rng = TestRng::new(4);
                let ed25519 = SigningKey::generate(KeyType::Ed25519, &mut rng);
                let p256 = SigningKey::generate(KeyType::P256, &mut rng);
                assert_eq!(
                    verify(&ed25519.verifying_key(), b"m", &p256.sign(b"m")),
                    Err(SignatureError::TypeMismatch {
                        key: KeyType::Ed25519,
                        signature: KeyType::P256
                    })
                );
                assert!(verify(&p256.verifying_key(), b"m", &ed25519.sign(b"m")).is_err());
            }

            #[test]
            fn both_s_of_p256_are_accepted_and_the_smaller_is_made() {
                let half = unhex::<32>(P256_ORDER).map(|byte| byte / 2);
                let mut rng = TestRng::new(5);
                for _ in 0..16 {
                    let key = SigningKey::generate(KeyType::P256, &mut rng);
                    let signature = key.sign(b"m");
                    assert!(signature.as_bytes()[32] <= half[0]);
                    let other = other_s(&signature);
                    assert_ne!(signature, other);
                    assert_eq!(verify(&key.verifying_key(), b"m", &other), Ok(()));
                }
            }

            #[test]
            fn p256_scalars_out_of_range_are_refused_and_drawn_again() {
                let order = unhex(P256_ORDER);
                for scalar in [[0; 32], order, [0xff; 32]] {
                    let key = SigningKey::from_bytes(KeyType::P256, &scalar);
                    assert_eq!(key.err(), Some(KeyError(KeyType::P256)));
                }
                let mut rng = GivenRng(vec![[3; 32], order, [0; 32]]);
                let key = SigningKey::generate(KeyType::P256, &mut rng);
                assert_eq!(*key.to_bytes(), [3; 32]);
            }

            #[test]
            fn ed25519_keys_that_bind_nothing_are_refused() {
                // S = 0 and R = the neutral point fit every message under the neutral "key", and
                // a part of all messages under the others.
                let mut bytes = [0; 64];
                bytes[0] = 1;
                for y in [
                    "0100000000000000000000000000000000000000000000000000000000000000",
                    "0000000000000000000000000000000000000000000000000000000000000000",
                    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                    // Not canonical: 0 and 1 plus the modulus.
                    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                ] {
                    for sign in [0, 0x80] {
                        let mut key = unhex(y);
                        key[31] |= sign;
                        let key = VerifyingKey::Ed25519(key);
                        assert_eq!(
                            verify(&key, b"anything", &Signature::Ed25519(bytes)),
                            Err(SignatureError::InvalidKey),
                            "{key:?}"
                        );
                    }
                }
            }

            #[test]
            fn p256_keys_that_are_no_points_are_refused() {
                let key = SigningKey::generate(KeyType::P256, &mut TestRng::new(6));
                let VerifyingKey::P256(good) = key.verifying_key() else {
                    panic!("a P-256 key")
                };
                let signature = key.sign(b"m");
                for (index, value) in [(0, 0x02), (0, 0x06), (0, 0x07), (64, good[64] ^ 1)] {
                    let mut bad = good;
                    bad[index] = value;
                    assert_eq!(
                        verify(&VerifyingKey::P256(bad), b"m", &signature),
                        Err(SignatureError::InvalidKey),
                    );
                }
                let zero = VerifyingKey::P256([0; 65]);
                assert!(verify(&zero, b"m", &signature).is_err());
            }

            #[test]
            fn secrets_do_not_show_in_debug() {
                let key = SigningKey::from_bytes(KeyType::Ed25519, &[0x5a; 32]).unwrap();
                let secret = DhSecret::from_bytes([0x5a; 32]);
                let shared = secret
                    .agree(&DhSecret::from_bytes([1; 32]).public())
                    .unwrap();
                let aead = AeadKey::new(&[0x5a; 32]);
                let kem = DecapsulationKey::from_seed(&[0x5a; 64]);
                assert_eq!(
                    format!("{key:?} {secret:?} {shared:?} {aead:?} {kem:?}"),
                    "SigningKey(..) DhSecret(..) SharedSecret(..) AeadKey(..) DecapsulationKey(..)"
                );
            }
        }
    };
}

/// AES-256-GCM, whoever does it.
macro_rules! records {
    ($name:ident, $($implementation:ident)::+) => {
        mod $name {
            use super::*;
            use $($implementation)::+::AeadKey;

            #[test]
            fn aes_256_gcm_known_answers() {
                // The GCM specification (McGrew, Viega), test cases 14 and 16.
                let mut text = [0; 16];
                let tag = AeadKey::new(&[0; 32]).seal_in_place(&[0; 12], b"", &mut text);
                assert_eq!(hex::encode(text), "cea7403d4d606b6e074ec5d3baf39d18");
                assert_eq!(hex::encode(tag), "d0d1c8a799996bf0265b98b5d48ab919");
                let key = AeadKey::new(&unhex(
                    "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
                ));
                let plain = hex::decode(
                    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                     1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
                )
                .unwrap();
                let associated: [u8; 20] = unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
                let nonce = unhex("cafebabefacedbaddecaf888");
                let mut text = plain.clone();
                let tag = key.seal_in_place(&nonce, &associated, &mut text);
                assert_eq!(
                    hex::encode(&text),
                    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
                     8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                );
                assert_eq!(hex::encode(tag), "76fc6ece0f4e1768cddf8853bb2d551b");
                text.extend(tag);
                assert_eq!(key.open_in_place(&nonce, &associated, &mut text), Ok(60));
                assert_eq!(text[..60], plain);
            }

            #[test]
            fn noise_rekey_is_the_seal_of_zeros() {
                // Noise rev 34, 4.2, on the reference's key schedule: any key, the last nonce.
                let mut nonce = [0xff; 12];
                nonce[..4].fill(0);
                let mut next = [0; 32];
                let _tag = AeadKey::new(&[7; 32]).seal_in_place(&nonce, b"", &mut next);
                let mut expected = [0; 32];
                let key = crypto::portable::AeadKey::new(&[7; 32]);
                let _tag = key.seal_in_place(&nonce, b"", &mut expected);
                assert_eq!(next, expected);
            }

            #[test]
            fn altered_ciphertext_is_refused_and_yields_no_plaintext() {
                let key = AeadKey::new(&[1; 32]);
                let plain = b"sixteen bytes !!and some";
                let mut sealed = plain.to_vec();
                let tag = key.seal_in_place(&[2; 12], b"ad", &mut sealed);
                sealed.extend(tag);
                for bit in 0..sealed.len() * 8 {
                    let mut altered = sealed.clone();
                    altered[bit / 8] ^= 1 << (bit % 8);
                    let opened = key.open_in_place(&[2; 12], b"ad", &mut altered);
                    assert_eq!(opened, Err(TagMismatch), "bit {bit}");
                    assert_ne!(altered[..8], plain[..8]);
                }
                let open = |key: &AeadKey, nonce: &[u8; 12], ad: &[u8], len: usize| {
                    key.open_in_place(nonce, ad, &mut sealed.clone()[..len])
                };
                assert_eq!(open(&key, &[2; 12], b"ad", sealed.len()), Ok(plain.len()));
                assert_eq!(open(&key, &[3; 12], b"ad", sealed.len()), Err(TagMismatch));
                assert_eq!(open(&key, &[2; 12], b"da", sealed.len()), Err(TagMismatch));
                assert_eq!(open(&key, &[2; 12], b"", sealed.len()), Err(TagMismatch));
                let other = AeadKey::new(&[9; 32]);
                assert_eq!(
                    open(&other, &[2; 12], b"ad", sealed.len()),
                    Err(TagMismatch)
                );
                for len in 0..sealed.len() {
                    assert_eq!(open(&key, &[2; 12], b"ad", len), Err(TagMismatch));
                }
            }

            #[test]
            fn empty_plaintext_has_a_tag() {
                let key = AeadKey::new(&[1; 32]);
                let mut tag = key.seal_in_place(&[0; 12], b"h", &mut []);
                assert_eq!(key.open_in_place(&[0; 12], b"h", &mut tag), Ok(0));
                tag[0] ^= 1;
                assert_eq!(
                    key.open_in_place(&[0; 12], b"h", &mut tag),
                    Err(TagMismatch)
                );
            }

            #[test]
            fn records_agree() {
                for round in 0..ROUNDS {
                    let mut rng = TestRng::new(u64::from(round));
                    let (key, nonce) = (rng.bytes(), rng.bytes());
                    // The last ones are long enough for every loop over many blocks.
                    let text: Vec<u8> = (0..usize::from(round).pow(2) * 17)
                        .map(|at| at.to_le_bytes()[0] ^ round)
                        .collect();
                    let ad = rng.bytes::<100>();
                    let (ad, _) = ad.split_at(usize::from(round));
                    let (mut a, mut b) = (text.clone(), text.clone());
                    let tag = AeadKey::new(&key).seal_in_place(&nonce, ad, &mut a);
                    a.extend(tag);
                    let portable = crypto::portable::AeadKey::new(&key);
                    let tag = portable.seal_in_place(&nonce, ad, &mut b);
                    b.extend(tag);
                    assert_eq!(a, b);
                    let opened = AeadKey::new(&key).open_in_place(&nonce, ad, &mut b);
                    assert_eq!(opened, Ok(text.len()));
                    let opened = portable.open_in_place(&nonce, ad, &mut a);
                    assert_eq!(opened, Ok(text.len()));
                    assert_eq!(a[..text.len()], *text);
                    assert_eq!(b[..text.len()], *text);
                }
            }
        }
    };
}

/// Rounds of each comparison, with other keys, messages and lengths in each.
const ROUNDS: u8 = 64;

records!(portable_records, crypto::portable);
#[cfg(feature = "aws-lc")]
records!(host_records, crypto::host);
// Both that the host chooses from, whichever of them this processor gets.
#[cfg(feature = "aws-lc")]
records!(aws_lc_records, crypto::gcm::aws_lc);
#[cfg(all(feature = "aws-lc", target_arch = "x86_64"))]
records!(ring_records, crypto::gcm::ring);

conformance!(portable);
#[cfg(feature = "aws-lc")]
conformance!(host);

#[cfg(feature = "aws-lc")]
mod cross {
    use super::*;
    use sealway_core::crypto::{host, portable};

    #[test]
    fn hashes_agree() {
        for round in 0..ROUNDS {
            let mut rng = TestRng::new(u64::from(round));
            let (key, message) = (rng.bytes::<200>(), rng.bytes::<300>());
            let (key, _) = key.split_at(usize::from(round) * 3);
            let (head, tail) = message.split_at(usize::from(round) * 4);
            let parts = [head, tail];
            assert_eq!(host::sha256(&parts), portable::sha256(&parts));
            let mac = host::hmac_sha256(key, &parts);
            assert_eq!(mac, portable::hmac_sha256(key, &parts));
            let (mut a, mut b) = (
                vec![0; usize::from(round) * 5],
                vec![0; usize::from(round) * 5],
            );
            host::hkdf_sha256(key, head, tail, &mut a);
            portable::hkdf_sha256(key, head, tail, &mut b);
            assert_eq!(a, b);
        }
    }

    #[test]
    fn agreements_agree() {
        for round in 0..ROUNDS {
            let mut rng = TestRng::new(u64::from(round));
            let (secret, peer) = (rng.bytes(), DhPublic(rng.bytes()));
            let a = host::DhSecret::from_bytes(secret);
            let b = portable::DhSecret::from_bytes(secret);
            assert_eq!(a.public(), b.public());
            assert_eq!(
                a.agree(&peer).unwrap().as_bytes(),
                b.agree(&peer).unwrap().as_bytes()
            );
        }
    }

    #[test]
    fn signatures_agree() {
        for round in 0..ROUNDS {
            let mut rng = TestRng::new(u64::from(round));
            let message = rng.bytes::<100>();
            for key_type in [KeyType::Ed25519, KeyType::P256] {
                let secret = rng.bytes();
                let a = host::SigningKey::from_bytes(key_type, &secret).unwrap();
                let b = portable::SigningKey::from_bytes(key_type, &secret).unwrap();
                assert_eq!(a.verifying_key(), b.verifying_key());
                let signature = a.sign(&message);
                assert_eq!(signature, b.sign(&message));
                let key = a.verifying_key();
                assert_eq!(host::verify(&key, &message, &signature), Ok(()));
                assert_eq!(portable::verify(&key, &message, &signature), Ok(()));
            }
        }
    }

    /// ML-KEM is the same code on both backends: here aws-lc's own, which is no part of either, is
    /// the other side.
    #[test]
    fn encapsulations_agree_with_aws_lc() {
        use aws_lc_rs::kem::{self, ML_KEM_768};
        for round in 0..ROUNDS {
            let mut rng = TestRng::new(u64::from(round));
            let ours = crypto::DecapsulationKey::generate(&mut rng);
            let public = kem::EncapsulationKey::new(&ML_KEM_768, &ours.encapsulation_key());
            let (ciphertext, shared) = public.unwrap().encapsulate().unwrap();
            let ciphertext = ciphertext.as_ref().try_into().unwrap();
            let opened = ours.decapsulate(ciphertext);
            assert_eq!(opened.as_bytes(), shared.as_ref());

            let theirs = kem::DecapsulationKey::generate(&ML_KEM_768).unwrap();
            let public = theirs.encapsulation_key().unwrap().key_bytes().unwrap();
            let public = crypto::EncapsulationKey::from_bytes(public.as_ref().try_into().unwrap());
            let (ciphertext, shared) = public.unwrap().encapsulate(&mut rng);
            let opened = theirs.decapsulate(ciphertext.as_slice().into()).unwrap();
            assert_eq!(opened.as_ref(), shared.as_bytes());
        }
    }

    /// libcrux chooses its code by the processor: what it takes where there is no AVX2 yields the same.
    #[test]
    fn encapsulations_agree_with_the_code_for_any_processor() {
        use libcrux_ml_kem::mlkem768::portable;
        for round in 0..ROUNDS {
            let mut rng = TestRng::new(u64::from(round));
            let (seed, message) = (rng.bytes(), rng.bytes());
            let ours = crypto::DecapsulationKey::from_seed(&seed);
            let pair = portable::generate_key_pair(seed);
            assert_eq!(ours.encapsulation_key(), *pair.pk());
            let public = crypto::EncapsulationKey::from_bytes(pair.pk()).unwrap();
            let (a, shared_a) = public.encapsulate(&mut GivenRng(vec![message]));
            let (b, shared_b) = portable::encapsulate(pair.public_key(), message);
            assert_eq!((&a, shared_a.as_bytes()), (b.as_slice(), &shared_b));
            assert_eq!(ours.decapsulate(b.as_slice()).as_bytes(), &shared_b);
            let mut altered = a;
            altered[usize::from(round)] ^= 1;
            let rejected = portable::decapsulate(pair.private_key(), &altered.into());
            assert_eq!(ours.decapsulate(&altered).as_bytes(), &rejected);
        }
    }

    /// What one backend takes for a key, so does the other: on random bytes, and around the edges of
    /// the field.
    #[test]
    fn the_backends_refuse_the_same_keys() {
        let mut rng = TestRng::new(7);
        let signature = Signature::Ed25519(rng.bytes());
        let mut keys: Vec<[u8; 32]> = (0..256).map(|_| rng.bytes()).collect();
        for low in 0..=255 {
            for high in [0x00, 0x7f, 0x80, 0xff] {
                let mut key = [if high & 0x7f == 0 { 0 } else { 0xff }; 32];
                (key[0], key[31]) = (low, high);
                keys.push(key);
            }
        }
        let mut refused = 0;
        for key in keys {
            let key = VerifyingKey::Ed25519(key);
            let verdict = host::verify(&key, b"m", &signature);
            assert_eq!(verdict, portable::verify(&key, b"m", &signature), "{key:?}");
            refused += usize::from(verdict == Err(SignatureError::InvalidKey));
        }
        // y = 0, 1, -1 and 19 beyond the field, with either sign.
        assert_eq!(refused, 2 * (3 + 19));
    }
}
