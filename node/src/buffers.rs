//! The buffers that bulk data is read into: a few large ones, used again and again.
//!
//! A reader takes one, cuts messages off it that are sealed or opened and written where they lie, and gives the rest back at once:
//! the memory is free again when the last of its messages is. So a busy path allocates nothing for a message, and the
//! same few hundred kilobytes stay in the processor's cache.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use sealway_core::wire::tcp::Lender;

/// Bytes of one buffer: two messages of the largest size that is sent (64 KiB and headers) with their headroom.
pub(crate) const BUFFER: usize = 160 << 10;
/// Buffers that a node keeps for the next reader: 2.5 MiB.
const KEPT: usize = 16;

/// A node's buffers that nobody reads into at present.
#[derive(Default)]
pub(crate) struct Buffers {
    /// Some may still have messages in use; the newest are last, and warmest. Bound: [`KEPT`].
    kept: Mutex<Vec<BytesMut>>,
}

impl Buffers {
    fn lock(&self) -> MutexGuard<'_, Vec<BytesMut>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer of [`BUFFER`] bytes.
    pub(crate) fn take(&self) -> BytesMut {
        let mut kept = self.lock();
        let free = (0..kept.len())
            .rev()
            .find(|&index| kept.get_mut(index).is_some_and(|it| it.try_reclaim(BUFFER)));
        let found = free.map(|index| kept.swap_remove(index));
        drop(kept);
        found.unwrap_or_else(|| BytesMut::with_capacity(BUFFER))
    }

    /// Takes back what [`Buffers::take`] gave, without the messages that were cut off it.
    pub(crate) fn give(&self, mut buffer: BytesMut) {
        buffer.clear();
        let mut kept = self.lock();
        if kept.len() < KEPT {
            kept.push(buffer);
        }
    }
}

impl Lender for &Buffers {
    fn lend(&mut self, len: usize) -> BytesMut {
        if len <= BUFFER {
            self.take()
        } else {
            BytesMut::with_capacity(len)
        }
    }

    fn give_back(&mut self, buffer: BytesMut, whole: usize) {
        if whole == BUFFER {
            self.give(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_again_once_its_messages_are_gone() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take();
        let place = buffer.as_ptr();
        buffer.extend_from_slice(&[7; 1_000]);
        let message = buffer.split_to(1_000);
        buffers.give(buffer);
        let other = buffers.take();
        assert_ne!(other.as_ptr(), place, "a message is still in it");
        assert_eq!(message.as_ref(), [7; 1_000]);
        drop(message);
        let again = buffers.take();
        assert_eq!((again.as_ptr(), again.capacity()), (place, BUFFER));
        assert!(again.is_empty());
    }

    #[test]
    fn no_more_are_kept_than_stated() {
        let buffers = Buffers::default();
        for _ in 0..KEPT + 3 {
            buffers.give(BytesMut::with_capacity(BUFFER));
        }
        assert_eq!(buffers.lock().len(), KEPT);
        (&buffers).give_back(BytesMut::with_capacity(1 << 20), 1 << 20);
        drop(buffers.take());
        (&buffers).give_back(BytesMut::with_capacity(1 << 20), 1 << 20);
        assert_eq!(buffers.lock().len(), KEPT - 1, "only those of one size");
    }
}
