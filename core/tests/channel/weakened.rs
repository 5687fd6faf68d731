//! Negative controls: with a check switched off, the test that holds it must fail. Each control
//! runs in a process of its own, because a switch stays thrown.

use std::panic::{UnwindSafe, catch_unwind};
use std::process::Command;

use sealway_core::Tick;
use sealway_core::channel::{Opener, Sealer};
use sealway_core::wire::Frame;

use crate::{attacks, records};

fn alone(name: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored"])
        .status()
        .unwrap();
    assert!(status.success(), "{name}");
}

/// The promise is kept, and broken once `check` is off.
fn control(check: &str, promise: impl Fn() + UnwindSafe + Copy) {
    promise();
    assert!(sealway_core::weaken::set(check));
    assert!(catch_unwind(promise).is_err(), "the test cannot fail");
}

#[test]
fn tests_fail_without_the_checks_they_hold() {
    alone("weakened::replay_window");
    alone("weakened::old_records");
    alone("weakened::trust");
    alone("weakened::tag");
}

#[test]
#[ignore = "run in a process of its own"]
fn replay_window() {
    control("replay_window", records::replayed_message_is_refused);
}

/// A recording from many epochs ago is accepted too, so that whoever replays need not hurry.
#[test]
#[ignore = "run in a process of its own"]
fn old_records() {
    control("replay_window", || {
        let (mut sealer, mut opener) = (Sealer::new(&[1; 32]), Opener::new(&[1; 32]));
        let recorded: Vec<Frame> = (0..500)
            .map(|_| {
                let mut frame = Frame::from_slice(b"order");
                sealer.seal(&mut frame).unwrap();
                opener.open(&mut frame.clone(), Tick(0)).unwrap();
                frame
            })
            .collect();
        for mut frame in recorded {
            assert!(opener.open(&mut frame, Tick(0)).is_err());
        }
    });
    let (mut sealer, mut opener) = (Sealer::new(&[1; 32]), Opener::new(&[1; 32]));
    let mut first = Frame::from_slice(b"order");
    sealer.seal(&mut first).unwrap();
    for _ in 0..500 {
        let mut frame = Frame::from_slice(b"order");
        sealer.seal(&mut frame).unwrap();
        opener.open(&mut frame, Tick(0)).unwrap();
    }
    for _ in 0..3 {
        assert_eq!(opener.open(&mut first.clone(), Tick(0)), Ok(0));
    }
}

#[test]
#[ignore = "run in a process of its own"]
fn trust() {
    control(
        "trust",
        attacks::stranger_is_refused_before_its_signatures_are_verified,
    );
}

#[test]
#[ignore = "run in a process of its own"]
fn tag() {
    control(
        "tag",
        records::altered_record_is_refused_and_the_real_one_still_opens,
    );
}
