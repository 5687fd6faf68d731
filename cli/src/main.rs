//! The `sealway` command: arguments in, results on stdout, one line of cause and one of remedy on stderr.

mod args;
mod commands;
mod demo;
mod error;
mod home;
mod logging;
mod output;
mod signals;
mod terminal;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;

use args::Cli;
use error::{CliError, Result};
use output::Output;
use rustix::process::{Resource, Rlimit, setrlimit};

fn main() -> ExitCode {
    keep_out_of_core_dumps();
    let (json, outcome) = match Cli::try_parse() {
        Ok(cli) => (cli.global.json, run(cli)),
        Err(error) => (asked_for_json(), unparsed(&error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody reads stderr: the exit code still tells.
            let _ = std::io::stderr().write_all(error.render(json).as_bytes());
            ExitCode::from(error.kind().exit_code())
        }
    }
}

/// A core dump holds the keys in memory, lies where nobody looks, and is often sent to somebody.
///
/// The limit is one byte and not none: too small for a file, and the one value at which the kernel starts no handler (systemd-coredump,
/// apport) either, since it is that of handlers that crash. `PR_SET_DUMPABLE` would also hide what a process listens on from its own user.
fn keep_out_of_core_dumps() {
    let one = Rlimit {
        current: Some(1),
        maximum: Some(1),
    };
    // A hard limit of none cannot be raised, and is as good as far as files go.
    let _ = setrlimit(Resource::Core, one);
}

fn run(cli: Cli) -> Result<()> {
    #[cfg(sealway_weaken)]
    weaken()?;
    let output = Output::new(cli.global.json, cli.global.quiet);
    cli.check()?;
    logging::start(&cli.global)?;
    commands::run(cli, output)
}

/// Help and version are results; everything else that clap stops at is wrong usage.
fn unparsed(error: &clap::Error) -> Result<()> {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let text = error.render().to_string();
            let mut stdout = std::io::stdout().lock();
            writeln!(stdout, "{}", text.trim_end())
                .and_then(|()| stdout.flush())
                .map_err(|error| CliError::stdout(&error))
        }
        _ => Err(args::explain(error)),
    }
}

/// What was wrong with the arguments may stand before `--json`; it counts all the same.
fn asked_for_json() -> bool {
    std::env::args_os()
        .skip(1)
        .take_while(|argument| argument != "--")
        .any(|argument| argument == "--json")
}

/// In a build for negative controls, and in no other: switches off the checks that `SEALWAY_WEAKEN` names.
#[cfg(sealway_weaken)]
fn weaken() -> Result<()> {
    let names = std::env::var("SEALWAY_WEAKEN").unwrap_or_default();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        if !sealway_core::weaken::set(name) {
            return Err(
                CliError::usage(format!("{name:?} in SEALWAY_WEAKEN is no check"))
                    .hint("use the names in sealway_core::weaken::Check"),
            );
        }
    }
    Ok(())
}
