//! What signals do to a running command.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::support::running::{Running, Watched};
use super::support::{DEADLINE, sealway};
use super::{at, identity, json, route};

/// How long a command may take to end in order: five seconds for the node, one for its last words, and one of ours.
const BOUND: Duration = Duration::from_secs(7);

fn send(id: u32, signal: Signal) {
    let id = Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    kill_process(id, signal).unwrap();
}

/// `sealway ARGUMENTS` in a session without a terminal, as a service manager starts it, even if the tests run under nohup.
fn daemon(directory: &Path, arguments: &[&str]) -> Command {
    under(
        &["env", "--default-signal=HUP", "setsid"],
        directory,
        arguments,
    )
}

/// The same behind other words.
fn under(words: &[&str], directory: &Path, arguments: &[&str]) -> Command {
    let ours = sealway(directory);
    let mut command = Command::new(words[0]);
    command
        .args(&words[1..])
        .arg(ours.get_program())
        .args(arguments)
        .env_clear()
        .env("HOME", directory)
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .current_dir(directory)
        .stdin(std::process::Stdio::null());
    command
}

#[test]
fn a_hangup_makes_a_daemon_read_what_nobody_told_it_of() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (host, friend) = (identity(path, "host"), identity(path, "friend"));
    let runtime = path.join("runtime");
    fs::DirBuilder::new().mode(0o700).create(&runtime).unwrap();
    let arguments = [
        "--json",
        "--home",
        "host",
        "node",
        "--listen",
        "127.0.0.1:0",
    ];
    let node = Watched::start(daemon(path, &arguments).env("XDG_RUNTIME_DIR", &runtime));
    let listening: serde_json::Value = serde_json::from_str(&node.line("{")).unwrap();
    let echo = "/secure/api/service/echo";
    let route = route(listening["address"].as_str().unwrap(), echo);
    let call = || at(path, "friend", &["call", &route, "hi", "--expect", &host]);
    assert_eq!(call().code, Some(3));
    // With its control socket out of reach, nobody can tell it of the new peer.
    fs::rename(&runtime, path.join("away")).unwrap();
    json(path, "host", &["peer", "add", "friend", &friend]);
    assert_eq!(call().code, Some(3), "it has heard of it");
    send(node.id(), Signal::HUP);
    node.line("{\"event\":\"reloaded\"}");
    assert_eq!(call().stdout, "hi\n");
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn a_hangup_that_was_ignored_from_the_start_stays_ignored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let ignoring = ["setsid", "sh", "-c", "trap '' HUP; exec \"$@\"", "sh"];
    let arguments = ["--json", "--home", "h", "relay", "--listen", "127.0.0.1:0"];
    let relay = Watched::start(&mut under(&ignoring, path, &arguments));
    relay.line("{\"address\"");
    let status = fs::read_to_string(format!("/proc/{}/status", relay.id())).unwrap();
    let mask = |name| {
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    assert_eq!(mask("SigIgn:") & 1, 1, "still ignored");
    assert_eq!(mask("SigCgt:") & 1, 0, "and not caught");
    assert_eq!(relay.end(Signal::TERM), Some(0));
}

#[test]
fn a_command_that_is_told_to_end_does_so_in_time_whatever_its_peer_does() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    // A service that sends without end, to a client that reads nothing, through an inlet that stands still.
    let service = TcpListener::bind("127.0.0.1:0").unwrap();
    let outlet = format!("files={}", service.local_addr().unwrap());
    let node = Running::start(
        path,
        &[
            "--home", "host", "node", "--listen", "unix:n", "--trust", "everyone", "--outlet",
            &outlet,
        ],
    );
    node.event("listening");
    let to = "/unix/n/secure/api/service/files";
    let listen = ["--home", "guest", "inlet", "--listen", "127.0.0.1:0"];
    let inlet = Running::start(
        path,
        &[&listen[..], &["--to", to, "--expect", "anyone"]].concat(),
    );
    let mut client = TcpStream::connect(inlet.address("ready")).unwrap();
    client.write_all(b"!").unwrap();
    let mut served = service.accept().unwrap().0;
    served.read_exact(&mut [0]).unwrap();
    send(inlet.id(), Signal::STOP);
    served
        .set_write_timeout(Some(Duration::from_secs(1)))
        .unwrap();
    // Until nothing fits any more.
    while served.write_all(&[7; 1 << 16]).is_ok() {}
    let asked = Instant::now();
    assert_eq!(node.end(Signal::TERM), Some(0));
    assert!(asked.elapsed() < BOUND, "it took {:?}", asked.elapsed());
    send(inlet.id(), Signal::CONT);
    client.set_read_timeout(Some(DEADLINE)).unwrap();
    // The client gets what was on the way, and then a reset: never an end as if that were all.
    let mut chunk = vec![0; 1 << 16];
    let end = loop {
        match client.read(&mut chunk) {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset));
    assert_eq!(inlet.end(Signal::INT), Some(0));
}

#[test]
fn a_command_that_crashes_leaves_no_core_dump() {
    let directory = tempfile::tempdir().unwrap();
    // What the shell lets dump, when it can: the limits of who runs the test, raised as far as they go.
    let dumped = |command: &str| {
        let line = format!("ulimit -c $(ulimit -H -c); {command}");
        let mut child = Command::new("sh")
            .args(["-c", &line])
            .current_dir(directory.path())
            .env("SEALWAY", env!("CARGO_BIN_EXE_sealway"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0];
        child.stdout.take().unwrap().read_exact(&mut said).unwrap();
        kill_process(Pid::from_child(&child), Signal::ABORT).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()), "{status}");
        status.core_dumped()
    };
    // Control: something else, started the same way, leaves one; where limits or the machine let nobody, there is nothing to show.
    if !dumped("echo up; exec sleep 60") {
        println!("no process leaves a core dump on this machine");
        return;
    }
    assert!(!dumped(
        r#"exec "$SEALWAY" --home a relay --listen 127.0.0.1:0"#
    ));
}
