//! Workers: actors with an address, a bounded mailbox and one message at a time.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use sealway_core::wire::{Address, DecodeError, Frame, Route, bare};

use crate::counters::Count;
use crate::exposure::Exposure;
use crate::mailbox::{self, Mailbox};
use crate::message::{Message, Origin};
use crate::node::{AddressInUse, Node, SendError, Shared, route_to};
use crate::router::{Endpoint, Target};
use crate::telling::{Line, rounded};

/// What a message carries, as the reference encodes it (reference, section 0.3).
pub trait Payload: Sized + Send {
    /// The payload's bytes.
    fn encode(self) -> Frame;

    /// Reads a payload.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not of this type; the message is dropped and counted.
    fn decode(frame: Frame) -> Result<Self, DecodeError>;
}

impl Payload for String {
    fn encode(self) -> Frame {
        Frame::from_slice(&bare::string_payload(&self))
    }

    fn decode(frame: Frame) -> Result<Self, DecodeError> {
        bare::Reader::new(frame.as_slice())
            .string()
            .map(str::to_owned)
    }
}

impl Payload for () {
    fn encode(self) -> Frame {
        Frame::with_capacity(0)
    }

    fn decode(_frame: Frame) -> Result<Self, DecodeError> {
        Ok(())
    }
}

/// Bytes as they are, without a length in front (`NeutralMessage` of the reference; `Vec<u8>` since 0.150).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw(pub Vec<u8>);

impl Payload for Raw {
    fn encode(self) -> Frame {
        Frame::from_slice(&self.0)
    }

    fn decode(frame: Frame) -> Result<Self, DecodeError> {
        Ok(Self(frame.as_slice().to_vec()))
    }
}

impl Payload for Frame {
    fn encode(self) -> Frame {
        self
    }

    fn decode(frame: Frame) -> Result<Self, DecodeError> {
        Ok(frame)
    }
}

/// A message as a worker gets it.
#[derive(Debug)]
pub struct Delivery<M> {
    /// The route to here and beyond: this worker's address is its first.
    pub onward: Route,
    /// Where a reply goes.
    pub return_route: Route,
    /// What was proved about the sender.
    pub origin: Origin,
    /// The payload.
    pub payload: M,
}

/// What a worker's function may fail with: logged, counted, and the worker goes on.
pub type WorkerError = Box<dyn std::error::Error + Send + Sync>;

/// An actor.
pub trait Worker: Send + 'static {
    /// What its messages carry: `String`, [`Raw`], [`Frame`], `()`, or a type of yours.
    type Message: Payload;

    /// Called once before the first message.
    fn started(
        &mut self,
        _context: &mut Context,
    ) -> impl Future<Output = Result<(), WorkerError>> + Send {
        async { Ok(()) }
    }

    /// Called for each message, one at a time.
    fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<Self::Message>,
    ) -> impl Future<Output = Result<(), WorkerError>> + Send;

    /// Called once after the last message.
    fn stopped(&mut self, _context: &mut Context) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Why a request got no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The request could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Nobody answered in time.
    #[error("no reply within {}", rounded(*.0))]
    Deadline(Duration),
    /// The reply is not of the wanted type.
    #[error("the reply cannot be decoded: {0}")]
    Undecodable(DecodeError),
    /// The node is shut down.
    #[error("the node is shut down")]
    ShutDown,
}

/// A worker's view of its node.
pub struct Context {
    node: Node,
    address: Address,
    stopped: bool,
}

impl Context {
    /// The worker's own address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The node it runs in.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Sends along `onward`; replies come to this worker.
    ///
    /// # Errors
    /// [`SendError`] when it cannot go.
    pub async fn send(
        &self,
        onward: impl Into<Route>,
        payload: impl Payload,
    ) -> Result<(), SendError> {
        self.node
            .send(Message::new(
                onward.into(),
                route_to(&self.address),
                payload.encode(),
            ))
            .await
    }

    /// Answers a message.
    ///
    /// # Errors
    /// [`SendError`] when it cannot go.
    pub async fn reply<M>(&self, to: &Delivery<M>, payload: impl Payload) -> Result<(), SendError> {
        self.send(to.return_route.clone(), payload).await
    }

    /// Sends an answer without waiting for room on its way: if there is none, the answer waits by itself, for ten seconds at the
    /// most. For services that strangers can ask: one that reads nothing must not stop the service for all others.
    pub fn answer(&self, onward: impl Into<Route>, payload: impl Payload) {
        let answer = Message::new(onward.into(), route_to(&self.address), payload.encode());
        self.node.shared().send_soon(answer);
    }

    /// Sends along `onward` and waits for one reply.
    ///
    /// # Errors
    /// [`RequestError`] when there is none.
    pub async fn request<R: Payload>(
        &self,
        onward: impl Into<Route>,
        payload: impl Payload,
        deadline: Duration,
    ) -> Result<R, RequestError> {
        self.node.request(onward, payload, deadline).await
    }

    /// Passes a message on as a hop does (reference, section 1.3, rule 3): this worker leaves the onward route and joins
    /// the return route; the origin stays what it was.
    ///
    /// # Errors
    /// [`SendError`] when it cannot go.
    pub async fn forward(&self, message: Delivery<Frame>) -> Result<(), SendError> {
        let mut onward = message.onward;
        onward.pop_front();
        let mut return_route = message.return_route;
        return_route.push_front(self.address.clone());
        let mut forwarded = Message::new(onward, return_route, message.payload);
        forwarded.origin = message.origin;
        self.node.shared().send(forwarded).await
    }

    /// Stops this worker after the present message.
    pub fn stop(&mut self) {
        self.stopped = true;
    }
}

/// An address with a mailbox that is read by hand. Dropping it gives the address back.
pub struct Inbox {
    shared: Arc<Shared>,
    address: Address,
    mailbox: Mailbox,
}

impl Inbox {
    /// The address.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The next message; `None` once the node is shut down.
    pub async fn next(&mut self) -> Option<Delivery<Frame>> {
        let message = self.mailbox.next().await?;
        Some(Delivery {
            onward: message.onward,
            return_route: message.return_route,
            origin: message.origin,
            payload: message.payload,
        })
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        self.shared.forget(&self.address);
    }
}

impl Node {
    /// Starts a worker at `address`, reachable for whom `exposure` says, with a mailbox of 1 MiB.
    ///
    /// # Errors
    /// [`AddressInUse`].
    pub fn start_worker<W: Worker>(
        &self,
        address: impl Into<Address>,
        worker: W,
        exposure: Exposure,
    ) -> Result<(), AddressInUse> {
        self.start_worker_with(address, worker, exposure, mailbox::DEFAULT_BOUND)
    }

    /// As [`Node::start_worker`], with a mailbox of `mailbox_bytes`: payloads, each charged with 256 bytes more.
    ///
    /// # Errors
    /// [`AddressInUse`].
    pub fn start_worker_with<W: Worker>(
        &self,
        address: impl Into<Address>,
        worker: W,
        exposure: Exposure,
        mailbox_bytes: u32,
    ) -> Result<(), AddressInUse> {
        let address = address.into();
        let (sender, mailbox) = mailbox::mailbox(mailbox_bytes);
        let endpoint = Endpoint {
            exposure,
            target: Target::Mailbox(sender),
        };
        if !self.shared().router.insert(address.clone(), endpoint) {
            return Err(AddressInUse(address.to_string()));
        }
        let context = Context {
            node: self.clone(),
            address,
            stopped: false,
        };
        self.shared().spawn_orderly(run(worker, context, mailbox));
        Ok(())
    }

    /// Stops the worker, or takes out of use whatever else is at `address`.
    pub fn stop_worker(&self, address: &Address) {
        self.shared().forget(address);
    }

    /// An address of its own with a mailbox that you read, reachable for whom `exposure` says.
    #[must_use]
    pub fn inbox(&self, exposure: Exposure) -> Inbox {
        let address = self.shared().fresh_address();
        let (sender, mailbox) = mailbox::mailbox(mailbox::DEFAULT_BOUND);
        self.shared().router.insert(
            address.clone(),
            Endpoint {
                exposure,
                target: Target::Mailbox(sender),
            },
        );
        Inbox {
            shared: Arc::clone(self.shared()),
            address,
            mailbox,
        }
    }

    /// Sends along `onward` from an address of its own and waits for one reply.
    ///
    /// # Errors
    /// [`RequestError`] when there is none.
    pub async fn request<R: Payload>(
        &self,
        onward: impl Into<Route>,
        payload: impl Payload,
        deadline: Duration,
    ) -> Result<R, RequestError> {
        let onward = self.resolved(onward.into()).await?;
        let mut inbox = self.inbox(reply_exposure(self.shared(), &onward));
        let message = Message::new(onward, route_to(inbox.address()), payload.encode());
        let exchange = async {
            self.send(message).await?;
            inbox.next().await.ok_or(RequestError::ShutDown)
        };
        let reply = tokio::time::timeout(deadline, exchange)
            .await
            .map_err(|_| RequestError::Deadline(deadline))??;
        R::decode(reply.payload).map_err(RequestError::Undecodable)
    }
}

/// A reply may come by the connection or channel that the request goes by. Behind a local hop the way is not known: the
/// address then is its own ticket, 64 random bits that only the route's machines see.
fn reply_exposure(shared: &Shared, onward: &Route) -> Exposure {
    match onward.first() {
        Some(first) if shared.is_way_out(first) => Exposure::local().to_source(first.clone()),
        _ => Exposure::anyone(),
    }
}

async fn run<W: Worker>(mut worker: W, mut context: Context, mut mailbox: Mailbox) {
    if let Err(error) = worker.started(&mut context).await {
        tracing::warn!(address = %context.address, %error, "worker did not start");
        context.node.shared().forget(&context.address);
        return;
    }
    while !context.stopped {
        let Some(message) = mailbox.next().await else {
            break;
        };
        handle(&mut worker, &mut context, message).await;
    }
    context.node.shared().forget(&context.address);
    worker.stopped(&mut context).await;
}

async fn handle<W: Worker>(worker: &mut W, context: &mut Context, message: Message) {
    let Message {
        onward,
        return_route,
        payload,
        origin,
        room: _,
    } = message;
    let payload = match W::Message::decode(payload) {
        Ok(payload) => payload,
        Err(error) => {
            context.node.counters().one(Count::UndecodablePayload);
            tracing::debug!(address = %context.address, %error, "payload not understood");
            return;
        }
    };
    let delivery = Delivery {
        onward,
        return_route,
        origin,
        payload,
    };
    if let Err(error) = worker.handle(context, delivery).await {
        context.node.counters().one(Count::WorkerErrors);
        let line = format!(
            "the worker {} failed to handle a message: {error}",
            context.address
        );
        let node = context.node.shared();
        node.tell(Count::WorkerErrors, Line::Warning(line));
    }
}
