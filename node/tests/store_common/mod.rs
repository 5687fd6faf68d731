//! Runs a part of a test in a process of its own: the test executable, started again with the name
//! of a case in its environment. Each test file has a `child_entry` test that dispatches.

#![allow(dead_code, reason = "each test file uses a part")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

const CASE: &str = "SEALWAY_TEST_CASE";
const DIRECTORY: &str = "SEALWAY_TEST_DIRECTORY";

/// The user `nobody`, whom a test run by root becomes where permissions matter.
const NOBODY: u32 = 65534;

/// The case that this process was started for, and the directory to work in.
pub(crate) fn case() -> Option<(String, std::path::PathBuf)> {
    Some((
        std::env::var(CASE).ok()?,
        std::env::var_os(DIRECTORY)?.into(),
    ))
}

/// Tells the parent something, on a line that the test harness does not write.
pub(crate) fn tell(what: &str) {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{what}").unwrap();
    out.flush().unwrap();
}

/// What the child tells, line by line.
pub(crate) fn told(out: ChildStdout) -> impl Iterator<Item = String> {
    BufReader::new(out)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix('@').map(str::to_owned))
}

fn harness_arguments() -> [&'static str; 4] {
    ["--exact", "child_entry", "--nocapture", "--test-threads=1"]
}

/// A child for the case, not yet started.
pub(crate) fn child(case: &str, directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(harness_arguments())
        .env(CASE, case)
        .env(DIRECTORY, directory)
        .stdin(Stdio::null());
    command
}

/// Starts a child whose words are read with [`told`].
pub(crate) fn spawn(case: &str, directory: &Path) -> Child {
    child(case, directory)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the child to its end; its failure is the test's.
pub(crate) fn run(mut command: Command) {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Runs the case as a user whom permissions bind, in a fresh directory of his.
pub(crate) fn run_unprivileged(case: &str) {
    let directory = tempfile::tempdir().unwrap();
    if !is_root() {
        return run(child(case, directory.path()));
    }
    std::os::unix::fs::chown(directory.path(), Some(NOBODY), None).unwrap();
    run_as_nobody(case, directory.path());
}

/// Runs the case as `nobody`; only root can.
pub(crate) fn run_as_nobody(case: &str, directory: &Path) {
    // By its inode: the way to it may lead through directories that are closed to him.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(harness_arguments())
        .env(CASE, case)
        .env(DIRECTORY, directory)
        .uid(NOBODY);
    run(command);
}

/// Runs the case on a tmpfs of `size`, mounted where only the child sees it. False if this machine
/// allows no mounts; the caller says so.
pub(crate) fn run_on_tmpfs(case: &str, size: &str) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let unshare: &[&str] = if is_root() {
        &["-m"]
    } else {
        &["-U", "-r", "-m"]
    };
    let possible = Command::new("unshare")
        .args(unshare)
        .args(["mount", "-t", "tmpfs", "none"])
        .arg(directory.path())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !possible {
        println!("skipped: this machine lets us mount nothing");
        return false;
    }
    let mut command = Command::new("unshare");
    command
        .args(unshare)
        .args([
            "sh",
            "-c",
            "mount -t tmpfs -o size=$0,mode=0700 none \"$1\" && shift && exec \"$@\"",
        ])
        .arg(size)
        .arg(directory.path())
        .arg(std::env::current_exe().unwrap())
        .args(harness_arguments())
        .env(CASE, case)
        .env(DIRECTORY, directory.path());
    run(command);
    true
}

/// The permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}
