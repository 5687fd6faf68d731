//! BARE, as far as the reference uses it (reference, section 0.2).
//!
//! `uint` is LEB128 in at most ten bytes, the tenth of which may only be `01`; forms that are not
//! minimal are read. `data` and `string` are a `uint` length and the bytes.

use alloc::vec::Vec;

use super::DecodeError;

/// Most bytes that a `uint` takes.
pub const MAX_UINT_LEN: usize = 10;

/// Reads values from a slice, front to back, without copying them.
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

    /// Offset of the next value in the input.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// What has not been read.
    #[must_use]
    pub fn remaining(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end of the input.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        let byte = *self.remaining().first().ok_or(DecodeError::Truncated {
            needed: 1,
            available: 0,
        })?;
        self.position += 1;
        Ok(byte)
    }

    /// Exactly `N` bytes, without a length before them.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let rest = self.remaining();
        let (bytes, _) = rest.split_first_chunk().ok_or(DecodeError::Truncated {
            needed: N as u64,
            available: rest.len(),
        })?;
        self.position += N;
        Ok(*bytes)
    }

    /// A variable-length unsigned integer in its shortest form only: what has one meaning has one encoding.
    ///
    /// # Errors
    /// Those of [`Reader::uint`], and [`DecodeError::Malformed`] for a longer form.
    pub fn shortest_uint(&mut self) -> Result<u64, DecodeError> {
        let position = self.position;
        let value = self.uint()?;
        if self.position - position != uint_len(value) {
            return Err(DecodeError::Malformed { position });
        }
        Ok(value)
    }

    /// A variable-length unsigned integer.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], or [`DecodeError::OutOfRange`] beyond 64 bits.
    pub fn uint(&mut self) -> Result<u64, DecodeError> {
        let position = self.position;
        let mut value = 0;
        for index in 0..MAX_UINT_LEN {
            let byte = self.u8()?;
            if index == MAX_UINT_LEN - 1 && byte != 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::OutOfRange { position })
    }

    /// A length and that many bytes, borrowed from the input.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] if the input is shorter than the length says.
    pub fn data(&mut self) -> Result<&'a [u8], DecodeError> {
        self.data_at_most(usize::MAX)
    }

    /// As [`data`](Self::data), of at most `max` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] or [`DecodeError::TooLong`].
    pub fn data_at_most(&mut self, max: usize) -> Result<&'a [u8], DecodeError> {
        let length = self.uint()?;
        if length > max as u64 {
            return Err(DecodeError::TooLong { length, max });
        }
        let rest = self.remaining();
        let data = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
            .ok_or(DecodeError::Truncated {
                needed: length,
                available: rest.len(),
            })?;
        self.position += data.len();
        Ok(data)
    }

    /// A length and that many bytes of UTF-8.
    ///
    /// # Errors
    /// As [`data`](Self::data), and [`DecodeError::InvalidUtf8`].
    pub fn string(&mut self) -> Result<&'a str, DecodeError> {
        let position = self.position;
        core::str::from_utf8(self.data()?).map_err(|_| DecodeError::InvalidUtf8 { position })
    }
}

/// Bytes that `value` takes as a `uint`.
#[must_use]
pub const fn uint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// `value` as a `uint`: the bytes, of which the first `length` count, and `length`.
#[must_use]
pub fn encode_uint(mut value: u64) -> ([u8; MAX_UINT_LEN], usize) {
    let length = uint_len(value);
    let mut bytes = [0; MAX_UINT_LEN];
    for byte in bytes.iter_mut().take(length) {
        let [low, ..] = value.to_le_bytes();
        value >>= 7;
        *byte = (low & 0x7f) | if value > 0 { 0x80 } else { 0 };
    }
    (bytes, length)
}

/// Appends `value` as a `uint`.
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    let (bytes, length) = encode_uint(value);
    out.extend(bytes.iter().take(length));
}

/// Appends a length and `data`.
pub fn write_data(out: &mut Vec<u8>, data: &[u8]) {
    write_uint(out, data.len() as u64);
    out.extend_from_slice(data);
}

/// Appends a length and `text`.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    write_data(out, text.as_bytes());
}

/// `text` as a whole payload: the message type `String` of the reference (section 0.3).
#[must_use]
pub fn string_payload(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(MAX_UINT_LEN + text.len());
    write_string(&mut out, text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_byte_of_a_uint_is_one_at_most() {
        let mut bytes = [0xff; 10];
        bytes[9] = 1;
        assert_eq!(Reader::new(&bytes).uint(), Ok(u64::MAX));
        for last in [0, 2, 0x81, 0xff] {
            bytes[9] = last;
            assert!(matches!(
                Reader::new(&bytes).uint(),
                Err(DecodeError::OutOfRange { .. })
            ));
        }
    }

    #[test]
    fn a_length_beyond_the_input_is_refused() {
        let mut input = Vec::new();
        write_uint(&mut input, u64::MAX);
        assert!(matches!(
            Reader::new(&input).data(),
            Err(DecodeError::Truncated { .. })
        ));
    }
}
