//! What the bench starts ends with it, even if nothing of it is left to see to that.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

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
    let mut output = BufReader::new(parent.stdout.take().unwrap());
    let mut id = String::new();
    output.read_line(&mut id).unwrap();
    let id = id.trim().to_owned();
    assert!(runs(&id), "{id}");

    parent.kill().unwrap();
    parent.wait().unwrap();
    // The program has its end of the pipe as long as it runs.
    let (ended, at_its_end) = mpsc::channel();
    std::thread::spawn(move || ended.send(output.read_to_end(&mut Vec::new())));
    let read = at_its_end.recv_timeout(Duration::from_secs(10));
    assert!(read.is_ok(), "{id} still runs");
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
