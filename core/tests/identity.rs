//! Identities and attestations: the reference's vectors, and every rule with a history that breaks it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sealway_core::UnixSeconds;
use sealway_core::crypto::{
    DhPublic, DhSecret, KeyType, Signature, SignatureError, SigningKey, VerifyingKey,
};
use sealway_core::identity::{
    Attestation, AttestationError, Evolution, Identifier, Identity, IdentityError, MAX_CHANGES,
    PendingAttestation, PurposeKey, Rotation, SignedDataError, Validity,
};
use sealway_core::wire::cbor::Writer;
use serde_json::Value;

const T0: UnixSeconds = UnixSeconds(1_700_000_000);

fn load(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(KeyType::Ed25519, &[seed; 32]).unwrap()
}

fn seconds(value: &Value) -> UnixSeconds {
    UnixSeconds(value.as_u64().unwrap())
}

fn signer(secret: &Value, public: &Value) -> SigningKey {
    let key_type = match public["type"].as_str().unwrap() {
        "EdDSACurve25519" => KeyType::Ed25519,
        "ECDSASHA256CurveP256" => KeyType::P256,
        other => panic!("{other}"),
    };
    let signer = SigningKey::from_bytes(key_type, &bytes(secret).try_into().unwrap()).unwrap();
    assert_eq!(signer.verifying_key().as_bytes(), bytes(&public["hex"]));
    signer
}

/// Makes the vector's history again from its secrets.
fn made_again(secrets: &[Value], changes: &[Value]) -> Identity {
    let mut made: Option<(Identity, SigningKey)> = None;
    for (secret, change) in secrets.iter().zip(changes) {
        let new = signer(secret, &change["primary_public_key"]);
        let validity = Validity {
            from: seconds(&change["attestations_valid_from"]),
            until: seconds(&change["attestations_valid_until"]),
        };
        let rotation = Rotation {
            revoke_all_purpose_keys: change["revoke_all_purpose_keys"].as_bool().unwrap(),
        };
        let identity = match &made {
            None => {
                let pending = Identity::begin(new.verifying_key(), validity);
                let signature = new.sign(pending.to_sign());
                pending.finish(signature, None).unwrap()
            }
            Some((identity, old)) => {
                let pending = identity
                    .begin_rotation(new.verifying_key(), validity, rotation)
                    .unwrap();
                let (signature, previous) =
                    (new.sign(pending.to_sign()), old.sign(pending.to_sign()));
                pending.finish(signature, Some(previous)).unwrap()
            }
        };
        made = Some((identity, new));
    }
    made.unwrap().0
}

#[test]
fn reference_histories_verify_and_are_made_again_byte_for_byte() {
    let file = load(include_str!("../../vectors/identities.json"));
    let cases = file["vectors"].as_array().unwrap();
    for case in cases {
        let name = &case["name"];
        let vector = &case["identity"];
        let export = bytes(&vector["change_history_export"]);
        let identifier: Identifier = vector["identifier"].as_str().unwrap().parse().unwrap();
        let identity = Identity::import(&export, Some(&identifier)).unwrap();
        assert_eq!(identity.export(), export, "{name}");
        assert_eq!(identity.identifier(), identifier);
        let changes = vector["changes"].as_array().unwrap();
        assert_eq!(identity.change_count(), changes.len());
        for (change, expected) in identity.changes().zip(changes) {
            assert_eq!(change.hash().to_string(), expected["change_hash"]);
            let public = &expected["primary_public_key"];
            assert_eq!(change.key().as_bytes(), bytes(&public["hex"]));
            let validity = change.validity();
            assert_eq!(validity.from, seconds(&expected["attestations_valid_from"]));
            assert_eq!(
                validity.until,
                seconds(&expected["attestations_valid_until"])
            );
            let revokes = expected["revoke_all_purpose_keys"].as_bool().unwrap();
            assert_eq!(change.revokes_all_purpose_keys(), revokes);
        }
        let latest = &vector["latest_public_key"]["hex"];
        assert_eq!(identity.latest_key().as_bytes(), bytes(latest));
        let again = made_again(case["secret_keys"].as_array().unwrap(), changes);
        assert_eq!(again.export(), export, "{name}");
        if case["before_rotation"].is_object() {
            let before = bytes(&case["before_rotation"]["change_history_export"]);
            let before = Identity::import(&before, Some(&identifier)).unwrap();
            assert_eq!(identity.compare(&before), Evolution::Newer);
            assert_eq!(before.compare(&identity), Evolution::Older);
        }
    }
    println!("identities: {} cases", cases.len());
}

#[test]
fn reference_negative_histories_are_refused() {
    let file = load(include_str!("../../vectors/identities.json"));
    let cases = file["negative"].as_array().unwrap();
    for case in cases {
        let history = bytes(&case["change_history"]);
        let imported = Identity::import(&history, None);
        let accepted = case["accepted"].as_bool().unwrap();
        assert_eq!(imported.is_ok(), accepted, "{} {imported:?}", case["name"]);
        if let Ok(identity) = imported {
            assert_eq!(identity.export(), &history[..history.len() - 1]);
        }
    }
    println!("identities, negative: {} cases", cases.len());
}

#[test]
fn reference_attestations_verify_and_are_made_again_byte_for_byte() {
    let file = load(include_str!("../../vectors/purpose_keys.json"));
    let cases = file["vectors"].as_array().unwrap();
    let secret = bytes(&cases[0]["signing_secret"]).try_into().unwrap();
    let signer = SigningKey::from_bytes(KeyType::Ed25519, &secret).unwrap();
    let identity = Identity::create(&signer, T0);
    let (created_at, expires_at) = (UnixSeconds(1_700_000_010), UnixSeconds(1_857_680_000));
    for case in cases {
        assert_eq!(identity.identifier().to_string(), case["subject"]);
        let key = match case["x25519_public"].is_string() {
            true => {
                let secret = bytes(&case["x25519_secret"]).try_into().unwrap();
                let public = DhSecret::from_bytes(secret).public();
                assert_eq!(public.0.to_vec(), bytes(&case["x25519_public"]));
                PurposeKey::SecureChannel(public)
            }
            false => {
                let public = bytes(&case["public"]["hex"]).try_into().unwrap();
                PurposeKey::CredentialSigning(VerifyingKey::Ed25519(public))
            }
        };
        let received = Attestation::decode(&bytes(&case["attestation_cbor"])).unwrap();
        assert_eq!(
            received.verify(&identity, created_at),
            Ok(key),
            "{}",
            case["name"]
        );
        assert_eq!(received.created_at(), created_at);
        assert_eq!(received.expires_at(), expires_at);
        let pending = PendingAttestation::begin(&identity, key, created_at, expires_at).unwrap();
        let signature = signer.sign(pending.to_sign());
        let made = pending.finish(signature).unwrap();
        assert_eq!(
            made.as_bytes(),
            bytes(&case["attestation_cbor"]),
            "{}",
            case["name"]
        );
    }
    println!("purpose_keys: {} cases", cases.len());
}

/// A history in which anything can be wrong.
struct Forge {
    changes: Vec<Vec<u8>>,
    previous: Option<[u8; 32]>,
}

struct Change {
    previous: Option<[u8; 32]>,
    new: u8,
    old: Option<u8>,
    from: u64,
    until: u64,
    version: u64,
    data_type: u64,
}

impl Forge {
    fn new() -> Self {
        Self {
            changes: Vec::new(),
            previous: None,
        }
    }

    /// A change that is right, for `alter` to spoil before it is signed.
    fn change(mut self, new: u8, alter: impl FnOnce(&mut Change)) -> Self {
        let mut change = Change {
            previous: self.previous,
            new,
            old: self.previous.map(|_| new - 1),
            from: T0.0 + u64::from(new),
            until: T0.0 + 1_000,
            version: 1,
            data_type: 1,
        };
        alter(&mut change);
        let mut data = Writer::vec();
        data.array(5);
        match change.previous {
            Some(hash) => data.bytes(&hash),
            None => data.null(),
        };
        let public = key(change.new).verifying_key();
        data.array(2).unsigned(0).array(1).bytes(public.as_bytes());
        data.bool(false)
            .unsigned(change.from)
            .unsigned(change.until);
        let mut wrapped = Writer::vec();
        wrapped
            .array(3)
            .unsigned(change.version)
            .unsigned(change.data_type);
        wrapped.bytes(&data.into_sink());
        let wrapped = wrapped.into_sink();
        let digest = sealway_core::crypto::sha256(&[&wrapped]);
        let mut encoded = Writer::vec();
        encoded
            .array(2 + usize::from(change.old.is_some()))
            .bytes(&wrapped);
        for seed in [Some(change.new), change.old].into_iter().flatten() {
            let signature = key(seed).sign(&digest);
            encoded
                .array(2)
                .unsigned(0)
                .array(1)
                .bytes(signature.as_bytes());
        }
        self.changes.push(encoded.into_sink());
        self.previous = Some(digest);
        self
    }

    fn import(&self) -> Result<Identity, IdentityError> {
        let mut writer = Writer::vec();
        writer.array(self.changes.len());
        for change in &self.changes {
            writer.encoded(change);
        }
        Identity::import(&writer.into_sink(), None)
    }
}

#[test]
fn histories_with_one_defect_are_refused_by_name() {
    let good = || Forge::new().change(1, |_| {});
    assert!(good().change(2, |_| {}).change(3, |_| {}).import().is_ok());
    let mismatch = |change| IdentityError::Signature {
        change,
        error: SignatureError::Mismatch,
    };
    let version = SignedDataError::Version { got: 2 };
    let data_type = SignedDataError::DataType {
        got: 2,
        expected: 1,
    };
    let cases = [
        (
            good().change(2, |c| c.previous = Some([7; 32])),
            IdentityError::WrongPrevious { change: 1 },
        ),
        (
            good().change(2, |c| c.previous = None),
            IdentityError::WrongPrevious { change: 1 },
        ),
        (
            Forge::new().change(1, |c| c.previous = Some([7; 32])),
            IdentityError::WrongPrevious { change: 0 },
        ),
        (
            good().change(2, |c| c.old = None),
            IdentityError::MissingPreviousSignature { change: 1 },
        ),
        (good().change(2, |c| c.old = Some(9)), mismatch(1)),
        (
            good().change(2, |c| c.from = T0.0),
            IdentityError::WrongPeriod { change: 1 },
        ),
        (
            Forge::new().change(1, |c| c.until = T0.0),
            IdentityError::WrongPeriod { change: 0 },
        ),
        (
            good().change(2, |c| (c.from, c.until) = (T0.0 + 1_001, T0.0 + 2_000)),
            IdentityError::KeyExpired { change: 1 },
        ),
        (Forge::new().change(1, |c| c.version = 2), version.into()),
        (
            Forge::new().change(1, |c| c.data_type = 2),
            data_type.into(),
        ),
        (Forge::new(), IdentityError::Empty),
    ];
    for (index, (forged, error)) in cases.iter().enumerate() {
        assert_eq!(forged.import().unwrap_err(), *error, "case {index}");
    }
    println!("one-defect histories: {} cases", cases.len());
}

#[test]
fn flipped_bits_anywhere_in_a_history_are_refused() {
    let history = Identity::create(&key(1), T0)
        .rotate(&key(1), &key(2), T0.plus(1), Rotation::default())
        .unwrap();
    let identifier = history.identifier();
    for bit in 0..history.export().len() * 8 {
        let mut altered = history.export().to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        if let Ok(identity) = Identity::import(&altered, Some(&identifier)) {
            // Only the outermost framing may differ, and then what was signed is the same.
            assert_ne!(identity.compare(&history), Evolution::Diverged, "bit {bit}");
        }
    }
}

#[test]
fn at_most_32_changes_are_read_and_made() {
    let mut forge = Forge::new();
    for seed in 1..=32 {
        forge = forge.change(seed, |_| {});
    }
    let full = forge.import().unwrap();
    assert_eq!(full.change_count(), MAX_CHANGES);
    let more = full.rotate(&key(32), &key(33), T0.plus(50), Rotation::default());
    assert_eq!(more.unwrap_err(), IdentityError::TooManyChanges);
    let over = forge.change(33, |_| {});
    assert_eq!(over.import().unwrap_err(), IdentityError::TooManyChanges);
    let mut indefinite = vec![0x9f];
    indefinite.extend(over.changes.concat());
    indefinite.push(0xff);
    let refused = Identity::import(&indefinite, None).unwrap_err();
    assert_eq!(refused, IdentityError::TooManyChanges);
}

#[test]
fn histories_of_indefinite_length_verify_and_can_be_rotated() {
    let forge = Forge::new().change(1, |_| {});
    let indefinite = [&[0x9f][..], &forge.changes.concat(), &[0xff]].concat();
    let identity = Identity::import(&indefinite, None).unwrap();
    assert_eq!(identity.export(), indefinite);
    let rotated = identity
        .rotate(&key(1), &key(2), T0.plus(5), Rotation::default())
        .unwrap();
    assert_eq!(rotated.compare(&identity), Evolution::Newer);
}

#[test]
fn other_identity_is_refused_before_its_signatures_are_verified() {
    let expected = Identity::create(&key(1), T0).identifier();
    let mut history = Identity::create(&key(2), T0).export().to_vec();
    *history.last_mut().unwrap() ^= 1;
    let error = Identity::import(&history, Some(&expected)).unwrap_err();
    assert!(
        matches!(error, IdentityError::WrongIdentifier { .. }),
        "{error}"
    );
}

#[test]
fn histories_that_fork_diverge() {
    let identity = Identity::create(&key(1), T0);
    let fork = |seed| {
        identity
            .rotate(&key(1), &key(seed), T0.plus(1), Rotation::default())
            .unwrap()
    };
    assert_eq!(fork(2).compare(&fork(3)), Evolution::Diverged);
    assert_eq!(fork(2).compare(&fork(2)), Evolution::Same);
    assert_eq!(
        identity.compare(&Identity::create(&key(2), T0)),
        Evolution::Diverged
    );
}

#[test]
fn only_the_latest_key_can_rotate() {
    let identity = Identity::create(&key(1), T0);
    let stolen = identity.rotate(&key(9), &key(2), T0, Rotation::default());
    assert!(matches!(
        stolen,
        Err(IdentityError::Signature { change: 1, .. })
    ));
    let rotated = identity
        .rotate(&key(1), &key(2), T0, Rotation::default())
        .unwrap();
    let old_again = rotated.rotate(&key(1), &key(3), T0, Rotation::default());
    assert!(matches!(
        old_again,
        Err(IdentityError::Signature { change: 2, .. })
    ));
    let expired = rotated.latest_change().validity().until.plus(1);
    let late = rotated.rotate(&key(2), &key(3), expired, Rotation::default());
    assert_eq!(late.unwrap_err(), IdentityError::KeyExpired { change: 2 });
}

#[test]
fn key_types_may_change_in_any_order() {
    let p256 = SigningKey::from_bytes(KeyType::P256, &[5; 32]).unwrap();
    let identity = Identity::create(&key(1), T0)
        .rotate(&key(1), &p256, T0, Rotation::default())
        .and_then(|identity| identity.rotate(&p256, &key(2), T0, Rotation::default()))
        .unwrap();
    assert_eq!(identity.latest_key().key_type(), KeyType::Ed25519);
    assert_eq!(identity.change_count(), 3);
}

const CHANNEL_KEY: PurposeKey = PurposeKey::SecureChannel(DhPublic([9; 32]));

#[test]
fn attestations_with_one_defect_are_refused_by_name() {
    let identity = Identity::create(&key(1), T0);
    let other = Identity::create(&key(2), T0);
    let now = T0.plus(100);
    let issue = |created_at, expires_at| {
        let pending = PendingAttestation::begin(&identity, CHANNEL_KEY, created_at, expires_at);
        let pending = pending.unwrap();
        let signature = key(1).sign(pending.to_sign());
        pending.finish(signature).unwrap()
    };
    let good = issue(now, now.plus(10));
    assert_eq!(good.verify(&identity, now), Ok(CHANNEL_KEY));
    assert_eq!(good.verify(&identity, now.plus(10)), Ok(CHANNEL_KEY));
    let expired = AttestationError::Expired {
        expires_at: now.plus(10),
    };
    assert_eq!(good.verify(&identity, now.plus(11)), Err(expired));
    let early = AttestationError::NotYetValid {
        created_at: now.plus(61),
    };
    assert_eq!(
        issue(now.plus(61), now.plus(70)).verify(&identity, now),
        Err(early)
    );
    assert!(
        issue(now.plus(60), now.plus(70))
            .verify(&identity, now)
            .is_ok()
    );
    let wrong = good.verify(&other, now).unwrap_err();
    assert!(matches!(wrong, AttestationError::WrongSubject { .. }));
    let rotated = identity
        .rotate(&key(1), &key(3), T0, Rotation::default())
        .unwrap();
    assert_eq!(
        good.verify(&rotated, now),
        Err(AttestationError::OutdatedChange)
    );
}

#[test]
fn expired_identity_attests_nothing() {
    let identity = Identity::create(&key(1), T0);
    let end = identity.latest_change().validity().until;
    let attestation = Attestation::issue(&key(1), &identity, CHANNEL_KEY, end).unwrap();
    assert_eq!(
        attestation.expires_at(),
        end,
        "cut to the identity's validity"
    );
    assert_eq!(attestation.verify(&identity, end), Ok(CHANNEL_KEY));
    let expired = AttestationError::KeyExpired { valid_until: end };
    let late = Attestation::issue(&key(1), &identity, CHANNEL_KEY, end.plus(1));
    assert_eq!(late.unwrap_err(), expired);
    assert_eq!(attestation.verify(&identity, end.plus(1)), Err(expired));
}

#[test]
fn attestation_by_another_key_is_neither_made_nor_accepted() {
    let identity = Identity::create(&key(1), T0);
    let forged = Attestation::issue(&key(2), &identity, CHANNEL_KEY, T0);
    assert!(matches!(forged, Err(AttestationError::Signature(_))));
    let good = Attestation::issue(&key(1), &identity, CHANNEL_KEY, T0).unwrap();
    for bit in 0..good.as_bytes().len() * 8 {
        let mut altered = good.as_bytes().to_vec();
        altered[bit / 8] ^= 1 << (bit % 8);
        let verified = Attestation::decode(&altered).and_then(|a| a.verify(&identity, T0));
        assert!(
            verified.is_err() || verified == Ok(CHANNEL_KEY),
            "bit {bit}"
        );
    }
}

#[test]
fn signed_objects_do_not_pass_for_one_another() {
    let identity = Identity::create(&key(1), T0);
    let attestation = Attestation::issue(&key(1), &identity, CHANNEL_KEY, T0).unwrap();
    // An attestation has a change's outer shape, and the other way round.
    let as_history = [&[0x81][..], attestation.as_bytes()].concat();
    let wrong_type = SignedDataError::DataType {
        got: 2,
        expected: 1,
    };
    let refused = Identity::import(&as_history, None).unwrap_err();
    assert_eq!(refused, IdentityError::Data(wrong_type));
    let as_attestation = Attestation::decode(&identity.export()[1..]).unwrap_err();
    let wrong_type = SignedDataError::DataType {
        got: 1,
        expected: 2,
    };
    assert_eq!(as_attestation, AttestationError::Data(wrong_type));
}

#[test]
fn signature_of_another_type_is_refused() {
    let identity = Identity::begin(key(1).verifying_key(), Validity::starting(T0));
    let Signature::Ed25519(raw) = key(1).sign(identity.to_sign()) else {
        unreachable!("an Ed25519 key signs so")
    };
    let refused = identity.finish(Signature::P256(raw), None).unwrap_err();
    assert!(matches!(
        refused,
        IdentityError::Signature { change: 0, .. }
    ));
}
