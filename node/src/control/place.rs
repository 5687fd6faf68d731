//! Where control sockets live: a directory of mode 0700 that is this user's, and nothing else.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, geteuid, test_kill_process};
use sealway_core::crypto::sha256;

use super::ControlError;
use crate::home::Home;

/// Longest path of a socket in bytes. The system takes 108, others a little less.
pub(super) const MAX_PATH: usize = 100;

/// The directories in which a socket of this home may be, the preferred one first: below the runtime
/// directory that the caller named, below `/run/user/UID`, inside of the home.
pub(super) fn directories(home: &Home) -> Vec<PathBuf> {
    let system = PathBuf::from(format!("/run/user/{}", geteuid().as_raw()));
    let runtime = [home.runtime_dir().map(Path::to_owned), Some(system)];
    let mut all: Vec<_> = runtime
        .into_iter()
        .flatten()
        .filter(|runtime| check_private(runtime).is_ok())
        .map(|runtime| runtime.join("sealway"))
        .collect();
    all.push(home.path().join("run"));
    all.dedup();
    all
}

/// Makes the directory if it is missing; the one above it is there, and private.
pub(super) fn make(directory: &Path) -> Result<(), ControlError> {
    match DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(ControlError::io(directory, error))
        }
        _ => check_private(directory),
    }
}

/// Refuses a directory that is another user's, open to others, or a link.
pub(super) fn check_private(directory: &Path) -> Result<(), ControlError> {
    let metadata =
        fs::symlink_metadata(directory).map_err(|error| ControlError::io(directory, error))?;
    let private =
        metadata.is_dir() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    private
        .then_some(())
        .ok_or_else(|| ControlError::NotPrivate {
            path: directory.to_owned(),
        })
}

/// What the names of this home's sockets start with: 16 hex digits, the same in all processes.
pub(super) fn prefix(home: &Home) -> String {
    let path = home.path().as_os_str().as_bytes();
    let hash = sha256(&[b"sealway/control/1", path]);
    hash.iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A name for one more socket of this process: `PREFIX-PID-N.sock`. `N` is random, so that whoever
/// sweeps a dead socket never hits that of a new process with the same number.
pub(super) fn fresh_name(home: &Home) -> String {
    let n = super::client::random_id();
    format!("{}-{}-{n}.sock", prefix(home), std::process::id())
}

/// The name under which a socket is born, before it listens.
pub(super) fn unborn(name: &str) -> String {
    format!(".{name}")
}

/// The process that a name of this home's names, and whether the socket was never born.
pub(super) fn parse_name(prefix: &str, name: &str) -> Option<(u32, bool)> {
    let (name, unborn) = match name.strip_prefix('.') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let rest = name
        .strip_prefix(prefix)?
        .strip_prefix('-')?
        .strip_suffix(".sock")?;
    let (pid, n) = rest.split_once('-')?;
    n.parse::<u32>().ok()?;
    Some((pid.parse().ok()?, unborn))
}

/// The sockets of this home that are there, with their processes: those that the processes entered
/// in the state file, and those that lie in the directories.
pub(super) fn sockets(home: &Home) -> Vec<(PathBuf, u32)> {
    let prefix = prefix(home);
    let mut found = home.control_sockets().unwrap_or_else(|fault| {
        tracing::debug!(%fault, "the list of control sockets cannot be read");
        Vec::new()
    });
    // A path in the state file is believed as far as it looks like one of ours.
    found.retain(|(path, _)| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| parse_name(&prefix, name)).is_some()
    });
    for directory in directories(home) {
        let Ok(entries) = fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = entry.file_name();
            match name.to_str().and_then(|name| parse_name(&prefix, name)) {
                Some((pid, false)) => found.push((entry.path(), pid)),
                Some((pid, true)) if !is_alive(pid) => sweep(&entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// Whether a process runs, as far as this one can see.
fn is_alive(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Removes what a dead process left. Only a socket is ever removed.
pub(super) fn sweep(path: &Path) {
    let is_socket =
        fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && let Err(error) = fs::remove_file(path) {
        tracing::debug!(path = %path.display(), %error, "a dead socket stays");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_others() {
        assert_eq!(parse_name("ab", "ab-12-0.sock"), Some((12, false)));
        assert_eq!(parse_name("ab", ".ab-12-0.sock"), Some((12, true)));
        for other in [
            "ab-12-0",
            "ac-12-0.sock",
            "ab-x-0.sock",
            "ab-12.sock",
            "..",
            "",
        ] {
            assert_eq!(parse_name("ab", other), None, "{other}");
        }
    }

    #[test]
    fn a_process_that_runs_is_seen() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(0) && !is_alive(u32::MAX));
    }
}
