//! The demo, run for real: its checks are true, each of them false without what it checks, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared fails")]

#[path = "../support/mod.rs"]
mod support;
mod weakened;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use support::{run_within, sealway};

const CHECKS: [&str; 8] = [
    "file_fetched",
    "relay_saw_no_plaintext",
    "hybrid_suite_used",
    "tampered_frame_refused",
    "replayed_frame_refused",
    "stranger_refused",
    "spent_ticket_refused",
    "recovered_after_relay_restart",
];
/// A demo with a small file, built without optimisation, on a machine that is busy.
const DEMO: Duration = Duration::from_secs(360);
/// Bytes of the file of these tests: some sixty frames.
const FILE: usize = 4_000_000;

/// Writes a file that is no text and repeats nothing.
fn private_file(directory: &Path) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let content: Vec<u8> = (0..FILE)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect();
    fs::write(directory.join("private"), content).unwrap();
}

/// Runs `demo --json` with a small file; what it told, its exit code.
fn told(command: &mut Command, directory: &Path) -> (Value, Option<i32>) {
    private_file(directory);
    let ran = run_within(command.args(["demo", "--json", "--file", "private"]), DEMO);
    let value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    (value, ran.code)
}

/// The processes that have something below `directory` among their arguments.
fn processes(directory: &Path) -> Vec<String> {
    let needle = directory.to_str().unwrap();
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(needle))
        .collect()
}

#[test]
fn eight_checks_are_true_and_nothing_is_left_behind() {
    let directory = tempfile::tempdir().unwrap();
    // An ordinary build knows nothing of checks that are switched off.
    let mut command = sealway(directory.path());
    let (told, code) = told(command.env("SEALWAY_WEAKEN", "tag"), directory.path());
    let names: Vec<&str> = told["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, CHECKS);
    for check in told["checks"].as_array().unwrap() {
        assert_eq!(check["ok"], true, "{told:#}");
    }
    assert_eq!((&told["ok"], code), (&Value::Bool(true), Some(0)));
    assert_eq!(processes(directory.path()), Vec::<String>::new());
    let left: Vec<_> = fs::read_dir(directory.path())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(left, ["private"]);
}

#[test]
fn an_interrupted_demo_leaves_no_process_and_no_file() {
    let directory = tempfile::tempdir().unwrap();
    private_file(directory.path());
    let mut demo = sealway(directory.path())
        .args(["demo", "--file", "private"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    assert!(
        lines.any(|line| line.starts_with("1. ")),
        "the demo did not begin"
    );
    assert!(
        processes(directory.path()).len() >= 3,
        "no processes to be ended"
    );
    let id = Pid::from_raw(i32::try_from(demo.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    assert!(lines.by_ref().count() < 1_000);
    assert_eq!(demo.wait().unwrap().code(), Some(1));
    assert_eq!(processes(directory.path()), Vec::<String>::new());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}
