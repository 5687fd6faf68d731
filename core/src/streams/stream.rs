//! What is kept about a stream: no data, at neither end.

use alloc::boxed::Box;
use smallvec::SmallVec;

use super::STREAM_WINDOW;
use super::frame::{Control, Reason, StreamId};
use super::schedule::Turn;
use super::window::Window;

/// Where a stream stands, seen from this end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Ours; the Open with this resource is not sent yet.
    Unopened(Box<str>),
    /// Ours; the Open is sent, the Accept has not come.
    Asked,
    /// The peer's, not answered yet.
    Offered,
    /// Accepted.
    Live,
    /// Reset at this end; the peer is not told yet.
    Dead(Reason),
}

/// Frames that are to be sent, their contents taken when they are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Due {
    pub(super) accept: bool,
    pub(super) credit: bool,
    pub(super) fin: bool,
    /// The stream stands in the session's list of those that have something due.
    pub(super) is_listed: bool,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) phase: Phase,
    pub(super) due: Due,
    pub(super) turn: Turn,
    /// The caller has data of it.
    pub(super) is_readable: bool,
    /// The caller's direction has ended.
    pub(super) is_finished: bool,
    /// It was accepted before it died.
    pub(super) was_accepted: bool,
    pub(super) fin_sent: bool,
    pub(super) fin_received: bool,
    pub(super) sent: u64,
    pub(super) acknowledged: u64,
    /// Where what we send must end.
    pub(super) limit: u64,
    pub(super) incoming: Window,
}

impl Stream {
    pub(super) const fn new(phase: Phase, limit: u64) -> Self {
        Self {
            phase,
            due: Due {
                accept: false,
                credit: false,
                fin: false,
                is_listed: false,
            },
            turn: Turn::NEW,
            is_readable: false,
            is_finished: false,
            was_accepted: false,
            fin_sent: false,
            fin_received: false,
            sent: 0,
            acknowledged: 0,
            limit,
            incoming: Window::new(STREAM_WINDOW, 0),
        }
    }

    /// Bytes that the credit leaves.
    pub(super) const fn credit(&self) -> u64 {
        self.limit.saturating_sub(self.sent)
    }

    pub(super) const fn is_unopened(&self) -> bool {
        matches!(self.phase, Phase::Unopened(_))
    }

    pub(super) const fn is_dead(&self) -> bool {
        matches!(self.phase, Phase::Dead(_))
    }

    /// Whether its turn is for anything: an Open needs no data.
    pub(super) const fn can_send(&self) -> bool {
        match self.phase {
            Phase::Unopened(_) => true,
            Phase::Asked | Phase::Live => {
                self.is_readable && !self.is_finished && self.credit() > 0
            }
            Phase::Offered | Phase::Dead(_) => false,
        }
    }

    /// Both directions have ended in order: the loss of the channel takes nothing from it any more.
    pub(super) const fn has_ended(&self) -> bool {
        self.fin_sent && self.fin_received
    }

    /// Takes the frames that are due, in the order in which they must stand.
    pub(super) fn take_due(&mut self, id: StreamId, cap: u64) -> SmallVec<[Control; 3]> {
        let mut frames = SmallVec::new();
        let due = core::mem::take(&mut self.due);
        if let Phase::Dead(reason) = self.phase {
            frames.push(Control::Reset { stream: id, reason });
            return frames;
        }
        if due.accept {
            // An Accept acknowledges nothing: more than the first window is a Credit's to give.
            let limit = self.incoming.limit();
            frames.push(Control::Accept { stream: id, limit });
        }
        if due.credit && self.incoming.is_due(cap) {
            frames.push(Control::Credit {
                stream: id,
                acknowledged: self.incoming.consumed(),
                limit: self.incoming.grant(cap),
            });
        }
        if due.fin {
            self.fin_sent = true;
            frames.push(Control::Fin {
                stream: id,
                offset: self.sent,
            });
        }
        frames
    }
}
