//! Delivery in nonce order, for what a channel carries that cannot bear reordering.
//!
//! The record layer delivers each message once but in the order of arrival. The reference's portals
//! have no counters (reference, section 7.2), so channels that carry them put this behind the
//! opener: a hole that does not close in time is reported, never skipped in silence.
//!
//! A channel that accepts portals learns that it carries one only when a Ping arrives. On a path that reorders, later
//! messages may have come before that Ping, and earlier ones may come after it. So the order begins behind the highest
//! nonce that has come by then, whatever the Ping's own: what the portal's client sends, the peer seals after it has
//! read our Pong, hence behind everything that we had when we sent it.

use alloc::collections::BTreeMap;

/// Messages held behind a gap at most.
pub const MAX_HELD: usize = 32;

/// Puts messages back into the order of their nonces.
///
/// Every opened message of the channel is pushed, control messages too: they are part of the count.
/// At most [`MAX_HELD`] messages and `max_bytes` bytes are held; at the bound the gap before the
/// first held message is declared lost.
#[derive(Debug)]
pub struct InOrder<T> {
    /// The nonce that is due. Before the order begins: the one behind the highest that has come.
    next: u64,
    begun: bool,
    held: BTreeMap<u64, (T, usize)>,
    held_bytes: usize,
    max_bytes: usize,
}

/// What became of a pushed message.
#[derive(Debug, PartialEq, Eq)]
pub enum Delivery<T> {
    /// It was the next one, or there is no order yet. [`InOrder::pop`] may now have more.
    Ready(T),
    /// It waits for an earlier one.
    Held,
    /// It was kept, and the messages before the first held one were given up.
    /// [`InOrder::pop`] yields what follows them.
    Gap(Gap),
    /// It came after its place had been given up, or was sent before the order began.
    Late(T),
}

/// A run of messages that will not be delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Nonce of the first missing message.
    pub first: u64,
    /// How many are missing.
    pub count: u64,
}

impl<T> InOrder<T> {
    /// Keeps the order from nonce 0 on and holds at most `max_bytes` bytes.
    #[must_use]
    pub const fn new(max_bytes: usize) -> Self {
        let mut order = Self::unordered(max_bytes);
        order.begin();
        order
    }

    /// Passes messages on as they come, until [`InOrder::begin`].
    #[must_use]
    pub const fn unordered(max_bytes: usize) -> Self {
        Self {
            next: 0,
            begun: false,
            held: BTreeMap::new(),
            held_bytes: 0,
            max_bytes,
        }
    }

    /// From now on what lies behind the highest nonce that has come is delivered in order. Messages before it that are still
    /// on their way are [`Delivery::Late`] and no gap. Does nothing if the order has begun.
    pub const fn begin(&mut self) {
        self.begun = true;
    }

    /// Takes the message of `nonce`, of `len_bytes` bytes. Each nonce is pushed once: the opener
    /// sees to that.
    pub fn push(&mut self, nonce: u64, len_bytes: usize, message: T) -> Delivery<T> {
        if !self.begun {
            self.next = self.next.max(nonce.saturating_add(1));
            return Delivery::Ready(message);
        }
        if nonce < self.next {
            return Delivery::Late(message);
        }
        if nonce == self.next {
            self.next += 1;
            return Delivery::Ready(message);
        }
        self.held.insert(nonce, (message, len_bytes));
        self.held_bytes = self.held_bytes.saturating_add(len_bytes);
        if self.held.len() <= MAX_HELD && self.held_bytes <= self.max_bytes {
            return Delivery::Held;
        }
        match self.lost() {
            Some(gap) => Delivery::Gap(gap),
            None => Delivery::Held,
        }
    }

    /// Whether the message of `nonce` has to wait for earlier ones.
    #[must_use]
    pub const fn is_early(&self, nonce: u64) -> bool {
        self.begun && nonce > self.next
    }

    /// The next message in order, if it is there. To be called after [`Delivery::Ready`] and after
    /// a gap, until it returns `None`.
    pub fn pop(&mut self) -> Option<T> {
        let entry = self
            .held
            .first_entry()
            .filter(|first| *first.key() == self.next)?;
        let (message, len_bytes) = entry.remove();
        self.held_bytes = self.held_bytes.saturating_sub(len_bytes);
        self.next += 1;
        Some(message)
    }

    /// Gives up the gap that messages wait behind, because the caller's deadline for it passed or
    /// the channel ends. `None` if nothing waits.
    pub fn lost(&mut self) -> Option<Gap> {
        let (&nonce, _) = self.held.first_key_value()?;
        let gap = Gap {
            first: self.next,
            count: nonce - self.next,
        };
        self.next = nonce;
        (gap.count > 0).then_some(gap)
    }

    /// Whether messages wait behind a gap, so that a deadline is worth setting.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn drain(order: &mut InOrder<u64>) -> Vec<u64> {
        core::iter::from_fn(|| order.pop()).collect()
    }

    #[test]
    fn messages_in_order_pass_through() {
        let mut order = InOrder::new(100);
        for n in 0..100 {
            assert_eq!(order.push(n, 1, n), Delivery::Ready(n));
            assert_eq!(order.pop(), None);
        }
    }

    #[test]
    fn swapped_messages_come_out_in_order() {
        let mut order = InOrder::new(100);
        assert!(order.is_early(1) && !order.is_early(0));
        assert_eq!(order.push(1, 1, 1), Delivery::Held);
        assert_eq!(order.push(2, 1, 2), Delivery::Held);
        assert!(order.is_waiting());
        assert_eq!(order.push(0, 1, 0), Delivery::Ready(0));
        assert_eq!(drain(&mut order), [1, 2]);
        assert!(!order.is_waiting());
    }

    #[test]
    fn order_begins_behind_what_has_come() {
        let mut order = InOrder::unordered(100);
        for n in [0, 3, 1, 5] {
            assert!(!order.is_early(n));
            assert_eq!(order.push(n, 1, n), Delivery::Ready(n));
        }
        order.begin();
        assert!(order.is_early(8) && !order.is_early(6));
        // On their way before: nothing waits for them.
        assert_eq!(order.push(2, 1, 2), Delivery::Late(2));
        assert_eq!(order.push(6, 1, 6), Delivery::Ready(6));
        assert_eq!(order.push(8, 1, 8), Delivery::Held);
        assert_eq!(order.push(4, 1, 4), Delivery::Late(4));
        order.begin();
        assert_eq!(order.push(7, 1, 7), Delivery::Ready(7));
        assert_eq!(drain(&mut order), [8]);
    }

    #[test]
    fn unfilled_gap_is_reported_at_the_message_bound() {
        let mut order = InOrder::new(usize::MAX);
        assert_eq!(order.push(0, 1, 0), Delivery::Ready(0));
        for n in 3..35 {
            assert_eq!(order.push(n, 1, n), Delivery::Held);
        }
        let gap = Gap { first: 1, count: 2 };
        assert_eq!(order.push(35, 1, 35), Delivery::Gap(gap));
        assert_eq!(drain(&mut order), (3..=35).collect::<Vec<_>>());
        assert_eq!(order.push(2, 1, 2), Delivery::Late(2));
        assert_eq!(order.push(36, 1, 36), Delivery::Ready(36));
    }

    #[test]
    fn unfilled_gap_is_reported_at_the_byte_bound() {
        let mut order = InOrder::new(10);
        assert_eq!(order.push(1, 10, 1), Delivery::Held);
        let gap = Gap { first: 0, count: 1 };
        assert_eq!(order.push(2, 1, 2), Delivery::Gap(gap));
        assert_eq!(drain(&mut order), [1, 2]);
        assert_eq!(order.held_bytes, 0);
    }

    #[test]
    fn caller_can_give_up_a_gap() {
        let mut order = InOrder::new(10);
        assert_eq!(order.lost(), None);
        assert_eq!(order.push(5, 1, 5), Delivery::Held);
        assert_eq!(order.lost(), Some(Gap { first: 0, count: 5 }));
        assert_eq!(drain(&mut order), [5]);
        assert_eq!(order.lost(), None);
    }

    #[test]
    fn second_gap_behind_the_first_is_reported_too() {
        let mut order = InOrder::new(10);
        assert_eq!(order.push(2, 1, 2), Delivery::Held);
        assert_eq!(order.push(4, 1, 4), Delivery::Held);
        assert_eq!(order.lost(), Some(Gap { first: 0, count: 2 }));
        assert_eq!(drain(&mut order), [2]);
        assert_eq!(order.lost(), Some(Gap { first: 3, count: 1 }));
        assert_eq!(drain(&mut order), [4]);
    }
}
