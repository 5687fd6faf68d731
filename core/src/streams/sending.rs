//! What a session sends, and in which order.

use super::error::SendError;
use super::frame::{
    Control, DATA_OVERHEAD, MAX_CONTROL, MAX_DATA, MAX_FRAMES, StreamId, control_message,
    encode_data, encode_open,
};
use super::schedule::{QUANTUM, Schedule};
use super::session::Session;
use super::stream::Phase;
use crate::Tick;
use crate::wire::Frame;

/// Bytes that a message of control frames is made for, at first; it grows where more are due.
const CONTROL_ROOM: usize = 64;

/// What one stream can have due.
const MAX_DUE: usize = 3 * MAX_CONTROL;
/// The least budget that anything is sent in: what must go before data always fits.
const MIN_BUDGET: usize = 1 + MAX_DUE;

/// What is to be sent next.
#[derive(Debug)]
#[must_use]
pub enum Transmit {
    /// This message.
    Message(Frame),
    /// Up to `max` bytes of this stream: read them and [`encode`](Session::encode) them, or say that the stream is
    /// [`drained`](Session::drained). At a stream's first turn an empty frame is encoded too: it is the Open.
    Data {
        /// Which stream.
        stream: StreamId,
        /// Most bytes of data.
        max: usize,
    },
}

impl Session {
    /// A stream's socket can be read: it takes its turns until it is [`drained`](Session::drained).
    pub fn readable(&mut self, stream: StreamId) {
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.is_readable = true;
            self.wake(stream);
        }
    }

    /// Whether [`next_to_send`](Session::next_to_send) is worth asking. It may still have nothing, for want of credit: then it
    /// has nothing until something else happens.
    #[must_use]
    pub fn wants_to_send(&self) -> bool {
        let session = self.pings.is_waiting()
            || self.peer_opens.is_due()
            || self.incoming.is_due(self.channel_cap());
        let streams = !self.due.is_empty() || self.schedule.front().is_some();
        self.is_met && !self.is_over && (session || streams)
    }

    /// What to send now in a message of at most `budget` bytes, which the transport has room for. Nothing: nothing is
    /// due that fits, or credit is lacking; ask again after an event, or with more room.
    ///
    /// Control frames go first, many in one message. Then streams that were silent, then all others in turn: data stands
    /// alone in its message, because it stays in the buffer that it was read into. A budget below some 100 bytes is for nothing.
    pub fn next_to_send(&mut self, budget: usize, now: Tick) -> Option<Transmit> {
        if !self.is_met || self.is_over || budget < MIN_BUDGET {
            return None;
        }
        if let Some(message) = self.control(budget, now) {
            return Some(Transmit::Message(message));
        }
        while let Some(stream) = self.schedule.front() {
            let entry = self.streams.get_mut(&stream)?;
            let can_send = entry.can_send();
            let Some(deficit) = self.schedule.turn(stream, &mut entry.turn, can_send) else {
                continue;
            };
            let resource = match &entry.phase {
                Phase::Unopened(resource) => resource.len() + 2,
                _ => 0,
            };
            let room = budget.checked_sub(DATA_OVERHEAD + resource)?;
            let credit = entry.credit().min(self.limit.saturating_sub(self.sent));
            let credit = usize::try_from(credit).unwrap_or(usize::MAX);
            let max = deficit.min(room).min(credit).min(MAX_DATA).min(QUANTUM);
            if max == 0 && !entry.is_unopened() {
                return None;
            }
            self.granted = Some((stream, max));
            return Some(Transmit::Data { stream, max });
        }
        None
    }

    /// Turns the frame's content, data of the stream whose turn it is, into the message to send, in place. `more`: the socket
    /// may have more, as it has if it gave all that was asked for.
    ///
    /// # Errors
    /// [`SendError`], and the frame is as it was. Data of a stream that has ended is lost; anything else is
    /// the caller's mistake.
    pub fn encode(
        &mut self,
        stream: StreamId,
        frame: &mut Frame,
        more: bool,
    ) -> Result<(), SendError> {
        let len = frame.len();
        let Some(entry) = self
            .streams
            .get_mut(&stream)
            .filter(|entry| !entry.is_dead())
        else {
            return Err(SendError::Closed);
        };
        let turn = self.granted.take_if(|(granted, _)| *granted == stream);
        let max = turn.map_or(0, |(_, max)| max);
        if turn.is_none() || len > max || (len == 0 && !entry.is_unopened()) {
            return Err(SendError::NotNow { len, max });
        }
        let offset = entry.sent;
        entry.sent += len as u64;
        self.sent += len as u64;
        entry.is_readable = more;
        Schedule::charge(&mut entry.turn, len);
        match core::mem::replace(&mut entry.phase, Phase::Asked) {
            Phase::Unopened(resource) => {
                encode_open(frame, stream, entry.incoming.limit(), &resource);
                if entry.due.fin {
                    self.list_due(stream);
                }
            }
            phase => {
                entry.phase = phase;
                encode_data(frame, stream, offset);
            }
        }
        Ok(())
    }

    /// The stream whose turn it is had nothing to read after all; [`readable`](Session::readable) when it has.
    pub fn drained(&mut self, stream: StreamId) {
        self.granted.take_if(|(granted, _)| *granted == stream);
        if let Some(entry) = self.streams.get_mut(&stream) {
            entry.is_readable = false;
        }
    }

    /// Puts a stream that has data into the schedule.
    pub(super) fn wake(&mut self, stream: StreamId) {
        let entry = self.streams.get_mut(&stream);
        let ready = entry.filter(|entry| !entry.is_unopened() && entry.can_send());
        if let Some(entry) = ready {
            self.schedule.wake(stream, &mut entry.turn);
        }
    }

    /// A message of the control frames that are due, as many as fit.
    fn control(&mut self, budget: usize, now: Tick) -> Option<Frame> {
        let mut message: Option<Frame> = None;
        let mut count = 0;
        // Three is the most that a stream has due at a time.
        while count + 3 <= MAX_FRAMES {
            let used = message.as_ref().map_or(1, Frame::len);
            if used + MAX_DUE > budget {
                break;
            }
            let Some(frames) = self.next_control(now) else {
                break;
            };
            for frame in frames {
                let message = message.get_or_insert_with(|| control_message(CONTROL_ROOM));
                frame.append(message);
                count += 1;
            }
        }
        message
    }

    fn next_control(&mut self, now: Tick) -> Option<smallvec::SmallVec<[Control; 3]>> {
        let channel_cap = self.channel_cap();
        if let Some(frame) = self.session_control(channel_cap, now) {
            return Some(smallvec::smallvec![frame]);
        }
        let stream = self.due.pop_front()?;
        let cap = self.stream_cap();
        let entry = self.streams.get_mut(&stream)?;
        let frames = entry.take_due(stream, cap);
        let is_done = entry.is_dead() || (entry.has_ended() && entry.incoming.held() == 0);
        if is_done {
            self.remove(stream, now);
        }
        Some(frames)
    }

    fn session_control(&mut self, cap: u64, now: Tick) -> Option<Control> {
        if let Some(number) = self.pings.take_pong() {
            return Some(Control::Pong { number });
        }
        if let Some(number) = self.pings.take_ping(now) {
            return Some(Control::Ping { number });
        }
        if self.peer_opens.is_due() {
            let count = self.peer_opens.announce();
            return Some(Control::StreamCredit { count });
        }
        if self.incoming.is_due(cap) {
            let limit = self.incoming.grant(cap);
            self.watch_stall(now);
            return Some(Control::ChannelCredit { limit });
        }
        None
    }
}
