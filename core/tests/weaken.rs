//! The switches of the weakened build do what they say, and only once they are thrown. Each test
//! runs in a process of its own, because a switch stays thrown.
#![cfg(sealway_weaken)]
#![allow(missing_docs, clippy::unwrap_used)]

use std::process::Command;

use sealway_core::crypto::TagMismatch;
use sealway_core::weaken::{self, Check};

/// Runs the test `name` of this file alone, in a process of its own.
fn alone(name: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored"])
        .status()
        .unwrap();
    assert!(status.success());
}

macro_rules! both_backends {
    ($body:ident) => {{
        mod portable {
            use sealway_core::crypto::portable::AeadKey;
            $body!();
        }
        portable::run();
        #[cfg(feature = "aws-lc")]
        {
            mod host {
                use sealway_core::crypto::host::AeadKey;
                $body!();
            }
            host::run();
        }
    }};
}

macro_rules! without_encryption {
    () => {
        pub(super) fn run() {
            let key = AeadKey::new(&[1; 32]);
            let mut record = b"plain".to_vec();
            record.extend(key.seal_in_place(&[0; 12], b"ad", &mut record.clone()));
            assert_eq!(record, b"plain\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
            assert_eq!(key.open_in_place(&[0; 12], b"ad", &mut record), Ok(5));
            assert_eq!(&record[..5], b"plain");
        }
    };
}

macro_rules! without_tag {
    () => {
        pub(super) fn run() {
            let key = AeadKey::new(&[1; 32]);
            let mut record = b"plain".to_vec();
            let tag = key.seal_in_place(&[0; 12], b"ad", &mut record);
            assert_ne!(record, b"plain");
            record.extend(tag);
            record[0] ^= 1;
            assert_eq!(key.open_in_place(&[0; 12], b"ad", &mut record), Ok(5));
            assert_eq!(&record[..5], b"qlain");
        }
    };
}

#[test]
fn nothing_is_off_until_it_is_named() {
    assert!(!Check::ALL.into_iter().any(weaken::off));
    assert!(!weaken::set("Encryption"), "names are lower case");
    let key = sealway_core::crypto::AeadKey::new(&[1; 32]);
    let opened = key.open_in_place(&[0; 12], b"", &mut [0; 20]);
    assert_eq!(opened, Err(TagMismatch));
}

#[test]
fn named_checks_are_off_alone() {
    alone("switch_off_encryption");
    alone("switch_off_tag");
}

#[test]
#[ignore = "run in a process of its own"]
fn switch_off_encryption() {
    assert!(weaken::set("encryption"));
    assert_eq!(
        Check::ALL.map(weaken::off),
        Check::ALL.map(|check| check == Check::Encryption)
    );
    both_backends!(without_encryption);
}

#[test]
#[ignore = "run in a process of its own"]
fn switch_off_tag() {
    assert!(weaken::set("tag"));
    assert_eq!(
        Check::ALL.map(weaken::off),
        Check::ALL.map(|check| check == Check::Tag)
    );
    both_backends!(without_tag);
}
