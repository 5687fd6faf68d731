//! The inline hop of a relay: one address that stands for a way to somewhere else.

use std::sync::{Mutex, Weak};

use sealway_core::wire::{Address, Route};

use crate::counters::Count;
use crate::exposure::Exposure;
use crate::message::Message;
use crate::node::{AddressInUse, Node, Shared, lock};
use crate::room::Room;
use crate::router::{Endpoint, Flushes, Hop, NoRoom, Router, Step, Target};

/// Passes messages on along a route, and leaves their return route untouched (reference, section 1.3, rule 6): replies go the way
/// that the connections themselves have written into it.
pub(crate) struct ForwardHop {
    pub(crate) to: Mutex<Route>,
    pub(crate) node: Weak<Shared>,
}

impl Hop for ForwardHop {
    fn step(&self, router: &Router, mut message: Message, _flushes: &mut Flushes) -> Step {
        message.onward.pop_front();
        let to = lock(&self.to).clone();
        let Some(first) = to.first() else {
            return Step::Refused(Count::TransportGone);
        };
        // Whoever may use the relay may reach what it leads to, and be answered.
        if let (Some(source), Some(node)) = (message.origin.source(), self.node.upgrade()) {
            node.join(source, first);
        }
        message.onward.prepend(&to);
        router.counters.one(Count::RelayForwarded);
        Step::Next(message)
    }

    fn reserve(
        &self,
        router: &Router,
        route: &Route,
        at: usize,
        len: usize,
        brought: Room,
    ) -> Result<Room, NoRoom> {
        let mut to = lock(&self.to).clone();
        to.extend(route.iter().skip(at + 1).cloned());
        router.reserve(&to, 0, len, brought)
    }

    fn backlog(&self, router: &Router) -> usize {
        let first = lock(&self.to).first().cloned();
        first.map_or(0, |first| router.backlog(&first))
    }
}

impl Node {
    /// Makes `address` stand for `route`: what is sent there goes on along it.
    ///
    /// # Errors
    /// [`AddressInUse`].
    pub fn start_relay(
        &self,
        address: impl Into<Address>,
        route: impl Into<Route>,
        exposure: Exposure,
    ) -> Result<(), AddressInUse> {
        let address = address.into();
        let hop = ForwardHop {
            to: Mutex::new(route.into()),
            node: std::sync::Arc::downgrade(self.shared()),
        };
        let endpoint = Endpoint {
            exposure,
            target: Target::Hop(std::sync::Arc::new(hop)),
        };
        if !self.shared().router.insert(address.clone(), endpoint) {
            return Err(AddressInUse(address.to_string()));
        }
        Ok(())
    }
}
