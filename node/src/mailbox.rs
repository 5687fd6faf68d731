//! A worker's bounded queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::counters::Count;
use crate::message::Message;
use crate::room::{Reservoir, Room};
use crate::router::{Bottleneck, NoRoom, Step, Wanted};

/// Bound of a mailbox unless its worker asks for another: 1 MiB of payloads, each charged with 256 bytes more; with their buffers
/// at most some 10 MiB of memory.
/// At the bound a local sender waits, and a message from outside is dropped and counted.
pub(crate) const DEFAULT_BOUND: u32 = 1 << 20;

/// A mailbox that holds more than this, some 30 messages, is not kept pace with. What comes from then on is kept in buffers of
/// its own size.
const BEHIND: usize = 8 << 10;

struct Shared {
    reservoir: Reservoir,
    taken: AtomicU64,
}

impl Bottleneck for Shared {
    fn reservoir(&self) -> &Reservoir {
        &self.reservoir
    }

    fn progress(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    fn give_up(&self, _reason: Count) {}

    fn may_pause(&self) -> bool {
        false
    }
}

/// The sending half.
#[derive(Clone)]
pub(crate) struct MailboxSender {
    // Unbounded by count because the reservoir bounds it by bytes.
    queue: mpsc::UnboundedSender<Message>,
    shared: Arc<Shared>,
}

/// The receiving half. Dropping it closes the mailbox.
pub(crate) struct Mailbox {
    queue: mpsc::UnboundedReceiver<Message>,
    shared: Arc<Shared>,
}

/// A mailbox of at most `bound_bytes`.
pub(crate) fn mailbox(bound_bytes: u32) -> (MailboxSender, Mailbox) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        reservoir: Reservoir::new(bound_bytes),
        taken: AtomicU64::new(0),
    });
    (
        MailboxSender {
            queue: sender,
            shared: Arc::clone(&shared),
        },
        Mailbox {
            queue: receiver,
            shared,
        },
    )
}

impl MailboxSender {
    pub(crate) fn push(&self, mut message: Message) -> Step {
        let cost = message.cost();
        let Some(room) = self.shared.reservoir.claim(&mut message.room, cost) else {
            if self.shared.reservoir.is_closed() {
                return Step::Refused(Count::UnknownAddress);
            }
            return Step::Full(message, self.wanted(cost));
        };
        message.room = room;
        if self.shared.reservoir.used() > BEHIND {
            message.payload.compact();
        }
        match self.queue.send(message) {
            Ok(()) => Step::Done,
            Err(_) => Step::Refused(Count::UnknownAddress),
        }
    }

    fn wanted(&self, len: usize) -> Wanted {
        let at = Arc::clone(&self.shared) as Arc<dyn Bottleneck>;
        Wanted { at, len }
    }

    pub(crate) fn reserve(&self, len: usize, mut brought: Room) -> Result<Room, NoRoom> {
        match self.shared.reservoir.claim(&mut brought, len) {
            Some(room) => Ok(room),
            None if self.shared.reservoir.is_closed() => Err(NoRoom::Gone),
            None => Err(NoRoom::Full(self.wanted(len))),
        }
    }
}

impl Mailbox {
    /// The next message; `None` once the address is gone and the queue is empty.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        let mut message = self.queue.recv().await?;
        // Taken out of the queue: its room is free for the next one.
        message.room = Room::default();
        self.shared.taken.fetch_add(1, Ordering::Relaxed);
        Some(message)
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.shared.reservoir.close();
    }
}
