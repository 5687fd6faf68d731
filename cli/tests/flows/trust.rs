//! Whom a node admits, whom a caller means, and whose identity may go.

use rustix::process::Signal;

use super::support::running::Running;
use super::{at, identity, json, route};

/// Starts the node of the home `host`, which trusts `trusted`; its route to echo.
fn node_that_trusts(path: &std::path::Path, trusted: &str) -> (Running, String) {
    let node = Running::start(
        path,
        &[
            "--home",
            "host",
            "node",
            "--listen",
            "127.0.0.1:0",
            "--trust",
            trusted,
        ],
    );
    let route = route(&node.address("listening"), "/secure/api/service/echo");
    (node, route)
}

#[test]
fn a_pinned_peer_is_admitted_beside_those_of_trust_until_it_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let host = identity(path, "host");
    let [friend, mallory] = ["friend", "mallory"].map(|home| identity(path, home));
    let (node, route) = node_that_trusts(path, &friend);
    let call = |home| at(path, home, &["call", &route, "hi", "--expect", &host]);
    assert_eq!(call("friend").stdout, "hi\n");
    assert_eq!(call("mallory").code, Some(3), "nobody has admitted it");
    json(path, "host", &["peer", "add", "mallory", &mallory]);
    assert_eq!(call("mallory").stdout, "hi\n", "the pin holds at once");
    json(path, "host", &["peer", "remove", "mallory"]);
    assert_eq!(call("mallory").code, Some(3), "the pin is gone");
    assert_eq!(call("friend").stdout, "hi\n", "--trust stays for the run");
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn an_identity_in_use_is_not_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let host = identity(path, "host");
    json(path, "host", &["identity", "create", "spare"]);
    let (node, _) = node_that_trusts(path, "everyone");
    let refused = at(path, "host", &["identity", "delete", "default"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains(&format!("process {}", node.id())),
        "{refused:?}"
    );
    let shown = at(path, "host", &["identity", "show", "default"]);
    assert!(shown.stdout.contains(&host), "it is still there: {shown:?}");
    json(path, "host", &["identity", "delete", "spare"]);
    assert_eq!(node.end(Signal::TERM), Some(0));
    json(path, "host", &["identity", "delete", "default"]);
}

#[test]
fn whoever_stands_in_for_the_expected_one_is_not_recommended() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (met, meant) = (identity(path, "host"), identity(path, "meant"));
    let (node, route) = node_that_trusts(path, "everyone");
    let warned = |arguments: &[&str]| {
        let ran = at(path, "caller", arguments);
        assert_eq!(ran.code, Some(3), "{ran:?}");
        let told = format!("expected {meant}, met {met}");
        assert!(ran.stderr.contains(&told), "{ran:?}");
        assert!(ran.stderr.contains("by another way"), "{ran:?}");
        assert!(!ran.stderr.contains(&format!("--expect {met}")), "{ran:?}");
    };
    warned(&["call", &route, "hi", "--expect", &meant]);
    warned(&["ping", &route, "--expect", &meant]);
    let inlet = ["inlet", "--listen", "127.0.0.1:0", "--to", &route];
    warned(&[&inlet[..], &["--expect", &meant]].concat());
    json(path, "caller", &["peer", "add", "meant", &meant]);
    warned(&["call", &route, "hi"]);
    assert_eq!(node.end(Signal::TERM), Some(0));
}
