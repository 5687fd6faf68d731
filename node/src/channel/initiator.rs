//! Opening a secure channel.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealway_core::channel::{AwaitMessage2, HandshakeError, Initiator, LocalParty, Suite, Trust};
use sealway_core::identity::{ChangeHash, Identifier, Identity};
use sealway_core::wire::{Address, Frame, Route};
use tokio::sync::oneshot;

use super::floors::FloorError;
use super::histories::HistoryError;
use super::hops::{Decrypting, DecryptorHop};
use super::{Channel, HANDSHAKE_DEADLINE, MAX_LEVEL, install};
use crate::counters::Count;
use crate::exposure::Exposure;
use crate::message::Message;
use crate::node::{Node, SendError, Shared, lock, route_to};
use crate::router::{Endpoint, Target};
use crate::telling::rounded;

/// How to open a channel.
#[derive(Clone, Debug)]
pub struct ChannelOptions {
    /// Whom to accept as the peer.
    pub expect: Trust,
    /// The suite to speak; `None` is what a listener of that name speaks ([`Suite::spoken_at`]). No other is ever tried.
    pub suite: Option<Suite>,
    /// The change that the peer's history must hold, as a ticket says: the thief of an older key has a history without it.
    pub minimum_change: Option<ChangeHash>,
    /// The whole handshake must be finished within this time.
    pub deadline: Duration,
    /// What comes through the channel reaches nothing here but channel listeners: for registrations at relays.
    pub confined: bool,
    /// Deliver what comes through the channel in the order in which it was sent: byte streams need that.
    pub ordered: bool,
}

impl ChannelOptions {
    /// Accepts whom `expect` admits, within ten seconds.
    #[must_use]
    pub fn expect(expect: Trust) -> Self {
        Self {
            expect,
            suite: None,
            minimum_change: None,
            deadline: HANDSHAKE_DEADLINE,
            confined: false,
            ordered: false,
        }
    }
}

/// Why a channel could not be opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The node has no identity.
    #[error("this node has no identity")]
    NoIdentity,
    /// The node's identity has no key for this suite.
    #[error("this node's identity has no key for the suite {0}")]
    NoKey(Suite),
    /// The route leads nowhere.
    #[error(transparent)]
    Send(#[from] SendError),
    /// Somebody answered whom we did not expect.
    #[error("met {met}, whom the route was not expected to reach")]
    Unexpected {
        /// Who proved itself there.
        met: Identifier,
    },
    /// Whom we expected, with a history from before the change that it must hold.
    #[error("the history of {met} is older than it must be: it lacks a change that is known")]
    Outdated {
        /// Who proved itself there.
        met: Identifier,
    },
    /// The peer's history contradicts what is known of it.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The peer may not be met in a suite as weak as this one.
    #[error(transparent)]
    Floor(#[from] FloorError),
    /// Nobody finished the handshake in time.
    #[error("no channel within {}{}", rounded(*deadline), .last.map_or_else(String::new, |error| format!("; the last answer was refused: {error}")))]
    Deadline {
        /// The time that was given.
        deadline: Duration,
        /// Why the last answer, if there was one, was refused.
        last: Option<HandshakeError>,
    },
    /// Channels inside channels inside channels.
    #[error("channels lie inside each other more than {MAX_LEVEL} deep")]
    TooDeep,
    /// The node is shut down.
    #[error("the node is shut down")]
    ShutDown,
}

impl OpenError {
    /// Whether we refused, for want of trust or because of what is known of the peer.
    #[must_use]
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::Unexpected { .. } | Self::Outdated { .. } | Self::History(_) | Self::Floor(_)
        )
    }
}

/// An initiator between messages 1 and 2.
pub(super) struct Awaiting2 {
    state: AwaitMessage2,
    suite: Suite,
    expect: Trust,
    minimum_change: Option<ChangeHash>,
    done: oneshot::Sender<Result<(Channel, Vec<u8>), OpenError>>,
    last: Arc<Mutex<Option<HandshakeError>>>,
    confined: bool,
    ordered: bool,
}

impl Awaiting2 {
    /// Reads what claims to be message 2. A forged one changes nothing.
    pub(super) fn message2(
        self,
        node: &Arc<Shared>,
        decryptor: &Address,
        message: &Message,
    ) -> Decrypting {
        let Self {
            state,
            suite,
            expect,
            minimum_change,
            done,
            last,
            confined,
            ordered,
        } = self;
        let failed = match state.read_message2(message.payload.as_slice(), node.now(), &expect) {
            Ok(verified) => {
                let known = known(node, verified.peer(), suite, minimum_change);
                if let Err(error) = known {
                    node.router.counters.one(Count::HandshakesRefused);
                    let _ = done.send(Err(error));
                    return Decrypting::Closed;
                }
                return match verified.write_message3() {
                    Ok((message3, established)) => {
                        let parts = install::Parts {
                            established,
                            decryptor: decryptor.clone(),
                            peer_route: message.return_route.clone(),
                            origin: &message.origin,
                            learns: false,
                            confined,
                            ordered,
                        };
                        let (opener, channel) = install::install(node, parts);
                        let channel = Channel {
                            shared: channel,
                            node: Arc::clone(node),
                        };
                        let state = Decrypting::Open(Box::new(opener), Arc::clone(&channel.shared));
                        let _ = done.send(Ok((channel, message3)));
                        state
                    }
                    Err(error) => {
                        *lock(&last) = Some(error);
                        Decrypting::Closed
                    }
                };
            }
            Err(failed) => failed,
        };
        node.router.counters.one(Count::HandshakesRefused);
        tracing::debug!(error = %failed.error, "message 2 refused");
        if let HandshakeError::Untrusted(met) = failed.error {
            let _ = done.send(Err(OpenError::Unexpected { met }));
            return Decrypting::Closed;
        }
        *lock(&last) = Some(failed.error);
        Decrypting::Await2(Box::new(Self {
            state: failed.state,
            suite,
            expect,
            minimum_change,
            done,
            last,
            confined,
            ordered,
        }))
    }
}

/// Holds a peer that has proved itself against what is known of it.
fn known(
    node: &Arc<Shared>,
    peer: &Identity,
    suite: Suite,
    minimum: Option<ChangeHash>,
) -> Result<(), OpenError> {
    let holds = |minimum| peer.changes().any(|change| change.hash() == minimum);
    if minimum.is_some_and(|minimum| !holds(minimum)) {
        let met = peer.identifier();
        return Err(OpenError::Outdated { met });
    }
    // First, so that a history that is refused raises no floor.
    node.histories.accept(peer, node.now())?;
    Ok(node.judge_suite(&peer.identifier(), suite)?)
}

impl Shared {
    /// What this node presents in handshakes of this suite.
    pub(super) fn party(&self, suite: Suite) -> Result<Arc<LocalParty>, OpenError> {
        let parties = self.parties().ok_or(OpenError::NoIdentity)?;
        parties.of(suite).cloned().ok_or(OpenError::NoKey(suite))
    }
}

impl Node {
    /// Opens a secure channel along `route`, whose last address is a channel listener: `sealway_xx1`, or `api` at a node of
    /// the reference. The first hop may be an address to connect to.
    ///
    /// # Errors
    /// [`OpenError`]: in particular [`OpenError::Unexpected`] with the identity that was met.
    pub async fn secure_channel(
        &self,
        route: impl Into<Route>,
        options: ChannelOptions,
    ) -> Result<Channel, OpenError> {
        let shared = self.shared();
        let route = route.into();
        // A route of no address is refused when message 1 is sent.
        let listener = route.last().cloned().unwrap_or_else(|| Address::local(""));
        let suite = options.suite.unwrap_or_else(|| Suite::spoken_at(&listener));
        let party = shared.party(suite)?;
        let route = self.resolved(route).await?;
        let (message1, state) = Initiator::start(&party, &listener, &mut crate::keys_rng());
        let (done, outcome) = oneshot::channel();
        let last = Arc::new(Mutex::new(None));
        let awaiting = Awaiting2 {
            state,
            suite,
            expect: options.expect,
            minimum_change: options.minimum_change,
            done,
            last: Arc::clone(&last),
            confined: options.confined,
            ordered: options.ordered,
        };
        let guard = Waiting::begin(shared, awaiting);
        let deadline = options.deadline;
        let exchange = async {
            let (channel, message3) =
                ask(shared, &route, &guard.decryptor, &message1, outcome).await?;
            let onward = channel.shared.peer_route();
            let reply = Frame::from_slice(&message3);
            shared
                .send(Message::new(onward, route_to(&guard.decryptor), reply))
                .await?;
            Ok(channel)
        };
        match tokio::time::timeout(deadline, exchange).await {
            Ok(Ok(channel)) => {
                guard.keep();
                channel.shared.publish(shared);
                // Whoever raises the floor from here on finds the channel, and ends it. What was raised before is seen now.
                let origin = &channel.shared.origin;
                if let Err(error) = shared.judge_suite(&origin.peer, origin.suite) {
                    channel.close();
                    return Err(error.into());
                }
                Ok(channel)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(OpenError::Deadline {
                deadline,
                last: *lock(&last),
            }),
        }
    }
}

/// The first wait before message 1 is sent again; each is twice the one before.
const ASK_AGAIN: Duration = Duration::from_millis(700);

/// Sends message 1 until an answer is accepted. What it meets may still be on its way up, such as a name that is about to be
/// registered again at a restarted relay: each copy starts a responder of its own, and the first answer wins.
async fn ask(
    shared: &Arc<Shared>,
    route: &Route,
    decryptor: &Address,
    message1: &[u8],
    mut outcome: oneshot::Receiver<Result<(Channel, Vec<u8>), OpenError>>,
) -> Result<(Channel, Vec<u8>), OpenError> {
    let mut wait = ASK_AGAIN;
    loop {
        shared
            .send(Message::new(
                route.clone(),
                route_to(decryptor),
                Frame::from_slice(message1),
            ))
            .await?;
        match tokio::time::timeout(wait, &mut outcome).await {
            Ok(answer) => return answer.map_err(|_| OpenError::ShutDown)?,
            Err(_) => wait *= 2,
        }
    }
}

/// A decryptor's address that is given back unless its channel came to stand.
struct Waiting {
    shared: Arc<Shared>,
    decryptor: Address,
    kept: bool,
}

impl Waiting {
    fn begin(shared: &Arc<Shared>, awaiting: Awaiting2) -> Self {
        let decryptor = shared.fresh_address();
        let hop = DecryptorHop {
            state: Mutex::new(Decrypting::Await2(Box::new(awaiting))),
            node: Arc::downgrade(shared),
            address: decryptor.clone(),
        };
        // What arrives there authenticates itself, by whatever way it came.
        let endpoint = Endpoint {
            exposure: Exposure::anyone(),
            target: Target::Hop(Arc::new(hop)),
        };
        shared.router.insert(decryptor.clone(), endpoint);
        Self {
            shared: Arc::clone(shared),
            decryptor,
            kept: false,
        }
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if !self.kept {
            self.shared.forget(&self.decryptor);
        }
    }
}
