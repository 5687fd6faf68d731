//! Two nodes with a TCP connection between them, in one process or in two.

use super::Result;
use sealway::channel::ListenerOptions;
use sealway::core::channel::{Suite, Trust};
use sealway::core::wire::{Address, Route};
use sealway::{Access, Exposure, Node, Service};
use std::io;
use std::time::Duration;

/// How long a node may take to end.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Two nodes of this process.
pub(super) struct Pair {
    pub(super) near: Node,
    pub(super) far: Node,
    /// From the first to the second's listener for channels.
    pub(super) to: Route,
}

impl Pair {
    /// The second listens at loopback and has an echo.
    pub(super) async fn start(suite: Suite) -> Result<Self> {
        let (far, address) = listening().await?;
        let near = Node::builder().ephemeral_identity().start();
        let to = way_to(&near, &address, suite).await?;
        Ok(Pair { near, far, to })
    }

    pub(super) async fn shutdown(self) {
        self.near.shutdown(SHUTDOWN).await;
        self.far.shutdown(SHUTDOWN).await;
    }
}

/// A node that listens, accepts channels of both suites from everybody, and has an echo behind them. Returns where it listens.
async fn listening() -> Result<(Node, String)> {
    let node = Node::builder().ephemeral_identity().start();
    let everyone = Access::trust(Trust::Everyone);
    for suite in Suite::ALL {
        let options = ListenerOptions::new(everyone.clone());
        node.secure_channel_listener(suite.listener(), options)?;
    }
    node.start_service(
        Service::Echo,
        Exposure::local().to_channels(everyone, "echo"),
    )?;
    let listening = node.listen("tcp:127.0.0.1:0").await?;
    Ok((node, listening.address))
}

/// Connects to a node that listens, and says how its listener for channels is reached.
pub(super) async fn way_to(near: &Node, address: &str, suite: Suite) -> Result<Route> {
    let link = near.connect(address).await?;
    Ok([link.address().clone(), Address::local(suite.listener())]
        .into_iter()
        .collect())
}

/// The far end as a process of its own: prints where it listens, and runs until it is killed.
pub(crate) fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let (_node, address) = listening().await.map_err(|error| super::failed(&*error))?;
        println!("{address}");
        std::future::pending().await
    })
}
