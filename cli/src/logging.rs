//! Logs go to stderr, as lines for people or, with `--json`, as JSON lines.

use tracing_subscriber::EnvFilter;

use crate::args::Global;
use crate::error::{CliError, Result};
use crate::terminal::Beside;

/// Starts logging as the arguments say: warnings by default, only errors when quiet.
///
/// # Errors
/// Usage: the filter makes no sense.
pub(crate) fn start(global: &Global) -> Result<()> {
    let default = if global.quiet { "error" } else { "warn" };
    let text = global.log.as_deref().unwrap_or(default);
    let filter = EnvFilter::builder().parse(text).map_err(|error| {
        CliError::usage(format!("{text:?} for --log: {error}")).hint(
            "give a level (error, warn, info, debug, trace) or a filter such as sealway=debug",
        )
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Beside::default)
        .with_ansi(false);
    let started = if global.json {
        subscriber.json().try_init()
    } else {
        subscriber.try_init()
    };
    started.map_err(|error| CliError::failed(format!("cannot start logging: {error}")))
}
