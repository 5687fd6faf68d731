//! The record layer: implicit rekey, replay window, forward window (reference, section 4.5).
//!
//! ```text
//! record = nonce (8, big-endian) || ciphertext (n) || tag (16)      AES-256-GCM, no associated data
//! ```
//!
//! Each direction counts its own nonces from 0. An *epoch* is 32 messages; its key is Noise's
//! `REKEY` of the epoch before. Nothing announces a rekey, so the receiver derives the key of the
//! nonce it reads, on a copy, and commits only if the tag verifies.

use alloc::boxed::Box;
use core::{fmt, mem};

use zeroize::Zeroizing;

use super::ChannelError;
use crate::Tick;
use crate::crypto::AeadKey;
use crate::noise::{TAG_LEN, Transport, nonce};
use crate::wire::Frame;

/// Bytes of the nonce in front of the ciphertext.
pub const NONCE_LEN: usize = 8;
/// Bytes a record is longer than its plaintext: nonce and tag.
pub const RECORD_OVERHEAD: usize = NONCE_LEN + TAG_LEN;
/// Messages that share one key (reference, section 4.5).
pub const EPOCH: u64 = 32;
/// How far behind the highest accepted nonce a message may still come.
pub const BACKWARD_WINDOW: u64 = 32;
/// How far ahead of the highest accepted nonce a message may come. The reference reaches 32; 128
/// rekeys more cost a forger's victim some 40 us and let a channel survive a loss of 4,095 messages.
pub const FORWARD_WINDOW: u64 = 1 << 12;
/// Failed trials beyond the next epoch that one second may hold before far jumps are refused.
pub const FAR_TRIALS_PER_SECOND: u8 = 64;
/// The last nonce a message may have: 2^64 - 1 is `REKEY`'s own.
pub const LAST_NONCE: u64 = u64::MAX - 1;

/// Noise's `REKEY`: the key of the next epoch (Noise rev 34, 4.2).
fn rekey(key: &AeadKey) -> RawKey {
    let mut next = Zeroizing::new([0; 32]);
    // The tag is no part of the new key.
    let _ = key.seal_in_place(&nonce(u64::MAX), &[], next.as_mut_slice());
    next
}

/// A key that is not set up: 32 bytes in place of some 550.
type RawKey = Zeroizing<[u8; 32]>;

/// Both directions of an open channel.
pub struct Session {
    sealer: Sealer,
    opener: Opener,
}

impl Session {
    /// A session with the keys of a finished handshake. Which of Noise's two keys belongs to which
    /// direction was decided there ([`crate::noise::KeyOrder`]).
    pub(crate) fn new(keys: &Transport) -> Self {
        Self {
            sealer: Sealer::new(&keys.send),
            opener: Opener::new(&keys.receive),
        }
    }

    /// The two directions, one for each task: they share nothing, so no lock is needed.
    #[must_use]
    pub fn split(self) -> (Sealer, Opener) {
        (self.sealer, self.opener)
    }
}

/// Encrypts one direction of a channel.
pub struct Sealer {
    key: AeadKey,
    next: u64,
}

impl Sealer {
    /// A direction that starts at nonce 0 with `key`. The key must be fresh: the same one twice is
    /// the same nonce twice. Channels get theirs from the handshake.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: AeadKey::new(key),
            next: 0,
        }
    }

    /// The nonce that the next message will have, which is the number of messages sealed.
    #[must_use]
    pub const fn next_nonce(&self) -> u64 {
        self.next
    }

    /// Encrypts the content of `frame` in place and returns its nonce.
    ///
    /// The content grows by [`RECORD_OVERHEAD`]: 8 bytes to the left, 16 to the right. Nothing is
    /// allocated while the frame has that room.
    ///
    /// # Errors
    /// [`ChannelError::Exhausted`] after the nonce 2^64 - 2; the frame is then untouched.
    pub fn seal(&mut self, frame: &mut Frame) -> Result<u64, ChannelError> {
        let n = self.next;
        if n > LAST_NONCE {
            return Err(ChannelError::Exhausted);
        }
        if n != 0 && n.is_multiple_of(EPOCH) {
            self.key = AeadKey::new(&rekey(&self.key));
        }
        let tag = self.key.seal_in_place(&nonce(n), &[], frame.as_mut_slice());
        frame.append(&tag);
        frame.prepend(NONCE_LEN).copy_from_slice(&n.to_be_bytes());
        self.next = n + 1;
        Ok(n)
    }
}

/// Decrypts one direction of a channel, in any order within its window, each message once.
pub struct Opener {
    window: ReplayWindow,
    /// Epoch of `current`, always that of the highest accepted nonce.
    epoch: u64,
    current: AeadKey,
    current_raw: RawKey,
    /// Not set up, because it is seldom asked for, and for 32 messages after a rekey only.
    previous: Option<RawKey>,
    /// The keys of the last epoch that was tried and failed.
    ahead: Option<Box<Ahead>>,
    far_trials: FarTrials,
    #[cfg(sealway_weaken)]
    retired: alloc::collections::BTreeMap<u64, RawKey>,
}

/// Keys of an epoch after the current one, not yet committed.
struct Ahead {
    epoch: u64,
    key: AeadKey,
    raw: RawKey,
    /// Key of the epoch before `epoch`, unless that is the opener's current one.
    before: Option<RawKey>,
}

impl Opener {
    /// A direction that starts at nonce 0 with `key`. Channels get theirs from the handshake.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            window: ReplayWindow::default(),
            epoch: 0,
            current: AeadKey::new(key),
            current_raw: Zeroizing::new(*key),
            previous: None,
            ahead: None,
            far_trials: FarTrials::default(),
            #[cfg(sealway_weaken)]
            retired: alloc::collections::BTreeMap::new(),
        }
    }

    /// Decrypts the record in `frame` in place and returns its nonce; the content is then the
    /// plaintext.
    ///
    /// `now` is the caller's monotonic clock: it bounds how many forged far jumps cost work.
    ///
    /// # Errors
    /// [`ChannelError::Truncated`], [`ChannelError::Replayed`], [`ChannelError::Stale`],
    /// [`ChannelError::TooFarAhead`], [`ChannelError::FarJumpsPaused`], [`ChannelError::Forged`],
    /// [`ChannelError::Exhausted`]. No error changes what will be accepted later; the content of
    /// the frame is then undefined, and the frame is to be dropped.
    pub fn open(&mut self, frame: &mut Frame, now: Tick) -> Result<u64, ChannelError> {
        let got = frame.len();
        let n = match frame.as_slice().split_first_chunk::<NONCE_LEN>() {
            Some((nonce, rest)) if rest.len() >= TAG_LEN => u64::from_be_bytes(*nonce),
            _ => return Err(ChannelError::Truncated { got }),
        };
        self.window.check(n)?;
        let epoch = n / EPOCH;
        let record = frame
            .as_mut_slice()
            .get_mut(NONCE_LEN..)
            .unwrap_or_default();
        let len = if epoch == self.epoch {
            open_record(&self.current, n, record)?
        } else if epoch < self.epoch {
            let key = self.past_key(epoch).ok_or(ChannelError::Stale {
                nonce: n,
                highest: self.window.highest,
            })?;
            open_record(&AeadKey::new(key), n, record)?
        } else {
            self.open_ahead(epoch, n, record, now)?
        };
        self.window.mark(n);
        frame.advance(NONCE_LEN);
        frame.truncate(len);
        Ok(n)
    }

    /// The highest nonce accepted so far (0 also before the first).
    #[must_use]
    pub const fn highest_nonce(&self) -> u64 {
        self.window.highest
    }

    fn past_key(&self, epoch: u64) -> Option<&RawKey> {
        match self.epoch - epoch {
            1 => self.previous.as_ref(),
            #[cfg(sealway_weaken)]
            _ => self.retired.get(&epoch),
            #[cfg(not(sealway_weaken))]
            _ => None,
        }
    }

    /// Tries a record of an epoch after the current one, and moves there if the tag verifies.
    fn open_ahead(
        &mut self,
        epoch: u64,
        n: u64,
        record: &mut [u8],
        now: Tick,
    ) -> Result<usize, ChannelError> {
        let far = epoch - self.epoch > 1;
        if far && self.far_trials.spent(now) {
            return Err(ChannelError::FarJumpsPaused { nonce: n });
        }
        let ahead = self.derive(epoch);
        match open_record(&ahead.key, n, record) {
            Ok(len) => {
                self.commit(ahead);
                Ok(len)
            }
            Err(error) => {
                if far {
                    self.far_trials.count(now);
                }
                self.ahead = Some(Box::new(ahead));
                Err(error)
            }
        }
    }

    /// The keys of `epoch`, from the cached ones if they lie on the way. The committed state stays.
    fn derive(&mut self, epoch: u64) -> Ahead {
        let mut ahead = match self.ahead.take() {
            Some(cached) if cached.epoch <= epoch => *cached,
            _ => {
                let raw = rekey(&self.current);
                Ahead {
                    epoch: self.epoch + 1,
                    key: AeadKey::new(&raw),
                    raw,
                    before: None,
                }
            }
        };
        while ahead.epoch < epoch {
            let next = rekey(&ahead.key);
            ahead.key = AeadKey::new(&next);
            ahead.before = Some(mem::replace(&mut ahead.raw, next));
            ahead.epoch += 1;
        }
        ahead
    }

    fn commit(&mut self, ahead: Ahead) {
        self.current = ahead.key;
        let left = mem::replace(&mut self.current_raw, ahead.raw);
        let previous = ahead.before.unwrap_or(left);
        let replaced = self.previous.replace(previous);
        #[cfg(sealway_weaken)]
        if let (Some(key), Some(epoch)) = (replaced, self.epoch.checked_sub(1)) {
            self.retired.insert(epoch, key);
        }
        #[cfg(not(sealway_weaken))]
        drop(replaced);
        self.epoch = ahead.epoch;
    }
}

fn open_record(key: &AeadKey, n: u64, record: &mut [u8]) -> Result<usize, ChannelError> {
    key.open_in_place(&nonce(n), &[], record)
        .map_err(|_| ChannelError::Forged { nonce: n })
}

/// Which nonces were seen: the highest, and a bit for each of the 32 behind it.
#[derive(Clone, Copy, Default)]
struct ReplayWindow {
    highest: u64,
    /// Bit i stands for `highest - i`.
    seen: u64,
}

impl ReplayWindow {
    fn check(&self, n: u64) -> Result<(), ChannelError> {
        let highest = self.highest;
        if n > LAST_NONCE {
            return Err(ChannelError::Exhausted);
        }
        if let Some(ahead) = n.checked_sub(highest).filter(|ahead| *ahead > 0) {
            if ahead > FORWARD_WINDOW {
                return Err(ChannelError::TooFarAhead { nonce: n, highest });
            }
            return Ok(());
        }
        #[cfg(sealway_weaken)]
        if crate::weaken::off(crate::weaken::Check::ReplayWindow) {
            return Ok(());
        }
        let behind = highest - n;
        if behind > BACKWARD_WINDOW {
            return Err(ChannelError::Stale { nonce: n, highest });
        }
        if self.seen >> behind & 1 == 1 {
            return Err(ChannelError::Replayed { nonce: n });
        }
        Ok(())
    }

    fn mark(&mut self, n: u64) {
        if n > self.highest {
            let by = n - self.highest;
            self.seen = if by < 64 { self.seen << by } else { 0 };
            self.highest = n;
        }
        let behind = self.highest - n;
        if behind < 64 {
            self.seen |= 1 << behind;
        }
    }
}

/// Failed far trials of the running second.
#[derive(Clone, Copy, Default)]
struct FarTrials {
    second_began: Tick,
    failed: u8,
}

impl FarTrials {
    const SECOND_MS: u64 = 1_000;

    fn spent(&self, now: Tick) -> bool {
        self.failed >= FAR_TRIALS_PER_SECOND && !self.over(now)
    }

    fn count(&mut self, now: Tick) {
        if self.failed == 0 || self.over(now) {
            *self = Self {
                second_began: now,
                failed: 0,
            };
        }
        self.failed = self.failed.saturating_add(1);
    }

    const fn over(&self, now: Tick) -> bool {
        now.0.saturating_sub(self.second_began.0) >= Self::SECOND_MS
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer(next: {}, ..)", self.next)
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opener(highest: {}, ..)", self.window.highest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair_at(next: u64) -> (Sealer, Opener) {
        let mut sealer = Sealer::new(&[1; 32]);
        sealer.next = next;
        let mut opener = Opener::new(&[1; 32]);
        opener.epoch = next / EPOCH;
        opener.window.highest = next;
        (sealer, opener)
    }

    #[test]
    fn nonces_end_before_they_repeat() {
        let (mut sealer, mut opener) = pair_at(LAST_NONCE - 5);
        for n in LAST_NONCE - 5..=LAST_NONCE {
            let mut frame = Frame::from_slice(b"hello");
            assert_eq!(sealer.seal(&mut frame), Ok(n));
            assert_eq!(opener.open(&mut frame, Tick(0)), Ok(n));
        }
        let mut frame = Frame::from_slice(b"hello");
        for _ in 0..3 {
            assert_eq!(sealer.seal(&mut frame), Err(ChannelError::Exhausted));
            assert_eq!(frame.as_slice(), b"hello", "nothing was encrypted");
        }
        let mut forged = Frame::from_slice(&[0xff; 40]);
        assert_eq!(
            opener.open(&mut forged, Tick(0)),
            Err(ChannelError::Exhausted)
        );
    }

    #[test]
    fn records_carry_the_noise_nonce_and_no_associated_data() {
        let mut frame = Frame::from_slice(b"hello");
        Sealer::new(&[1; 32]).seal(&mut frame).unwrap();
        let (n, record) = frame.as_mut_slice().split_at_mut(NONCE_LEN);
        assert_eq!(n, [0; 8]);
        assert_eq!(
            AeadKey::new(&[1; 32]).open_in_place(&[0; 12], &[], record),
            Ok(5)
        );
    }
}
