//! Identities and their keys on the disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use sealway::home::Home;
use sealway::store::{Backup, ChannelKey, HistoryError, IdentityStoreError, Name, StoreFault};
use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::crypto::{KeyType, SigningKey};
use sealway_core::identity::{Identity, Rotation};
use tempfile::{TempDir, tempdir};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

fn home() -> (TempDir, Home) {
    let directory = tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    (directory, home)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn create(home: &Home, text: &str) -> Identity {
    home.identities()
        .create(&name(text), KeyType::Ed25519, NOW)
        .wait()
        .unwrap()
        .identity
}

fn rotate(home: &Home, text: &str, key_type: KeyType) -> Result<Identity, IdentityStoreError> {
    home.identities()
        .rotate(Some(&name(text)), key_type, Rotation::default(), NOW)
        .wait()
        .map(|stored| stored.identity)
}

fn sql(home: &Home, sql: &str) {
    let connection = rusqlite::Connection::open(home.path().join("state.db")).unwrap();
    connection.execute_batch(sql).unwrap();
}

#[test]
fn the_first_identity_is_the_default_until_another_is_chosen() {
    let (_directory, home) = home();
    let identities = home.identities();
    assert!(matches!(
        identities.get(None),
        Err(IdentityStoreError::NoneYet)
    ));
    create(&home, "alice");
    create(&home, "bob");
    assert_eq!(identities.get(None).unwrap().name, name("alice"));
    identities.set_default(&name("bob")).wait().unwrap();
    assert_eq!(identities.get(None).unwrap().name, name("bob"));
    let missing = identities.set_default(&name("carol")).wait();
    assert!(matches!(missing, Err(IdentityStoreError::Missing { .. })));
    assert_eq!(
        identities.get(None).unwrap().name,
        name("bob"),
        "a failed choice changes nothing"
    );
    identities.delete(&name("bob")).wait().unwrap();
    assert_eq!(identities.get(None).unwrap().name, name("alice"));
    let list = identities.list().unwrap();
    assert_eq!(list.len(), 1);
    assert!(list[0].as_ref().unwrap().is_default);
}

#[test]
fn a_default_identity_is_made_once() {
    let (_directory, home) = home();
    let pending: Vec<_> = (0..20)
        .map(|_| {
            home.identities()
                .default_or_create(&name("default"), KeyType::Ed25519, NOW)
        })
        .collect();
    let made: Vec<_> = pending
        .into_iter()
        .map(|one| one.wait().unwrap().identity.identifier())
        .collect();
    assert!(made.iter().all(|one| *one == made[0]));
    assert_eq!(home.identities().list().unwrap().len(), 1);
}

#[test]
fn a_name_is_given_once() {
    let (_directory, home) = home();
    let alice = create(&home, "alice");
    let again = home
        .identities()
        .create(&name("alice"), KeyType::P256, NOW)
        .wait();
    assert!(matches!(again, Err(IdentityStoreError::NameTaken { .. })));
    // Case twins are two names.
    create(&home, "Alice");
    let stored = home.identities().get(Some(&name("alice"))).unwrap();
    assert_eq!(stored.identity.identifier(), alice.identifier());
}

#[test]
fn identities_and_rotations_outlive_the_process() {
    let (directory, home) = home();
    let alice = create(&home, "alice");
    let path = home.path().to_owned();
    for key_type in [KeyType::P256, KeyType::P256, KeyType::Ed25519] {
        rotate(&home, "alice", key_type).unwrap();
    }
    drop(home);
    let home = Home::open(path).unwrap();
    let stored = home.identities().get(Some(&name("alice"))).unwrap();
    assert_eq!(stored.identity.identifier(), alice.identifier());
    assert_eq!(stored.identity.change_count(), 4);
    assert_eq!(stored.key_type(), KeyType::Ed25519);
    rotate(&home, "alice", KeyType::P256).unwrap();
    drop(directory);
}

#[test]
fn an_identity_that_is_missing_is_named() {
    let (_directory, home) = home();
    let nobody = name("nobody");
    let identities = home.identities();
    let errors = [
        identities.get(Some(&nobody)).map(drop).unwrap_err(),
        identities.back_up(Some(&nobody)).map(drop).unwrap_err(),
        identities.delete(&nobody).wait().unwrap_err(),
        rotate(&home, "nobody", KeyType::Ed25519)
            .map(drop)
            .unwrap_err(),
        home.channel_keys()
            .load(Some(&nobody), NOW)
            .wait()
            .map(drop)
            .unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.to_string(), "there is no identity named nobody");
        assert!(!error.hint().is_empty());
    }
}

/// The channel key of the default identity for this suite.
fn key(home: &Home, suite: Suite, now: UnixSeconds) -> ChannelKey {
    let [classical, hybrid] = home.channel_keys().load(None, now).wait().unwrap();
    match suite {
        Suite::Classical => classical,
        Suite::Hybrid => hybrid,
    }
}

#[test]
fn an_identity_has_a_key_of_its_own_for_each_suite() {
    let (_directory, home) = home();
    let alice = create(&home, "alice");
    let keys = Suite::ALL.map(|suite| key(&home, suite, NOW));
    for (suite, key) in Suite::ALL.into_iter().zip(&keys) {
        let attested = key.attestation.verify(&alice, NOW).unwrap();
        assert_eq!(attested, suite.purpose(key.secret.public()));
    }
    assert_ne!(keys[0].secret.public(), keys[1].secret.public());
    // A home that was made before there was a second suite gets its key, and keeps the other.
    sql(&home, "DELETE FROM purpose_keys WHERE purpose = 3");
    let again = Suite::ALL.map(|suite| key(&home, suite, NOW));
    assert_eq!(again[0].secret.public(), keys[0].secret.public());
    assert_ne!(again[1].secret.public(), keys[1].secret.public());
}

#[test]
fn a_rotation_drops_the_channel_keys_and_the_next_are_attested_under_the_new_change() {
    for suite in Suite::ALL {
        let (_directory, home) = home();
        create(&home, "alice");
        let (first, second) = (key(&home, suite, NOW), key(&home, suite, NOW));
        assert_eq!(
            first.secret.public(),
            second.secret.public(),
            "the key is kept"
        );
        let rotated = rotate(&home, "alice", KeyType::P256).unwrap();
        let third = key(&home, suite, NOW);
        assert_ne!(third.secret.public(), first.secret.public());
        assert_eq!(third.identity.change_count(), 2);
        let attested = third.attestation.verify(&rotated, NOW).unwrap();
        assert_eq!(attested, suite.purpose(third.secret.public()));
        assert!(first.attestation.verify(&rotated, NOW).is_err());
    }
}

#[test]
fn a_channel_key_is_renewed_before_its_attestation_ends() {
    for suite in Suite::ALL {
        let (_directory, home) = home();
        create(&home, "alice");
        let load = |now| key(&home, suite, now);
        let first = load(NOW);
        let ends = first.attestation.expires_at().0;
        let day = 24 * 3600;
        let early = load(UnixSeconds(ends - 31 * day));
        assert_eq!(early.secret.public(), first.secret.public());
        let renewed = load(UnixSeconds(ends - 29 * day));
        assert_ne!(renewed.secret.public(), first.secret.public());
        assert!(renewed.attestation.expires_at().0 > ends);
        // At the end of the identity's own key there is nothing better to be had: no key per call.
        let key_ends = renewed.identity.latest_change().validity().until.0;
        let late = load(UnixSeconds(key_ends - day));
        let later = load(UnixSeconds(key_ends - day + 1));
        assert_eq!(late.secret.public(), later.secret.public());
        let over = home
            .channel_keys()
            .load(None, UnixSeconds(key_ends + 1))
            .wait();
        assert!(matches!(over, Err(IdentityStoreError::Attestation(_))));
    }
}

#[test]
fn a_damaged_channel_key_is_replaced() {
    for suite in Suite::ALL {
        let (_directory, home) = home();
        create(&home, "alice");
        let load = || key(&home, suite, NOW);
        let first = load();
        sql(&home, "UPDATE purpose_keys SET secret = randomblob(32)");
        let second = load();
        assert_ne!(second.secret.public(), first.secret.public());
        sql(&home, "UPDATE purpose_keys SET attestation = x'00'");
        let third = load();
        assert_ne!(third.secret.public(), second.secret.public());
    }
}

#[test]
fn a_backup_moves_an_identity_to_another_home() {
    let ((_one, from), (_two, to)) = (home(), home());
    create(&from, "alice");
    let alice = rotate(&from, "alice", KeyType::P256).unwrap();
    let text = from.identities().back_up(None).unwrap().to_text();
    let import = |text: &str, new_name: &str| {
        let mut backup = Backup::from_text(text)?;
        backup.name = name(new_name);
        to.identities().import(backup, NOW).wait()
    };
    create(&to, "taken");
    assert!(matches!(
        import(&text, "taken"),
        Err(IdentityStoreError::NameTaken { .. })
    ));
    let imported = import(&text, "alice").unwrap();
    assert_eq!(imported.identity.export(), alice.export());
    assert!(matches!(
        import(&text, "again"),
        Err(IdentityStoreError::AlreadyHere { .. })
    ));
    assert!(matches!(
        import("nonsense", "x"),
        Err(IdentityStoreError::Backup(_))
    ));
    rotate(&to, "alice", KeyType::Ed25519).unwrap();
}

#[test]
fn an_old_copy_cannot_be_rotated_or_imported() {
    let ((_one, original), (_two, restored)) = (home(), home());
    create(&original, "alice");
    let old = original.identities().back_up(None).unwrap().to_text();
    rotate(&original, "alice", KeyType::Ed25519).unwrap();
    let newest = rotate(&original, "alice", KeyType::Ed25519).unwrap();

    // The home that was restored from the old copy learns of its later self from a peer.
    let import = |home: &Home| {
        home.identities()
            .import(Backup::from_text(&old).unwrap(), NOW)
            .wait()
    };
    import(&restored).unwrap();
    restored.histories().accept(&newest, NOW).wait().unwrap();
    let refused = rotate(&restored, "alice", KeyType::Ed25519).unwrap_err();
    assert!(
        matches!(
            refused,
            IdentityStoreError::Behind {
                ours: 1,
                known: 3,
                ..
            }
        ),
        "{refused}"
    );
    assert!(refused.hint().contains("old copy"));

    // Deleting the identity does not make the home forget.
    original.identities().delete(&name("alice")).wait().unwrap();
    let refused = import(&original).unwrap_err();
    assert!(
        matches!(refused, IdentityStoreError::Behind { .. }),
        "{refused}"
    );
}

#[test]
fn a_history_that_diverged_cannot_go_on() {
    let ((_one, home), (_two, other)) = (home(), home());
    create(&home, "alice");
    let text = home.identities().back_up(None).unwrap().to_text();
    other
        .identities()
        .import(Backup::from_text(&text).unwrap(), NOW)
        .wait()
        .unwrap();
    rotate(&home, "alice", KeyType::Ed25519).unwrap();
    let twin = rotate(&other, "alice", KeyType::Ed25519).unwrap();
    let diverged = home.histories().accept(&twin, NOW).wait().unwrap_err();
    assert!(matches!(diverged, HistoryError::Diverged { .. }));
    // Had the twin come first, the rotation would be refused.
    let (_three, third) = self::home();
    third
        .identities()
        .import(Backup::from_text(&text).unwrap(), NOW)
        .wait()
        .unwrap();
    rotate(&third, "alice", KeyType::Ed25519).unwrap();
    sql(&third, "DELETE FROM known_histories");
    third.histories().accept(&twin, NOW).wait().unwrap();
    let refused = rotate(&third, "alice", KeyType::Ed25519).unwrap_err();
    assert!(
        matches!(refused, IdentityStoreError::Diverged { .. }),
        "{refused}"
    );
}

#[test]
fn a_damaged_identity_is_named_and_does_not_hide_the_others() {
    let (_directory, home) = home();
    for text in ["alice", "bob", "carol"] {
        create(&home, text);
    }
    let other = SigningKey::from_bytes(KeyType::Ed25519, &[7; 32]).unwrap();
    sql(
        &home,
        "UPDATE identities SET secret_key = randomblob(32) WHERE name = 'alice'",
    );
    sql(
        &home,
        "UPDATE identities SET history = x'80' WHERE name = 'bob'",
    );
    for damaged in ["alice", "bob"] {
        let error = home.identities().get(Some(&name(damaged))).unwrap_err();
        assert!(
            matches!(error, IdentityStoreError::Damaged { .. }),
            "{error}"
        );
        assert!(rotate(&home, damaged, KeyType::Ed25519).is_err());
    }
    let list = home.identities().list().unwrap();
    let good: Vec<_> = list.iter().map(Result::is_ok).collect();
    assert_eq!(good, [false, false, true]);
    home.identities().delete(&name("alice")).wait().unwrap();
    drop(other);
}

#[test]
fn every_flipped_bit_is_found_or_harmless() {
    let (directory, home) = home();
    create(&home, "alice");
    let alice = rotate(&home, "alice", KeyType::P256).unwrap();
    home.channel_keys().load(None, NOW).wait().unwrap();
    let path = home.path().to_owned();
    drop(home);
    let state = path.join("state.db");
    let good = std::fs::read(&state).unwrap();
    let (mut found, mut harmless) = (0, 0);
    // A prime step visits all pages and all offsets within a page.
    for bit in (0..good.len() * 8).step_by(1021) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&state, &bad).unwrap();
        let outcome = Home::open(&path)
            .map_err(|_| ())
            .and_then(|home| home.identities().get(Some(&name("alice"))).map_err(|_| ()));
        match outcome {
            Ok(stored) => {
                assert_eq!(stored.identity.export(), alice.export(), "bit {bit}");
                harmless += 1;
            }
            Err(()) => found += 1,
        }
        for left in ["state.db-wal", "state.db-shm"] {
            drop(std::fs::remove_file(path.join(left)));
        }
    }
    println!("{found} flips found, {harmless} harmless");
    assert!(found > 10);
    drop(directory);
}

#[test]
fn a_deleted_key_is_in_no_file_of_the_home() {
    let (_directory, home) = home();
    create(&home, "bystander");
    create(&home, "alice");
    let keys = |home: &Home| {
        home.identities()
            .back_up(Some(&name("alice")))
            .unwrap()
            .key
            .to_bytes()
    };
    let old = keys(&home);
    let channel = home
        .channel_keys()
        .load(Some(&name("alice")), NOW)
        .wait()
        .unwrap();
    let channel = channel.map(|key| key.secret.to_bytes());
    let holds = |needle: &[u8]| {
        std::fs::read_dir(home.path()).unwrap().any(|entry| {
            let content = std::fs::read(entry.unwrap().path()).unwrap();
            content.windows(needle.len()).any(|window| window == needle)
        })
    };
    assert!(
        holds(old.as_slice()) && channel.iter().all(|key| holds(key.as_slice())),
        "the search finds what is there"
    );
    rotate(&home, "alice", KeyType::Ed25519).unwrap();
    let new = keys(&home);
    assert!(!holds(old.as_slice()), "the key before the rotation");
    assert!(
        !channel.iter().any(|key| holds(key.as_slice())),
        "a channel key before the rotation"
    );
    assert!(holds(new.as_slice()));
    home.identities().delete(&name("alice")).wait().unwrap();
    assert!(!holds(new.as_slice()), "the key of the deleted identity");
}

#[test]
fn a_missing_table_is_a_named_fault_and_the_rest_goes_on() {
    let (_directory, home) = home();
    create(&home, "alice");
    sql(&home, "DROP TABLE pins; DROP TABLE peers;");
    let error = home.peers().list().unwrap_err();
    assert!(matches!(error, StoreFault::Io { .. }), "{error}");
    create(&home, "bob");
}
