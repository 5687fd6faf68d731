//! A proxy on one side of the relay that understands frames: it records, and on demand it flips bits, swaps frames and sends
//! recorded frames again, as a hostile relay or network could.
//!
//! The stream is the TCP transport's: in each direction one version byte, then frames of a big-endian u32 length and as many
//! bytes (reference, section 2.1).

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::scan::Needles;
use super::tape::Tape;

/// The transport's version byte.
const VERSION: u8 = 1;
/// Bytes of a frame's header.
const HEADER: usize = 4;
/// Largest frame in bytes.
const MAX_FRAME: usize = 16_777_216;
/// Bytes of recorded frames that are kept for sending them again.
const MAX_CAPTURE: usize = 4 << 20;
/// How long a frame is held back to be overtaken by the next.
const HOLD: Duration = Duration::from_millis(50);
/// Frames that wait to be injected into one connection.
const INJECTIONS: usize = 4_096;

/// What is done to frames on their way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mischief {
    /// What is done.
    pub(crate) deed: Deed,
    /// Frames with fewer bytes are left alone.
    pub(crate) min_len: usize,
    /// So many frames are let through before each one that is met.
    pub(crate) skip: u32,
    /// How many frames are met in all.
    pub(crate) count: u32,
}

/// A deed of a hostile relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// One bit in the middle of the frame is flipped.
    Flip,
    /// The frame is sent after the one that follows it.
    Swap,
}

/// A frame that passed, with its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Captured {
    /// Which of the lane's connections it went by.
    connection: usize,
    frame: Vec<u8>,
}

/// One direction of a proxy, over all its connections.
#[derive(Debug)]
pub(crate) struct Lane {
    tape: Mutex<Tape>,
    /// What leaves is recorded, not what came: so each lane shows the relay's side of it.
    record_what_leaves: bool,
    mischief: Mutex<Option<(Mischief, u32)>>,
    done: Mutex<u32>,
    capture: Mutex<Option<(Vec<Captured>, usize)>>,
    /// One for each connection there ever was: what is sent there is injected.
    live: Mutex<Vec<mpsc::Sender<Vec<u8>>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lane {
    fn new(needles: &Arc<Needles>, record_what_leaves: bool) -> Arc<Self> {
        Arc::new(Self {
            tape: Mutex::new(Tape::new(Arc::clone(needles))),
            record_what_leaves,
            mischief: Mutex::new(None),
            done: Mutex::new(0),
            capture: Mutex::new(None),
            live: Mutex::new(Vec::new()),
        })
    }

    /// Looks at what was recorded.
    pub(crate) fn tape<T>(&self, look: impl FnOnce(&Tape) -> T) -> T {
        look(&locked(&self.tape))
    }

    /// Begins with a mischief.
    pub(crate) fn begin(&self, mischief: Mischief) {
        *locked(&self.done) = 0;
        *locked(&self.mischief) = Some((mischief, 0));
    }

    /// Ends the mischief; how many frames it met.
    pub(crate) fn end(&self) -> u32 {
        *locked(&self.mischief) = None;
        *locked(&self.done)
    }

    /// Begins to keep whole frames.
    pub(crate) fn begin_capture(&self) {
        *locked(&self.capture) = Some((Vec::new(), 0));
    }

    /// Ends keeping frames and gives those that passed.
    pub(crate) fn end_capture(&self) -> Vec<Captured> {
        locked(&self.capture)
            .take()
            .map(|(frames, _)| frames)
            .unwrap_or_default()
    }

    /// Sends frames again, each on the connection that it went by, behind what that is sending; how many were taken.
    pub(crate) fn inject(&self, frames: &[Captured]) -> usize {
        let live = locked(&self.live);
        let sent = frames.iter().take_while(|captured| {
            live.get(captured.connection)
                .is_some_and(|connection| connection.try_send(captured.frame.clone()).is_ok())
        });
        sent.count()
    }

    /// Takes note of a frame; whether it is to be flipped or held back.
    fn meet(&self, connection: usize, frame: &mut [u8]) -> bool {
        if !self.record_what_leaves {
            locked(&self.tape).record(frame);
        }
        let hold = self.act(frame);
        if let Some((frames, size)) = locked(&self.capture).as_mut()
            && *size + frame.len() <= MAX_CAPTURE
        {
            *size += frame.len();
            let frame = frame.to_vec();
            frames.push(Captured { connection, frame });
        }
        hold
    }

    fn act(&self, frame: &mut [u8]) -> bool {
        let mut mischief = locked(&self.mischief);
        let Some((plan, passed)) = mischief.as_mut() else {
            return false;
        };
        if frame.len() < plan.min_len {
            return false;
        }
        let mut done = locked(&self.done);
        if *done >= plan.count || *passed < plan.skip {
            *passed += 1;
            return false;
        }
        *passed = 0;
        *done += 1;
        match plan.deed {
            Deed::Flip => {
                let middle = HEADER + (frame.len() - HEADER) / 2;
                frame[middle] ^= 0x01;
                false
            }
            Deed::Swap => true,
        }
    }

    fn left(&self, frame: &[u8]) {
        if self.record_what_leaves && !frame.is_empty() {
            locked(&self.tape).record(frame);
        }
    }
}

/// A proxy between one party and the relay. Ends with its value.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From the party to the relay: what the relay received.
    pub(crate) received: Arc<Lane>,
    /// From the relay to the party: what the relay sent.
    pub(crate) sent: Arc<Lane>,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    /// Listens on a free loopback port and passes connections on to `relay`.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) async fn start(relay: SocketAddr, needles: &Arc<Needles>) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let received = Lane::new(needles, true);
        let sent = Lane::new(needles, false);
        let lanes = (Arc::clone(&received), Arc::clone(&sent));
        let task = tokio::spawn(serve(listener, relay, lanes)).abort_handle();
        Ok(Self {
            address,
            received,
            sent,
            task,
        })
    }
}

async fn serve(listener: TcpListener, relay: SocketAddr, lanes: (Arc<Lane>, Arc<Lane>)) {
    // The connections end with this task: a JoinSet aborts its tasks when it is dropped.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((party, _)) = accepted else { continue };
                connections.spawn(connect(party, relay, lanes.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connect(party: TcpStream, relay: SocketAddr, (received, sent): (Arc<Lane>, Arc<Lane>)) {
    // A relay that is down is a connection that closes at once, as it would without a proxy.
    let Ok(relay) = TcpStream::connect(relay).await else {
        return;
    };
    let _ = (party.set_nodelay(true), relay.set_nodelay(true));
    let (from_party, to_party) = party.into_split();
    let (from_relay, to_relay) = relay.into_split();
    // Either direction's end is the end of both: half-open connections are not part of the transport.
    tokio::select! {
        _ = pump(from_party, to_relay, &received) => {}
        _ = pump(from_relay, to_party, &sent) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, lane: &Lane) -> io::Result<()> {
    let mut version = [0];
    from.read_exact(&mut version).await?;
    to.write_all(&version).await?;
    if version != [VERSION] {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let (sender, mut injected) = mpsc::channel(INJECTIONS);
    let connection = {
        let mut live = locked(&lane.live);
        live.push(sender);
        live.len() - 1
    };
    let mut buffer = BytesMut::with_capacity(256 * 1024);
    let mut out = Vec::with_capacity(256 * 1024);
    let mut held: Option<BytesMut> = None;
    loop {
        while let Some(mut frame) = next_frame(&mut buffer)? {
            if lane.meet(connection, &mut frame) && held.is_none() {
                held = Some(frame);
                continue;
            }
            for frame in [Some(frame), held.take()].into_iter().flatten() {
                lane.left(&frame);
                out.extend_from_slice(&frame);
            }
        }
        to.write_all(&out).await?;
        out.clear();
        buffer.reserve(128 * 1024);
        tokio::select! {
            read = from.read_buf(&mut buffer) => if read? == 0 {
                let rest = held.take().unwrap_or_default();
                lane.left(&rest);
                to.write_all(&rest).await?;
                return to.shutdown().await;
            },
            Some(frame) = injected.recv() => {
                lane.left(&frame);
                out.extend_from_slice(&frame);
            }
            () = tokio::time::sleep(HOLD), if held.is_some() => {
                let frame = held.take().unwrap_or_default();
                lane.left(&frame);
                out.extend_from_slice(&frame);
            }
        }
    }
}

/// Cuts the next whole frame with its header off the front of `buffer`.
fn next_frame(buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
    let Some(header) = buffer.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let len = usize::try_from(u32::from_be_bytes(*header)).unwrap_or(usize::MAX);
    if len > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    if buffer.remaining() < HEADER + len {
        return Ok(None);
    }
    Ok(Some(buffer.split_to(HEADER + len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize, fill: u8) -> Vec<u8> {
        let mut frame = u32::try_from(len).unwrap().to_be_bytes().to_vec();
        frame.resize(HEADER + len, fill);
        frame
    }

    /// A proxy, the party's end and the relay's end of one connection through it; both have sent their version byte.
    async fn linked() -> (Proxy, TcpStream, TcpStream) {
        let needles = Arc::new(Needles::new([b"something that is private".as_slice()]));
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(relay.local_addr().unwrap(), &needles)
            .await
            .unwrap();
        let mut party = TcpStream::connect(proxy.address).await.unwrap();
        let (mut end, _) = relay.accept().await.unwrap();
        for socket in [&mut party, &mut end] {
            socket.write_all(&[VERSION]).await.unwrap();
        }
        for socket in [&mut party, &mut end] {
            assert_eq!(socket.read_u8().await.unwrap(), VERSION);
        }
        (proxy, party, end)
    }

    async fn read(socket: &mut TcpStream) -> Vec<u8> {
        let len = socket.read_u32().await.unwrap();
        let mut frame = len.to_be_bytes().to_vec();
        frame.resize(HEADER + len as usize, 0);
        socket.read_exact(&mut frame[HEADER..]).await.unwrap();
        frame
    }

    #[tokio::test]
    async fn both_directions_are_passed_on_recorded_and_searched() {
        let (proxy, mut party, mut relay) = linked().await;
        let large = frame(300_000, 0x61);
        for byte in frame(5, 1) {
            party.write_all(&[byte]).await.unwrap();
        }
        party.write_all(&large).await.unwrap();
        assert_eq!(read(&mut relay).await, frame(5, 1));
        assert_eq!(read(&mut relay).await, large);
        let mut secret = frame(25, 0);
        secret[HEADER..].copy_from_slice(b"something that is private");
        relay.write_all(&secret).await.unwrap();
        assert_eq!(read(&mut party).await, secret);
        assert_eq!(
            proxy.received.tape(|t| (t.frames(), t.bytes(), t.hits())),
            (2, 300_013, 0)
        );
        assert_eq!(
            proxy.sent.tape(|t| (t.frames(), t.bytes(), t.hits())),
            (1, 29, 1)
        );
    }

    #[tokio::test]
    async fn chosen_frames_are_flipped_and_swapped() {
        let (proxy, mut party, mut relay) = linked().await;
        proxy.received.begin(Mischief {
            deed: Deed::Flip,
            min_len: 50,
            skip: 1,
            count: 1,
        });
        for fill in 1..=3 {
            party.write_all(&frame(10, fill)).await.unwrap();
            party.write_all(&frame(100, fill)).await.unwrap();
        }
        let mut flipped = 0;
        for fill in 1..=3 {
            assert_eq!(read(&mut relay).await, frame(10, fill));
            let got = read(&mut relay).await;
            let differing: u32 = got
                .iter()
                .zip(frame(100, fill))
                .map(|(a, b)| (a ^ b).count_ones())
                .sum();
            assert_eq!(differing, u32::from(fill == 2));
            flipped += differing;
        }
        assert_eq!((flipped, proxy.received.end()), (1, 1));
        proxy.received.begin(Mischief {
            deed: Deed::Swap,
            min_len: 0,
            skip: 0,
            count: 2,
        });
        for fill in 1..=3 {
            party.write_all(&frame(10, fill)).await.unwrap();
        }
        let mut fills = Vec::new();
        for _ in 1..=3 {
            fills.push(read(&mut relay).await[HEADER]);
        }
        assert_ne!(fills, [1, 2, 3]);
        fills.sort_unstable();
        assert_eq!(fills, [1, 2, 3]);
    }

    #[tokio::test]
    async fn captured_frames_are_sent_again() {
        let (proxy, mut party, mut relay) = linked().await;
        proxy.sent.begin_capture();
        relay.write_all(&frame(20, 7)).await.unwrap();
        relay.write_all(&frame(30, 8)).await.unwrap();
        read(&mut party).await;
        read(&mut party).await;
        let frames = proxy.sent.end_capture();
        let whole: Vec<_> = frames.iter().map(|captured| &captured.frame).collect();
        assert_eq!(whole, [&frame(20, 7), &frame(30, 8)]);
        assert_eq!(proxy.sent.inject(&frames), 2);
        assert_eq!(read(&mut party).await, frame(20, 7));
        assert_eq!(read(&mut party).await, frame(30, 8));
    }

    #[tokio::test]
    async fn the_end_of_one_side_is_the_end_of_the_other() {
        let (_proxy, mut party, relay) = linked().await;
        drop(relay);
        assert_eq!(party.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }
}
