//! Portals: a TCP service at one end appears as a local port at the other.
//!
//! An [inlet](Inlet) and an [outlet](crate::Node::outlet) have a path between them. Two protocols run over it: the native one
//! between two Sealway nodes, inside one secure channel (docs/wire.md, "Native portal"), and the reference's with Ockam nodes and
//! over paths without a channel.

mod inlet;
pub(crate) mod native;
mod outlet;
mod paths;
mod reference;

use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;

use crate::counters::Count;
use crate::node::Shared;
use crate::telling::Line;

pub(crate) use inlet::Bound;
pub use inlet::{Inlet, InletError};
pub(crate) use outlet::Outlet;

/// What an inlet speaks to the outlet at the end of its path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PortalProtocol {
    /// Sealway's where the peer answers a Hello, else the reference's.
    #[default]
    Detected,
    /// Sealway's and no other: the peer is known to speak it.
    Native,
    /// The reference's and no other.
    Reference,
}

/// How a connection of a portal ended.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Ended {
    /// In order, both directions.
    Finished,
    /// By a reset, for this reason.
    Reset(String),
}

impl Ended {
    fn count(self, node: &Shared) {
        match self {
            Ended::Finished => node.router.counters.one(Count::StreamsFinished),
            Ended::Reset(reason) => {
                tracing::debug!(reason, "portal connection reset");
                node.router.counters.one(Count::StreamsReset);
            }
        }
    }
}

/// Counts and tells that a connection was refused.
fn tell_refused(node: &Arc<Shared>, why: String) {
    node.router.counters.one(Count::StreamsRefused);
    node.tell(Count::StreamsRefused, Line::Refused(why));
}

/// Makes the end of a socket a reset, however it comes about, until it is finished in order. Also when this process is
/// killed: the system closes its sockets then, and by default that would look like the end of the stream.
fn reset_unless_finished(socket: &TcpStream) {
    // If the option cannot be set the socket is broken, and its first read or write says so.
    let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
