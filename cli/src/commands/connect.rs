//! `sealway connect`: what a ticket offers as a local port.

use sealway::channel::OpenError;
use sealway::home::Home;
use sealway::ticket::{ConnectError, ConnectOptions, Connection, RedeemError, Ticket};
use sealway::transport::TransportError;
use sealway::{Count, Node, PathError};
use sealway_core::channel::Trust;

use super::daemon::Daemon;
use super::serving::{self, Serving};
use super::{name_of, reach, short, ticket};
use crate::args::{ConnectArgs, Global};
use crate::error::{CliError, Kind, Result};
use crate::output::Output;
use crate::terminal::{Progress, Reading};

/// By what to connect.
enum By {
    Ticket(Box<Ticket>),
    Name(String),
}

/// Connects and serves the local port until a signal ends it, or the exposer is removed here.
///
/// # Errors
/// The ticket is none, it is refused, or nobody is reached.
pub(crate) async fn run(args: &ConnectArgs, global: &Global, output: Output) -> Result<()> {
    let by = by(args)?;
    let name = args.name.as_deref().map(name_of).transpose()?;
    let listen = match (args.port, &args.listen) {
        (Some(port), _) => Some(format!("127.0.0.1:{port}")),
        (None, listen) => listen.as_ref().map(ToString::to_string),
    };
    let options = ConnectOptions {
        listen,
        name,
        channels: args.channels.into(),
    };
    let mut daemon = Daemon::start("connect", global, &args.own, output).await?;
    let (node, pins) = (daemon.node.clone(), daemon.pins.clone());
    let home = daemon.home.clone();
    let connecting = async {
        let (connected, expected) = match by {
            By::Ticket(ticket) => (
                node.connect_ticket(&pins, &ticket, options).await,
                Trust::Identifier(ticket.exposer),
            ),
            By::Name(name) => {
                let known = home.connections().find(&name);
                (
                    node.connect_known(&pins, &name, options).await,
                    known.map_or(Trust::AnyOf(Vec::new()), |known| {
                        Trust::Identifier(known.peer)
                    }),
                )
            }
        };
        match connected {
            Ok(connection) => Ok(connection),
            Err(ConnectError::Listen(error)) => Err(not_listening(&home, error).await),
            Err(error) => Err(failure(error, &expected)),
        }
    };
    let connection = match daemon.starting(connecting).await {
        Ok(Some(connection)) => connection,
        Ok(None) => return daemon.end().await,
        Err(error) => return daemon.give_up(error).await,
    };
    daemon.serves(&Serving::Connection {
        name: connection.known().name.to_string(),
        address: connection.inlet().address().to_owned(),
    });
    output.note(&format!(
        "connected to {} of {}; once more, without the ticket: sealway connect {}",
        connection.known().resource,
        short(&connection.known().peer),
        connection.known().name
    ));
    let watched = connection.clone();
    let progress = Progress::start(output, move || reading(&node, &watched));
    let ended = async move {
        let _progress = progress;
        tokio::select! {
            () = connection.forgotten() => CliError::new(
                Kind::Refused,
                format!("{} was removed here", connection.known().peer),
            )
            .hint("ask the exposer for a new ticket to connect again"),
            () = connection.inlet().refused() => refused(&"the exposer admits us to nothing any more"),
        }
    };
    daemon.run_until(ended).await
}

/// A text that looks like a ticket is one; a shorter one may be a name.
fn by(args: &ConnectArgs) -> Result<By> {
    let text = ticket::text(&args.ticket)?;
    match Ticket::parse(&text) {
        Ok(ticket) => Ok(By::Ticket(Box::new(ticket))),
        Err(error) => {
            let is_file = args.ticket.0.starts_with(['@', '-']);
            let looks_like_one = text
                .trim_start()
                .to_ascii_lowercase()
                .starts_with("sealway")
                || text.parse::<sealway::store::Name>().is_err();
            if is_file || looks_like_one {
                return Err(error.into());
            }
            Ok(By::Name(text.to_string()))
        }
    }
}

/// Why there is no local port. It may be that of the same connection.
async fn not_listening(home: &Home, error: TransportError) -> CliError {
    if let TransportError::Listen {
        address: wanted, ..
    } = &error
    {
        for (pid, serving) in serving::all(home).await {
            if let Serving::Connection { name, address } = serving
                && address == *wanted
            {
                return CliError::failed(format!(
                    "{name} is connected already, at {address}, by process {pid}"
                ))
                .hint("use that, or choose another port: --port");
            }
        }
    }
    error.into()
}

fn failure(error: ConnectError, expected: &Trust) -> CliError {
    match error {
        ConnectError::Listen(error) => error.into(),
        ConnectError::Path(error) | ConnectError::Redeem(RedeemError::Path(error)) => {
            unreached(error, expected)
        }
        ConnectError::Redeem(RedeemError::Refused(why)) => refused(&why),
        ConnectError::Redeem(error) => CliError::new(Kind::Unreachable, &error).hint(
            "run the same command again: a ticket that you have redeemed is redeemed for you still",
        ),
        ConnectError::Store(error) => {
            let hint = error.hint();
            CliError::failed(&error).hint(hint)
        }
        ConnectError::Fault(fault) => fault.into(),
        error => refused(&error),
    }
}

fn unreached(error: PathError, expected: &Trust) -> CliError {
    match error {
        PathError::Refused(exposer) => refused(&format!(
            "{exposer} offers us nothing: the exposure was removed, or the ticket withdrawn"
        )),
        PathError::Channel {
            error: error @ OpenError::Deadline { .. },
            ..
        } => CliError::new(
            Kind::Unreachable,
            format!("the exposer does not answer: {error}"),
        )
        .hint("ask whether sealway expose runs there; connect does not wait until it does"),
        PathError::Transport(error @ TransportError::Unreachable { .. }) => {
            CliError::new(Kind::Unreachable, &error).hint(
                "ask whether sealway expose (or the relay) runs there, and whether that address can be reached from here; an exposer \
                 behind a firewall goes by a relay: sealway expose --via",
            )
        }
        error => reach::unreached(error, expected),
    }
}

fn refused(why: &dyn std::fmt::Display) -> CliError {
    CliError::new(Kind::Refused, why).hint("ask the exposer for a new ticket: sealway expose")
}

/// How it goes.
fn reading(node: &Node, connection: &Connection) -> Reading {
    let path = connection.inlet().path();
    Reading {
        received: node.counters().get(Count::StreamBytesReceived),
        sent: node.counters().get(Count::StreamBytesSent),
        streams: connection.inlet().streams(),
        path: path.map(|_| {
            let known = connection.known();
            format!("{} at {}", known.name, short(&known.peer))
        }),
    }
}
