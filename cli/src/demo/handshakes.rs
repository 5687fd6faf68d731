//! Which suite the handshakes in a recording are of, from what everybody on the way can see: where a first message goes, and
//! how long it is (docs/wire.md, "Hybrid handshake").

use sealway_core::channel::Suite;
use sealway_core::noise::{Message, Pattern};
use sealway_core::wire::{Address, RoutingMessage};

/// Bytes of a frame's header.
const HEADER: usize = 4;
/// Bytes of the suite's number in front of a hybrid message 1.
const SUITE: usize = 2;

/// The first messages of handshakes in a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Opened {
    /// Hybrid ones: to the hybrid listener, with its number, and as long as an encapsulation key makes them.
    pub(super) hybrid: usize,
    /// All others.
    pub(super) other: usize,
}

/// Bytes of a hybrid message 1: 1,218.
pub(super) fn hybrid_first() -> usize {
    SUITE + Pattern::XxHfs.overhead(Message::One)
}

/// The fewest bytes of a hybrid message 2, which carries a ciphertext of 1,088 bytes: no classical one has them unless its
/// identity has been rotated several times.
pub(super) fn hybrid_second() -> usize {
    Pattern::XxHfs.overhead(Message::Two)
}

/// Looks for messages to a channel listener among the frames of a recorded stream.
pub(super) fn opened(stream: &[u8]) -> Opened {
    let listeners = Suite::ALL.map(|suite| (suite, Address::local(suite.listener())));
    let mut seen = Opened::default();
    for (onward, payload) in Messages(stream) {
        let at = listeners.iter().find(|(_, at)| onward.as_ref() == Some(at));
        let Some((suite, _)) = at else { continue };
        let is_hybrid = *suite == Suite::Hybrid
            && payload.len() == hybrid_first()
            && payload.starts_with(&suite.number().to_be_bytes());
        if is_hybrid {
            seen.hybrid += 1;
        } else {
            seen.other += 1;
        }
    }
    seen
}

/// Length in bytes of the first payload in a recorded stream: to a party that has no channel yet it is a message 2.
pub(super) fn first_len(stream: &[u8]) -> Option<usize> {
    Messages(stream).next().map(|(_, payload)| payload.len())
}

/// The routed messages in whole frames: where each goes at last, and its payload.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (Option<Address>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (header, rest) = self.0.split_first_chunk::<HEADER>()?;
            let len = usize::try_from(u32::from_be_bytes(*header)).ok()?;
            let (frame, rest) = rest.split_at_checked(len)?;
            self.0 = rest;
            if let Ok(message) = RoutingMessage::decode(frame) {
                return Some((message.onward.last().cloned(), &frame[message.payload]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sealway_core::wire::{Frame, Route, encode_routing};

    use super::*;

    fn framed(to: &[&str], payload: &[u8]) -> Vec<u8> {
        let onward: Route = to.iter().map(Address::local).collect();
        let mut frame = Frame::from_slice(payload);
        encode_routing(&mut frame, &onward, &Route::new());
        let len = u32::try_from(frame.as_slice().len()).unwrap();
        [&len.to_be_bytes(), frame.as_slice()].concat()
    }

    fn hybrid_message() -> Vec<u8> {
        let mut message = vec![0x55; 1_218];
        message[..2].copy_from_slice(&[0, 1]);
        message
    }

    #[test]
    fn first_messages_are_told_apart_by_where_they_go_and_how_long_they_are() {
        let hybrid = framed(&["forward_to_a", "sealway_xx1"], &hybrid_message());
        let record = framed(&["0123456789abcdef"], &hybrid_message());
        let seen = |stream: &[&[u8]]| opened(&stream.concat());
        let only = Opened {
            hybrid: 2,
            other: 0,
        };
        assert_eq!(seen(&[&hybrid, &record, &hybrid, &hybrid[..300]]), only);
        let classical = framed(&["forward_to_a", "api"], &[0x55; 32]);
        let stripped = framed(&["forward_to_a", "sealway_xx1"], &[0x55; 34]);
        let unnumbered = framed(&["sealway_xx1"], &[0x55; 1_218]);
        let led_astray = framed(&["api"], &hybrid_message());
        for other in [classical, stripped, unnumbered, led_astray] {
            let both = Opened {
                hybrid: 1,
                other: 1,
            };
            assert_eq!(seen(&[&hybrid, &other]), both);
        }
        assert_eq!(seen(&[]), Opened::default());
    }

    #[test]
    fn the_first_answer_has_its_length() {
        let answer = framed(&["0123456789abcdef"], &[0; 1_523]);
        assert_eq!(
            first_len(&[&answer[..], &[0, 0, 0, 9]].concat()),
            Some(1_523)
        );
        assert_eq!(first_len(&answer[..40]), None);
        assert!(hybrid_second() <= 1_523 && hybrid_second() > 1_088);
    }
}
