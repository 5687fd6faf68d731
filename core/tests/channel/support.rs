//! Two parties, their keys, and randomness that a test can repeat.

use std::convert::Infallible;
use std::sync::Arc;

use rand_core::{TryCryptoRng, TryRng};
use sealway_core::UnixSeconds;
use sealway_core::channel::{Established, Initiator, LocalParty, Responder, Suite, Trust};
use sealway_core::crypto::{DhSecret, KeyType, SigningKey};
use sealway_core::identity::{Attestation, Identity};
use sealway_core::noise::{HandshakeState, Protocol, Role};
use sealway_core::wire::Address;

/// When the tests take place.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_700_000_100);

/// "Randomness" that repeats one block of 32 bytes, so that an ephemeral key is the one given.
pub(crate) struct Fixed(pub(crate) [u8; 32]);

impl TryRng for Fixed {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for (byte, given) in out.iter_mut().zip(self.0.iter().cycle()) {
            *byte = *given;
        }
        Ok(())
    }
}

impl TryCryptoRng for Fixed {}

/// Everything an identity's holder has, secrets included, so that a test can steal them.
pub(crate) struct Holder {
    pub(crate) suite: Suite,
    pub(crate) signer: SigningKey,
    pub(crate) identity: Identity,
    pub(crate) static_key: [u8; 32],
    pub(crate) attestation: Attestation,
}

impl Holder {
    pub(crate) fn new(suite: Suite, seed: u8) -> Self {
        let signer = SigningKey::from_bytes(KeyType::Ed25519, &[seed; 32]).unwrap();
        let identity = Identity::create(&signer, NOW);
        let static_key = [seed ^ 0x55; 32];
        let purpose = suite.purpose(DhSecret::from_bytes(static_key).public());
        let attestation = Attestation::issue(&signer, &identity, purpose, NOW).unwrap();
        Self {
            suite,
            signer,
            identity,
            static_key,
            attestation,
        }
    }

    pub(crate) fn party(&self) -> Arc<LocalParty> {
        let key = DhSecret::from_bytes(self.static_key);
        Arc::new(LocalParty::new(&self.identity, &self.attestation, key, &[]).unwrap())
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust::Identifier(self.identity.identifier())
    }
}

/// Where responders listen.
pub(crate) fn api() -> Address {
    Address::local("api")
}

/// The hybrid suite's prologue at [`api`], written out (docs/wire.md, "Hybrid handshake").
const HYBRID_PROLOGUE: &[u8] = b"\0\0\0\x11sealway/channel/1\0\x01\0\0\0\x03api";

/// What a dishonest peer runs its own handshake with.
pub(crate) fn noise(suite: Suite, role: Role, static_key: [u8; 32]) -> HandshakeState {
    let protocol = match suite {
        Suite::Classical => Protocol::OCKAM,
        Suite::Hybrid => Protocol::hybrid(HYBRID_PROLOGUE),
    };
    HandshakeState::new(&protocol, role, Arc::new(DhSecret::from_bytes(static_key)))
}

/// What stands in front of Noise's message 1.
pub(crate) const fn prefix(suite: Suite) -> &'static [u8] {
    match suite {
        Suite::Classical => &[],
        Suite::Hybrid => &[0, 1],
    }
}

/// An honest handshake: initiator's end, responder's end.
pub(crate) fn connect(initiator: &Holder, responder: &Holder) -> (Established, Established) {
    let (message1, at_i) = Initiator::start(&initiator.party(), &api(), &mut Fixed([0xe1; 32]));
    let at_r = Responder::new(&responder.party(), &api())
        .read_message1(&message1)
        .unwrap();
    let (message2, at_r) = at_r.write_message2(&mut Fixed([0xe2; 32])).unwrap();
    let at_i = at_i
        .read_message2(&message2, NOW, &responder.trust())
        .unwrap();
    let (message3, at_i) = at_i.write_message3().unwrap();
    let at_r = at_r
        .read_message3(&message3, NOW, &initiator.trust())
        .unwrap();
    (at_i, at_r)
}
