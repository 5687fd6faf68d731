//! What tests of nodes share: nodes in a simulated network, and small workers.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealway::channel::{Channel, ChannelOptions, ListenerOptions};
use sealway::core::channel::{Suite, Trust};
use sealway::core::identity::Identifier;
use sealway::core::wire::{Address, AddressType, Route};
use sealway::transport::memory::Network;
use sealway::{
    Access, Context, Delivery, Exposure, Node, NodeBuilder, Service, Worker, WorkerError,
};

pub(crate) const SOON: Duration = Duration::from_secs(10);

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn route(addresses: &[&Address]) -> Route {
    addresses.iter().map(|address| (*address).clone()).collect()
}

pub(crate) fn text(route: &str) -> Route {
    route.parse().expect("a route")
}

pub(crate) fn identifier(node: &Node) -> Identifier {
    node.identifier().expect("it has an identity")
}

/// A node in `network`, where it stands for TCP.
pub(crate) fn builder(network: &Network) -> NodeBuilder {
    Node::builder()
        .transport(network.transport_as("tcp", AddressType::TCP))
        .ephemeral_identity()
}

/// Offers channels of both suites, and `echo` behind them, to whom `trust` admits.
pub(crate) fn offer(node: &Node, trust: Trust) {
    let access = Access::trust(trust);
    let exposure = Exposure::local().to_channels(access.clone(), "echo");
    node.start_service(Service::Echo, exposure).expect("free");
    for suite in Suite::ALL {
        let options = ListenerOptions::new(access.clone());
        node.secure_channel_listener(suite.listener(), options)
            .expect("free");
    }
}

/// A node that listens at `tcp:10.0.0.1:1` in `network`, with channels and `echo` for everybody.
pub(crate) async fn server(network: &Network) -> Node {
    let node = builder(network).start();
    offer(&node, Trust::Everyone);
    node.listen("tcp:10.0.0.1:1").await.expect("free");
    node
}

/// A channel from `client` to whoever listens at `tcp:10.0.0.1:1`.
pub(crate) async fn channel(client: &Node) -> Channel {
    let link = client.connect("tcp:10.0.0.1:1").await.expect("it listens");
    let options = ChannelOptions::expect(Trust::Everyone);
    client
        .secure_channel(route(&[link.address(), &"api".into()]), options)
        .await
        .expect("a channel")
}

/// A worker that keeps what it gets.
#[derive(Clone, Default)]
pub(crate) struct Sink(pub(crate) Arc<Mutex<Vec<String>>>);

impl Sink {
    pub(crate) fn got(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Worker for Sink {
    type Message = String;

    async fn handle(
        &mut self,
        _context: &mut Context,
        message: Delivery<String>,
    ) -> Result<(), WorkerError> {
        self.0.lock().expect("no panic").push(message.payload);
        Ok(())
    }
}

/// Bytes that follow from a seed.
pub(crate) fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}
