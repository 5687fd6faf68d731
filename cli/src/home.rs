//! The home directory that the command line, the environment or the platform names.

use std::path::PathBuf;

use sealway::home::{Home, HomeError};

use crate::args::Global;
use crate::error::{CliError, Result};

/// Opens the home; makes it if there is none.
///
/// # Errors
/// There is no place for it, or it cannot be used.
pub(crate) fn open(global: &Global) -> Result<Home> {
    let path = path(global)?;
    let runtime_dir = absolute("XDG_RUNTIME_DIR");
    Home::open_with_runtime_dir(&path, runtime_dir).map_err(CliError::from)
}

/// The path of the home, which may not be there.
///
/// # Errors
/// There is no place for it.
pub(crate) fn path(global: &Global) -> Result<PathBuf> {
    let path = match &global.home {
        Some(path) => path.clone(),
        None => default_path()?,
    };
    if path.as_os_str().is_empty() {
        return Err(
            CliError::usage("the path of the home is empty").hint("give --home a directory")
        );
    }
    Ok(path)
}

impl From<HomeError> for CliError {
    fn from(error: HomeError) -> Self {
        CliError::failed(format!("cannot use the home: {error}")).hint(error.hint())
    }
}

/// `SEALWAY_HOME`, else `sealway` in the platform's directory for data (XDG Base Directory Specification 0.8).
fn default_path() -> Result<PathBuf> {
    if let Some(home) = std::env::var_os("SEALWAY_HOME").filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(home));
    }
    if let Some(data) = absolute("XDG_DATA_HOME") {
        return Ok(data.join("sealway"));
    }
    let home = absolute("HOME").ok_or_else(|| {
        CliError::failed("no directory for the state: HOME is not set")
            .hint("give --home, or set SEALWAY_HOME")
    })?;
    Ok(if cfg!(target_os = "macos") {
        home.join("Library/Application Support/sealway")
    } else {
        home.join(".local/share/sealway")
    })
}

/// A variable that holds an absolute path; anything else does not count, as the specification asks.
pub(crate) fn absolute(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}
