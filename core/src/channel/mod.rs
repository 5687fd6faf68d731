//! Secure channels: mutual authentication and a record layer (reference, section 4).
//!
//! The handshake is Noise XX or its hybrid XXhfs ([`Suite`]) with the identities in its payloads; each
//! of its states is a type that is consumed by value, so that a wrong order does not compile:
//!
//! ```
//! use std::sync::Arc;
//! use sealway_core::{Tick, UnixSeconds, channel::*, crypto::*, identity::*, wire::{Address, Frame}};
//! # fn party(seed: u8) -> Arc<LocalParty> {
//! #     let now = UnixSeconds(1_700_000_000);
//! #     let signer = SigningKey::from_bytes(KeyType::Ed25519, &[seed; 32]).expect("a key");
//! #     let identity = Identity::create(&signer, now);
//! #     let key = DhSecret::from_bytes([seed + 1; 32]);
//! #     let purpose = PurposeKey::SecureChannel(key.public());
//! #     let attestation = Attestation::issue(&signer, &identity, purpose, now).expect("valid");
//! #     Arc::new(LocalParty::new(&identity, &attestation, key, &[]).expect("fits"))
//! # }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (alice, bob, now) = (party(1), party(3), UnixSeconds(1_700_000_000));
//! # let trust_bob = Trust::Identifier(*bob.identifier());
//! # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
//! let listener = Address::local("api");
//! let (message1, initiator) = Initiator::start(&alice, &listener, &mut rng);
//! let responder = Responder::new(&bob, &listener).read_message1(&message1)?;
//! let (message2, responder) = responder.write_message2(&mut rng)?;
//! let initiator = initiator.read_message2(&message2, now, &trust_bob)?;
//! let (message3, at_alice) = initiator.write_message3()?;
//! let at_bob = responder.read_message3(&message3, now, &Trust::Everyone)?;
//!
//! let (mut sealer, _) = at_alice.session.split();
//! let (_, mut opener) = at_bob.session.split();
//! let mut frame = Frame::from_slice(b"hello");
//! sealer.seal(&mut frame)?;
//! opener.open(&mut frame, Tick(0))?;
//! assert_eq!(frame.as_slice(), b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! Message 3 before message 2 does not compile:
//!
//! ```compile_fail,E0599
//! # use sealway_core::channel::*;
//! fn skip(initiator: AwaitMessage2) {
//!     initiator.write_message3();
//! }
//! ```
//!
//! Nor does a state that is used twice:
//!
//! ```compile_fail,E0382
//! # use sealway_core::{channel::*, crypto::CryptoRng};
//! fn twice(responder: SendMessage2, rng: &mut impl CryptoRng) {
//!     responder.write_message2(rng);
//!     responder.write_message2(rng);
//! }
//! ```
//!
//! Nor a session before the peer has proved itself:
//!
//! ```compile_fail,E0609
//! # use sealway_core::channel::*;
//! fn early(responder: AwaitMessage3) -> Session {
//!     responder.session
//! }
//! ```

mod error;
mod handshake;
mod in_order;
pub mod message;
mod party;
mod session;
mod suite;
mod trust;

pub use error::{ChannelError, Failed, HandshakeError, PartyError};
pub use handshake::{
    AwaitMessage1, AwaitMessage2, AwaitMessage3, Established, Initiator, Responder, SendMessage2,
    SendMessage3,
};
pub use in_order::{Delivery, Gap, InOrder, MAX_HELD};
pub use message::{Plaintext, payload_overhead};
pub use party::{LocalParty, MAX_CREDENTIALS};
pub use session::{
    BACKWARD_WINDOW, EPOCH, FAR_TRIALS_PER_SECOND, FORWARD_WINDOW, LAST_NONCE, NONCE_LEN, Opener,
    RECORD_OVERHEAD, Sealer, Session,
};
pub use suite::{Suite, UnknownSuite};
pub use trust::Trust;
