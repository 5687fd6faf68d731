//! What both ends of a measured connection speak.
//!
//! ```text
//! hello  = mode (1) || block length (u32, big-endian) || milliseconds to send for (u32, big-endian) || filler up to 64 bytes
//! block  = number (u64, big-endian) || last (1) || filler up to the block length
//! ```
//!
//! Blocks are sent from and received into page-aligned memory, and a hello is so long that the kernel's copies of the blocks behind it do
//! not lie 1 to 31 bytes off a page (see [`Aligned`]): the service and the load are as cheap as they can be.
//!
//! Blocks are numbered and checked, so that a tunnel which loses, repeats or reorders bytes fails the run instead of
//! looking fast; the last one is marked, so that the end does not depend on how a tunnel passes on a half-closed stream.

use crate::aligned::Aligned;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Length of a hello in bytes.
pub(crate) const HELLO: usize = 64;
/// Length of a bulk block in bytes.
pub(crate) const BLOCK: usize = 64 * 1024;
/// Number and mark in front of a block's filler.
const HEAD: usize = 9;
const FILLER: u8 = 0x5a;

/// What the far end does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Receives blocks, then answers with the number of bytes (u64, big-endian).
    Up,
    /// Sends blocks for the time given.
    Down,
    /// Sends back messages of the block length, until the end of the stream.
    Echo,
}

/// The first bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) mode: Mode,
    pub(crate) block_len: u32,
    pub(crate) duration: Duration,
}

impl Hello {
    pub(crate) fn echo(block_len: u32) -> Self {
        Hello {
            mode: Mode::Echo,
            block_len,
            duration: Duration::ZERO,
        }
    }

    pub(crate) fn bulk(mode: Mode, duration: Duration) -> io::Result<Self> {
        let block_len = u32::try_from(BLOCK).map_err(io::Error::other)?;
        Ok(Hello {
            mode,
            block_len,
            duration,
        })
    }

    pub(crate) fn encode(&self) -> [u8; HELLO] {
        let mut out = [0; HELLO];
        out[0] = match self.mode {
            Mode::Up => b'U',
            Mode::Down => b'D',
            Mode::Echo => b'E',
        };
        let millis = u32::try_from(self.duration.as_millis()).unwrap_or(u32::MAX);
        out[1..5].copy_from_slice(&self.block_len.to_be_bytes());
        out[5..9].copy_from_slice(&millis.to_be_bytes());
        out
    }

    pub(crate) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; HELLO];
        from.read_exact(&mut bytes)?;
        let [mode, a, b, c, d, e, f, g, h, ..] = bytes;
        let mode = match mode {
            b'U' => Mode::Up,
            b'D' => Mode::Down,
            b'E' => Mode::Echo,
            _ => return Err(io::Error::other("a hello of no known mode")),
        };
        let block_len = u32::from_be_bytes([a, b, c, d]);
        if block_len == 0 || block_len > 1 << 20 {
            return Err(io::Error::other(format!(
                "a hello with blocks of {block_len} bytes"
            )));
        }
        let millis = u32::from_be_bytes([e, f, g, h]);
        Ok(Hello {
            mode,
            block_len,
            duration: Duration::from_millis(millis.into()),
        })
    }
}

/// Sends numbered blocks for `duration`, then one marked as the last. Returns the bytes sent.
pub(crate) fn send(to: &mut impl Write, duration: Duration) -> io::Result<u64> {
    send_counting(to, duration, &AtomicU64::new(0))
}

/// The same, and `sent` tells how many bytes have been sent so far.
pub(crate) fn send_counting(
    to: &mut impl Write,
    duration: Duration,
    sent: &AtomicU64,
) -> io::Result<u64> {
    let mut block = Aligned::new(BLOCK, FILLER);
    let began = Instant::now();
    let mut number = 0_u64;
    loop {
        let last = began.elapsed() >= duration;
        block[..8].copy_from_slice(&number.to_be_bytes());
        block[8] = u8::from(last);
        to.write_all(&block)?;
        number += 1;
        sent.store(number * BLOCK as u64, Ordering::Relaxed);
        if last {
            return Ok(number * BLOCK as u64);
        }
    }
}

/// Receives numbered blocks to the one marked as the last and checks each. Returns the bytes received.
pub(crate) fn receive(from: &mut impl Read) -> io::Result<u64> {
    let mut block = Aligned::new(BLOCK, 0);
    let mut expected = 0_u64;
    loop {
        from.read_exact(&mut block)?;
        let mut number = [0; 8];
        number.copy_from_slice(&block[..8]);
        let number = u64::from_be_bytes(number);
        if number != expected || block[8] > 1 || block[HEAD] != FILLER || block[BLOCK - 1] != FILLER
        {
            return Err(io::Error::other(format!(
                "block {expected} arrived as {number}"
            )));
        }
        expected += 1;
        if block[8] == 1 {
            return Ok(expected * BLOCK as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hello_survives_the_wire() {
        let hello = Hello {
            mode: Mode::Down,
            block_len: 4096,
            duration: Duration::from_millis(250),
        };
        assert_eq!(Hello::read(&mut &hello.encode()[..]).unwrap(), hello);
        let mut no_length = hello.encode();
        no_length[1..5].fill(0);
        assert!(Hello::read(&mut &no_length[..]).is_err());
        let mut no_mode = hello.encode();
        no_mode[0] = b'?';
        assert!(Hello::read(&mut &no_mode[..]).is_err());
    }

    #[test]
    fn lost_and_repeated_blocks_are_noticed() {
        let mut stream = Vec::new();
        let sent = send(&mut stream, Duration::from_millis(2)).unwrap();
        assert_eq!(sent, stream.len() as u64);
        assert_eq!(receive(&mut &stream[..]).unwrap(), sent);
        assert!(stream.len() > 2 * BLOCK, "too few blocks for the test");

        let lost = [&stream[..BLOCK], &stream[2 * BLOCK..]].concat();
        assert!(receive(&mut &lost[..]).is_err());
        let repeated = [&stream[..BLOCK], &stream[..]].concat();
        assert!(receive(&mut &repeated[..]).is_err());
        assert!(
            receive(&mut &stream[..stream.len() - 1]).is_err(),
            "cut short"
        );
    }
}
