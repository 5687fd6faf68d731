//! Routing messages over a byte stream: the framing of the reference's TCP transport (section 2.1), which our Unix
//! sockets share. One version byte in each direction, then frames.

use std::sync::Arc;
use std::time::Duration;

use sealway_core::wire::tcp::{self, Deframer};
use sealway_core::wire::{DecodeError, Frame};
use tokio::time::Instant;

use super::socket::{Socket, SocketWriter, Taken};
use super::{Egress, Ingress, Link, attach};
use crate::buffers::Buffers;
use crate::counters::{Count, Counters};
use crate::node::Shared;
use crate::room::{Reservoir, Room};

/// Bytes that wait for one connection's socket: 1 MiB. At the bound, sources are paused. More would only make a bulk stream's
/// neighbours wait longer.
const EGRESS_BOUND: u32 = 1 << 20;
/// A peer's version byte must come within this time.
const VERSION_DEADLINE: Duration = Duration::from_secs(10);
/// A frame that was begun must be complete within this time, or have moved on by [`SLOW_BYTES`].
const FRAME_DEADLINE: Duration = Duration::from_secs(30);
/// Progress that renews [`FRAME_DEADLINE`].
const SLOW_BYTES: usize = 64 << 10;

/// Frames after which what they have caused is written, though more were read with them: the answers to a whole buffer of small
/// ones would need more room than [`EGRESS_BOUND`], and find none.
const IN_A_ROW: usize = 64;

struct StreamEgress {
    writer: Arc<SocketWriter>,
    reservoir: Reservoir,
}

impl Egress for StreamEgress {
    fn reservoir(&self) -> &Reservoir {
        &self.reservoir
    }

    fn enqueue(&self, mut message: Frame, room: Room) {
        // The router refuses what is longer than a frame may be.
        if tcp::encode_frame(&mut message).is_ok() {
            self.writer.enqueue(message, room);
        }
    }

    fn flush(&self) {
        self.writer.flush();
    }

    fn flush_soon(&self) {
        self.writer.flush_soon();
    }

    fn progress(&self) -> u64 {
        self.writer.written()
    }

    fn close(&self) {
        self.writer.close(false);
    }
}

/// Attaches a connected socket to the node and starts its two tasks.
pub(crate) fn start(
    node: &Arc<Shared>,
    transport: &'static str,
    peer: String,
    socket: Socket,
) -> Link {
    let reservoir = Reservoir::new(EGRESS_BOUND);
    let writer = SocketWriter::new(socket, Some(reservoir.clone()));
    let egress = StreamEgress {
        writer: Arc::clone(&writer),
        reservoir,
    };
    let (link, ingress) = attach(node, transport, peer, Arc::new(egress));
    // Both sides send their version without waiting for the other's (reference, section 2.1).
    writer.enqueue(Frame::from_slice(&[tcp::VERSION]), Room::default());
    writer.flush();
    node.spawn({
        let writer = Arc::clone(&writer);
        async move { writer.drive(|| {}).await }
    });
    let counters = Arc::clone(&node.router.counters);
    let buffers = Arc::clone(&node.buffers);
    node.spawn(async move {
        let peer = ingress.link.origin.peer.clone();
        let why = read(&writer, ingress, &buffers, &counters).await;
        tracing::debug!(%peer, why, "connection ended");
    });
    link
}

/// Reads until the connection ends; says why it did.
async fn read(
    writer: &SocketWriter,
    mut ingress: Ingress,
    mut buffers: &Buffers,
    counters: &Counters,
) -> &'static str {
    let mut deframer = Deframer::new();
    let mut deadline = Some((Instant::now() + VERSION_DEADLINE, 0));
    let mut greeted = false;
    loop {
        // No buffer is held while nothing is there to read.
        deframer.release(&mut buffers);
        tokio::select! {
            in_time = readable(writer, deadline) => if !in_time { return "nothing came in time" },
            () = ingress.closed() => return "closed here",
        }
        match writer.socket().try_read(deframer.room_of(&mut buffers)) {
            Ok(Taken { len: 0, .. }) => return "end of stream",
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(_) => return "connection failed",
        }
        let mut frames = 0_usize;
        loop {
            match deframer.next_frame() {
                Ok(Some(frame)) => {
                    if ingress.receive(frame).await.is_err() {
                        return "undecodable message";
                    }
                    frames += 1;
                    if frames.is_multiple_of(IN_A_ROW) {
                        ingress.flush();
                    }
                    // A buffer holds thousands of handshakes' first messages: others get their turn between them.
                    tokio::task::coop::consume_budget().await;
                }
                Ok(None) => break,
                Err(DecodeError::UnsupportedVersion(_)) => {
                    counters.one(Count::BadVersion);
                    return "wrong version byte";
                }
                Err(_) => {
                    counters.one(Count::OversizedFrame);
                    return "frame too large";
                }
            }
        }
        ingress.flush();
        let waiting = deframer.buffered();
        deadline = match deadline {
            _ if waiting == 0 => None,
            Some((until, seen)) if greeted && (seen..seen + SLOW_BYTES).contains(&waiting) => {
                Some((until, seen))
            }
            _ => Some((Instant::now() + FRAME_DEADLINE, waiting)),
        };
        // What came first was the version byte.
        greeted = true;
    }
}

/// Waits until there is something to read; `false` if the deadline passed or the socket failed.
async fn readable(writer: &SocketWriter, deadline: Option<(Instant, usize)>) -> bool {
    let readable = writer.socket().readable();
    match deadline {
        None => readable.await.is_ok(),
        Some((until, _)) => matches!(tokio::time::timeout_at(until, readable).await, Ok(Ok(()))),
    }
}
