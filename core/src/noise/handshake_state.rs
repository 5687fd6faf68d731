//! HandshakeState walks the token table of its pattern (Noise rev 34, 5.3).

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::pattern::{Message, Pattern, Role, Token};
use super::{DH_LEN, KeyOrder, MAX_MESSAGE, NoiseError, Protocol, SymmetricState, TAG_LEN};
use crate::crypto::{
    CIPHERTEXT_LEN, CryptoRng, DecapsulationKey, DhPublic, DhSecret, ENCAPSULATION_KEY_LEN,
    EncapsulationKey, SharedSecret,
};

/// One side of a handshake.
///
/// Messages must be written and read in the pattern's order; [`crate::channel`] puts types around
/// that order so that a wrong one does not compile.
#[derive(Clone)]
pub struct HandshakeState {
    symmetric: SymmetricState,
    pattern: Pattern,
    keys: KeyOrder,
    role: Role,
    next: Option<Message>,
    s: Arc<DhSecret>,
    e: Option<Arc<DhSecret>>,
    rs: Option<DhPublic>,
    re: Option<DhPublic>,
    /// Our key pair of `e1`, gone once message two has been accepted.
    e1: Option<Arc<DecapsulationKey>>,
    /// The peer's `e1`, gone once message two has been written.
    re1: Option<Arc<EncapsulationKey>>,
    /// `h, ck, k` at the start, after each `MixKey` and after each message.
    #[cfg(test)]
    trace: Vec<[[u8; 32]; 3]>,
}

/// What is drawn for one message and used nowhere else; see [`HandshakeState::draw`].
#[derive(Default)]
pub struct Fresh {
    /// The key pair of `e`.
    pub e: Option<DhSecret>,
    /// The key pair of `e1`.
    pub e1: Option<DecapsulationKey>,
    /// Ciphertext and secret of `ekem1`.
    pub ekem1: Option<(Box<[u8; CIPHERTEXT_LEN]>, SharedSecret)>,
}

/// What a finished handshake yields.
pub struct Transport {
    /// Key of what this side sends.
    pub send: Zeroizing<[u8; 32]>,
    /// Key of what this side receives.
    pub receive: Zeroizing<[u8; 32]>,
    /// The final `h`: unique to this session, the same on both sides.
    pub handshake_hash: [u8; 32],
}

impl HandshakeState {
    /// Starts a handshake with this side's static key.
    #[must_use]
    pub fn new(protocol: &Protocol<'_>, role: Role, s: Arc<DhSecret>) -> Self {
        let symmetric = SymmetricState::new(protocol.name, protocol.prologue);
        Self {
            #[cfg(test)]
            trace: alloc::vec![symmetric.variables()],
            symmetric,
            pattern: protocol.pattern,
            keys: protocol.keys,
            role,
            next: Some(Message::One),
            s,
            e: None,
            rs: None,
            re: None,
            e1: None,
            re1: None,
        }
    }

    /// The peer's static key, once a message has carried it.
    #[must_use]
    pub const fn remote_static(&self) -> Option<&DhPublic> {
        self.rs.as_ref()
    }

    /// The symmetric half, for its transcript hash.
    #[must_use]
    pub const fn symmetric(&self) -> &SymmetricState {
        &self.symmetric
    }

    /// Draws what the next message needs, if it is ours to write: 32 bytes for `e`, then 64 for `e1`
    /// or 32 for `ekem1`.
    pub fn draw(&self, rng: &mut impl CryptoRng) -> Fresh {
        let mut fresh = Fresh::default();
        let tokens = self.turn(true).map(|message| self.pattern.tokens(message));
        for token in tokens.unwrap_or_default() {
            match token {
                Token::E => fresh.e = Some(DhSecret::generate(rng)),
                Token::E1 => fresh.e1 = Some(DecapsulationKey::generate(rng)),
                Token::Ekem1 => {
                    fresh.ekem1 = self.re1.as_ref().map(|re1| {
                        let (ciphertext, shared) = re1.encapsulate(rng);
                        (Box::new(ciphertext), shared)
                    });
                }
                Token::S | Token::Ee | Token::Es | Token::Se => {}
            }
        }
        fresh
    }

    /// Writes the next message with `payload`, and what was drawn for it into its place.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`] (also if something in `fresh` is missing), [`NoiseError::TooLong`]
    /// beyond [`MAX_MESSAGE`], [`NoiseError::LowOrderPoint`]. The state is then as it was.
    pub fn write_message(&mut self, payload: &[u8], fresh: Fresh) -> Result<Vec<u8>, NoiseError> {
        let message = self.turn(true)?;
        let total = self.pattern.overhead(message) + payload.len();
        if total > MAX_MESSAGE {
            return Err(NoiseError::TooLong { got: total });
        }
        let mut state = self.clone();
        let mut fresh = fresh;
        let mut out = Vec::with_capacity(total);
        for token in self.pattern.tokens(message) {
            state.write_token(*token, &mut fresh, &mut out)?;
        }
        state.symmetric.encrypt_and_hash(payload, &mut out);
        state.finish(message);
        *self = state;
        Ok(out)
    }

    fn write_token(
        &mut self,
        token: Token,
        fresh: &mut Fresh,
        out: &mut Vec<u8>,
    ) -> Result<(), NoiseError> {
        match token {
            Token::E => {
                let e = fresh.e.take().ok_or(NoiseError::OutOfTurn)?;
                let public = e.public();
                out.extend_from_slice(&public.0);
                self.symmetric.mix_hash(&public.0);
                self.e = Some(Arc::new(e));
            }
            Token::E1 => {
                let e1 = fresh.e1.take().ok_or(NoiseError::OutOfTurn)?;
                self.symmetric
                    .encrypt_and_hash(&e1.encapsulation_key(), out);
                self.e1 = Some(Arc::new(e1));
            }
            Token::Ekem1 => {
                let (ciphertext, shared) = fresh.ekem1.take().ok_or(NoiseError::OutOfTurn)?;
                self.symmetric.encrypt_and_hash(ciphertext.as_slice(), out);
                self.mix_key(&shared);
                self.re1 = None;
            }
            Token::S => {
                let public = self.s.public();
                self.symmetric.encrypt_and_hash(&public.0, out);
            }
            Token::Ee | Token::Es | Token::Se => self.mix_dh(token)?,
        }
        Ok(())
    }

    /// Reads the next message and returns its payload.
    ///
    /// # Errors
    /// Any [`NoiseError`]. The state is then as it was: a forged message changes nothing, and the
    /// real one can still come.
    pub fn read_message(&mut self, message: &[u8]) -> Result<Vec<u8>, NoiseError> {
        let turn = self.turn(false)?;
        if message.len() > MAX_MESSAGE {
            return Err(NoiseError::TooLong { got: message.len() });
        }
        let mut state = self.clone();
        let mut rest = message;
        for token in self.pattern.tokens(turn) {
            state.read_token(*token, &mut rest, message.len())?;
        }
        let payload = state.symmetric.decrypt_and_hash(rest)?;
        state.finish(turn);
        *self = state;
        Ok(payload)
    }

    fn read_token(&mut self, token: Token, rest: &mut &[u8], got: usize) -> Result<(), NoiseError> {
        let short = NoiseError::TooShort { got };
        match token {
            Token::E => {
                let public = take::<DH_LEN>(rest).ok_or(short)?;
                self.symmetric.mix_hash(public);
                self.re = Some(DhPublic(*public));
            }
            Token::E1 => {
                let encoded = take::<ENCAPSULATION_KEY_LEN>(rest).ok_or(short)?;
                let re1 = EncapsulationKey::from_bytes(encoded)
                    .map_err(|_| NoiseError::InvalidEncapsulationKey)?;
                self.symmetric.mix_hash(encoded);
                self.re1 = Some(Arc::new(re1));
            }
            Token::Ekem1 => {
                let sealed = take::<{ CIPHERTEXT_LEN + TAG_LEN }>(rest).ok_or(short)?;
                let ciphertext = self.symmetric.decrypt_and_hash(sealed)?;
                let ciphertext = ciphertext.as_slice().try_into().map_err(|_| short)?;
                let e1 = self.e1.take().ok_or(NoiseError::OutOfTurn)?;
                self.mix_key(&e1.decapsulate(ciphertext));
            }
            Token::S => {
                let sealed = take::<{ DH_LEN + TAG_LEN }>(rest).ok_or(short)?;
                let public = self.symmetric.decrypt_and_hash(sealed)?;
                let public = <[u8; DH_LEN]>::try_from(public).map_err(|_| short)?;
                self.rs = Some(DhPublic(public));
            }
            Token::Ee | Token::Es | Token::Se => self.mix_dh(token)?,
        }
        Ok(())
    }

    /// The transport keys, each with its direction, once all three messages went.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`] while messages are missing.
    pub fn split(&self) -> Result<Transport, NoiseError> {
        if self.next.is_some() {
            return Err(NoiseError::OutOfTurn);
        }
        let (first, second) = self.symmetric.split();
        let initiator_sends_first = self.keys == KeyOrder::InitiatorFirst;
        let (send, receive) = if initiator_sends_first == (self.role == Role::Initiator) {
            (first, second)
        } else {
            (second, first)
        };
        Ok(Transport {
            send,
            receive,
            handshake_hash: *self.symmetric.handshake_hash(),
        })
    }

    fn turn(&self, writing: bool) -> Result<Message, NoiseError> {
        self.next
            .filter(|message| (message.sender() == self.role) == writing)
            .ok_or(NoiseError::OutOfTurn)
    }

    fn mix_dh(&mut self, token: Token) -> Result<(), NoiseError> {
        let own_static = match token {
            Token::Es => self.role == Role::Responder,
            Token::Se => self.role == Role::Initiator,
            Token::E | Token::E1 | Token::S | Token::Ee | Token::Ekem1 => false,
        };
        let peer_static = !own_static && matches!(token, Token::Es | Token::Se);
        let secret = if own_static {
            Some(&self.s)
        } else {
            self.e.as_ref()
        };
        let public = if peer_static {
            self.rs.as_ref()
        } else {
            self.re.as_ref()
        };
        let (Some(secret), Some(public)) = (secret, public) else {
            return Err(NoiseError::OutOfTurn);
        };
        let shared = secret
            .agree(public)
            .map_err(|_| NoiseError::LowOrderPoint)?;
        self.mix_key(&shared);
        Ok(())
    }

    fn mix_key(&mut self, shared: &SharedSecret) {
        self.symmetric.mix_key(shared);
        #[cfg(test)]
        self.trace.push(self.symmetric.variables());
    }

    fn finish(&mut self, message: Message) {
        self.next = message.next();
        #[cfg(test)]
        self.trace.push(self.symmetric.variables());
    }
}

impl fmt::Debug for HandshakeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandshakeState({:?}, next: {:?})", self.role, self.next)
    }
}

/// The first `N` bytes of `rest`, which moves behind them.
fn take<'m, const N: usize>(rest: &mut &'m [u8]) -> Option<&'m [u8; N]> {
    let (chunk, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(chunk)
}

impl fmt::Debug for Fresh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fresh(..)")
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Transport(..)")
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::String;
    use std::println;

    use serde_json::Value;

    use super::super::nonce;
    use super::*;
    use crate::crypto::AeadKey;

    const PLAIN: Protocol<'_> = Protocol {
        name: "Noise_XX_25519_AESGCM_SHA256",
        pattern: Pattern::Xx,
        prologue: b"sealway oracle",
        keys: KeyOrder::InitiatorFirst,
    };

    fn bytes(value: &Value) -> Vec<u8> {
        hex::decode(value.as_str().unwrap()).unwrap()
    }

    fn secret(value: &Value) -> DhSecret {
        DhSecret::from_bytes(bytes(value).try_into().unwrap())
    }

    fn side(seed: u8, role: Role) -> HandshakeState {
        HandshakeState::new(&PLAIN, role, Arc::new(DhSecret::from_bytes([seed; 32])))
    }

    fn e(seed: u8) -> Fresh {
        with_e(DhSecret::from_bytes([seed; 32]))
    }

    fn with_e(e: DhSecret) -> Fresh {
        Fresh {
            e: Some(e),
            ..Fresh::default()
        }
    }

    #[test]
    fn reference_transcript_is_reproduced_in_every_variable() {
        let vector = include_str!("../../../vectors/secure_channel_handshake.json");
        let vector: Value = serde_json::from_str(vector).unwrap();
        let start = |name: &str, role| {
            let s = Arc::new(secret(&vector[name]["static_secret"]));
            HandshakeState::new(&Protocol::OCKAM, role, s)
        };
        let mut initiator = start("initiator", Role::Initiator);
        let mut responder = start("responder", Role::Responder);
        let payload = |n: u8| {
            let key = std::format!("message{n}_payload_identity_and_credentials_cbor");
            bytes(&vector[key.as_str()])
        };

        let e_i = secret(&vector["initiator"]["ephemeral_secret"]);
        let message1 = initiator.write_message(&[], with_e(e_i)).unwrap();
        assert_eq!(message1, bytes(&vector["message1"]));
        responder.read_message(&message1).unwrap();
        let e_r = secret(&vector["responder"]["ephemeral_secret"]);
        let message2 = responder.write_message(&payload(2), with_e(e_r)).unwrap();
        assert_eq!(message2, bytes(&vector["message2"]));
        assert_eq!(initiator.read_message(&message2).unwrap(), payload(2));
        let message3 = initiator
            .write_message(&payload(3), Fresh::default())
            .unwrap();
        assert_eq!(message3, bytes(&vector["message3"]));
        assert_eq!(responder.read_message(&message3).unwrap(), payload(3));

        assert_variables(&vector, [&initiator, &responder]);
        let (at_initiator, at_responder) = (initiator.split().unwrap(), responder.split().unwrap());
        assert_eq!(at_initiator.send.to_vec(), bytes(&vector["k2"]));
        assert_eq!(at_initiator.receive.to_vec(), bytes(&vector["k1"]));
        assert_eq!(at_responder.send.to_vec(), bytes(&vector["k1"]));
        assert_eq!(at_responder.receive.to_vec(), bytes(&vector["k2"]));
        println!(
            "secure_channel_handshake: {} symmetric states, both roles",
            initiator.trace.len()
        );
    }

    /// Both sides went through the vector's states, and ended with its `h`.
    fn assert_variables(vector: &Value, sides: [&HandshakeState; 2]) {
        let states = vector["symmetric_states"].as_array().unwrap();
        for side in sides {
            assert_eq!(side.trace.len(), states.len());
            for (got, expected) in side.trace.iter().zip(states) {
                let expected = ["h", "ck", "k"].map(|name| bytes(&expected[name]));
                assert_eq!(got.map(Vec::from), expected);
            }
            let h = side.split().unwrap().handshake_hash;
            assert_eq!(h.to_vec(), bytes(&vector["final_h"]));
        }
    }

    /// Randomness that was written down.
    struct Given(Vec<u8>);

    impl rand_core::TryRng for Given {
        type Error = core::convert::Infallible;

        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            unreachable!("keys are drawn as bytes")
        }

        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            unreachable!("keys are drawn as bytes")
        }

        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
            out.copy_from_slice(&self.0[..out.len()]);
            self.0.drain(..out.len());
            Ok(())
        }
    }

    impl rand_core::TryCryptoRng for Given {}

    #[test]
    fn hybrid_transcript_is_reproduced_in_every_variable() {
        let vector = include_str!("../../../vectors/hybrid_handshake.json");
        let vector: Value = serde_json::from_str(vector).unwrap();
        let cases = vector["cases"].as_array().unwrap();
        for case in cases {
            let prologue = bytes(&case["prologue"]);
            let protocol = Protocol::hybrid(&prologue);
            assert_eq!(protocol.name, vector["protocol_name"]);
            let start = |name: &str, role| {
                let s = Arc::new(secret(&case[name]["static_secret"]));
                HandshakeState::new(&protocol, role, s)
            };
            let mut initiator = start("initiator", Role::Initiator);
            let mut responder = start("responder", Role::Responder);
            let given = |name: &str, parts: [&str; 2]| {
                Given(parts.map(|part| bytes(&case[name][part])).concat())
            };
            let payloads = ["responder", "initiator"].map(|name| bytes(&case[name]["payload"]));

            let mut rng = given("initiator", ["ephemeral_secret", "kem_seed"]);
            let message1 = initiator.write_message(&[], initiator.draw(&mut rng));
            let message1 = message1.unwrap();
            assert_eq!(message1, bytes(&case["message1"])[2..]);
            assert!(responder.read_message(&message1).unwrap().is_empty());
            let mut rng = given(
                "responder",
                ["ephemeral_secret", "encapsulation_randomness"],
            );
            let message2 = responder.write_message(&payloads[0], responder.draw(&mut rng));
            let message2 = message2.unwrap();
            assert_eq!(message2, bytes(&case["message2"]));
            assert_eq!(initiator.read_message(&message2).unwrap(), payloads[0]);
            let message3 = initiator.write_message(&payloads[1], Fresh::default());
            let message3 = message3.unwrap();
            assert_eq!(message3, bytes(&case["message3"]));
            assert_eq!(responder.read_message(&message3).unwrap(), payloads[1]);

            assert_variables(case, [&initiator, &responder]);
            let keys = ["k1", "k2"].map(|key| bytes(&case[key]));
            let (a, b) = (initiator.split().unwrap(), responder.split().unwrap());
            assert_eq!([a.send.to_vec(), b.send.to_vec()], keys);
            assert_eq!([b.receive.to_vec(), a.receive.to_vec()], keys);
        }
        println!("hybrid_handshake: {} cases, both roles", cases.len());
    }

    fn hybrid(seed: u8, role: Role) -> HandshakeState {
        let s = Arc::new(DhSecret::from_bytes([seed; 32]));
        HandshakeState::new(&Protocol::hybrid(b"test"), role, s)
    }

    /// The pair of e1 lives until the real message two has been read, and no longer.
    #[test]
    fn decapsulation_key_is_wiped_after_message_two() {
        let (mut initiator, mut responder) =
            (hybrid(1, Role::Initiator), hybrid(2, Role::Responder));
        let fresh = initiator.draw(&mut Given((0..96).collect()));
        let message1 = initiator.write_message(&[], fresh).unwrap();
        responder.read_message(&message1).unwrap();
        let fresh = responder.draw(&mut Given((0..64).collect()));
        let message2 = responder.write_message(b"payload", fresh).unwrap();
        assert!(responder.re1.is_none());
        let pair = Arc::downgrade(initiator.e1.as_ref().unwrap());
        let mut forged = message2.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(initiator.read_message(&forged), Err(NoiseError::Forged));
        assert!(pair.upgrade().is_some(), "the real message can still come");
        initiator.read_message(&message2).unwrap();
        assert!(pair.upgrade().is_none());
    }

    /// What each message calls for must be there; nothing is drawn out of turn.
    #[test]
    fn hybrid_messages_without_their_keys_are_refused() {
        let (mut initiator, mut responder) =
            (hybrid(1, Role::Initiator), hybrid(2, Role::Responder));
        let turn = Err(NoiseError::OutOfTurn);
        let none = responder.draw(&mut Given(Vec::new()));
        assert!(none.e.is_none() && none.e1.is_none() && none.ekem1.is_none());
        assert_eq!(initiator.write_message(&[], e(3)), turn, "e1 is missing");
        let fresh = initiator.draw(&mut Given((0..96).collect()));
        let message1 = initiator.write_message(&[], fresh).unwrap();
        responder.read_message(&message1).unwrap();
        assert_eq!(responder.write_message(&[], e(4)), turn, "ekem1 is missing");
    }

    fn snow_side(key: &[u8; 32]) -> snow::Builder<'_> {
        snow::Builder::new(PLAIN.name.parse().unwrap())
            .prologue(PLAIN.prologue)
            .unwrap()
            .local_private_key(key)
            .unwrap()
    }

    fn payloads() -> [Vec<u8>; 3] {
        [Vec::new(), alloc::vec![2; 300], alloc::vec![3; 5000]]
    }

    fn assert_same_keys(ours: &HandshakeState, theirs: snow::HandshakeState) {
        let ours = ours.split().unwrap();
        assert_eq!(theirs.get_handshake_hash(), ours.handshake_hash);
        let mut theirs = theirs.into_transport_mode().unwrap();
        let mut record = [0; 5 + TAG_LEN];
        for n in 0..3 {
            theirs.write_message(b"hello", &mut record).unwrap();
            let key = AeadKey::new(&ours.receive);
            assert_eq!(key.open_in_place(&nonce(n), &[], &mut record), Ok(5));
            assert_eq!(record[..5], *b"hello");
            let key = AeadKey::new(&ours.send);
            let tag = key.seal_in_place(&nonce(n), &[], &mut record[..5]);
            record[5..].copy_from_slice(&tag);
            let mut opened = [0; 5];
            assert_eq!(theirs.read_message(&record, &mut opened).unwrap(), 5);
            assert_eq!(opened, *b"hello");
        }
    }

    #[test]
    fn initiator_agrees_with_snow() {
        let mut ours = side(1, Role::Initiator);
        let mut theirs = snow_side(&[2; 32]).build_responder().unwrap();
        let (mut buffer, [p1, p2, p3]) = (alloc::vec![0; 65_535], payloads());
        let message = ours.write_message(&p1, e(3)).unwrap();
        let n = theirs.read_message(&message, &mut buffer).unwrap();
        assert_eq!(buffer[..n], p1);
        let mut message = alloc::vec![0; 65_535];
        let n = theirs.write_message(&p2, &mut message).unwrap();
        assert_eq!(ours.read_message(&message[..n]).unwrap(), p2);
        let message = ours.write_message(&p3, Fresh::default()).unwrap();
        let n = theirs.read_message(&message, &mut buffer).unwrap();
        assert_eq!(buffer[..n], p3);
        assert_eq!(theirs.get_remote_static(), Some(&ours.s.public().0[..]));
        assert_same_keys(&ours, theirs);
    }

    #[test]
    fn responder_agrees_with_snow() {
        let mut ours = side(1, Role::Responder);
        let mut theirs = snow_side(&[2; 32]).build_initiator().unwrap();
        let (mut buffer, [p1, p2, p3]) = (alloc::vec![0; 65_535], payloads());
        let mut message = alloc::vec![0; 65_535];
        let n = theirs.write_message(&p1, &mut message).unwrap();
        assert_eq!(ours.read_message(&message[..n]).unwrap(), p1);
        let message2 = ours.write_message(&p2, e(3)).unwrap();
        let n = theirs.read_message(&message2, &mut buffer).unwrap();
        assert_eq!(buffer[..n], p2);
        let n = theirs.write_message(&p3, &mut message).unwrap();
        assert_eq!(ours.read_message(&message[..n]).unwrap(), p3);
        assert_same_keys(&ours, theirs);
    }

    #[test]
    fn messages_out_of_turn_are_refused() {
        let (mut initiator, mut responder) = (side(1, Role::Initiator), side(2, Role::Responder));
        let turn = Err(NoiseError::OutOfTurn);
        assert_eq!(responder.write_message(&[], e(4)), turn);
        assert_eq!(initiator.read_message(&[0; 32]), turn);
        assert_eq!(
            initiator.write_message(&[], Fresh::default()),
            turn,
            "ephemeral key is missing"
        );
        let message1 = initiator.write_message(&[], e(3)).unwrap();
        assert_eq!(initiator.write_message(&[], e(3)), turn);
        assert!(initiator.split().is_err());
        responder.read_message(&message1).unwrap();
        assert_eq!(responder.read_message(&message1), turn);
    }

    #[test]
    fn forged_message_changes_nothing() {
        let (mut initiator, mut responder) = (side(1, Role::Initiator), side(2, Role::Responder));
        responder
            .read_message(&initiator.write_message(&[], e(3)).unwrap())
            .unwrap();
        let message2 = responder.write_message(b"payload", e(4)).unwrap();
        for index in 0..message2.len() {
            let mut forged = message2.clone();
            forged[index] ^= 1;
            assert_eq!(
                initiator.read_message(&forged),
                Err(NoiseError::Forged),
                "{index}"
            );
            assert!(
                initiator.read_message(&message2[..index]).is_err(),
                "cut at {index}"
            );
        }
        assert_eq!(initiator.read_message(&message2).unwrap(), b"payload");
    }

    #[test]
    fn low_order_points_are_refused() {
        let zero = String::from("00").repeat(32);
        let one = String::from("01") + &"00".repeat(31);
        let order_eight = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        let minus_one = String::from("ec") + &"ff".repeat(30) + "7f";
        for point in [&zero, &one, order_eight, &minus_one] {
            let mut responder = side(2, Role::Responder);
            responder
                .read_message(&hex::decode(point).unwrap())
                .unwrap();
            let refused = responder.write_message(&[], e(4));
            assert_eq!(refused, Err(NoiseError::LowOrderPoint), "{point}");
        }
    }

    #[test]
    fn handshake_messages_beyond_the_noise_limit_are_refused() {
        let (mut initiator, mut responder) = (side(1, Role::Initiator), side(2, Role::Responder));
        let got = MAX_MESSAGE + 1;
        let too_long = Err(NoiseError::TooLong { got });
        assert_eq!(responder.read_message(&alloc::vec![9; got]), too_long);
        responder
            .read_message(&initiator.write_message(&[], e(3)).unwrap())
            .unwrap();
        let largest = alloc::vec![7; MAX_MESSAGE - 32 - 48 - 16];
        let over = alloc::vec![7; largest.len() + 1];
        assert_eq!(responder.write_message(&over, e(4)), too_long);
        let message2 = responder.write_message(&largest, e(4)).unwrap();
        assert_eq!(message2.len(), MAX_MESSAGE);
        assert_eq!(initiator.read_message(&message2).unwrap(), largest);
    }
}
