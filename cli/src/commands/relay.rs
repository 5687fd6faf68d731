//! `sealway relay`: a process anyone can host, through which parties with no open port are reached.

use std::sync::Arc;

use sealway::relay::RelayOptions;
use sealway::{Access, Exposure, Node, Service};

use super::daemon::Daemon;
use super::party;
use crate::args::{Global, RelayArgs};
use crate::error::Result;
use crate::output::Output;

/// Runs the relay until a signal ends it.
///
/// # Errors
/// Something did not start.
pub(crate) async fn run(args: &RelayArgs, global: &Global, output: Output) -> Result<()> {
    let daemon = Daemon::start("relay", global, &args.own, output).await?;
    let node = daemon.node.clone();
    // A relay accepts any proven identity, within quotas.
    let everybody = Access::by(|_, _| true);
    party::listen(&node, &everybody, &args.speaks)?;
    node.start_service(
        Service::Echo,
        Exposure::local().to_channels(everybody, "echo"),
    )?;
    serve(&node, &daemon)?;
    daemon
        .listen_and_run(&args.listen, std::future::pending())
        .await
}

/// Opens the relay's services; names are kept in the home.
///
/// # Errors
/// An address is in use.
pub(super) fn serve(node: &Node, daemon: &Daemon) -> Result<()> {
    let mut options = RelayOptions::default();
    let names = daemon.home.relay_names().keeper(options.limits);
    options.names = Some(Arc::new(names));
    Ok(node.relay_service(options)?)
}
