//! The small services that nodes offer: echo, hop, uppercase.

use std::sync::Arc;

use sealway_core::wire::{Address, Frame, Route};

use crate::exposure::Exposure;
use crate::message::Message;
use crate::node::{AddressInUse, Node};
use crate::room::Room;
use crate::router::{Endpoint, Flushes, Hop, NoRoom, Router, Step, Target};
use crate::worker::{Context, Delivery, Worker, WorkerError};

/// Answers each message with its payload, whatever that is. The reference's liveness checks need it at `echo`
/// (reference, section 10.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Worker for Echo {
    type Message = Frame;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<Frame>,
    ) -> Result<(), WorkerError> {
        context.answer(message.return_route, message.payload);
        Ok(())
    }
}

/// Passes messages on to the next address of their route, on the thread of who brings them: where there is no room, only they
/// wait.
struct PassOn(Address);

impl Hop for PassOn {
    fn step(&self, _router: &Router, mut message: Message, _flushes: &mut Flushes) -> Step {
        message.onward.pop_front();
        message.return_route.push_front(self.0.clone());
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
        router.reserve(route, at + 1, len, brought)
    }
}

/// Answers a string with itself in capitals.
#[derive(Clone, Copy, Debug, Default)]
pub struct Uppercase;

impl Worker for Uppercase {
    type Message = String;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<String>,
    ) -> Result<(), WorkerError> {
        context.answer(message.return_route, message.payload.to_uppercase());
        Ok(())
    }
}

/// The services by name, as `sealway node --service` takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Service {
    /// [`Echo`].
    Echo,
    /// Passes messages on to the next address of their route (reference, section 1.3, rule 3). What it passes on keeps its
    /// origin: a hop opens no doors. Where there is no room, the connection that the messages came by is paused.
    Hop,
    /// [`Uppercase`].
    Uppercase,
}

impl Service {
    /// All of them.
    pub const ALL: [Service; 3] = [Service::Echo, Service::Hop, Service::Uppercase];

    /// The service's name, and its address.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Service::Echo => "echo",
            Service::Hop => "hop",
            Service::Uppercase => "uppercase",
        }
    }

    /// The service of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|service| service.name() == name)
    }
}

impl Node {
    /// Starts a service at the address of its name.
    ///
    /// # Errors
    /// [`AddressInUse`].
    pub fn start_service(&self, service: Service, exposure: Exposure) -> Result<(), AddressInUse> {
        match service {
            Service::Echo => self.start_worker(service.name(), Echo, exposure),
            Service::Hop => self.start_hop(service.name().into(), exposure),
            Service::Uppercase => self.start_worker(service.name(), Uppercase, exposure),
        }
    }

    fn start_hop(&self, address: Address, exposure: Exposure) -> Result<(), AddressInUse> {
        let target = Target::Hop(Arc::new(PassOn(address.clone())));
        let endpoint = Endpoint { exposure, target };
        let named = address.to_string();
        let free = self.shared().router.insert(address, endpoint);
        free.then_some(()).ok_or(AddressInUse(named))
    }
}
