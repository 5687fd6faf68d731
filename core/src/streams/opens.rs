//! How many streams a peer may open: a total that rises as streams end, so that opening and resetting gains nothing
//! (the lesson of CVE-2023-44487; compare RFC 9000, 4.6).

use super::error::SessionError;
use super::frame::StreamId;
use crate::Tick;

/// Streams of a peer that may end unanswered before their places are given back slowly.
const UNANSWERED: u64 = 256;
/// So often places that were held back are given back, `UNANSWERED / 10` at a time.
const HELD_BACK_MS: u64 = 100;

/// What the peer has opened and may open.
#[derive(Debug)]
pub(super) struct PeerOpens {
    highest: Option<StreamId>,
    opened: u64,
    /// What the peer was told.
    announced: u64,
    allowed: u64,
    /// Credits are announced when they amount to this.
    step: u64,
    /// Places of streams that ended unanswered, not given back yet.
    held_back: u64,
    tokens: u64,
    refilled: Tick,
}

impl PeerOpens {
    pub(super) const fn new(announced: u64, allowed: u64, now: Tick) -> Self {
        let step = allowed / 4;
        Self {
            highest: None,
            opened: 0,
            announced,
            allowed,
            step: if step == 0 { 1 } else { step },
            held_back: 0,
            tokens: UNANSWERED,
            refilled: now,
        }
    }

    /// The peer opens `stream`.
    pub(super) fn receive(&mut self, stream: StreamId) -> Result<(), SessionError> {
        if let Some(highest) = self.highest.filter(|highest| stream <= *highest) {
            return Err(SessionError::IdReused { stream, highest });
        }
        if self.announced == 0 {
            return Err(SessionError::Unasked { stream });
        }
        let got = self.opened.saturating_add(1);
        if got > self.announced {
            let limit = self.announced;
            return Err(SessionError::TooManyStreams { got, limit });
        }
        self.opened = got;
        self.highest = Some(stream);
        Ok(())
    }

    /// Whether the peer has ever opened `stream`, or passed it over.
    pub(super) fn has_passed(&self, stream: StreamId) -> bool {
        self.highest.is_some_and(|highest| stream <= highest)
    }

    /// The peer may have `count` streams more at a time.
    pub(super) fn allow(&mut self, count: u64) {
        self.allowed = self.allowed.saturating_add(count);
        self.step = 1;
    }

    /// A stream of the peer's has ended and binds nothing any more.
    pub(super) fn ended(&mut self, was_accepted: bool, now: Tick) {
        if !was_accepted {
            self.refill(now);
            if self.tokens == 0 {
                self.held_back += 1;
                return;
            }
            self.tokens -= 1;
        }
        self.allowed = self.allowed.saturating_add(1);
    }

    /// When places that are held back are due.
    pub(super) fn deadline(&self) -> Option<Tick> {
        let due = Tick(self.refilled.0.saturating_add(HELD_BACK_MS));
        (self.held_back > 0).then_some(due)
    }

    pub(super) fn on_deadline(&mut self, now: Tick) {
        if self.held_back > 0 {
            self.refill(now);
            let returned = self.held_back.min(self.tokens);
            self.held_back -= returned;
            self.tokens -= returned;
            self.allowed = self.allowed.saturating_add(returned);
        }
    }

    fn refill(&mut self, now: Tick) {
        let periods = now.0.saturating_sub(self.refilled.0) / HELD_BACK_MS;
        if periods > 0 {
            let more = periods.saturating_mul(UNANSWERED / 10);
            self.tokens = self.tokens.saturating_add(more).min(UNANSWERED);
            self.refilled = Tick(self.refilled.0.saturating_add(periods * HELD_BACK_MS));
        }
    }

    /// Whether a credit is worth a frame: a quarter of the places, or as many as the peer has left.
    pub(super) const fn is_due(&self) -> bool {
        let raise = self.allowed.saturating_sub(self.announced);
        let left = self.announced.saturating_sub(self.opened);
        raise >= self.step || (raise > 0 && raise >= left)
    }

    /// Tells the peer what it may; gives the total.
    pub(super) const fn announce(&mut self) -> u64 {
        self.announced = self.allowed;
        self.announced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_unanswered_streams_come_back_slowly() {
        let mut opens = PeerOpens::new(64, 1_024, Tick(0));
        assert_eq!(opens.announce(), 1_024);
        for id in 0..1_024 {
            opens.receive(StreamId(2 * id)).unwrap();
            opens.ended(false, Tick(0));
        }
        assert_eq!(opens.announce(), 1_024 + 256);
        assert_eq!(opens.deadline(), Some(Tick(100)));
        opens.on_deadline(Tick(1_000));
        assert_eq!(opens.announce(), 1_024 + 256 + 250);
        for second in 2..10 {
            opens.on_deadline(Tick(second * 1_000));
        }
        assert_eq!((opens.announce(), opens.deadline()), (2_048, None));
    }

    #[test]
    fn places_of_accepted_streams_come_back_at_once() {
        let mut opens = PeerOpens::new(64, 1_024, Tick(0));
        opens.announce();
        for id in 0..10_000 {
            opens.receive(StreamId(2 * id)).unwrap();
            opens.ended(true, Tick(0));
            if opens.is_due() {
                opens.announce();
            }
        }
    }
}
