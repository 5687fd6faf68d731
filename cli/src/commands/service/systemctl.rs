//! systemd's own command, where it is asked for with `--now`.

use std::process::{Command, Stdio};

use super::Scope;
use crate::error::{CliError, Result};

/// Refuses before anything is written if there is none.
///
/// # Errors
/// It cannot be run.
pub(super) fn check_present() -> Result<()> {
    let ran = Command::new("systemctl")
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    match ran {
        Ok(ran) if ran.status.success() => Ok(()),
        _ => Err(
            CliError::failed("there is no systemctl here to start anything with")
                .hint("leave --now out, and start it where systemd runs"),
        ),
    }
}

/// Runs it.
///
/// # Errors
/// It failed: its last line says why.
pub(super) fn run(scope: Scope, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("systemctl");
    if scope == Scope::User {
        command.arg("--user");
    }
    let line = format!("systemctl{} {}", scope.flag(), arguments.join(" "));
    let ran = command
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| CliError::failed(format!("cannot run {line}: {error}")))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    let why = said.lines().last().unwrap_or("it does not say why");
    Err(CliError::failed(format!("{line}: {why}")).hint(
        "the unit's file is as it should be: run that command again once its cause is mended",
    ))
}
