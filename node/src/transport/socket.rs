//! A byte-stream socket and its write queue, for connections between nodes and for the sockets of portals.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use sealway_core::wire::Frame;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;

use crate::room::{Reservoir, Room};

/// The two kinds of stream sockets.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A read that does not fill its buffer has emptied the socket, and what comes after it is told of anew: so it is with edge-triggered
/// epoll, where no second read has to find out that there is nothing.
const SHORT_IS_ALL: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Bytes; 0 at the end of the stream.
    pub(crate) len: usize,
    /// There was no more: [`Socket::readable`] waits for what comes.
    pub(crate) all: bool,
}

impl Socket {
    /// Reads what is there, up to the room of `into`.
    pub(crate) fn try_read(&self, mut into: impl BufMut) -> io::Result<Taken> {
        let room = into.chunk_mut().len();
        let mut read = Err(io::ErrorKind::WouldBlock.into());
        let mut all = false;
        // The outer call forgets that the socket was readable only if nothing was told of since before the inner one.
        let once = || {
            read = match self {
                Socket::Tcp(stream) => stream.try_read_buf(&mut into),
                Socket::Unix(stream) => stream.try_read_buf(&mut into),
            };
            all = SHORT_IS_ALL && read.as_ref().is_ok_and(|len| (1..room).contains(len));
            if all {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        };
        let _ = match self {
            Socket::Tcp(stream) => stream.try_io(Interest::READABLE, once),
            Socket::Unix(stream) => stream.try_io(Interest::READABLE, once),
        };
        read.map(|len| Taken { len, all })
    }

    fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => stream.try_write_vectored(slices),
            Socket::Unix(stream) => stream.try_write_vectored(slices),
        }
    }

    /// Resolves when there is something to read, or the end. One task waits for that: the socket keeps one waker, so that waiting
    /// takes next to no memory.
    pub(crate) fn readable(&self) -> impl Future<Output = io::Result<()>> {
        poll_fn(|context| match self {
            Socket::Tcp(stream) => stream.poll_read_ready(context),
            Socket::Unix(stream) => stream.poll_read_ready(context),
        })
    }

    /// Resolves when the socket takes something. One task waits for that.
    fn writable(&self) -> impl Future<Output = io::Result<()>> {
        poll_fn(|context| match self {
            Socket::Tcp(stream) => stream.poll_write_ready(context),
            Socket::Unix(stream) => stream.poll_write_ready(context),
        })
    }

    fn with<T>(&self, act: impl FnOnce(SockRef<'_>) -> T) -> T {
        match self {
            Socket::Tcp(stream) => act(SockRef::from(stream)),
            Socket::Unix(stream) => act(SockRef::from(stream)),
        }
    }

    /// Ends both directions at once. On TCP with `reset` the other end sees RST.
    fn end(&self, reset: bool) {
        self.with(|socket| {
            if reset && matches!(self, Socket::Tcp(_)) {
                // Linger 0 makes the close that follows the last drop a reset.
                let _ = socket.set_linger(Some(Duration::ZERO));
                // The read side alone wakes the reader without sending anything.
                let _ = socket.shutdown(Shutdown::Read);
            } else {
                let _ = socket.shutdown(Shutdown::Both);
            }
        });
    }
}

/// Sets what every TCP socket of ours has: NODELAY (batching is explicit) and keepalive after 30 s. Where the host paces
/// (BBR), what stays inside the host is not: a timer for each segment costs a third of the processor time of a
/// connection over loopback, where there is no congestion to avoid.
pub(crate) fn prepare_tcp(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if stream.peer_addr()?.ip().is_loopback() && host_paces(stream) {
        // Every kernel has it, and lets everybody use it.
        let _ = SockRef::from(stream).set_tcp_congestion(b"reno");
    }
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(30))
        .with_interval(Duration::from_secs(10))
        .with_retries(3);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// Whether this host's TCP sends by a timer, as it was when it was first asked.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn host_paces(stream: &TcpStream) -> bool {
    static PACES: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *PACES.get_or_init(|| {
        let name = SockRef::from(stream).tcp_congestion();
        name.is_ok_and(|name| name.starts_with(b"bbr"))
    })
}

/// Bytes that the kernel takes for a connection beyond what is on its way: more would be a queue that nobody can go ahead in.
const NOT_SENT: u32 = 128 << 10;

/// Keeps the kernel's queue of a connection between nodes short, beside a window as large as the path's.
pub(crate) fn keep_unsent_small(stream: &TcpStream) {
    // A kernel that cannot do that makes small messages wait behind bulk, and nothing else.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(NOT_SENT);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// Open.
    No,
    /// FIN once everything has been written.
    Finish,
    /// FIN was sent.
    Finished,
    /// Closed as soon as the socket has taken what it takes now of what waits.
    Closing,
    /// Closed, at once.
    Closed,
}

/// What waits to be written.
struct Entry {
    frame: Frame,
    /// Given back when the frame is written.
    room: Room,
    /// The frame is a buffer of its own that small ones are gathered in.
    gathers: bool,
}

struct Queue {
    frames: VecDeque<Entry>,
    /// Bytes of the first frame that are written already.
    skip: usize,
    /// Somebody writes at present, with the lock released.
    writing: bool,
    /// The socket took no more and has not caught up since: what is enqueued waits, in buffers of its own size. A queue of small
    /// messages would otherwise hold all the buffers that they were received in, many times its bound.
    full: bool,
    /// The connection's task has been woken to write what is enqueued, and had no turn yet.
    soon: bool,
    ending: Ending,
}

/// What a frame in a queue takes in memory besides its bytes, about: its room is that much larger.
pub(crate) const ENTRY: usize = 128;

/// A socket with a bounded write queue: whoever finds it idle writes, else its task goes on.
pub(crate) struct SocketWriter {
    socket: Socket,
    queue: Mutex<Queue>,
    reservoir: Option<Reservoir>,
    blocked: Notify,
    written: AtomicU64,
    failed: AtomicBool,
}

/// Frames in one vectored write.
const BATCH: usize = 64;

/// Frames without a room of their own are gathered in blocks of this size while they wait: then two neighbours are larger than
/// one block, and what they take besides their bytes is little.
const BLOCK: usize = 16 << 10;

impl Queue {
    /// Takes a frame that has to wait.
    fn keep(&mut self, mut frame: Frame, room: Room) {
        if room.is_none()
            && let Some(last) = self.frames.back_mut().filter(|last| last.room.is_none())
            && last.frame.len() + frame.len() <= BLOCK
        {
            return last.gather(&frame);
        }
        frame.compact();
        self.push(frame, room);
    }

    fn push(&mut self, frame: Frame, room: Room) {
        let gathers = false;
        self.frames.push_back(Entry {
            frame,
            room,
            gathers,
        });
    }
}

impl Entry {
    /// Puts the bytes of `frame` behind those of this one.
    fn gather(&mut self, frame: &Frame) {
        if !std::mem::replace(&mut self.gathers, true) {
            // Never the buffer that it was received in: others may have parts of that, and it grows by its own size.
            let mut block = BytesMut::with_capacity(2 * (self.frame.len() + frame.len()));
            block.extend_from_slice(self.frame.as_slice());
            self.frame = Frame::from_received(block);
        }
        self.frame.append(frame.as_slice());
    }
}

impl SocketWriter {
    /// What waits here is in `reservoir`; what is at its bound waits where it came from. With their buffers these bytes
    /// take at most some four times as much memory. Frames that come without a room have their bound elsewhere: what waits of them
    /// is gathered, so that it takes little more memory than it has bytes.
    pub(crate) fn new(socket: Socket, reservoir: Option<Reservoir>) -> Arc<Self> {
        Arc::new(Self {
            socket,
            queue: Mutex::new(Queue {
                // Most portal connections never have two.
                frames: VecDeque::with_capacity(1),
                skip: 0,
                writing: false,
                full: false,
                soon: false,
                ending: Ending::No,
            }),
            reservoir,
            blocked: Notify::new(),
            written: AtomicU64::new(0),
            failed: AtomicBool::new(false),
        })
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether a write failed: the other end is gone.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enqueues; `room` was reserved in the reservoir, if there is one.
    pub(crate) fn enqueue(&self, frame: Frame, room: Room) {
        let mut queue = self.lock();
        if queue.ending != Ending::No || frame.is_empty() {
            return;
        }
        if queue.full {
            queue.keep(frame, room);
        } else {
            queue.push(frame, room);
        }
    }

    /// Writes as much as the socket takes now.
    pub(crate) fn flush(&self) {
        let mut queue = self.lock();
        if queue.writing || queue.ending == Ending::Closed {
            return;
        }
        let mut skip = queue.skip;
        let mut batch = std::mem::take(&mut queue.frames);
        queue.writing = true;
        drop(queue);
        loop {
            let outcome = self.write_batch(&mut batch, &mut skip);
            let mut queue = self.lock();
            if queue.ending == Ending::Closed {
                queue.writing = false;
                return;
            }
            let more = matches!(outcome, Ok(true)) && !queue.frames.is_empty();
            if queue.ending == Ending::Closing && !more {
                queue.writing = false;
                drop(queue);
                self.end(false);
                return;
            }
            match outcome {
                Ok(true) if queue.frames.is_empty() => {
                    queue.frames = batch;
                    queue.skip = 0;
                    queue.full = false;
                    queue.writing = false;
                    if queue.ending == Ending::Finish {
                        queue.ending = Ending::Finished;
                        let _ = self.socket.with(|socket| {
                            // A portal's socket resets until here; what follows is in order.
                            let _ = socket.set_linger(None);
                            socket.shutdown(Shutdown::Write)
                        });
                        self.blocked.notify_one();
                    }
                    return;
                }
                Ok(true) => std::mem::swap(&mut queue.frames, &mut batch),
                Ok(false) => {
                    let first = !std::mem::replace(&mut queue.full, true);
                    let came = std::mem::replace(&mut queue.frames, batch);
                    if first {
                        let began = queue.frames.iter_mut();
                        began.for_each(|entry| entry.frame.compact());
                    }
                    for entry in came {
                        queue.keep(entry.frame, entry.room);
                    }
                    queue.skip = skip;
                    queue.writing = false;
                    self.blocked.notify_one();
                    return;
                }
                Err(_) => {
                    queue.writing = false;
                    drop(queue);
                    self.failed.store(true, Ordering::Release);
                    self.end(false);
                    return;
                }
            }
        }
    }

    /// As [`SocketWriter::flush`], for one message of a task that may have more. The first is written at once, and the connection's
    /// task is woken, which has its turn when that task waits for something: until then what follows is enqueued, and written
    /// whenever a vectored write is full.
    pub(crate) fn flush_soon(&self) {
        let mut queue = self.lock();
        let first = !std::mem::replace(&mut queue.soon, true);
        let is_due = first || queue.frames.len() >= BATCH;
        drop(queue);
        if is_due {
            self.flush();
        }
        if first {
            self.blocked.notify_one();
        }
    }

    /// `Ok(true)`: all written. `Ok(false)`: the socket takes no more now.
    fn write_batch(&self, batch: &mut VecDeque<Entry>, skip: &mut usize) -> io::Result<bool> {
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); BATCH];
            let mut count = 0;
            for (slot, Entry { frame, .. }) in slices.iter_mut().zip(batch.iter()) {
                let bytes = frame.as_slice();
                *slot = IoSlice::new(if count == 0 {
                    bytes.get(*skip..).unwrap_or(&[])
                } else {
                    bytes
                });
                count += 1;
            }
            let mut written = match self.socket.try_write_vectored(&slices[..count]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.written.fetch_add(written as u64, Ordering::Relaxed);
            while let Some(Entry { frame, .. }) = batch.front() {
                let rest = frame.len() - *skip;
                if written < rest {
                    *skip += written;
                    break;
                }
                written -= rest;
                *skip = 0;
                batch.pop_front();
            }
        }
        Ok(true)
    }

    /// FIN once everything that is enqueued has been written.
    pub(crate) fn finish(&self) {
        self.finish_at_flush();
        self.flush();
    }

    /// The same, with the next [`SocketWriter::flush`].
    pub(crate) fn finish_at_flush(&self) {
        let mut queue = self.lock();
        if queue.ending == Ending::No {
            queue.ending = Ending::Finish;
        }
    }

    /// Ends both directions. With `reset` at once, and the other end sees RST; otherwise behind what the socket takes now, so
    /// that a last message such as a channel's Close goes even while another thread writes. The rest of what is enqueued is lost.
    pub(crate) fn close(&self, reset: bool) {
        if reset {
            return self.end(true);
        }
        let mut queue = self.lock();
        if matches!(queue.ending, Ending::Closed | Ending::Closing) {
            return;
        }
        queue.ending = Ending::Closing;
        drop(queue);
        self.flush();
    }

    fn end(&self, reset: bool) {
        let mut queue = self.lock();
        if queue.ending == Ending::Closed {
            return;
        }
        queue.ending = Ending::Closed;
        let dropped = std::mem::take(&mut queue.frames);
        drop(queue);
        drop(dropped);
        if let Some(reservoir) = &self.reservoir {
            reservoir.close();
        }
        self.socket.end(reset);
        self.blocked.notify_one();
    }

    /// Whether FIN was sent, behind everything that was enqueued.
    pub(crate) fn is_finished(&self) -> bool {
        self.ending() == Ending::Finished
    }

    /// Whether FIN is to be sent behind what is enqueued.
    pub(crate) fn is_finishing(&self) -> bool {
        self.ending() == Ending::Finish
    }

    fn ending(&self) -> Ending {
        self.lock().ending
    }

    /// Writes on whenever the socket was full, and says so to `wrote` each time; ends once the socket is finished or closed.
    pub(crate) async fn drive(&self, wrote: impl Fn()) {
        loop {
            self.blocked.notified().await;
            loop {
                match self.ending() {
                    Ending::Closed | Ending::Finished => return,
                    Ending::No | Ending::Finish | Ending::Closing => {}
                }
                tokio::select! {
                    writable = self.socket.writable() => {
                        if writable.is_err() {
                            self.end(false);
                            return;
                        }
                        self.lock().soon = false;
                        self.flush();
                        wrote();
                        break;
                    }
                    // Closed meanwhile, or another writer found it full: look again.
                    () = self.blocked.notified() => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt as _;
    use tokio::net::TcpListener;
    use tokio::net::UnixStream;
    use tokio::time::timeout;

    use super::*;

    /// Parts of a large buffer that somebody else has the rest of.
    fn crumbs(len: usize) -> impl Iterator<Item = Frame> {
        let mut large = BytesMut::with_capacity(len + 64);
        large.extend((0..len).map(|n| n.to_le_bytes()[0]));
        std::iter::from_fn(move || {
            let crumb = large.split_to(3.min(large.len()));
            (!crumb.is_empty()).then(|| Frame::from_received(crumb))
        })
    }

    #[tokio::test]
    async fn small_pieces_that_wait_without_a_room_are_gathered_and_stay_whole() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let writer = SocketWriter::new(Socket::Unix(ours), None);
        let filling = Frame::from_slice(&[255; 1 << 20]);
        writer.enqueue(filling, Room::default());
        writer.flush();
        const LEN: usize = 100_000;
        for (n, crumb) in crumbs(LEN).enumerate() {
            writer.enqueue(crumb, Room::default());
            if n % 1_000 == 0 {
                writer.flush();
            }
        }
        let (pieces, memory) = {
            let queue = writer.lock();
            let waiting = queue.frames.iter().skip(1);
            let memory: usize = waiting.map(|entry| entry.frame.footprint() + ENTRY).sum();
            (queue.frames.len(), memory)
        };
        assert!(pieces <= 2 + 2 * LEN / BLOCK, "{pieces} pieces");
        assert!(memory <= 4 * LEN, "{memory} bytes for {LEN}");
        writer.finish();
        let mut got = Vec::new();
        let reading = theirs.read_to_end(&mut got);
        let (read, ()) = tokio::join!(reading, writer.drive(|| {}));
        assert_eq!(read.expect("an end"), (1 << 20) + LEN);
        let expected: Vec<u8> = (0..LEN).map(|n| n.to_le_bytes()[0]).collect();
        assert!(got[1 << 20..] == expected);
    }

    /// A request leaves at once; what its task sends behind it shares writes, and leaves when that task waits for something.
    #[tokio::test]
    async fn what_one_task_sends_in_a_row_shares_writes() {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair");
        let writer = SocketWriter::new(Socket::Unix(ours), None);
        let driving = tokio::spawn({
            let writer = Arc::clone(&writer);
            async move { writer.drive(|| {}).await }
        });
        tokio::task::yield_now().await;
        let send = |message: &[u8]| {
            writer.enqueue(Frame::from_slice(message), Room::default());
            writer.flush_soon();
        };
        let mut total = 0;
        for _ in 0..2 {
            send(b"request");
            total += 7;
            assert_eq!(writer.written(), total, "without waiting for anything");
            for _ in 1..BATCH {
                send(b"next");
            }
            assert_eq!(writer.written(), total, "not yet");
            total += 4 * (BATCH as u64 - 1);
            let mut got = [0; 7 + 4 * (BATCH - 1)];
            let arriving = timeout(Duration::from_secs(5), theirs.read_exact(&mut got));
            arriving.await.expect("soon").expect("all of it");
            assert_eq!(writer.written(), total, "its task waited");
        }
        send(b"request");
        for _ in 0..BATCH {
            send(b"next");
        }
        total += 7 + 4 * BATCH as u64;
        assert_eq!(writer.written(), total, "one write is full");
        writer.close(false);
        driving.await.expect("no panic");
    }

    #[tokio::test]
    async fn what_waits_goes_before_an_orderly_close_and_not_before_a_reset() {
        for (reset, expected) in [(false, b"last words".as_slice()), (true, b"")] {
            let (ours, mut theirs) = UnixStream::pair().expect("a pair");
            let writer = SocketWriter::new(Socket::Unix(ours), None);
            writer.enqueue(Frame::from_slice(b"last words"), Room::default());
            writer.close(reset);
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).await.expect("an end");
            assert_eq!(got, expected);
        }
    }

    const SOON: Duration = Duration::from_secs(10);

    /// A connected pair, the first as the node holds it.
    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        let near = near.expect("connected");
        prepare_tcp(&near).expect("prepared");
        (Socket::Tcp(near), far.expect("accepted").0)
    }

    async fn read_all(socket: &Socket, room: usize) -> Taken {
        loop {
            timeout(SOON, socket.readable())
                .await
                .expect("readable in time")
                .expect("no error");
            match socket.try_read(BytesMut::new().limit(room)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.expect("read"),
            }
        }
    }

    #[tokio::test]
    async fn a_short_read_empties_the_socket_and_misses_nothing() {
        let (near, mut far) = pair().await;
        for round in 1..200 {
            far.write_all(b"some").await.expect("written");
            let taken = read_all(&near, 64).await;
            assert_eq!((taken.len, taken.all), (4, SHORT_IS_ALL), "round {round}");
            if SHORT_IS_ALL {
                // Nobody tells that there is more, since there is not.
                let more = timeout(Duration::ZERO, near.readable()).await;
                assert!(more.is_err(), "round {round}");
            }
        }
        far.shutdown().await.expect("ended");
        assert_eq!(
            read_all(&near, 64).await.len,
            0,
            "the end is told after a short read"
        );
    }

    #[tokio::test]
    async fn a_read_that_fills_its_buffer_may_have_left_more() {
        let (near, mut far) = pair().await;
        far.write_all(b"some more").await.expect("written");
        let mut taken = read_all(&near, 4).await;
        assert_eq!((taken.len, taken.all), (4, false));
        taken = read_all(&near, 64).await;
        assert_eq!((taken.len, taken.all), (5, SHORT_IS_ALL));
    }

    #[tokio::test]
    async fn an_end_that_came_with_the_last_bytes_is_seen() {
        let (near, mut far) = pair().await;
        far.write_all(b"last").await.expect("written");
        far.shutdown().await.expect("ended");
        assert_eq!(read_all(&near, 64).await.len, 4);
        assert_eq!(read_all(&near, 64).await.len, 0);
    }
}
