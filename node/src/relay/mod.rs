//! Relays: how nodes with no open port are reached (protocols.md section 3; reference, section 7.1).

mod client;
mod forward;
mod service;

pub use client::{MetRelay, RegisterError, RegistrationOptions, RelayRegistration};
pub(crate) use service::RelayTable;
pub use service::{NameStore, RelayOptions};

/// Where clients register whose data is to go over the bare connection.
const NATIVE_SERVICE: &str = "sealway_relay";

/// What a refusal at [`NATIVE_SERVICE`] starts with; its reason follows, and a `!` that no name ends with. The reference's services
/// refuse by silence.
const REFUSAL: &str = "sealway/relay/refused/1/";
