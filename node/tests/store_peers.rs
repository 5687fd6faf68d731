//! Peers and pins, known histories, relay names, and the clock.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sealway::home::Home;
use sealway::relay::NameStore as _;
use sealway::store::{
    Direction, HistoryError, Peer, PeerError, Pin, PinOrigin, RelayNameError, Resource,
};
use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::crypto::{KeyType, SigningKey};
use sealway_core::identity::{Identifier, Identity, Rotation};
use sealway_core::relay::{Limits, NameRecord};
use tempfile::{TempDir, tempdir};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn home() -> (TempDir, Home) {
    let directory = tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    (directory, home)
}

fn who(byte: u8) -> Identifier {
    Identifier::from_bytes([byte; 32])
}

fn pin(direction: Direction, resource: Resource) -> Pin {
    Pin {
        direction,
        resource,
        origin: PinOrigin::Ticket,
        added: NOW,
    }
}

fn port(text: &str) -> Resource {
    Resource::Named(text.to_owned())
}

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(KeyType::Ed25519, &[byte; 32]).unwrap()
}

/// Histories of one identity, of 1 to `changes` changes.
fn histories(changes: u8) -> Vec<Identity> {
    let mut histories = vec![Identity::create(&key(1), NOW)];
    for n in 1..changes {
        let last = histories.last().unwrap();
        let next = last.rotate(&key(n), &key(n + 1), NOW, Rotation::default());
        histories.push(next.unwrap());
    }
    histories
}

#[test]
fn a_pin_holds_for_its_peer_direction_and_resource_alone() {
    let (_directory, home) = home();
    let peers = home.peers();
    peers
        .pin(who(1), pin(Direction::Inbound, port("5432")))
        .wait()
        .unwrap();
    let admits = |peer, direction, resource: &str| {
        peers
            .admits(&who(peer), direction, resource)
            .unwrap()
            .is_some()
    };
    assert!(admits(1, Direction::Inbound, "5432"));
    assert!(!admits(1, Direction::Inbound, "6379"), "another outlet");
    assert!(!admits(1, Direction::Outbound, "5432"), "the other way");
    assert!(!admits(2, Direction::Inbound, "5432"), "another peer");
    assert!(!admits(1, Direction::Inbound, "*"));
    assert_eq!(peers.pinned(Direction::Inbound).unwrap(), [who(1)]);
    assert!(peers.pinned(Direction::Outbound).unwrap().is_empty());

    assert!(
        peers
            .unpin(who(1), Direction::Inbound, port("5432"))
            .wait()
            .unwrap()
    );
    assert!(
        !peers
            .unpin(who(1), Direction::Inbound, port("5432"))
            .wait()
            .unwrap()
    );
    assert!(!admits(1, Direction::Inbound, "5432"));
    assert!(
        peers.list().unwrap().is_empty(),
        "a peer without name and pins is gone"
    );
}

#[test]
fn a_peer_cannot_smuggle_in_a_pin_for_everything() {
    let (_directory, home) = home();
    for resource in ["*", "", &"x".repeat(256)] {
        let refused = home
            .peers()
            .pin(who(1), pin(Direction::Inbound, port(resource)))
            .wait();
        assert!(matches!(refused, Err(PeerError::BadResource { .. })));
    }
    assert!(home.peers().list().unwrap().is_empty());
}

#[test]
fn a_pin_keeps_the_origin_that_stands_above() {
    let (_directory, home) = home();
    let peers = home.peers();
    let meets = |origin: PinOrigin| {
        let pin = Pin {
            origin,
            ..pin(Direction::Outbound, port("relay:here"))
        };
        peers.pin(who(1), pin).wait().unwrap();
        peers.list().unwrap()[0].pins[0].origin
    };
    assert_eq!(meets(PinOrigin::Ticket), PinOrigin::Ticket);
    // A relay that was met is pinned as one, whatever it has offered by a ticket.
    assert_eq!(meets(PinOrigin::FirstMeeting), PinOrigin::FirstMeeting);
    assert_eq!(meets(PinOrigin::Ticket), PinOrigin::FirstMeeting);
    assert_eq!(meets(PinOrigin::Operator), PinOrigin::Operator);
    assert_eq!(meets(PinOrigin::FirstMeeting), PinOrigin::Operator);
}

#[test]
fn what_the_operator_adds_is_pinned_both_ways_and_removed_by_name_or_identifier() {
    let (_directory, home) = home();
    let peers = home.peers();
    let (bob, carol) = ("bob".parse().unwrap(), "carol".parse().unwrap());
    let added = peers.add(&bob, who(2), NOW).wait().unwrap();
    assert_eq!(added.name, Some(bob.clone()));
    for direction in [Direction::Inbound, Direction::Outbound] {
        let pin = peers
            .admits(&who(2), direction, "anything")
            .unwrap()
            .unwrap();
        assert_eq!(
            (pin.resource, pin.origin),
            (Resource::Any, PinOrigin::Operator)
        );
    }
    let taken = peers.add(&bob, who(3), NOW).wait();
    assert!(matches!(taken, Err(PeerError::NameTaken { identifier, .. }) if identifier == who(2)));
    assert!(
        peers.find(&who(3).to_string()).is_err(),
        "a refused peer leaves nothing"
    );
    // Adding again is a new name, not a second peer.
    peers.add(&carol, who(2), NOW).wait().unwrap();
    peers.add(&bob, who(3), NOW).wait().unwrap();
    let names: Vec<_> = peers
        .list()
        .unwrap()
        .into_iter()
        .map(|peer| peer.identifier)
        .collect();
    assert_eq!(names, [who(3), who(2)]);
    let removed: Peer = peers.remove("carol").wait().unwrap();
    assert_eq!((removed.identifier, removed.pins.len()), (who(2), 2));
    peers.remove(&who(3).to_string()).wait().unwrap();
    assert!(
        peers
            .admits(&who(2), Direction::Inbound, "x")
            .unwrap()
            .is_none()
    );
    let missing = peers.remove("carol\x1b").wait().unwrap_err();
    assert_eq!(missing.to_string(), r#"there is no peer "carol\u{1b}""#);
}

#[test]
fn a_shorter_or_other_history_is_refused_once_a_longer_one_is_known() {
    let (directory, home) = home();
    let chain = histories(4);
    let accept = |home: &Home, identity: &Identity| home.histories().accept(identity, NOW).wait();
    accept(&home, &chain[0]).unwrap();
    assert!(
        home.histories()
            .known(&chain[0].identifier())
            .unwrap()
            .is_none()
    );
    accept(&home, &chain[2]).unwrap();
    accept(&home, &chain[2]).unwrap();
    let path = home.path().to_owned();
    drop(home);
    let home = Home::open(path).unwrap();
    for older in &chain[..2] {
        let refused = accept(&home, older).unwrap_err();
        assert!(
            matches!(refused, HistoryError::Older { known: 3, .. }),
            "{refused}"
        );
        assert!(home.histories().check(older).is_err());
    }
    let fork = chain[1]
        .rotate(&key(2), &key(9), NOW, Rotation::default())
        .unwrap();
    assert!(matches!(
        accept(&home, &fork),
        Err(HistoryError::Diverged { .. })
    ));
    let longer_fork = fork
        .rotate(&key(9), &key(8), NOW, Rotation::default())
        .unwrap();
    assert!(matches!(
        accept(&home, &longer_fork),
        Err(HistoryError::Diverged { .. })
    ));
    home.histories().check(&chain[3]).unwrap();
    assert_eq!(
        home.histories()
            .known(&chain[0].identifier())
            .unwrap()
            .unwrap()
            .change_count(),
        3,
        "a check stores nothing"
    );
    accept(&home, &chain[3]).unwrap();
    accept(&home, &chain[2]).unwrap_err();
    drop(directory);
}

#[test]
fn a_peer_added_by_its_history_cannot_fall_behind_it() {
    let (_directory, home) = home();
    let chain = histories(3);
    let name = "bob".parse().unwrap();
    home.peers()
        .add_history(&name, &chain[2], NOW)
        .wait()
        .unwrap();
    assert!(home.histories().check(&chain[1]).is_err());
    let refused = home.peers().add_history(&name, &chain[1], NOW).wait();
    assert!(matches!(
        refused,
        Err(PeerError::History(HistoryError::Older { .. }))
    ));
    // Removing the peer does not make the home forget its later keys.
    home.peers().remove("bob").wait().unwrap();
    assert!(home.histories().check(&chain[0]).is_err());
}

/// Claims an alias for 100 seconds from `at` seconds after [`NOW`].
fn claim(
    home: &Home,
    alias: &str,
    owner: u8,
    at: u64,
    limits: Limits,
) -> Result<(), RelayNameError> {
    let now = NOW.plus(at);
    let record = NameRecord {
        alias: alias.to_owned(),
        owner: who(owner),
        expires: now.plus(100),
    };
    home.relay_names().claim(record, limits, now).wait()
}

#[test]
fn an_alias_stays_with_its_first_owner_across_restarts_until_it_expires() {
    let (directory, home) = home();
    let claim = |home: &Home, owner, at| claim(home, "alice", owner, at, Limits::default());
    claim(&home, 1, 0).unwrap();
    assert_eq!(claim(&home, 2, 99), Err(RelayNameError::Taken));
    let path = home.path().to_owned();
    drop(home);
    let home = Home::open(path).unwrap();
    assert_eq!(claim(&home, 2, 99), Err(RelayNameError::Taken));
    claim(&home, 1, 99).unwrap();
    assert_eq!(
        claim(&home, 2, 198),
        Err(RelayNameError::Taken),
        "claiming again keeps it"
    );
    let owner = |at| home.relay_names().owner("alice", NOW.plus(at)).unwrap();
    assert_eq!((owner(198), owner(199)), (Some(who(1)), None));
    claim(&home, 2, 199).unwrap();
    assert_eq!(claim(&home, 1, 200), Err(RelayNameError::Taken));
    assert!(!home.relay_names().release("alice", who(1)).wait().unwrap());
    assert!(home.relay_names().release("alice", who(2)).wait().unwrap());
    claim(&home, 1, 200).unwrap();
    drop(directory);
}

#[tokio::test]
async fn a_relay_keeps_its_names_in_the_home() {
    let (directory, home) = home();
    let record = |owner| NameRecord {
        alias: "alice".to_owned(),
        owner: who(owner),
        expires: home.clock().now().plus(100),
    };
    let kept = home.relay_names().keeper(Limits::default());
    kept.save(record(1)).await.unwrap();
    let refused = kept.save(record(2)).await.unwrap_err();
    assert_eq!(refused, "the name belongs to another identity");
    let again = Home::open(home.path())
        .unwrap()
        .relay_names()
        .keeper(Limits::default());
    let owners: Vec<_> = again
        .load()
        .into_iter()
        .map(|record| record.owner)
        .collect();
    assert_eq!(owners, [who(1)]);
    drop(directory);
}

#[test]
fn one_identity_cannot_take_all_names() {
    let (_directory, home) = home();
    let limits = Limits {
        names: 4,
        names_per_identity: 3,
        ..Limits::default()
    };
    let claim = |alias: &str, owner, at| claim(&home, alias, owner, at, limits);
    for alias in ["a", "b", "c"] {
        claim(alias, 1, 0).unwrap();
    }
    assert_eq!(claim("d", 1, 0), Err(RelayNameError::TooMany { max: 3 }));
    claim("a", 1, 50).unwrap();
    claim("d", 2, 50).unwrap();
    assert_eq!(claim("e", 2, 50), Err(RelayNameError::Full { max: 4 }));
    // What has expired makes room.
    claim("e", 2, 101).unwrap();
    let names = home.relay_names();
    let held = names.list(NOW.plus(101)).unwrap();
    let held: Vec<_> = held.iter().map(|record| record.alias.as_str()).collect();
    assert_eq!(held, ["a", "d", "e"]);
    assert_eq!(names.purge(NOW.plus(1000)).wait().unwrap(), 3);
    // An alias is data, whatever is in it.
    claim("../../etc/passwd\0'; DROP TABLE relay_names;--", 3, 200).unwrap();
    assert_eq!(names.list(NOW.plus(200)).unwrap().len(), 1);
}

#[test]
fn a_clock_set_back_brings_nothing_back() {
    let (directory, home) = home();
    let later = home.clock().now().plus(1_000_000);
    assert_eq!(home.clock().observe(later), later);
    assert!(home.clock().now() >= later);
    home.clock().persist().wait().unwrap();
    let path = home.path().to_owned();
    drop(home);
    // The machine's clock is now a million seconds behind.
    let home = Home::open(path).unwrap();
    assert!(home.clock().now() >= later);
    assert!(home.clock().behind_by() > 999_000);
    assert!(home.clock().system() < later);
    // Unless the operator says that the later time was the error.
    let now = home.clock().accept_machine_time().wait().unwrap();
    assert!(now < later);
    let path = home.path().to_owned();
    drop(home);
    assert_eq!(Home::open(path).unwrap().clock().behind_by(), 0);
    drop(directory);
}

#[test]
fn a_suite_floor_rises_by_itself_and_falls_by_command_alone() {
    let (_directory, home) = home();
    let peers = home.peers();
    let floor = || peers.floor(&who(1)).unwrap();
    assert_eq!(floor(), None, "nothing is kept about strangers");
    peers.raise_floor(who(1), Suite::Hybrid).wait().unwrap();
    assert_eq!(floor(), None);
    let name = "alice".parse().unwrap();
    peers.add(&name, who(1), NOW).wait().unwrap();
    peers
        .add(&"bob".parse().unwrap(), who(2), NOW)
        .wait()
        .unwrap();
    assert_eq!(floor(), Some(Suite::Classical));
    peers.raise_floor(who(1), Suite::Hybrid).wait().unwrap();
    assert_eq!(floor(), Some(Suite::Hybrid));
    assert_eq!(peers.floor(&who(2)).unwrap(), Some(Suite::Classical));
    // Neither a weaker channel nor more pins lower it.
    peers.raise_floor(who(1), Suite::Classical).wait().unwrap();
    peers.add(&name, who(1), NOW).wait().unwrap();
    let inbound = pin(Direction::Inbound, port("5432"));
    peers.pin(who(1), inbound).wait().unwrap();
    assert_eq!(peers.find("alice").unwrap().floor, Suite::Hybrid);
    let lowered = peers.set_floor("alice", Suite::Classical).wait().unwrap();
    assert_eq!(lowered.floor, Suite::Classical);
    assert_eq!(floor(), Some(Suite::Classical));
    let missing = peers.set_floor("carol", Suite::Hybrid).wait();
    assert!(matches!(missing, Err(PeerError::Missing { .. })));
}

#[test]
fn a_suite_floor_that_cannot_be_read_is_an_error() {
    let (_directory, home) = home();
    let name = "alice".parse().unwrap();
    home.peers().add(&name, who(1), NOW).wait().unwrap();
    let connection = rusqlite::Connection::open(home.path().join("state.db")).unwrap();
    let broken = "UPDATE peers SET suite_floor = 77";
    connection.execute_batch(broken).unwrap();
    home.peers().floor(&who(1)).unwrap_err();
    home.peers().list().unwrap_err();
}
