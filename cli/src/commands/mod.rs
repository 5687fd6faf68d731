//! One file per command.

mod completions;
mod identity;
mod peer;

use std::future::Future;

use sealway::home::Home;
use sealway::store::Name;

use crate::args::{Cli, Command};
use crate::demo;
use crate::error::{CliError, Result};
use crate::output::Output;

/// Carries out what the command line asks for.
pub(crate) fn run(cli: Cli, output: Output) -> Result<()> {
    match cli.command {
        Command::Demo(args) => wait_for(demo::run(&args, output)),
        Command::Identity(command) => identity::run(command, &cli.global, output),
        Command::Peer(command) => peer::run(command, &cli.global, output),
        Command::Completions(args) => completions::run(&args, output),
        _ => Ok(()),
    }
}

/// Runs what waits for sockets and processes.
fn wait_for(work: impl Future<Output = Result<()>>) -> Result<()> {
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
fn tell_others(_home: &Home, _what: &str, _output: Output) {}

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
