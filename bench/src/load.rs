//! The near end: drives one forwarded port and measures it.

use crate::blocks::{self, Hello, Mode};
use crate::process::{cpu_seconds, resident_kib};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A read or write that takes longer fails the figure.
const STUCK: Duration = Duration::from_secs(30);
const GIB: f64 = (1_u64 << 30) as f64;

/// What is measured: a port, and the processes between it and the service.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) processes: Vec<u32>,
}

/// How long each point is measured.
#[derive(Clone, Copy)]
pub(crate) struct Durations {
    pub(crate) bulk: Duration,
    pub(crate) ping: Duration,
    pub(crate) connect: Duration,
    /// Connections held for the memory figure.
    pub(crate) held: usize,
    /// For each figure that needs no other process.
    pub(crate) in_process: Duration,
}

/// Half and ninety-nine hundredths of the samples took at most this long, in microseconds.
#[derive(Clone, Copy)]
pub(crate) struct Percentiles {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Percentiles {
    pub(crate) fn of(mut samples: Vec<Duration>) -> io::Result<Self> {
        samples.sort_unstable();
        let at = |percent: usize| {
            let index = (samples.len() * percent / 100).min(samples.len().saturating_sub(1));
            samples.get(index).map(|sample| sample.as_secs_f64() * 1e6)
        };
        match (at(50), at(99)) {
            (Some(p50_us), Some(p99_us)) => Ok(Percentiles { p50_us, p99_us }),
            _ => Err(io::Error::other("no samples")),
        }
    }
}

fn connect(address: SocketAddr, hello: Hello) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STUCK))?;
    stream.set_write_timeout(Some(STUCK))?;
    stream.write_all(&hello.encode())?;
    Ok(stream)
}

fn joined<T>(thread: JoinHandle<io::Result<T>>) -> io::Result<T> {
    thread
        .join()
        .map_err(|_| io::Error::other("a load thread panicked"))?
}

/// One bulk stream from the hello to the receiver's last byte. Returns the bytes moved.
fn bulk(mut stream: TcpStream, mode: Mode, duration: Duration) -> io::Result<u64> {
    if mode == Mode::Down {
        return blocks::receive(&mut stream);
    }
    let sent = blocks::send(&mut stream, duration)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    if u64::from_be_bytes(answer) != sent {
        return Err(io::Error::other("the service counted other bytes"));
    }
    Ok(sent)
}

/// Bytes a second of `streams` at once, in GB/s, and the tunnel's processor seconds a GiB. Time runs until the receivers
/// have the last byte, so what lies in buffers does not count as delivered.
pub(crate) fn throughput(
    target: &Target,
    mode: Mode,
    streams: usize,
    duration: Duration,
) -> io::Result<(f64, f64)> {
    let hello = Hello::bulk(mode, duration)?;
    let gate = Arc::new(Barrier::new(streams + 1));
    let threads: Vec<_> = (0..streams)
        .map(|_| {
            let (gate, address) = (Arc::clone(&gate), target.address);
            thread::spawn(move || {
                gate.wait();
                bulk(connect(address, hello)?, mode, duration)
            })
        })
        .collect();
    let cpu = cpu_seconds(&target.processes)?;
    gate.wait();
    let began = Instant::now();
    let bytes = threads.into_iter().map(joined).sum::<io::Result<u64>>()? as f64;
    let seconds = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds(&target.processes)? - cpu;
    Ok((bytes / seconds / 1e9, cpu / (bytes / GIB)))
}

/// Sends `len` bytes and waits for them to come back, again and again.
fn ping_pong(stream: &mut TcpStream, len: usize, duration: Duration) -> io::Result<Vec<Duration>> {
    let mut message = vec![0x33; len];
    let mut samples = Vec::with_capacity(1 << 16);
    let began = Instant::now();
    while began.elapsed() < duration {
        let sent = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        samples.push(sent.elapsed());
    }
    Ok(samples)
}

/// Round trips of `len` bytes on an idle tunnel.
pub(crate) fn round_trip(target: &Target, len: u32, duration: Duration) -> io::Result<Percentiles> {
    let mut stream = connect(target.address, Hello::echo(len))?;
    let len = usize::try_from(len).map_err(io::Error::other)?;
    ping_pong(&mut stream, len, duration / 5)?;
    Percentiles::of(ping_pong(&mut stream, len, duration)?)
}

/// Round trips of `len` bytes while one bulk stream goes up the same tunnel.
pub(crate) fn round_trip_under_bulk(
    target: &Target,
    len: u32,
    duration: Duration,
) -> io::Result<Percentiles> {
    let bulk_duration = duration + duration / 2;
    let mut stream = connect(target.address, Hello::echo(len))?;
    let load = connect(target.address, Hello::bulk(Mode::Up, bulk_duration)?)?;
    let load = thread::spawn(move || bulk(load, Mode::Up, bulk_duration));
    let len = usize::try_from(len).map_err(io::Error::other)?;
    ping_pong(&mut stream, len, duration / 5)?;
    let samples = ping_pong(&mut stream, len, duration)?;
    joined(load)?;
    Percentiles::of(samples)
}

/// One connection: connect, a byte there and back, close.
fn short_connection(address: SocketAddr) -> io::Result<()> {
    let mut stream = connect(address, Hello::echo(1))?;
    stream.write_all(&[7])?;
    stream.read_exact(&mut [0])
}

/// Short connections a second, `at_once` in flight.
pub(crate) fn connections(target: &Target, at_once: usize, duration: Duration) -> io::Result<f64> {
    let began = Instant::now();
    let threads: Vec<_> = (0..at_once)
        .map(|_| {
            let address = target.address;
            thread::spawn(move || {
                let mut count = 0_u64;
                while began.elapsed() < duration {
                    short_connection(address)?;
                    count += 1;
                }
                Ok(count)
            })
        })
        .collect();
    let count = threads.into_iter().map(joined).sum::<io::Result<u64>>()?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// KiB of resident memory that each of `count` open, idle connections costs the tunnel.
pub(crate) fn held_kib(target: &Target, count: usize) -> io::Result<f64> {
    let before = resident_kib(&target.processes)?;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = connect(target.address, Hello::echo(1))?;
        stream.write_all(&[7])?;
        stream.read_exact(&mut [0])?;
        held.push(stream);
    }
    let after = resident_kib(&target.processes)?;
    Ok((after - before) / count as f64)
}
