//! Looks for pieces of a private file in a stream, wherever its chunks are cut.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

/// Length of a needle in bytes: long enough that random bytes never hold one (2^-192).
pub(crate) const NEEDLE: usize = 24;
/// At most so many needles are taken from a file: 16,384 of 24 bytes in 64 MiB are one in every 4 KiB.
const MAX_NEEDLES: u64 = 16_384;
/// Smallest distance between two needles in bytes.
const MIN_STRIDE: u64 = 4_096;
/// Bits of the filter that spares most windows the look-up in the map: 2^20 bits are 128 KiB.
const FILTER_BITS: usize = 1 << 20;

type Needle = [u8; NEEDLE];

/// What is looked for.
#[derive(Debug)]
pub(crate) struct Needles {
    filter: Vec<u64>,
    by_start: HashMap<u64, Vec<Needle>>,
    count: usize,
}

impl Needles {
    /// Takes `texts` (each of at least 24 bytes; only their first 24 count) as what is looked for.
    pub(crate) fn new<'a>(texts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut found = Self {
            filter: vec![0; FILTER_BITS / 64],
            by_start: HashMap::new(),
            count: 0,
        };
        let distinct: HashSet<Needle> = texts
            .into_iter()
            .filter_map(|text| text.first_chunk::<NEEDLE>().copied())
            .collect();
        for needle in distinct {
            let start = start_of(&needle);
            let bit = filter_bit(start);
            found.filter[bit / 64] |= 1 << (bit % 64);
            found.by_start.entry(start).or_default().push(needle);
            found.count += 1;
        }
        found
    }

    /// Takes samples of the first `len` bytes of `file`, evenly spread, and of `more`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn from_file(
        file: &mut (impl Read + Seek),
        len: u64,
        more: &[&[u8]],
    ) -> io::Result<Self> {
        let stride = (len / MAX_NEEDLES).max(MIN_STRIDE);
        let mut samples: Vec<Vec<u8>> = more.iter().map(|text| text.to_vec()).collect();
        let mut at = 0;
        while at + NEEDLE as u64 <= len {
            let mut sample = vec![0; NEEDLE];
            file.seek(SeekFrom::Start(at))?;
            file.read_exact(&mut sample)?;
            samples.push(sample);
            at += stride;
        }
        file.seek(SeekFrom::Start(0))?;
        Ok(Self::new(samples.iter().map(Vec::as_slice)))
    }

    /// How many different needles there are.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn matches(&self, window: &[u8]) -> bool {
        let start = start_of(window);
        let bit = filter_bit(start);
        self.filter[bit / 64] & (1 << (bit % 64)) != 0
            && self
                .by_start
                .get(&start)
                .is_some_and(|needles| needles.iter().any(|needle| needle == window))
    }
}

fn start_of(window: &[u8]) -> u64 {
    window
        .first_chunk::<8>()
        .map_or(0, |start| u64::from_le_bytes(*start))
}

/// Multiplicative hashing (Knuth, The Art of Computer Programming, 6.4): the top 20 bits.
fn filter_bit(start: u64) -> usize {
    let hash = start.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44;
    usize::try_from(hash).unwrap_or(0) % FILTER_BITS
}

/// Looks at one stream.
#[derive(Debug)]
pub(crate) struct Scanner {
    needles: Arc<Needles>,
    /// The last bytes of what was seen, fewer than a needle.
    tail: Vec<u8>,
    scanned: u64,
    hits: u64,
}

impl Scanner {
    /// A scanner at the start of a stream.
    pub(crate) fn new(needles: Arc<Needles>) -> Self {
        Self {
            needles,
            tail: Vec::with_capacity(2 * NEEDLE),
            scanned: 0,
            hits: 0,
        }
    }

    /// Looks at the next bytes of the stream.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.scanned += bytes.len() as u64;
        // Windows that begin in what was seen before and end in these bytes.
        let head = bytes.len().min(NEEDLE - 1);
        self.tail.extend_from_slice(&bytes[..head]);
        self.count(&self.tail.clone());
        // Windows inside of these bytes.
        self.count(bytes);
        let rest = if bytes.len() >= NEEDLE - 1 {
            bytes
        } else {
            &self.tail
        };
        self.tail = rest[rest.len().saturating_sub(NEEDLE - 1)..].to_vec();
    }

    fn count(&mut self, bytes: &[u8]) {
        let needles = &self.needles;
        let hits = bytes
            .windows(NEEDLE)
            .filter(|window| needles.matches(window))
            .count();
        self.hits += hits as u64;
    }

    /// How many needles were met.
    pub(crate) fn hits(&self) -> u64 {
        self.hits
    }

    /// How many bytes were looked at.
    pub(crate) fn scanned(&self) -> u64 {
        self.scanned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(len: usize) -> Vec<u8> {
        let mut x = 7_u32;
        let mut next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            x.to_be_bytes()[0]
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn every_needle_is_found_once_however_the_stream_is_cut() {
        let file = text(40_960);
        let mut source = io::Cursor::new(&file);
        let needles = Needles::from_file(
            &mut source,
            file.len() as u64,
            &[b"GET /private HTTP/1.1\r\nHost: a"],
        )
        .unwrap();
        assert_eq!(needles.count(), 11);
        let needles = Arc::new(needles);
        for cut in [1, 2, 7, 23, 24, 25, 1_000, 40_960] {
            let mut scanner = Scanner::new(Arc::clone(&needles));
            for chunk in file.chunks(cut) {
                scanner.feed(chunk);
            }
            assert_eq!((cut, scanner.hits(), scanner.scanned()), (cut, 10, 40_960));
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let needles = Arc::new(Needles::new([b"a needle of 24 bytes ...".as_slice()]));
        let mut scanner = Scanner::new(needles);
        scanner.feed(&text(100_000));
        scanner.feed(b"a needle of 24 bytes ..");
        scanner.feed(b"! a needle of 24 bytes ");
        assert_eq!(scanner.hits(), 0);
        scanner.feed(b"...");
        assert_eq!(scanner.hits(), 1);
    }
}
