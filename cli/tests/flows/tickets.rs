//! The two commands: expose and connect, directly and through a relay, across restarts, and for those who come too late.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;
use serde_json::Value;

use super::portals::{exchange, service, start_relay};
use super::support::DEADLINE;
use super::support::running::Running;
use super::{at, json};

fn expose(path: &Path, more: &[&str]) -> Running {
    Running::start(path, &[&["--home", "a", "expose"], more].concat())
}

fn ticket(exposed: &Running) -> String {
    exposed.event("ticket")["ticket"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Connects at a free port; the command and its port.
fn connect(path: &Path, home: &str, by: &str) -> (Running, String) {
    let connected = Running::start(path, &["--home", home, "connect", by, "--port", "0"]);
    let address = connected.address("ready");
    (connected, address)
}

/// Connections are tried until one is carried again.
fn comes_back(address: &str) {
    let began = Instant::now();
    while exchange(address, "again").is_err() {
        assert!(began.elapsed() < DEADLINE, "it does not come back");
    }
}

#[test]
fn two_commands_carry_a_service_and_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let service = service();
    let listening = ["--listen", "127.0.0.1:0", "--name", "shout"];
    let a = expose(path, &[&[service.as_str()], &listening[..]].concat());
    fs::write(path.join("ticket"), ticket(&a)).unwrap();
    let (b, address) = connect(path, "b", "@ticket");
    assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
    assert_eq!(a.event("redeemed")["resource"], "shout");

    // The same ticket in other hands: exit code 3, and one line of cause and remedy.
    let late = at(path, "late", &["connect", "@ticket", "--port", "0"]);
    assert_eq!(late.code, Some(3), "{late:?}");
    assert!(late.stderr.contains("already redeemed"), "{late:?}");
    assert_eq!(late.stderr.lines().count(), 2, "{late:?}");

    // Both ends restart; the ticket is not needed any more.
    fs::remove_file(path.join("ticket")).unwrap();
    assert_eq!(b.end(Signal::TERM), Some(0));
    assert_eq!(a.end(Signal::TERM), Some(0));
    let a = expose(path, &[&service, "--name", "shout", "--no-ticket"]);
    a.event("listening");
    let (_b, address) = connect(path, "b", "shout");
    assert_eq!(exchange(&address, "again").unwrap(), "AGAIN");
}

#[test]
fn the_same_two_commands_work_through_a_relay_that_restarts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (relay, relay_address) = start_relay(path);
    let a = expose(path, &[&service(), "--via", &relay_address]);
    let made = a.event("ticket");
    assert_eq!(made["ways"][0]["kind"], "relay");
    fs::write(path.join("ticket"), made["ticket"].as_str().unwrap()).unwrap();
    let (_b, address) = connect(path, "b", "@ticket");
    assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
    assert_eq!(relay.end(Signal::TERM), Some(0));
    let arguments = ["--home", "relay", "relay", "--listen", &relay_address];
    let _relay = Running::start(path, &arguments);
    comes_back(&address);
}

#[test]
fn removing_the_exposure_ends_what_is_open_and_both_commands_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let a = expose(
        path,
        &[&service(), "--listen", "127.0.0.1:0", "--name", "shout"],
    );
    fs::write(path.join("ticket"), ticket(&a)).unwrap();
    let (_b, address) = connect(path, "b", "@ticket");
    assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
    let listed = json(path, "a", &["exposure", "list"]);
    let redeemers = listed[0]["tickets"][0]["redeemers"].as_array().unwrap();
    assert_eq!(redeemers.len(), 1);
    let removed = json(path, "a", &["exposure", "remove", "shout"]);
    assert_eq!(removed["unpinned"], Value::Array(redeemers.clone()));
    exchange(&address, "hello").unwrap_err();
    assert_eq!(json(path, "a", &["exposure", "list"]), Value::Array(vec![]));
}

#[test]
fn a_ticket_is_shown_without_its_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let a = expose(path, &["5432", "--listen", "127.0.0.1:0", "--uses", "3"]);
    let text = ticket(&a);
    fs::write(path.join("ticket"), &text).unwrap();
    let shown = json(path, "b", &["ticket", "show", "@ticket"]);
    assert_eq!(shown["resource"], "5432");
    assert_eq!(shown["uses"], 3);
    assert_eq!(shown["suite"], "hybrid");
    assert!(shown.get("secret").is_none() && shown.get("ticket").is_none());
}
