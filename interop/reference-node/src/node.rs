//! The node behind the commands, and who may reach what in it.

use crate::command::Command;
use crate::failure::Failure;
use ockam::flow_control::FlowControlId;
use ockam::identity::Identifier;
use ockam::tcp::TcpTransport;
use ockam::{Address, Context, Node, Route};
use serde_json::Value;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

/// A node of the reference with its TCP transport.
pub(crate) struct ReferenceNode {
    pub(crate) node: Node,
    pub(crate) tcp: Arc<TcpTransport>,
    reach: Mutex<Reach>,
}

/// Everything that brings messages in, and everything that shall get them.
///
/// The reference delivers a message from outside only to consumers of the flow control it came in by (protocol
/// description, section 9). Each new member of either list is paired with all of the other.
#[derive(Default)]
struct Reach {
    sources: Vec<FlowControlId>,
    services: Vec<Address>,
}

impl ReferenceNode {
    pub(crate) async fn start(context: Context) -> Result<Self, Failure> {
        let tcp = TcpTransport::get_or_create(&context)?;
        let node = ockam::node(context).await?;
        Ok(Self {
            node,
            tcp,
            reach: Mutex::default(),
        })
    }

    pub(crate) fn context(&self) -> &Context {
        self.node.context()
    }

    pub(crate) async fn shutdown(&self) -> Result<(), Failure> {
        Ok(self.context().shutdown_node().await?)
    }

    /// Lets messages that come in under `source` reach every service, present and future.
    pub(crate) fn add_source(&self, source: &FlowControlId) {
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        for service in &reach.services {
            self.node.flow_controls().add_consumer(service, source);
        }
        reach.sources.push(source.clone());
    }

    /// Lets messages from every source, present and future, reach `service`.
    pub(crate) fn add_service(&self, service: &Address) {
        let mut reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        for source in &reach.sources {
            self.node.flow_controls().add_consumer(service, source);
        }
        reach.services.push(service.clone());
    }

    /// The sources there are now, for what the reference starts on its own later (relays).
    pub(crate) fn sources(&self) -> Vec<FlowControlId> {
        let reach = self.reach.lock().unwrap_or_else(PoisonError::into_inner);
        reach.sources.clone()
    }

    /// Obeys one command; the answer's fields as a JSON object.
    pub(crate) async fn execute(&self, command: Command) -> Result<Value, Failure> {
        match command {
            Command::CreateIdentity {
                key,
                rotations,
                rotate_to,
            } => self.create_identity(key, rotations, rotate_to).await,
            Command::VerifyIdentity { history } => self.verify_identity(&history).await,
            Command::Listen { bind } => self.listen(&bind).await,
            Command::Connect { peer } => self.connect(&peer).await,
            Command::Disconnect { address } => self.disconnect(&address),
            Command::Start { worker, address } => self.start_worker(worker, &address),
            Command::Stop { address } => self.stop(&address),
            Command::ChannelListener {
                identity,
                address,
                peer,
            } => self.listen_for_channels(&identity, &address, peer.as_deref()),
            Command::Channel {
                identity,
                route,
                peer,
                timeout_ms,
            } => {
                self.open_channel(&identity, &route, peer.as_deref(), timeout_ms)
                    .await
            }
            Command::Channels => Ok(self.list_channels()),
            Command::AwaitChannel { peer, timeout_ms } => {
                self.await_channel(&peer, timeout_ms).await
            }
            Command::AwaitClosed {
                address,
                timeout_ms,
            } => self.await_closed(&address, timeout_ms).await,
            Command::CloseChannel { address } => self.close_channel(&address),
            Command::Request {
                route,
                text,
                timeout_ms,
            } => self.request(&route, text, timeout_ms).await,
            Command::Exchange {
                route,
                count,
                length,
                timeout_ms,
            } => self.exchange(&route, count, length, timeout_ms).await,
            Command::RelayService { prefix } => self.start_relay_service(&prefix),
            Command::Register { route, alias } => self.register(&route, alias).await,
            Command::Outlet { address, target } => self.start_outlet(&address, &target),
            Command::Inlet { route, bind } => self.start_inlet(&route, &bind).await,
            // Ends the loop that calls this before it gets here.
            Command::Shutdown => Ok(Value::Null),
        }
    }
}

/// Parses an address; the reference's own conversion from text falls back to a local one.
pub(crate) fn address(text: &str) -> Result<Address, Failure> {
    Address::from_str(text.trim()).map_err(|_| Failure::BadRoute(text.to_owned()))
}

/// Parses `0#a => 0#b`.
pub(crate) fn route(text: &str) -> Result<Route, Failure> {
    let mut route = Route::new();
    for hop in text.split("=>") {
        route = route.append(address(hop)?);
    }
    Ok(route.into())
}

/// Parses `I` and 64 hexadecimal digits.
pub(crate) fn identifier(text: &str) -> Result<Identifier, Failure> {
    Ok(Identifier::from_str(text)?)
}
