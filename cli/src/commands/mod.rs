//! One file per command.

mod completions;

use std::future::Future;

use crate::args::{Cli, Command};
use crate::demo;
use crate::error::{CliError, Result};
use crate::output::Output;

/// Carries out what the command line asks for.
pub(crate) fn run(cli: Cli, output: Output) -> Result<()> {
    match cli.command {
        Command::Demo(args) => wait_for(demo::run(&args, output)),
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
