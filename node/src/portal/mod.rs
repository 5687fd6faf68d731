//! Portals of the reference's protocol (reference, section 7.2): a TCP service at one end appears as a local port at the other.

mod inlet;
mod outlet;
mod stream;

use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::counters::Count;
use crate::node::Shared;
use stream::Ended;

pub use inlet::{Inlet, InletError};

/// Counts how a connection ended.
fn count_end(node: &Shared, ended: Ended) {
    match ended {
        Ended::Finished => node.router.counters.one(Count::StreamsFinished),
        Ended::Reset(reason) => {
            tracing::debug!(%reason, "portal connection reset");
            node.router.counters.one(Count::StreamsReset);
        }
    }
}

/// Closes a socket so that its other end sees a reset.
fn reset(socket: &TcpStream) {
    // The close that follows sends RST; if the option cannot be set the client sees an end before any byte.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
