//! The messages of a portal.

use core::ops::Range;

use crate::wire::bare::{self, Reader};
use crate::wire::{DecodeError, Frame};

/// Largest chunk of a byte stream that we put in one message: 128 KiB, as release 0.150.
pub const MAX_CHUNK: usize = 131_072;

/// Most bytes that [`encode_payload`] adds: tag, length, counter.
pub const PAYLOAD_OVERHEAD: usize = 1 + bare::MAX_UINT_LEN + 3;

/// A whole Ping.
pub const PING: &[u8] = &[TAG_PING];
/// A whole Pong.
pub const PONG: &[u8] = &[TAG_PONG];
/// A whole Disconnect.
pub const DISCONNECT: &[u8] = &[TAG_DISCONNECT];

const TAG_PING: u8 = 0;
const TAG_PONG: u8 = 1;
const TAG_DISCONNECT: u8 = 2;
const TAG_PAYLOAD: u8 = 3;

/// A portal message, with its data left where it is.
///
/// ```text
/// 00 Ping | 01 Pong | 02 Disconnect | 03 length: uint, data, counter: nothing / 00 / 01 u16-LE
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The inlet asks for a connection.
    Ping,
    /// The outlet has reached its target.
    Pong,
    /// The sender's side of the connection has ended.
    Disconnect,
    /// A chunk of the byte stream.
    Payload {
        /// Where in the input the data stands.
        data: Range<usize>,
        /// Position of this chunk in the stream, modulo 2^16, if the sender counts.
        counter: Option<u16>,
    },
}

impl Message {
    /// Reads a message. What follows it is ignored, as in the reference: the counter's option is
    /// looked at only if three bytes remain, and is absent unless it starts with `01`.
    ///
    /// # Errors
    /// [`DecodeError`]: an unknown tag, or a length beyond the input.
    pub fn decode(input: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(input);
        match reader.u8()? {
            TAG_PING => Ok(Self::Ping),
            TAG_PONG => Ok(Self::Pong),
            TAG_DISCONNECT => Ok(Self::Disconnect),
            TAG_PAYLOAD => {
                let length = reader.data()?.len();
                let end = reader.position();
                let counter = match reader.remaining() {
                    [1, low, high, ..] => Some(u16::from_le_bytes([*low, *high])),
                    _ => None,
                };
                Ok(Self::Payload {
                    data: end - length..end,
                    counter,
                })
            }
            tag => Err(DecodeError::Unknown {
                what: "portal message",
                value: tag.into(),
            }),
        }
    }
}

/// Turns the frame's content, a chunk of data, into a Payload, in place.
pub fn encode_payload(frame: &mut Frame, counter: Option<u16>) {
    let (length, length_len) = bare::encode_uint(frame.len() as u64);
    let prefix = frame.prepend(1 + length_len);
    for (out, byte) in prefix
        .iter_mut()
        .zip(core::iter::once(TAG_PAYLOAD).chain(length))
    {
        *out = byte;
    }
    if let Some(counter) = counter {
        let [low, high] = counter.to_le_bytes();
        frame.append(&[1, low, high]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_encoded_in_place() {
        let mut frame = Frame::from_slice(b"hello");
        let data = frame.as_slice().as_ptr();
        encode_payload(&mut frame, Some(0x0102));
        assert_eq!(frame.as_slice(), b"\x03\x05hello\x01\x02\x01");
        let Ok(Message::Payload { data: range, .. }) = Message::decode(frame.as_slice()) else {
            panic!("a payload");
        };
        frame.narrow(range);
        assert_eq!(frame.as_slice(), b"hello");
        assert_eq!(frame.as_slice().as_ptr(), data);
    }

    #[test]
    fn unknown_tags_and_lengths_beyond_the_input_are_refused() {
        assert!(Message::decode(&[]).is_err());
        assert!(Message::decode(&[4]).is_err());
        assert!(Message::decode(&[3, 2, 0]).is_err());
        assert!(Message::decode(b"\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01").is_err());
    }

    #[test]
    fn a_counter_needs_its_option_and_two_bytes() {
        let counter = |input: &[u8]| match Message::decode(input) {
            Ok(Message::Payload { counter, .. }) => counter,
            other => panic!("{other:?}"),
        };
        assert_eq!(counter(b"\x03\x00"), None);
        assert_eq!(counter(b"\x03\x00\x00"), None);
        assert_eq!(counter(b"\x03\x00\x01\x05"), None);
        assert_eq!(counter(b"\x03\x00\x00\x05\x00"), None);
        assert_eq!(counter(b"\x03\x00\x07\x05\x00"), None);
        assert_eq!(counter(b"\x03\x00\x01\x05\x00\x09"), Some(5));
    }
}
