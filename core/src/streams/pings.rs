//! The round trip under a session: the least that was ever measured, so that queues do not count as distance.

use super::error::SessionError;
use crate::Tick;

/// So many Pings follow each other at once: the first may have met a full queue, or the edge of a millisecond.
const FIRST: u64 = 4;
/// While data comes, a Ping follows the answer to the one before after this time.
const INTERVAL_MS: u64 = 1_000;

/// Pings of this end, one at a time, and the peer's last one.
#[derive(Debug)]
pub(super) struct Pings {
    is_due: bool,
    next: u64,
    asked: Option<(u64, Tick)>,
    /// The Ping that was answered last: one that was sent twice has two Pongs.
    last_pong: Option<u64>,
    answered: Tick,
    least_ms: Option<u64>,
    /// A Ping that is not answered yet. A further one takes its place: a flood of Pings makes no flood of Pongs.
    pong: Option<u64>,
}

impl Pings {
    pub(super) const fn new() -> Self {
        Self {
            is_due: true,
            next: 0,
            asked: None,
            last_pong: None,
            answered: Tick(0),
            least_ms: None,
            pong: None,
        }
    }

    pub(super) const fn least_ms(&self) -> Option<u64> {
        self.least_ms
    }

    /// Data came: distance matters.
    pub(super) fn on_data(&mut self, now: Tick) {
        let due = self.answered.0.saturating_add(INTERVAL_MS);
        self.is_due |= self.asked.is_none() && now.0 >= due;
    }

    /// Somebody wants to hear from the peer. A Ping that is under way is sent again as it is: if it was lost, what is sent behind it
    /// shows the gap.
    pub(super) const fn ask(&mut self) {
        self.is_due = true;
    }

    pub(super) const fn on_ping(&mut self, number: u64) {
        self.pong = Some(number);
    }

    pub(super) fn on_pong(&mut self, number: u64, now: Tick) -> Result<(), SessionError> {
        let Some((_, sent)) = self.asked.take_if(|(asked, _)| *asked == number) else {
            let again = self.last_pong == Some(number);
            return if again {
                Ok(())
            } else {
                Err(SessionError::UnexpectedPong { number })
            };
        };
        self.last_pong = Some(number);
        let took_ms = now.0.saturating_sub(sent.0);
        self.least_ms = Some(self.least_ms.map_or(took_ms, |least| least.min(took_ms)));
        self.answered = now;
        self.is_due |= self.next < FIRST;
        Ok(())
    }

    /// Whether a Ping or a Pong is to be sent.
    pub(super) const fn is_waiting(&self) -> bool {
        self.is_due || self.pong.is_some()
    }

    pub(super) fn take_ping(&mut self, now: Tick) -> Option<u64> {
        if !core::mem::take(&mut self.is_due) {
            return None;
        }
        if let Some((number, _)) = self.asked {
            return Some(number);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.asked = Some((number, now));
        Some(number)
    }

    pub(super) const fn take_pong(&mut self) -> Option<u64> {
        self.pong.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_again_before_the_answer_repeats_the_question_and_takes_both_answers() {
        let mut pings = Pings::new();
        for number in 0..20 {
            pings.ask();
            assert_eq!(pings.take_ping(Tick(0)), Some(number));
            assert_eq!(pings.take_ping(Tick(0)), None);
            pings.ask();
            assert_eq!(pings.take_ping(Tick(3)), Some(number));
            for _ in 0..2 {
                assert_eq!(pings.on_pong(number, Tick(5)), Ok(()));
            }
            assert_eq!(pings.least_ms(), Some(5));
            let unknown = number + 1;
            let refused = SessionError::UnexpectedPong { number: unknown };
            assert_eq!(pings.on_pong(unknown, Tick(5)), Err(refused));
        }
    }
}
