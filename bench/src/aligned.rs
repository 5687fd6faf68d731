//! Buffers that begin on a page.
//!
//! On some processors a block copy is twenty times slower when destination and source lie 1 to 31 bytes apart modulo a page. Whoever
//! reads and writes whole pages from the beginning of a page never meets that, so that a baseline is at its best.

use std::ops::{Deref, DerefMut};

/// Bytes of a page.
pub(crate) const PAGE: usize = 4096;

/// A buffer of fixed length whose first byte lies on a page's first.
pub(crate) struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// `len` bytes of `filler`.
    pub(crate) fn new(len: usize, filler: u8) -> Self {
        let bytes = vec![filler; len + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Aligned { bytes, start, len }
    }
}

impl Deref for Aligned {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_begin_on_a_page() {
        for len in [1, 100, 65_536] {
            let mut buffer = Aligned::new(len, 7);
            assert_eq!(buffer.as_ptr().addr() % PAGE, 0);
            assert_eq!(buffer.len(), len);
            buffer[len - 1] = 8;
            assert_eq!(
                buffer.iter().map(|byte| usize::from(*byte)).sum::<usize>(),
                7 * len + 1
            );
        }
    }
}
