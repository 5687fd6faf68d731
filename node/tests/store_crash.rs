//! What was acknowledged is on the disk: under kill -9 at every step, failing syncs, and several
//! processes that write at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_common;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use sealway::home::Home;
use sealway::store::{IdentityStoreError, Name};
use sealway_core::UnixSeconds;
use sealway_core::crypto::KeyType;
use sealway_core::identity::{Identifier, Rotation};
use sealway_core::relay::{Limits, NameRecord};
use store_common::{child, spawn, tell, told};
use tempfile::tempdir;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

#[test]
fn child_entry() {
    let Some((case, directory)) = store_common::case() else {
        return;
    };
    let home = Home::open(directory.join("home")).unwrap();
    match case.as_str() {
        "work" => work(&home, "solo", 12),
        "work_without_end" => work(&home, "solo", usize::MAX),
        "work_as_one" => work(&home, "one", 40),
        "work_as_two" => work(&home, "two", 40),
        "work_through_faults" => work_through_faults(&home),
        other => panic!("no case {other}"),
    }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// One of each kind of write, again and again; what was acknowledged is told.
fn work(home: &Home, who: &str, rounds: usize) {
    for round in 0..rounds {
        step(home, who, round, &mut |word| tell(&word)).unwrap();
    }
}

fn step(
    home: &Home,
    who: &str,
    round: usize,
    tell: &mut dyn FnMut(String),
) -> Result<(), IdentityStoreError> {
    let own = name(&format!("{who}-{round}"));
    let made = home
        .identities()
        .create(&own, KeyType::Ed25519, NOW)
        .wait()?;
    tell(format!("identity {own} 1"));
    home.channel_keys().load(Some(&own), NOW).wait()?;
    home.identities()
        .rotate(Some(&own), KeyType::Ed25519, Rotation::default(), NOW)
        .wait()?;
    tell(format!("identity {own} 2"));
    let peer = made.identity.identifier();
    home.peers().add(&own, peer, NOW).wait().map_err(fault)?;
    tell(format!("peer {own} {peer}"));
    let record = NameRecord {
        alias: own.to_string(),
        owner: peer,
        expires: NOW.plus(1000),
    };
    home.relay_names()
        .claim(record, Limits::default(), NOW)
        .wait()
        .map_err(fault)?;
    tell(format!("alias {own} {peer}"));
    Ok(())
}

fn fault(error: impl std::fmt::Display) -> IdentityStoreError {
    IdentityStoreError::Fault(sealway::store::StoreFault::Io {
        detail: error.to_string(),
    })
}

/// Everything that was told is there, and everything that is there is whole.
fn check(path: &Path, told: &[String]) {
    let home = Home::open(path).unwrap();
    for stored in home.identities().list().unwrap() {
        // The key fits the history, or this is an error.
        let stored = stored.unwrap();
        home.channel_keys()
            .load(Some(&stored.name), NOW)
            .wait()
            .unwrap();
    }
    for words in told {
        let words: Vec<_> = words.split(' ').collect();
        match words[..] {
            ["identity", own, changes] => {
                let stored = home.identities().get(Some(&name(own))).unwrap();
                let changes: usize = changes.parse().unwrap();
                assert!(stored.identity.change_count() >= changes, "{own}");
            }
            ["peer", own, identifier] => {
                let peer = home.peers().find(own).unwrap();
                assert_eq!(peer.identifier.to_string(), identifier);
                assert_eq!(peer.pins.len(), 2);
            }
            ["alias", own, identifier] => {
                let owner = home.relay_names().owner(own, NOW).unwrap();
                assert_eq!(owner, Some(identifier.parse::<Identifier>().unwrap()));
            }
            _ => panic!("{words:?}"),
        }
    }
    let connection = rusqlite::Connection::open(path.join("state.db")).unwrap();
    let found: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, "ok");
}

fn strace() -> bool {
    let there = Command::new("strace").arg("-V").output().is_ok();
    if !there {
        println!("skipped: there is no strace here");
    }
    there
}

/// The case under strace, with `inject` done to its system calls on the state's files.
fn traced(case: &str, directory: &Path, inject: &str) -> Command {
    let inner = child(case, directory);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", inject]);
    for file in [
        "state.db",
        "state.db-wal",
        "state.db-shm",
        "state.db-journal",
    ] {
        command.arg("-P").arg(directory.join("home").join(file));
    }
    command
        .arg(inner.get_program())
        .args(inner.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    for (key, value) in inner.get_envs() {
        command.env(key, value.unwrap());
    }
    command
}

#[test]
fn a_process_killed_at_any_write_or_sync_loses_nothing_acknowledged() {
    if !strace() {
        return;
    }
    let (mut kills, mut acknowledged) = (0, BTreeSet::new());
    // Twelve rounds are some 600 writes and syncs.
    for nth in (1..600).step_by(7) {
        let directory = tempdir().unwrap();
        drop(Home::open(directory.path().join("home")).unwrap());
        let inject = format!("inject=pwrite64,fdatasync,fsync,ftruncate:signal=KILL:when={nth}");
        let mut running = traced("work", directory.path(), &inject).spawn().unwrap();
        let words: Vec<_> = told(running.stdout.take().unwrap()).collect();
        let ended = running.wait().unwrap().success();
        check(&directory.path().join("home"), &words);
        if ended {
            break;
        }
        kills += 1;
        acknowledged.insert(words.len());
    }
    println!(
        "{kills} kills, after {} different numbers of acknowledgements",
        acknowledged.len()
    );
    assert!(
        kills >= 15 && acknowledged.len() >= 10,
        "{kills} kills, {acknowledged:?}"
    );
}

#[test]
fn a_process_killed_from_outside_loses_nothing_acknowledged() {
    let directory = tempdir().unwrap();
    drop(Home::open(directory.path().join("home")).unwrap());
    for acknowledged in 1..=20 {
        let mut running = spawn("work_without_end", directory.path());
        let mut out = told(running.stdout.take().unwrap());
        let mut words: Vec<_> = out.by_ref().take(acknowledged).collect();
        // It is somewhere in the next request by now.
        running.kill().unwrap();
        running.wait().unwrap();
        words.extend(out);
        check(&directory.path().join("home"), &words);
        clear(&directory.path().join("home"));
    }
}

/// Makes room for the names of the next round.
fn clear(path: &Path) {
    let home = Home::open(path).unwrap();
    for stored in home.identities().list().unwrap() {
        home.identities()
            .delete(&stored.unwrap().name)
            .wait()
            .unwrap();
    }
    for peer in home.peers().list().unwrap() {
        home.peers()
            .remove(&peer.identifier.to_string())
            .wait()
            .unwrap();
    }
    home.relay_names().purge(NOW.plus(10_000)).wait().unwrap();
}

#[test]
fn two_processes_write_at_once() {
    let directory = tempdir().unwrap();
    let mut children: Vec<_> = ["work_as_one", "work_as_two"]
        .map(|case| spawn(case, directory.path()))
        .into();
    let mut words = Vec::new();
    for child in &mut children {
        words.extend(told(child.stdout.take().unwrap()));
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(words.len(), 2 * 40 * 4);
    check(&directory.path().join("home"), &words);
}

#[test]
fn nothing_is_acknowledged_after_a_failed_sync() {
    if !strace() {
        return;
    }
    let directory = tempdir().unwrap();
    drop(Home::open(directory.path().join("home")).unwrap());
    let inject = "inject=fdatasync,fsync:error=EIO:when=10+";
    let mut running = traced("work_through_faults", directory.path(), inject)
        .spawn()
        .unwrap();
    let words: Vec<_> = told(running.stdout.take().unwrap()).collect();
    assert!(running.wait().unwrap().success());
    let first = words
        .iter()
        .position(|word| word == "fault")
        .expect("a fault");
    assert!(first >= 4, "some writes before the first fault: {words:?}");
    let after: Vec<_> = words[first..]
        .iter()
        .filter(|word| *word != "fault")
        .collect();
    assert!(after.is_empty(), "{after:?}");
    assert!(words.len() - first >= 10);
    check(&directory.path().join("home"), &words[..first]);
}

fn work_through_faults(home: &Home) {
    for round in 0..20 {
        if step(home, "solo", round, &mut |word| tell(&word)).is_err() {
            tell("fault");
        }
    }
}
