//! Tickets: everything one party needs to reach a resource of another once, in a line of text (protocols, section 2; docs/wire.md).
//!
//! ```text
//! exposer   keeps Terms and SecretHash     --- the ticket's text, by mail or by voice --->   whoever redeems it
//! redeemer  opens a channel by a Reach of the ticket, checks identifier and minimum change, asks the worker `redeem`:
//!             Request { secret }  ------------------------------------------------------>   exposer: admit(..), one transaction
//!             <------------------------------------------------------  Answer::Granted | Refused(why)
//! ```
//!
//! A ticket is a bearer token until its last use, and nothing afterwards: then both sides have pinned each other.

mod base32;
mod redeem;
mod secret;
mod text;

pub use redeem::{Answer, Asker, MAX_REQUEST, REDEEM, Refusal, Request, Terms, admit};
pub use secret::{Secret, SecretHash};
pub use text::TicketError;

use alloc::string::String;
use alloc::vec::Vec;

use crate::UnixSeconds;
use crate::channel::Suite;
use crate::identity::{ChangeHash, Identifier};
use crate::relay::{ADDRESS_PREFIX, native_name};
use crate::wire::{MultiAddr, Protocol, steers};

/// Most ways to reach the exposer that a ticket names.
pub const MAX_REACHES: usize = 8;

/// Longest name of a resource, in bytes.
pub const MAX_RESOURCE: usize = 128;

/// Longest body of a ticket, in bytes; its text has eight characters for five bytes.
pub const MAX_BODY: usize = 2_048;

/// Whether `name` can be that of an exposed resource: 1 to [`MAX_RESOURCE`] bytes, nothing that [`steers`], and not `*`, which stands for
/// everything.
#[must_use]
pub fn is_resource(name: &str) -> bool {
    (1..=MAX_RESOURCE).contains(&name.len()) && name != "*" && !name.contains(steers)
}

/// Whether an address is a host and a TCP port and nothing else: a ticket leads its redeemer to no socket and no worker of its own machine's
/// by name.
fn is_host_and_port(address: &MultiAddr) -> bool {
    matches!(
        address.protocols(),
        [
            Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::DnsAddr(_),
            Protocol::Tcp(1..)
        ]
    )
}

/// One way to the exposer. Addresses are a host and a TCP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The exposer itself listens there.
    Direct(MultiAddr),
    /// A relay at which the exposer is registered.
    Relay {
        /// Where the relay listens.
        relay: MultiAddr,
        /// The relay's identity, if the exposer has met it. The redeemer needs no channel to the relay; this is for people to see.
        identifier: Option<Identifier>,
        /// The service of the exposer's [`native_name`] there.
        service: String,
    },
}

impl Reach {
    /// The route to the channel listener of `suite` at `exposer`, for [`MultiAddr`]'s usual readers: `…/secure/LISTENER`.
    #[must_use]
    pub fn to_listener(&self, exposer: &Identifier, listener: &str) -> MultiAddr {
        let (Self::Direct(address) | Self::Relay { relay: address, .. }) = self;
        let mut route = address.clone();
        if let Self::Relay { service, .. } = self {
            let mut name = String::from(ADDRESS_PREFIX);
            name.push_str(&native_name(exposer, service));
            route.push(Protocol::Service(name));
        }
        route.push(Protocol::Secure(listener.into()));
        route
    }
}

/// A ticket. Its text is made and read by [`Ticket::to_text`] and [`Ticket::parse`]; there is no `Display`, and `Debug` leaves the secret out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Whom the redeemer must meet.
    pub exposer: Identifier,
    /// The exposer's latest change when the ticket was made: a history that does not hold it is refused, so that the thief of an old key
    /// cannot show a history from before its rotation.
    pub minimum_change: ChangeHash,
    /// How to get there, in order of preference: 1 to [`MAX_REACHES`].
    pub reaches: Vec<Reach>,
    /// The weakest suite that the redeemer may speak.
    pub suite: Suite,
    /// What is offered; see [`is_resource`].
    pub resource: String,
    /// What the redeemer shows, inside the channel only.
    pub secret: Secret,
    /// When the ticket ceases to be redeemable.
    pub expires: UnixSeconds,
    /// How many identities may redeem it, at least 1.
    pub uses: u32,
}
