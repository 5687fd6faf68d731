//! TCP portals: a TCP service at one end appears as a local port at the other (reference,
//! section 7.2).
//!
//! ```text
//! client --TCP-- inlet                                     outlet --TCP-- target
//!                Inlet::new      -- Ping ------------------> Outlet::accept, connects
//!                Inlet::on_answer <------------------ Pong -- Outlet::target_connected
//!                Stream          <-- Payload, Disconnect --> Stream
//! ```
//!
//! [`Inlet`] and [`Outlet`] are consumed by what opens them into a [`Stream`], of which both ends
//! have the same. They do no I/O: events go in as method calls, [`Action`]s come out. Refused
//! connections and lost data end in a reset of the socket, never in an end of file.
//!
//! A Ping may come with further hops behind the outlet's own address, where the reference doubles
//! it; who receives it ignores them.

mod message;
mod opening;
mod stream;

pub use message::{DISCONNECT, MAX_CHUNK, Message, PAYLOAD_OVERHEAD, PING, PONG, encode_payload};
pub use opening::{Answer, Inlet, Outlet, answer_when_closed};
pub use stream::{Action, Actions, Options, Reason, Stream};
