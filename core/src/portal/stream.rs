//! An open portal connection: the same at both ends.
//!
//! The reference ends both directions when one ends, and says Disconnect for every end, orderly or
//! not. Within its messages, two Sealway ends do better, and recognise each other by the counters
//! that the reference accepts and never sends:
//!
//! - A Disconnect ends the sender's direction only. The other goes on until its own Disconnect. A
//!   peer that does not count gets the reference's two seconds instead.
//! - An end that fails (a socket reset, data lost) says so by an empty payload whose counter is off
//!   by [`ABORT`]: the other end resets its socket. The reference sees a wrong counter and ends.
//! - An end that has sent no payload when the connection starts to end sends an empty one, to show
//!   that it counts.

use core::ops::Range;

use smallvec::{SmallVec, smallvec};

use super::message::{DISCONNECT, Message, encode_payload};
use crate::Tick;
use crate::wire::Frame;

/// What the counter of an aborting payload differs by from the counter that is due.
const ABORT: u16 = 0x8000;

/// How long a direction goes on towards a peer that does not count, after the other has ended:
/// 2 s, as the reference's own sender does (reference, section 7.2).
const LINGER_MS: u64 = 2_000;

/// How a portal connection behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether payloads carry the counter. The Rust reference checks it; off, every byte is what
    /// the reference itself would send.
    pub counters: bool,
    /// How long an inlet waits for a Pong, in milliseconds. The outlet's connect timeout should be
    /// shorter.
    pub pong_timeout_ms: u64,
    /// How long one direction may be silent after the other has ended, between two ends that
    /// count, in milliseconds.
    pub half_open_ms: u64,
}

impl Default for Options {
    /// Counters; 10 s for a Pong; 2 minutes of silence in a half-open connection.
    fn default() -> Self {
        Self {
            counters: true,
            pong_timeout_ms: 10_000,
            half_open_ms: 120_000,
        }
    }
}

/// Why a socket is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The outlet could not reach its target.
    #[error("the target refused the connection")]
    TargetRefused,
    /// The outlet did not answer in time; the reference says nothing if its target refuses.
    #[error("the outlet did not answer in time")]
    NoAnswer,
    /// A message of the stream was lost on the way.
    #[error("data was lost on the way")]
    DataLost,
    /// The channel or the route under the stream is gone.
    #[error("the path to the peer is gone")]
    PathLost,
    /// The other end's socket failed, or it lost data.
    #[error("the other end aborted")]
    PeerAborted,
    /// The local socket failed.
    #[error("the socket failed")]
    SocketFailed,
    /// The peer sent what it may not.
    #[error("the peer broke the protocol")]
    Protocol,
    /// The local end has ended, and the peer did not confirm that its own has.
    #[error("the peer did not confirm its end")]
    Unconfirmed,
    /// This node stops.
    #[error("the node stops")]
    Shutdown,
}

/// What the caller does next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write these bytes of the message that was just given to the socket, behind all before.
    Write(Range<usize>),
    /// Send this message to the peer.
    Send(Frame),
    /// Once all is written, end the writing side of the socket (FIN); go on reading.
    FinishWriting,
    /// Stop reading; once all is written, close the socket in order (FIN). If a write fails before
    /// that, reset it.
    Close,
    /// Drop what is not written yet, and reset the socket (RST).
    Reset(Reason),
}

/// Actions in the order in which they are carried out.
pub type Actions = SmallVec<[Action; 3]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Our socket has ended, and we have said so; data still comes.
    LocalEnded(Tick),
    /// The peer has said that its socket has ended; ours still sends.
    PeerEnded(Tick),
    Closed,
}

/// One end of an open connection.
///
/// - *Data*: [`encode_chunk`](Self::encode_chunk) for what was read from the socket,
///   [`on_message`](Self::on_message) for what the peer sent.
/// - *Ends*: [`on_end_of_file`](Self::on_end_of_file) when the socket was read to its end,
///   [`fail`](Self::fail) when anything was lost.
/// - *Time*: [`deadline`](Self::deadline), [`on_deadline`](Self::on_deadline).
#[derive(Debug)]
pub struct Stream {
    options: Options,
    state: State,
    has_sent: bool,
    next_out: u16,
    next_in: u16,
    received: Received,
}

/// What the peer's payloads have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    Nothing,
    Counted,
    Uncounted,
}

impl Stream {
    pub(super) const fn new(options: Options) -> Self {
        Self {
            options,
            state: State::Open,
            has_sent: false,
            next_out: 0,
            next_in: 0,
            received: Received::Nothing,
        }
    }

    /// Whether the connection is over; what still comes for it is ignored.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the socket is still to be read.
    #[must_use]
    pub const fn is_reading(&self) -> bool {
        matches!(self.state, State::Open | State::PeerEnded(_))
    }

    /// When to call [`on_deadline`](Self::on_deadline); it moves as data flows.
    #[must_use]
    pub const fn deadline(&self) -> Option<Tick> {
        match self.state {
            State::LocalEnded(deadline) | State::PeerEnded(deadline) => Some(deadline),
            State::Open | State::Closed => None,
        }
    }

    /// Turns a chunk that was read from the socket into a Payload, in place.
    ///
    /// False if the connection no longer sends; the frame is left as it was.
    #[must_use]
    pub fn encode_chunk(&mut self, frame: &mut Frame, now: Tick) -> bool {
        match self.state {
            State::Open => {}
            State::PeerEnded(_) => self.state = State::PeerEnded(self.patience(now)),
            State::LocalEnded(_) | State::Closed => return false,
        }
        self.encode_counted(frame, 0);
        true
    }

    /// Takes a message of the peer, in the order in which the peer sent them.
    #[must_use]
    pub fn on_message(&mut self, input: &[u8], now: Tick) -> Actions {
        if self.is_closed() {
            return Actions::new();
        }
        match Message::decode(input) {
            Ok(Message::Payload { data, counter }) => self.on_payload(data, counter, now),
            Ok(Message::Disconnect) => self.on_disconnect(now),
            // Ignored as in release 0.150, where the reference's first releases fail.
            Ok(Message::Ping | Message::Pong) => Actions::new(),
            Err(_) => self.fail(Reason::Protocol),
        }
    }

    /// The socket was read to its end.
    #[must_use]
    pub fn on_end_of_file(&mut self, now: Tick) -> Actions {
        match self.state {
            State::Open => {
                let mut actions = self.announcement();
                actions.push(Action::Send(Frame::from_slice(DISCONNECT)));
                self.state = State::LocalEnded(self.patience(now));
                actions
            }
            State::PeerEnded(_) => {
                self.state = State::Closed;
                smallvec![Action::Send(Frame::from_slice(DISCONNECT)), Action::Close]
            }
            State::LocalEnded(_) | State::Closed => Actions::new(),
        }
    }

    /// Anything went wrong: the socket is reset, and the peer resets its own, if it can be told.
    #[must_use]
    pub fn fail(&mut self, reason: Reason) -> Actions {
        if self.is_closed() {
            return Actions::new();
        }
        self.state = State::Closed;
        let mut actions = Actions::new();
        if !matches!(reason, Reason::PathLost | Reason::PeerAborted) {
            actions = self.abort();
            actions.push(Action::Send(Frame::from_slice(DISCONNECT)));
        }
        actions.push(Action::Reset(reason));
        actions
    }

    /// Ends what has been silent for too long after its other direction had ended.
    #[must_use]
    pub fn on_deadline(&mut self, now: Tick) -> Actions {
        match self.state {
            State::LocalEnded(deadline) if deadline <= now => {
                if self.received == Received::Counted {
                    return self.fail(Reason::Unconfirmed);
                }
                // A peer that does not count has closed at our Disconnect and listens no more. What
                // it had not sent by then is lost, so the client must not see an orderly end.
                self.state = State::Closed;
                smallvec![Action::Reset(Reason::Unconfirmed)]
            }
            State::PeerEnded(deadline) if deadline <= now => {
                if self.received == Received::Counted {
                    return self.fail(Reason::Unconfirmed);
                }
                // Our socket has not ended. A peer that does not count has closed and listens no more; one that counts, and
                // whose announcement was lost, must not take our Disconnect for an end in order.
                let mut actions = self.abort();
                self.state = State::Closed;
                actions.push(Action::Send(Frame::from_slice(DISCONNECT)));
                actions.push(Action::Close);
                actions
            }
            _ => Actions::new(),
        }
    }

    fn on_payload(&mut self, data: Range<usize>, counter: Option<u16>, now: Tick) -> Actions {
        if let Err(reason) = self.check_counter(counter, data.is_empty()) {
            return self.fail(reason);
        }
        match self.state {
            // Behind its end the peer sends nothing, but that it counts.
            State::PeerEnded(_) if !data.is_empty() => return self.fail(Reason::Protocol),
            State::LocalEnded(_) => self.state = State::LocalEnded(self.patience(now)),
            _ => {}
        }
        if data.is_empty() {
            return Actions::new();
        }
        smallvec![Action::Write(data)]
    }

    fn on_disconnect(&mut self, now: Tick) -> Actions {
        match self.state {
            State::Open => {
                let mut actions = self.announcement();
                self.state = State::PeerEnded(self.patience(now));
                actions.push(Action::FinishWriting);
                actions
            }
            State::LocalEnded(_) => {
                self.state = State::Closed;
                smallvec![Action::Close]
            }
            State::PeerEnded(_) | State::Closed => Actions::new(),
        }
    }

    /// Counters start at 0 and rise by one modulo 2^16; who counts once counts always.
    fn check_counter(&mut self, counter: Option<u16>, is_empty: bool) -> Result<(), Reason> {
        #[cfg(sealway_weaken)]
        if crate::weaken::off(crate::weaken::Check::StreamIntegrity) {
            return Ok(());
        }
        let expected = self.next_in;
        match (counter, self.received) {
            (None, Received::Nothing | Received::Uncounted) => {
                self.received = Received::Uncounted;
                Ok(())
            }
            (Some(counter), _) if is_empty && counter == expected.wrapping_add(ABORT) => {
                Err(Reason::PeerAborted)
            }
            (Some(counter), Received::Nothing | Received::Counted) if counter == expected => {
                self.received = Received::Counted;
                self.next_in = expected.wrapping_add(1);
                Ok(())
            }
            (Some(_), Received::Uncounted) | (None, Received::Counted) => Err(Reason::Protocol),
            (Some(_), _) => Err(Reason::DataLost),
        }
    }

    /// Tells a peer that counts that what comes next is no end in order.
    fn abort(&mut self) -> Actions {
        if !self.options.counters {
            return Actions::new();
        }
        let mut abort = Frame::with_capacity(0);
        self.encode_counted(&mut abort, ABORT);
        smallvec![Action::Send(abort)]
    }

    /// Shows the peer that we count, if no payload has shown it yet.
    fn announcement(&mut self) -> Actions {
        if self.has_sent || !self.options.counters {
            return Actions::new();
        }
        let mut empty = Frame::with_capacity(0);
        self.encode_counted(&mut empty, 0);
        smallvec![Action::Send(empty)]
    }

    fn encode_counted(&mut self, frame: &mut Frame, offset: u16) {
        let counter = self.next_out.wrapping_add(offset);
        encode_payload(frame, self.options.counters.then_some(counter));
        self.next_out = self.next_out.wrapping_add(1);
        self.has_sent = true;
    }

    /// Until when a half-open connection waits, seen from `now`.
    fn patience(&self, now: Tick) -> Tick {
        let wait_ms = match self.received {
            Received::Counted if self.options.counters => self.options.half_open_ms,
            _ => LINGER_MS,
        };
        Tick(now.0.saturating_add(wait_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Tick = Tick(50);

    fn stream() -> Stream {
        Stream::new(Options::default())
    }

    fn sent(actions: &Actions) -> alloc::vec::Vec<&[u8]> {
        let frames = actions.iter().filter_map(|action| match action {
            Action::Send(frame) => Some(frame.as_slice()),
            _ => None,
        });
        frames.collect()
    }

    fn chunk(stream: &mut Stream, data: &[u8]) -> Frame {
        let mut frame = Frame::from_slice(data);
        assert!(stream.encode_chunk(&mut frame, NOW));
        frame
    }

    #[test]
    fn a_lost_chunk_resets_both_ends() {
        let (mut a, mut b) = (stream(), stream());
        let _lost = chunk(&mut a, b"1");
        let second = chunk(&mut a, b"2");
        let actions = b.on_message(second.as_slice(), NOW);
        assert_eq!(actions.last(), Some(&Action::Reset(Reason::DataLost)));
        let abort = sent(&actions);
        let actions = a.on_message(abort[0], NOW);
        assert_eq!(actions[..], [Action::Reset(Reason::PeerAborted)]);
    }

    #[test]
    fn counters_wrap() {
        let (mut a, mut b) = (stream(), stream());
        for _ in 0..70_000 {
            let frame = chunk(&mut a, b"x");
            let actions = b.on_message(frame.as_slice(), NOW);
            assert_eq!(actions[..], [Action::Write(2..3)]);
        }
    }

    #[test]
    fn each_direction_ends_by_itself_between_two_sealway_ends() {
        let (mut a, mut b) = (stream(), stream());
        let request = chunk(&mut a, b"request");
        let _ = b.on_message(request.as_slice(), NOW);
        let ending = a.on_end_of_file(NOW);
        assert_eq!(sent(&ending), [DISCONNECT]);
        let answer = b.on_message(DISCONNECT, NOW);
        assert_eq!(answer.last(), Some(&Action::FinishWriting));
        let _ = a.on_message(sent(&answer)[0], NOW);
        let late = Tick(NOW.0 + 60_000);
        assert!(a.on_deadline(late).is_empty() && b.on_deadline(late).is_empty());
        let mut response = Frame::from_slice(b"response");
        assert!(b.encode_chunk(&mut response, late));
        let actions = a.on_message(response.as_slice(), late);
        assert_eq!(actions[..], [Action::Write(2..10)]);
        let end = b.on_end_of_file(late);
        assert_eq!(end.last(), Some(&Action::Close));
        assert_eq!(a.on_message(sent(&end)[0], late)[..], [Action::Close]);
    }

    #[test]
    fn a_reference_peer_gets_two_seconds() {
        let mut a = stream();
        let _ = a.on_message(&[3, 1, b'x'], NOW);
        let _ = a.on_end_of_file(NOW);
        assert_eq!(a.deadline(), Some(Tick(NOW.0 + 2_000)));
        assert!(a.on_deadline(Tick(NOW.0 + 1_999)).is_empty());
        let actions = a.on_deadline(Tick(NOW.0 + 2_000));
        assert_eq!(actions[..], [Action::Reset(Reason::Unconfirmed)]);

        let mut b = stream();
        let _ = b.on_message(&[3, 1, b'x'], NOW);
        let _ = b.on_message(DISCONNECT, NOW);
        let actions = b.on_deadline(Tick(NOW.0 + 2_000));
        assert_eq!(actions.last(), Some(&Action::Close));
    }

    #[test]
    fn an_end_whose_peer_seems_not_to_count_is_no_end_in_order_to_one_that_does() {
        let (mut a, mut b) = (stream(), stream());
        let ending = b.on_end_of_file(NOW);
        assert_eq!(sent(&ending).len(), 2);
        // The announcement is lost, and nobody is told.
        let announced = a.on_message(DISCONNECT, NOW);
        let actions = a.on_deadline(Tick(NOW.0 + 2_000));
        assert_eq!(actions.last(), Some(&Action::Close));
        let [abort, disconnect] = sent(&actions)[..] else {
            panic!("{actions:?}");
        };
        assert!(b.on_message(sent(&announced)[0], NOW).is_empty());
        let actions = b.on_message(abort, NOW);
        assert_eq!(actions.last(), Some(&Action::Reset(Reason::PeerAborted)));
        assert!(b.on_message(disconnect, NOW).is_empty());
    }

    #[test]
    fn a_failed_socket_resets_the_other_end() {
        let (mut a, mut b) = (stream(), stream());
        let data = chunk(&mut a, b"half an ans");
        let _ = b.on_message(data.as_slice(), NOW);
        let failure = a.fail(Reason::SocketFailed);
        let actions = b.on_message(sent(&failure)[0], NOW);
        assert_eq!(actions[..], [Action::Reset(Reason::PeerAborted)]);
        assert!(b.on_message(sent(&failure)[1], NOW).is_empty());
        assert!(a.is_closed() && b.is_closed());
    }

    #[test]
    fn a_lost_path_resets_without_sending() {
        let actions = stream().fail(Reason::PathLost);
        assert_eq!(actions[..], [Action::Reset(Reason::PathLost)]);
    }

    #[test]
    fn without_counters_every_byte_is_the_references() {
        let mut a = Stream::new(Options {
            counters: false,
            ..Options::default()
        });
        assert_eq!(chunk(&mut a, b"x").as_slice(), [3, 1, b'x']);
        assert_eq!(sent(&a.on_end_of_file(NOW)), [DISCONNECT]);
        let mut b = Stream::new(Options {
            counters: false,
            ..Options::default()
        });
        assert_eq!(sent(&b.fail(Reason::SocketFailed)), [DISCONNECT]);
    }

    #[test]
    fn data_behind_an_end_is_a_breach() {
        let mut a = stream();
        let _ = a.on_message(DISCONNECT, NOW);
        let actions = a.on_message(&[3, 1, b'x'], NOW);
        assert_eq!(actions.last(), Some(&Action::Reset(Reason::Protocol)));
    }

    #[test]
    fn an_end_without_data_still_shows_that_it_counts() {
        let (mut a, mut b) = (stream(), stream());
        let ending = a.on_end_of_file(NOW);
        for message in sent(&ending) {
            let answer = b.on_message(message, NOW);
            for message in sent(&answer) {
                assert!(a.on_message(message, NOW).is_empty());
            }
        }
        assert_eq!(a.deadline(), Some(Tick(NOW.0 + 120_000)));
        assert_eq!(b.deadline(), a.deadline());
    }
}
