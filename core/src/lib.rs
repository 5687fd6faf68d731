//! Sealway's protocols as pure state machines: for hosts, devices, and whatever carries messages between them.
//!
//! Nothing here does I/O, reads a clock or draws randomness of its own: time ([`UnixSeconds`], [`Tick`]) and
//! randomness come in as arguments, bytes go into the caller's buffers. The handshake of two parties, each of whom accepts
//! nobody but the other:
//!
//! ```
//! use std::sync::Arc;
//! use sealway_core::{Tick, UnixSeconds, channel::*, crypto::*, identity::*, wire::{Address, Frame}};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
//! let now = UnixSeconds(1_700_000_000);
//! // An identity: a signing key, and a static key that it attests.
//! let mut party = || -> Result<Arc<LocalParty>, Box<dyn std::error::Error>> {
//!     let signer = SigningKey::generate(KeyType::Ed25519, &mut rng);
//!     let static_key = DhSecret::generate(&mut rng);
//!     let identity = Identity::create(&signer, now);
//!     let purpose = Suite::Hybrid.purpose(static_key.public());
//!     let attestation = Attestation::issue(&signer, &identity, purpose, now)?;
//!     Ok(Arc::new(LocalParty::new(&identity, &attestation, static_key, &[])?))
//! };
//! let (alice, bob) = (party()?, party()?);
//! let (only_alice, only_bob) = (
//!     Trust::Identifier(*alice.identifier()),
//!     Trust::Identifier(*bob.identifier()),
//! );
//!
//! // Three messages; how they get across is the caller's affair.
//! let listener = Address::local("sealway_xx1");
//! let (message1, at_alice) = Initiator::start(&alice, &listener, &mut rng);
//! let at_bob = Responder::new(&bob, &listener).read_message1(&message1)?;
//! let (message2, at_bob) = at_bob.write_message2(&mut rng)?;
//! let at_alice = at_alice.read_message2(&message2, now, &only_bob)?;
//! let (message3, alice_established) = at_alice.write_message3()?;
//! let bob_established = at_bob.read_message3(&message3, now, &only_alice)?;
//!
//! // A channel: one end seals in place, the other opens in place.
//! let (mut sealer, _) = alice_established.session.split();
//! let (_, mut opener) = bob_established.session.split();
//! let mut frame = Frame::from_slice(b"hello, Bob");
//! sealer.seal(&mut frame)?;
//! opener.open(&mut frame, Tick(0))?;
//! assert_eq!(frame.as_slice(), b"hello, Bob");
//! # Ok(())
//! # }
//! ```
//!
//! # The rooms
//!
//! Each uses only what stands below it; a test reads the `use` lines.
//!
//! ```text
//!           ticket               how a party is invited, once
//!             |
//!  portal   relay   streams   control      messages of the services, and their state
//!       \     |      /        /
//!        channel                 handshake with identities, live session, trust
//!         |    \
//!         |    noise             XX and XXhfs on their own
//!         |     |
//!      identity |                histories, attestations
//!          \    |
//!         crypto    wire         primitives; addresses, routes, frames, encodings
//! ```
//!
//! # Features
//!
//! `aws-lc` (default): the host's crypto backend. Without it a pure-Rust backend does everything, on machines without `std`
//! too. The bytes are the same, and so are all checks.

#![no_std]
#![warn(clippy::indexing_slicing)]

extern crate alloc;
// Only `std::arch`, to ask which processor this is: `tests/architecture.rs` sees to that.
#[cfg(any(test, all(feature = "aws-lc", target_arch = "x86_64")))]
extern crate std;

mod time;

pub mod channel;
pub mod control;
pub mod crypto;
pub mod identity;
pub mod noise;
pub mod portal;
pub mod relay;
pub mod streams;
pub mod ticket;
#[cfg(sealway_weaken)]
pub mod weaken;
pub mod wire;

pub use time::{Tick, UnixSeconds};
