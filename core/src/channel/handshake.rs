//! The handshake as typed states (reference, sections 4.2 and 4.3), the same in both suites.
//!
//! ```text
//! Initiator::start -> AwaitMessage2 -> SendMessage3 -> Established
//! Responder::new   -> AwaitMessage1 -> SendMessage2 -> AwaitMessage3 -> Established
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::party::Peer;
use super::{Failed, HandshakeError, LocalParty, Session, Suite, Trust};
use crate::UnixSeconds;
use crate::crypto::CryptoRng;
use crate::identity::Identity;
use crate::noise::{Fresh, HandshakeState, NoiseError, Role};
use crate::wire::Address;

/// The side that opens the channel.
#[derive(Debug)]
pub struct Initiator;

/// The side that is called.
#[derive(Debug)]
pub struct Responder;

/// An initiator that sent message 1.
pub struct AwaitMessage2(State);

/// An initiator that knows and trusts its peer, which does not know it yet.
pub struct SendMessage3 {
    state: State,
    peer: Peer,
}

/// A responder before message 1.
pub struct AwaitMessage1(State);

/// A responder that read message 1.
pub struct SendMessage2(State);

/// A responder that sent message 2.
pub struct AwaitMessage3(State);

/// An open channel.
#[derive(Debug)]
pub struct Established {
    /// The suite of the handshake.
    pub suite: Suite,
    /// The peer, with its verified history. Whether that history is older than one known before is
    /// for the caller to compare ([`Identity::compare`]): older or diverged ones must be refused.
    pub peer: Identity,
    /// The peer's credentials, encoded and not verified.
    pub peer_credentials: Vec<Vec<u8>>,
    /// The channel binding: the same on both sides, and unique to this channel.
    pub handshake_hash: [u8; 32],
    /// The keys of both directions.
    pub session: Session,
}

struct State {
    // Boxed, so that the states stay small enough to be returned in errors.
    noise: Box<HandshakeState>,
    party: Arc<LocalParty>,
}

impl Initiator {
    /// Starts a handshake in the party's suite: message 1 (32 bytes, hybrid 1,218), which goes to
    /// `listener`, the last address of its route. The hybrid suite binds that address's value; the
    /// reference's does not. `rng` yields the ephemeral keys.
    pub fn start(
        party: &Arc<LocalParty>,
        listener: &Address,
        rng: &mut impl CryptoRng,
    ) -> (Vec<u8>, AwaitMessage2) {
        let mut state = State::new(party, listener, Role::Initiator);
        let fresh = state.noise.draw(rng);
        let message1 = state
            .noise
            .write_message(&[], fresh)
            .expect("message 1 is nothing but ephemeral keys");
        (party.suite().frame_message1(message1), AwaitMessage2(state))
    }
}

impl Responder {
    /// A responder for one handshake in the party's suite at `listener`, the address that message 1
    /// arrived at.
    #[must_use]
    #[expect(
        clippy::new_ret_no_self,
        reason = "the first state is what there is to make"
    )]
    pub fn new(party: &Arc<LocalParty>, listener: &Address) -> AwaitMessage1 {
        AwaitMessage1(State::new(party, listener, Role::Responder))
    }
}

impl AwaitMessage2 {
    /// Reads message 2 and decides whether `trust` admits who sent it, first by the identifier it
    /// claims, then by every signature.
    ///
    /// # Errors
    /// [`HandshakeError`], with this state unchanged.
    pub fn read_message2(
        self,
        message2: &[u8],
        now: UnixSeconds,
        trust: &Trust,
    ) -> Result<SendMessage3, Failed<Self>> {
        match self.0.read_peer(message2, now, trust) {
            Ok((noise, peer)) => Ok(SendMessage3 {
                state: State { noise, ..self.0 },
                peer,
            }),
            Err(error) => Err(Failed { state: self, error }),
        }
    }
}

impl SendMessage3 {
    /// The peer, so that a history older than the one known can be refused before message 3 tells
    /// it who we are.
    #[must_use]
    pub const fn peer(&self) -> &Identity {
        &self.peer.identity
    }

    /// The peer's credentials, encoded and not verified.
    #[must_use]
    pub fn peer_credentials(&self) -> &[Vec<u8>] {
        &self.peer.credentials
    }

    /// Writes message 3 and opens the channel.
    ///
    /// # Errors
    /// [`HandshakeError::Noise`]; none is known that gets past message 2.
    pub fn write_message3(self) -> Result<(Vec<u8>, Established), HandshakeError> {
        let mut state = self.state;
        let message3 = (state.noise).write_message(&state.party.payload, Fresh::default())?;
        let established = state.established(&state.noise, self.peer)?;
        Ok((message3, established))
    }
}

impl AwaitMessage1 {
    /// Reads message 1. In the classical suite bytes behind its key are accepted and bound into the
    /// handshake, as the reference does; in the hybrid one its length is fixed.
    ///
    /// # Errors
    /// [`HandshakeError::Noise`], [`HandshakeError::WrongSuite`],
    /// [`HandshakeError::Message1Length`], with this state unchanged.
    pub fn read_message1(mut self, message1: &[u8]) -> Result<SendMessage2, Failed<Self>> {
        let read = (self.0.party.suite())
            .unframe_message1(message1)
            .and_then(|message1| Ok(self.0.noise.read_message(message1)?));
        match read {
            Ok(_) => Ok(SendMessage2(self.0)),
            Err(error) => Err(Failed { state: self, error }),
        }
    }
}

impl SendMessage2 {
    /// Writes message 2, which presents this side to whoever asked. `rng` yields the ephemeral key
    /// and, in the hybrid suite, the encapsulated secret.
    ///
    /// # Errors
    /// [`NoiseError::LowOrderPoint`] if message 1 carried one.
    pub fn write_message2(
        mut self,
        rng: &mut impl CryptoRng,
    ) -> Result<(Vec<u8>, AwaitMessage3), HandshakeError> {
        let fresh = self.0.noise.draw(rng);
        let message2 = self.0.noise.write_message(&self.0.party.payload, fresh)?;
        Ok((message2, AwaitMessage3(self.0)))
    }
}

impl AwaitMessage3 {
    /// Reads message 3 and opens the channel if `trust` admits who sent it.
    ///
    /// # Errors
    /// [`HandshakeError`], with this state unchanged.
    pub fn read_message3(
        self,
        message3: &[u8],
        now: UnixSeconds,
        trust: &Trust,
    ) -> Result<Established, Failed<Self>> {
        let opened = self
            .0
            .read_peer(message3, now, trust)
            .and_then(|(noise, peer)| Ok(self.0.established(&noise, peer)?));
        opened.map_err(|error| Failed { state: self, error })
    }
}

impl State {
    fn new(party: &Arc<LocalParty>, listener: &Address, role: Role) -> Self {
        let s = Arc::clone(&party.static_key);
        let prologue = party.suite().prologue(listener);
        let protocol = party.suite().protocol(&prologue);
        Self {
            noise: Box::new(HandshakeState::new(&protocol, role, s)),
            party: Arc::clone(party),
        }
    }

    /// Reads a message with an identity in it, on a copy.
    fn read_peer(
        &self,
        message: &[u8],
        now: UnixSeconds,
        trust: &Trust,
    ) -> Result<(Box<HandshakeState>, Peer), HandshakeError> {
        let mut noise = self.noise.clone();
        let payload = noise.read_message(message)?;
        let static_key = noise.remote_static().ok_or(NoiseError::OutOfTurn)?;
        let peer = Peer::verify(&payload, self.party.suite(), static_key, now, trust)?;
        Ok((noise, peer))
    }

    fn established(&self, noise: &HandshakeState, peer: Peer) -> Result<Established, NoiseError> {
        let keys = noise.split()?;
        Ok(Established {
            suite: self.party.suite(),
            peer: peer.identity,
            peer_credentials: peer.credentials,
            handshake_hash: keys.handshake_hash,
            session: Session::new(&keys),
        })
    }
}

macro_rules! opaque_debug {
    ($($state:ident),*) => {$(
        impl fmt::Debug for $state {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($state), "(..)"))
            }
        }
    )*};
}

opaque_debug!(
    AwaitMessage1,
    AwaitMessage2,
    AwaitMessage3,
    SendMessage2,
    SendMessage3
);
