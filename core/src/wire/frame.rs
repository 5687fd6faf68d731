//! The buffer that a message lives in from socket to socket.

use bytes::BytesMut;
use core::fmt;

/// One message in one buffer: headroom, content, tailroom.
///
/// ```text
/// buffer: | headroom ........ | content ............. | tailroom ... |
///         0                   start                   len     capacity
/// ```
///
/// Headers are written to the left of the content, the authentication tag to its right, so that a
/// body is read from one socket and written to the next without being copied in between.
#[derive(Default)]
pub struct Frame {
    /// `start <= buffer.len()` always holds.
    buffer: BytesMut,
    start: usize,
    /// Bytes of the buffer that this one was split off, which lives as long; 0 if there is none.
    whole: usize,
}

impl Frame {
    /// Bytes that a new frame keeps free before its content: a portal header, nonce, inner and
    /// outer routing prefix with some hops of ours, and the length.
    pub const HEADROOM: usize = 256;
    /// Bytes that a new frame keeps free behind its content: the empty padding and the tag.
    pub const TAILROOM: usize = 64;

    /// An empty frame with room for `capacity` bytes of content, headroom and tailroom.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let room = Self::HEADROOM
            .saturating_add(capacity)
            .saturating_add(Self::TAILROOM);
        let mut buffer = BytesMut::with_capacity(room);
        buffer.resize(Self::HEADROOM, 0);
        Self {
            buffer,
            start: Self::HEADROOM,
            whole: 0,
        }
    }

    /// A frame with a copy of `content`, headroom and tailroom.
    #[must_use]
    pub fn from_slice(content: &[u8]) -> Self {
        let mut frame = Self::with_capacity(content.len());
        frame.append(content);
        frame
    }

    /// A frame whose content is all of `buffer`; it has no headroom until it is consumed from.
    #[must_use]
    pub fn from_received(buffer: BytesMut) -> Self {
        Self::from_buffer(buffer, 0)
    }

    /// A frame whose content is `buffer` from `start` on; what is before becomes headroom.
    ///
    /// A `start` beyond the end makes an empty frame.
    #[must_use]
    pub fn from_buffer(buffer: BytesMut, start: usize) -> Self {
        let start = start.min(buffer.len());
        Self {
            buffer,
            start,
            whole: 0,
        }
    }

    /// As [`Frame::from_buffer`], of a buffer that was split off one of `whole` bytes, which lives as long.
    #[must_use]
    pub fn from_part(buffer: BytesMut, start: usize, whole: usize) -> Self {
        let frame = Self::from_buffer(buffer, start);
        Self { whole, ..frame }
    }

    /// The content.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The content, to work on in place.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..).unwrap_or_default()
    }

    /// Length of the content in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }

    /// Whether the content is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that can be prepended without moving the content.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes of memory that this frame keeps in use at the most: its buffer, and what that was split off.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.buffer.capacity().max(self.whole)
    }

    /// Moves the content to a buffer of its own size if it keeps more than four times as much in use, and 512 bytes.
    ///
    /// For frames that wait: a queue of small ones would otherwise hold all the buffers that they were received in.
    pub fn compact(&mut self) {
        const SLACK: usize = 512;
        if self.footprint() > self.len().saturating_mul(4).saturating_add(SLACK) {
            *self = Self::from_received(BytesMut::from(self.as_slice()));
        }
    }

    /// Grows the content by `count` bytes to the left and gives these bytes to be written.
    ///
    /// Moves the content to a new buffer, with full headroom, only if the headroom is short. What
    /// the new bytes hold before they are written is left over from earlier headers or zero.
    pub fn prepend(&mut self, count: usize) -> &mut [u8] {
        if count > self.start {
            self.make_headroom(count);
        }
        self.start = self.start.saturating_sub(count);
        let end = self.start.saturating_add(count);
        self.buffer.get_mut(self.start..end).unwrap_or_default()
    }

    /// Adds `bytes` behind the content; moves it only if the tailroom is short.
    pub fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Consumes `count` bytes from the front (at most all): they become headroom.
    pub fn advance(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.buffer.len());
    }

    /// Shortens the content to its first `length` bytes; what is behind becomes tailroom.
    pub fn truncate(&mut self, length: usize) {
        self.buffer.truncate(self.start.saturating_add(length));
    }

    /// Narrows the content to `range` of it (at most to its end).
    pub fn narrow(&mut self, range: core::ops::Range<usize>) {
        self.truncate(range.end);
        self.advance(range.start);
    }

    /// The buffer and the offset in it at which the content starts.
    #[must_use]
    pub fn into_buffer(self) -> (BytesMut, usize) {
        (self.buffer, self.start)
    }

    fn make_headroom(&mut self, count: usize) {
        let headroom = Self::HEADROOM.saturating_add(count);
        let mut buffer = BytesMut::with_capacity(headroom + self.len() + Self::TAILROOM);
        buffer.resize(headroom, 0);
        buffer.extend_from_slice(self.as_slice());
        *self = Self::from_buffer(buffer, headroom);
    }
}

impl Clone for Frame {
    fn clone(&self) -> Self {
        Self::from_slice(self.as_slice())
    }
}

impl PartialEq for Frame {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl Eq for Frame {}

impl fmt::Debug for Frame {
    /// Lengths only: the content may be a plaintext.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes after {})", self.len(), self.headroom())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_grow_to_the_left_without_moving_the_content() {
        let mut frame = Frame::from_slice(b"body");
        let before = frame.as_slice().as_ptr();
        frame.prepend(2).copy_from_slice(b"h2");
        frame.prepend(2).copy_from_slice(b"h1");
        frame.append(&[7; Frame::TAILROOM]);
        assert_eq!(frame.as_slice().get(..8), Some(&b"h1h2body"[..]));
        frame.advance(4);
        frame.truncate(4);
        assert_eq!(frame.as_slice(), b"body");
        assert_eq!(frame.as_slice().as_ptr(), before);
    }

    #[test]
    fn short_headroom_moves_the_content_once() {
        let mut frame = Frame::from_received(BytesMut::from(&b"xxbody"[..]));
        frame.advance(2);
        assert_eq!(frame.headroom(), 2);
        frame.prepend(3).copy_from_slice(b"new");
        assert_eq!(frame.as_slice(), b"newbody");
        assert!(frame.headroom() >= Frame::HEADROOM);
    }

    #[test]
    fn what_waits_keeps_little_more_than_its_own_size_in_use() {
        let mut large = BytesMut::with_capacity(100_000);
        large.extend_from_slice(&[7; 50_000]);
        let whole = large.capacity();
        let mut small = Frame::from_part(large.split_to(10), 4, whole);
        let mut rest = Frame::from_part(large.split_to(40_000), 4, whole);
        assert_eq!(small.footprint(), whole);
        for frame in [&mut small, &mut rest] {
            let (content, place) = (frame.as_slice().to_vec(), frame.as_slice().as_ptr());
            frame.compact();
            assert_eq!(frame.as_slice(), content);
            assert!(frame.footprint() <= 4 * content.len() + 512);
            // What is large already stays where it is.
            assert_eq!(frame.as_slice().as_ptr() == place, content.len() > 25_000);
        }
    }

    #[test]
    fn offsets_beyond_the_end_leave_an_empty_frame() {
        let mut frame = Frame::from_slice(b"abc");
        frame.advance(9);
        assert!(frame.is_empty());
        assert!(Frame::from_buffer(BytesMut::from(&b"a"[..]), 5).is_empty());
        let mut frame = Frame::from_slice(b"abcdef");
        frame.narrow(2..4);
        assert_eq!(frame.as_slice(), b"cd");
    }
}
