//! How much a receiver takes: absolute limits, grown from minimum RTT and rate (compare RFC 9000, 4.1 and 4.2).

use crate::Tick;

/// A rate is measured over this time at least: shorter ones see single chunks, and the clock's milliseconds.
const EPOCH_MS: u64 = 10;

/// Windows hold this many times what a round trip carries: one on its way, one being credited (half a window is used up
/// before a credit is sent), and one to find out in that there is more to be had.
const GROWTH: u64 = 3;

/// What one direction of a stream, or all streams together, may send to us.
#[derive(Debug)]
pub(super) struct Window {
    received: u64,
    consumed: u64,
    /// What the peer was told.
    limit: u64,
    /// What the rate asks for.
    size: u64,
    /// What it holds at least for now.
    least: u64,
    smallest: u64,
    /// Added to what is held unconsumed: room for others beside what stands still.
    spare: u64,
    /// When the bytes in `counted` began to be consumed.
    since: Option<Tick>,
    counted: u64,
}

impl Window {
    /// A window of `smallest` bytes that the peer knows of.
    pub(super) const fn new(smallest: u64, spare: u64) -> Self {
        Self {
            received: 0,
            consumed: 0,
            limit: smallest,
            size: smallest,
            least: smallest,
            smallest,
            spare,
            since: None,
            counted: 0,
        }
    }

    pub(super) const fn received(&self) -> u64 {
        self.received
    }

    pub(super) const fn consumed(&self) -> u64 {
        self.consumed
    }

    pub(super) const fn limit(&self) -> u64 {
        self.limit
    }

    /// Bytes that came and were not consumed.
    pub(super) const fn held(&self) -> u64 {
        self.received.saturating_sub(self.consumed)
    }

    /// From now on the peer may send so much at least, whatever round trip and rate ask for.
    pub(super) const fn set_least(&mut self, least: u64) {
        self.least = least;
    }

    /// Takes `len` bytes; gives where they would end if that is beyond the limit.
    pub(super) fn receive(&mut self, len: usize) -> Result<(), u64> {
        let end = self.received.saturating_add(len as u64);
        if end > self.limit {
            return Err(end);
        }
        self.received = end;
        Ok(())
    }

    /// `len` bytes need no memory any more; gives how many of them were held.
    pub(super) fn consume(&mut self, len: u64, rtt_ms: Option<u64>, cap: u64, now: Tick) -> u64 {
        let len = len.min(self.held());
        self.consumed += len;
        let since = *self.since.get_or_insert(now);
        self.counted = self.counted.saturating_add(len);
        let elapsed = now.0.saturating_sub(since.0);
        let Some(rtt_ms) = rtt_ms else { return len };
        if elapsed >= rtt_ms.max(EPOCH_MS) {
            let counted = u128::from(self.counted) * u128::from(rtt_ms.saturating_mul(GROWTH));
            let wanted = u64::try_from(counted / u128::from(elapsed)).unwrap_or(u64::MAX);
            // Data comes in bursts while the window is small, and an epoch may have met a gap: up at once, down slowly.
            let wanted = wanted.max(self.size - self.size / 8);
            self.size = wanted.clamp(self.smallest, cap.max(self.smallest));
            self.since = None;
            self.counted = 0;
        }
        len
    }

    /// What the peer may send beyond what was consumed.
    pub(super) fn target(&self, cap: u64) -> u64 {
        let beside = if self.spare == 0 {
            0
        } else {
            self.held().saturating_add(self.spare)
        };
        self.size
            .max(self.least)
            .max(beside)
            .min(cap.max(self.smallest))
    }

    fn raise(&self, cap: u64) -> u64 {
        let limit = self.consumed.saturating_add(self.target(cap));
        limit.saturating_sub(self.limit)
    }

    const fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.received)
    }

    /// Whether a credit is worth a frame: it doubles what the peer has left, and is no crumb.
    pub(super) fn is_due(&self, cap: u64) -> bool {
        let raise = self.raise(cap);
        raise >= self.step(cap) && raise >= self.remaining()
    }

    /// Whether the peer can hardly send, and there is nothing to give it.
    pub(super) fn is_exhausted(&self, cap: u64) -> bool {
        self.remaining() < self.step(cap) && !self.is_due(cap)
    }

    fn step(&self, cap: u64) -> u64 {
        (self.target(cap) / 16).max(1)
    }

    /// Raises the limit; gives it.
    pub(super) fn grant(&mut self, cap: u64) -> u64 {
        self.limit = self.limit.saturating_add(self.raise(cap));
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    fn flow(window: &mut Window, rtt_ms: Option<u64>, cap: u64, ms: u64, per_ms: usize) {
        for now in 0..ms {
            window.limit = u64::MAX / 2;
            window.receive(per_ms).unwrap();
            window.consume(per_ms as u64, rtt_ms, cap, Tick(now));
        }
    }

    #[test]
    fn the_window_is_three_times_what_a_round_trip_carries() {
        let mut window = Window::new(256 * KIB, 0);
        flow(&mut window, Some(50), 1 << 40, 1_000, 100 << 10);
        let carried = 50 * 100 * KIB;
        let target = window.target(1 << 40);
        assert!(
            (3 * carried..=3 * carried + 400 * KIB).contains(&target),
            "{target}"
        );
    }

    #[test]
    fn the_window_stays_small_without_a_round_trip_and_ends_at_its_cap() {
        for (rtt, expected) in [(None, 256), (Some(0), 256), (Some(1_000), 4_096)] {
            let mut window = Window::new(256 * KIB, 0);
            flow(&mut window, rtt, 4_096 * KIB, 3_000, 100 << 10);
            assert_eq!(window.target(4_096 * KIB), expected * KIB);
        }
    }

    #[test]
    fn a_slow_consumer_gives_its_window_back() {
        let mut window = Window::new(256 * KIB, 0);
        flow(&mut window, Some(50), 1 << 40, 1_000, 100 << 10);
        flow(&mut window, Some(50), 1 << 40, 3_000, 1 << 10);
        assert_eq!(window.target(1 << 40), 256 * KIB);
    }

    #[test]
    fn credits_come_in_steps_and_never_back() {
        let mut window = Window::new(256 * KIB, 0);
        let (mut credits, mut before) = (0, window.limit());
        for _ in 0..64 {
            window.receive(64 << 10).unwrap();
            window.consume(64 * KIB, None, 1 << 40, Tick(0));
            if window.is_due(1 << 40) {
                let limit = window.grant(1 << 40);
                assert!(limit > before);
                (credits, before) = (credits + 1, limit);
            }
        }
        assert_eq!(credits, 32, "one for each half of the window");
    }

    #[test]
    fn what_stands_still_leaves_room_up_to_the_cap() {
        let (base, cap) = (1_024 * KIB, 4_096 * KIB);
        let mut window = Window::new(base, base);
        let mut held = 0;
        while window.receive(16 << 10).is_ok() {
            held += 16 * KIB;
            if window.is_due(cap) {
                window.grant(cap);
            }
        }
        assert_eq!(held, cap);
        assert!(window.is_exhausted(cap));
        window.consume(cap / 16, None, cap, Tick(0));
        assert!(window.is_due(cap) && !window.is_exhausted(cap));
    }
}
