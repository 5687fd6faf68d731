//! The record layer in memory: sealing and opening a frame of a channel, against the bare AEAD of aws-lc-rs on as many
//! bytes with an expanded key. What lies between them is the nonce, the window, the rekey each 32 messages. Both work in place, the bare one
//! in page-aligned memory.

use super::timing::{batch, side_by_side};
use crate::aligned::Aligned;
use crate::report::Report;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use sealway_core::Tick;
use sealway_core::channel::{Opener, Sealer};
use sealway_core::wire::Frame;
use std::io;
use std::time::{Duration, Instant};

const KEY: [u8; 32] = [7; 32];
/// Length of the nonce in front of a sealed frame in bytes.
const NONCE: usize = 8;
/// Length of the tag behind it in bytes.
const TAG: usize = 16;
/// Operations timed together.
const BATCH: u32 = 32;

/// Measures both directions at 64 B, 1 KiB, 16 KiB and 64 KiB, `duration` each.
pub(crate) fn measure(report: &mut Report, duration: Duration) {
    for (len, name) in [
        (64, "64B"),
        (1024, "1KiB"),
        (16 * 1024, "16KiB"),
        (64 * 1024, "64KiB"),
    ] {
        for (operation, measured) in [("seal", seal(len, duration)), ("open", open(len, duration))]
        {
            let name = format!("record/{operation}_{name}");
            match measured {
                Ok((ours, bare)) => {
                    let rate = |seconds: f64| len as f64 / seconds / 1e9;
                    report.add(&name, "GB/s", rate(ours), Some(rate(bare)));
                }
                Err(error) => report.failed(&name, &error),
            }
        }
    }
}

fn seal(len: usize, duration: Duration) -> io::Result<(f64, f64)> {
    let mut sealer = Sealer::new(&KEY);
    let mut frame = Frame::from_slice(&vec![0x5a; len]);
    let mut bare = Bare::new()?;
    let mut bytes = Aligned::new(len, 0x5a);
    side_by_side(
        duration,
        || {
            batch(BATCH, || {
                sealer.seal(&mut frame).map_err(io::Error::other)?;
                // The ciphertext is as good a plaintext as any for the next time.
                frame.advance(NONCE);
                frame.truncate(len);
                Ok(())
            })
        },
        || batch(BATCH, || bare.seal(&mut bytes).map(drop)),
    )
}

fn open(len: usize, duration: Duration) -> io::Result<(f64, f64)> {
    let plaintext = vec![0x5a; len];
    let (mut sealer, mut opener) = (Sealer::new(&KEY), Opener::new(&KEY));
    let mut bare = Bare::new()?;
    side_by_side(
        duration,
        || {
            let mut frames = Vec::new();
            for _ in 0..BATCH {
                let mut frame = Frame::from_slice(&plaintext);
                sealer.seal(&mut frame).map_err(io::Error::other)?;
                frames.push(frame);
            }
            let began = Instant::now();
            for frame in &mut frames {
                opener.open(frame, Tick(0)).map_err(io::Error::other)?;
            }
            let spent = began.elapsed();
            match frames.iter().all(|frame| frame.as_slice() == plaintext) {
                true => Ok((BATCH, spent)),
                false => Err(io::Error::other("opened to something else")),
            }
        },
        || {
            let mut sealed = Vec::new();
            for _ in 0..BATCH {
                let mut bytes = Aligned::new(len + TAG, 0x5a);
                let nonce = bare.next;
                let tag = bare.seal(&mut bytes[..len])?;
                bytes[len..].copy_from_slice(&tag);
                sealed.push((nonce, bytes));
            }
            batch_of(&mut sealed, |(nonce, bytes)| bare.open(*nonce, bytes))
        },
    )
}

fn batch_of<T>(
    items: &mut [T],
    mut operation: impl FnMut(&mut T) -> io::Result<()>,
) -> io::Result<(u32, Duration)> {
    let began = Instant::now();
    for item in &mut *items {
        operation(item)?;
    }
    let spent = began.elapsed();
    Ok((u32::try_from(items.len()).map_err(io::Error::other)?, spent))
}

/// AES-256-GCM with its expanded key and a counter.
struct Bare {
    key: LessSafeKey,
    next: u64,
}

impl Bare {
    fn new() -> io::Result<Self> {
        let key = UnboundKey::new(&AES_256_GCM, &KEY).map_err(io::Error::other)?;
        Ok(Bare {
            key: LessSafeKey::new(key),
            next: 0,
        })
    }

    /// Encrypts in place and returns the tag.
    fn seal(&mut self, bytes: &mut [u8]) -> io::Result<[u8; TAG]> {
        let nonce = nonce(self.next);
        self.next += 1;
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), bytes)
            .map_err(io::Error::other)?;
        tag.as_ref().try_into().map_err(io::Error::other)
    }

    fn open(&self, number: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.key
            .open_in_place(nonce(number), Aad::empty(), bytes)
            .map(drop)
            .map_err(io::Error::other)
    }
}

fn nonce(number: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
