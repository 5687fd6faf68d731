//! Nodes and who may reach what in them.

use std::fs;

use rustix::process::Signal;

use super::support::running::Running;
use super::support::sealway;
use super::{at, identity, json, route};

#[test]
fn services_answer_those_whom_the_node_trusts() {
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
        "--service",
        "uppercase",
    ];
    let node = Running::start(path, &arguments);
    let address = node.address("listening");
    let call = |service: &str, more: &[&str]| {
        let route = route(&address, &format!("/secure/api/service/{service}"));
        at(
            path,
            "friend",
            &[&["call", &route, "Grüße", "--expect", &host], more].concat(),
        )
    };
    let echoed = call("echo", &[]);
    assert_eq!(
        (echoed.code, echoed.stdout.as_str()),
        (Some(0), "Grüße\n"),
        "{echoed:?}"
    );
    assert_eq!(call("uppercase", &[]).stdout, "GRÜSSE\n");
    assert_eq!(call("echo", &["--hex"]).stdout, "4772c3bcc39f65\n");
    assert_eq!(call("echo", &["--raw", "--hex"]).stdout, "4772c3bcc39f65\n");
    let value: serde_json::Value = serde_json::from_str(&call("echo", &["--json"]).stdout).unwrap();
    assert_eq!(
        (value["payload"].as_str(), value["identifier"].as_str()),
        (Some("Grüße"), Some(host.as_str()))
    );
    assert_eq!(node.event("peer")["identifier"], friend.as_str());
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn pinned_peers_reach_each_other_until_one_is_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (host, friend) = (identity(path, "host"), identity(path, "friend"));
    let node = Running::start(path, &["--home", "host", "node", "--listen", "127.0.0.1:0"]);
    let route = route(&node.address("listening"), "/secure/api/service/echo");
    let call = || at(path, "friend", &["call", &route, "hi", "--timeout", "5s"]);
    let met = call();
    assert_eq!(met.code, Some(3));
    assert!(
        met.stderr.contains(&format!("met {host}")),
        "the refusal shows who was met: {met:?}"
    );
    json(path, "friend", &["peer", "add", "host", &host]);
    assert_eq!(
        call().code,
        Some(3),
        "trust of one side is not trust of both"
    );
    // The running node hears of its new peer, and of the one that is gone.
    json(path, "host", &["peer", "add", "friend", &friend]);
    assert_eq!(call().stdout, "hi\n");
    json(path, "host", &["peer", "remove", "friend"]);
    let refused = call();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert_eq!(node.end(Signal::INT), Some(0));
}

#[test]
fn an_identity_rotates_while_its_node_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let host = identity(path, "host");
    let node = Running::start(
        path,
        &[
            "--home",
            "host",
            "node",
            "--listen",
            "127.0.0.1:0",
            "--trust",
            "everyone",
        ],
    );
    let route = route(&node.address("listening"), "/secure/api/service/echo");
    let call = |home| at(path, home, &["call", &route, "hi", "--expect", &host]).stdout;
    assert_eq!(call("before"), "hi\n");
    let rotated = at(path, "host", &["identity", "rotate", "--key", "p256"]);
    assert_eq!(
        rotated.stdout.trim(),
        host,
        "the identifier stays: {rotated:?}"
    );
    assert!(
        rotated.stderr.contains("1 running process has taken it up"),
        "{rotated:?}"
    );
    assert_eq!(call("before"), "hi\n");
    assert_eq!(call("after"), "hi\n");
    assert_eq!(json(path, "host", &["identity", "show"])["changes"], 2);
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn a_plain_service_answers_anybody_and_nothing_else_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let arguments = [
        "node",
        "--listen",
        "127.0.0.1:0",
        "--plain-service",
        "uppercase",
    ];
    let node = Running::start(path, &[&["--home", "host"], &arguments[..]].concat());
    let address = node.address("listening");
    let plain = |service: &str| {
        at(
            path,
            "anybody",
            &[
                "call",
                &route(&address, &format!("/service/{service}")),
                "hi",
                "--timeout",
                "1s",
            ],
        )
    };
    assert_eq!(plain("uppercase").stdout, "HI\n");
    assert_eq!(plain("echo").code, Some(4));
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn ping_shows_each_hop_and_a_star_where_no_echo_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let host = identity(path, "host");
    let node = Running::start(
        path,
        &[
            "--home",
            "host",
            "node",
            "--listen",
            "unix:node.sock",
            "--trust",
            "everyone",
        ],
    );
    assert_eq!(node.event("listening")["transport"], "unix");
    let route = "/unix/node.sock/secure/api/service/echo";
    let told = json(
        path,
        "caller",
        &["ping", route, "--expect", &host, "--count", "3"],
    );
    let hops = told["hops"].as_array().unwrap();
    assert_eq!(hops.len(), 2, "{told:#}");
    assert_eq!(
        (
            hops[0]["milliseconds"].as_array().unwrap().len(),
            hops[0]["identifier"].as_str()
        ),
        (0, None)
    );
    assert_eq!(hops[1]["milliseconds"].as_array().unwrap().len(), 3);
    assert_eq!(hops[1]["identifier"], host.as_str());
    let shown = at(
        path,
        "caller",
        &["ping", route, "--expect", &host, "--count", "1"],
    )
    .stdout;
    assert!(shown.lines().next().unwrap().ends_with('*'), "{shown}");
    assert!(shown.lines().nth(1).unwrap().contains(" ms"), "{shown}");
    assert_eq!(node.end(Signal::TERM), Some(0));
    assert!(
        !path.join("node.sock").exists(),
        "the socket is left behind"
    );
}

#[test]
fn status_shows_what_runs_and_not_what_was_killed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let start = |command: &str| {
        Running::start(path, &["--home", "one", command, "--listen", "127.0.0.1:0"])
    };
    let (relay, node) = (start("relay"), start("node"));
    let ids = || -> Vec<(u64, String)> {
        let told = json(path, "one", &["status"]);
        let processes = told["processes"].as_array().unwrap();
        let one = |p: &serde_json::Value| {
            (
                p["pid"].as_u64().unwrap(),
                p["command"].as_str().unwrap().to_owned(),
            )
        };
        processes.iter().map(one).collect()
    };
    for running in [&relay, &node] {
        running.event("listening");
    }
    let mut expected = vec![
        (u64::from(relay.id()), "relay".to_owned()),
        (u64::from(node.id()), "node".to_owned()),
    ];
    expected.sort();
    assert_eq!(ids(), expected);
    assert_eq!(node.end(Signal::KILL), None);
    assert_eq!(ids(), [(u64::from(relay.id()), "relay".to_owned())]);
    // What a killed process leaves behind holds up nobody.
    let again = start("node");
    again.event("listening");
    assert_eq!(ids().len(), 2);
    assert_eq!(again.end(Signal::TERM), Some(0));
    assert_eq!(relay.end(Signal::TERM), Some(0));
    assert!(ids().is_empty());
}

#[test]
fn a_node_goes_on_when_the_reader_of_its_stdout_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (pipe, writer) = std::io::pipe().unwrap();
    let mut child = sealway(path)
        .args([
            "--home", "host", "node", "--listen", "unix:s", "--trust", "everyone",
        ])
        .stdout(writer)
        .spawn()
        .unwrap();
    // One line is read, as by `head -1`; then nobody reads any more.
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(pipe), &mut line).unwrap();
    assert!(line.starts_with("listening on unix"), "{line}");
    for _ in 0..3 {
        let called = at(
            path,
            "caller",
            &[
                "call",
                "/unix/s/secure/api/service/echo",
                "hi",
                "--expect",
                "anyone",
            ],
        );
        assert_eq!(called.stdout, "hi\n", "{called:?}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn state_is_private_whatever_the_umask() {
    use std::os::unix::fs::MetadataExt as _;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let command = format!(
        "umask 000; exec {} --home home identity create",
        env!("CARGO_BIN_EXE_sealway")
    );
    let status = std::process::Command::new("sh")
        .args(["-c", &command])
        .current_dir(path)
        .output()
        .unwrap();
    assert!(status.status.success());
    assert_eq!(
        fs::metadata(path.join("home")).unwrap().mode() & 0o7777,
        0o700
    );
    for entry in fs::read_dir(path.join("home")).unwrap().flatten() {
        assert_eq!(entry.metadata().unwrap().mode() & 0o077, 0, "{entry:?}");
    }
    at(
        path,
        "home",
        &["identity", "export", "--secret", "--output", "backup"],
    );
    assert_eq!(
        fs::metadata(path.join("backup")).unwrap().mode() & 0o7777,
        0o600
    );
}
