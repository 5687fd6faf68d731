//! The real binary, in an environment of its own, with a deadline.

#![allow(dead_code, reason = "each test binary uses some of it")]

pub(crate) mod running;

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// How long any command of these tests may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// What a command left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said beside.
    pub(crate) stderr: String,
    /// How long it took.
    pub(crate) took: Duration,
}

/// The command in a world where only `directory` is its user's.
pub(crate) fn sealway(directory: &Path) -> Command {
    sealway_at(Path::new(env!("CARGO_BIN_EXE_sealway")), directory)
}

/// The same for another binary.
pub(crate) fn sealway_at(binary: &Path, directory: &Path) -> Command {
    let mut command = Command::new(binary);
    command
        .env_clear()
        .env("HOME", directory)
        .env("TMPDIR", directory)
        .env("COLUMNS", "100")
        .current_dir(directory)
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end.
///
/// # Panics
/// It did not end in time: it is killed.
pub(crate) fn run(command: &mut Command) -> Ran {
    run_within(command, DEADLINE)
}

/// Runs a command to its end, which must come before `deadline`.
///
/// # Panics
/// It did not end in time: it is killed.
pub(crate) fn run_within(command: &mut Command, deadline: Duration) -> Ran {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary exists");
    let stdout = read_all(child.stdout.take().expect("it is piped"));
    let stderr = read_all(child.stderr.take().expect("it is piped"));
    // A command holds its stdout until its end.
    let printed = stdout.recv_timeout(deadline);
    let status = if printed.is_ok() {
        child.wait().ok()
    } else {
        end(&mut child)
    };
    let took = start.elapsed();
    let (Ok(stdout), Some(status)) = (printed, status) else {
        panic!("{command:?} did not end within {deadline:?}");
    };
    let stderr = stderr.recv_timeout(DEADLINE).unwrap_or_default();
    Ran {
        code: status.code(),
        stdout,
        stderr,
        took,
    }
}

fn end(child: &mut Child) -> Option<ExitStatus> {
    child.kill().ok()?;
    child.wait().ok()?;
    None
}

fn read_all(mut from: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receiver
}
