//! `sealway inlet`: the service at the end of a route as a local port.

use sealway::channel::CloseReason;
use sealway::portal::{Inlet, InletError};
use sealway::{Access, Count, Exposure, Node, PathOptions, Service};

use super::daemon::Daemon;
use super::party::expected;
use super::{reach, short};
use crate::args::route::Route;
use crate::args::{Global, InletArgs};
use crate::error::{CliError, Kind, Result};
use crate::output::Output;
use crate::terminal::{Progress, Reading};

impl From<InletError> for CliError {
    fn from(error: InletError) -> Self {
        match error {
            InletError::Listen(error) => error.into(),
            InletError::Path(error) => error.into(),
            other => CliError::failed(&other),
        }
    }
}

/// Runs the inlet until a signal ends it, or the other end says that we may reach nothing there.
///
/// # Errors
/// It cannot listen, or the path cannot be built.
pub(crate) async fn run(args: &InletArgs, global: &Global, output: Output) -> Result<()> {
    let mut daemon = Daemon::start("inlet", global, &args.own, output).await?;
    let expect = expected(args.far.expect.as_ref(), args.to.route(), &daemon.home)?;
    let node = daemon.node.clone();
    // The outlet's node asks it whether we still live; without an answer it could not know when we are gone.
    let peers = Access::trust(expect.clone());
    let exposure = Exposure::local().to_channels(peers, "echo");
    node.start_service(Service::Echo, exposure)?;
    let options = PathOptions {
        suite: args.far.suite,
        channels: args.channels.into(),
        ..PathOptions::expect(expect.clone())
    };
    let listen = args.listen.to_string();
    let opening = async {
        let inlet = node.inlet(&listen, args.to.route().multiaddr(), options);
        inlet.await.map_err(|error| match error {
            InletError::Path(error) => reach::unreached(error, &expect),
            error => error.into(),
        })
    };
    let opened = daemon.starting(opening).await;
    let inlet = match opened {
        Ok(Some(inlet)) => inlet,
        Ok(None) => return daemon.end().await,
        Err(error) => return daemon.give_up(error).await,
    };
    let to = args.to.route().clone();
    let watched = inlet.clone();
    let progress = Progress::start(output, move || reading(&node, &watched, &to));
    let (pins, target) = (daemon.pins.clone(), args.to.route().target());
    let met = inlet.path().and_then(|path| path.peer().copied());
    // Whom --expect names is reached, pinned or not.
    let pinned = met.filter(|_| args.far.expect.is_none());
    let over = async move {
        // The line ends with the inlet.
        let _progress = progress;
        let removed = async {
            let Some(peer) = pinned else {
                return std::future::pending().await;
            };
            pins.forgotten(&peer, target.unwrap_or_default()).await;
            peer
        };
        tokio::select! {
            () = inlet.refused() => reach::ended(CloseReason::Refused),
            peer = removed => CliError::new(Kind::Refused, format!("{peer} was removed here"))
                .hint("to trust it again: sealway peer add"),
        }
    };
    daemon.run_until(over).await
}

/// How it goes.
fn reading(node: &Node, inlet: &Inlet, to: &Route) -> Reading {
    let path = inlet.path().map(|path| match path.peer() {
        Some(peer) => format!("{} by {}", short(peer), to.entry()),
        None => to.entry(),
    });
    Reading {
        received: node.counters().get(Count::StreamBytesReceived),
        sent: node.counters().get(Count::StreamBytesSent),
        streams: inlet.streams(),
        path,
    }
}
