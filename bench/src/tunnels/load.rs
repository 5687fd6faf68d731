//! The near end: drives one forwarded port and measures it.

use crate::blocks::{self, Hello, Mode};
use crate::cost::{cpu_seconds, resident_kib};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// A read or write that takes longer fails the figure.
const STUCK: Duration = Duration::from_secs(30);
/// Connections after which a process has what it allocates once.
const FIRST: usize = 20;
/// A stream that has sent so much fills its way.
const MOVING: u64 = 8 << 20;
const GIB: f64 = (1_u64 << 30) as f64;

/// What is measured: a port, and the processes between it and the service.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) processes: Vec<u32>,
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

pub(super) fn connect(address: SocketAddr, hello: Hello) -> io::Result<TcpStream> {
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
fn bulk(stream: TcpStream, mode: Mode, duration: Duration) -> io::Result<u64> {
    bulk_counting(stream, mode, duration, &AtomicU64::new(0))
}

/// The same, and `sent` tells how many bytes have gone up so far.
fn bulk_counting(
    mut stream: TcpStream,
    mode: Mode,
    duration: Duration,
    sent: &AtomicU64,
) -> io::Result<u64> {
    if mode == Mode::Down {
        return blocks::receive(&mut stream);
    }
    let sent = blocks::send_counting(&mut stream, duration, sent)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    if u64::from_be_bytes(answer) != sent {
        return Err(io::Error::other("the service counted other bytes"));
    }
    Ok(sent)
}

/// A stream that goes up at full speed while something else is done.
pub(super) struct Running {
    sent: Arc<AtomicU64>,
    thread: JoinHandle<io::Result<u64>>,
}

impl Running {
    /// Starts one for `duration` and waits until it moves.
    pub(super) fn start(target: &Target, duration: Duration) -> io::Result<Self> {
        let stream = connect(target.address, Hello::bulk(Mode::Up, duration)?)?;
        let sent = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&sent);
        let thread = thread::spawn(move || bulk_counting(stream, Mode::Up, duration, &counted));
        let running = Running { sent, thread };
        while running.sent() < MOVING && !running.thread.is_finished() {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(running)
    }

    /// Bytes sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Waits for its end.
    pub(super) fn finish(self) -> io::Result<u64> {
        joined(self.thread)
    }
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

/// Sends `len` bytes and waits for them to come back, again and again as long as `go_on` says.
fn ping_pong(
    stream: &mut TcpStream,
    len: usize,
    go_on: impl Fn() -> bool,
) -> io::Result<Vec<Duration>> {
    let mut message = vec![0x33; len];
    let mut samples = Vec::with_capacity(1 << 16);
    while go_on() {
        let sent = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message)?;
        samples.push(sent.elapsed());
    }
    Ok(samples)
}

/// Says yes for so long.
fn for_a(duration: Duration) -> impl Fn() -> bool {
    let began = Instant::now();
    move || began.elapsed() < duration
}

/// Round trips of `len` bytes on an idle tunnel.
pub(crate) fn round_trip(target: &Target, len: u32, duration: Duration) -> io::Result<Percentiles> {
    Percentiles::of(round_trips(target, len, duration)?)
}

/// The same, one by one.
pub(crate) fn round_trips(
    target: &Target,
    len: u32,
    duration: Duration,
) -> io::Result<Vec<Duration>> {
    let mut stream = connect(target.address, Hello::echo(len))?;
    let len = usize::try_from(len).map_err(io::Error::other)?;
    ping_pong(&mut stream, len, for_a(duration / 5))?;
    ping_pong(&mut stream, len, for_a(duration))
}

/// Round trips of `len` bytes while one stream goes up the same tunnel at full speed for `duration`, and that stream's GB/s. The round
/// trips go on as long as the stream does.
pub(crate) fn round_trip_beside_bulk(
    target: &Target,
    len: u32,
    duration: Duration,
) -> io::Result<(Percentiles, f64)> {
    let mut stream = connect(target.address, Hello::echo(len))?;
    let load = connect(target.address, Hello::bulk(Mode::Up, duration)?)?;
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let over = Arc::new(AtomicBool::new(false));
    let (began, ended) = (Instant::now(), Arc::clone(&over));
    let load = thread::spawn(move || {
        let moved = bulk(load, Mode::Up, duration);
        ended.store(true, Ordering::Relaxed);
        moved.map(|bytes| bytes as f64 / began.elapsed().as_secs_f64() / 1e9)
    });
    ping_pong(&mut stream, len, for_a(duration / 5))?;
    let samples = ping_pong(&mut stream, len, || !over.load(Ordering::Relaxed))?;
    Ok((Percentiles::of(samples)?, joined(load)?))
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
    let count = many_connections(target.address, at_once, &for_a(duration))?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// `count` short connections, eight in flight.
pub(crate) fn some_connections(target: &Target, count: u64) -> io::Result<()> {
    let left = AtomicU64::new(count);
    let one_more = || {
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        })
        .is_ok()
    };
    many_connections(target.address, 8, &one_more).map(drop)
}

fn many_connections(
    address: SocketAddr,
    at_once: usize,
    go_on: &(impl Fn() -> bool + Sync),
) -> io::Result<u64> {
    let one_after_the_other = || {
        let mut count = 0;
        while go_on() {
            short_connection(address)?;
            count += 1;
        }
        Ok(count)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once)
            .map(|_| scope.spawn(one_after_the_other))
            .collect();
        let counts = threads.into_iter().map(|thread| {
            let count = thread.join();
            count.map_err(|_| io::Error::other("a load thread panicked"))?
        });
        counts.sum()
    })
}

/// KiB of resident memory that each of `count` open, idle connections costs the tunnel, after some others.
pub(crate) fn held_kib(target: &Target, count: usize) -> io::Result<f64> {
    let hold = |count: usize| -> io::Result<Vec<TcpStream>> {
        let one = || {
            let mut stream = connect(target.address, Hello::echo(1))?;
            stream.write_all(&[7])?;
            stream.read_exact(&mut [0])?;
            Ok(stream)
        };
        (0..count).map(|_| one()).collect()
    };
    let _first = hold(FIRST)?;
    let before = resident_kib(&target.processes)?;
    let held = hold(count)?;
    let after = resident_kib(&target.processes)?;
    Ok((after - before) / held.len() as f64)
}
