//! Redemption: the worker `redeem` at the exposer, and how it is asked.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sealway_core::channel::{Suite, Trust};
use sealway_core::identity::Identifier;
use sealway_core::ticket::{Answer, MAX_REQUEST, REDEEM, Refusal, Request, SecretHash, Ticket};
use sealway_core::wire::{DecodeError, Frame, MultiAddr, Route};

use super::REDEEM_WITHIN;
use crate::channel::CloseReason;
use crate::control::{Changed, ControlClient};
use crate::counters::Count;
use crate::event::Event;
use crate::exposure::{Access, Exposure};
use crate::message::{Message, Origin};
use crate::node::{AddressInUse, Node, Shared, lock, route_to};
use crate::path::{Path, PathError, PathOptions};
use crate::pins::Pins;
use crate::router::{Endpoint, Flushes, Hop, Router, Step, Target};
use crate::store::{ExposureError, Redemption};
use crate::telling::Line;
use crate::worker::RequestError;

/// The exposer answers within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why a ticket was not redeemed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedeemError {
    /// The exposer was not reached, or somebody else was.
    #[error(transparent)]
    Path(#[from] PathError),
    /// The exposer refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The exposer ended the channel. Whether it has taken a use is not known: asking again costs none.
    #[error("the exposer ended the channel without an answer: {0}")]
    Ended(CloseReason),
    /// There was no answer. Whether a use was taken is not known: asking again costs none.
    #[error(transparent)]
    NoAnswer(#[from] RequestError),
    /// The answer is none.
    #[error("the exposer's answer cannot be read: {0}")]
    Undecodable(#[from] DecodeError),
}

/// Where redemptions are asked for. It works on the thread of whoever delivers, so that strangers fill no mailbox; the
/// transaction is a task, one for each channel at the most.
struct RedeemHop {
    pins: Pins,
    node: Weak<Shared>,
}

impl Node {
    /// Answers at `redeem`, to any peer of a channel, once a channel and soon after its handshake.
    pub(super) fn serve_redemptions(&self, pins: &Pins) -> Result<(), AddressInUse> {
        let hop = RedeemHop {
            pins: pins.clone(),
            node: Arc::downgrade(self.shared()),
        };
        let endpoint = Endpoint {
            exposure: Exposure::local().to_channels(Access::by(|_, _| true), REDEEM),
            target: Target::Hop(Arc::new(hop)),
        };
        if !self.shared().router.insert(REDEEM.into(), endpoint) {
            return Err(AddressInUse(REDEEM.to_owned()));
        }
        Ok(())
    }

    /// Redeems a ticket: afterwards this node's identity is pinned at the exposer for the ticket's resource. Doing so again
    /// costs nothing, so whoever got no answer asks once more. Nothing is kept here: see [`Node::connect_ticket`].
    ///
    /// # Errors
    /// [`RedeemError`].
    pub async fn redeem(&self, ticket: &Ticket) -> Result<(), RedeemError> {
        let path = self.path_by(&ways(ticket), &options(ticket)).await?;
        let answer = ask(self, &path, ticket).await;
        path.close();
        match Answer::decode(answer?.as_slice())? {
            Answer::Granted => Ok(()),
            Answer::Refused(why) => Err(why.into()),
        }
    }
}

/// The ways to the exposer's channel listener.
pub(super) fn ways(ticket: &Ticket) -> Vec<MultiAddr> {
    let ways = ticket.reaches.iter();
    ways.map(|reach| reach.to_listener(&ticket.exposer, ticket.suite.listener()))
        .collect()
}

/// Nobody but the exposer is accepted, and no history of its from before the ticket.
fn options(ticket: &Ticket) -> PathOptions {
    PathOptions {
        minimum_change: Some(ticket.minimum_change),
        ..PathOptions::expect(Trust::Identifier(ticket.exposer))
    }
}

/// Sends the secret, inside the channel only.
async fn ask(node: &Node, path: &Path, ticket: &Ticket) -> Result<Frame, RedeemError> {
    let request = Request {
        secret: ticket.secret.clone(),
    };
    let mut to: Route = path.route().clone();
    to.push_back(REDEEM.into());
    let request = Frame::from_slice(&request.encode());
    tokio::select! {
        answer = node.request::<Frame>(to, request, ANSWER_WITHIN) => Ok(answer?),
        reason = path.ended() => match path.peer() {
            Some(peer) if reason == CloseReason::Refused => Err(PathError::Refused(*peer).into()),
            _ => Err(RedeemError::Ended(reason)),
        },
    }
}

impl Hop for RedeemHop {
    fn step(&self, _router: &Router, mut message: Message, _flushes: &mut Flushes) -> Step {
        let (Some(node), Origin::Channel(origin, _)) = (self.node.upgrade(), &message.origin)
        else {
            return Step::Refused(Count::NotExposed);
        };
        let peer = origin.peer;
        let Some(channel) = lock(&node.channels).get(&origin.channel).cloned() else {
            return Step::Refused(Count::UnknownAddress);
        };
        let is_late = channel.opened.elapsed() >= REDEEM_WITHIN;
        let is_long = message.payload.len() > MAX_REQUEST;
        let is_refused = is_late || is_long || channel.asked.swap(true, Ordering::AcqRel);
        let request = (!is_refused).then(|| Request::decode(message.payload.as_slice()));
        // The secret is not left behind in a buffer that is used again, whatever becomes of the request.
        zeroize::Zeroize::zeroize(message.payload.as_mut_slice());
        let request = match request {
            None => return Step::Refused(Count::NotExposed),
            Some(Err(_)) => return Step::Refused(Count::UndecodablePayload),
            Some(Ok(request)) => request,
        };
        let suite = origin.suite;
        let (pins, shared) = (self.pins.clone(), Arc::clone(&node));
        node.spawn(async move {
            let secret = request.secret.hash();
            if let Some(answer) = admit(&shared, &pins, secret, peer, suite).await {
                let answer = Frame::from_slice(&answer.encode());
                let back = message.return_route;
                shared.send_soon(Message::new(back, route_to(&REDEEM.into()), answer));
            }
        });
        Step::Done
    }
}

/// Takes a use and writes the pin; `None` if the store cannot tell: then nothing is said, and the peer asks again.
async fn admit(
    node: &Arc<Shared>,
    pins: &Pins,
    secret: SecretHash,
    peer: Identifier,
    suite: Suite,
) -> Option<Answer> {
    let home = pins.home();
    let redeeming = home.exposures().redeem(secret, peer, suite, node.now());
    match redeeming.await {
        Ok(Redemption { resource, is_new }) => {
            if is_new || !pins.admits_to_exposure(&peer, &resource) {
                take_up(node, pins)?;
            }
            if is_new {
                tell(node, pins, peer, resource);
            }
            Some(Answer::Granted)
        }
        Err(ExposureError::Refused(why)) => {
            node.router.counters.one(Count::RedemptionsRefused);
            let line = format!("redemption by {peer}: {why}");
            node.tell(Count::RedemptionsRefused, Line::Refused(line));
            Some(Answer::Refused(why))
        }
        Err(fault) => {
            tracing::error!(%peer, %fault, "a redemption could not be decided");
            None
        }
    }
}

/// A pin is on the disk: from now on it counts here.
fn take_up(node: &Arc<Shared>, pins: &Pins) -> Option<()> {
    let reloaded = pins.reload(&Node::from_shared(Arc::clone(node)));
    reloaded
        .inspect_err(|fault| tracing::error!(%fault, "a new pin could not be taken up"))
        .ok()
}

/// Somebody has redeemed a ticket: tells so, here and to the other processes of the home.
fn tell(node: &Arc<Shared>, pins: &Pins, peer: Identifier, resource: String) {
    node.router.counters.one(Count::TicketsRedeemed);
    node.emit(Event::Redeemed {
        identifier: peer,
        resource,
    });
    let home = pins.home().clone();
    node.spawn(async move {
        ControlClient::notify_changed(&home, Changed::Peers).await;
    });
}
