//! One file per command.

mod call;
mod clock;
mod completions;
mod connect;
mod daemon;
mod expose;
mod exposure;
mod identity;
mod inlet;
mod man;
mod node;
mod party;
mod peer;
mod ping;
mod reach;
mod relay;
mod service;
mod serving;
mod status;
mod ticket;

use std::future::Future;

use sealway::control::{Changed, ControlClient};
use sealway::home::Home;
use sealway::store::Name;
use sealway_core::identity::Identifier;

use crate::args::{Cli, Command};
use crate::demo;
use crate::error::{CliError, Result};
use crate::output::Output;

/// Carries out what the command line asks for.
pub(crate) fn run(cli: Cli, output: Output) -> Result<()> {
    let global = cli.global;
    match cli.command {
        Command::Demo(args) => wait_for(demo::run(&args, output)),
        Command::Node(args) => wait_for(node::run(&args, &global, output)),
        Command::Inlet(args) => wait_for(inlet::run(&args, &global, output)),
        Command::Expose(args) => wait_for(expose::run(&args, &global, output)),
        Command::Connect(args) => wait_for(connect::run(&args, &global, output)),
        Command::Ticket(command) => ticket::run(&command, &global, output),
        Command::Exposure(command) => exposure::run(&command, &global, output),
        Command::Relay(args) => wait_for(relay::run(&args, &global, output)),
        Command::Call(args) => wait_for(call::run(&args, &global, output)),
        Command::Ping(args) => wait_for(ping::run(&args, &global, output)),
        Command::Identity(command) => identity::run(command, &global, output),
        Command::Peer(command) => peer::run(command, &global, output),
        Command::Status(args) => wait_for(status::run(&args, &global, output)),
        Command::Service(command) => service::run(&command, &global, output),
        Command::Completions(args) => completions::run(&args, output),
        Command::Man(args) => man::run(&args, output),
    }
}

/// Runs what waits for sockets and processes.
fn wait_for<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::failed(format!("cannot start the runtime: {error}")))?;
    let outcome = runtime.block_on(work);
    // What still runs in the background (a look-up of a host name) holds nothing up.
    runtime.shutdown_background();
    outcome
}

/// A name that the arguments gave; they have checked it as the store does.
fn name_of(text: &str) -> Result<Name> {
    text.parse::<Name>()
        .map_err(|error| CliError::usage(format!("{text:?}: {error}")).hint(error.hint()))
}

/// Tells the processes that run on this home what has changed in it.
///
/// # Errors
/// There is no runtime to be had.
fn tell_others(home: &Home, changed: Changed, output: Output) -> Result<()> {
    let told = wait_for(async { Ok(ControlClient::notify_changed(home, changed).await) })?;
    match told {
        0 => {}
        1 => output.note("1 running process has taken it up"),
        more => output.note(&format!("{more} running processes have taken it up")),
    }
    Ok(())
}

/// The beginning of an identifier, for lines that are short: enough to tell those of one home apart.
fn short(identifier: &Identifier) -> String {
    let text = identifier.to_string();
    text.chars().take(9).chain(['…']).collect()
}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The ending of a word of which there are so many.
fn plural(number: impl TryInto<u64>) -> &'static str {
    if matches!(number.try_into(), Ok(1)) {
        ""
    } else {
        "s"
    }
}
