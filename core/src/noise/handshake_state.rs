//! HandshakeState: the XX pattern as a token table (Noise rev 34, 5.3 and 7.5).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use zeroize::Zeroizing;

use super::{DH_LEN, KeyOrder, MAX_MESSAGE, NoiseError, Protocol, SymmetricState, TAG_LEN};
use crate::crypto::{DhPublic, DhSecret};

/// Who sends the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends messages 1 and 3.
    Initiator,
    /// Sends message 2.
    Responder,
}

#[derive(Clone, Copy)]
enum Token {
    E,
    S,
    Ee,
    Es,
    Se,
}

impl Token {
    /// Bytes of the message this token writes; in XX every static key travels encrypted.
    const fn written_len(self) -> usize {
        match self {
            Self::E => DH_LEN,
            Self::S => DH_LEN + TAG_LEN,
            Self::Ee | Self::Es | Self::Se => 0,
        }
    }
}

/// `-> e    <- e, ee, s, es    -> s, se`
const XX: [&[Token]; 3] = [
    &[Token::E],
    &[Token::E, Token::Ee, Token::S, Token::Es],
    &[Token::S, Token::Se],
];

/// The three messages of the pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Initiator to responder.
    One,
    /// Responder to initiator.
    Two,
    /// Initiator to responder.
    Three,
}

impl Message {
    const fn tokens(self) -> &'static [Token] {
        match self {
            Self::One => XX[0],
            Self::Two => XX[1],
            Self::Three => XX[2],
        }
    }

    const fn sender(self) -> Role {
        match self {
            Self::One | Self::Three => Role::Initiator,
            Self::Two => Role::Responder,
        }
    }

    const fn next(self) -> Option<Self> {
        match self {
            Self::One => Some(Self::Two),
            Self::Two => Some(Self::Three),
            Self::Three => None,
        }
    }
}

/// One side of an XX handshake.
///
/// Messages must be written and read in the pattern's order; [`crate::channel`] puts types around
/// that order so that a wrong one does not compile.
#[derive(Clone)]
pub struct HandshakeState {
    symmetric: SymmetricState,
    keys: KeyOrder,
    role: Role,
    next: Option<Message>,
    s: Arc<DhSecret>,
    e: Option<Arc<DhSecret>>,
    rs: Option<DhPublic>,
    re: Option<DhPublic>,
    /// `h, ck, k` at the start, after each `MixKey` and after each message.
    #[cfg(test)]
    trace: Vec<[[u8; 32]; 3]>,
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
    pub fn new(protocol: &Protocol, role: Role, s: Arc<DhSecret>) -> Self {
        let symmetric = SymmetricState::new(protocol.name, protocol.prologue);
        Self {
            #[cfg(test)]
            trace: alloc::vec![symmetric.variables()],
            symmetric,
            keys: protocol.keys,
            role,
            next: Some(Message::One),
            s,
            e: None,
            rs: None,
            re: None,
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

    /// Writes the next message with `payload`. Messages one and two carry `e`, a fresh ephemeral key
    /// that is used nowhere else; message three takes none.
    ///
    /// # Errors
    /// [`NoiseError::OutOfTurn`] (also if `e` is missing), [`NoiseError::TooLong`] beyond
    /// [`MAX_MESSAGE`], [`NoiseError::LowOrderPoint`]. The state is then as it was.
    pub fn write_message(
        &mut self,
        payload: &[u8],
        e: Option<DhSecret>,
    ) -> Result<Vec<u8>, NoiseError> {
        let message = self.turn(true)?;
        let tokens = message.tokens();
        let overhead: usize = tokens.iter().map(|token| token.written_len()).sum();
        let total = overhead + payload.len() + TAG_LEN;
        if total > MAX_MESSAGE {
            return Err(NoiseError::TooLong { got: total });
        }
        let mut state = self.clone();
        let mut ephemeral = e;
        let mut out = Vec::with_capacity(total);
        for token in tokens {
            match token {
                Token::E => {
                    let e = Arc::new(ephemeral.take().ok_or(NoiseError::OutOfTurn)?);
                    let public = e.public();
                    out.extend_from_slice(&public.0);
                    state.symmetric.mix_hash(&public.0);
                    state.e = Some(e);
                }
                Token::S => {
                    let public = state.s.public();
                    state.symmetric.encrypt_and_hash(&public.0, &mut out);
                }
                dh => state.mix_dh(*dh)?,
            }
        }
        state.symmetric.encrypt_and_hash(payload, &mut out);
        state.finish(message);
        *self = state;
        Ok(out)
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
        let short = NoiseError::TooShort { got: message.len() };
        let mut state = self.clone();
        let mut rest = message;
        for token in turn.tokens() {
            match token {
                Token::E => {
                    let (public, after) = rest.split_first_chunk::<DH_LEN>().ok_or(short)?;
                    state.symmetric.mix_hash(public);
                    state.re = Some(DhPublic(*public));
                    rest = after;
                }
                Token::S => {
                    let (sealed, after) = rest
                        .split_first_chunk::<{ DH_LEN + TAG_LEN }>()
                        .ok_or(short)?;
                    let public = state.symmetric.decrypt_and_hash(sealed)?;
                    let public = <[u8; DH_LEN]>::try_from(public).map_err(|_| short)?;
                    state.rs = Some(DhPublic(public));
                    rest = after;
                }
                dh => state.mix_dh(*dh)?,
            }
        }
        let payload = state.symmetric.decrypt_and_hash(rest)?;
        state.finish(turn);
        *self = state;
        Ok(payload)
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
            Token::E | Token::S | Token::Ee => false,
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
        self.symmetric.mix_key(&shared);
        #[cfg(test)]
        self.trace.push(self.symmetric.variables());
        Ok(())
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

    const PLAIN: Protocol = Protocol {
        name: "Noise_XX_25519_AESGCM_SHA256",
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

    fn e(seed: u8) -> Option<DhSecret> {
        Some(DhSecret::from_bytes([seed; 32]))
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
        let message1 = initiator.write_message(&[], Some(e_i)).unwrap();
        assert_eq!(message1, bytes(&vector["message1"]));
        responder.read_message(&message1).unwrap();
        let e_r = secret(&vector["responder"]["ephemeral_secret"]);
        let message2 = responder.write_message(&payload(2), Some(e_r)).unwrap();
        assert_eq!(message2, bytes(&vector["message2"]));
        assert_eq!(initiator.read_message(&message2).unwrap(), payload(2));
        let message3 = initiator.write_message(&payload(3), None).unwrap();
        assert_eq!(message3, bytes(&vector["message3"]));
        assert_eq!(responder.read_message(&message3).unwrap(), payload(3));

        let states = vector["symmetric_states"].as_array().unwrap();
        for side in [&initiator, &responder] {
            assert_eq!(side.trace.len(), states.len());
            for (got, expected) in side.trace.iter().zip(states) {
                let expected = ["h", "ck", "k"].map(|name| bytes(&expected[name]));
                assert_eq!(got.map(Vec::from), expected);
            }
        }
        let (at_initiator, at_responder) = (initiator.split().unwrap(), responder.split().unwrap());
        assert_eq!(at_initiator.send.to_vec(), bytes(&vector["k2"]));
        assert_eq!(at_initiator.receive.to_vec(), bytes(&vector["k1"]));
        assert_eq!(at_responder.send.to_vec(), bytes(&vector["k1"]));
        assert_eq!(at_responder.receive.to_vec(), bytes(&vector["k2"]));
        assert_eq!(
            at_initiator.handshake_hash.to_vec(),
            bytes(&vector["final_h"])
        );
        println!(
            "secure_channel_handshake: {} symmetric states, both roles",
            states.len()
        );
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
        let message = ours.write_message(&p3, None).unwrap();
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
            initiator.write_message(&[], None),
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
