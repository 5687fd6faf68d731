//! One direction of a channel, and an attacker who decides which records arrive, in which order,
//! how often, and altered how.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use sealway_core::Tick;
use sealway_core::channel::{
    BACKWARD_WINDOW, ChannelError, Delivery, EPOCH, FORWARD_WINDOW, InOrder, MAX_HELD, Opener,
    Sealer,
};
use sealway_core::wire::Frame;

use crate::input::Input;

/// Most records of one run.
const MAX_RECORDS: usize = 3 * FORWARD_WINDOW as usize;
/// Most steps of one run.
const MAX_STEPS: usize = 512;

struct Direction {
    opener: Opener,
    /// How many records have been sealed.
    sealed: usize,
    delivered: BTreeSet<u64>,
    highest: u64,
    now: u64,
}

/// A sealer and an opener under an attacker. What must hold:
/// * nothing is delivered twice, nothing that was not sealed, and nothing altered;
/// * every sealed record inside the windows is accepted, whatever came before it, unless too many
///   forged far jumps were tried in this second;
/// * every other one is refused.
pub fn channel(data: &[u8]) {
    let mut input = Input(data);
    let mut direction = Direction {
        opener: Opener::new(&KEY),
        sealed: 0,
        delivered: BTreeSet::new(),
        highest: 0,
        now: 0,
    };
    for _ in 0..MAX_STEPS {
        if direction.step(&mut input).is_none() {
            break;
        }
    }
}

const KEY: [u8; 32] = [7; 32];

/// All records that a run may seal. They are the same in every run, and sealed once.
fn records() -> &'static [Vec<u8>] {
    static RECORDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    RECORDS.get_or_init(|| {
        let mut sealer = Sealer::new(&KEY);
        let seal = |nonce| {
            let mut frame = Frame::from_slice(&content(nonce));
            assert_eq!(sealer.seal(&mut frame), Ok(nonce));
            frame.as_slice().to_vec()
        };
        (0..MAX_RECORDS as u64).map(seal).collect()
    })
}

/// What is sealed under `nonce`; its length varies.
fn content(nonce: u64) -> Vec<u8> {
    nonce.to_be_bytes().repeat(1 + (nonce % 5) as usize)
}

impl Direction {
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 8 {
            0 => self.seal(1 + usize::from(input.byte()?)),
            1 => self.seal(16 * (1 + usize::from(input.byte()?))),
            2 | 3 => {
                let nonce = input.index(self.sealed)?;
                self.deliver(nonce);
            }
            4 => {
                // Near the edges, where an index drawn evenly seldom falls.
                let offset = i64::from(input.byte()? as i8);
                let edges = [0, FORWARD_WINDOW, BACKWARD_WINDOW, EPOCH];
                let edge = edges[usize::from(input.byte()?) % edges.len()];
                let nonce = self
                    .highest
                    .saturating_add(edge)
                    .checked_add_signed(offset)?;
                if nonce < self.sealed as u64 {
                    self.deliver(usize::try_from(nonce).ok()?);
                }
            }
            5 => {
                let mut record = self.some_record(input)?;
                let at = input.index(record.len())?;
                record[at] ^= input.byte()?.max(1);
                self.refuse(&record);
            }
            6 => {
                let mut record = self.some_record(input)?;
                record.truncate(input.index(record.len())?);
                record.extend(input.bytes()?);
                if !records().contains(&record) {
                    self.refuse(&record);
                }
            }
            _ => self.now += u64::from(input.u16()?),
        }
        Some(())
    }

    fn seal(&mut self, count: usize) {
        self.sealed = (self.sealed + count).min(MAX_RECORDS);
    }

    /// A record that has been sealed, to be altered.
    fn some_record(&self, input: &mut Input<'_>) -> Option<Vec<u8>> {
        Some(records()[input.index(self.sealed)?].clone())
    }

    fn deliver(&mut self, index: usize) {
        let nonce = index as u64;
        let mut frame = Frame::from_slice(&records()[index]);
        let opened = self.opener.open(&mut frame, Tick(self.now));
        let inside = if nonce > self.highest {
            nonce - self.highest <= FORWARD_WINDOW
        } else {
            self.highest - nonce <= BACKWARD_WINDOW
        };
        let far = nonce / EPOCH > self.highest / EPOCH + 1;
        match opened {
            Ok(got) => {
                assert_eq!(got, nonce);
                assert_eq!(frame.as_slice(), content(nonce));
                assert!(
                    inside,
                    "{nonce} was accepted with {} the highest",
                    self.highest
                );
                assert!(self.delivered.insert(nonce), "{nonce} was accepted twice");
                self.highest = self.highest.max(nonce);
            }
            Err(ChannelError::FarJumpsPaused { .. }) if far => {}
            Err(error) => assert!(
                !inside || self.delivered.contains(&nonce),
                "{nonce} was refused with {} the highest: {error}",
                self.highest
            ),
        }
        assert_eq!(self.opener.highest_nonce(), self.highest);
    }

    fn refuse(&mut self, record: &[u8]) {
        let mut frame = Frame::from_slice(record);
        let opened = self.opener.open(&mut frame, Tick(self.now));
        assert!(
            opened.is_err(),
            "a forged record was accepted as {opened:?}"
        );
        assert_eq!(self.opener.highest_nonce(), self.highest);
    }
}

/// Delivery in order. What must hold: messages come out in the order of their nonces, each once;
/// what is not delivered was reported as a gap; no more is held than the bounds allow.
pub fn in_order(data: &[u8]) {
    const MAX_BYTES: usize = 1_000;
    let mut input = Input(data);
    let mut begun = input.byte().is_some_and(|byte| byte % 2 == 0);
    let mut order = match begun {
        true => InOrder::new(MAX_BYTES),
        false => InOrder::unordered(MAX_BYTES),
    };
    let (mut pushed, mut next, mut held) = (BTreeSet::new(), 0, 0_usize);
    while let (Some(step), Some(len)) = (input.byte(), input.byte()) {
        if step == 254 {
            order.begin();
            begun = true;
        } else if step == 255 {
            if let Some(gap) = order.lost() {
                assert_eq!(gap.first, next);
                next += gap.count;
            }
        } else {
            let nonce = next.saturating_sub(8) + u64::from(step % 64);
            if !pushed.insert(nonce) {
                continue;
            }
            assert_eq!(order.is_early(nonce), begun && nonce > next);
            match order.push(nonce, usize::from(len), nonce) {
                Delivery::Ready(message) if !begun => {
                    assert_eq!(message, nonce);
                    next = next.max(nonce + 1);
                }
                Delivery::Ready(message) => {
                    assert_eq!((message, nonce), (next, next));
                    next += 1;
                }
                Delivery::Held => held += 1,
                Delivery::Gap(gap) => {
                    held += 1;
                    assert_eq!(gap.first, next);
                    assert!(gap.count > 0);
                    assert!((gap.first..gap.first + gap.count).all(|n| !pushed.contains(&n)));
                    next += gap.count;
                }
                Delivery::Late(message) => assert!(message == nonce && nonce < next),
            }
        }
        while let Some(message) = order.pop() {
            assert_eq!(message, next);
            next += 1;
            held -= 1;
        }
        assert!(held <= MAX_HELD);
        assert_eq!(order.is_waiting(), held > 0);
    }
}
