//! What the bench starts ends with it, even if nothing of it is left to see to that.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const BENCH: &str = env!("CARGO_BIN_EXE_sealway-bench");

/// Whether the process runs; one that nobody has waited for yet does not.
fn runs(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

#[test]
fn a_guarded_program_ends_with_its_parent() {
    // A shell stands for the bench; its child is a program that would run for long.
    let script = format!("{BENCH} guard $$ sh -c 'echo $$; exec sleep 300' & wait");
    let mut parent = Command::new("sh")
        .args(["-c", &script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut id = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut id)
        .unwrap();
    let id = id.trim();
    assert!(runs(id), "{id}");

    parent.kill().unwrap();
    parent.wait().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while runs(id) {
        assert!(Instant::now() < deadline, "{id} still runs");
        sleep(Duration::from_millis(5));
    }
}

#[test]
fn nothing_is_started_for_a_parent_that_is_gone() {
    let not_ours = "1";
    let output = Command::new(BENCH)
        .args(["guard", not_ours, "echo", "started"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
}
