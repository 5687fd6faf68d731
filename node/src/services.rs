//! The small services that nodes offer: echo, hop, uppercase.

use sealway_core::wire::Frame;

use crate::exposure::Exposure;
use crate::node::{AddressInUse, Node};
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

/// Passes messages on to the next address of their route (reference, section 1.3, rule 3). What it passes on keeps its origin:
/// a hop opens no doors.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hop;

impl Worker for Hop {
    type Message = Frame;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<Frame>,
    ) -> Result<(), WorkerError> {
        Ok(context.forward(message).await?)
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
    /// [`Hop`].
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
            Service::Hop => self.start_worker(service.name(), Hop, exposure),
            Service::Uppercase => self.start_worker(service.name(), Uppercase, exposure),
        }
    }
}
