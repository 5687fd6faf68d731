//! The reference's channels, byte for byte.

use std::sync::Arc;

use sealway_core::channel::message::{self, Plaintext};
use sealway_core::channel::{Initiator, LocalParty, Opener, Responder, Sealer, Trust};
use sealway_core::crypto::{DhSecret, KeyType, SigningKey};
use sealway_core::identity::{Attestation, Identity};
use sealway_core::wire::{Address, AddressType, Frame, Route};
use sealway_core::{Tick, UnixSeconds};
use serde_json::Value;

use crate::support::{Fixed, NOW, api};

fn load(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn key(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn party(vector: &Value, role: &str, parts: &str) -> Arc<LocalParty> {
    let parts = &vector[parts];
    let identity = Identity::import(&bytes(&parts["change_history"]), None).unwrap();
    assert_eq!(
        identity.identifier().to_string(),
        vector[role]["identifier"]
    );
    let attestation = Attestation::decode(&bytes(&parts["purpose_key_attestation"])).unwrap();
    let static_key = DhSecret::from_bytes(key(&vector[role]["static_secret"]));
    Arc::new(LocalParty::new(&identity, &attestation, static_key, &[]).unwrap())
}

#[test]
fn typed_handshake_reproduces_the_reference_bytes() {
    let vector = load(include_str!(
        "../../../vectors/secure_channel_handshake.json"
    ));
    let alice = party(&vector, "initiator", "message3_payload_parts");
    let bob = party(&vector, "responder", "message2_payload_parts");
    let rng = |role: &str| Fixed(key(&vector[role]["ephemeral_secret"]));

    let (message1, initiator) = Initiator::start(&alice, &api(), &mut rng("initiator"));
    assert_eq!(message1, bytes(&vector["message1"]));
    let responder = Responder::new(&bob, &api())
        .read_message1(&message1)
        .unwrap();
    let (message2, responder) = responder.write_message2(&mut rng("responder")).unwrap();
    assert_eq!(message2, bytes(&vector["message2"]));
    let trust = Trust::Identifier(*bob.identifier());
    let initiator = initiator.read_message2(&message2, NOW, &trust).unwrap();
    assert_eq!(initiator.peer().identifier(), *bob.identifier());
    let (message3, at_alice) = initiator.write_message3().unwrap();
    assert_eq!(message3, bytes(&vector["message3"]));
    let trust = Trust::Identifier(*alice.identifier());
    let at_bob = responder.read_message3(&message3, NOW, &trust).unwrap();

    for end in [&at_alice, &at_bob] {
        assert_eq!(end.handshake_hash, key(&vector["final_h"]));
        assert!(end.peer_credentials.is_empty());
    }
    let parts = ["message2_payload_parts", "message3_payload_parts"];
    for (end, parts) in [&at_alice, &at_bob].into_iter().zip(parts) {
        assert_eq!(end.peer.export(), bytes(&vector[parts]["change_history"]));
    }

    // The session's keys are the vector's, in the reference's directions.
    let messages = load(include_str!(
        "../../../vectors/secure_channel_messages.json"
    ));
    let ((mut alice_seals, _), (_, mut bob_opens)) =
        (at_alice.session.split(), at_bob.session.split());
    let first = &messages["messages"][0];
    let mut frame = Frame::from_slice(&bytes(&first["plaintext_cbor"]));
    alice_seals.seal(&mut frame).unwrap();
    assert_eq!(frame.as_slice(), bytes(&first["message"]));
    bob_opens.open(&mut frame, Tick(0)).unwrap();
    assert_eq!(frame.as_slice(), bytes(&first["plaintext_cbor"]));
    println!("secure_channel_handshake: 3 messages, both roles");
}

#[test]
fn identities_of_the_handshake_are_made_again_from_their_secrets() {
    let vector = load(include_str!(
        "../../../vectors/secure_channel_handshake.json"
    ));
    let cases = [
        ("initiator", "message3_payload_parts"),
        ("responder", "message2_payload_parts"),
    ];
    for (role, parts) in cases {
        let secret = key(&vector[role]["identity_secret"]);
        let signer = SigningKey::from_bytes(KeyType::Ed25519, &secret).unwrap();
        let identity = Identity::create(&signer, UnixSeconds(1_700_000_000));
        assert_eq!(identity.export(), bytes(&vector[parts]["change_history"]));
    }
}

fn route(value: &Value) -> Route {
    let hop = |hop: &Value| {
        let kind = u8::try_from(hop["type"].as_u64().unwrap()).unwrap();
        Address::new(AddressType(kind), bytes(&hop["hex"]))
    };
    value.as_array().unwrap().iter().map(hop).collect()
}

fn assert_decodes(plaintext: &[u8], decoded: &Value) {
    match message::decode(plaintext).unwrap() {
        Plaintext::Payload {
            onward,
            return_route,
            payload,
        } => {
            assert_eq!(decoded["kind"], "Payload");
            assert_eq!(onward, route(&decoded["onward_route"]));
            assert_eq!(return_route, route(&decoded["return_route"]));
            assert_eq!(plaintext[payload.clone()], bytes(&decoded["payload"]));
            let mut frame = Frame::from_slice(&plaintext[payload]);
            let grown = message::payload_overhead(&onward, &return_route, frame.len());
            let expected_len = frame.len() + grown;
            message::encode_payload(&mut frame, &onward, &return_route);
            assert_eq!(frame.as_slice(), plaintext);
            Sealer::new(&[1; 32]).seal(&mut frame).unwrap();
            assert_eq!(frame.len(), expected_len);
        }
        Plaintext::Close => {
            assert_eq!(decoded["kind"], "Close");
            assert_eq!(message::encode_close().as_slice(), plaintext);
        }
        Plaintext::RefreshCredentials { .. } => panic!("not in this file"),
    }
}

#[test]
fn recorded_messages_open_across_rekeys() {
    let vector = load(include_str!(
        "../../../vectors/secure_channel_messages.json"
    ));
    let mut cases = 0;
    let sides = [
        ("initiator_to_responder", "k2"),
        ("responder_to_initiator", "k1"),
    ];
    for (direction, first_key) in sides {
        let rekey = vector["rekey"].as_array().unwrap();
        let keys = rekey.iter().find(|keys| keys["from"] == first_key).unwrap();
        let mut opener = Opener::new(&key(&keys["nonces_0_31"]));
        let mut sealer = Sealer::new(&key(&keys["nonces_0_31"]));
        let messages = vector["messages"].as_array().unwrap();
        for case in messages
            .iter()
            .filter(|case| case["direction"] == direction)
        {
            let nonce = case["nonce"].as_u64().unwrap();
            let plaintext = bytes(&case["plaintext_cbor"]);
            let mut frame = Frame::from_slice(&bytes(&case["message"]));
            assert_eq!(opener.open(&mut frame, Tick(0)), Ok(nonce));
            assert_eq!(frame.as_slice(), plaintext);
            assert_decodes(&plaintext, &case["decoded"]);
            while sealer.next_nonce() < nonce {
                sealer.seal(&mut Frame::from_slice(b"lost")).unwrap();
            }
            sealer.seal(&mut frame).unwrap();
            assert_eq!(frame.as_slice(), bytes(&case["message"]));
            cases += 1;
        }
    }
    println!("secure_channel_messages: {cases} cases");
    assert_eq!(cases, vector["messages"].as_array().unwrap().len());
}

#[test]
fn every_kind_of_message_opens_with_and_without_padding() {
    let vector = load(include_str!(
        "../../../vectors/secure_channel_synthetic.json"
    ));
    let cases = vector["vectors"].as_array().unwrap();
    for case in cases {
        let plaintext = bytes(&case["plaintext_cbor"]);
        let mut frame = Frame::from_slice(&bytes(&case["message"]));
        let nonce = Opener::new(&key(&case["key"])).open(&mut frame, Tick(0));
        assert_eq!(nonce, Ok(case["nonce"].as_u64().unwrap()));
        assert_eq!(frame.as_slice(), plaintext);
        let again = match message::decode(&plaintext).unwrap() {
            Plaintext::Payload {
                onward,
                return_route,
                payload,
            } => {
                assert_eq!(plaintext[payload.clone()], *b"\x05hello");
                let mut frame = Frame::from_slice(&plaintext[payload]);
                message::encode_payload(&mut frame, &onward, &return_route);
                frame
            }
            Plaintext::RefreshCredentials {
                history,
                credentials,
            } => {
                Identity::import(&plaintext[history.clone()], None).unwrap();
                message::encode_refresh(&plaintext[history], &credentials)
            }
            Plaintext::Close => message::encode_close(),
        };
        let padding = usize::try_from(case["padding_len"].as_u64().unwrap()).unwrap();
        let unpadded = &plaintext[..plaintext.len() - 1 - padding];
        assert_eq!(
            again.as_slice(),
            [unpadded, &[0x40]].concat(),
            "{}",
            case["name"]
        );
    }
    println!("secure_channel_synthetic: {} cases", cases.len());
}
