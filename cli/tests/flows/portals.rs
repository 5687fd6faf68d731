//! Portals through a relay, as their users meet them.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use rustix::process::Signal;
use serde_json::Value;

use super::support::running::Running;
use super::support::{DEADLINE, run, sealway};
use super::{identity, json, route};

/// A service that sends back what it gets, in capitals.
pub(super) fn service() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut chunk = [0; 4_096];
                while let Ok(read @ 1..) = socket.read(&mut chunk) {
                    chunk[..read].make_ascii_uppercase();
                    if socket.write_all(&chunk[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

pub(super) fn exchange(address: &str, text: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(DEADLINE))?;
    socket.write_all(text.as_bytes())?;
    let mut reply = vec![0; text.len()];
    socket.read_exact(&mut reply)?;
    Ok(String::from_utf8(reply).unwrap())
}

pub(super) fn start_relay(path: &Path) -> (Running, String) {
    let relay = Running::start(
        path,
        &["--home", "relay", "relay", "--listen", "127.0.0.1:0"],
    );
    let address = relay.address("listening");
    (relay, address)
}

#[test]
fn a_service_without_an_open_port_is_reached_through_a_relay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (host, guest) = (identity(path, "host"), identity(path, "guest"));
    let (relay, relay_address) = start_relay(path);
    let outlet = format!("shout={}", service());
    let node = Running::start(
        path,
        &[
            "--home",
            "host",
            "node",
            "--via",
            &relay_address,
            "--alias",
            "host",
            "--outlet",
            &outlet,
            "--trust",
            &guest,
        ],
    );
    assert_eq!(node.address("ready"), "forward_to_host");
    let to = route(
        &relay_address,
        "/service/forward_to_host/secure/api/service/shout",
    );
    let inlet = Running::start(
        path,
        &[
            "--home",
            "guest",
            "inlet",
            "--listen",
            "127.0.0.1:0",
            "--to",
            &to,
            "--expect",
            &host,
        ],
    );
    let local = inlet.address("ready");
    assert_eq!(exchange(&local, "hello").unwrap(), "HELLO");
    let parallel: Vec<_> = (0..20)
        .map(|n| {
            let local = local.clone();
            thread::spawn(move || exchange(&local, &format!("stream {n}")).unwrap())
        })
        .collect();
    for (n, stream) in parallel.into_iter().enumerate() {
        assert_eq!(stream.join().unwrap(), format!("STREAM {n}"));
    }
    for running in [inlet, node, relay] {
        assert_eq!(running.end(Signal::TERM), Some(0));
    }
}

#[test]
fn an_inlet_ends_its_client_at_once_when_the_target_refuses() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let outlet = format!("gone={free}");
    let node = Running::start(
        path,
        &[
            "--home",
            "host",
            "node",
            "--listen",
            "127.0.0.1:0",
            "--outlet",
            &outlet,
            "--trust",
            "everyone",
        ],
    );
    let to = route(&node.address("listening"), "/secure/api/service/gone");
    let inlet = Running::start(
        path,
        &[
            "--home",
            "guest",
            "inlet",
            "--listen",
            "127.0.0.1:0",
            "--to",
            &to,
            "--expect",
            "anyone",
        ],
    );
    let local = inlet.address("ready");
    let start = std::time::Instant::now();
    exchange(&local, "hello").unwrap_err();
    assert!(
        start.elapsed() < DEADLINE / 4,
        "the client waited {:?}",
        start.elapsed()
    );
    for running in [inlet, node] {
        assert_eq!(running.end(Signal::TERM), Some(0));
    }
}

#[test]
fn a_name_at_a_relay_belongs_to_whom_it_was_given_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (relay, address) = start_relay(path);
    let node = |home: &str| {
        ["--home", home, "node", "--via", &address, "--alias", "name"].map(str::to_owned)
    };
    let owner = Running::start(path, &node("owner").each_ref().map(String::as_str));
    owner.event("ready");
    let taken = || run(sealway(path).args(node("other")));
    let refused = taken();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    // Also when the owner is away, and after the relay was killed and came back.
    assert_eq!(owner.end(Signal::TERM), Some(0));
    assert_eq!(relay.end(Signal::KILL), None);
    let relay = Running::start(path, &["--home", "relay", "relay", "--listen", &address]);
    relay.event("listening");
    let refused = taken();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert_eq!(relay.end(Signal::TERM), Some(0));
}

#[test]
fn who_is_removed_is_reached_no_more_by_what_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let [host, caller] = ["host", "caller"].map(|home| identity(path, home));
    let (_relay, relay) = start_relay(path);
    let outlet = format!("shout={}", service());
    json(path, "host", &["peer", "add", "caller", &caller]);
    json(path, "caller", &["peer", "add", "host", &host]);
    let arguments = ["--home", "host", "node", "--via", &relay, "--alias", "host"];
    let node = Running::start(path, &[&arguments[..], &["--outlet", &outlet]].concat());
    node.event("ready");
    let exposed = Running::start(path, &["--home", "host", "expose", "9", "--via", &relay]);
    exposed.event("ready");
    let to = route(
        &relay,
        "/service/forward_to_host/secure/sealway_xx1/service/shout",
    );
    let listen = ["--home", "caller", "inlet", "--listen", "127.0.0.1:0"];
    let inlet = Running::start(path, &[&listen[..], &["--to", &to]].concat());
    assert_eq!(exchange(&inlet.address("ready"), "hello").unwrap(), "HELLO");
    json(path, "caller", &["peer", "remove", "host"]);
    assert_eq!(inlet.ended(), Some(3));
    // The relay was pinned when it was met.
    let peers = json(path, "host", &["peer", "list"]);
    let is_relay = |peer: &&Value| peer["pins"][0]["origin"] == "first_meeting";
    let met = peers.as_array().unwrap().iter().find(is_relay).unwrap();
    json(
        path,
        "host",
        &["peer", "remove", met["identifier"].as_str().unwrap()],
    );
    assert_eq!(node.ended(), Some(3));
    assert_eq!(exposed.ended(), Some(1));
}

#[test]
fn a_relay_that_is_another_one_now_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (relay, address) = start_relay(path);
    let node = Running::start(path, &["--home", "host", "node", "--via", &address]);
    node.event("ready");
    // The relay has no name of its own, and is listed as what it was met as.
    let listed = run(sealway(path).args(["--home", "host", "peer", "list"]));
    assert!(listed.stdout.starts_with("relay:"), "{listed:?}");
    assert_eq!(node.end(Signal::KILL), None);
    assert_eq!(relay.end(Signal::TERM), Some(0));
    let other = Running::start(path, &["--home", "impostor", "relay", "--listen", &address]);
    other.event("listening");
    let refused = run(sealway(path).args(["--home", "host", "node", "--via", &address]));
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(
        refused.stderr.contains("was another when it was met first"),
        "{refused:?}"
    );
    assert_eq!(other.end(Signal::TERM), Some(0));
}
