//! Whether the peer speaks the native portal: asked once for each channel, ahead of everything.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use sealway_core::streams::{HELLO_ADDRESS, Hello, Role};
use sealway_core::wire::{Frame, Route};
use tokio::task::unconstrained;

use super::{Portals, Session, admits};
use crate::channel::Channel;
use crate::counters::Count;
use crate::message::{Message, Origin};
use crate::node::{Node, Shared, lock};
use crate::room::Room;
use crate::router::{Flushes, Hop, Router, Step};

/// A peer that answers neither this nor another question within this time is taken for one of the reference's.
const PATIENCE: Duration = Duration::from_secs(3);
/// Room for the answer.
const ANSWER: usize = 64;

/// Asks the peer for a session. None: it speaks the reference's portal only, as far as can be seen.
///
/// Whoever speaks the native portal answers this before it answers its `echo`, which is asked second: the channel keeps the order
/// both ways. So most peers that do not speak it are known by their echo, after one round trip.
pub(crate) async fn greet(channel: &Channel) -> Option<Arc<Session>> {
    let node = Node::from_shared(Arc::clone(&channel.node));
    let question = Hello::OURS.encode();
    let hello = node.request::<Frame>(channel.to(HELLO_ADDRESS), question, PATIENCE);
    let mut hello = pin!(unconstrained(hello));
    let echo = async {
        if !channel.depend().await {
            std::future::pending().await
        }
    };
    let answer = tokio::select! {
        biased;
        answer = &mut hello => answer,
        // Both answers may have come since the first was looked for.
        () = echo => poll_fn(|context| match hello.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        }).await?,
    };
    let answer = Hello::decode(answer.ok()?.as_slice()).ok()?;
    answer
        .is_ours()
        .then(|| Portals::begin(&channel.node, &channel.shared, Role::Initiator))
}

/// Where initiators ask.
pub(super) struct HelloHop(pub(super) Weak<Shared>);

impl Hop for HelloHop {
    fn step(&self, router: &Router, message: Message, _flushes: &mut Flushes) -> Step {
        let (Some(node), Origin::Channel(origin, _)) = (self.0.upgrade(), &message.origin) else {
            return Step::Refused(Count::NotExposed);
        };
        let channel = lock(&node.channels).get(&origin.channel).cloned();
        let channel = channel.filter(|channel| channel.is_accepted());
        // Who may reach no outlet learns nothing here, not even that there is a worker.
        let Some(channel) = channel.filter(|_| admits(&node, &message.origin)) else {
            return Step::Refused(Count::NotExposed);
        };
        let answer = Hello::decode(message.payload.as_slice())
            .ok()
            .and_then(Hello::answer);
        let Some(answer) = answer else {
            return Step::Refused(Count::UndecodablePayload);
        };
        let back = message.return_route;
        let Ok(room) = router.reserve(&back, 0, ANSWER, Room::default()) else {
            return Step::Refused(Count::MailboxFull);
        };
        // What the initiator sends in the session it sends after our answer: the order begins here.
        channel.deliver_in_order();
        Portals::begin(&node, &channel, Role::Responder);
        let mut answer = Message::new(back, Route::new(), answer.encode());
        answer.room = room;
        Step::Next(answer)
    }
}
