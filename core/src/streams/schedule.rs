//! Whose turn it is: deficit round robin, ahead of which streams go that have little to say.
//!
//! Compare RFC 8290, 4.2, which lets a queue go ahead when it was empty for a round. Here it goes ahead as long as it takes no
//! more than its head start in a round, so that a question and its answer that follow each other quickly stay quick.

use alloc::collections::VecDeque;

use super::frame::StreamId;

/// What a stream may send ahead of the others in each of their rounds, in bytes.
pub(super) const HEAD_START: usize = 16 << 10;
/// What a stream may send in each round, in bytes: one large message.
pub(super) const QUANTUM: usize = 64 << 10;
/// A turn for less than this is not worth a message.
const CRUMB: usize = 4 << 10;
/// What a message costs beside its data: many small ones are no way to get more.
const MESSAGE_COST: usize = 64;

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Nowhere,
    Sparse,
    Busy,
}

/// A stream's part of the schedule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    place: Place,
    deficit: usize,
    /// The round that its head start was given in.
    round: u64,
}

impl Turn {
    pub(super) const NEW: Self = Self {
        place: Place::Nowhere,
        deficit: 0,
        round: 0,
    };

    pub(super) const fn is_listed(self) -> bool {
        !matches!(self.place, Place::Nowhere)
    }
}

/// Streams that have data, or had until their turn came. Bound: one entry a stream.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Streams that have not used up their head start.
    sparse: VecDeque<StreamId>,
    busy: VecDeque<StreamId>,
    /// Rounds of the busy ones, from 1, and turns until the next.
    round: u64,
    turns_left: usize,
}

impl Schedule {
    pub(super) const fn new() -> Self {
        Self {
            sparse: VecDeque::new(),
            busy: VecDeque::new(),
            round: 1,
            turns_left: 0,
        }
    }

    /// A stream has data after it had none.
    pub(super) fn wake(&mut self, stream: StreamId, turn: &mut Turn) {
        if turn.is_listed() {
            return;
        }
        if turn.round != self.round {
            turn.round = self.round;
            turn.deficit = HEAD_START;
        }
        if turn.deficit < CRUMB {
            return self.join_busy(stream, turn);
        }
        turn.place = Place::Sparse;
        self.sparse.push_back(stream);
    }

    /// A stream that waited for credit goes on: its data was there all the time.
    pub(super) fn resume(&mut self, stream: StreamId, turn: &mut Turn) {
        if !turn.is_listed() {
            self.join_busy(stream, turn);
        }
    }

    /// A stream is over.
    pub(super) fn remove(&mut self, stream: StreamId, turn: &mut Turn) {
        let list = match turn.place {
            Place::Nowhere => return,
            Place::Sparse => &mut self.sparse,
            Place::Busy => &mut self.busy,
        };
        list.retain(|other| *other != stream);
        turn.place = Place::Nowhere;
    }

    /// Who is in front.
    pub(super) fn front(&self) -> Option<StreamId> {
        self.sparse.front().or(self.busy.front()).copied()
    }

    /// Looks at the stream in front: gives what it may send, or nothing if it was moved and another is in front now.
    pub(super) fn turn(
        &mut self,
        stream: StreamId,
        turn: &mut Turn,
        can_send: bool,
    ) -> Option<usize> {
        if can_send && turn.deficit >= CRUMB {
            return Some(turn.deficit);
        }
        match turn.place {
            Place::Nowhere => {}
            Place::Sparse => drop(self.sparse.pop_front()),
            Place::Busy => self.end_turn(turn),
        }
        turn.place = Place::Nowhere;
        if can_send {
            self.join_busy(stream, turn);
        }
        None
    }

    /// The stream in front has sent `len` bytes.
    pub(super) const fn charge(turn: &mut Turn, len: usize) {
        let cost = len.saturating_add(MESSAGE_COST);
        turn.deficit = turn.deficit.saturating_sub(cost);
    }

    /// The busy stream in front has had its turn.
    fn end_turn(&mut self, turn: &mut Turn) {
        self.busy.pop_front();
        // What is left of a turn is no head start.
        turn.deficit = 0;
        self.turns_left = self.turns_left.saturating_sub(1);
        if self.turns_left == 0 {
            self.round = self.round.wrapping_add(1);
            self.turns_left = self.busy.len().saturating_add(1);
        }
    }

    fn join_busy(&mut self, stream: StreamId, turn: &mut Turn) {
        turn.place = Place::Busy;
        turn.deficit = QUANTUM;
        self.busy.push_back(stream);
    }
}
