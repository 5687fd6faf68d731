//! Tickets between nodes: a TCP service is offered with one line of text, and reached with it (protocols.md sections 1 and 2).
//!
//! ```text
//! A  node.expose(pins, ..)           listener, outlet, `redeem`, and either a port or a name at a relay
//!    exposed.ticket(..)              the text, for B
//! B  node.connect_ticket(pins, ..)   channel to A, secret inside it, pin, local port
//!    node.connect_known(pins, ..)    the same after a restart, without the ticket
//! ```
//!
//! Redemption pins each end at the other for this one resource and direction: B can open no other outlet of A's, and A reaches
//! nothing at B. The pins are asked at every open ([`Pins`](crate::pins::Pins)); when one is taken back, what is open ends.

mod addresses;
mod connect;
mod expose;
mod redeem;

use std::time::Duration;

use sealway_core::channel::Suite;

pub use connect::{ConnectError, ConnectOptions, Connection};
pub use expose::{ExposeError, ExposeOptions, Exposed, Offer, Way};
pub use redeem::RedeemError;
pub use sealway_core::ticket::{Refusal, Ticket, TicketError};

/// What is spoken between the two ends.
fn suite() -> Suite {
    #[cfg(sealway_weaken)]
    if sealway_core::weaken::off(sealway_core::weaken::Check::Suite) {
        return Suite::Classical;
    }
    Suite::Hybrid
}

/// Somebody who is pinned for nothing may redeem a ticket within this time after the channel is there.
pub(crate) const REDEEM_WITHIN: Duration = Duration::from_secs(10);
