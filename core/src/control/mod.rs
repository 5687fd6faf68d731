//! Requests and responses between nodes (reference, section 5.4).
//!
//! A message's payload is BARE data, whose content is a header and then a body, both CBOR.

mod error;
mod header;

pub use error::{ErrorBody, MAX_CAUSES};
pub use header::{Method, Request, Response, Status};
