//! The native portal: many byte streams over one secure channel (docs/wire.md, "Native portal").
//!
//! A [`Session`] is one end of what two Sealway nodes say to each other at the worker [`ADDRESS`] of one channel. It holds
//! no data, owns no clock and does no I/O. Its caller delivers the channel's messages in nonce order, and ends the
//! session when one is missing.
//!
//! ```text
//!  client's socket                                                            target's socket
//!        | readable            next_to_send                on_message               ^
//!        v                          |                          |                    |
//!     caller -- open, readable --> Session == messages ==> Session -- Opened, Data --> caller
//!            <-- Transmit::Data --                                 <-- accept, consumed --
//!            -- encode --------->
//! ```
//!
//! - *Streams*: [`open`](Session::open), [`accept`](Session::accept), [`finish`](Session::finish),
//!   [`reset`](Session::reset), [`allow_streams`](Session::allow_streams).
//! - *Sending*: [`readable`](Session::readable) says that a stream has data.
//!   [`next_to_send`](Session::next_to_send), asked when the transport has room, says whose turn it is and for how
//!   much; the caller reads that much from the socket into a [`Frame`](crate::wire::Frame), and
//!   [`encode`](Session::encode) puts the header in front, in place. A socket that gave nothing:
//!   [`drained`](Session::drained). Between two turns the data stays where it is, in the caller's socket.
//! - *Receiving*: [`on_message`](Session::on_message) gives [`Event`]s; [`consumed`](Session::consumed) says that data
//!   needs no memory any more, which is what makes credit.
//! - *Time*: [`deadline`](Session::deadline), [`on_deadline`](Session::on_deadline); [`ask`](Session::ask) when the peer was
//!   silent.
//! - *End*: [`lost`](Session::lost) when the channel is gone, whatever the reason.
//!
//! A new channel is a new session: nothing is opened or sent again.
//!
//! # Memory
//!
//! | what | bound |
//! |---|---|
//! | data received and not consumed, all streams | [`Limits::channel_window`], 32 MiB; 4 MiB until that much stands still |
//! | the same, one stream | [`Limits::stream_window`], 8 MiB; 256 KiB, or 1 MiB while it is the only one that says something, unless round trip and rate ask for more |
//! | data sent and not acknowledged | none kept: a peer that withholds acknowledgements or credits binds a stream's state only |
//! | a stream's state | under 512 bytes |
//! | streams, each way | [`Limits::streams`], 8,192 |
//! | frames waiting to be sent | a stream number a stream; what they say is made when they are sent |

mod error;
mod frame;
mod hello;
mod opens;
mod pings;
mod receiving;
mod schedule;
mod sending;
mod session;
mod stream;
mod window;

pub use error::{OpenError, SendError, SessionError};
pub use frame::{
    Control, DATA_OVERHEAD, MAX_DATA, MAX_FRAMES, MAX_MESSAGE, MAX_RESOURCE, Part, Parts, Reason,
    StreamId, VERSION, control_message, encode_data, encode_open,
};
pub use hello::{HELLO_ADDRESS, Hello};
pub use receiving::{Event, Events};
pub use sending::Transmit;
pub use session::{Limits, Role, Session};

/// The worker's address that the messages of a session are sent to.
pub const ADDRESS: &str = "portal";

/// What an opener may send on a stream before it is accepted, and the smallest window of a stream: 256 KiB.
///
/// Measured on loopback: large enough for full speed there, small enough that a small message beside a bulk stream
/// waits 0.3 ms.
pub const STREAM_WINDOW: u64 = 256 << 10;

/// The smallest window of a stream while no other stream's data comes: 1 MiB.
///
/// 256 KiB let sender and receiver on two busy cores wait for each other; but what is on its way on one stream is what a message on
/// another waits behind. Measured on loopback: one bulk stream goes 1.9 times as fast, and a message beside it waits five times
/// as long, if the window stays large then.
const SOLE_WINDOW: u64 = 1 << 20;

/// So long no other stream's data has come before one is the only one.
const SOLE_AFTER_MS: u64 = 100;

/// What may be sent on all streams together before any credit: 4 MiB.
pub const CHANNEL_WINDOW: u64 = 4 << 20;

/// Largest window of a stream, limit less acknowledged: 16 MiB. What a sender that can resume has to keep.
pub const MAX_WINDOW: u64 = 16 << 20;

/// Streams that an initiator may open before any credit; a responder may open none.
pub const INITIAL_STREAMS: u64 = 64;
