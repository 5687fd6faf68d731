//! Homes that have seen a time which was wrong: the machine's clock was ahead once.

use std::path::Path;

use rustix::process::Signal;
use sealway::home::Home;

use super::support::running::Running;
use super::{at, identity, json, route};

/// Six years and an hour: what others sign today has expired by then, and our own keys have not.
const AHEAD: u64 = (6 * 365 * 24 + 1) * 3_600;

/// Lets the home see a time so much later.
fn was_ahead(directory: &Path, home: &str) {
    let home = Home::open(directory.join(home)).unwrap();
    let later = home.clock().system().plus(AHEAD);
    assert_eq!(home.clock().observe(later), later);
    home.clock().persist().wait().unwrap();
}

fn behind(directory: &Path, home: &str) -> u64 {
    json(directory, home, &["status"])["clock_behind_seconds"]
        .as_u64()
        .unwrap()
}

#[test]
fn a_caller_whose_clock_was_ahead_is_told_the_remedy_and_reaches_its_peer_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (host, friend) = (identity(path, "host"), identity(path, "friend"));
    let arguments = [
        "--home",
        "host",
        "node",
        "--listen",
        "127.0.0.1:0",
        "--trust",
        &friend,
    ];
    let node = Running::start(path, &arguments);
    let route = route(&node.address("listening"), "/secure/api/service/echo");
    let call = || {
        at(
            path,
            "friend",
            &["call", &route, "hi", "--expect", &host, "--timeout", "3s"],
        )
    };
    assert_eq!(call().stdout, "hi\n");
    assert_eq!(behind(path, "friend"), 0);

    was_ahead(path, "friend");
    let ping = [
        "ping",
        &route,
        "--expect",
        &host,
        "--count",
        "1",
        "--timeout",
        "3s",
    ];
    for failed in [call(), at(path, "friend", &ping)] {
        assert_eq!(failed.code, Some(4), "{failed:?}");
        let hint = failed.stderr.lines().last().unwrap_or_default();
        assert!(
            hint.starts_with("hint: the clock is 2190 days behind"),
            "{failed:?}"
        );
        assert!(hint.contains("sealway status --accept-clock"), "{failed:?}");
    }
    assert!(behind(path, "friend").abs_diff(AHEAD) < 100);
    let told = at(path, "friend", &["status"]);
    assert!(
        told.stderr.contains("sealway status --accept-clock"),
        "{told:?}"
    );

    let accepted = at(path, "friend", &["status", "--accept-clock"]);
    assert_eq!(accepted.code, Some(0), "{accepted:?}");
    assert!(!accepted.stderr.contains("behind"), "{accepted:?}");
    assert_eq!(behind(path, "friend"), 0);
    assert_eq!(call().stdout, "hi\n");
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn a_running_node_takes_up_the_accepted_clock_and_stores_the_wrong_time_no_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (host, friend) = (identity(path, "host"), identity(path, "friend"));
    was_ahead(path, "host");
    let arguments = [
        "--home",
        "host",
        "node",
        "--listen",
        "127.0.0.1:0",
        "--trust",
        &friend,
    ];
    let node = Running::start(path, &arguments);
    let route = route(&node.address("listening"), "/secure/api/service/echo");
    let call = || {
        at(
            path,
            "friend",
            &["call", &route, "hi", "--expect", &host, "--timeout", "3s"],
        )
    };
    let refused = call();
    assert_eq!(
        refused.code,
        Some(4),
        "what the host signs is not valid yet: {refused:?}"
    );
    assert!(
        !refused.stderr.contains("--accept-clock"),
        "the friend's clock is right: {refused:?}"
    );

    let accepted = at(path, "host", &["status", "--accept-clock"]);
    assert!(
        accepted
            .stderr
            .contains("1 running process has taken it up"),
        "{accepted:?}"
    );
    assert_eq!(call().stdout, "hi\n");
    // A node that had not heard of it would put its time back with its next write.
    json(path, "host", &["peer", "add", "friend", &friend]);
    assert_eq!(node.end(Signal::TERM), Some(0));
    assert_eq!(behind(path, "host"), 0);
}
