//! The payload of the portal cells: bytes both ways through one TCP connection, compared by SHA-256.
//!
//! The client writes a length (u64, big-endian) and as many bytes; the target answers their SHA-256, then as many
//! bytes of its own. Nobody half-closes, since the reference's portals tear both directions down at the first end.

use sha2::{Digest, Sha256};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// How long either side may stand still.
const PATIENCE: Duration = Duration::from_secs(30);
const CHUNK: usize = 64 * 1024;
/// Different bytes in each direction, so that an echo is not taken for the answer.
const UP: u64 = 0x9e37_79b9_7f4a_7c15;
const DOWN: u64 = 0xd1b5_4a32_d192_ed03;

/// Why a transfer did not bring the bytes across.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The connection failed or ended early.
    #[error("{phase} after {done} of {total} bytes: {source}")]
    Io {
        /// What was being done.
        phase: &'static str,
        /// Bytes of it that were through.
        done: u64,
        /// Bytes that it should have been.
        total: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Bytes arrived changed.
    #[error("{phase}: SHA-256 differs")]
    Different {
        /// Which direction.
        phase: &'static str,
    },
}

/// The TCP service behind an outlet. It serves any number of connections until the test process ends.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
}

impl Target {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// The system's, when it gives no port.
    pub fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A connection that fails is seen by its client.
                thread::spawn(move || serve(stream));
            }
        });
        Ok(Self { address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(mut stream: TcpStream) -> Result<(), TransferError> {
    let mut length = [0; 8];
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.read_exact(&mut length))
        .map_err(|source| failed("target reads the length", 0, 8, source))?;
    let length = u64::from_be_bytes(length);
    let digest = receive(&mut stream, length, "target receives")?;
    stream
        .write_all(&digest)
        .map_err(|source| failed("target answers", 0, 32, source))?;
    send(&mut stream, length, DOWN, "target sends")?;
    // The client closes first, when it has all: the other way round an early end could overtake data.
    let mut rest = [0; 1];
    let _ = stream.read(&mut rest);
    Ok(())
}

/// Sends `length` bytes to a [`Target`] through whatever listens at `inlet`, and as many back.
///
/// # Errors
/// [`TransferError`] when they don't all arrive, equal, in both directions.
pub fn transfer(inlet: SocketAddr, length: u64) -> Result<(), TransferError> {
    let mut stream =
        TcpStream::connect(inlet).map_err(|source| failed("client connects", 0, length, source))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .and_then(|()| stream.write_all(&length.to_be_bytes()))
        .map_err(|source| failed("client writes the length", 0, 8, source))?;
    let sent = send(&mut stream, length, UP, "client sends")?;
    let mut arrived = [0; 32];
    stream
        .read_exact(&mut arrived)
        .map_err(|source| failed("client awaits the SHA-256", 0, 32, source))?;
    if arrived != sent {
        return Err(TransferError::Different {
            phase: "client to target",
        });
    }
    let received = receive(&mut stream, length, "client receives")?;
    if received != digest_of(length, DOWN) {
        return Err(TransferError::Different {
            phase: "target to client",
        });
    }
    Ok(())
}

fn failed(phase: &'static str, done: u64, total: u64, source: io::Error) -> TransferError {
    TransferError::Io {
        phase,
        done,
        total,
        source,
    }
}

fn send(
    stream: &mut TcpStream,
    length: u64,
    seed: u64,
    phase: &'static str,
) -> Result<[u8; 32], TransferError> {
    let mut digest = Sha256::new();
    let mut done = 0;
    for chunk in chunks(length, seed) {
        digest.update(&chunk);
        stream
            .write_all(&chunk)
            .map_err(|source| failed(phase, done, length, source))?;
        done += chunk.len() as u64;
    }
    Ok(digest.finalize().into())
}

fn receive(
    stream: &mut TcpStream,
    length: u64,
    phase: &'static str,
) -> Result<[u8; 32], TransferError> {
    let mut digest = Sha256::new();
    let mut done = 0;
    let mut buffer = vec![0; CHUNK];
    while done < length {
        let want = usize::try_from(length - done).map_or(CHUNK, |left| left.min(CHUNK));
        let part = buffer.get_mut(..want).unwrap_or_default();
        let got = stream
            .read(part)
            .map_err(|source| failed(phase, done, length, source))?;
        if got == 0 {
            let ended = io::ErrorKind::UnexpectedEof.into();
            return Err(failed(phase, done, length, ended));
        }
        digest.update(part.get(..got).unwrap_or_default());
        done += got as u64;
    }
    Ok(digest.finalize().into())
}

fn digest_of(length: u64, seed: u64) -> [u8; 32] {
    let mut digest = Sha256::new();
    for chunk in chunks(length, seed) {
        digest.update(&chunk);
    }
    digest.finalize().into()
}

/// `length` bytes that differ at every position, so that a lost, doubled or swapped chunk shows (splitmix64).
fn chunks(length: u64, seed: u64) -> impl Iterator<Item = Vec<u8>> {
    let mut state = seed;
    let mut left = length;
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        let size = usize::try_from(left).map_or(CHUNK, |left| left.min(CHUNK));
        let mut chunk = Vec::with_capacity(size + 8);
        while chunk.len() < size {
            state = state.wrapping_add(UP);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
        chunk.truncate(size);
        left -= size as u64;
        Some(chunk)
    })
}
