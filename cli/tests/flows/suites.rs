//! Which suite a command speaks: what the listener's name says, never what somebody in between would like.

use rustix::process::Signal;
use serde_json::Value;

use super::portals::service;
use super::support::running::Running;
use super::tickets::{is_reset, opened};
use super::{at, identity, json, route};

/// Starts a node of the home `host` that admits everybody; where it listens.
fn node(path: &std::path::Path, more: &[&str]) -> (Running, String) {
    let arguments = [
        "--home",
        "host",
        "node",
        "--listen",
        "127.0.0.1:0",
        "--trust",
        "everyone",
    ];
    let node = Running::start(path, &[&arguments[..], more].concat());
    let address = node.address("listening");
    (node, address)
}

fn echo(address: &str, listener: &str) -> String {
    route(address, &format!("/secure/{listener}/service/echo"))
}

#[test]
fn a_route_speaks_what_its_listeners_name_says_and_the_reply_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let host = identity(path, "host");
    let (node, address) = node(path, &[]);
    for (listener, suite) in [("sealway_xx1", "hybrid"), ("api", "ockam")] {
        let to = echo(&address, listener);
        let call = ["call", &to, "hi", "--expect", &host];
        assert_eq!(json(path, "caller", &call)["suite"], suite);
        let ping = ["ping", &to, "--expect", &host, "--count", "1"];
        let measured = json(path, "caller", &ping);
        let last = measured["hops"].as_array().and_then(|hops| hops.last());
        assert_eq!(last.unwrap()["suite"], suite);
        // Who contradicts the name has made a mistake, and is told before anything is sent.
        let other = if suite == "hybrid" { "ockam" } else { "hybrid" };
        let wrong = at(path, "caller", &["call", &to, "--suite", other]);
        assert_eq!(wrong.code, Some(2), "{wrong:?}");
        assert!(wrong.stderr.contains("contradicts /secure/"), "{wrong:?}");
    }
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn status_and_events_say_the_suite() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let host = identity(path, "host");
    let (node, address) = node(path, &["--outlet", "files=127.0.0.1:9"]);
    let to = route(&address, "/secure/sealway_xx1/service/files");
    let inlet = Running::start(
        path,
        &[
            "--home",
            "caller",
            "inlet",
            "--listen",
            "127.0.0.1:0",
            "--to",
            &to,
            "--expect",
            &host,
            "--channels",
            "1",
        ],
    );
    inlet.address("ready");
    for home in ["host", "caller"] {
        let status = json(path, home, &["status"]);
        let process = &status["processes"][0];
        assert_eq!(process["suites"]["hybrid"], 1, "{home}: {process}");
        assert_eq!(process["suites"]["ockam"], 0, "{home}: {process}");
        assert_eq!(process["channels"][0]["suite"], "hybrid", "{home}");
        let text = at(path, home, &["status"]).stdout;
        assert!(text.contains("channels, hybrid       1"), "{text}");
    }
    assert_eq!(inlet.end(Signal::TERM), Some(0));
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn a_hybrid_channel_that_nobody_answers_is_unreachable_and_never_tried_classically() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let host = identity(path, "host");
    let (node, address) = node(path, &["--suite", "ockam"]);
    let call = |listener: &str| {
        let to = echo(&address, listener);
        let arguments = ["call", &to, "hi", "--expect", &host, "--timeout", "2s"];
        at(path, "caller", &arguments)
    };
    let refused = call("sealway_xx1");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(
        refused.stderr.contains("say so: /secure/api"),
        "{refused:?}"
    );
    // A counter of 0 is not told.
    let opened = || {
        let status = json(path, "host", &["status"]);
        status["processes"][0]["counters"]["channels_opened"].clone()
    };
    assert_eq!(opened(), Value::Null);
    assert_eq!(call("api").stdout, "hi\n", "asked for, it is there");
    assert_eq!(opened(), 1);
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn a_node_that_speaks_hybrid_alone_has_no_other_listener() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let host = identity(path, "host");
    let (node, address) = node(path, &["--suite", "hybrid"]);
    let call = |listener: &str| {
        let to = echo(&address, listener);
        let arguments = ["call", &to, "hi", "--expect", &host, "--timeout", "2s"];
        at(path, "caller", &arguments)
    };
    let refused = call("api");
    assert_eq!(refused.code, Some(4), "{refused:?}");
    assert!(
        refused.stderr.contains("say so: /secure/sealway_xx1"),
        "{refused:?}"
    );
    assert_eq!(call("sealway_xx1").stdout, "hi\n");
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn a_pinned_peer_that_spoke_hybrid_is_met_in_nothing_weaker_until_a_command_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let [host, caller] = ["host", "caller"].map(|home| identity(path, home));
    json(path, "caller", &["peer", "add", "host", &host]);
    let outlet = format!("shout={}", service());
    let (node, address) = node(path, &["--outlet", &outlet]);
    let call = |listener: &str| at(path, "caller", &["call", &echo(&address, listener), "hi"]);
    let floor =
        |home: &str| -> Value { json(path, home, &["peer", "list"])[0]["suite_floor"].clone() };
    assert_eq!(call("api").stdout, "hi\n", "nothing stronger was met");
    assert_eq!(floor("caller"), "ockam");
    assert_eq!(call("sealway_xx1").stdout, "hi\n");
    assert_eq!(floor("caller"), "hybrid");
    let refused = call("api");
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.stderr.contains("peer suite"), "{refused:?}");
    json(path, "caller", &["peer", "suite", "host", "ockam"]);
    assert_eq!(call("api").stdout, "hi\n", "it was lowered");
    // The same at the other end, while its node runs: what is open in a weaker suite ends.
    json(path, "host", &["peer", "add", "caller", &caller]);
    let to = route(&address, "/secure/api/service/shout");
    let inlet = Running::start(
        path,
        &[
            "--home",
            "caller",
            "inlet",
            "--listen",
            "127.0.0.1:0",
            "--to",
            &to,
        ],
    );
    let mut open = opened(&inlet.address("ready"));
    json(path, "host", &["peer", "suite", "caller", "hybrid"]);
    is_reset(&mut open);
    let refused = call("api");
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert_eq!(call("sealway_xx1").stdout, "hi\n");
    assert_eq!(node.end(Signal::TERM), Some(0));
}
