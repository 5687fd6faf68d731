//! Two initiators and two responders, and an attacker who decides what each of them receives.
//!
//! Every handshake message any of them writes goes into a pool that the input can deliver, alter,
//! splice, drop and reorder; beside the honest ends there are an initiator and a responder of an
//! identity nobody trusts. The honest ends speak one suite; the strangers may speak the other.

use std::sync::{Arc, OnceLock};

use sealway_core::channel::{
    AwaitMessage1, AwaitMessage2, AwaitMessage3, Established, Initiator, LocalParty, Responder,
    Suite, Trust,
};
use sealway_core::crypto::{DhSecret, KeyType, SigningKey};
use sealway_core::identity::{Attestation, Identifier, Identity};
use sealway_core::wire::{Address, Frame};
use sealway_core::{Tick, UnixSeconds};

use crate::input::{FixedRng, Input};

/// The time at which everything happens.
pub const NOW: u64 = 1_700_000_000;
/// Most messages the pool holds; more are not kept.
const MAX_POOL: usize = 48;
/// Most steps of one run.
const MAX_STEPS: usize = 48;

/// An identity with its attestation, the same in every run.
pub struct Party {
    pub identity: Identity,
    pub attestation: Attestation,
    local: Arc<LocalParty>,
}

impl Party {
    fn new(suite: Suite, seed: u64) -> Self {
        let rng = &mut FixedRng(seed);
        let now = UnixSeconds(NOW);
        let key = SigningKey::generate(KeyType::Ed25519, rng);
        let identity = Identity::create(&key, now);
        let secret = DhSecret::generate(rng);
        let purpose = suite.purpose(secret.public());
        let attestation = Attestation::issue(&key, &identity, purpose, now).expect("own key");
        let local = LocalParty::new(&identity, &attestation, secret, &[]).expect("it fits");
        Self {
            identity,
            attestation,
            local: Arc::new(local),
        }
    }
}

struct Parties {
    alice: Party,
    bob: Party,
    mallory: Party,
}

/// The same three identities in either suite.
fn parties(suite: Suite) -> &'static Parties {
    static CLASSICAL: OnceLock<Parties> = OnceLock::new();
    static HYBRID: OnceLock<Parties> = OnceLock::new();
    let parties = match suite {
        Suite::Classical => &CLASSICAL,
        Suite::Hybrid => &HYBRID,
    };
    parties.get_or_init(|| Parties {
        alice: Party::new(suite, 1),
        bob: Party::new(suite, 2),
        mallory: Party::new(suite, 3),
    })
}

fn listener() -> Address {
    Address::local("sealway_xx1")
}

/// Alice, whose attestation is a seed.
pub fn alice() -> &'static Party {
    &parties(Suite::Classical).alice
}

fn trust(only: Option<&Party>) -> Trust {
    only.map_or(Trust::Everyone, |party| {
        Trust::Identifier(party.identity.identifier())
    })
}

/// What [`trust`] means, decided without the code under test.
fn is_trusted(only: Option<&Party>, identifier: &Identifier) -> bool {
    only.is_none_or(|party| party.identity.identifier().as_bytes() == identifier.as_bytes())
}

enum InitiatorState {
    Idle,
    Waiting(AwaitMessage2),
    Done(Box<Established>),
}

enum ResponderState {
    Fresh(AwaitMessage1),
    Waiting(AwaitMessage3),
    Done(Box<Established>),
    Failed,
}

struct InitiatorEnd {
    party: &'static Party,
    /// The only peer it trusts; everyone if none.
    only: Option<&'static Party>,
    state: InitiatorState,
}

struct ResponderEnd {
    party: &'static Party,
    /// The only peer it trusts; everyone if none.
    only: Option<&'static Party>,
    state: ResponderState,
}

/// A message of the pool, and whether an end wrote it just so.
struct Pooled {
    bytes: Vec<u8>,
    genuine: bool,
}

/// A message 2 that a responder wrote in answer to `message1`.
struct Written {
    message1: Vec<u8>,
    message2: Vec<u8>,
    responder: usize,
}

struct World {
    initiators: [InitiatorEnd; 3],
    responders: [ResponderEnd; 3],
    pool: Vec<Pooled>,
    /// The messages 2 and who wrote them.
    written: Vec<Written>,
    /// The message 1 of each initiator.
    started: [Vec<u8>; 3],
    /// Whose message 2 each initiator accepted.
    accepted: [Option<usize>; 3],
    rng: FixedRng,
}

/// Handshakes between honest ends under an attacker. What must hold:
/// * nothing panics;
/// * an end only ever accepts a message 2 or 3 that some end wrote, unaltered, and it ends with
///   the peer it trusts;
/// * a responder is open only if exactly one initiator is, with the same handshake hash, and what
///   one of them seals, the other opens; ends with different hashes cannot read each other;
/// * a refused message changes nothing: the right one is accepted afterwards.
pub fn handshake(data: &[u8]) {
    run(Suite::Classical, data);
}

/// [`handshake`] in the hybrid suite. What an end of the one suite wrote opens nothing at an end of the
/// other.
pub fn hybrid_handshake(data: &[u8]) {
    run(Suite::Hybrid, data);
}

fn run(suite: Suite, data: &[u8]) {
    let mut input = Input(data);
    let mut world = World::new(suite, input.byte().unwrap_or(0));
    for _ in 0..MAX_STEPS {
        if world.step(&mut input).is_none() {
            break;
        }
    }
    world.finish_waiting_initiators();
    world.finish_waiting_responders();
    world.check();
}

impl World {
    /// Honest ends of one suite. An odd `seed` gives the strangers beside hybrid ones the classical
    /// suite.
    fn new(suite: Suite, seed: u8) -> Self {
        let all = parties(suite);
        let strangers = match suite {
            Suite::Hybrid if seed % 2 == 0 => all,
            _ => parties(Suite::Classical),
        };
        let initiator = |party, only| InitiatorEnd {
            party,
            only,
            state: InitiatorState::Idle,
        };
        let responder = |party: &'static Party, only| ResponderEnd {
            party,
            only,
            state: ResponderState::Fresh(Responder::new(&party.local, &listener())),
        };
        Self {
            initiators: [
                initiator(&all.alice, Some(&all.bob)),
                initiator(&all.alice, Some(&all.bob)),
                initiator(&strangers.mallory, None),
            ],
            responders: [
                responder(&all.bob, Some(&all.alice)),
                responder(&all.bob, Some(&all.alice)),
                responder(&strangers.mallory, None),
            ],
            pool: Vec::new(),
            written: Vec::new(),
            started: Default::default(),
            accepted: [None; 3],
            rng: FixedRng(seed.into()),
        }
    }

    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        let step = input.byte()?;
        match step % 8 {
            0 => self.start(usize::from(step / 8) % 3),
            1 | 2 => {
                let message = input.index(self.pool.len())?;
                self.deliver_to_initiator(usize::from(step / 8) % 3, message);
            }
            3 | 4 => {
                let message = input.index(self.pool.len())?;
                self.deliver_to_responder(usize::from(step / 8) % 3, message);
            }
            5 => {
                let message = input.index(self.pool.len())?;
                let mut bytes = self.pool[message].bytes.clone();
                let at = input.index(bytes.len())?;
                bytes[at] ^= input.byte()?.max(1);
                self.keep(bytes, false);
            }
            6 => {
                let (head, tail) = (input.index(self.pool.len())?, input.index(self.pool.len())?);
                let cut = input.index(self.pool[head].bytes.len() + 1)?;
                let mut bytes = self.pool[head].bytes[..cut].to_vec();
                let from = cut.min(self.pool[tail].bytes.len());
                bytes.extend(&self.pool[tail].bytes[from..]);
                self.keep(bytes, false);
            }
            _ => self.keep(input.bytes()?.to_vec(), false),
        }
        Some(())
    }

    fn keep(&mut self, bytes: Vec<u8>, genuine: bool) {
        let genuine = genuine
            || self
                .pool
                .iter()
                .any(|old| old.genuine && old.bytes == bytes);
        if self.pool.len() < MAX_POOL || genuine {
            self.pool.push(Pooled { bytes, genuine });
        }
    }

    fn start(&mut self, index: usize) {
        let end = &mut self.initiators[index];
        if matches!(end.state, InitiatorState::Idle) {
            let (message1, state) = Initiator::start(&end.party.local, &listener(), &mut self.rng);
            end.state = InitiatorState::Waiting(state);
            self.started[index] = message1.clone();
            self.keep(message1, true);
        }
    }

    fn deliver_to_initiator(&mut self, index: usize, message: usize) {
        let end = &mut self.initiators[index];
        let message = &self.pool[message];
        let mut message3 = None;
        end.state = match std::mem::replace(&mut end.state, InitiatorState::Idle) {
            InitiatorState::Waiting(state) => {
                match state.read_message2(&message.bytes, UnixSeconds(NOW), &trust(end.only)) {
                    Ok(state) => {
                        let mut written = self.written.iter();
                        let written = written.find(|one| one.message2 == message.bytes);
                        let written = written.expect("an altered message 2 was accepted");
                        assert_eq!(written.message1, self.started[index]);
                        self.accepted[index] = Some(written.responder);
                        let (bytes, established) = state.write_message3().expect("message 3");
                        message3 = Some(bytes);
                        InitiatorState::Done(Box::new(established))
                    }
                    Err(failed) => InitiatorState::Waiting(failed.state),
                }
            }
            other => other,
        };
        if let Some(message3) = message3 {
            self.keep(message3, true);
        }
    }

    fn deliver_to_responder(&mut self, index: usize, delivered: usize) {
        let end = &mut self.responders[index];
        let message = &self.pool[delivered];
        let mut written = None;
        end.state = match std::mem::replace(&mut end.state, ResponderState::Failed) {
            ResponderState::Fresh(state) => match state.read_message1(&message.bytes) {
                Ok(state) => match state.write_message2(&mut self.rng) {
                    Ok((message2, state)) => {
                        written = Some(message2);
                        ResponderState::Waiting(state)
                    }
                    Err(_) => ResponderState::Failed,
                },
                Err(failed) => ResponderState::Fresh(failed.state),
            },
            ResponderState::Waiting(state) => {
                match state.read_message3(&message.bytes, UnixSeconds(NOW), &trust(end.only)) {
                    Ok(established) => {
                        assert!(message.genuine, "an altered message 3 was accepted");
                        ResponderState::Done(Box::new(established))
                    }
                    Err(failed) => ResponderState::Waiting(failed.state),
                }
            }
            other => other,
        };
        if let Some(message2) = written {
            self.written.push(Written {
                message1: self.pool[delivered].bytes.clone(),
                message2: message2.clone(),
                responder: index,
            });
            self.keep(message2, true);
        }
    }

    /// Delivers to each initiator that still waits the answers to its message 1: one of a responder
    /// that it trusts must open it, whatever it refused before.
    fn finish_waiting_initiators(&mut self) {
        for index in 0..self.initiators.len() {
            let only = self.initiators[index].only;
            let started = &self.started[index];
            let answers = self.written.iter().filter(|one| one.message1 == *started);
            let trusted = |one: &&Written| {
                is_trusted(
                    only,
                    &self.responders[one.responder].party.identity.identifier(),
                )
            };
            let Some(answer) = answers
                .filter(trusted)
                .map(|one| one.message2.clone())
                .next()
            else {
                continue;
            };
            if matches!(self.initiators[index].state, InitiatorState::Waiting(_)) {
                self.keep(answer, true);
                self.deliver_to_initiator(index, self.pool.len() - 1);
                let open = matches!(self.initiators[index].state, InitiatorState::Done(_));
                assert!(
                    open,
                    "the initiator refused the message 2 that was written for it"
                );
            }
        }
    }

    /// Delivers all that the ends wrote to the responders that still wait: whatever they refused
    /// before, and whatever comes first, must not keep them from opening.
    fn finish_waiting_responders(&mut self) {
        for responder in 0..self.responders.len() {
            for message in 0..self.pool.len() {
                let waits = matches!(self.responders[responder].state, ResponderState::Waiting(_));
                if waits && self.pool[message].genuine {
                    self.deliver_to_responder(responder, message);
                }
            }
        }
    }

    fn check(self) {
        let mut pairs = Vec::new();
        let mut responders: Vec<_> = self.responders.into_iter().map(Some).collect();
        for (end, accepted) in self.initiators.into_iter().zip(self.accepted) {
            let InitiatorState::Done(established) = end.state else {
                assert_eq!(accepted, None);
                continue;
            };
            let responder = accepted.expect("an open initiator accepted a message 2");
            let other = &responders[responder];
            let other = other.as_ref().expect("one initiator for each responder");
            let identifier = other.party.identity.identifier();
            assert_eq!(established.peer.identifier(), identifier);
            assert!(is_trusted(end.only, &identifier));
            if !is_trusted(other.only, &end.party.identity.identifier()) {
                // The responder does not trust who answered it, and must go on waiting.
                assert!(matches!(other.state, ResponderState::Waiting(_)));
                continue;
            }
            let other = responders[responder].take().expect("looked at above");
            let ResponderState::Done(opened) = other.state else {
                panic!("the responder refused the message 3 that was written for it");
            };
            assert_eq!(opened.handshake_hash, established.handshake_hash);
            assert_eq!(opened.peer.identifier(), end.party.identity.identifier());
            pairs.push((established, opened));
        }
        for alone in responders.into_iter().flatten() {
            let open = matches!(alone.state, ResponderState::Done(_));
            assert!(!open, "a responder is open, and no initiator to it");
        }
        check_sessions(pairs);
    }
}

fn check_sessions(pairs: Vec<(Box<Established>, Box<Established>)>) {
    let mut records = Vec::new();
    let mut openers = Vec::new();
    for (initiator, responder) in pairs {
        for (from, to) in [(0, 1), (1, 0)] {
            records.push(((openers.len() + from) as u8, openers.len() + to));
        }
        for end in [initiator, responder] {
            let (sealer, opener) = end.session.split();
            openers.push((sealer, opener));
        }
    }
    for (from, to) in records {
        let mut record = Frame::from_slice(&[from]);
        let sealed = openers[usize::from(from)].0.seal(&mut record);
        assert_eq!(sealed, Ok(0));
        for (index, (_, opener)) in openers.iter_mut().enumerate() {
            let mut frame = record.clone();
            let opened = opener.open(&mut frame, Tick(0));
            assert_eq!(
                opened.is_ok(),
                index == to,
                "from {from} to {to}, opened by {index}"
            );
            if index == to {
                assert_eq!(frame.as_slice(), [from]);
            }
        }
    }
}
