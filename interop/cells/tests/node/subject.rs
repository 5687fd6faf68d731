//! The node under test, driven from the blocking side.

use interop_cells::{CellError, Oracle, Shape};
use sealway::channel::{Channel, ChannelOptions, ListenerOptions};
use sealway::core::channel::Trust;
use sealway::core::identity::Identifier;
use sealway::core::wire::{Address, Route};
use sealway::{Access, Exposure, Node, Service};
use serde_json::json;
use std::future::Future;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long any one thing may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A Sealway node on a runtime of its own.
pub(crate) struct Subject {
    runtime: Runtime,
    pub(crate) node: Node,
}

impl Subject {
    /// A node with such an identity and nothing reachable.
    pub(crate) fn start(shape: Shape) -> Result<Self, CellError> {
        let runtime = Runtime::new()?;
        let party = shape.party()?;
        let node = runtime.block_on(async { Node::builder().identity(party).start() });
        Ok(Self { runtime, node })
    }

    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(crate) fn identifier(&self) -> Result<Identifier, CellError> {
        Ok(self.node.identifier().ok_or("the node has an identity")?)
    }

    /// Offers `service` to everybody, and listens for TCP: `host:port`.
    pub(crate) fn serve(&self, service: Service) -> Result<String, CellError> {
        self.run(async {
            self.node
                .start_service(service, Exposure::local().to_transports())?;
            let listening = self.node.listen("tcp:127.0.0.1:0").await?;
            let port = listening.address.rsplit_once(':').ok_or("a port")?.1;
            Ok(format!("127.0.0.1:{port}"))
        })
    }

    /// Accepts channels at `api` from whom `trust` admits.
    pub(crate) fn accept_channels(&self, trust: Trust) -> Result<(), CellError> {
        let access = Access::trust(trust);
        self.run(async {
            self.node
                .start_service(
                    Service::Uppercase,
                    Exposure::local().to_channels(access.clone(), "uppercase"),
                )
                .and_then(|()| {
                    self.node
                        .secure_channel_listener("api", ListenerOptions::new(access))
                })
        })?;
        Ok(())
    }

    /// Connects to `host:port`; the first hop of routes through it.
    pub(crate) fn connect(&self, to: &str) -> Result<Address, CellError> {
        let link = self.run(self.node.connect(to))?;
        Ok(link.address().clone())
    }

    /// Opens a channel along `route`, whose last hop is the listener, to `peer` and nobody else.
    pub(crate) fn open(&self, route: &str, peer: &str) -> Result<Channel, CellError> {
        let options = ChannelOptions::expect(Trust::Identifier(peer.parse()?));
        let channel = self.run(self.node.secure_channel(route.parse::<Route>()?, options))?;
        Ok(channel)
    }

    /// Sends `count` different strings along `route`, each when the echo of the one before it has come back equal.
    pub(crate) fn exchange(&self, route: &str, count: u32) -> Result<(), CellError> {
        let route: Route = route.parse()?;
        for index in 0..count {
            let sent = format!("message {index}");
            let request = self
                .node
                .request::<String>(route.clone(), sent.clone(), PATIENCE);
            let got = self.run(request)?;
            if got != sent {
                return Err(format!("{sent:?} came back as {got:?}").into());
            }
        }
        Ok(())
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        self.run(self.node.shutdown(Duration::from_secs(2)));
    }
}

/// A node of the reference that listens, echoes, and accepts channels at `api` from everyone.
pub(crate) struct Reference {
    pub(crate) oracle: Oracle,
    pub(crate) identifier: String,
    /// `host:port`.
    pub(crate) address: String,
}

impl Reference {
    pub(crate) fn start(shape: Shape) -> Result<Self, CellError> {
        let oracle = Oracle::start()?;
        let port = oracle.call_for("listen", json!({}), "port")?;
        oracle.call("start", json!({"worker": "echo", "address": "echo"}))?;
        oracle.call("start", json!({"worker": "whoami", "address": "whoami"}))?;
        let identifier = oracle.call_for("create_identity", shape.fields(), "identifier")?;
        let fields = json!({"identity": identifier, "address": "api"});
        oracle.call("channel_listener", fields)?;
        Ok(Self {
            oracle,
            identifier,
            address: format!("127.0.0.1:{port}"),
        })
    }

    /// Connects to `host:port`; the first hop of routes through it.
    pub(crate) fn connect(&self, to: &str) -> Result<String, CellError> {
        let fields = json!({"peer": to});
        Ok(self.oracle.call_for("connect", fields, "address")?)
    }

    /// Opens a channel along `route`, whose last hop is the listener, to `peer` and nobody else; its first hop.
    pub(crate) fn open(&self, route: &str, peer: &str) -> Result<String, CellError> {
        let fields = json!({"identity": self.identifier, "route": route, "peer": peer});
        Ok(self.oracle.call_for("channel", fields, "address")?)
    }

    pub(crate) fn exchange(&self, route: &str, count: u32) -> Result<(), CellError> {
        let fields = json!({"route": route, "count": count});
        self.oracle.call("exchange", fields)?;
        Ok(())
    }
}
