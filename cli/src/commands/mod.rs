//! One file per command.

mod completions;

use crate::args::{Cli, Command};
use crate::error::Result;
use crate::output::Output;

/// Carries out what the command line asks for.
pub(crate) fn run(cli: Cli, output: Output) -> Result<()> {
    match cli.command {
        Command::Completions(args) => completions::run(&args, output),
        _ => Ok(()),
    }
}
