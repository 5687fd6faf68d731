//! Dishonest peers and outsiders against the handshake, in both suites.

use std::sync::Arc;

use sealway_core::UnixSeconds;
use sealway_core::channel::{
    AwaitMessage2, AwaitMessage3, HandshakeError, Initiator, LocalParty, PartyError, Responder,
    Suite, Trust,
};
use sealway_core::crypto::{DhSecret, SignatureError};
use sealway_core::identity::{
    Attestation, AttestationError, Identity, IdentityError, PurposeKey, Rotation,
};
use sealway_core::noise::{Fresh, NoiseError, Role};
use sealway_core::wire::cbor::Writer;

use crate::support::{Fixed, Holder, NOW, api, connect, noise, prefix};

/// What a dishonest peer puts into its handshake payload.
fn payload(history: &[u8], attestation: &[u8], credentials: usize) -> Vec<u8> {
    let mut writer = Writer::vec();
    writer
        .array(3)
        .encoded(history)
        .encoded(attestation)
        .array(credentials);
    for _ in 0..credentials {
        writer.null();
    }
    writer.into_sink()
}

fn honest(holder: &Holder) -> Vec<u8> {
    payload(holder.identity.export(), holder.attestation.as_bytes(), 0)
}

fn secret(bytes: [u8; 32]) -> DhSecret {
    DhSecret::from_bytes(bytes)
}

/// Alice calls; whoever holds `static_key` answers with `payload`. What does she make of it?
fn answered(
    alice: &Holder,
    trust: &Trust,
    now: UnixSeconds,
    static_key: [u8; 32],
    payload: &[u8],
) -> Result<(), HandshakeError> {
    let (message1, initiator) = Initiator::start(&alice.party(), &api(), &mut Fixed([0xe1; 32]));
    let mut evil = noise(alice.suite, Role::Responder, static_key);
    evil.read_message(&message1[prefix(alice.suite).len()..])
        .unwrap();
    let fresh = evil.draw(&mut Fixed([0xe2; 32]));
    let message2 = evil.write_message(payload, fresh).unwrap();
    match initiator.read_message2(&message2, now, trust) {
        Ok(_) => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

/// Whoever holds `static_key` calls Bob and presents `payload`. What does he make of it?
fn called(
    bob: &Holder,
    trust: &Trust,
    now: UnixSeconds,
    static_key: [u8; 32],
    payload: &[u8],
) -> Result<(), HandshakeError> {
    let mut evil = noise(bob.suite, Role::Initiator, static_key);
    let fresh = evil.draw(&mut Fixed([0xe1; 32]));
    let message1 = evil.write_message(&[], fresh).unwrap();
    let message1 = [prefix(bob.suite), &message1].concat();
    let responder = Responder::new(&bob.party(), &api())
        .read_message1(&message1)
        .unwrap();
    let (message2, responder) = responder.write_message2(&mut Fixed([0xe2; 32])).unwrap();
    evil.read_message(&message2).unwrap();
    let message3 = evil.write_message(payload, Fresh::default()).unwrap();
    match responder.read_message3(&message3, now, trust) {
        Ok(_) => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

/// Both roles must come to the same verdict.
fn verdict(
    victim: &Holder,
    trust: &Trust,
    static_key: [u8; 32],
    payload: &[u8],
) -> Result<(), HandshakeError> {
    verdict_at(victim, trust, NOW, static_key, payload)
}

fn verdict_at(
    victim: &Holder,
    trust: &Trust,
    now: UnixSeconds,
    static_key: [u8; 32],
    payload: &[u8],
) -> Result<(), HandshakeError> {
    let as_initiator = answered(victim, trust, now, static_key, payload);
    let as_responder = called(victim, trust, now, static_key, payload);
    assert_eq!(as_initiator, as_responder);
    as_initiator
}

#[test]
fn honest_parties_meet_and_share_a_binding() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let (at_alice, at_bob) = connect(&alice, &bob);
        assert_eq!(at_alice.handshake_hash, at_bob.handshake_hash);
        assert_eq!([at_alice.suite, at_bob.suite], [suite; 2]);
        assert_eq!(at_alice.peer.identifier(), bob.identity.identifier());
        assert_eq!(at_bob.peer.identifier(), alice.identity.identifier());
        let direct = verdict(&alice, &bob.trust(), bob.static_key, &honest(&bob));
        assert_eq!(
            direct,
            Ok(()),
            "the tests' own peer is accepted when it is honest"
        );
    }
}

#[test]
fn attestation_of_another_identity_is_refused() {
    for suite in Suite::ALL {
        let (alice, bob, eve) = (
            Holder::new(suite, 1),
            Holder::new(suite, 2),
            Holder::new(suite, 3),
        );
        // Eve has a channel key of her own and an honest attestation of it, but claims to be Bob.
        let claim = payload(bob.identity.export(), eve.attestation.as_bytes(), 0);
        let refused = verdict(&alice, &Trust::Everyone, eve.static_key, &claim);
        let wrong_subject = AttestationError::WrongSubject {
            expected: bob.identity.identifier(),
            found: eve.identity.identifier(),
        };
        assert_eq!(refused, Err(wrong_subject.into()));
    }
}

#[test]
fn attestation_of_another_static_key_is_refused() {
    for suite in Suite::ALL {
        let (alice, bob, eve) = (
            Holder::new(suite, 1),
            Holder::new(suite, 2),
            Holder::new(suite, 3),
        );
        // Eve replays all that Bob ever showed her, but lacks his static key.
        let refused = verdict(&alice, &bob.trust(), eve.static_key, &honest(&bob));
        assert_eq!(refused, Err(HandshakeError::WrongKey));
    }
}

#[test]
fn own_identity_on_a_victims_static_key_is_refused() {
    for suite in Suite::ALL {
        let (alice, bob, eve) = (
            Holder::new(suite, 1),
            Holder::new(suite, 2),
            Holder::new(suite, 3),
        );
        // Unknown key share: Eve attests Bob's public key as hers. She can sign that, but she cannot
        // run the handshake with it, so all she can present is her own key.
        let stolen = suite.purpose(secret(bob.static_key).public());
        let attestation = Attestation::issue(&eve.signer, &eve.identity, stolen, NOW).unwrap();
        let claim = payload(eve.identity.export(), attestation.as_bytes(), 0);
        let refused = verdict(&alice, &Trust::Everyone, eve.static_key, &claim);
        assert_eq!(refused, Err(HandshakeError::WrongKey));
    }
}

#[test]
fn stolen_keys_of_the_victim_do_not_impersonate_others_to_it() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        // Key-compromise impersonation: the attacker holds all of Alice's secrets and wants to be Bob.
        let own = suite.purpose(secret(alice.static_key).public());
        let forged = Attestation::issue(&alice.signer, &alice.identity, own, NOW).unwrap();
        let claims = [
            honest(&bob),
            honest(&alice),
            payload(bob.identity.export(), alice.attestation.as_bytes(), 0),
            payload(bob.identity.export(), forged.as_bytes(), 0),
            payload(alice.identity.export(), bob.attestation.as_bytes(), 0),
        ];
        for claim in &claims {
            for static_key in [alice.static_key, [0x66; 32]] {
                assert!(verdict(&alice, &bob.trust(), static_key, claim).is_err());
            }
        }
        // Who knows her ephemeral and static keys, but not Bob's static one, cannot write message 2 for
        // it.
        let refused = answered(&alice, &bob.trust(), NOW, [0x66; 32], &honest(&bob));
        assert!(refused.is_err());
    }
}

#[test]
pub(crate) fn stranger_is_refused_before_its_signatures_are_verified() {
    for suite in Suite::ALL {
        let (alice, bob, eve) = (
            Holder::new(suite, 1),
            Holder::new(suite, 2),
            Holder::new(suite, 3),
        );
        let mut history = eve.identity.export().to_vec();
        *history.last_mut().unwrap() ^= 1;
        let broken = payload(&history, eve.attestation.as_bytes(), 0);
        let untrusted = HandshakeError::Untrusted(eve.identity.identifier());
        let specific = [
            bob.trust(),
            Trust::AnyOf(vec![bob.identity.identifier(), alice.identity.identifier()]),
            Trust::AnyOf(Vec::new()),
            Trust::And(vec![Trust::Everyone, bob.trust()]),
            Trust::And(Vec::new()),
            Trust::Or(vec![bob.trust(), alice.trust()]),
            Trust::Or(Vec::new()),
        ];
        for trust in &specific {
            assert_eq!(
                verdict(&alice, trust, eve.static_key, &broken),
                Err(untrusted)
            );
        }
        let mismatch = IdentityError::Signature {
            change: 0,
            error: SignatureError::Mismatch,
        };
        for trust in [
            Trust::Everyone,
            eve.trust(),
            Trust::Or(vec![bob.trust(), eve.trust()]),
        ] {
            let refused = verdict(&alice, &trust, eve.static_key, &broken);
            assert_eq!(refused, Err(mismatch.into()));
            assert_eq!(
                verdict(&alice, &trust, eve.static_key, &honest(&eve)),
                Ok(())
            );
        }
    }
}

#[test]
fn history_that_does_not_chain_is_refused() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let new = Holder::new(suite, 4);
        let rotated = bob
            .identity
            .rotate(&bob.signer, &new.signer, NOW, Rotation::default())
            .unwrap();
        let other = Holder::new(suite, 5).identity;
        // Bob's second change behind another identity's first.
        let second = &rotated.export()[bob.identity.export().len()..];
        let spliced = [&[0x82][..], &other.export()[1..], second].concat();
        let claim = payload(&spliced, bob.attestation.as_bytes(), 0);
        let refused = verdict(&alice, &Trust::Everyone, bob.static_key, &claim);
        let wrong_previous = IdentityError::WrongPrevious { change: 1 };
        assert_eq!(refused, Err(wrong_previous.into()));
    }
}

#[test]
fn attestation_from_before_a_rotation_is_refused() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let new = Holder::new(suite, 4);
        let rotated = bob
            .identity
            .rotate(&bob.signer, &new.signer, NOW, Rotation::default())
            .unwrap();
        let claim = payload(rotated.export(), bob.attestation.as_bytes(), 0);
        let refused = verdict(&alice, &bob.trust(), bob.static_key, &claim);
        assert_eq!(refused, Err(AttestationError::OutdatedChange.into()));
    }
}

#[test]
fn expired_attestation_is_refused() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let expires_at = bob.attestation.expires_at();
        let at = |now| verdict_at(&alice, &bob.trust(), now, bob.static_key, &honest(&bob));
        assert_eq!(at(expires_at), Ok(()));
        let expired = AttestationError::Expired { expires_at };
        assert_eq!(at(expires_at.plus(1)), Err(expired.into()));
    }
}

#[test]
fn credential_key_does_not_pass_for_a_channel_key() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        // The same 32 bytes, attested for another purpose.
        let public = sealway_core::crypto::VerifyingKey::Ed25519(secret(bob.static_key).public().0);
        let purpose = PurposeKey::CredentialSigning(public);
        let attestation = Attestation::issue(&bob.signer, &bob.identity, purpose, NOW).unwrap();
        let claim = payload(bob.identity.export(), attestation.as_bytes(), 0);
        let refused = verdict(&alice, &bob.trust(), bob.static_key, &claim);
        assert_eq!(refused, Err(HandshakeError::WrongKey));
        let key = secret(bob.static_key);
        let party = LocalParty::new(&bob.identity, &attestation, key, &[]);
        assert_eq!(party.unwrap_err(), PartyError::WrongKey);
    }
}

#[test]
fn malformed_and_oversized_payloads_are_refused() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let good = honest(&bob);
        for len in 0..good.len() {
            let cut = &good[..len];
            assert!(
                verdict(&alice, &Trust::Everyone, bob.static_key, cut).is_err(),
                "{len}"
            );
        }
        let nine = payload(bob.identity.export(), bob.attestation.as_bytes(), 9);
        let refused = verdict(&alice, &bob.trust(), bob.static_key, &nine).unwrap_err();
        assert!(matches!(refused, HandshakeError::Payload(_)), "{refused}");
        let eight = payload(bob.identity.export(), bob.attestation.as_bytes(), 8);
        assert_eq!(
            verdict(&alice, &bob.trust(), bob.static_key, &eight),
            Ok(())
        );
        let trailing = [&good[..], &[0; 9]].concat();
        assert_eq!(
            verdict(&alice, &bob.trust(), bob.static_key, &trailing),
            Ok(())
        );
    }
}

#[test]
fn low_order_ephemeral_key_is_refused() {
    let bob = Holder::new(Suite::Classical, 2);
    for point in [[0; 32], core::array::from_fn(|i| u8::from(i == 0))] {
        let responder = Responder::new(&bob.party(), &api())
            .read_message1(&point)
            .unwrap();
        let refused = responder
            .write_message2(&mut Fixed([0xe2; 32]))
            .unwrap_err();
        assert_eq!(refused, NoiseError::LowOrderPoint.into());
        let (_, initiator) = Initiator::start(&bob.party(), &api(), &mut Fixed([0xe1; 32]));
        let message2 = [&point[..], &[0; 200]].concat();
        let refused = initiator.read_message2(&message2, NOW, &Trust::Everyone);
        assert_eq!(refused.unwrap_err().error, NoiseError::LowOrderPoint.into());
    }
}

fn half_open(alice: &Holder, bob: &Holder) -> (Vec<u8>, AwaitMessage2, AwaitMessage3) {
    let (message1, initiator) = Initiator::start(&alice.party(), &api(), &mut Fixed([0xe1; 32]));
    let responder = Responder::new(&bob.party(), &api())
        .read_message1(&message1)
        .unwrap();
    let (message2, responder) = responder.write_message2(&mut Fixed([0xe2; 32])).unwrap();
    (message2, initiator, responder)
}

#[test]
fn real_message_still_counts_after_forged_ones() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let (message2, mut initiator, mut responder) = half_open(&alice, &bob);
        let forged = NoiseError::Forged.into();
        for index in (0..message2.len()).step_by(13) {
            let mut altered = message2.clone();
            altered[index] ^= 0x80;
            let failed = initiator
                .read_message2(&altered, NOW, &bob.trust())
                .unwrap_err();
            // X25519 ignores the top bit of a public key, but the transcript does not.
            assert_eq!(failed.error, forged, "byte {index}");
            initiator = failed.state;
        }
        // A message that is genuine but not trusted changes nothing either.
        let failed = initiator
            .read_message2(&message2, NOW, &alice.trust())
            .unwrap_err();
        let initiator = failed
            .state
            .read_message2(&message2, NOW, &bob.trust())
            .unwrap();
        let (message3, at_alice) = initiator.write_message3().unwrap();
        for index in (0..message3.len()).step_by(13) {
            let mut altered = message3.clone();
            altered[index] ^= 0x80;
            let failed = responder
                .read_message3(&altered, NOW, &alice.trust())
                .unwrap_err();
            assert_eq!(failed.error, forged, "byte {index}");
            responder = failed.state;
        }
        let at_bob = responder
            .read_message3(&message3, NOW, &alice.trust())
            .unwrap();
        assert_eq!(at_alice.handshake_hash, at_bob.handshake_hash);
    }
}

#[test]
fn reflected_handshake_messages_are_refused() {
    for suite in Suite::ALL {
        let alice = Holder::new(suite, 1);
        let (message1, initiator) =
            Initiator::start(&alice.party(), &api(), &mut Fixed([0xe1; 32]));
        let reflected = initiator.read_message2(&message1, NOW, &Trust::Everyone);
        assert!(reflected.is_err());
        let (message2, _, responder) = half_open(&alice, &alice);
        assert!(
            responder
                .read_message3(&message2, NOW, &Trust::Everyone)
                .is_err()
        );
    }
}

#[test]
fn altered_first_message_breaks_the_handshake() {
    let (alice, bob) = (
        Holder::new(Suite::Classical, 1),
        Holder::new(Suite::Classical, 2),
    );
    let (message1, initiator) = Initiator::start(&alice.party(), &api(), &mut Fixed([0xe1; 32]));
    // Accepted as a cleartext payload, as the reference does, but bound into the transcript.
    let longer = [&message1[..], b"x"].concat();
    let responder = Responder::new(&bob.party(), &api())
        .read_message1(&longer)
        .unwrap();
    let (message2, _) = responder.write_message2(&mut Fixed([0xe2; 32])).unwrap();
    let refused = initiator
        .read_message2(&message2, NOW, &bob.trust())
        .unwrap_err();
    assert_eq!(refused.error, NoiseError::Forged.into());
}

#[test]
fn parts_that_do_not_belong_together_make_no_party() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let key = || secret(bob.static_key);
        let wrong = LocalParty::new(&alice.identity, &bob.attestation, key(), &[]);
        assert!(matches!(wrong.unwrap_err(), PartyError::Attestation(_)));
        let wrong = LocalParty::new(&bob.identity, &bob.attestation, secret([1; 32]), &[]);
        assert_eq!(wrong.unwrap_err(), PartyError::WrongKey);
        let large = [vec![0; 65_400]];
        let wrong = LocalParty::new(&bob.identity, &bob.attestation, key(), &large);
        assert!(matches!(wrong.unwrap_err(), PartyError::TooLong { .. }));
        let many = vec![vec![0xf6]; 9];
        let wrong = LocalParty::new(&bob.identity, &bob.attestation, key(), &many);
        assert_eq!(
            wrong.unwrap_err(),
            PartyError::TooManyCredentials { got: 9 }
        );
    }
}

#[test]
fn credentials_arrive_as_they_were_given() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let credential = [0x82, 0x41, 7, 0x9f, 1, 0xff];
        let key = secret(bob.static_key);
        let credentials = [credential.to_vec()];
        let party = LocalParty::new(&bob.identity, &bob.attestation, key, &credentials).unwrap();
        let (message1, initiator) =
            Initiator::start(&alice.party(), &api(), &mut Fixed([0xe1; 32]));
        let responder = Responder::new(&Arc::new(party), &api())
            .read_message1(&message1)
            .unwrap();
        let (message2, _) = responder.write_message2(&mut Fixed([0xe2; 32])).unwrap();
        let initiator = initiator
            .read_message2(&message2, NOW, &bob.trust())
            .unwrap();
        assert_eq!(initiator.peer_credentials(), credentials);
    }
}

/// The peer's history is exposed before message 3, so that a shorter one than known can be refused.
#[test]
fn older_history_can_be_refused_before_the_initiator_names_itself() {
    for suite in Suite::ALL {
        let (alice, bob) = (Holder::new(suite, 1), Holder::new(suite, 2));
        let new = Holder::new(suite, 4);
        let known = bob
            .identity
            .rotate(&bob.signer, &new.signer, NOW, Rotation::default())
            .unwrap();
        let (message2, initiator, _) = half_open(&alice, &bob);
        let initiator = initiator
            .read_message2(&message2, NOW, &bob.trust())
            .unwrap();
        let presented: &Identity = initiator.peer();
        let evolution = presented.compare(&known);
        assert_eq!(evolution, sealway_core::identity::Evolution::Older);
    }
}
