//! The command that a service runs: read as the command line that it is, before anything is written.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use sealway_core::ticket::Ticket;

use crate::args::values::Addr;
use crate::args::{Cli, Command, ConnectArgs, ExposeArgs, explain_line};
use crate::error::{CliError, Result};

/// Ports below are for those with the capability CAP_NET_BIND_SERVICE (ip(7)).
const FIRST_FREE_PORT: u16 = 1_024;

/// A command that goes on until it is told to end.
#[derive(Debug)]
pub(super) struct Wrapped {
    /// `node`, `relay`, …
    pub(super) command: &'static str,
    /// Its arguments, the command's name first.
    pub(super) arguments: Vec<String>,
    /// Directories of the sockets that it listens at.
    pub(super) socket_directories: Vec<PathBuf>,
    /// Whether it listens at a port that is for the privileged.
    pub(super) low_port: bool,
}

impl Wrapped {
    /// Reads the words after `--`.
    ///
    /// # Errors
    /// Of kind usage: they are no command line, or none that a service can run.
    pub(super) fn read(words: &[String]) -> Result<Self> {
        if words.iter().any(|word| Ticket::parse(word).is_ok()) {
            return Err(CliError::usage(
                "a ticket is a secret, and units can be read by everybody",
            )
            .hint("put it into a file that only the service's user can read"));
        }
        let line = std::iter::once("sealway").chain(words.iter().map(String::as_str));
        let cli = Cli::try_parse_from(line)
            .map_err(|error| explain_line(&error, words.iter().map(OsString::from)))
            .and_then(|cli| cli.check().map(|()| cli))
            .map_err(|error| error.within("the service's command"))?;
        if cli.global.home.is_some() {
            return Err(CliError::usage("--home stands behind the --")
                .hint("give it to service install: sealway service install --home DIR -- node …"));
        }
        let (command, listen): (_, Vec<&Addr>) = match &cli.command {
            Command::Node(args) => ("node", args.listen.iter().collect()),
            Command::Relay(args) => ("relay", args.listen.iter().collect()),
            Command::Inlet(args) => ("inlet", vec![&args.listen]),
            Command::Expose(args) => ("expose", exposed(args)?),
            Command::Connect(args) => ("connect", connected(args)?),
            _ => {
                return Err(CliError::usage(
                    "that command comes to an end by itself: it is nothing for a service",
                )
                .hint("a service runs one of: node, relay, inlet, expose, connect"));
            }
        };
        let mut wrapped = Self {
            command,
            arguments: words.to_vec(),
            socket_directories: Vec::new(),
            low_port: matches!(&cli.command, Command::Connect(args) if args.port.is_some_and(is_low)),
        };
        for address in listen {
            wrapped.listens_at(address)?;
        }
        Ok(wrapped)
    }

    fn listens_at(&mut self, address: &Addr) -> Result<()> {
        match address {
            Addr::Tcp(endpoint) => {
                self.low_port |= is_low(endpoint.port);
            }
            Addr::Unix(path) => {
                let directory = path.parent().filter(|_| path.is_absolute());
                let Some(directory) = directory else {
                    return Err(CliError::usage(format!(
                        "{address} is relative, and a service begins in another directory"
                    ))
                    .hint("give the whole path of the socket"));
                };
                if is_temporary(directory) {
                    return Err(CliError::usage(format!(
                        "{address} would be met by nobody: a service has a /tmp of its own"
                    ))
                    .hint("choose a directory such as /run/NAME"));
                }
                self.socket_directories.push(directory.to_owned());
            }
        }
        Ok(())
    }
}

fn is_low(port: u16) -> bool {
    (1..FIRST_FREE_PORT).contains(&port)
}

/// A service starts again and again, and a ticket in a journal is in too many hands.
fn exposed(args: &ExposeArgs) -> Result<Vec<&Addr>> {
    if !args.no_ticket {
        return Err(CliError::usage(
            "each start would make a ticket, and the journal would keep it",
        )
        .hint("run sealway expose once for the ticket; the service serves who has redeemed it: expose … --no-ticket"));
    }
    Ok(args.listen.iter().collect())
}

fn connected(args: &ConnectArgs) -> Result<Vec<&Addr>> {
    if args.ticket.0.starts_with(['@', '-']) {
        return Err(
            CliError::usage("a service connects by name: its ticket is redeemed already")
                .hint("run sealway connect TICKET once, as the service's user; it prints the name"),
        );
    }
    Ok(args.listen.iter().collect())
}

/// Whether a path is below a directory that `PrivateTmp=` hides.
pub(super) fn is_temporary(path: &Path) -> bool {
    path.starts_with("/tmp") || path.starts_with("/var/tmp")
}
