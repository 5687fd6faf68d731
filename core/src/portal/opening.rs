//! How the two ends of a portal connection find each other.

use super::message::{DISCONNECT, Message};
use super::stream::{Options, Reason, Stream};
use crate::Tick;

/// The inlet's end of a connection that the outlet has not answered yet.
///
/// Its caller has accepted a TCP connection, sends [`PING`](super::PING) to the outlet's route, and
/// reads nothing from the socket until the stream is open. If the client goes away before that, the
/// inlet is dropped; [`answer_when_closed`] says what a late Pong is answered with.
#[derive(Debug)]
#[must_use]
pub struct Inlet {
    options: Options,
    deadline: Tick,
}

/// What a message to a waiting [`Inlet`] leads to.
#[derive(Debug)]
#[must_use]
pub enum Answer {
    /// Start reading from the socket; the message's return route is the peer's from now on.
    Open(Stream),
    /// Reset the socket, so that the client sees a refusal instead of a connection that ends.
    Refused(Reason),
    /// Go on waiting.
    Waiting(Inlet),
}

impl Inlet {
    /// An inlet whose Ping is sent at `now`.
    pub fn new(now: Tick, options: Options) -> Self {
        let deadline = Tick(now.0.saturating_add(options.pong_timeout_ms));
        Self { options, deadline }
    }

    /// When to call [`on_deadline`](Self::on_deadline), if there is no answer before.
    #[must_use]
    pub const fn deadline(&self) -> Tick {
        self.deadline
    }

    /// Takes a message: Pong opens; Disconnect says that the target cannot be reached.
    ///
    /// Only a Sealway outlet sends that Disconnect. The reference sends nothing, and the deadline
    /// ends the wait. Anything else is not allowed here; it is treated as a refusal too.
    pub fn on_answer(self, input: &[u8]) -> Answer {
        match Message::decode(input) {
            Ok(Message::Pong) => Answer::Open(Stream::new(self.options)),
            Ok(Message::Disconnect) => Answer::Refused(Reason::TargetRefused),
            Ok(Message::Ping | Message::Payload { .. }) | Err(_) => {
                Answer::Refused(Reason::Protocol)
            }
        }
    }

    /// Gives up once the deadline has passed.
    pub fn on_deadline(self, now: Tick) -> Answer {
        if now < self.deadline {
            Answer::Waiting(self)
        } else {
            Answer::Refused(Reason::NoAnswer)
        }
    }
}

/// The outlet's end of a connection whose target is being connected to.
///
/// Its caller has received a Ping, and connects to the target. If that fails it sends
/// [`DISCONNECT`] along the Ping's return route, which a Sealway inlet understands and a reference
/// inlet ends at too.
#[derive(Debug)]
#[must_use]
pub struct Outlet {
    options: Options,
}

impl Outlet {
    /// Whether this message asks for a connection; anything else to an outlet is dropped.
    #[must_use]
    pub fn accept(input: &[u8], options: Options) -> Option<Self> {
        matches!(Message::decode(input), Ok(Message::Ping)).then_some(Self { options })
    }

    /// The target is connected: send [`PONG`](super::PONG), then start reading from its socket.
    pub fn target_connected(self) -> Stream {
        Stream::new(self.options)
    }
}

/// What a message to an end that exists no more is answered with.
///
/// A Pong that comes after its inlet has given up must be answered with Disconnect, or the outlet
/// would keep its target connected for ever.
#[must_use]
pub fn answer_when_closed(input: &[u8]) -> Option<&'static [u8]> {
    matches!(Message::decode(input), Ok(Message::Pong)).then_some(DISCONNECT)
}

#[cfg(test)]
mod tests {
    use super::super::message::{PING, PONG};
    use super::*;

    fn inlet() -> Inlet {
        Inlet::new(Tick(1_000), Options::default())
    }

    #[test]
    fn a_pong_opens_and_a_disconnect_refuses_at_once() {
        assert!(matches!(inlet().on_answer(PONG), Answer::Open(_)));
        assert!(matches!(
            inlet().on_answer(DISCONNECT),
            Answer::Refused(Reason::TargetRefused)
        ));
        for other in [PING, &[3, 0], &[9], &[]] {
            assert!(matches!(
                inlet().on_answer(other),
                Answer::Refused(Reason::Protocol)
            ));
        }
    }

    #[test]
    fn an_outlet_that_stays_silent_is_given_up() {
        let deadline = inlet().deadline();
        let Answer::Waiting(inlet) = inlet().on_deadline(Tick(deadline.0 - 1)) else {
            panic!("too early");
        };
        assert!(matches!(
            inlet.on_deadline(deadline),
            Answer::Refused(Reason::NoAnswer)
        ));
    }

    #[test]
    fn an_outlet_answers_pings_only() {
        assert!(Outlet::accept(PING, Options::default()).is_some());
        for other in [PONG, DISCONNECT, &[3, 1, b'x'], &[]] {
            assert!(Outlet::accept(other, Options::default()).is_none());
        }
    }

    #[test]
    fn a_late_pong_is_answered_with_a_disconnect() {
        assert_eq!(answer_when_closed(PONG), Some(DISCONNECT));
        assert_eq!(answer_when_closed(DISCONNECT), None);
    }
}
