//! Relays: an address at a node that both ends can reach stands for a node that nobody can
//! (reference, section 7.1; protocols, section 3).
//!
//! ```text
//! client  -- Registration ------------> relay     return route = [.., main_remote]
//!         <-- confirmation -----------           return route = [relay address]
//! sender  -- message to the address --> relay  -- [saved route.., rest of the route] --> client
//! ```
//!
//! The relay adds nothing to the return route, so that replies go back the sender's way. It serves
//! the reference's clients and ours; data reaches a client either directly behind the channel
//! (Rust relays) or through `main_remote` ([`RelayedTo`], Elixir relays).

mod client;
mod registration;
mod table;

pub use client::{ConfirmationError, RelayedTo, accept_confirmation, relayed};
pub use registration::{
    AliasError, MAX_ALIAS, NATIVE_PREFIX, Registration, check_alias, native_name,
};
pub use table::{Limits, NameRecord, Refusal, Registered, Registrant, Table, data_route, forward};

/// Prefix of the addresses that a relay serves.
pub const ADDRESS_PREFIX: &str = "forward_to_";

/// Service that registers under an alias.
pub const STATIC_SERVICE: &str = "static_forwarding_service";

/// Service that registers under a name of its own choice.
pub const EPHEMERAL_SERVICE: &str = "forwarding_service";
