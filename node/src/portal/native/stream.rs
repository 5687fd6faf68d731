//! One connection of a session: its socket, and the task that watches it.

use std::convert::Infallible;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use sealway_core::streams::{Reason, StreamId};
use sealway_core::wire::Frame;
use tokio::sync::Notify;

use super::session::Session;
use crate::counters::Count;
use crate::node::{Shared, lock};
use crate::portal::Ended;
use crate::portal::outlet::{Connected, Place};
use crate::room::Room;
use crate::router::Flush;
use crate::transport::socket::{Socket, SocketWriter};

/// An Open that was sent must be answered within this time: more than an outlet takes for its target.
const ANSWER: Duration = Duration::from_secs(10);
/// The peer has ended its direction, and the local end takes nothing of what waits for it for this long: it is reset, since nobody
/// else would end it. The kernel tells of room only when a third of its buffer, of up to 4 MiB, is free: who reads 5 KB a
/// second is not meant.
const UNREAD: Duration = Duration::from_secs(300);
/// A read begins with this much and doubles while reads fill it.
const READ_MIN: usize = 16 << 10;

/// Why a connection is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// The peer reset it.
    Peer(Reason),
    /// This end refused it.
    Refused(Reason),
    /// The local socket failed.
    Socket,
    /// It held up all others.
    Stalled,
    /// The peer has not answered the Open.
    NoAnswer,
    /// The channel is gone, or has lost something.
    Lost,
}

impl Why {
    /// What the peer is told.
    pub(super) const fn reason(self) -> Reason {
        match self {
            Why::Peer(reason) | Why::Refused(reason) => reason,
            Why::Stalled => Reason::Stalled,
            Why::Socket | Why::NoAnswer | Why::Lost => Reason::Gone,
        }
    }

    /// Whether the target's end did not take the connection.
    pub(super) const fn is_refusal(self) -> bool {
        matches!(
            self,
            Why::Peer(Reason::Refused | Reason::TargetRefused | Reason::TargetUnreachable)
                | Why::NoAnswer
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Peer(reason) | Why::Refused(reason) => reason.fmt(f),
            Why::Socket => f.write_str("the local socket failed"),
            Why::Stalled => Reason::Stalled.fmt(f),
            Why::NoAnswer => f.write_str("the other end did not answer"),
            Why::Lost => f.write_str("the channel is gone"),
        }
    }
}

/// What a connection's task looks at.
#[derive(Clone, Copy, Debug, Default)]
struct Status {
    /// The Open was sent.
    asked: bool,
    accepted: bool,
    /// The socket has given its end, and the peer is told.
    read_all: bool,
    /// The peer has said all.
    heard_all: bool,
    /// The socket has taken all that the peer said, and its end.
    written_all: bool,
    /// The connection is over.
    cut: Option<Why>,
}

impl Status {
    const fn is_over(&self) -> bool {
        self.cut.is_some() || (self.read_all && self.written_all)
    }
}

/// Where what comes for a connection goes.
enum Sink {
    /// The target is not connected yet: kept here, in one buffer, up to the credit of an opener.
    Waiting {
        held: BytesMut,
        finished: bool,
    },
    Socket(Arc<SocketWriter>),
    Gone,
}

/// One connection.
pub(super) struct Stream {
    pub(super) id: StreamId,
    session: Arc<Session>,
    is_ours: bool,
    sink: Mutex<Sink>,
    status: Mutex<Status>,
    /// The status has changed. One waits: the connection's task.
    changed: Notify,
    /// Who sends has read all there was: the socket is to be watched again.
    pub(super) drained: Notify,
    /// Bytes written that the session was told of.
    told: AtomicU64,
    /// What the next read is for at the most.
    want: AtomicUsize,
}

impl Stream {
    pub(super) fn new(
        session: &Arc<Session>,
        id: StreamId,
        writer: Option<Arc<SocketWriter>>,
    ) -> Arc<Self> {
        session.channel.stream_began();
        let waiting = || Sink::Waiting {
            held: BytesMut::new(),
            finished: false,
        };
        Arc::new(Self {
            id,
            session: Arc::clone(session),
            is_ours: writer.is_some(),
            sink: Mutex::new(writer.map_or_else(waiting, Sink::Socket)),
            status: Mutex::default(),
            changed: Notify::new(),
            drained: Notify::new(),
            told: AtomicU64::new(0),
            want: AtomicUsize::new(READ_MIN),
        })
    }

    /// The socket, once there is one.
    pub(super) fn writer(&self) -> Option<Arc<SocketWriter>> {
        match &*lock(&self.sink) {
            Sink::Socket(writer) => Some(Arc::clone(writer)),
            Sink::Waiting { .. } | Sink::Gone => None,
        }
    }

    /// Puts data into the socket's queue, which the session's window bounds.
    pub(super) fn write(&self, data: Frame) {
        match &mut *lock(&self.sink) {
            Sink::Socket(writer) => {
                #[cfg(sealway_weaken)]
                if crate::weakened::loses(writer.written()) {
                    return;
                }
                writer.enqueue(data, Room::default());
            }
            Sink::Waiting { held, .. } => held.extend_from_slice(data.as_slice()),
            Sink::Gone => {}
        }
    }

    /// All data has come.
    pub(super) fn finish(&self) {
        self.change(|status| status.heard_all = true);
        match &mut *lock(&self.sink) {
            Sink::Socket(writer) => writer.finish_at_flush(),
            Sink::Waiting { finished, .. } => *finished = true,
            Sink::Gone => {}
        }
    }

    fn status(&self) -> Status {
        *lock(&self.status)
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut lock(&self.status));
        self.changed.notify_one();
    }

    /// Resolves when the status is as wanted. One waits at a time.
    async fn until(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        loop {
            let status = self.status();
            if wanted(&status) {
                return status;
            }
            self.changed.notified().await;
        }
    }

    /// The peer has accepted it.
    pub(super) fn accepted(&self) {
        self.change(|status| status.accepted = true);
    }

    /// The Open was sent.
    pub(super) fn asked(&self) {
        self.change(|status| status.asked = true);
    }

    /// Whether the Open is still to be sent.
    pub(super) fn is_unopened(&self) -> bool {
        self.is_ours && !self.status().asked
    }

    /// The socket gave its end, and the peer is told.
    pub(super) fn read_all(&self) {
        self.change(|status| status.read_all = true);
    }

    /// Ends it at once, with a reset of its socket.
    pub(super) fn cut(&self, why: Why) {
        let sink = std::mem::replace(&mut *lock(&self.sink), Sink::Gone);
        if let Sink::Socket(writer) = sink {
            writer.close(true);
        }
        self.change(|status| status.cut = Some(why));
    }

    /// How much to read at most.
    pub(super) fn want(&self) -> usize {
        self.want.load(Ordering::Relaxed)
    }

    /// A read of so many bytes was filled: the next may be for more.
    pub(super) fn want_more(&self, filled: usize) {
        if filled >= self.want() {
            self.want.store(filled.saturating_mul(2), Ordering::Relaxed);
        }
    }

    /// Tells the session what has been written: that is what makes credit.
    fn tell_written(&self, writer: &SocketWriter) {
        let written = writer.written();
        let before = self.told.fetch_max(written, Ordering::Relaxed);
        let len = usize::try_from(written.saturating_sub(before)).unwrap_or(usize::MAX);
        if len > 0 {
            let now = self.session.now();
            self.session
                .with(|machine| machine.core.consumed(self.id, len, now));
        }
    }

    /// Waits for the peer's answer to our Open. What the client says meanwhile does not: it goes behind the Open, as far as a
    /// stream's first credit.
    pub(super) async fn opened(self: &Arc<Self>) -> Result<(), Why> {
        let watched = async {
            match self.writer() {
                Some(writer) => self.watch(&writer).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            answer = self.answered() => answer,
            () = watched => Err(Why::Socket),
        }
    }

    /// The time for the answer runs from when the Open was sent.
    async fn answered(self: &Arc<Self>) -> Result<(), Why> {
        let guard = Guard::new(self);
        let over = |status: &Status| status.accepted || status.cut.is_some();
        self.until(|status| status.asked || over(status)).await;
        let answer = tokio::time::timeout(ANSWER, self.until(over)).await;
        let status = answer.map_err(|_| Why::NoAnswer)?;
        status.cut.map_or(Ok(()), Err)?;
        guard.keep();
        Ok(())
    }

    /// Connects to the target of a connection that the peer opened, and carries it to its end.
    pub(super) async fn serve(self: Arc<Self>, node: &Arc<Shared>, place: Place) {
        let guard = Guard::new(&self);
        let connected = tokio::select! {
            biased;
            _ = self.until(|status| status.cut.is_some()) => return,
            // Kept out of what the connection takes for the rest of its life.
            connected = Box::pin(place.connect(node)) => connected,
        };
        let socket = match connected {
            Connected::Open(socket) => Socket::Tcp(socket),
            Connected::Refused => return self.refuse(Reason::TargetRefused),
            Connected::Unreachable => return self.refuse(Reason::TargetUnreachable),
        };
        if !self.connected(SocketWriter::new(socket, None)) {
            return;
        }
        guard.keep();
        node.router.counters.one(Count::StreamsOpened);
        self.carry().await.count(node);
    }

    fn refuse(&self, reason: Reason) {
        self.session.reset(self, Why::Refused(reason));
    }

    /// The target is there: accepts, and gives it what has waited. False if the peer has ended it meanwhile.
    fn connected(&self, writer: Arc<SocketWriter>) -> bool {
        let accepted = self.session.with(|machine| {
            let mut sink = lock(&self.sink);
            let Sink::Waiting { held, finished } = &mut *sink else {
                return false;
            };
            let (held, finished) = (std::mem::take(held), *finished);
            *sink = Sink::Socket(Arc::clone(&writer));
            writer.enqueue(Frame::from_received(held), Room::default());
            if finished {
                writer.finish_at_flush();
            }
            machine.core.accept(self.id)
        });
        writer.flush();
        self.tell_written(&writer);
        accepted
    }

    /// Carries the connection to its end.
    pub(super) async fn carry(self: &Arc<Self>) -> Ended {
        let guard = Guard::new(self);
        let Some(writer) = self.writer() else {
            return ended(self.until(Status::is_over).await);
        };
        let written = async {
            writer.drive(|| self.tell_written(&writer)).await;
            self.tell_written(&writer);
            if writer.is_finished() {
                self.change(|status| status.written_all = true);
            } else {
                self.session.reset(self, Why::Socket);
            }
            std::future::pending::<Infallible>().await
        };
        tokio::select! {
            biased;
            status = self.over(&writer) => {
                if status.cut.is_none() {
                    guard.finish();
                }
                ended(status)
            }
            never = written => match never {},
            () = self.watch(&writer) => Ended::Reset(Why::Socket.to_string()),
        }
    }

    /// Resolves when the connection is over.
    async fn over(&self, writer: &SocketWriter) -> Status {
        let status = self
            .until(|status| status.heard_all || status.is_over())
            .await;
        if status.is_over() {
            return status;
        }
        // With a timer of its own from here on only: it would be a tenth of what an idle connection takes.
        Box::pin(self.over_or_unread(writer)).await
    }

    /// The same, once nobody but the local end can end it: that must take what waits for it.
    async fn over_or_unread(&self, writer: &SocketWriter) -> Status {
        loop {
            let before = writer.written();
            let over = self.until(Status::is_over);
            if let Ok(status) = tokio::time::timeout(UNREAD, over).await {
                return status;
            }
            if writer.is_finishing() && writer.written() == before {
                self.session.reset(self, Why::Socket);
            }
        }
    }

    /// Tells the session whenever the socket can be read. Resolves if it fails.
    async fn watch(&self, writer: &SocketWriter) {
        while writer.socket().readable().await.is_ok() {
            self.session.with(|machine| machine.core.readable(self.id));
            self.drained.notified().await;
        }
    }
}

impl Flush for Stream {
    fn flush(&self) {
        if let Some(writer) = self.writer() {
            writer.flush();
            self.tell_written(&writer);
        }
    }
}

/// What became of a connection that is over.
fn ended(status: Status) -> Ended {
    match status.cut {
        Some(why) => Ended::Reset(why.to_string()),
        None => Ended::Finished,
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.session.channel.stream_ended();
    }
}

/// Whatever way a task ends, also cut off with its node: the socket does not outlive it, and if nothing ended it in order its owner
/// must see that.
struct Guard<'a> {
    stream: &'a Stream,
    at_drop: AtDrop,
}

enum AtDrop {
    Keep,
    Finished,
    Reset,
}

impl<'a> Guard<'a> {
    const fn new(stream: &'a Stream) -> Self {
        let at_drop = AtDrop::Reset;
        Self { stream, at_drop }
    }

    fn keep(mut self) {
        self.at_drop = AtDrop::Keep;
    }

    fn finish(mut self) {
        self.at_drop = AtDrop::Finished;
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        match self.at_drop {
            AtDrop::Keep => {}
            AtDrop::Finished => self.stream.session.forget(self.stream.id, true),
            AtDrop::Reset => self.stream.session.reset(self.stream, Why::Socket),
        }
    }
}
