//! Two stored identities prove themselves to each other in a handshake.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use sealway::home::Home;
use sealway::keys::{load_parties, load_parties_blocking};
use sealway_core::UnixSeconds;
use sealway_core::channel::{Established, Initiator, LocalParty, Responder, Suite, Trust};
use sealway_core::crypto::KeyType;
use sealway_core::identity::Rotation;
use sealway_core::wire::Address;
use tempfile::{TempDir, tempdir};

fn home(key_type: KeyType) -> (TempDir, Home) {
    let directory = tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    let name = "default".parse().unwrap();
    home.identities()
        .default_or_create(&name, key_type, home.clock().now())
        .wait()
        .unwrap();
    (directory, home)
}

/// Runs the handshake; the initiator's and the responder's view.
fn handshake(
    a: &Arc<LocalParty>,
    b: &Arc<LocalParty>,
    now: UnixSeconds,
) -> (Established, Established) {
    let mut rng = UnwrapErr(SysRng);
    let listener = Address::local(a.suite().listener());
    let (message1, initiator) = Initiator::start(a, &listener, &mut rng);
    let responder = Responder::new(b, &listener)
        .read_message1(&message1)
        .unwrap();
    let (message2, responder) = responder.write_message2(&mut rng).unwrap();
    let initiator = initiator
        .read_message2(&message2, now, &Trust::Everyone)
        .unwrap();
    let (message3, at_a) = initiator.write_message3().unwrap();
    let at_b = responder
        .read_message3(&message3, now, &Trust::Everyone)
        .unwrap();
    (at_a, at_b)
}

#[tokio::test]
async fn stored_identities_prove_themselves_before_and_after_a_rotation() {
    let ((_one, alice), (_two, bob)) = (home(KeyType::Ed25519), home(KeyType::P256));
    let now = alice.clock().now();
    for changes in 1..4 {
        let a = load_parties(&alice, None, &[]).await.unwrap();
        let b = load_parties(&bob, None, &[]).await.unwrap();
        for suite in Suite::ALL {
            let (at_a, at_b) = handshake(a.of(suite).unwrap(), b.of(suite).unwrap(), now);
            assert_eq!((at_a.suite, at_b.suite), (suite, suite));
            assert_eq!(at_a.peer.identifier(), *b.identifier());
            assert_eq!(at_b.peer.identifier(), *a.identifier());
            assert_eq!(at_a.handshake_hash, at_b.handshake_hash);
            assert_eq!(at_a.peer.change_count(), changes);
            alice.histories().accept(&at_a.peer, now).await.unwrap();
            bob.histories().accept(&at_b.peer, now).await.unwrap();
        }
        for home in [&alice, &bob] {
            home.identities()
                .rotate(None, KeyType::Ed25519, Rotation::default(), now)
                .await
                .unwrap();
        }
    }
}

#[test]
fn a_home_restored_from_an_old_copy_is_refused_by_who_knows_better() {
    let ((directory, alice), (_two, bob)) = (home(KeyType::Ed25519), home(KeyType::Ed25519));
    let now = alice.clock().now();
    let rotate = |home: &Home| {
        home.identities()
            .rotate(None, KeyType::Ed25519, Rotation::default(), now)
            .wait()
    };
    let meet = |home: &Home| {
        let a = load_parties_blocking(home, None, &[]).unwrap();
        let b = load_parties_blocking(&bob, None, &[]).unwrap();
        let (a, b) = (a.of(Suite::Hybrid).unwrap(), b.of(Suite::Hybrid).unwrap());
        bob.histories()
            .accept(&handshake(a, b, now).1.peer, now)
            .wait()
    };
    rotate(&alice).unwrap();
    meet(&alice).unwrap();
    // A copy as a file: the log is in the file once the last connection has closed.
    drop(alice);
    let copy = directory.path().join("copy");
    std::fs::copy(directory.path().join("home/state.db"), &copy).unwrap();
    let alice = Home::open(directory.path().join("home")).unwrap();
    rotate(&alice).unwrap();
    meet(&alice).unwrap();
    drop(alice);
    std::fs::copy(&copy, directory.path().join("home/state.db")).unwrap();
    let alice = Home::open(directory.path().join("home")).unwrap();
    let refused = meet(&alice).unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("shows 2 changes, and 3 are known"),
        "{refused}"
    );
    assert!(refused.hint().contains("old copy"));
}
