//! TCP framing (reference, section 2.1): `01` once, then `u32 big-endian length | body`.

use bytes::buf::Limit;
use bytes::{BufMut as _, BytesMut};

use super::{DecodeError, Frame, FrameTooLarge};

/// The byte that both sides send first, without waiting for the other's.
pub const VERSION: u8 = 1;

/// Largest body of a frame in bytes, inclusive.
pub const MAX_FRAME: usize = 16_777_216;

/// Bytes of the length before each body.
pub const HEADER_LEN: usize = 4;

/// Frames of up to this many bytes get their whole buffer when their length is known; larger ones
/// get as much again as has arrived, and share it with no other. So the buffer is never larger than this,
/// or than twice what is in it, and a length alone never costs more memory.
const STEP: usize = 160 * 1024;

/// Room that a new buffer has at least.
const READ_ROOM: usize = 16 * 1024;

/// Room below which a read into what is left of a buffer is not worth its system call.
const LEAST_ROOM: usize = 4 * 1024;

/// Where a [`Deframer`] has its buffers from.
pub trait Lender {
    /// An empty buffer with a capacity of `len` bytes or, up to 160 KiB, more.
    fn lend(&mut self, len: usize) -> BytesMut;

    /// Takes a buffer back that had `whole` bytes of capacity when it was lent. Frames were cut off it, and may be in use for long.
    fn give_back(&mut self, buffer: BytesMut, whole: usize);
}

/// Buffers of their own, made and dropped.
#[derive(Clone, Copy, Debug, Default)]
pub struct Heap;

impl Lender for Heap {
    fn lend(&mut self, len: usize) -> BytesMut {
        BytesMut::with_capacity(len)
    }

    fn give_back(&mut self, _buffer: BytesMut, _whole: usize) {}
}

/// The length that stands before a body of `length` bytes.
///
/// # Errors
/// [`FrameTooLarge`] beyond [`MAX_FRAME`].
pub fn frame_header(length: usize) -> Result<[u8; HEADER_LEN], FrameTooLarge> {
    match u32::try_from(length) {
        Ok(short) if length <= MAX_FRAME => Ok(short.to_be_bytes()),
        _ => Err(FrameTooLarge {
            length,
            max: MAX_FRAME,
        }),
    }
}

/// Writes the length before the frame's content, which is a whole body.
///
/// # Errors
/// [`FrameTooLarge`]; the frame is left as it was.
pub fn encode_frame(frame: &mut Frame) -> Result<(), FrameTooLarge> {
    let header = frame_header(frame.len())?;
    frame.prepend(HEADER_LEN).copy_from_slice(&header);
    Ok(())
}

/// Cuts a received byte stream into frames, without copying them.
///
/// Bytes are read into [`room`](Self::room), or given to [`feed`](Self::feed); then
/// [`next_frame`](Self::next_frame) is called until it gives none. After an error the stream is
/// lost and the connection must be closed.
#[derive(Debug, Default)]
pub struct Deframer {
    buffer: BytesMut,
    /// Bytes of the buffer as it was made, of which frames have been split off since.
    whole: usize,
    version_read: bool,
    /// About the largest of the latest frames: what to make room for before the next length is
    /// known, so that bulk data is read at once and not moved.
    typical: usize,
}

impl Deframer {
    /// A deframer at the start of a connection: the version byte comes first.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The buffer to append received bytes to, with room for what is known to be missing.
    ///
    /// Bytes before its end must not be changed.
    pub fn room(&mut self) -> &mut BytesMut {
        self.make_room(&mut Heap);
        &mut self.buffer
    }

    /// The same, in buffers of `lender`'s, and with room for as much as is worth a read: of bulk data whole frames, so that
    /// none of it has to be moved.
    pub fn room_of(&mut self, lender: &mut impl Lender) -> Limit<&mut BytesMut> {
        let spare = self.make_room(lender);
        let typical = self.typical.max(HEADER_LEN);
        let first = self
            .missing()
            .unwrap_or(typical.saturating_sub(self.buffer.len()));
        let most = match spare.checked_sub(first) {
            Some(rest) if typical >= READ_ROOM => first + rest / typical * typical,
            _ => spare,
        };
        (&mut self.buffer).limit(most.max(1))
    }

    /// Makes room where there is too little; gives how much there is.
    fn make_room(&mut self, lender: &mut impl Lender) -> usize {
        let waiting = self.buffer.len();
        let missing = self.missing().unwrap_or(0);
        let most = STEP.max(waiting.saturating_mul(2)) - waiting;
        // What follows a large frame does not share its buffer, or a small frame could hold a large one's memory.
        let shared = self
            .typical
            .max(READ_ROOM)
            .min(STEP.saturating_sub(waiting));
        let wanted = missing.max(shared).min(most).max(1);
        // Nothing is moved while the buffer is empty, so that it may as well be of full size.
        let least = match waiting {
            0 => wanted,
            _ => missing.max(LEAST_ROOM).min(wanted),
        };
        if self.buffer.capacity() - waiting < least {
            // Not grown in place: that may double it.
            let mut larger = lender.lend(waiting + wanted);
            larger.extend_from_slice(&self.buffer);
            let whole = core::mem::replace(&mut self.whole, larger.capacity());
            let used = core::mem::replace(&mut self.buffer, larger);
            lender.give_back(used, whole);
        }
        self.buffer.capacity() - waiting
    }

    /// Bytes of the frame in front that have not come; none if not even its length has.
    fn missing(&self) -> Option<usize> {
        let whole = HEADER_LEN.saturating_add(self.body_len()?);
        Some(whole.saturating_sub(self.buffer.len()))
    }

    /// Appends received bytes.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; its length field is left before the content, as headroom.
    ///
    /// # Errors
    /// [`DecodeError::UnsupportedVersion`] or [`DecodeError::FrameTooLarge`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, DecodeError> {
        if !self.version_read {
            match self.buffer.first() {
                None => return Ok(None),
                Some(&VERSION) => {
                    // The byte is cut off, not skipped, so that a frame starts its own buffer.
                    let _version = self.buffer.split_to(1);
                    self.version_read = true;
                }
                Some(&version) => return Err(DecodeError::UnsupportedVersion(version)),
            }
        }
        let Some(body) = self.body_len() else {
            return Ok(None);
        };
        if body > MAX_FRAME {
            return Err(DecodeError::FrameTooLarge {
                length: body as u64,
                max: MAX_FRAME,
            });
        }
        let whole = HEADER_LEN + body;
        if self.buffer.len() < whole {
            return Ok(None);
        }
        self.typical = whole.max(self.typical - self.typical / 8);
        // Larger than it was made if it was fed.
        let shared = self.whole.max(self.buffer.capacity());
        let frame = self.buffer.split_to(whole);
        Ok(Some(Frame::from_part(frame, HEADER_LEN, shared)))
    }

    /// Whether the stream may end here: no part of a frame is waiting for the rest.
    #[must_use]
    pub fn is_at_boundary(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes that wait for the rest of their frame.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Gives the buffer back if nothing waits in it, for connections that are idle.
    pub fn release(&mut self, lender: &mut impl Lender) {
        if self.buffer.is_empty() && self.whole > 0 {
            let used = core::mem::take(&mut self.buffer);
            lender.give_back(used, core::mem::take(&mut self.whole));
        }
    }

    fn body_len(&self) -> Option<usize> {
        if !self.version_read {
            return None;
        }
        let (header, _) = self.buffer.split_first_chunk::<HEADER_LEN>()?;
        // A length that does not fit `usize` exceeds the limit all the more.
        Some(usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn frames_come_out_whole_however_the_bytes_arrive() {
        let mut stream = vec![VERSION];
        let bodies = [&b"first"[..], b"", &[7; 70_000]];
        for body in bodies {
            stream.extend(frame_header(body.len()).expect("small"));
            stream.extend(body);
        }
        for step in [1, 2, 3, 1_000, stream.len()] {
            let mut deframer = Deframer::new();
            let mut frames: Vec<Vec<u8>> = Vec::new();
            for part in stream.chunks(step) {
                deframer.room().extend_from_slice(part);
                while let Some(frame) = deframer.next_frame().expect("valid") {
                    assert_eq!(frame.headroom(), HEADER_LEN);
                    frames.push(frame.as_slice().to_vec());
                }
            }
            assert_eq!(frames, bodies);
            assert!(deframer.is_at_boundary());
        }
    }

    #[test]
    fn other_versions_are_refused_at_the_first_byte() {
        for version in [0, 2, b'G', 0xff] {
            let mut deframer = Deframer::new();
            deframer.feed(&[version]);
            assert_eq!(
                deframer.next_frame().err(),
                Some(DecodeError::UnsupportedVersion(version))
            );
        }
    }

    #[test]
    fn oversized_frames_are_refused_by_their_length_alone() {
        let mut deframer = Deframer::new();
        deframer.feed(&[VERSION, 1, 0, 0, 1]);
        assert!(matches!(
            deframer.next_frame(),
            Err(DecodeError::FrameTooLarge {
                length: 16_777_217,
                ..
            })
        ));
        assert!(frame_header(MAX_FRAME).is_ok());
        assert!(frame_header(MAX_FRAME + 1).is_err());
    }

    #[test]
    fn bulk_frames_are_read_at_once_and_not_moved() {
        let body = vec![7; 131_072];
        let mut deframer = Deframer::new();
        deframer.feed(&[VERSION]);
        for round in 0..4 {
            deframer.release(&mut Heap);
            assert_eq!(deframer.next_frame(), Ok(None));
            let room = deframer.room();
            assert!(round == 0 || room.capacity() - room.len() > body.len());
            room.extend_from_slice(&frame_header(body.len()).expect("small"));
            room.extend_from_slice(&body);
            assert_eq!(deframer.next_frame(), Ok(Some(Frame::from_slice(&body))));
        }
        deframer.release(&mut Heap);
        assert_eq!(deframer.buffer.capacity(), 0);
    }

    /// Lends two buffers of full size again and again, as long as no frame is left in them.
    struct Two(Vec<BytesMut>);

    impl Lender for Two {
        fn lend(&mut self, len: usize) -> BytesMut {
            let mut buffer = self.0.pop().expect("given back");
            assert!(len <= STEP && buffer.try_reclaim(STEP), "{len}");
            buffer
        }

        fn give_back(&mut self, mut buffer: BytesMut, whole: usize) {
            assert!(whole == STEP || whole == 0, "{whole}");
            if whole == STEP {
                buffer.clear();
                self.0.push(buffer);
            }
        }
    }

    #[test]
    fn bulk_frames_are_read_in_twos_into_the_same_buffers() {
        let frame = 65_618;
        let mut stream = vec![VERSION];
        for _ in 0..9 {
            stream.extend(frame_header(frame - HEADER_LEN).expect("small"));
            stream.extend(vec![7; frame - HEADER_LEN]);
        }
        let mut lender = Two((0..2).map(|_| BytesMut::with_capacity(STEP)).collect());
        let mut deframer = Deframer::new();
        let (mut rest, mut reads, mut frames) = (&stream[..], Vec::new(), 0);
        while !rest.is_empty() {
            deframer.release(&mut lender);
            let mut room = deframer.room_of(&mut lender);
            let now = room.remaining_mut().min(rest.len());
            room.put_slice(&rest[..now]);
            reads.push(now);
            rest = &rest[now..];
            while deframer.next_frame().expect("valid").is_some() {
                frames += 1;
            }
        }
        assert_eq!(frames, 9);
        // Nothing is known of the first; then whole frames at a time, without a part of another that would have to be moved.
        assert!(
            reads.iter().skip(2).all(|read| read % frame == 0),
            "{reads:?}"
        );
        assert_eq!(reads.len(), 5, "{reads:?}");
    }

    #[test]
    fn a_claimed_length_does_not_allocate_it() {
        let mut deframer = Deframer::new();
        deframer.feed(&[VERSION, 1, 0, 0, 0]);
        assert_eq!(deframer.next_frame(), Ok(None));
        assert_eq!(deframer.room().capacity(), STEP);
        assert!(!deframer.is_at_boundary());
    }

    #[test]
    fn a_buffer_is_never_larger_than_a_step_or_twice_what_is_in_it() {
        let lengths = [10, 100_000, STEP - 8, 10, STEP, 300_000, 10, 1_000_000];
        let stream: Vec<u8> = lengths
            .into_iter()
            .flat_map(|length| [&frame_header(length).expect("small"), &*vec![7; length]].concat())
            .collect();
        for part in [1_000, 16 * 1024 - 1, STEP - 1, usize::MAX] {
            let mut deframer = Deframer::new();
            deframer.feed(&[VERSION]);
            let mut rest = &stream[..];
            while !rest.is_empty() {
                let room = deframer.room();
                let (waiting, capacity) = (room.len(), room.capacity());
                assert!(capacity > waiting, "no room");
                assert!(
                    capacity <= STEP.max(2 * waiting),
                    "{capacity} for {waiting}"
                );
                let now = part.min(capacity - waiting).min(rest.len());
                room.extend_from_slice(&rest[..now]);
                rest = &rest[now..];
                while let Some(frame) = deframer.next_frame().expect("valid") {
                    // And a small frame never holds the buffer of a large one.
                    assert!(frame.footprint() <= STEP.max(HEADER_LEN + frame.len()));
                }
            }
            assert!(deframer.is_at_boundary());
        }
    }
}
