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

/// Makes the end of a socket a reset, however it comes about, until it is finished in order. Also when this process is
/// killed: the system closes its sockets then, and by default that would look like the end of the stream.
fn reset_unless_finished(socket: &TcpStream) {
    // If the option cannot be set the socket is broken, and its first read or write says so.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
