//! Bounded CBOR, as lenient as the reference where it is safe (reference, section 0.1).
//!
//! Accepted like there: integers that are not in their shortest form, arrays and maps of
//! indefinite length, additional elements (they are skipped), bytes after the top-level item.
//! Refused: byte and text strings of indefinite length (as there), nesting beyond [`MAX_DEPTH`],
//! and every length or count that the rest of the input cannot hold. Nothing here allocates:
//! strings are borrowed from the input.

mod writer;

pub use writer::{Sink, Writer, head_len};

use super::DecodeError;

/// Deepest nesting of items that are skipped, or that a decoder built on [`Reader`] may enter.
pub const MAX_DEPTH: usize = 16;

/// What kind of item stands next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unsigned integer (major type 0).
    Unsigned,
    /// Negative integer (major type 1).
    Negative,
    /// Byte string (major type 2).
    Bytes,
    /// Text string (major type 3).
    Text,
    /// Array (major type 4).
    Array,
    /// Map (major type 5).
    Map,
    /// Tag (major type 6).
    Tag,
    /// `false` or `true`.
    Bool,
    /// `null` or `undefined`.
    Null,
    /// Floats and other simple values.
    Simple,
    /// The end of an indefinite item.
    Break,
}

/// First byte and argument of an item.
struct Head {
    major: u8,
    /// Additional information: the low five bits.
    info: u8,
    argument: u64,
    position: usize,
}

const INDEFINITE: u8 = 31;
const BREAK: u8 = 0xff;

/// Reads items from a slice, front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    input: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `input`.
    #[must_use]
    pub const fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0 }
    }

    /// Offset of the next item in the input.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// What has not been read.
    #[must_use]
    pub fn remaining(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    /// The input from offset `start` to the next item: an item's own bytes, for hashing them.
    #[must_use]
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.input.get(start..self.position).unwrap_or_default()
    }

    /// Kind of the next item, which is not consumed.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn peek(&self) -> Result<Kind, DecodeError> {
        let byte = *self.remaining().first().ok_or(DecodeError::Truncated {
            needed: 1,
            available: 0,
        })?;
        Ok(match byte >> 5 {
            0 => Kind::Unsigned,
            1 => Kind::Negative,
            2 => Kind::Bytes,
            3 => Kind::Text,
            4 => Kind::Array,
            5 => Kind::Map,
            6 => Kind::Tag,
            _ => match byte {
                0xf4 | 0xf5 => Kind::Bool,
                0xf6 | 0xf7 => Kind::Null,
                BREAK => Kind::Break,
                _ => Kind::Simple,
            },
        })
    }

    /// An unsigned integer.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(self.head_of(0, "an unsigned integer")?.argument)
    }

    /// An unsigned integer below 2^32.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        let position = self.position;
        u32::try_from(self.u64()?).map_err(|_| DecodeError::OutOfRange { position })
    }

    /// An unsigned integer below 2^16.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        let position = self.position;
        u16::try_from(self.u64()?).map_err(|_| DecodeError::OutOfRange { position })
    }

    /// An unsigned integer below 2^8.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let position = self.position;
        u8::try_from(self.u64()?).map_err(|_| DecodeError::OutOfRange { position })
    }

    /// `false` or `true`.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        let position = self.position;
        match self.byte()? {
            0xf4 => Ok(false),
            0xf5 => Ok(true),
            _ => {
                self.position = position;
                Err(unexpected("a boolean", position))
            }
        }
    }

    /// Whether `null` or `undefined` stands here; it is consumed if so.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn null(&mut self) -> Result<bool, DecodeError> {
        let is_null = self.peek()? == Kind::Null;
        if is_null {
            self.position += 1;
        }
        Ok(is_null)
    }

    /// A byte string, borrowed from the input.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here or the input is too short.
    pub fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        self.bytes_at_most(usize::MAX)
    }

    /// A byte string of at most `max` bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here, the input is too short or the string too long.
    pub fn bytes_at_most(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.head_of(2, "a byte string")?.argument;
        if length > max as u64 {
            return Err(DecodeError::TooLong { length, max });
        }
        self.take(length)
    }

    /// A byte string of exactly `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here or the length differs.
    pub fn byte_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let position = self.position;
        let bytes = self.bytes_at_most(N)?;
        bytes
            .try_into()
            .map_err(|_| DecodeError::OutOfRange { position })
    }

    /// A text string, borrowed from the input.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here, the input is too short or not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, DecodeError> {
        self.text_at_most(usize::MAX)
    }

    /// A text string of at most `max` bytes.
    ///
    /// # Errors
    /// As for [`text`](Self::text), and if the string is too long.
    pub fn text_at_most(&mut self, max: usize) -> Result<&'a str, DecodeError> {
        let head = self.head_of(3, "a text string")?;
        if head.argument > max as u64 {
            let length = head.argument;
            return Err(DecodeError::TooLong { length, max });
        }
        self.take_text(&head)
    }

    /// The start of an array.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here or the input cannot hold the count.
    pub fn array(&mut self) -> Result<Items, DecodeError> {
        self.container(4, "an array", 1)
    }

    /// The start of a map. Its items are keys: each is followed by its value.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here or the input cannot hold the count.
    pub fn map(&mut self) -> Result<Items, DecodeError> {
        self.container(5, "a map", 2)
    }

    /// A tag's number; the tagged item follows.
    ///
    /// # Errors
    /// [`DecodeError`] if something else stands here.
    pub fn tag(&mut self) -> Result<u64, DecodeError> {
        Ok(self.head_of(6, "a tag")?.argument)
    }

    /// Skips one item of whatever kind, and all that is in it, without allocating.
    ///
    /// # Errors
    /// [`DecodeError`] if the item is malformed, or [`DecodeError::TooDeep`].
    pub fn skip(&mut self) -> Result<(), DecodeError> {
        self.skip_within(MAX_DEPTH)
    }

    /// Succeeds at the end of the input only.
    ///
    /// # Errors
    /// [`DecodeError::TrailingBytes`].
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining().len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes(count)),
        }
    }

    fn skip_within(&mut self, depth: usize) -> Result<(), DecodeError> {
        let depth = depth
            .checked_sub(1)
            .ok_or(DecodeError::TooDeep { max: MAX_DEPTH })?;
        let head = self.head()?;
        match (head.major, head.info) {
            (2 | 3, INDEFINITE) => self.skip_chunks(head.major),
            (2, _) => self.take(head.argument).map(|_| ()),
            (3, _) => self.take_text(&head).map(|_| ()),
            (4 | 5, _) => {
                let per_item = u64::from(head.major) - 3;
                let mut items = self.items(&head, per_item)?;
                while items.next(self)? {
                    for _ in 0..per_item {
                        self.skip_within(depth)?;
                    }
                }
                Ok(())
            }
            (6, _) => self.skip_within(depth),
            (0..=5 | 7, INDEFINITE) => Err(malformed(&head)),
            _ => Ok(()),
        }
    }

    fn skip_chunks(&mut self, major: u8) -> Result<(), DecodeError> {
        loop {
            if self.peek()? == Kind::Break {
                self.position += 1;
                return Ok(());
            }
            match major {
                2 => self.bytes().map(|_| ())?,
                _ => self.text().map(|_| ())?,
            }
        }
    }

    fn container(
        &mut self,
        major: u8,
        expected: &'static str,
        per_item: u64,
    ) -> Result<Items, DecodeError> {
        let start = self.position;
        let head = self.head()?;
        if head.major != major {
            self.position = start;
            return Err(unexpected(expected, start));
        }
        self.items(&head, per_item)
    }

    /// Every item takes a byte at least, so that a count is refused at once if it is a lie.
    fn items(&self, head: &Head, per_item: u64) -> Result<Items, DecodeError> {
        if head.info == INDEFINITE {
            return Ok(Items { left: None });
        }
        let needed = head.argument.saturating_mul(per_item);
        let available = self.remaining().len();
        if needed > available as u64 {
            return Err(DecodeError::Truncated { needed, available });
        }
        Ok(Items {
            left: Some(head.argument),
        })
    }

    fn take_text(&mut self, head: &Head) -> Result<&'a str, DecodeError> {
        let position = head.position;
        core::str::from_utf8(self.take(head.argument)?)
            .map_err(|_| DecodeError::InvalidUtf8 { position })
    }

    /// A head of the wanted type that is not indefinite; stays put if another stands here.
    fn head_of(&mut self, major: u8, expected: &'static str) -> Result<Head, DecodeError> {
        let start = self.position;
        let head = self.head()?;
        if head.major != major || head.info == INDEFINITE {
            self.position = start;
            return Err(unexpected(expected, start));
        }
        Ok(head)
    }

    fn head(&mut self) -> Result<Head, DecodeError> {
        let position = self.position;
        let first = self.byte()?;
        let mut head = Head {
            major: first >> 5,
            info: first & 0x1f,
            argument: 0,
            position,
        };
        head.argument = match head.info {
            info @ 0..24 => u64::from(info),
            24 => u64::from(self.byte()?),
            25 => u64::from(u16::from_be_bytes(self.take_array()?)),
            26 => u64::from(u32::from_be_bytes(self.take_array()?)),
            27 => u64::from_be_bytes(self.take_array()?),
            INDEFINITE if matches!(head.major, 2..=5 | 7) => 0,
            _ => return Err(malformed(&head)),
        };
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.take_array()?))
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, _) = self
            .remaining()
            .split_first_chunk()
            .ok_or(DecodeError::Truncated {
                needed: N as u64,
                available: self.remaining().len(),
            })?;
        self.position += N;
        Ok(*bytes)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], DecodeError> {
        let rest = self.remaining();
        let taken = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
            .ok_or(DecodeError::Truncated {
                needed: length,
                available: rest.len(),
            })?;
        self.position += taken.len();
        Ok(taken)
    }
}

fn unexpected(expected: &'static str, position: usize) -> DecodeError {
    DecodeError::UnexpectedType { expected, position }
}

fn malformed(head: &Head) -> DecodeError {
    DecodeError::Malformed {
        position: head.position,
    }
}

/// How many items of an array or map are still to come.
#[derive(Debug)]
#[must_use]
pub struct Items {
    /// `None`: until a break.
    left: Option<u64>,
}

impl Items {
    /// Number of items, where the encoding states it.
    #[must_use]
    pub const fn count(&self) -> Option<u64> {
        self.left
    }

    /// Whether another item follows, which the caller then reads; the end is consumed.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn next(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        match &mut self.left {
            Some(0) => Ok(false),
            Some(left) => {
                *left -= 1;
                Ok(true)
            }
            None if reader.peek()? == Kind::Break => {
                reader.position += 1;
                self.left = Some(0);
                Ok(false)
            }
            None => Ok(true),
        }
    }

    /// Goes on to a mandatory item.
    ///
    /// # Errors
    /// [`DecodeError::MissingField`] with `name` if there is none.
    pub fn expect(
        &mut self,
        reader: &mut Reader<'_>,
        name: &'static str,
    ) -> Result<(), DecodeError> {
        match self.next(reader)? {
            true => Ok(()),
            false => Err(DecodeError::MissingField(name)),
        }
    }

    /// Whether another item follows that is not `null`: an optional field by position.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn next_present(&mut self, reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
        Ok(self.next(reader)? && !reader.null()?)
    }

    /// Skips what is left of an array.
    ///
    /// # Errors
    /// [`DecodeError`] if an item is malformed or nested too deep.
    pub fn skip_rest(mut self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        while self.next(reader)? {
            reader.skip()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    #[test]
    fn shortest_heads_are_written_and_read() {
        for value in [
            0,
            23,
            24,
            255,
            256,
            65_535,
            65_536,
            u64::from(u32::MAX),
            u64::MAX,
        ] {
            let mut writer = Writer::vec();
            writer.unsigned(value);
            let bytes = writer.into_sink();
            assert_eq!(bytes.len(), head_len(value));
            assert_eq!(Reader::new(&bytes).u64(), Ok(value));
        }
    }

    #[test]
    fn lengths_beyond_the_input_are_refused() {
        for input in [
            &[0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &[0x5a, 0xff, 0xff, 0xff, 0xff],
            &[0x9a, 0xff, 0xff, 0xff, 0xff],
            &[0xbb, 0x80, 0, 0, 0, 0, 0, 0, 0],
            &[0xa1, 0x01],
        ] {
            assert!(matches!(
                Reader::new(input).skip(),
                Err(DecodeError::Truncated { .. })
            ));
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_recursion_to_the_end() {
        for opener in [0x9f, 0x81, 0xbf, 0xc1] {
            let bomb = vec![opener; 1 << 20];
            assert_eq!(
                Reader::new(&bomb).skip(),
                Err(DecodeError::TooDeep { max: MAX_DEPTH })
            );
        }
    }

    #[test]
    fn indefinite_and_long_forms_are_read() {
        // [_ 1, {_ "a": h'00'}, (_ h'01' h'02')] then one byte more
        let input = [
            0x9f, 0x19, 0, 1, 0xbf, 0x61, b'a', 0x41, 0, 0xff, 0x5f, 0x41, 1, 0x41, 2, 0xff, 0xff,
            9,
        ];
        let mut reader = Reader::new(&input);
        let mut items = reader.array().expect("an array");
        assert_eq!(items.count(), None);
        items.expect(&mut reader, "first").expect("an item");
        assert_eq!(reader.u8(), Ok(1));
        items.skip_rest(&mut reader).expect("well formed");
        assert_eq!(reader.finish(), Err(DecodeError::TrailingBytes(1)));
    }

    #[test]
    fn a_wrong_kind_leaves_the_reader_where_it_was() {
        let input = [0x43, 1, 2, 3];
        let mut reader = Reader::new(&input);
        assert!(reader.u64().is_err());
        assert!(reader.array().is_err());
        assert!(reader.text().is_err());
        assert_eq!(reader.bool().ok(), None);
        assert_eq!(reader.bytes(), Ok(&[1, 2, 3][..]));
    }

    #[test]
    fn a_slice_is_filled_exactly() {
        let mut out = [0; 5];
        let mut writer = Writer::new(&mut out[..]);
        writer.array(2).bytes(&[7]).bool(true).null();
        assert!(writer.into_sink().is_empty());
        assert_eq!(out, [0x82, 0x41, 7, 0xf5, 0xf6]);
        let vec: Vec<u8> = Vec::new();
        assert!(Reader::new(&vec).peek().is_err());
    }
}
