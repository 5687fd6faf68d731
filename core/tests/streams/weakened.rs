//! Negative control: with the check of offsets switched off, the test that holds it must fail. In a process of its own, because
//! a switch stays thrown.

use std::panic::catch_unwind;
use std::process::Command;

use crate::integrity;

#[test]
fn tests_fail_without_the_checks_they_hold() {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "weakened::stream_integrity", "--ignored"])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
#[ignore = "run in a process of its own"]
fn stream_integrity() {
    let promise = integrity::a_message_that_is_missing_is_never_a_clean_end;
    promise();
    assert!(sealway_core::weaken::set("stream_integrity"));
    assert!(catch_unwind(promise).is_err(), "the test cannot fail");
}
