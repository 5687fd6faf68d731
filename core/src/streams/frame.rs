//! The bytes of the native portal (docs/wire.md, "Native portal").

use core::fmt;
use core::ops::Range;

use crate::wire::bare::{self, Reader};
use crate::wire::{DecodeError, Frame};

/// The version that every message begins with.
pub const VERSION: u8 = 1;
/// Most frames that a message holds.
pub const MAX_FRAMES: usize = 64;
/// Longest name of a resource in bytes.
pub const MAX_RESOURCE: usize = 255;
/// Most data in one frame, in bytes: 128 KiB, as in a message of the reference's portals.
pub const MAX_DATA: usize = 131_072;
/// Longest message in bytes: the longest data, and control frames beside it.
pub const MAX_MESSAGE: usize = MAX_DATA + 4_096;
/// Most bytes that a data message has beside its data: version, tag, stream, offset, length.
pub const DATA_OVERHEAD: usize = 2 + 2 * bare::MAX_UINT_LEN + LENGTH_LEN;

/// Bytes of the length of [`MAX_DATA`].
const LENGTH_LEN: usize = bare::uint_len(MAX_DATA as u64);
/// Longest control frame: tag and three numbers.
pub(super) const MAX_CONTROL: usize = 1 + 3 * bare::MAX_UINT_LEN;

const TAG_OPEN: u8 = 0;
const TAG_ACCEPT: u8 = 1;
const TAG_DATA: u8 = 2;
const TAG_CREDIT: u8 = 3;
const TAG_FIN: u8 = 4;
const TAG_RESET: u8 = 5;
const TAG_CHANNEL_CREDIT: u8 = 6;
const TAG_STREAM_CREDIT: u8 = 7;
const TAG_PING: u8 = 8;
const TAG_PONG: u8 = 9;

/// Number of a stream in its session: even if the channel's initiator opened it, odd if its responder did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub u64);

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Why a stream is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The policy does not admit the peer to the resource, or there is no such resource.
    #[error("refused by policy")]
    Refused,
    /// The target refused the connection.
    #[error("the target refused the connection")]
    TargetRefused,
    /// The target did not answer, or there is no way to it.
    #[error("the target cannot be reached")]
    TargetUnreachable,
    /// The socket at one end failed, or the path is gone.
    #[error("the other end is gone")]
    Gone,
    /// What came over the stream is not what the resource expects.
    #[error("the protocol was broken")]
    Protocol,
    /// Nothing took the stream's data, and it held up the others.
    #[error("the stream stood still and held up others")]
    Stalled,
}

impl Reason {
    /// All reasons; the place of each is its code.
    const ALL: [Self; 6] = [
        Self::Refused,
        Self::TargetRefused,
        Self::TargetUnreachable,
        Self::Gone,
        Self::Protocol,
        Self::Stalled,
    ];

    const fn code(self) -> u8 {
        match self {
            Self::Refused => 0,
            Self::TargetRefused => 1,
            Self::TargetUnreachable => 2,
            Self::Gone => 3,
            Self::Protocol => 4,
            Self::Stalled => 5,
        }
    }

    fn from_code(code: u8) -> Result<Self, DecodeError> {
        let unknown = DecodeError::Unknown {
            what: "reset reason",
            value: code.into(),
        };
        Self::ALL.get(usize::from(code)).copied().ok_or(unknown)
    }
}

/// A frame without data.
///
/// ```text
/// 01 stream limit              Accept          uint = LEB128 in its shortest form
/// 03 stream acknowledged limit Credit
/// 04 stream offset             Fin
/// 05 stream reason (1 byte)    Reset
/// 06 limit                     ChannelCredit
/// 07 count                     StreamCredit
/// 08 number                    Ping
/// 09 number                    Pong
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// The target is connected; the opener may send up to `limit`.
    Accept {
        /// Which stream.
        stream: StreamId,
        /// Offset that the opener's data may not pass.
        limit: u64,
    },
    /// The sender of this frame is done with what came before `acknowledged`, and takes data up to `limit`.
    Credit {
        /// Which stream.
        stream: StreamId,
        /// Offset before which nothing will be asked for again.
        acknowledged: u64,
        /// Offset that data may not pass.
        limit: u64,
    },
    /// The sender's direction ends.
    Fin {
        /// Which stream.
        stream: StreamId,
        /// Bytes that the direction carried in all.
        offset: u64,
    },
    /// Both directions end at once, with whatever is on its way.
    Reset {
        /// Which stream.
        stream: StreamId,
        /// Why.
        reason: Reason,
    },
    /// The data of all streams together may have this many bytes, counted from the session's start.
    ChannelCredit {
        /// Total that the data may not pass.
        limit: u64,
    },
    /// The receiver of this frame may open this many streams, counted from the session's start.
    StreamCredit {
        /// Total of Opens.
        count: u64,
    },
    /// Asks for a Pong at once.
    Ping {
        /// What the Pong repeats.
        number: u64,
    },
    /// Answers a Ping.
    Pong {
        /// The Ping's number.
        number: u64,
    },
}

impl Control {
    /// Appends this frame to a message.
    pub fn append(&self, message: &mut Frame) {
        let (tag, numbers) = match *self {
            Self::Accept { stream, limit } => (TAG_ACCEPT, [Some(stream.0), Some(limit), None]),
            Self::Credit {
                stream,
                acknowledged,
                limit,
            } => (
                TAG_CREDIT,
                [Some(stream.0), Some(acknowledged), Some(limit)],
            ),
            Self::Fin { stream, offset } => (TAG_FIN, [Some(stream.0), Some(offset), None]),
            // A code below 128 is the same byte as a number.
            Self::Reset { stream, reason } => (
                TAG_RESET,
                [Some(stream.0), Some(reason.code().into()), None],
            ),
            Self::ChannelCredit { limit } => (TAG_CHANNEL_CREDIT, [Some(limit), None, None]),
            Self::StreamCredit { count } => (TAG_STREAM_CREDIT, [Some(count), None, None]),
            Self::Ping { number } => (TAG_PING, [Some(number), None, None]),
            Self::Pong { number } => (TAG_PONG, [Some(number), None, None]),
        };
        message.append(&[tag]);
        for number in numbers.into_iter().flatten() {
            let (bytes, length) = bare::encode_uint(number);
            message.append(bytes.get(..length).unwrap_or_default());
        }
    }
}

/// An empty message, to [`append`](Control::append) up to [`MAX_FRAMES`] frames to; `capacity` is what they take.
#[must_use]
pub fn control_message(capacity: usize) -> Frame {
    let mut message = Frame::with_capacity(capacity.saturating_add(1));
    message.append(&[VERSION]);
    message
}

/// Turns the frame's content, the first data of a stream, into the message that opens it, in place.
///
/// ```text
/// 01 || 00 stream limit length resource length data
/// ```
pub fn encode_open(frame: &mut Frame, stream: StreamId, limit: u64, resource: &str) {
    prepend_uint(frame, frame.len() as u64);
    let name = resource.as_bytes();
    frame.prepend(name.len()).copy_from_slice(name);
    prepend_uint(frame, name.len() as u64);
    prepend_uint(frame, limit);
    prepend_uint(frame, stream.0);
    frame.prepend(2).copy_from_slice(&[VERSION, TAG_OPEN]);
}

/// Turns the frame's content into a message that carries it, in place.
///
/// ```text
/// 01 || 02 stream offset length data
/// ```
pub fn encode_data(frame: &mut Frame, stream: StreamId, offset: u64) {
    prepend_uint(frame, frame.len() as u64);
    prepend_uint(frame, offset);
    prepend_uint(frame, stream.0);
    frame.prepend(2).copy_from_slice(&[VERSION, TAG_DATA]);
}

fn prepend_uint(frame: &mut Frame, value: u64) {
    let (bytes, length) = bare::encode_uint(value);
    let bytes = bytes.get(..length).unwrap_or_default();
    frame.prepend(length).copy_from_slice(bytes);
}

/// A frame of a message, with its data left where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A new stream.
    Open {
        /// Which.
        stream: StreamId,
        /// Offset that data in the other direction may not pass.
        limit: u64,
        /// Where in the message the resource's name stands: UTF-8.
        resource: Range<usize>,
        /// Where in the message the first data stands; it may be empty.
        data: Range<usize>,
    },
    /// Data of a stream, at least one byte.
    Data {
        /// Which stream.
        stream: StreamId,
        /// Bytes of the direction before this data.
        offset: u64,
        /// Where in the message the data stands.
        data: Range<usize>,
    },
    /// A frame without data.
    Control(Control),
}

/// The frames of a message, in order. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    reader: Reader<'a>,
    count: usize,
    has_failed: bool,
}

impl<'a> Parts<'a> {
    /// Begins to read `message`.
    ///
    /// # Errors
    /// [`DecodeError`]: longer than [`MAX_MESSAGE`], another version, or no frame at all.
    pub fn new(message: &'a [u8]) -> Result<Self, DecodeError> {
        if message.len() > MAX_MESSAGE {
            return Err(DecodeError::TooLong {
                length: message.len() as u64,
                max: MAX_MESSAGE,
            });
        }
        let mut reader = Reader::new(message);
        match reader.u8()? {
            VERSION if reader.remaining().is_empty() => Err(DecodeError::MissingField("frame")),
            VERSION => Ok(Self {
                reader,
                count: 0,
                has_failed: false,
            }),
            other => Err(DecodeError::UnsupportedVersion(other)),
        }
    }

    fn part(&mut self) -> Result<Part, DecodeError> {
        self.count += 1;
        if self.count > MAX_FRAMES {
            return Err(DecodeError::TooLong {
                length: self.count as u64,
                max: MAX_FRAMES,
            });
        }
        Ok(match self.reader.u8()? {
            TAG_OPEN => self.open()?,
            TAG_DATA => self.data()?,
            tag => Part::Control(self.control(tag)?),
        })
    }

    fn open(&mut self) -> Result<Part, DecodeError> {
        let (stream, limit) = (self.stream()?, self.reader.shortest_uint()?);
        let position = self.reader.position();
        let (resource, name) = self.bytes(MAX_RESOURCE)?;
        if resource.is_empty() {
            return Err(DecodeError::MissingField("resource"));
        }
        core::str::from_utf8(name).map_err(|_| DecodeError::InvalidUtf8 { position })?;
        Ok(Part::Open {
            stream,
            limit,
            resource,
            data: self.bytes(MAX_DATA)?.0,
        })
    }

    fn data(&mut self) -> Result<Part, DecodeError> {
        let (stream, offset) = (self.stream()?, self.reader.shortest_uint()?);
        let position = self.reader.position();
        let (data, _) = self.bytes(MAX_DATA)?;
        if data.is_empty() {
            return Err(DecodeError::MissingField("data"));
        }
        if offset.checked_add(data.len() as u64).is_none() {
            return Err(DecodeError::OutOfRange { position });
        }
        Ok(Part::Data {
            stream,
            offset,
            data,
        })
    }

    fn control(&mut self, tag: u8) -> Result<Control, DecodeError> {
        Ok(match tag {
            TAG_ACCEPT => Control::Accept {
                stream: self.stream()?,
                limit: self.reader.shortest_uint()?,
            },
            TAG_CREDIT => Control::Credit {
                stream: self.stream()?,
                acknowledged: self.reader.shortest_uint()?,
                limit: self.reader.shortest_uint()?,
            },
            TAG_FIN => Control::Fin {
                stream: self.stream()?,
                offset: self.reader.shortest_uint()?,
            },
            TAG_RESET => Control::Reset {
                stream: self.stream()?,
                reason: Reason::from_code(self.reader.u8()?)?,
            },
            TAG_CHANNEL_CREDIT => Control::ChannelCredit {
                limit: self.reader.shortest_uint()?,
            },
            TAG_STREAM_CREDIT => Control::StreamCredit {
                count: self.reader.shortest_uint()?,
            },
            TAG_PING => Control::Ping {
                number: self.reader.shortest_uint()?,
            },
            TAG_PONG => Control::Pong {
                number: self.reader.shortest_uint()?,
            },
            tag => {
                return Err(DecodeError::Unknown {
                    what: "portal frame",
                    value: tag.into(),
                });
            }
        })
    }

    fn stream(&mut self) -> Result<StreamId, DecodeError> {
        self.reader.shortest_uint().map(StreamId)
    }

    /// A length in its shortest form and that many bytes: where they stand, and they.
    fn bytes(&mut self, max: usize) -> Result<(Range<usize>, &'a [u8]), DecodeError> {
        let _length = self.reader.clone().shortest_uint()?;
        let bytes = self.reader.data_at_most(max)?;
        let end = self.reader.position();
        Ok((end - bytes.len()..end, bytes))
    }
}

impl Iterator for Parts<'_> {
    type Item = Result<Part, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_failed || self.reader.remaining().is_empty() {
            return None;
        }
        let part = self.part();
        self.has_failed = part.is_err();
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn parts(message: &[u8]) -> Result<Vec<Part>, DecodeError> {
        Parts::new(message)?.collect()
    }

    #[test]
    fn data_is_wrapped_and_found_without_being_moved() {
        let mut frame = Frame::from_slice(b"body");
        let body = frame.as_slice().as_ptr();
        encode_data(&mut frame, StreamId(300), 1 << 40);
        assert!(frame.len() <= 4 + DATA_OVERHEAD);
        let parts = parts(frame.as_slice()).unwrap();
        let [
            Part::Data {
                stream,
                offset,
                data,
            },
        ] = &parts[..]
        else {
            panic!("{parts:?}");
        };
        assert_eq!((*stream, *offset), (StreamId(300), 1 << 40));
        frame.narrow(data.clone());
        assert_eq!(frame.as_slice(), b"body");
        assert_eq!(frame.as_slice().as_ptr(), body);
    }

    #[test]
    fn a_message_of_too_many_frames_is_refused() {
        let mut message = control_message(MAX_FRAMES * 2);
        for _ in 0..MAX_FRAMES {
            Control::Ping { number: 0 }.append(&mut message);
        }
        assert_eq!(parts(message.as_slice()).unwrap().len(), MAX_FRAMES);
        Control::Ping { number: 0 }.append(&mut message);
        let max = MAX_FRAMES;
        let refused = Err(DecodeError::TooLong { length: 65, max });
        assert_eq!(parts(message.as_slice()), refused);
    }

    #[test]
    fn nothing_is_read_behind_an_error() {
        let mut parts = Parts::new(&[VERSION, 99, TAG_PING, 0]).unwrap();
        assert!(parts.next().is_some_and(|part| part.is_err()));
        assert_eq!(parts.next(), None);
    }

    #[test]
    fn control_frames_have_at_most_their_declared_length() {
        let mut message = control_message(0);
        let stream = StreamId(u64::MAX);
        let (acknowledged, limit) = (u64::MAX, u64::MAX);
        Control::Credit {
            stream,
            acknowledged,
            limit,
        }
        .append(&mut message);
        assert_eq!(message.len(), 1 + MAX_CONTROL);
    }
}
