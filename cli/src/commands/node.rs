//! `sealway node`: chosen services, outlets and channel listeners, at given listeners or behind a relay.

use sealway::pins::Pins;
use sealway::relay::RelayRegistration;
use sealway::{AddressInUse, Exposure, Node, Service};
use sealway_core::channel::Suite;
use sealway_core::relay::Registration;

use super::daemon::Daemon;
use super::party::{self, Admission, admission};
use super::relay;
use crate::args::values::Addr;
use crate::args::{self, Global, NodeArgs};
use crate::error::{CliError, Kind, Result};
use crate::output::Output;

impl From<AddressInUse> for CliError {
    fn from(error: AddressInUse) -> Self {
        CliError::failed(&error).hint("give services and outlets names of their own")
    }
}

/// Runs the node until a signal ends it.
///
/// # Errors
/// Something did not start.
pub(crate) async fn run(args: &NodeArgs, global: &Global, output: Output) -> Result<()> {
    let mut daemon = Daemon::start("node", global, &args.own, output).await?;
    let admission = admission(&args.trust, &daemon.pins);
    offer(&daemon, args, &admission)?;
    if args.relay {
        relay::serve(&daemon.node, &daemon)?;
    }
    let mut registration = None;
    if let Some(via) = &args.via {
        let (node, pins) = (daemon.node.clone(), daemon.pins.clone());
        match daemon.starting(register(&node, &pins, via, args)).await {
            Ok(Some(standing)) => registration = Some((standing, via.to_string())),
            Ok(None) => return daemon.end().await,
            Err(error) => return daemon.give_up(error).await,
        }
    }
    let pins = daemon.pins.clone();
    let removed = async move {
        let Some((registration, via)) = &registration else {
            return std::future::pending().await;
        };
        let relay = registration.relay();
        pins.forgotten(relay, &format!("relay:{via}")).await;
        CliError::new(Kind::Refused, format!("the relay {relay} was removed here"))
            .hint("start again to accept whoever is met there then")
    };
    daemon.listen_and_run(&args.listen, removed).await
}

/// Registers at a relay and stays registered. The relay is pinned when it is first met: from then on it must be the same.
async fn register(
    node: &Node,
    pins: &Pins,
    via: &Addr,
    args: &NodeArgs,
) -> Result<RelayRegistration> {
    let alias = args
        .alias
        .clone()
        .or_else(|| node.identifier().map(|own| own.to_string()));
    let name = alias.map_or(Registration::Ephemeral, Registration::Alias);
    let suite = args.speaks.suite.unwrap_or(Suite::Hybrid);
    let registered = node
        .register_at_known_relay(pins, &via.to_string(), name, suite)
        .await?;
    Ok(registered)
}

/// Opens the listener, the services and the outlets, to whom they are for.
fn offer(daemon: &Daemon, args: &NodeArgs, admission: &Admission) -> Result<()> {
    let node = &daemon.node;
    party::listen(node, &admission.listener, &args.speaks)?;
    let exposure = |name: &str| {
        let channels = Exposure::local().to_channels(admission.service.clone(), name);
        if args.plain_service.iter().any(|plain| plain == name) {
            channels.to_transports()
        } else {
            channels
        }
    };
    for service in Service::ALL {
        let name = service.name();
        let asked = args
            .service
            .iter()
            .any(|asked| Service::from(*asked) == service);
        // Echo answers the liveness checks of channels and portals: it is always there for trusted peers.
        if asked || service == Service::Echo || args.plain_service.iter().any(|plain| plain == name)
        {
            node.start_service(service, exposure(name))?;
        }
    }
    for outlet in &args.outlet {
        node.outlet(
            &outlet.name,
            &outlet.target.to_string(),
            exposure(&outlet.name),
        )?;
    }
    Ok(())
}

impl From<args::Service> for Service {
    fn from(service: args::Service) -> Self {
        match service {
            args::Service::Echo => Service::Echo,
            args::Service::Hop => Service::Hop,
            args::Service::Uppercase => Service::Uppercase,
        }
    }
}
