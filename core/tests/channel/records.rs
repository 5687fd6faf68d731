//! The record layer under loss, reordering, replay and forgery.

use proptest::prelude::*;
use sealway_core::Tick;
use sealway_core::channel::{
    ChannelError, FAR_TRIALS_PER_SECOND, FORWARD_WINDOW, Opener, RECORD_OVERHEAD, Sealer, Suite,
};
use sealway_core::wire::Frame;

use crate::support::{Holder, connect};

const KEY: [u8; 32] = [7; 32];

fn pair() -> (Sealer, Opener) {
    (Sealer::new(&KEY), Opener::new(&KEY))
}

fn seal(sealer: &mut Sealer) -> Frame {
    let mut frame = Frame::from_slice(&sealer.next_nonce().to_be_bytes());
    sealer.seal(&mut frame).unwrap();
    frame
}

fn seal_many(sealer: &mut Sealer, count: u64) -> Vec<Frame> {
    (0..count).map(|_| seal(sealer)).collect()
}

/// Opens a copy; what comes out must be what was sealed.
fn open(opener: &mut Opener, frame: &Frame) -> Result<u64, ChannelError> {
    open_at(opener, frame, Tick(0))
}

fn open_at(opener: &mut Opener, frame: &Frame, now: Tick) -> Result<u64, ChannelError> {
    let mut frame = frame.clone();
    let nonce = opener.open(&mut frame, now)?;
    assert_eq!(frame.as_slice(), nonce.to_be_bytes());
    Ok(nonce)
}

/// The record of `nonce` with a tag that nobody made.
fn forged(nonce: u64) -> Frame {
    let mut bytes = nonce.to_be_bytes().to_vec();
    bytes.extend([0xaa; 40]);
    Frame::from_slice(&bytes)
}

#[test]
fn both_directions_carry_messages_and_neither_accepts_its_own() {
    let (at_alice, at_bob) = connect(
        &Holder::new(Suite::Hybrid, 1),
        &Holder::new(Suite::Hybrid, 2),
    );
    let (mut alice_seals, mut alice_opens) = at_alice.session.split();
    let (mut bob_seals, mut bob_opens) = at_bob.session.split();
    for nonce in 0..100 {
        let (to_bob, to_alice) = (seal(&mut alice_seals), seal(&mut bob_seals));
        let reflected = ChannelError::Forged { nonce };
        assert_eq!(open(&mut alice_opens, &to_bob), Err(reflected));
        assert_eq!(open(&mut bob_opens, &to_alice), Err(reflected));
        assert_eq!(open(&mut bob_opens, &to_bob), Ok(nonce));
        assert_eq!(open(&mut alice_opens, &to_alice), Ok(nonce));
    }
}

#[test]
fn sealing_in_place_moves_nothing() {
    let (mut sealer, mut opener) = pair();
    for _ in 0..200 {
        let mut frame = Frame::from_slice(&[5; 4096]);
        let before = frame.as_slice().as_ptr();
        let nonce = sealer.seal(&mut frame).unwrap();
        assert_eq!(frame.len(), 4096 + RECORD_OVERHEAD);
        assert_eq!(frame.as_slice()[8..].as_ptr(), before);
        assert_eq!(frame.as_slice()[..8], nonce.to_be_bytes());
        opener.open(&mut frame, Tick(0)).unwrap();
        assert_eq!(frame.as_slice().as_ptr(), before);
        assert_eq!(frame.as_slice(), [5; 4096]);
    }
}

#[test]
fn losses_within_the_window_are_survived() {
    for lost in [1, 31, 32, 33, 63, 64, 65, 1000, 4094, 4095] {
        for before in [1, 2, 31, 32, 33, 64] {
            let (mut sealer, mut opener) = pair();
            for frame in seal_many(&mut sealer, before) {
                open(&mut opener, &frame).unwrap();
            }
            let dropped = seal_many(&mut sealer, lost);
            let next = before + lost;
            let arrived = seal(&mut sealer);
            assert_eq!(
                open(&mut opener, &arrived),
                Ok(next),
                "{lost} lost after {before}"
            );
            for frame in seal_many(&mut sealer, 100) {
                open(&mut opener, &frame).unwrap();
            }
            let stale = open(&mut opener, &dropped[0]).unwrap_err();
            assert!(matches!(stale, ChannelError::Stale { .. }), "{stale}");
        }
    }
}

#[test]
fn losses_beyond_the_window_are_refused_and_change_nothing() {
    for lost in [4096, 4097, 10_000] {
        let (mut sealer, mut opener) = pair();
        open(&mut opener, &seal(&mut sealer)).unwrap();
        let dropped = seal_many(&mut sealer, lost);
        let too_far = ChannelError::TooFarAhead {
            nonce: lost + 1,
            highest: 0,
        };
        let arrived = seal(&mut sealer);
        assert_eq!(open(&mut opener, &arrived), Err(too_far));
        // What was only late arrives, and brings the window forward.
        assert_eq!(open(&mut opener, &dropped[0]), Ok(1));
        assert_eq!(open(&mut opener, &dropped[4095]), Ok(FORWARD_WINDOW));
        if lost < 2 * FORWARD_WINDOW {
            assert_eq!(open(&mut opener, &arrived), Ok(lost + 1));
        }
    }
}

#[test]
fn messages_late_by_32_arrive_and_by_33_do_not() {
    for start in [0, 5, 31, 32, 40] {
        let (mut sealer, mut opener) = pair();
        for frame in seal_many(&mut sealer, start) {
            open(&mut opener, &frame).unwrap();
        }
        let frames = seal_many(&mut sealer, 34);
        open(&mut opener, &frames[33]).unwrap();
        for frame in frames[1..33].iter().rev() {
            open(&mut opener, frame).unwrap();
        }
        let stale = ChannelError::Stale {
            nonce: start,
            highest: start + 33,
        };
        assert_eq!(open(&mut opener, &frames[0]), Err(stale));
    }
}

#[test]
fn epoch_before_a_far_jump_is_still_readable() {
    let (mut sealer, mut opener) = pair();
    let frames = seal_many(&mut sealer, 3_000);
    open(&mut opener, &frames[0]).unwrap();
    open(&mut opener, &frames[2_048]).unwrap();
    for nonce in (2_016..2_048).rev() {
        assert_eq!(open(&mut opener, &frames[nonce]), Ok(nonce as u64));
    }
}

#[test]
pub(crate) fn replayed_message_is_refused() {
    let (mut sealer, mut opener) = pair();
    let frames = seal_many(&mut sealer, 200);
    for (nonce, frame) in frames.iter().enumerate() {
        let nonce = nonce as u64;
        assert_eq!(open(&mut opener, frame), Ok(nonce));
        for earlier in 0..=nonce {
            let again = open(&mut opener, &frames[usize::try_from(earlier).unwrap()]);
            let expected = match nonce - earlier {
                0..=32 => ChannelError::Replayed { nonce: earlier },
                _ => ChannelError::Stale {
                    nonce: earlier,
                    highest: nonce,
                },
            };
            assert_eq!(again, Err(expected));
        }
    }
}

#[test]
pub(crate) fn altered_record_is_refused_and_the_real_one_still_opens() {
    let (mut sealer, mut opener) = pair();
    for frame in seal_many(&mut sealer, 31) {
        open(&mut opener, &frame).unwrap();
    }
    // Crosses the boundary of an epoch.
    for _ in 31..34 {
        let frame = seal(&mut sealer);
        for bit in 0..frame.len() * 8 {
            let mut altered = frame.clone();
            altered.as_mut_slice()[bit / 8] ^= 1 << (bit % 8);
            let now = Tick(bit as u64 * 20);
            assert!(open_at(&mut opener, &altered, now).is_err(), "bit {bit}");
        }
        for len in 0..frame.len() {
            let mut cut = frame.clone();
            cut.truncate(len);
            assert!(open(&mut opener, &cut).is_err(), "cut to {len}");
        }
        let mut longer = frame.clone();
        longer.append(&[0]);
        assert!(open(&mut opener, &longer).is_err());
        assert_eq!(open(&mut opener, &frame), Ok(sealer.next_nonce() - 1));
    }
}

#[test]
fn far_jumps_pause_after_64_forgeries_in_a_second() {
    let (mut sealer, mut opener) = pair();
    let genuine = seal_many(&mut sealer, 200);
    open(&mut opener, &genuine[0]).unwrap();
    let start = Tick(5_000);
    for trial in 0..u64::from(FAR_TRIALS_PER_SECOND) {
        let nonce = FORWARD_WINDOW - trial;
        let refused = open_at(&mut opener, &forged(nonce), start);
        assert_eq!(refused, Err(ChannelError::Forged { nonce }));
    }
    let end = Tick(start.0 + 999);
    let paused = ChannelError::FarJumpsPaused { nonce: 150 };
    assert_eq!(open_at(&mut opener, &genuine[150], end), Err(paused));
    // What needs no far jump goes on: this epoch, and the next.
    assert_eq!(open_at(&mut opener, &genuine[1], end), Ok(1));
    assert_eq!(open_at(&mut opener, &genuine[40], end), Ok(40));
    // The next second tries again.
    let next = Tick(start.0 + 1_000);
    assert_eq!(open_at(&mut opener, &genuine[150], next), Ok(150));
}

#[test]
fn forgeries_do_not_spoil_the_keys_ahead() {
    let (mut sealer, mut opener) = pair();
    let genuine = seal_many(&mut sealer, 4_000);
    open(&mut opener, &genuine[0]).unwrap();
    for nonce in [3_000, 100, 2_999, 40, 3_500, 3_500, 33] {
        assert!(open(&mut opener, &forged(nonce)).is_err());
    }
    for nonce in [50, 70, 1_000, 999, 3_999] {
        assert!(open(&mut opener, &forged(nonce as u64 + 64)).is_err());
        assert_eq!(open(&mut opener, &genuine[nonce]), Ok(nonce as u64));
    }
}

#[test]
fn rekey_nonce_is_never_accepted() {
    let (_, mut opener) = pair();
    let refused = open(&mut opener, &forged(u64::MAX));
    assert_eq!(refused, Err(ChannelError::Exhausted));
}

/// An order in which no message is overtaken by one that is more than 32 ahead of it.
fn order_within_the_window() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0_usize..=32, 1..300).prop_map(|delays| {
        let mut order: Vec<usize> = (0..delays.len()).collect();
        order.sort_by_key(|&index| index + delays[index]);
        order
    })
}

proptest! {
    #[test]
    fn any_order_within_the_window_delivers_each_message_once(
        order in order_within_the_window(),
        replays in proptest::collection::vec(any::<prop::sample::Index>(), 300),
    ) {
        let (mut sealer, mut opener) = pair();
        let frames = seal_many(&mut sealer, order.len() as u64);
        for (arrived, (&index, replay)) in order.iter().zip(replays).enumerate() {
            prop_assert_eq!(open(&mut opener, &frames[index]), Ok(index as u64));
            let again = order[replay.index(arrived + 1)];
            prop_assert!(open(&mut opener, &frames[again]).is_err());
        }
    }

    #[test]
    fn any_order_with_losses_delivers_each_message_at_most_once(
        nonces in proptest::collection::vec(0_usize..6_000, 1..400),
    ) {
        let (mut sealer, mut opener) = pair();
        let frames = seal_many(&mut sealer, 6_000);
        let mut delivered = vec![false; frames.len()];
        let mut highest = 0_usize;
        for nonce in nonces {
            let accepted = open(&mut opener, &frames[nonce]).is_ok();
            let in_window = nonce <= highest + 4_096 && highest <= nonce + 32;
            prop_assert_eq!(accepted, in_window && !delivered[nonce]);
            if accepted {
                delivered[nonce] = true;
                highest = highest.max(nonce);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let (_, mut opener) = pair();
        prop_assert!(opener.open(&mut Frame::from_slice(&bytes), Tick(0)).is_err());
    }
}
