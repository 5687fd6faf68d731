//! The task that sends for a session: room first, then whose turn it is, then the socket, then the seal.

use std::sync::Arc;

use bytes::{BufMut, BytesMut};
use sealway_core::streams::{ADDRESS, DATA_OVERHEAD, MAX_RESOURCE, StreamId, Transmit};
use sealway_core::wire::{Address, Frame, Route};

use super::session::Session;
use super::stream::{Stream, Why};
use crate::buffers::{BUFFER, Buffers};
use crate::counters::Count;
use crate::message::Message;
use crate::node::Shared;
use crate::room::{Reservoir, Room};
use crate::router::{Flushes, NoRoom};
use crate::transport::socket::{ENTRY, SocketWriter, Taken};

/// Largest message: a turn's data of 64 KiB behind the longest header.
const MESSAGE: usize = (64 << 10) + DATA_OVERHEAD + MAX_RESOURCE + 2;
/// What it is charged with beyond its own length.
const OVERHEAD: usize = 64 + ENTRY;
/// Bytes of one session that wait for a connection's socket: two messages of the largest size, some 130 KiB. Small messages wait behind
/// these at the most.
const UNDER_WAY: u32 = 132 << 10;
const _: () = assert!(2 * (MESSAGE + OVERHEAD) <= UNDER_WAY as usize);

/// Ends the session with the task, however that ends.
struct Ending {
    session: Arc<Session>,
    node: Arc<Shared>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.session.end(&self.node);
    }
}

/// Sends for a session until its channel is gone, or has lost something.
pub(super) async fn run(session: Arc<Session>, node: Arc<Shared>) {
    let ending = Ending { session, node };
    let sender = Sender {
        session: &ending.session,
        node: &ending.node,
        route: [
            ending.session.channel.origin.channel.clone(),
            Address::local(ADDRESS),
        ]
        .into_iter()
        .collect(),
        under_way: Reservoir::new(UNDER_WAY),
    };
    tokio::select! {
        biased;
        () = ending.session.cut() => {}
        () = sender.send() => ending.session.end_without_path(&ending.node),
    }
}

struct Sender<'a> {
    session: &'a Arc<Session>,
    node: &'a Arc<Shared>,
    route: Route,
    under_way: Reservoir,
}

/// What a turn came to.
enum Turn {
    /// It was used: there may be another.
    Taken,
    /// Nothing is to be sent now.
    Idle,
    /// There is no way to the peer any more.
    NoPath,
}

impl Sender<'_> {
    /// Sends what is to be sent, whenever there is room; ends with the path.
    async fn send(&self) {
        let mut flushes = Flushes::default();
        let mut reading = Reading {
            buffer: None,
            buffers: &self.node.buffers,
        };
        loop {
            let turn = if self.session.look(|machine| machine.core.wants_to_send()) {
                tokio::select! {
                    biased;
                    turn = self.turn(&mut reading, &mut flushes) => turn,
                    () = self.deadline() => continue,
                }
            } else {
                Turn::Idle
            };
            match turn {
                Turn::Taken => {
                    tokio::task::coop::consume_budget().await;
                    continue;
                }
                Turn::NoPath => return,
                Turn::Idle => {
                    flushes.run();
                    reading.release();
                }
            }
            tokio::select! {
                () = self.session.wake.notified() => {}
                () = self.deadline() => {}
            }
        }
    }

    /// Waits for what the time brings, and does it.
    async fn deadline(&self) {
        match self.session.deadline() {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
        self.session.on_deadline();
    }

    /// One message, if there is any. Nothing is awaited once there is room.
    async fn turn(&self, reading: &mut Reading<'_>, flushes: &mut Flushes) -> Turn {
        let Some(room) = self.room(flushes).await else {
            return Turn::NoPath;
        };
        let now = self.session.now();
        let next = self
            .session
            .look(|machine| machine.core.next_to_send(MESSAGE, now));
        match next {
            None => Turn::Idle,
            Some(Transmit::Message(message)) => self.transmit(message, room, flushes),
            Some(Transmit::Data { stream, max }) => {
                let known = self
                    .session
                    .look(|machine| machine.streams.get(&stream).cloned());
                match known {
                    Some(known) => self.data(&known, max, room, reading, flushes),
                    None => self.over(stream),
                }
            }
        }
    }

    /// A turn of a stream that is over here already.
    fn over(&self, stream: StreamId) -> Turn {
        self.session.look(|machine| machine.core.drained(stream));
        Turn::Taken
    }

    /// Room for the largest message: on the way, and among this session's own.
    async fn room(&self, flushes: &mut Flushes) -> Option<(Room, Room)> {
        let len = MESSAGE + OVERHEAD;
        let own = match self.under_way.try_reserve(len) {
            Some(room) => room,
            None => {
                flushes.run();
                self.under_way.reserve(len).await?
            }
        };
        loop {
            let reserved = self
                .node
                .router
                .reserve(&self.route, 0, len, Room::default());
            match reserved {
                Ok(room) => return Some((room, own)),
                Err(NoRoom::Gone | NoRoom::TooLarge) => return None,
                Err(NoRoom::Full(wanted)) => {
                    flushes.run();
                    if let Some(room) = wanted.wait().await {
                        return Some((room, own));
                    }
                }
            }
        }
    }

    fn transmit(&self, message: Frame, rooms: (Room, Room), flushes: &mut Flushes) -> Turn {
        let (mut room, mut own) = rooms;
        room.shrink(message.len() + OVERHEAD);
        own.shrink(message.len() + OVERHEAD);
        let mut message = Message::new(self.route.clone(), Route::new(), message);
        message.room = room.and(own);
        if self.node.send_now(message, flushes) {
            Turn::Taken
        } else {
            Turn::NoPath
        }
    }

    /// The turn of a stream: reads its socket, now that there is room.
    fn data(
        &self,
        stream: &Stream,
        max: usize,
        rooms: (Room, Room),
        reading: &mut Reading<'_>,
        flushes: &mut Flushes,
    ) -> Turn {
        let Some(writer) = stream.writer() else {
            return self.over(stream.id);
        };
        let want = max.min(stream.want());
        let (mut frame, read) = reading.read(&writer, want);
        if let Read::Failed = read {
            self.session.reset(stream, Why::Socket);
            return Turn::Taken;
        }
        if let Read::Data = read {
            stream.want_more(frame.len());
        }
        let is_first = stream.is_unopened();
        let more = matches!(read, Read::Data | Read::NotTried);
        let sent = if frame.is_empty() && !is_first {
            Turn::Taken
        } else {
            let len = frame.len() as u64;
            let encoded = self
                .session
                .look(|machine| machine.core.encode(stream.id, &mut frame, more));
            match encoded {
                Ok(()) => {
                    self.session.counters.add(Count::StreamBytesSent, len);
                    self.transmit(frame, rooms, flushes)
                }
                // It was reset meanwhile.
                Err(_) => Turn::Taken,
            }
        };
        if is_first {
            stream.asked();
        }
        match read {
            Read::Nothing => {
                self.session.look(|machine| machine.core.drained(stream.id));
                stream.drained.notify_one();
            }
            Read::End => {
                self.session.look(|machine| {
                    machine.core.drained(stream.id);
                    machine.core.finish(stream.id);
                });
                stream.read_all();
            }
            Read::Last => stream.drained.notify_one(),
            Read::Data | Read::NotTried | Read::Failed => {}
        }
        sent
    }
}

/// What a socket gave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Read {
    /// Data, and it may have more.
    Data,
    /// Data, and it has no more for now.
    Last,
    Nothing,
    End,
    Failed,
    NotTried,
}

/// The buffer that sockets are read into, one message behind the other.
struct Reading<'a> {
    /// None while nothing is read: others may have it.
    buffer: Option<BytesMut>,
    buffers: &'a Buffers,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.release();
    }
}

impl Reading<'_> {
    /// Reads up to `want` bytes, if that is any, into a message with headroom and tailroom.
    fn read(&mut self, writer: &SocketWriter, want: usize) -> (Frame, Read) {
        if want == 0 {
            return (Frame::with_capacity(0), Read::NotTried);
        }
        let room = Frame::HEADROOM + want + Frame::TAILROOM;
        let mut buffer = match self.buffer.take() {
            Some(buffer) => buffer,
            None => self.buffers.take(),
        };
        if buffer.capacity() < room && !buffer.try_reclaim(BUFFER) {
            let used = std::mem::replace(&mut buffer, self.buffers.take());
            self.buffers.give(used);
        }
        buffer.resize(Frame::HEADROOM, 0);
        let read = match writer.socket().try_read((&mut buffer).limit(want)) {
            Ok(Taken { len: 0, .. }) => Read::End,
            Ok(Taken { all: true, .. }) => Read::Last,
            Ok(_) => Read::Data,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Read::Nothing,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Read::NotTried,
            Err(_) => Read::Failed,
        };
        let end = buffer.len();
        // The tailroom is cut off with the message.
        buffer.resize(end + Frame::TAILROOM, 0);
        let mut message = buffer.split();
        message.truncate(end);
        self.buffer = Some(buffer);
        (Frame::from_part(message, Frame::HEADROOM, BUFFER), read)
    }

    /// Lets others have the buffer.
    fn release(&mut self) {
        if let Some(buffer) = self.buffer.take() {
            self.buffers.give(buffer);
        }
    }
}
