//! Room in a bounded queue, counted in bytes and reserved before anything is sealed for it.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes that a queue may hold. Whoever wants to enqueue reserves [`Room`] first.
///
/// A message larger than the whole bound takes all of it: it passes alone.
#[derive(Clone, Debug)]
pub struct Reservoir {
    permits: Arc<Semaphore>,
    bound: u32,
}

impl Reservoir {
    /// A reservoir of `bound_bytes`, at most 2^29.
    #[must_use]
    pub fn new(bound_bytes: u32) -> Self {
        let bound = bound_bytes.min(1 << 29);
        Self {
            permits: Arc::new(Semaphore::new(bound as usize)),
            bound,
        }
    }

    fn charge(&self, len: usize) -> u32 {
        u32::try_from(len).unwrap_or(u32::MAX).min(self.bound)
    }

    /// Room for `len` bytes if it is there now.
    #[must_use]
    pub fn try_reserve(&self, len: usize) -> Option<Room> {
        let permit = Arc::clone(&self.permits)
            .try_acquire_many_owned(self.charge(len))
            .ok()?;
        Some(Room::new(permit))
    }

    /// Waits until there is room for `len` bytes, in the order of asking. `None`: the queue is closed.
    pub async fn reserve(&self, len: usize) -> Option<Room> {
        let permit = Arc::clone(&self.permits)
            .acquire_many_owned(self.charge(len))
            .await
            .ok()?;
        Some(Room::new(permit))
    }

    /// No more room is given; whoever waits is told.
    pub fn close(&self) {
        self.permits.close();
    }

    /// Whether [`Reservoir::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.permits.is_closed()
    }

    /// Bytes reserved at present.
    #[must_use]
    pub fn used(&self) -> usize {
        (self.bound as usize).saturating_sub(self.permits.available_permits())
    }

    fn same(&self, room: &Room) -> bool {
        room.here
            .as_ref()
            .is_some_and(|permit| Arc::ptr_eq(permit.semaphore(), &self.permits))
    }

    /// Takes the room that a message brought along if it is room in this queue, else reserves.
    pub(crate) fn claim(&self, brought: &mut Room, len: usize) -> Option<Room> {
        if self.same(brought) {
            return Some(std::mem::take(brought));
        }
        self.try_reserve(len)
    }
}

/// Bytes reserved in a queue; given back when dropped.
#[derive(Debug, Default)]
pub struct Room {
    here: Option<OwnedSemaphorePermit>,
    /// Room of the sender's own counting, which is free again when the message has left.
    _beside: Option<OwnedSemaphorePermit>,
}

impl Room {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        Self {
            here: Some(permit),
            _beside: None,
        }
    }

    /// This room, and with it that of another queue which the message counts in as long as it is in this one.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            here: self.here,
            _beside: other.here,
        }
    }

    /// Whether nothing was reserved.
    pub(crate) const fn is_none(&self) -> bool {
        self.here.is_none()
    }

    /// Gives back what exceeds `len` bytes.
    pub(crate) fn shrink(&mut self, len: usize) {
        let Some(permit) = &mut self.here else { return };
        if let Some(surplus) = permit.num_permits().checked_sub(len) {
            drop(permit.split(surplus));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_when_dropped() {
        let reservoir = Reservoir::new(100);
        let first = reservoir.try_reserve(80).expect("empty");
        assert!(reservoir.try_reserve(30).is_none());
        drop(first);
        assert!(reservoir.try_reserve(30).is_some());
    }

    #[test]
    fn a_message_above_the_bound_passes_alone() {
        let reservoir = Reservoir::new(100);
        let all = reservoir.try_reserve(5_000).expect("empty");
        assert_eq!(reservoir.used(), 100);
        assert!(reservoir.try_reserve(1).is_none());
        drop(all);
        assert_eq!(reservoir.used(), 0);
    }

    #[tokio::test]
    async fn a_closed_reservoir_tells_who_waits() {
        let reservoir = Reservoir::new(1);
        let held = reservoir.try_reserve(1);
        let waiter = tokio::spawn({
            let reservoir = reservoir.clone();
            async move { reservoir.reserve(1).await.is_none() }
        });
        tokio::task::yield_now().await;
        reservoir.close();
        assert!(waiter.await.expect("joined"));
        drop(held);
    }
}
