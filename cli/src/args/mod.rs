//! The forms of the command line. Scripts rely on them: they grow, and do not change.

#[cfg(test)]
mod documents;
pub(crate) mod route;
mod usage;
pub(crate) mod values;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use sealway_core::channel::Suite;

use crate::error::{CliError, Result};
use route::{Route, ServiceRoute};
pub(crate) use usage::{explain, explain_line};
use values::{Addr, Expect, HostPort, Outlet, Secret, Trusted};

/// End-to-end encrypted, mutually authenticated messages and portals through relays that cannot read them.
#[derive(Debug, Parser)]
#[command(
    name = "sealway",
    version,
    propagate_version = false,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 refused by policy or authentication, 4 unreachable or timed out.\n\
    Results go to stdout, everything else to stderr. To see the whole story on this machine: sealway demo"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Checks what clap cannot: arguments that make no sense together.
    ///
    /// # Errors
    /// Of kind usage.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.command {
            Command::Call(args) => args.far.check(args.route.route()),
            Command::Ping(args) => args.far.check(&args.route),
            Command::Inlet(args) => args.far.check(args.to.route()),
            Command::Node(args) => args.check(),
            _ => Ok(()),
        }
    }
}

impl FarEnd {
    fn check(&self, route: &Route) -> Result<()> {
        match &self.expect {
            Some(Expect::Identifier(_)) if !route.is_secure() => {
                return Err(CliError::usage(
                    "--expect names an identity, but nothing on this route proves one: it has no /secure/",
                )
                .hint("put /secure/sealway_xx1 before the last /service/, or leave --expect out"));
            }
            _ => {}
        }
        let Some(suite) = self.suite else {
            return Ok(());
        };
        match route.speaks_otherwise(suite) {
            Some(listener) => Err(CliError::usage(format!(
                "--suite {suite} contradicts /secure/{listener}, which speaks {}",
                Suite::spoken_at(&listener.into())
            ))
            .hint(format!(
                "put /secure/{} there, or leave --suite out",
                suite.listener()
            ))),
            None => Ok(()),
        }
    }
}

impl NodeArgs {
    fn check(&self) -> Result<()> {
        let mut names = HashSet::new();
        if let Some(twice) = self
            .outlet
            .iter()
            .find(|outlet| !names.insert(&outlet.name))
        {
            return Err(
                CliError::usage(format!("there are two outlets named {}", twice.name))
                    .hint("give each --outlet a name of its own"),
            );
        }
        let known = |name: &String| Service::from_str(name, false).is_ok() || names.contains(name);
        if let Some(unknown) = self.plain_service.iter().find(|name| !known(name)) {
            return Err(CliError::usage(format!(
                "--plain-service {unknown}: there is no such service"
            ))
            .hint("name echo, hop, uppercase, or an outlet of this command line"));
        }
        Ok(())
    }
}

/// What every command takes.
#[derive(Args, Debug)]
pub(crate) struct Global {
    /// Directory of the state (default: SEALWAY_HOME, or the platform's data directory)
    #[arg(long, global = true, value_name = "DIR", display_order = 900)]
    pub(crate) home: Option<PathBuf>,
    /// Print one JSON value, or one per line for events
    #[arg(long, global = true, display_order = 901)]
    pub(crate) json: bool,
    /// Say nothing but results and errors
    #[arg(long, short, global = true, display_order = 902)]
    pub(crate) quiet: bool,
    /// What to log to stderr: a level (error, warn, info, debug, trace) or a filter such as sealway=debug
    #[arg(long, global = true, value_name = "FILTER", display_order = 903)]
    pub(crate) log: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole story on this machine, with real processes
    Demo(DemoArgs),
    /// Offer a TCP service to whoever redeems the ticket that this prints
    Expose(ExposeArgs),
    /// Make the service that a ticket offers appear as a local port
    Connect(ConnectArgs),
    /// Tickets
    #[command(subcommand)]
    Ticket(TicketCommand),
    /// What this home offers by tickets
    #[command(subcommand)]
    Exposure(ExposureCommand),
    /// Run a node with chosen services, outlets and secure-channel listeners
    Node(NodeArgs),
    /// Make the service at the end of a route appear as a local port
    Inlet(InletArgs),
    /// Run a relay: parties with no open port become reachable through it, and it can read nothing
    Relay(RelayArgs),
    /// Send a message along a route and print the reply
    Call(CallArgs),
    /// Measure a route, hop by hop
    Ping(PingArgs),
    /// Identities and their keys
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// The identities of others that this home trusts
    #[command(subcommand)]
    Peer(PeerCommand),
    /// Show the processes that run on this home
    Status(StatusArgs),
    /// Let systemd keep a command running
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Print the completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands
    Man(ManArgs),
}

/// `sealway demo`.
#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// The private file (default: 64 MiB of generated text)
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Leave the directory and running processes behind, and say how to look at them
    #[arg(long)]
    pub(crate) keep: bool,
    /// Serve FILE over HTTP and do nothing else: the service that --keep leaves behind
    #[arg(long, hide = true, value_name = "FILE", conflicts_with_all = ["file", "keep"])]
    pub(crate) serve: Option<PathBuf>,
}

/// `sealway expose`.
#[derive(Args, Debug)]
#[command(
    after_help = "The ticket is a secret until it is redeemed: hand it over by a way that you trust. Whoever redeems it reaches this service and \
    no other, also after both ends have restarted; after its last use it grants nothing.\n\
    Without --via this listens on all interfaces, at a port that is kept. With --via no port is opened."
)]
pub(crate) struct ExposeArgs {
    /// The service: HOST:PORT, or PORT of this machine
    #[arg(value_name = "HOST:PORT|PORT", value_parser = values::target)]
    pub(crate) target: HostPort,
    /// What the service is called in tickets and pins (default: its port)
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub(crate) name: Option<String>,
    /// Accept connections here, at a HOST that the other end reaches; port 0 picks a free one
    #[arg(long, value_name = "ADDR", value_parser = values::tcp_addr, conflicts_with = "via")]
    pub(crate) listen: Option<Addr>,
    /// Be reachable through the relay there, with no open port
    #[arg(long, value_name = "ADDR", value_parser = values::remote_tcp_addr)]
    pub(crate) via: Option<Addr>,
    #[command(flatten)]
    pub(crate) terms: TicketTerms,
    /// Make no ticket: serve those who have redeemed one
    #[arg(long, conflicts_with_all = ["uses", "expires"])]
    pub(crate) no_ticket: bool,
    #[command(flatten)]
    pub(crate) own: OwnIdentity,
}

/// What a new ticket is good for.
#[derive(Args, Debug)]
pub(crate) struct TicketTerms {
    /// How many identities may redeem the ticket
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) uses: u32,
    /// How long the ticket can be redeemed
    #[arg(long, value_name = "DURATION", default_value = "1d", value_parser = values::duration)]
    pub(crate) expires: Duration,
}

/// `sealway connect`.
#[derive(Args, Debug)]
#[command(
    after_help = "Arguments show in process lists: give a ticket that others of this machine must not see as - or @FILE.\n\
    Once the ticket is redeemed the connection has a name, and `sealway connect NAME` is enough."
)]
pub(crate) struct ConnectArgs {
    /// The ticket; - reads it from standard input, @FILE from a file; or the name of a connection
    #[arg(value_name = "TICKET|-|@FILE|NAME")]
    pub(crate) ticket: Secret,
    /// The port of 127.0.0.1 where the service appears (default: the former one, or a free one)
    #[arg(long, value_name = "P", conflicts_with = "listen")]
    pub(crate) port: Option<u16>,
    /// Where the service appears: HOST:PORT or tcp:HOST:PORT; port 0 picks a free one
    #[arg(long, value_name = "ADDR", value_parser = values::tcp_addr)]
    pub(crate) listen: Option<Addr>,
    /// What to call the connection (default: its former name, or as the exposer calls the service)
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub(crate) name: Option<String>,
    /// Spread connections over up to so many channels, 1 to 4, each on a TCP connection of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) channels: u8,
    #[command(flatten)]
    pub(crate) own: OwnIdentity,
}

/// `sealway ticket …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TicketCommand {
    /// Make another ticket for what a running `sealway expose` offers
    Create {
        /// What is exposed: see sealway exposure list
        name: String,
        #[command(flatten)]
        terms: TicketTerms,
    },
    /// Show what a ticket says, without its secret
    Show {
        /// The ticket; - reads it from standard input, @FILE from a file
        #[arg(value_name = "TICKET|-|@FILE")]
        ticket: Secret,
    },
}

/// `sealway exposure …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExposureCommand {
    /// List what is exposed, with its tickets and who has redeemed them
    List,
    /// Expose something no longer: its tickets and their pins go, and what is open ends
    Remove {
        /// Its name
        name: String,
    },
}

/// `sealway node`.
#[derive(Args, Debug)]
#[command(
    after_help = "ADDR is HOST:PORT, tcp:HOST:PORT or unix:PATH; port 0 picks a free one.\n\
    Nothing is reachable but what --service, --outlet and --relay name (and echo), and only through a secure channel with a trusted peer."
)]
pub(crate) struct NodeArgs {
    /// Accept connections here
    #[arg(long, value_name = "ADDR", required_unless_present = "via")]
    pub(crate) listen: Vec<Addr>,
    /// Be reachable through the relay there, with no open port
    #[arg(long, value_name = "ADDR", value_parser = values::remote_addr)]
    pub(crate) via: Option<Addr>,
    /// The name at the relay (default: the identity's identifier)
    #[arg(long, value_name = "NAME", value_parser = values::name, requires = "via")]
    pub(crate) alias: Option<String>,
    /// Offer a service through secure channels: echo, hop or uppercase
    #[arg(long, value_name = "NAME", hide_possible_values = true)]
    pub(crate) service: Vec<Service>,
    /// Offer a service or an outlet to bare connections too, which prove nothing
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub(crate) plain_service: Vec<String>,
    /// Offer a TCP service through secure channels
    #[arg(long, value_name = "NAME=HOST:PORT")]
    pub(crate) outlet: Vec<Outlet>,
    /// Relay for others, too
    #[arg(long)]
    pub(crate) relay: bool,
    /// Who may reach the services in this run, beside pinned peers: an identifier, or everyone; repeatable
    #[arg(long, value_name = "IDENTIFIER|everyone")]
    pub(crate) trust: Vec<Trusted>,
    #[command(flatten)]
    pub(crate) speaks: Speaks,
    #[command(flatten)]
    pub(crate) own: OwnIdentity,
}

/// The identity of this end.
#[derive(Args, Debug)]
pub(crate) struct OwnIdentity {
    /// The identity of this end (default: the home's default identity, made if there is none)
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub(crate) identity: Option<String>,
}

/// The services that a node has built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Service {
    /// Sends every message back.
    Echo,
    /// Forwards along the route.
    Hop,
    /// Sends a text back in capitals.
    Uppercase,
}

/// `sealway inlet`.
#[derive(Args, Debug)]
#[command(
    after_help = "ROUTE ends at an outlet: /ip4/10.0.0.7/tcp/4100/service/forward_to_alice/secure/sealway_xx1/service/files"
)]
pub(crate) struct InletArgs {
    /// Where the service appears: HOST:PORT or tcp:HOST:PORT; port 0 picks a free one
    #[arg(long, value_name = "ADDR", value_parser = values::tcp_addr)]
    pub(crate) listen: Addr,
    /// The way to the outlet, a multiaddr
    #[arg(long, value_name = "ROUTE")]
    pub(crate) to: ServiceRoute,
    /// Spread connections over up to so many channels, 1 to 4, each on a TCP connection of its own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=4))]
    pub(crate) channels: u8,
    #[command(flatten)]
    pub(crate) far: FarEnd,
    #[command(flatten)]
    pub(crate) own: OwnIdentity,
}

/// Whom a caller means to reach, and how.
#[derive(Args, Debug)]
pub(crate) struct FarEnd {
    /// Whose identity must stand at the route's last secure hop (default: a pinned peer's)
    #[arg(long, value_name = "IDENTIFIER|anyone")]
    pub(crate) expect: Option<Expect>,
    /// What the route's channels speak: hybrid, or ockam (default: what the listener's name says; /secure/api is ockam)
    #[arg(long, value_name = "SUITE")]
    pub(crate) suite: Option<Suite>,
}

/// What a listener speaks.
#[derive(Args, Debug)]
pub(crate) struct Speaks {
    /// Speak this suite alone: hybrid, at /secure/sealway_xx1, or ockam, at /secure/api (default: both)
    #[arg(long, value_name = "SUITE")]
    pub(crate) suite: Option<Suite>,
}

/// `sealway relay`.
#[derive(Args, Debug)]
pub(crate) struct RelayArgs {
    /// Accept connections here: HOST:PORT, tcp:HOST:PORT or unix:PATH; port 0 picks a free one
    #[arg(long, value_name = "ADDR", required = true)]
    pub(crate) listen: Vec<Addr>,
    #[command(flatten)]
    pub(crate) speaks: Speaks,
    #[command(flatten)]
    pub(crate) own: OwnIdentity,
}

/// `sealway call`.
#[derive(Args, Debug)]
#[command(
    after_help = "A Close before any payload is a refusal: exit code 3. No answer in time: exit code 4."
)]
pub(crate) struct CallArgs {
    /// The way to the service, a multiaddr: /ip4/10.0.0.7/tcp/4100/secure/sealway_xx1/service/echo
    pub(crate) route: ServiceRoute,
    /// What to send, as text
    #[arg(default_value = "")]
    pub(crate) payload: String,
    #[command(flatten)]
    pub(crate) far: FarEnd,
    /// Send and print the payload as it is, not as a text with its length before it
    #[arg(long)]
    pub(crate) raw: bool,
    /// Print the reply's payload as hex
    #[arg(long)]
    pub(crate) hex: bool,
    /// How long to wait for the reply: 500ms, 10s, 5m
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = values::duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) own: OwnIdentity,
}

/// `sealway ping`.
#[derive(Args, Debug)]
#[command(after_help = "A hop that has no echo is shown as *.")]
pub(crate) struct PingArgs {
    /// The way to measure, a multiaddr
    pub(crate) route: Route,
    #[command(flatten)]
    pub(crate) far: FarEnd,
    /// How many rounds
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) count: u32,
    /// How long to wait for each reply
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = values::duration)]
    pub(crate) timeout: Duration,
    #[command(flatten)]
    pub(crate) own: OwnIdentity,
}

/// `sealway identity …`.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityCommand {
    /// Make an identity; the first one becomes the default
    Create {
        /// Its name in this home
        #[arg(default_value = "default", value_parser = values::name)]
        name: String,
        /// The kind of its key
        #[arg(long, value_name = "KIND", default_value = "ed25519")]
        key: KeyKind,
    },
    /// List the identities of this home
    List,
    /// Show an identity
    Show {
        /// Its name (default: the default identity)
        #[arg(value_parser = values::name)]
        name: Option<String>,
    },
    /// Give an identity a new key; running nodes take it up
    Rotate {
        /// Its name (default: the default identity)
        #[arg(value_parser = values::name)]
        name: Option<String>,
        /// The kind of the new key (default: as the former one)
        #[arg(long, value_name = "KIND")]
        key: Option<KeyKind>,
        /// The old key may be in other hands: revoke everything that was signed with it
        #[arg(long)]
        compromised: bool,
    },
    /// Print an identity's change history for others to pin, or back it up with its key
    Export {
        /// Its name (default: the default identity)
        #[arg(value_parser = values::name)]
        name: Option<String>,
        /// Back up the private key too; whoever has that file is this identity
        #[arg(long, requires = "output")]
        secret: bool,
        /// Write to a new file, which only its owner can read
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Take an identity from a backup that `export --secret` made
    Import {
        /// The backup
        file: PathBuf,
        /// Its name in this home (default: the name in the backup)
        #[arg(long, value_parser = values::name)]
        name: Option<String>,
    },
    /// Delete an identity and its keys, for good
    Delete {
        /// Its name
        #[arg(value_parser = values::name)]
        name: String,
    },
}

/// The kinds of an identity's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KeyKind {
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5).
    P256,
}

/// `sealway peer …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PeerCommand {
    /// Trust an identity in both directions: to reach all that is offered to pinned peers, and to be reached
    Add {
        /// The name to show it by
        #[arg(value_parser = values::name)]
        name: String,
        /// Its identifier, its change history in hex, or a file that holds either
        #[arg(value_name = "IDENTIFIER|HISTORY|FILE")]
        identity: String,
    },
    /// List the trusted identities
    List,
    /// Say how weak a suite may be that a peer is met in; stronger channels raise it by themselves
    Suite {
        /// The name it is shown by, or its identifier
        name: String,
        /// The weakest suite: hybrid, or ockam for a peer that speaks nothing else any more
        #[arg(value_name = "SUITE")]
        floor: Suite,
    },
    /// Trust an identity no longer
    Remove {
        /// The name it is shown by, or its identifier
        name: String,
    },
}

/// `sealway status`.
#[derive(Args, Debug)]
#[command(
    after_help = "Expiry is judged by the latest time that the home has seen, so that a clock set back revives nothing."
)]
pub(crate) struct StatusArgs {
    /// The clock was ahead once and is right now: judge expiry by it again
    #[arg(long)]
    pub(crate) accept_clock: bool,
}

/// `sealway service …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    /// Write a hardened unit that runs a command, and say how to start it
    Install(ServiceInstallArgs),
    /// Remove a unit that `service install` wrote; the home stays
    Uninstall(ServiceUninstallArgs),
    /// Print a unit that `service install` wrote
    Show(ServiceUnitArgs),
}

/// Which of systemd's managers keeps a service.
#[derive(Args, Debug)]
pub(crate) struct ServiceScope {
    /// A service of this user (default, but for root)
    #[arg(long, conflicts_with = "system")]
    pub(crate) user: bool,
    /// A service of the system (default for root)
    #[arg(long)]
    pub(crate) system: bool,
}

/// `sealway service install`.
#[derive(Args, Debug)]
#[command(
    after_help = "COMMAND is node, relay, inlet, expose or connect with its arguments: sealway service install -- relay --listen 0.0.0.0:4100\n\
    expose needs --no-ticket there, and connect the name of a connection: run them once for the ticket.\n\
    A service of the system runs as the user sealway in /var/lib/sealway, or, with --home, as the user whom that belongs to."
)]
pub(crate) struct ServiceInstallArgs {
    #[command(flatten)]
    pub(crate) scope: ServiceScope,
    /// The unit's name (default: sealway-COMMAND)
    #[arg(long, value_name = "NAME", value_parser = values::name)]
    pub(crate) name: Option<String>,
    /// Enable and start it, too
    #[arg(long)]
    pub(crate) now: bool,
    /// Print the unit and write nothing
    #[arg(long, conflicts_with = "now")]
    pub(crate) print: bool,
    /// What the service runs
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// A unit that is there.
#[derive(Args, Debug)]
pub(crate) struct ServiceUnitArgs {
    #[command(flatten)]
    pub(crate) scope: ServiceScope,
    /// Its name (default: the only one)
    #[arg(value_parser = values::name)]
    pub(crate) name: Option<String>,
}

/// `sealway service uninstall`.
#[derive(Args, Debug)]
pub(crate) struct ServiceUninstallArgs {
    #[command(flatten)]
    pub(crate) unit: ServiceUnitArgs,
    /// Disable and stop it first
    #[arg(long)]
    pub(crate) now: bool,
}

/// `sealway completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    pub(crate) shell: clap_complete::Shell,
}

/// `sealway man`.
#[derive(Args, Debug)]
#[command(after_help = "To read it: sealway man | man -l -")]
pub(crate) struct ManArgs {
    /// Write a page for each command into this directory, such as ~/.local/share/man/man1
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_forms_are_consistent() {
        Cli::command().debug_assert();
    }
}
