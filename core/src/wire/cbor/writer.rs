//! Writing CBOR in its shortest, definite form.

/// Where encoded bytes go: a growing vector, or a slice whose length was computed before.
pub trait Sink {
    /// Writes `bytes` behind what was written before.
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for alloc::vec::Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl Sink for &mut alloc::vec::Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// Fills a slice from its front; what does not fit is left out, which the length shows.
impl Sink for &mut [u8] {
    fn put(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.len(), "the length was computed before");
        if let Some((out, rest)) = core::mem::take(self).split_at_mut_checked(bytes.len()) {
            out.copy_from_slice(bytes);
            *self = rest;
        }
    }
}

/// Bytes that the head of an item with this argument takes in its shortest form.
#[must_use]
pub const fn head_len(argument: u64) -> usize {
    match argument {
        0..24 => 1,
        24..=0xff => 2,
        0x100..=0xffff => 3,
        0x1_0000..=0xffff_ffff => 5,
        _ => 9,
    }
}

/// Writes items in their shortest, definite form.
#[derive(Debug)]
pub struct Writer<S> {
    sink: S,
}

impl<S: Sink> Writer<S> {
    /// A writer into `sink`.
    pub const fn new(sink: S) -> Self {
        Self { sink }
    }

    /// The sink with what was written.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// Start of an array of `count` items, which the caller writes next.
    pub fn array(&mut self, count: usize) -> &mut Self {
        self.head(4, count as u64)
    }

    /// Start of a map of `count` pairs, which the caller writes next.
    pub fn map(&mut self, count: usize) -> &mut Self {
        self.head(5, count as u64)
    }

    /// An unsigned integer.
    pub fn unsigned(&mut self, value: u64) -> &mut Self {
        self.head(0, value)
    }

    /// A byte string.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.bytes_head(value.len()).encoded(value)
    }

    /// Start of a byte string of `length` bytes, which the caller writes next.
    pub fn bytes_head(&mut self, length: usize) -> &mut Self {
        self.head(2, length as u64)
    }

    /// A text string.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, value.len() as u64).encoded(value.as_bytes())
    }

    /// `false` or `true`.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.encoded(&[if value { 0xf5 } else { 0xf4 }])
    }

    /// `null`.
    pub fn null(&mut self) -> &mut Self {
        self.encoded(&[0xf6])
    }

    /// Bytes that are encoded already.
    pub fn encoded(&mut self, bytes: &[u8]) -> &mut Self {
        self.sink.put(bytes);
        self
    }

    fn head(&mut self, major: u8, argument: u64) -> &mut Self {
        let bytes = argument.to_be_bytes();
        let [.., b4, b5, b6, b7] = bytes;
        let first = major << 5;
        match head_len(argument) {
            1 => self.encoded(&[first | b7]),
            2 => self.encoded(&[first | 24, b7]),
            3 => self.encoded(&[first | 25, b6, b7]),
            5 => self.encoded(&[first | 26, b4, b5, b6, b7]),
            _ => self.encoded(&[first | 27]).encoded(&bytes),
        }
    }
}

impl Writer<alloc::vec::Vec<u8>> {
    /// A writer into a new vector.
    #[must_use]
    pub const fn vec() -> Self {
        Self::new(alloc::vec::Vec::new())
    }
}
