//! One TCP connection of a portal: the driver of core's stream, the same at inlet and outlet.
//!
//! Towards the peer a task reads the socket: it waits until the socket is readable and its path has room, with no buffer
//! in hand, then reads, encodes, and hands on. From the peer an inline hop writes to the socket; when the
//! socket's queue is full, the connection that the data came by is paused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::BufMut;
use sealway_core::portal::{
    Action, Actions, Answer, Inlet as Opening, Reason, Stream, answer_when_closed,
};
use sealway_core::wire::{Address, Frame, Route};
use tokio::sync::{Notify, oneshot, watch};

use crate::channel::{ChannelShared, Fate};
use crate::counters::Count;
use crate::exposure::Exposure;
use crate::message::Message;
use crate::node::{Shared, lock, route_to};
use crate::portal::Ended;
use crate::room::{Reservoir, Room};
use crate::router::{Bottleneck, Endpoint, Flushes, Hop, NoRoom, Router, Step, Target, Wanted};
use crate::transport::socket::{ENTRY, Socket, SocketWriter, Taken};

/// Bytes that wait for one local socket: 1 MiB. At the bound the connection they come by is paused.
const SOCKET_BOUND: u32 = 1 << 20;
/// A read begins with this much and doubles while reads fill it.
const CHUNK_MIN: usize = 16 << 10;
/// The most that one message carries.
const CHUNK_MAX: usize = 64 << 10;
/// What a chunk is charged with for its headers and its place in a queue, beyond its own length.
const CHUNK_OVERHEAD: usize = 64 + ENTRY;
/// After an orderly end, a local end that takes nothing of what waits for it for this long is reset: nobody else would end it. The
/// kernel tells of room only when a third of its buffer, of up to 4 MiB, is free: who reads 5 KB a second is not meant.
const UNREAD: Duration = Duration::from_secs(300);
/// After an orderly end, what the local end still sends is read and dropped for this long at the most, so that closing the
/// socket does not reset what was written last.
const DRAIN: Duration = Duration::from_secs(2);

/// After a reset, the path gets this long to take what tells the peer. Where it does not, the peer learns of it only when the path
/// ends.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// What the socket's two sides share.
pub(super) struct StreamShared {
    node: Weak<Shared>,
    address: Address,
    pub(super) peer_route: Mutex<Route>,
    machine: Mutex<Machine>,
    writer: Arc<SocketWriter>,
    reservoir: Reservoir,
    /// Something happened that the task must look at.
    changed: Notify,
    /// All is written, or nothing more can be.
    written: AtomicBool,
    channel: Option<Arc<ChannelShared>>,
    /// Gaps of the channel when the connection began.
    gaps: u32,
}

struct Machine {
    state: Phase,
    /// Messages to the peer that the task sends before the next chunk, in this order.
    outgoing: Vec<Frame>,
    finish: bool,
    /// The connection is over, and how.
    over: Option<Over>,
}

/// Where a connection stands.
enum Phase {
    /// Nothing is expected yet, or any more.
    Idle,
    /// An inlet's, before the outlet has answered: who waits is told what came of it.
    Opening(Opening, oneshot::Sender<Result<(), Reason>>),
    Open(Stream),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// FIN once all is written.
    Orderly,
    /// RST.
    Reset(Reason),
}

impl Bottleneck for StreamShared {
    fn reservoir(&self) -> &Reservoir {
        &self.reservoir
    }

    fn progress(&self) -> u64 {
        self.writer.written()
    }

    /// A local socket that takes nothing is reset only if others wait behind it: alone it may stand as long as it likes.
    fn give_up(&self, reason: Count) {
        let Some(node) = self.node.upgrade() else {
            return;
        };
        let shared = self
            .channel
            .as_ref()
            .is_none_or(|channel| channel.streams() > 1 || channel.shares_way(&node));
        if shared {
            node.router.counters.one(reason);
            self.fail(Reason::SocketFailed);
        }
    }
}

/// The inline hop at the stream's address.
struct StreamHop(Arc<StreamShared>);

impl Hop for StreamHop {
    fn step(&self, _router: &Router, mut message: Message, flushes: &mut Flushes) -> Step {
        let stream = &self.0;
        // Room in the socket's queue first: what is taken from the stream must go on.
        let len = message.payload.len() + ENTRY;
        let Some(room) = stream.reservoir.claim(&mut message.room, len) else {
            if stream.reservoir.is_closed() {
                return stream.after_the_end(message);
            }
            let at = Arc::clone(stream) as Arc<dyn Bottleneck>;
            return Step::Full(message, Wanted { at, len });
        };
        let Some(node) = stream.node.upgrade() else {
            return Step::Refused(Count::UnknownAddress);
        };
        // What follows a gap must not reach the socket, and the task may not have seen the gap yet.
        if stream.has_gap() {
            stream.fail(Reason::DataLost);
            return Step::Done;
        }
        let mut machine = lock(&stream.machine);
        let actions = match &mut machine.state {
            Phase::Open(open) => open.on_message(message.payload.as_slice(), node.tick()),
            Phase::Opening(..) => {
                stream.on_answer(&mut machine, message);
                return Step::Done;
            }
            Phase::Idle => return Step::Done,
        };
        let mut frame = Some((message.payload, room));
        stream.carry_out(&mut machine, actions, &mut frame);
        drop(machine);
        flushes.add(&(Arc::clone(stream) as Arc<dyn crate::router::Flush>));
        Step::Done
    }
}

impl crate::router::Flush for StreamShared {
    fn flush(&self) {
        self.writer.flush();
    }
}

impl StreamShared {
    /// Takes the outlet's answer. The stream is open when this returns: its first data may be right behind the Pong.
    fn on_answer(&self, machine: &mut Machine, message: Message) {
        let Phase::Opening(opening, waiting) = std::mem::replace(&mut machine.state, Phase::Idle)
        else {
            return;
        };
        let outcome = match opening.on_answer(message.payload.as_slice()) {
            Answer::Open(stream) => {
                // The Pong's return route is the peer's from now on (reference, section 7.2).
                *lock(&self.peer_route) = message.return_route;
                machine.state = Phase::Open(stream);
                Ok(())
            }
            Answer::Refused(reason) => Err(reason),
            Answer::Waiting(opening) => {
                machine.state = Phase::Opening(opening, waiting);
                return;
            }
        };
        // Who waited may have given up: the connection is over then.
        let _ = waiting.send(outcome);
    }

    /// Does what the state machine asks for. Messages to the peer are left to the task.
    fn carry_out(
        &self,
        machine: &mut Machine,
        actions: Actions,
        message: &mut Option<(Frame, Room)>,
    ) {
        for action in actions {
            match action {
                Action::Write(data) => {
                    if let Some((mut frame, room)) = message.take() {
                        frame.narrow(data);
                        #[cfg(sealway_weaken)]
                        if crate::weakened::loses(self.writer.written()) {
                            continue;
                        }
                        if let Some(node) = self.node.upgrade() {
                            let received = frame.len() as u64;
                            node.router
                                .counters
                                .add(Count::StreamBytesReceived, received);
                        }
                        self.writer.enqueue(frame, room);
                        continue;
                    }
                }
                Action::Send(frame) => machine.outgoing.push(frame),
                Action::FinishWriting => machine.finish = true,
                Action::Close => machine.over = machine.over.or(Some(Over::Orderly)),
                Action::Reset(reason) => machine.over = machine.over.or(Some(Over::Reset(reason))),
            }
            self.changed.notify_one();
        }
    }

    /// Ends the connection because something was lost.
    pub(super) fn fail(&self, reason: Reason) {
        let mut machine = lock(&self.machine);
        let actions = match &mut machine.state {
            Phase::Idle | Phase::Opening(..) => {
                machine.over = machine.over.or(Some(Over::Reset(reason)));
                Actions::new()
            }
            Phase::Open(stream) => stream.fail(reason),
        };
        self.carry_out(&mut machine, actions, &mut None);
        drop(machine);
        self.changed.notify_one();
    }

    /// Whether the channel has lost something since the connection began.
    fn has_gap(&self) -> bool {
        #[cfg(sealway_weaken)]
        if sealway_core::weaken::off(sealway_core::weaken::Check::StreamIntegrity) {
            return false;
        }
        self.channel
            .as_ref()
            .is_some_and(|channel| channel.fate.borrow().gaps != self.gaps)
    }

    /// What comes for a connection that has ended is ignored; a Pong is answered, so that its outlet ends too.
    fn after_the_end(&self, message: Message) -> Step {
        match answer_when_closed(message.payload.as_slice()) {
            Some(answer) => Step::Next(Message::new(
                message.return_route,
                route_to(&self.address),
                Frame::from_slice(answer),
            )),
            None => Step::Done,
        }
    }

    /// How the connection ended, once it has.
    fn over(&self) -> Option<Over> {
        lock(&self.machine).over
    }

    /// Resolves when the connection has been reset.
    async fn reset(&self) {
        while !matches!(self.over(), Some(Over::Reset(_))) {
            self.changed.notified().await;
        }
    }

    /// What is to be sent before anything else.
    fn take_outgoing(&self) -> Vec<Frame> {
        std::mem::take(&mut lock(&self.machine).outgoing)
    }
}

/// A connection of a portal, driven by one task.
pub(super) struct Driver {
    pub(super) shared: Arc<StreamShared>,
    node: Arc<Shared>,
    want: usize,
}

impl Driver {
    /// Takes a socket into a portal. Messages of the peer come by `source`: a channel or a connection.
    pub(super) fn new(
        node: &Arc<Shared>,
        socket: Socket,
        source: &Address,
        peer_route: Route,
        channel: Option<Arc<ChannelShared>>,
    ) -> Self {
        let address = node.fresh_address();
        let reservoir = Reservoir::new(SOCKET_BOUND);
        let shared = Arc::new(StreamShared {
            node: Arc::downgrade(node),
            address: address.clone(),
            peer_route: Mutex::new(peer_route),
            machine: Mutex::new(Machine {
                state: Phase::Idle,
                outgoing: Vec::new(),
                finish: false,
                over: None,
            }),
            writer: SocketWriter::new(socket, Some(reservoir.clone())),
            reservoir,
            changed: Notify::new(),
            written: AtomicBool::new(false),
            gaps: channel
                .as_ref()
                .map_or(0, |channel| channel.fate.borrow().gaps),
            channel,
        });
        if let Some(channel) = &shared.channel {
            channel.stream_began();
        }
        let exposure = Exposure::local().to_source(source.clone());
        let hop = Target::Hop(Arc::new(StreamHop(Arc::clone(&shared))));
        node.router.insert(
            address,
            Endpoint {
                exposure,
                target: hop,
            },
        );
        Self {
            shared,
            node: Arc::clone(node),
            want: CHUNK_MIN,
        }
    }

    /// Sends a message of the portal protocol along the peer's route.
    pub(super) async fn send(&self, payload: Frame) -> bool {
        let route = lock(&self.shared.peer_route).clone();
        self.node
            .send(Message::new(route, route_to(&self.shared.address), payload))
            .await
            .is_ok()
    }

    /// An inlet's connection is about to be asked for: resolves with what the outlet answers.
    pub(super) fn answer(&self, opening: Opening) -> oneshot::Receiver<Result<(), Reason>> {
        let (sender, receiver) = oneshot::channel();
        lock(&self.shared.machine).state = Phase::Opening(opening, sender);
        receiver
    }

    /// The connection is open.
    pub(super) fn open(&self, stream: Stream) {
        lock(&self.shared.machine).state = Phase::Open(stream);
    }

    /// What becomes of the channel under the connection.
    pub(super) fn fates(&self) -> Fates {
        Fates::new(&self.shared)
    }

    /// Ends a connection that never opened.
    pub(super) fn refuse(&self) {
        self.shared.writer.close(true);
    }

    /// Carries the connection until it ends.
    pub(super) async fn run(mut self) -> Ended {
        let writer = Arc::clone(&self.shared.writer);
        // Writing has a task of its own: it must go on while the reading side waits for room.
        self.node.spawn({
            let shared = Arc::clone(&self.shared);
            async move {
                shared.writer.drive(|| {}).await;
                shared.written.store(true, Ordering::Release);
                shared.changed.notify_one();
            }
        });
        let mut fate = self.fates();
        let shared = Arc::clone(&self.shared);
        loop {
            if writer.has_failed() {
                shared.fail(Reason::SocketFailed);
            }
            if let Some(over @ Over::Reset(_)) = shared.over() {
                return self.end(over).await;
            }
            // Whatever waits for room on the path is given up with the connection: the path may be full because the other end
            // waits for this very socket.
            tokio::select! {
                biased;
                () = self.send_outgoing() => {}
                () = shared.reset() => continue,
            }
            let (reading, deadline, finish, over) = self.look();
            if finish {
                writer.finish();
            }
            if let Some(over) = over {
                return self.end(over).await;
            }
            let now = self.node.tick();
            let until = deadline.map(|at| Duration::from_millis(at.0.saturating_sub(now.0)));
            tokio::select! {
                biased;
                () = self.shared.changed.notified() => {}
                reason = fate.bad() => self.shared.fail(reason),
                () = tokio::time::sleep(until.unwrap_or_default()), if until.is_some() => self.on_deadline(),
                chunk = next_chunk(&self.node, &self.shared, self.want), if reading => tokio::select! {
                    biased;
                    () = self.on_chunk(chunk) => {}
                    () = shared.reset() => {}
                },
            }
        }
    }

    fn look(&self) -> (bool, Option<sealway_core::Tick>, bool, Option<Over>) {
        let mut machine = lock(&self.shared.machine);
        let finish = std::mem::take(&mut machine.finish);
        let (reading, deadline) = match &machine.state {
            Phase::Open(stream) => (stream.is_reading(), stream.deadline()),
            Phase::Idle | Phase::Opening(..) => (false, None),
        };
        (reading, deadline, finish, machine.over)
    }

    fn on_deadline(&self) {
        let now = self.node.tick();
        self.act(|stream| stream.on_deadline(now));
    }

    fn act(&self, event: impl FnOnce(&mut Stream) -> Actions) {
        let mut machine = lock(&self.shared.machine);
        if let Phase::Open(stream) = &mut machine.state {
            let actions = event(stream);
            self.shared.carry_out(&mut machine, actions, &mut None);
        }
    }

    async fn send_outgoing(&self) {
        for frame in self.shared.take_outgoing() {
            self.send(frame).await;
        }
    }

    async fn on_chunk(&mut self, chunk: Chunk) {
        let now = self.node.tick();
        match chunk {
            Chunk::Data(mut frame, room) => {
                let filled = frame.len() >= self.want;
                self.want = if filled {
                    (self.want * 2).min(CHUNK_MAX)
                } else {
                    self.want
                };
                let read = frame.len() as u64;
                let first = {
                    let mut machine = lock(&self.shared.machine);
                    let Phase::Open(stream) = &mut machine.state else {
                        return;
                    };
                    if !stream.encode_chunk(&mut frame, now) {
                        return;
                    }
                    std::mem::take(&mut machine.outgoing)
                };
                self.node.router.counters.add(Count::StreamBytesSent, read);
                // What was encoded before the chunk goes before it: counters are positions.
                for control in first {
                    self.send(control).await;
                }
                let route = lock(&self.shared.peer_route).clone();
                let mut message = Message::new(route, route_to(&self.shared.address), frame);
                message.room = room;
                if self.node.send(message).await.is_err() {
                    self.shared.fail(Reason::PathLost);
                }
            }
            Chunk::End => self.act(|stream| stream.on_end_of_file(now)),
            Chunk::Failed => self.shared.fail(Reason::SocketFailed),
            Chunk::NoPath => self.shared.fail(Reason::PathLost),
        }
    }

    /// Ends the socket as the state machine said.
    async fn end(self, over: Over) -> Ended {
        let writer = Arc::clone(&self.shared.writer);
        match over {
            Over::Reset(reason) => {
                // First, so that what waits for room in this socket's queue goes on; that may make the room on the path.
                writer.close(true);
                let _ = tokio::time::timeout(LAST_WORDS, self.send_outgoing()).await;
                Ended::Reset(reason.to_string())
            }
            Over::Orderly => {
                writer.finish();
                self.send_outgoing().await;
                if !self.all_written().await {
                    writer.close(true);
                    return Ended::Reset(Reason::SocketFailed.to_string());
                }
                // The peer's late messages find a closed stream from here on.
                self.node.forget(&self.shared.address);
                let _ = tokio::time::timeout(DRAIN, drain(writer.socket())).await;
                writer.close(false);
                Ended::Finished
            }
        }
    }
}

impl Driver {
    /// Waits until everything has been written to a local end that is to get no more; `false` if it fails, or takes nothing
    /// for [`UNREAD`].
    async fn all_written(&self) -> bool {
        let writer = &self.shared.writer;
        loop {
            let before = writer.written();
            let written = async {
                while !self.shared.written.load(Ordering::Acquire) {
                    self.shared.changed.notified().await;
                }
            };
            if tokio::time::timeout(UNREAD, written).await.is_ok() {
                return !writer.has_failed();
            }
            if writer.written() == before {
                return false;
            }
        }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // Whatever way it ended: the socket does not outlive its task, nor does its address. If nothing closed it before,
        // it was cut off, and its client must see that.
        self.shared.writer.close(true);
        self.node.forget(&self.shared.address);
        if let Some(channel) = &self.shared.channel {
            channel.stream_ended();
        }
    }
}

/// Reads what still comes, and drops it, until the end.
async fn drain(socket: &Socket) {
    let mut sink = bytes::BytesMut::with_capacity(4_096);
    while socket.readable().await.is_ok() {
        sink.clear();
        match socket.try_read(&mut sink) {
            Ok(Taken { len: 0, .. }) => return,
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {}
        }
    }
}

/// What the local socket gave.
enum Chunk {
    Data(Frame, Room),
    End,
    Failed,
    NoPath,
}

/// Waits until the socket has something and the path has room, then reads up to `want` bytes. Cancel safe: nothing is awaited
/// after the read.
async fn next_chunk(node: &Arc<Shared>, stream: &StreamShared, want: usize) -> Chunk {
    let socket = stream.writer.socket();
    loop {
        if socket.readable().await.is_err() {
            return Chunk::Failed;
        }
        let route = lock(&stream.peer_route).clone();
        let reserved = node
            .router
            .reserve(&route, 0, want + CHUNK_OVERHEAD, Room::default());
        let room = match reserved {
            Ok(room) => room,
            Err(NoRoom::Gone | NoRoom::TooLarge) => return Chunk::NoPath,
            // The one source is paused: its bytes stay in its socket.
            Err(NoRoom::Full(wanted)) => match wanted.wait().await {
                Some(room) => room,
                None => continue,
            },
        };
        let (mut buffer, start) = Frame::with_capacity(want).into_buffer();
        match socket.try_read((&mut buffer).limit(want)) {
            Ok(Taken { len: 0, .. }) => return Chunk::End,
            Ok(read) => {
                let mut room = room;
                room.shrink(read.len + CHUNK_OVERHEAD);
                return Chunk::Data(Frame::from_buffer(buffer, start), room);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Chunk::Failed,
        }
    }
}

/// Watches the channel under a stream.
pub(super) struct Fates {
    fate: Option<watch::Receiver<Fate>>,
    gaps: u32,
}

impl Fates {
    fn new(stream: &StreamShared) -> Self {
        let fate = stream
            .channel
            .as_ref()
            .map(|channel| channel.fate.subscribe());
        Self {
            fate,
            gaps: stream.gaps,
        }
    }

    /// Resolves when the channel loses something or ends.
    pub(super) async fn bad(&mut self) -> Reason {
        let gaps = self.gaps;
        let Some(fate) = &mut self.fate else {
            return std::future::pending().await;
        };
        let seen = fate
            .wait_for(|fate| fate.gaps != gaps || fate.closed.is_some())
            .await
            .map(|fate| *fate);
        match seen {
            Ok(Fate { gaps, closed: None }) => {
                self.gaps = gaps;
                Reason::DataLost
            }
            _ => {
                self.fate = None;
                Reason::PathLost
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;
    use tokio::time::Instant;

    use super::*;
    use crate::node::Node;

    /// A connection that has ended while 1 MiB waited for its client.
    fn ended(node: &Node) -> (Driver, UnixStream) {
        let (ours, client) = UnixStream::pair().expect("a pair");
        let source = Address::local("peer");
        let driver = Driver::new(
            node.shared(),
            Socket::Unix(ours),
            &source,
            Route::new(),
            None,
        );
        let waits = Frame::from_slice(&vec![7; 1 << 20]);
        driver.shared.writer.enqueue(waits, Room::default());
        lock(&driver.shared.machine).over = Some(Over::Orderly);
        (driver, client)
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_connection_whose_client_reads_nothing_is_reset() {
        let node = Node::builder().start();
        let (driver, _client) = ended(&node);
        let began = Instant::now();
        let end = tokio::time::timeout(10 * UNREAD, driver.run()).await;
        assert_eq!(
            end.expect("no end"),
            Ended::Reset(Reason::SocketFailed.to_string())
        );
        assert!(began.elapsed() < 2 * UNREAD);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ended_connection_whose_client_reads_slowly_gets_everything() {
        let node = Node::builder().start();
        let (driver, mut client) = ended(&node);
        let reading = tokio::spawn(async move {
            let mut got = 0;
            let mut buffer = vec![0; 128 << 10];
            loop {
                tokio::time::sleep(UNREAD / 3).await;
                match client.read(&mut buffer).await.expect("no reset") {
                    0 => return got,
                    read => got += read,
                }
            }
        });
        assert_eq!(driver.run().await, Ended::Finished);
        assert_eq!(reading.await.expect("no panic"), 1 << 20);
    }
}
