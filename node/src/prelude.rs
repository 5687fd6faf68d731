//! What most applications need: `use sealway::prelude::*;`.

pub use crate::channel::{Channel, ChannelOptions, ListenerOptions};
pub use crate::core::channel::Trust;
pub use crate::core::identity::Identifier;
pub use crate::core::wire::{Address, MultiAddr, Route};
pub use crate::{
    Access, Context, Delivery, Exposure, Node, PathOptions, Payload, Raw, Service, Worker,
    WorkerError,
};
