//! The two commands: expose and connect, directly and through a relay, across restarts, and for those who come too late.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::Signal;
use sealway::home::Home;
use sealway_core::UnixSeconds;
use sealway_core::ticket::{Reach, Secret, Terms, Ticket};
use serde_json::Value;

use super::portals::{exchange, service, start_relay};
use super::support::DEADLINE;
use super::support::running::{Running, Watched};
use super::support::sealway;
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

/// A connection that is carried.
pub(super) fn opened(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.write_all(b"hello").unwrap();
    let mut reply = [0; 5];
    socket.read_exact(&mut reply).unwrap();
    assert_eq!(&reply, b"HELLO");
    socket
}

/// It ends, and not as if the other end had said all.
pub(super) fn is_reset(socket: &mut TcpStream) {
    let ended = socket.read(&mut [0; 16]).unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::ConnectionReset, "{ended}");
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
    let (b, address) = connect(path, "b", "@ticket");
    assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
    assert_eq!(relay.end(Signal::TERM), Some(0));
    let arguments = ["--home", "relay", "relay", "--listen", &relay_address];
    let _relay = Running::start(path, &arguments);
    comes_back(&address);
    assert_eq!(b.event("lost")["what"], b.event("restored")["what"]);
    // It had no open port: none is opened because nobody says how it is reached.
    assert_eq!(a.end(Signal::TERM), Some(0));
    let service = made["resource"].as_str().unwrap();
    let unasked = at(path, "a", &["expose", service, "--no-ticket"]);
    assert_eq!(unasked.code, Some(1), "{unasked:?}");
    assert!(unasked.stderr.contains("--via"), "{unasked:?}");
    let asked = expose(path, &[service, "--no-ticket", "--listen", "127.0.0.1:0"]);
    asked.event("listening");
}

#[test]
fn what_is_exposed_is_exposed_once_and_further_tickets_are_made_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (_relay, relay) = start_relay(path);
    let service = service();
    for way in [&[][..], &["--via", relay.as_str()]] {
        let arguments = [&[service.as_str(), "--name", "shout"][..], way].concat();
        let a = expose(path, &arguments);
        let first = ticket(&a);
        // Started again, it would take the name or the port from the first.
        let again = at(path, "a", &[&["expose"][..], &arguments].concat());
        assert_eq!(again.code, Some(1), "{again:?}");
        let by = format!("is exposed already, by process {}", a.id());
        assert!(again.stderr.contains(&by), "{again:?}");
        assert!(again.stderr.contains("sealway ticket create shout"));
        let made = json(path, "a", &["ticket", "create", "shout", "--uses", "2"]);
        let second = made["ticket"].as_str().unwrap();
        assert_ne!(second, first);
        assert_eq!(made["uses"], 2);
        let [first, second] = [first.as_str(), second].map(|text| Ticket::parse(text).unwrap());
        assert_eq!(second.reaches, first.reaches);
        assert_eq!(second.minimum_change, first.minimum_change);
        for home in ["b", "c"] {
            let (_b, address) = connect(path, home, made["ticket"].as_str().unwrap());
            assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
        }
        let unknown = at(path, "a", &["ticket", "create", "mute"]);
        assert_eq!(unknown.code, Some(1));
        assert!(unknown.stderr.contains("nothing is exposed"), "{unknown:?}");
        assert_eq!(a.end(Signal::TERM), Some(0));
        let late = at(path, "a", &["ticket", "create", "shout"]);
        assert_eq!(late.code, Some(1));
        assert!(late.stderr.contains("no process exposes"), "{late:?}");
    }
}

#[test]
fn what_a_process_is_for_and_where_shows_in_status_and_peer_list() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let arguments = [&service(), "--listen", "127.0.0.1:0", "--name", "shout"];
    let a = expose(path, &arguments);
    let text = ticket(&a);
    let (_b, address) = connect(path, "b", &text);
    let serves = |home: &str| json(path, home, &["status"])["processes"][0]["serves"].clone();
    assert_eq!(serves("a")["exposure"], "shout");
    assert_eq!(serves("b")["connection"], "shout");
    assert_eq!(serves("b")["address"], address);
    let said = at(path, "b", &["status"]).stdout;
    assert!(said.contains(&format!("connected to shout, at {address}")));
    let said = at(path, "a", &["status"]).stdout;
    assert!(said.contains("exposes shout, directly"), "{said}");
    // The connection has a name, its peer has none.
    let listed = at(path, "b", &["peer", "list"]).stdout;
    let shown = format!("connection shout: its shout, at {address}");
    assert!(
        listed.starts_with("- ") && listed.contains(&shown),
        "{listed}"
    );
    let listed = json(path, "b", &["peer", "list"]);
    assert_eq!(listed[0]["connections"][0]["name"], "shout");
    assert_eq!(
        json(path, "a", &["peer", "list"])[0]["connections"],
        Value::Array(vec![])
    );
    // Once more at the same port: it says who has that.
    let again = at(path, "b", &["connect", "shout"]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(
        again.stderr.contains("is connected already, at"),
        "{again:?}"
    );
}

#[test]
fn an_exposer_that_is_not_there_is_named_and_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let a = expose(path, &[&service(), "--listen", "127.0.0.1:0"]);
    fs::write(path.join("direct"), ticket(&a)).unwrap();
    assert_eq!(a.end(Signal::TERM), Some(0));
    let (_relay, relay) = start_relay(path);
    let a = expose(path, &[&service(), "--via", &relay, "--name", "shout"]);
    fs::write(path.join("relayed"), ticket(&a)).unwrap();
    assert_eq!(a.end(Signal::TERM), Some(0));
    for (by, why) in [
        ("@direct", "cannot be reached"),
        ("@relayed", "does not answer"),
    ] {
        let alone = at(path, "b", &["connect", by, "--port", "0"]);
        assert_eq!(alone.code, Some(4), "{alone:?}");
        assert!(alone.stderr.contains(why), "{alone:?}");
        assert!(
            alone.stderr.contains("ask whether sealway expose"),
            "{alone:?}"
        );
    }
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
    let mut open = opened(&address);
    let listed = json(path, "a", &["exposure", "list"]);
    let redeemers = listed[0]["tickets"][0]["redeemers"].as_array().unwrap();
    assert_eq!(redeemers.len(), 1);
    let removed = json(path, "a", &["exposure", "remove", "shout"]);
    assert_eq!(removed["unpinned"], Value::Array(redeemers.clone()));
    is_reset(&mut open);
    exchange(&address, "hello").unwrap_err();
    assert_eq!(json(path, "a", &["exposure", "list"]), Value::Array(vec![]));
}

#[test]
fn removing_the_peer_at_either_end_ends_what_is_open() {
    for remover in ["a", "b"] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let a = expose(path, &[&service(), "--listen", "127.0.0.1:0"]);
        fs::write(path.join("ticket"), ticket(&a)).unwrap();
        let (b, address) = connect(path, "b", "@ticket");
        let mut open = opened(&address);
        let pinned = json(path, remover, &["peer", "list"]);
        let peer = pinned[0]["identifier"].as_str().unwrap();
        let removed = at(path, remover, &["peer", "remove", peer]);
        assert_eq!(removed.code, Some(0), "{removed:?}");
        is_reset(&mut open);
        if remover == "b" {
            assert_eq!(b.ended(), Some(3), "it was to go there only");
            continue;
        }
        let why = b.event("refused")["why"].clone();
        assert!(why.as_str().unwrap().contains("to nothing"), "{why}");
        exchange(&address, "hello").unwrap_err();
        // What was taken back is not there to be redeemed again.
        let again = at(path, "b", &["connect", "@ticket", "--port", "0"]);
        assert_eq!(again.code, Some(3), "{again:?}");
    }
}

/// The bytes that would give a ticket away: its text's last half, which has the secret, and the secret in hex and as `Debug` has it.
fn giveaways(text: &str) -> [String; 3] {
    let secret = *Ticket::parse(text).unwrap().secret.as_bytes();
    let hex = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    [
        text[text.len() / 2..].to_owned(),
        hex,
        format!("{:?}", &secret[..8]).replace(']', ""),
    ]
}

fn gives_away(said: &str, text: &str) -> bool {
    let said = said.to_ascii_lowercase();
    giveaways(text).iter().any(|part| said.contains(part))
}

#[test]
fn no_ticket_shows_in_logs_or_in_the_list_of_processes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let start = |says: &str, arguments: &[&str]| {
        let mut command = sealway(path);
        command.args(["--log", "trace"]).args(arguments);
        Watched::start(command.stderr(fs::File::create(path.join(says)).unwrap()))
    };
    let service = service();
    let listening = ["--listen", "127.0.0.1:0", "--name", "shout"];
    let offer = ["--home", "a", "expose", &service];
    let a = start("a.err", &[&offer[..], &listening].concat());
    let text = a.line("sealway1");
    fs::write(path.join("ticket"), &text).unwrap();
    let redeem = |says: &str, by: &str| start(says, &["--home", "b", "connect", by, "--port", "0"]);
    let b = redeem("b.err", "@ticket");
    let address = b.line("ready on ").split_off("ready on ".len());
    assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
    let listed = |id: u32| fs::read_to_string(format!("/proc/{id}/cmdline")).unwrap();
    assert!(!gives_away(&listed(a.id()), &text));
    assert!(!gives_away(&listed(b.id()), &text));
    let late = at(path, "late", &["--log", "trace", "connect", "@ticket"]);
    assert_eq!(late.code, Some(3), "{late:?}");
    assert!(!gives_away(&late.stderr, &text));
    assert_eq!(b.end(Signal::TERM), Some(0));
    // Whoever gives it as an argument is seen, by the same search.
    let b = redeem("again.err", &text);
    b.line("ready on ");
    assert!(gives_away(&listed(b.id()), &text));
    assert_eq!(b.end(Signal::TERM), Some(0));
    assert_eq!(a.end(Signal::TERM), Some(0));
    for home in ["a", "b"] {
        let said = fs::read_to_string(path.join(format!("{home}.err"))).unwrap();
        assert!(said.contains("DEBUG"), "it was logged at all: {said}");
        assert!(!gives_away(&said, &text));
        let database = fs::read(path.join(home).join("state.db")).unwrap();
        let secret = *Ticket::parse(&text).unwrap().secret.as_bytes();
        assert!(
            !database.windows(32).any(|window| window == secret),
            "{home}"
        );
    }
    // What is searched for is found where it is.
    for part in giveaways(&text) {
        assert!(gives_away(&format!("x{part}x"), &text));
    }
}

#[test]
fn what_expose_prints_for_people_is_the_ticket_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let start = |more: &[&str]| {
        let mut command = sealway(path);
        let arguments = ["--home", "a", "expose", "5432", "--listen", "127.0.0.1:0"];
        command.args(arguments).args(more).stderr(Stdio::null());
        Watched::start(&mut command)
    };
    let exposed = start(&[]);
    let text = exposed.line("");
    Ticket::parse(&text).unwrap();
    assert_eq!(exposed.end_and_rest(Signal::TERM), (Some(0), Vec::new()));
    // Without one it says that it is ready.
    assert!(start(&["--no-ticket"]).line("").starts_with("listening on"));
}

#[test]
fn an_expired_ticket_and_one_that_was_never_made_are_refused_and_a_good_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let listening = ["--listen", "127.0.0.1:0", "--name", "shout"];
    let a = expose(path, &[&[service().as_str()], &listening[..]].concat());
    let good = ticket(&a);
    let with = |secret: u8| {
        let mut other = Ticket::parse(&good).unwrap();
        other.secret = Secret::from_bytes([secret; 32]);
        other
    };
    let exposer = Home::open(path.join("a")).unwrap();
    let issue = |ticket: &Ticket, expires: u64| {
        let terms = Terms {
            uses: 1,
            expires: UnixSeconds(expires),
        };
        let now = exposer.clock().now();
        let issued = exposer
            .exposures()
            .issue("shout", ticket.secret.hash(), terms, now);
        issued.wait().unwrap();
    };
    let (expired, made, lasting) = (with(1), with(2), with(3));
    issue(&lasting, exposer.clock().now().0 + 3_600);
    // The last one: each new ticket clears away those that have expired.
    issue(&expired, exposer.clock().now().0 - 1);
    for (ticket, cause) in [(&expired, "expired"), (&made, "no such ticket")] {
        fs::write(path.join("ticket"), &*ticket.to_text().unwrap()).unwrap();
        let late = at(path, "b", &["connect", "@ticket", "--port", "0"]);
        assert_eq!(late.code, Some(3), "{late:?}");
        assert!(late.stderr.contains(cause), "{late:?}");
    }
    fs::write(path.join("ticket"), &*lasting.to_text().unwrap()).unwrap();
    let (_b, address) = connect(path, "b", "@ticket");
    assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
}

#[test]
fn whoever_stands_in_for_the_exposer_is_met_with_a_refusal_and_gets_no_secret() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (_relay, relay) = start_relay(path);
    let a = expose(path, &[&service(), "--via", &relay, "--name", "shout"]);
    let good = Ticket::parse(&ticket(&a)).unwrap();
    // A relay, and a machine, that lead whoever calls to themselves.
    let mut command = sealway(path);
    let said = fs::File::create(path.join("mallory.err")).unwrap();
    command.args(["--home", "mallory", "--log", "trace"]);
    command.args(["expose", &service(), "--listen", "127.0.0.1:0"]);
    let mallory = Watched::start(command.stderr(said));
    let other = Ticket::parse(&mallory.line("sealway1")).unwrap();
    let led = Ticket {
        reaches: other.reaches.clone(),
        ..Ticket::parse(&good.to_text().unwrap()).unwrap()
    };
    fs::write(path.join("ticket"), &*led.to_text().unwrap()).unwrap();
    let refused = at(path, "b", &["connect", "@ticket", "--port", "0"]);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    let met = format!("expected {}, met {}", led.exposer, other.exposer);
    assert!(refused.stderr.contains(&met), "{refused:?}");
    assert_eq!(mallory.end(Signal::TERM), Some(0));
    let said = fs::read_to_string(path.join("mallory.err")).unwrap();
    assert!(!said.contains("redemption"), "{said}");
    // The ticket is as good as before.
    fs::write(path.join("ticket"), &*good.to_text().unwrap()).unwrap();
    let (_b, address) = connect(path, "b", "@ticket");
    assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
}

#[test]
fn connect_finds_back_to_an_exposer_that_was_killed_and_comes_from_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (_relay, relay) = start_relay(path);
    let offer = [&service(), "--via", &relay, "--name", "shout"];
    let a = expose(path, &offer);
    fs::write(path.join("ticket"), ticket(&a)).unwrap();
    let (_b, address) = connect(path, "b", "@ticket");
    assert_eq!(exchange(&address, "hello").unwrap(), "HELLO");
    a.end(Signal::KILL);
    // Its connection to the relay has another address.
    let again = [&offer[..], &["--no-ticket"]].concat();
    let _a = expose(path, &again);
    comes_back(&address);
}

#[test]
fn who_exposes_something_by_a_ticket_is_not_taken_for_others_at_whom_it_is_called_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let named = ["--listen", "127.0.0.1:0", "--name", "echo"];
    let a = expose(path, &[&[service().as_str()], &named[..]].concat());
    let ticket = Ticket::parse(&ticket(&a)).unwrap();
    fs::write(path.join("ticket"), &*ticket.to_text().unwrap()).unwrap();
    let (b, _) = connect(path, "b", "@ticket");
    assert_eq!(b.end(Signal::TERM), Some(0));
    let [Reach::Direct(at_a)] = ticket.reaches.as_slice() else {
        panic!("one way");
    };
    // A route that was to lead to somebody else's echo, whom nobody has pinned.
    let route = format!("{at_a}/secure/sealway_xx1/service/echo");
    let refused = at(path, "b", &["call", &route, "hi"]);
    assert_ne!(refused.code, Some(0), "{refused:?}");
    let expect = ticket.exposer.to_string();
    let meant = at(path, "b", &["call", &route, "hi", "--expect", &expect]);
    assert_eq!(meant.stdout, "hi\n", "{meant:?}");
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
