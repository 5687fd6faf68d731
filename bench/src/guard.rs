//! A process between a measurement and the program that it starts, which becomes that program: the kernel then ends it when the thread
//! that started it ends, however that comes about.
//!
//! The bench starts processes from its main thread alone, which lives as long as the bench does.

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The hidden subcommand's name.
pub(crate) const NAME: &str = "guard";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The process that must be alive
    parent: i32,
    /// What to become
    program: OsString,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Becomes the program, and ends with the parent. Returns only if that fails.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have ended before the kernel was asked.
    if getppid()
        .map(Pid::as_raw_nonzero)
        .map(std::num::NonZero::get)
        != Some(args.parent)
    {
        return Err(io::Error::other("the bench is gone"));
    }
    Err(Command::new(&args.program).args(&args.arguments).exec())
}

/// `command` behind a guard.
pub(crate) fn guarded(command: &Command) -> io::Result<Command> {
    let mut guarded = Command::new(std::env::current_exe()?);
    guarded
        .arg(NAME)
        .arg(std::process::id().to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => guarded.env(key, value),
            None => guarded.env_remove(key),
        };
    }
    Ok(guarded)
}
