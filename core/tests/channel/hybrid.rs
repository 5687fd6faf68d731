//! The hybrid suite: the vectors that another implementation made, and the attacks that are its own.
//! Those on identities run in both suites (`attacks`).

use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;
use rand_core::{TryCryptoRng, TryRng};
use sealway_core::channel::{
    AwaitMessage2, AwaitMessage3, HandshakeError, Initiator, LocalParty, Responder, Suite, Trust,
};
use sealway_core::crypto::{
    DecapsulationKey, DhPublic, DhSecret, KeyType, SharedSecret, SigningKey,
};
use sealway_core::identity::{Attestation, AttestationError, Identity};
use sealway_core::noise::{NoiseError, Protocol, SymmetricState};
use sealway_core::wire::{Address, DecodeError, Frame};
use sealway_core::{Tick, UnixSeconds};
use serde_json::Value;

use crate::support::{Fixed, Holder, NOW, api, connect};

/// Randomness that was written down, each block drawn once.
struct Given(Vec<u8>);

impl TryRng for Given {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("keys are drawn as bytes")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("keys are drawn as bytes")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.copy_from_slice(&self.0[..out.len()]);
        self.0.drain(..out.len());
        Ok(())
    }
}

impl TryCryptoRng for Given {}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../vectors/hybrid_handshake.json")).unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

fn key(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

/// A case of the vectors, as our side takes part in it.
struct Case<'v> {
    vector: &'v Value,
    now: UnixSeconds,
    listener: Address,
    alice: Arc<LocalParty>,
    bob: Arc<LocalParty>,
}

impl<'v> Case<'v> {
    fn new(vectors: &'v Value, vector: &'v Value) -> Self {
        let listener = bytes(&vector["listener"]);
        Self {
            vector,
            now: UnixSeconds(vectors["now"].as_u64().unwrap()),
            listener: Address::new(sealway_core::wire::AddressType::LOCAL, listener),
            alice: party(&vector["initiator"]),
            bob: party(&vector["responder"]),
        }
    }

    fn start(&self) -> (Vec<u8>, AwaitMessage2) {
        let side = &self.vector["initiator"];
        let drawn = [&side["ephemeral_secret"], &side["kem_seed"]].map(bytes);
        Initiator::start(&self.alice, &self.listener, &mut Given(drawn.concat()))
    }

    fn answer(&self, message1: &[u8]) -> Result<(Vec<u8>, AwaitMessage3), HandshakeError> {
        let side = &self.vector["responder"];
        let drawn = [&side["ephemeral_secret"], &side["encapsulation_randomness"]].map(bytes);
        Responder::new(&self.bob, &self.listener)
            .read_message1(message1)
            .map_err(|failed| failed.error)?
            .write_message2(&mut Given(drawn.concat()))
    }

    fn trust(party: &LocalParty) -> Trust {
        Trust::Identifier(*party.identifier())
    }

    /// What the honest end makes of message `number`, if it is these bytes.
    fn deliver(&self, number: u64, message: &[u8]) -> Result<(), HandshakeError> {
        match number {
            1 => self.answer(message).map(drop),
            2 => (self.start().1)
                .read_message2(message, self.now, &Self::trust(&self.bob))
                .map_or_else(|failed| Err(failed.error), |_| Ok(())),
            3 => (self.answer(&bytes(&self.vector["message1"]))?.1)
                .read_message3(message, self.now, &Self::trust(&self.alice))
                .map_or_else(|failed| Err(failed.error), |_| Ok(())),
            other => panic!("message {other}"),
        }
    }
}

/// Makes a party again from its secrets, and compares what it presents.
fn party(side: &Value) -> Arc<LocalParty> {
    let signer = SigningKey::from_bytes(KeyType::Ed25519, &key(&side["identity_secret"])).unwrap();
    let created = UnixSeconds(1_700_000_000);
    let identity = Identity::create(&signer, created);
    assert_eq!(identity.export(), bytes(&side["change_history"]));
    assert_eq!(identity.identifier().to_string(), side["identifier"]);
    let static_key = DhSecret::from_bytes(key(&side["static_secret"]));
    let purpose = Suite::Hybrid.purpose(static_key.public());
    let attestation = Attestation::issue(&signer, &identity, purpose, created).unwrap();
    assert_eq!(attestation.as_bytes(), bytes(&side["attestation"]));
    Arc::new(LocalParty::new(&identity, &attestation, static_key, &[]).unwrap())
}

#[test]
fn typed_handshake_reproduces_the_independent_bytes() {
    let vectors = vectors();
    let cases = vectors["cases"].as_array().unwrap();
    for vector in cases {
        let case = Case::new(&vectors, vector);
        let (message1, initiator) = case.start();
        assert_eq!(message1, bytes(&vector["message1"]), "{}", vector["name"]);
        let (message2, responder) = case.answer(&message1).unwrap();
        assert_eq!(message2, bytes(&vector["message2"]), "{}", vector["name"]);
        let initiator = initiator
            .read_message2(&message2, case.now, &Case::trust(&case.bob))
            .unwrap();
        let (message3, at_alice) = initiator.write_message3().unwrap();
        assert_eq!(message3, bytes(&vector["message3"]), "{}", vector["name"]);
        let at_bob = responder
            .read_message3(&message3, case.now, &Case::trust(&case.alice))
            .unwrap();

        let records = &vector["records"];
        let mut ends = [at_alice, at_bob].map(|end| {
            assert_eq!(end.handshake_hash, key(&vector["final_h"]));
            assert_eq!(end.suite, Suite::Hybrid);
            end.session.split()
        });
        for (from, role) in ["initiator", "responder"].into_iter().enumerate() {
            let mut frame = Frame::from_slice(&bytes(&records["plaintext"]));
            ends[from].0.seal(&mut frame).unwrap();
            assert_eq!(frame.as_slice(), bytes(&records[role]), "record of {role}");
            ends[1 - from].1.open(&mut frame, Tick(0)).unwrap();
            assert_eq!(frame.as_slice(), bytes(&records["plaintext"]));
        }
    }
    println!("hybrid_handshake: {} runs, both roles", cases.len());
}

/// The name that the vectors have for an error.
fn name(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::Noise(NoiseError::TooShort { .. }) => "TooShort",
        HandshakeError::Noise(NoiseError::Forged) => "Forged",
        HandshakeError::Noise(NoiseError::LowOrderPoint) => "LowOrderPoint",
        HandshakeError::Noise(NoiseError::InvalidEncapsulationKey) => "InvalidEncapsulationKey",
        HandshakeError::WrongSuite { .. } => "WrongSuite",
        HandshakeError::Message1Length { .. } => "Message1Length",
        HandshakeError::WrongKey => "WrongKey",
        HandshakeError::Attestation(_) => "Attestation",
        _ => "another",
    }
}

#[test]
fn messages_with_one_defect_are_refused_by_name() {
    let vectors = vectors();
    let case = Case::new(&vectors, &vectors["cases"][0]);
    for number in 1..=3 {
        let good = bytes(&case.vector[format!("message{number}")]);
        assert_eq!(case.deliver(number, &good), Ok(()), "the control");
    }
    let negative = vectors["negative"].as_array().unwrap();
    for defect in negative {
        let number = defect["message"].as_u64().unwrap();
        let refused = case.deliver(number, &bytes(&defect["bytes"]));
        let refused = refused.map_err(|error| name(&error));
        assert_eq!(
            refused,
            Err(defect["expected"].as_str().unwrap()),
            "{}",
            defect["name"]
        );
    }
    assert!(negative.len() >= 85);
    println!(
        "hybrid_handshake: {} messages with one defect",
        negative.len()
    );
}

#[test]
fn suites_do_not_meet() {
    let parties = |seed| Suite::ALL.map(|suite| Holder::new(suite, seed));
    let ([old_alice, new_alice], [old_bob, new_bob]) = (parties(1), parties(2));
    // A classical message 1 is 32 bytes, which no hybrid one is; its first two are a key's.
    let (message1, _) = Initiator::start(&old_alice.party(), &api(), &mut Fixed([0xe1; 32]));
    let refused = Responder::new(&new_bob.party(), &api()).read_message1(&message1);
    let HandshakeError::WrongSuite { got } = refused.unwrap_err().error else {
        panic!("a classical message 1 was taken for something else")
    };
    assert_eq!(got.to_be_bytes(), message1[..2]);
    // A classical listener reads the first 32 bytes of anything as a key; its answer opens nothing.
    let (message1, initiator) =
        Initiator::start(&new_alice.party(), &api(), &mut Fixed([0xe1; 32]));
    let responder = Responder::new(&old_bob.party(), &api())
        .read_message1(&message1)
        .unwrap();
    let (message2, _) = responder.write_message2(&mut Fixed([0xe2; 32])).unwrap();
    let refused = initiator.read_message2(&message2, NOW, &Trust::Everyone);
    let got = message2.len();
    let too_short = NoiseError::TooShort { got };
    assert_eq!(refused.unwrap_err().error, too_short.into());
}

#[test]
fn a_handshake_belongs_to_its_listener() {
    let (alice, bob) = (Holder::new(Suite::Hybrid, 1), Holder::new(Suite::Hybrid, 2));
    let own = Address::local("sealway_xx1");
    for other in ["api", "sealway_xx", "sealway_xx11", "", "Sealway_xx1"] {
        let (message1, initiator) = Initiator::start(&alice.party(), &own, &mut Fixed([0xe1; 32]));
        // Message 1 names nothing; what answers it is bound to where it arrived.
        let responder = Responder::new(&bob.party(), &Address::local(other))
            .read_message1(&message1)
            .unwrap();
        let (message2, _) = responder.write_message2(&mut Fixed([0xe2; 32])).unwrap();
        let refused = initiator.read_message2(&message2, NOW, &bob.trust());
        assert_eq!(refused.unwrap_err().error, NoiseError::Forged.into());
    }
}

/// What a recorder of a whole run, who has broken some of its secrets, reads of message 2: the
/// responder's static key, if it can.
fn recorded(
    messages: [&[u8]; 2],
    ee: impl Fn() -> SharedSecret,
    ekem1: impl Fn(&[u8]) -> Option<SharedSecret>,
) -> Result<Vec<u8>, NoiseError> {
    let [message1, message2] = messages;
    let prologue = b"\0\0\0\x11sealway/channel/1\0\x01\0\0\0\x03api";
    let mut state = SymmetricState::new(Protocol::hybrid(&[]).name, prologue);
    for part in [&message1[2..34], &message1[34..], b"", &message2[..32]] {
        state.mix_hash(part);
    }
    state.mix_key(&ee());
    let ciphertext = state.decrypt_and_hash(&message2[32..1136])?;
    if let Some(shared) = ekem1(&ciphertext) {
        state.mix_key(&shared);
    }
    state.decrypt_and_hash(&message2[1136..1184])
}

#[test]
fn a_recording_stays_secret_if_x25519_or_ml_kem_holds() {
    let (alice, bob) = (Holder::new(Suite::Hybrid, 1), Holder::new(Suite::Hybrid, 2));
    let (e_i, seed, e_r, m) = ([3; 32], [4; 64], [5; 32], [6; 32]);
    let drawn = Given([&e_i[..], &seed].concat());
    let (message1, _) = Initiator::start(&alice.party(), &api(), &mut { drawn });
    let drawn = Given([e_r, m].concat());
    let responder = Responder::new(&bob.party(), &api()).read_message1(&message1);
    let (message2, _) = responder.unwrap().write_message2(&mut { drawn }).unwrap();
    let messages = [&message1[..], &message2];

    let dh = |own: [u8; 32], peer: [u8; 32]| {
        let peer = DhSecret::from_bytes(peer).public();
        DhSecret::from_bytes(own).agree(&peer).unwrap()
    };
    let ee = || dh(e_i, e_r);
    let decapsulated = |seed: [u8; 64], ciphertext: &[u8]| {
        DecapsulationKey::from_seed(&seed).decapsulate(ciphertext.try_into().unwrap())
    };
    // The control: both broken, and the recorder reads what it should.
    let read = recorded(messages, ee, |ct| Some(decapsulated(seed, ct)));
    let static_key = DhSecret::from_bytes(bob.static_key).public();
    assert_eq!(
        read.map(|key| key.try_into().map(DhPublic)),
        Ok(Ok(static_key))
    );
    // All of X25519 is broken: every product of the four secret keys is known, ML-KEM's is not.
    let secrets = [e_i, e_r, alice.static_key, bob.static_key];
    assert_eq!(recorded(messages, ee, |_| None), Err(NoiseError::Forged));
    for own in secrets {
        for peer in secrets {
            let guess = recorded(messages, ee, |_| Some(dh(own, peer)));
            assert_eq!(guess, Err(NoiseError::Forged));
        }
    }
    let guess = recorded(messages, ee, |ct| Some(decapsulated([9; 64], ct)));
    assert_eq!(guess, Err(NoiseError::Forged));
    // ML-KEM is broken: its secret is known, X25519's are not. Even the ciphertext stays sealed.
    let known = decapsulated(seed, &{
        let re1 = DecapsulationKey::from_seed(&seed).encapsulation_key();
        let re1 = sealway_core::crypto::EncapsulationKey::from_bytes(&re1).unwrap();
        re1.encapsulate(&mut Given(m.to_vec())).0
    });
    let known = *known.as_bytes();
    for (own, peer) in [(e_i, known), (known, e_r), ([9; 32], e_i)] {
        let guess = recorded(
            messages,
            || dh(own, peer),
            |ct| Some(decapsulated(seed, ct)),
        );
        assert_eq!(guess, Err(NoiseError::Forged));
    }
}

#[test]
fn an_attestation_serves_the_suite_it_was_signed_for() {
    let holder = Holder::new(Suite::Hybrid, 1);
    assert_eq!(holder.party().suite(), Suite::Hybrid);
    assert_eq!(
        Holder::new(Suite::Classical, 1).party().suite(),
        Suite::Classical
    );
    // What was signed for one purpose cannot be read as the other: the variant is under the signature.
    let mut other = holder.attestation.as_bytes().to_vec();
    let public = DhSecret::from_bytes(holder.static_key).public();
    let at = other
        .windows(32)
        .position(|bytes| bytes == public.0)
        .unwrap();
    let variant = at - 4;
    assert_eq!(other[variant], 3);
    other[variant] = 0;
    let other = Attestation::decode(&other).unwrap();
    let refused = other.verify(&holder.identity, NOW).unwrap_err();
    assert!(
        matches!(refused, AttestationError::Signature(_)),
        "{refused}"
    );
    for value in [2, 4, 23] {
        let mut other = holder.attestation.as_bytes().to_vec();
        other[variant] = value;
        let what = "purpose key type";
        let value = u64::from(value);
        let unknown = DecodeError::Unknown { what, value };
        let refused = Attestation::decode(&other).unwrap_err();
        assert_eq!(refused, AttestationError::Data(unknown.into()));
    }
}

#[test]
fn every_run_has_keys_of_its_own() {
    let (alice, bob) = (Holder::new(Suite::Hybrid, 1), Holder::new(Suite::Hybrid, 2));
    let (first, _) = connect(&alice, &bob);
    // The same X25519 keys on both sides, another encapsulation.
    let drawn = Given([[0xe2; 32], [7; 32]].concat());
    let (message1, initiator) = Initiator::start(&alice.party(), &api(), &mut Fixed([0xe1; 32]));
    let responder = Responder::new(&bob.party(), &api()).read_message1(&message1);
    let (message2, _) = responder.unwrap().write_message2(&mut { drawn }).unwrap();
    let initiator = initiator.read_message2(&message2, NOW, &bob.trust());
    let (_, second) = initiator.unwrap().write_message3().unwrap();
    assert_ne!(first.handshake_hash, second.handshake_hash);
    let seal = |session: sealway_core::channel::Session| {
        let mut frame = Frame::from_slice(b"the same plaintext");
        session.split().0.seal(&mut frame).unwrap();
        frame.as_slice().to_vec()
    };
    assert_ne!(seal(first.session), seal(second.session));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever is drawn and wherever the listener is: untouched messages open the same channel on both
    /// sides, and one altered byte anywhere is refused by who reads it next, or opens nothing.
    #[test]
    fn altered_bytes_never_open_a_channel(
        drawn in prop::collection::vec(any::<u8>(), 160),
        listener in ".{0,24}",
        number in 0..3usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8u8,
        alter in any::<bool>(),
    ) {
        let (alice, bob) = (Holder::new(Suite::Hybrid, 1), Holder::new(Suite::Hybrid, 2));
        let listener = Address::local(listener);
        let on_the_way = |this: usize, message: Vec<u8>| {
            let mut message = message;
            if alter && this == number {
                let at = at.index(message.len());
                message[at] ^= 1 << bit;
            }
            message
        };
        let run = || -> Result<_, HandshakeError> {
            let mut rng = Given(drawn.clone());
            let (message1, initiator) = Initiator::start(&alice.party(), &listener, &mut rng);
            let (message2, responder) = Responder::new(&bob.party(), &listener)
                .read_message1(&on_the_way(0, message1))
                .map_err(|failed| failed.error)?
                .write_message2(&mut rng)?;
            let (message3, at_alice) = initiator
                .read_message2(&on_the_way(1, message2), NOW, &bob.trust())
                .map_err(|failed| failed.error)?
                .write_message3()?;
            let at_bob = responder
                .read_message3(&on_the_way(2, message3), NOW, &alice.trust())
                .map_err(|failed| failed.error)?;
            Ok((at_alice.handshake_hash, at_bob.handshake_hash))
        };
        match run() {
            Ok((at_alice, at_bob)) => {
                prop_assert!(!alter);
                prop_assert_eq!(at_alice, at_bob);
            }
            Err(_) => prop_assert!(alter),
        }
    }
}
