//! What somebody sees who looks at a terminal, and nobody else.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared fails")]

mod pty;
#[path = "../support/mod.rs"]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;

use pty::Terminal;
use support::running::{Running, Watched};
use support::{DEADLINE, sealway};

/// A service that sends back what it gets.
fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            thread::spawn(move || {
                let mut chunk = [0; 65_536];
                while let Ok(read @ 1..) = socket.read(&mut chunk) {
                    if socket.write_all(&chunk[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A node with that service behind an outlet; the route to it.
fn node(directory: &Path) -> (Running, String) {
    let outlet = format!("files={}", echo());
    let arguments = [
        "--home", "host", "node", "--listen", "unix:n", "--trust", "everyone", "--outlet", &outlet,
    ];
    let node = Running::start(directory, &arguments);
    node.event("listening");
    (node, "/unix/n/secure/api/service/files".to_owned())
}

/// `inlet` to the node, with what else is to be said.
fn inlet<'a>(to: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let head = ["--home", "guest", "inlet", "--listen", "127.0.0.1:0"];
    [&head[..], &["--to", to, "--expect", "anyone"], more].concat()
}

/// Sends `len` bytes there and back, and keeps the connection.
fn transfer(address: &str, len: usize) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut writer = socket.try_clone().unwrap();
    let sending = thread::spawn(move || writer.write_all(&vec![7; len]).unwrap());
    let mut back = vec![0; len];
    (&socket).read_exact(&mut back).unwrap();
    sending.join().unwrap();
    socket
}

#[test]
fn a_terminal_is_told_how_the_portal_goes_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let (node, to) = node(directory.path());
    let terminal = Terminal::new(100);
    let mut command = sealway(directory.path());
    command.args(inlet(&to, &[])).stderr(terminal.end());
    let inlet = Watched::start(&mut command);
    let address = inlet.line("ready on ").split_off("ready on ".len());
    let connection = transfer(&address, 2_500_000);
    let seen = terminal.until("received 2.5 MB, sent 2.5 MB");
    let seen = seen + &terminal.until("1 stream, ");
    drop(connection);
    terminal.until("0 streams, ");
    // What has happened to the path is told at once, above the line.
    assert_eq!(node.end(Signal::TERM), Some(0));
    let lost = terminal.until("no path: it is being rebuilt");
    let note = lost.find("lost path of the inlet").expect("a note");
    assert!(lost[..note].ends_with("\r\u{1b}[K"), "{lost:?}");
    assert_eq!(inlet.end(Signal::TERM), Some(0));
    let rest = terminal.rest();
    assert!(rest.ends_with("\r\u{1b}[K"), "the line stays: {rest:?}");
    let widest = (seen + &rest)
        .split(['\r', '\n'])
        .map(|line| line.replace("\u{1b}[K", "").chars().count())
        .max();
    assert!(widest < Some(100), "{widest:?}");
}

#[test]
fn a_narrow_terminal_gets_as_much_of_the_line_as_it_has_room_for() {
    let directory = tempfile::tempdir().unwrap();
    let (node, to) = node(directory.path());
    let terminal = Terminal::new(20);
    let mut command = sealway(directory.path());
    command.args(inlet(&to, &[])).stderr(terminal.end());
    let inlet = Watched::start(&mut command);
    inlet.line("ready on ");
    let seen = terminal.until("received 0 B");
    assert_eq!(inlet.end(Signal::TERM), Some(0));
    let seen = seen + &terminal.rest();
    assert!(seen.contains("received 0 B, sent \r"), "{seen:?}");
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn nobody_else_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (node, to) = node(directory.path());
    let silent = |more: &[&str], terminal: Option<&Terminal>, dumb: bool| {
        let mut command = sealway(directory.path());
        command.args(inlet(&to, more));
        match terminal {
            Some(terminal) => command.stderr(terminal.end()),
            None => command.stderr(Stdio::piped()),
        };
        if dumb {
            command.env("TERM", "dumb");
        }
        let mut inlet = Watched::start(&mut command);
        let ready = inlet.line("");
        let address = ready
            .rsplit(['"', ' '])
            .find(|part| part.starts_with("127."));
        let connection = transfer(address.unwrap(), 1_000_000);
        let said = inlet.stderr();
        // As long as another one, which began later, takes to show its line.
        let other = Terminal::new(100);
        let mut command = sealway(directory.path());
        command.args(self::inlet(&to, &[])).stderr(other.end());
        let talks = Watched::start(&mut command);
        other.until("received 0 B");
        drop(connection);
        assert_eq!(talks.end(Signal::TERM), Some(0));
        assert_eq!(inlet.end(Signal::TERM), Some(0));
        let seen = match (terminal, said) {
            (Some(terminal), _) => terminal.rest(),
            (None, Some(said)) => said.join().unwrap(),
            (None, None) => panic!("nobody reads what it says"),
        };
        assert!(!seen.contains("received"), "{more:?}: {seen:?}");
        assert!(
            !seen.replace("\r\n", "").contains('\r'),
            "{more:?}: {seen:?}"
        );
    };
    silent(&[], None, false);
    silent(&["--quiet"], Some(&Terminal::new(100)), false);
    silent(&["--json"], Some(&Terminal::new(100)), false);
    silent(&[], Some(&Terminal::new(100)), true);
    assert_eq!(node.end(Signal::TERM), Some(0));
}

#[test]
fn a_command_on_a_terminal_ends_in_order_when_that_hangs_up() {
    let directory = tempfile::tempdir().unwrap();
    let terminal = Terminal::new(80);
    let ours = sealway(directory.path());
    // Tests that run under nohup ignore it, and so would what they start.
    let mut command = std::process::Command::new("env");
    command
        .args(["--default-signal=HUP", "setsid", "--ctty"])
        .arg(ours.get_program())
        .args(["--home", "h", "relay", "--listen", "unix:s"])
        .current_dir(directory.path())
        .stdin(terminal.end())
        .stderr(terminal.end());
    let relay = Watched::start(&mut command);
    relay.line("listening on ");
    assert_eq!(relay.end(Signal::HUP), Some(0));
    assert!(!directory.path().join("s").exists(), "the socket is left");
}
