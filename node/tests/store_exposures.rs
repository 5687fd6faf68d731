//! Exposures and their tickets: a use counts once, whoever races for it, and is worth what was pinned.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_common;

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use sealway::home::Home;
use sealway::store::{Direction, Exposed, ExposureError, Pin, PinOrigin, Resource};
use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::identity::Identifier;
use sealway_core::ticket::{Refusal, Secret, SecretHash, Terms};
use store_common::{spawn, tell, told};
use tempfile::{TempDir, tempdir};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const LATER: UnixSeconds = UnixSeconds(NOW.0 + 3_600);

fn who(n: u32) -> Identifier {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    Identifier::from_bytes(bytes)
}

fn secret(byte: u8) -> SecretHash {
    Secret::from_bytes([byte; 32]).hash()
}

fn expose(home: &Home, resource: &str) {
    let exposed = Exposed {
        resource: resource.to_owned(),
        target: "127.0.0.1:5432".to_owned(),
        listen: None,
        created: NOW,
    };
    home.exposures().set(exposed).wait().unwrap();
}

/// A home with a ticket for `db` under `secret(1)`.
fn home(uses: u32) -> (TempDir, Home) {
    let directory = tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    expose(&home, "db");
    issue(&home, "db", 1, uses).unwrap();
    (directory, home)
}

fn issue(home: &Home, resource: &str, byte: u8, uses: u32) -> Result<(), ExposureError> {
    let terms = Terms {
        uses,
        expires: LATER,
    };
    let exposures = home.exposures();
    exposures.issue(resource, secret(byte), terms, NOW).wait()
}

fn redeem(home: &Home, byte: u8, n: u32, now: UnixSeconds) -> Result<String, Refusal> {
    let outcome = home
        .exposures()
        .redeem(secret(byte), who(n), Suite::Hybrid, now)
        .wait();
    let outcome = outcome.map(|redemption| redemption.resource);
    outcome.map_err(|error| match error {
        ExposureError::Refused(why) => why,
        other => panic!("{other}"),
    })
}

fn admits(home: &Home, n: u32, resource: &str) -> bool {
    let pin = home.peers().admits(&who(n), Direction::Inbound, resource);
    pin.unwrap().is_some()
}

#[test]
fn child_entry() {
    let Some((_, directory)) = store_common::case() else {
        return;
    };
    // Racers of one process, each under an identity of its own.
    let home = Home::open(directory.join("home")).unwrap();
    for n in std::process::id()..std::process::id() + 8 {
        if redeem(&home, 1, n, NOW).is_ok() {
            tell(&format!("{n}."));
        }
    }
}

#[test]
fn a_redeemed_ticket_is_a_pin_for_its_resource_and_nothing_else() {
    let (_directory, home) = home(1);
    assert_eq!(redeem(&home, 1, 1, NOW), Ok("db".to_owned()));
    assert!(admits(&home, 1, "db"));
    assert!(!admits(&home, 1, "other") && !admits(&home, 1, "*"));
    let peers = home.peers();
    assert!(peers.pinned(Direction::Outbound).unwrap().is_empty());
    assert_eq!(redeem(&home, 1, 2, NOW), Err(Refusal::AlreadyRedeemed));
    assert!(!admits(&home, 2, "db"));
    // The answer was lost, or both ends have restarted: also after the expiry.
    assert_eq!(redeem(&home, 1, 1, LATER), Ok("db".to_owned()));
    let tickets = home.exposures().tickets().unwrap();
    assert_eq!(tickets.len(), 1);
    assert_eq!(tickets[0].redeemers, [who(1)]);
}

#[test]
fn what_is_no_ticket_is_worth_nothing() {
    let (_directory, home) = home(1);
    assert_eq!(redeem(&home, 2, 1, NOW), Err(Refusal::Unknown));
    assert_eq!(redeem(&home, 1, 1, LATER), Err(Refusal::Expired));
    assert!(home.peers().list().unwrap().is_empty());
    assert_eq!(redeem(&home, 1, 1, NOW), Ok("db".to_owned()));
}

#[test]
fn whose_pin_was_taken_back_does_not_get_it_by_the_spent_ticket() {
    let (_directory, home) = home(2);
    redeem(&home, 1, 1, NOW).unwrap();
    let resource = Resource::Named("db".to_owned());
    let peers = home.peers();
    let unpinned = peers.unpin(who(1), Direction::Inbound, resource).wait();
    assert!(unpinned.unwrap());
    assert_eq!(redeem(&home, 1, 1, NOW), Err(Refusal::Unknown));
    assert!(!admits(&home, 1, "db"));
    redeem(&home, 1, 2, NOW).unwrap();
    assert_eq!(redeem(&home, 1, 3, NOW), Err(Refusal::AlreadyRedeemed));
}

#[test]
fn an_exposure_that_is_removed_takes_its_tickets_and_their_pins_along() {
    let (_directory, home) = home(2);
    expose(&home, "web");
    issue(&home, "web", 2, 1).unwrap();
    redeem(&home, 1, 1, NOW).unwrap();
    redeem(&home, 2, 1, NOW).unwrap();
    let operators = Pin {
        direction: Direction::Inbound,
        resource: Resource::Named("db".to_owned()),
        origin: PinOrigin::Operator,
        added: NOW,
    };
    home.peers().pin(who(9), operators).wait().unwrap();
    let unpinned = home.exposures().remove("db").wait().unwrap();
    assert_eq!(unpinned, [who(1)]);
    assert!(!admits(&home, 1, "db") && admits(&home, 1, "web"));
    assert!(admits(&home, 9, "db"), "the operator's word stays");
    assert_eq!(redeem(&home, 1, 2, NOW), Err(Refusal::Unknown));
    let again = home.exposures().remove("db").wait();
    assert!(matches!(again, Err(ExposureError::Missing { .. })));
    let left = home.exposures().list().unwrap();
    assert_eq!(left.len(), 1);
}

#[test]
fn names_that_mean_everything_or_steer_a_terminal_are_refused() {
    let (_directory, home) = home(1);
    for resource in ["", "*", "a\nb", &"x".repeat(129)] {
        let exposed = Exposed {
            resource: resource.to_owned(),
            target: String::new(),
            listen: None,
            created: NOW,
        };
        let refused = home.exposures().set(exposed).wait();
        assert!(matches!(refused, Err(ExposureError::BadResource { .. })));
    }
    let nowhere = issue(&home, "web", 3, 1);
    assert!(matches!(nowhere, Err(ExposureError::Missing { .. })));
}

#[test]
fn tickets_are_bounded_and_what_expired_unused_makes_room() {
    let (_directory, home) = home(1);
    let terms = Terms {
        uses: 1,
        expires: LATER,
    };
    let exposures = home.exposures();
    let hash = |n: u32| {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        SecretHash(bytes)
    };
    let pending: Vec<_> = (0..1_023)
        .map(|n| exposures.issue("db", hash(n), terms, NOW))
        .collect();
    for one in pending {
        one.wait().unwrap();
    }
    let full = exposures.issue("db", hash(5_000), terms, NOW).wait();
    assert!(matches!(full, Err(ExposureError::TooManyTickets)));
    redeem(&home, 1, 1, NOW).unwrap();
    // A spent one is in nobody's way.
    exposures
        .issue("db", hash(5_001), terms, NOW)
        .wait()
        .unwrap();
    let full = exposures.issue("db", hash(5_000), terms, NOW).wait();
    assert!(matches!(full, Err(ExposureError::TooManyTickets)));
    let later = Terms {
        uses: 1,
        expires: UnixSeconds(LATER.0 + 1),
    };
    exposures
        .issue("db", hash(5_000), later, LATER)
        .wait()
        .unwrap();
    let left = exposures.tickets().unwrap();
    assert_eq!(left.len(), 2, "the redeemed one and the new one");
}

#[test]
fn of_spent_tickets_1_024_are_remembered_and_the_others_pins_stay() {
    let (_directory, home) = home(1);
    let exposures = home.exposures();
    let hash = |n: u32| {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        SecretHash(bytes)
    };
    let mut pending = Vec::new();
    for n in 0..1_030 {
        let terms = Terms {
            uses: 1,
            expires: UnixSeconds(LATER.0 + u64::from(n)),
        };
        let issued = exposures.issue("db", hash(n), terms, NOW);
        pending.push((
            issued,
            exposures.redeem(hash(n), who(n), Suite::Hybrid, NOW),
        ));
        // The writer takes so many at a time.
        if pending.len() == 256 || n == 1_029 {
            for (issued, redeemed) in pending.drain(..) {
                issued.wait().unwrap();
                redeemed.wait().unwrap();
            }
        }
    }
    let left = exposures.tickets().unwrap();
    assert!(left.len() <= 1_026, "{}", left.len());
    let forgotten = exposures.redeem(hash(0), who(0), Suite::Hybrid, NOW).wait();
    assert!(matches!(
        forgotten,
        Err(ExposureError::Refused(Refusal::Unknown))
    ));
    assert!(admits(&home, 0, "db"), "it needs its ticket no more");
    // Pinned and never met in anything weaker: one transaction.
    assert_eq!(home.peers().floor(&who(0)).unwrap(), Some(Suite::Hybrid));
    exposures
        .redeem(hash(1_029), who(1_029), Suite::Hybrid, NOW)
        .wait()
        .unwrap();
}

#[test]
fn of_64_racers_one_gets_the_ticket_and_keeps_it() {
    let (_directory, home) = home(1);
    let start = Barrier::new(64);
    let winners: Vec<u32> = thread::scope(|scope| {
        let race = |n| {
            let (home, start) = (&home, &start);
            scope.spawn(move || {
                start.wait();
                redeem(home, 1, n, NOW).is_ok().then_some(n)
            })
        };
        let racers: Vec<_> = (0..64).map(race).collect();
        racers
            .into_iter()
            .filter_map(|racer| racer.join().unwrap())
            .collect()
    });
    assert_eq!(winners.len(), 1);
    assert_eq!(
        home.peers().pinned(Direction::Inbound).unwrap(),
        [who(winners[0])]
    );
    assert!(
        redeem(&home, 1, winners[0], NOW).is_ok(),
        "the winner's retry"
    );
}

#[test]
fn of_racing_processes_that_are_killed_at_most_the_uses_are_pinned() {
    let (directory, home) = home(5);
    let mut processes: Vec<_> = (0..8).map(|_| spawn("race", directory.path())).collect();
    // Some are killed wherever they are.
    for process in processes.iter_mut().step_by(3) {
        process.kill().unwrap();
    }
    let mut won = BTreeSet::new();
    for mut process in processes {
        let said = told(process.stdout.take().unwrap());
        // A word that a kill cut short says nothing.
        won.extend(said.filter_map(|word| word.strip_suffix('.')?.parse::<u32>().ok()));
        process.wait().unwrap();
    }
    let pinned: BTreeSet<_> = home
        .peers()
        .pinned(Direction::Inbound)
        .unwrap()
        .into_iter()
        .collect();
    assert!(pinned.len() <= 5, "{}", pinned.len());
    // What was acknowledged is pinned; a kill may have cut off an acknowledgement, never a pin.
    assert!(won.iter().all(|n| pinned.contains(&who(*n))));
    let tickets = home.exposures().tickets().unwrap();
    let redeemers: BTreeSet<_> = tickets[0].redeemers.iter().copied().collect();
    assert_eq!(redeemers, pinned, "a use and its pin are one");
    assert!(won.iter().all(|n| redeem(&home, 1, *n, LATER).is_ok()));
}
