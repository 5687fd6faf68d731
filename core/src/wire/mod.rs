//! The bytes between nodes: addresses, routes, routing messages and their encodings.
//!
//! Everything here reads untrusted input. Parsing borrows from that input; depth, counts and
//! lengths are checked before anything is allocated. Two encodings live side by side, as in the
//! reference (section 0): [`cbor`] for routing messages, identities and channel payloads, and
//! [`bare`] for strings, portal messages and the older transport message.

mod address;
mod error;
mod frame;
mod multiaddr;
mod route;
mod routing;
mod steer;

pub mod bare;
pub mod cbor;
pub mod legacy;
pub mod tcp;

pub use address::{Address, AddressType, MAX_ADDRESS};
pub use error::{DecodeError, FrameTooLarge, ParseError};
pub use frame::Frame;
pub use multiaddr::{MAX_PROTOCOLS, MultiAddr, Protocol};
pub use route::Route;
pub(crate) use routing::read_route;
pub use routing::{
    MAX_ONWARD_HOPS, MAX_RETURN_HOPS, RoutingMessage, encode_routing, routing_prefix_len,
    write_routing_prefix,
};
pub use steer::steers;
