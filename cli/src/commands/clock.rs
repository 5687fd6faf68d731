//! A home whose latest time lies before it: expiry is judged by that time, until the operator says that it was wrong.

use sealway::control::{Changed, ControlClient};
use sealway::home::Home;
use sealway_core::identity::CLOCK_SKEW_SECONDS;

use crate::error::{CliError, Kind, Result};
use crate::output::Output;

/// What clocks may differ without a word, in seconds: as much as what is signed bears.
const TOLERANCE: u64 = CLOCK_SKEW_SECONDS;

/// What there is to try.
const REMEDY: &str = "if the clock was ahead once and is right now: sealway status --accept-clock; else set it right";

/// What is to be said of the home's clock, if it is behind.
pub(super) fn behind(home: &Home) -> Option<String> {
    let by = home.clock().behind_by();
    (by > TOLERANCE).then(|| {
        format!(
            "the clock is {} behind the latest time that this home has seen, which expiry is judged by",
            span(by)
        )
    })
}

/// Says it, with the remedy, to who starts something that may run for long.
pub(super) fn warn(home: &Home, output: Output) {
    if let Some(text) = behind(home) {
        output.note(&format!("warning: {text}"));
        output.note(&format!("hint: {REMEDY}"));
    }
}

/// A home that takes what others sign for expired, or signs what they take for not yet valid, reaches nobody: then its clock is
/// the thing to look at.
pub(super) fn suspect(home: &Home, error: CliError) -> CliError {
    match behind(home) {
        Some(text) if error.kind() == Kind::Unreachable => error.hint(format!("{text}; {REMEDY}")),
        _ => error,
    }
}

/// Goes on from the machine's clock, here and in the processes that run on the home.
///
/// # Errors
/// The store's faults.
pub(super) async fn accept(home: &Home, output: Output) -> Result<()> {
    home.clock().accept_machine_time().await?;
    output.note("expiry is judged by the machine's clock again");
    // A process that did not hear of it would put its later time back on the disk.
    match ControlClient::notify_changed(home, Changed::Clock).await {
        0 => {}
        1 => output.note("1 running process has taken it up"),
        more => output.note(&format!("{more} running processes have taken it up")),
    }
    Ok(())
}

/// A time in its largest unit.
fn span(seconds: u64) -> String {
    let (unit, name) = match seconds {
        ..=119 => (1, "s"),
        120..=7_199 => (60, "min"),
        7_200..=172_799 => (3_600, "h"),
        _ => (86_400, "days"),
    };
    format!("{} {name}", seconds / unit)
}
