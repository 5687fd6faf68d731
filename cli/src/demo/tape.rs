//! What passed on one side of the relay in one direction: counted, searched, and its beginning kept.

use std::sync::Arc;

use super::scan::{Needles, Scanner};

/// At most so many bytes of each stream are kept.
const KEPT: usize = 1 << 20;
/// A frame of at least so many bytes carries data, and is shown as the example: handshakes are shorter.
const DATA_FRAME: usize = 2_048;

/// A recording.
#[derive(Debug)]
pub(crate) struct Tape {
    scanner: Scanner,
    frames: u64,
    beginning: Vec<u8>,
    example: Option<Vec<u8>>,
}

impl Tape {
    /// An empty recording that is searched for `needles`.
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        Self {
            scanner: Scanner::new(needles),
            frames: 0,
            beginning: Vec::new(),
            example: None,
        }
    }

    /// Records one frame with its header.
    pub(crate) fn record(&mut self, frame: &[u8]) {
        self.frames += 1;
        self.scanner.feed(frame);
        let room = KEPT.saturating_sub(self.beginning.len());
        self.beginning
            .extend_from_slice(&frame[..frame.len().min(room)]);
        if self.example.is_none() && frame.len() >= DATA_FRAME {
            self.example = Some(frame[..DATA_FRAME].to_vec());
        }
    }

    /// How many bytes passed.
    pub(crate) fn bytes(&self) -> u64 {
        self.scanner.scanned()
    }

    /// How many frames passed.
    pub(crate) fn frames(&self) -> u64 {
        self.frames
    }

    /// How many pieces of the plaintext were met.
    pub(crate) fn hits(&self) -> u64 {
        self.scanner.hits()
    }

    /// The first bytes that passed, at most 1 MiB.
    pub(crate) fn beginning(&self) -> &[u8] {
        &self.beginning
    }

    /// The first bytes of the first frame that carried data.
    pub(crate) fn example(&self) -> Option<&[u8]> {
        self.example.as_deref()
    }
}

/// `bytes` as lines of 16: offset, hex, and what a reader would see.
pub(crate) fn hex_dump(bytes: &[u8]) -> Vec<String> {
    bytes
        .chunks(16)
        .enumerate()
        .map(|(row, chunk)| {
            let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
            let text: String = chunk
                .iter()
                .map(|byte| {
                    if byte.is_ascii_graphic() || *byte == b' ' {
                        char::from(*byte)
                    } else {
                        '.'
                    }
                })
                .collect();
            format!("{:04x}  {:<47}  {text}", row * 16, hex.join(" "))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_keeps_a_bounded_beginning_and_searches_all_of_it() {
        let needle = b"the private text of a file";
        let mut tape = Tape::new(Arc::new(Needles::new([needle.as_slice()])));
        for _ in 0..20 {
            tape.record(&[0x55; 100_000]);
        }
        tape.record(&needle[..10]);
        tape.record(&needle[10..]);
        assert_eq!(
            (tape.frames(), tape.bytes(), tape.hits()),
            (22, 2_000_026, 1)
        );
        assert_eq!(tape.beginning().len(), KEPT);
        assert_eq!(tape.example().map(<[u8]>::len), Some(DATA_FRAME));
        assert_eq!(
            hex_dump(b"abc\n")[0],
            "0000  61 62 63 0a                                      abc."
        );
    }
}
