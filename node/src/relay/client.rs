//! Registering at a relay, and staying registered.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use sealway_core::channel::{Suite, Trust};
use sealway_core::identity::Identifier;
use sealway_core::relay::{
    EPHEMERAL_SERVICE, Registration as Request, RelayedTo, STATIC_SERVICE, accept_confirmation,
    relayed,
};
use sealway_core::wire::{Address, Frame, Route, bare};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::{NATIVE_SERVICE, REFUSAL};
use crate::channel::{Channel, ChannelOptions, CloseReason, OpenError};
use crate::counters::Count;
use crate::event::Event;
use crate::exposure::Exposure;
use crate::message::Message;
use crate::node::{Node, SendError, Shared, route_to};
use crate::path::{BackOff, Refusals};
use crate::router::{Endpoint, Flushes, Hop, Router, Step, Target};
use crate::transport::{Link, TransportError};

/// A native relay answers within this time, or is asked in the reference's way too.
const NATIVE_PATIENCE: Duration = Duration::from_secs(1);
/// A registration must be confirmed within this time.
const CONFIRM_DEADLINE: Duration = Duration::from_secs(10);

/// How to register.
#[derive(Clone, Debug)]
pub struct RegistrationOptions {
    /// The name to be reached under.
    pub name: Request,
    /// Whom to accept as the relay.
    pub expect: Trust,
    /// The address of the relay's channel listener.
    pub listener: String,
    /// The suite to speak there; `None` is what a listener of that name speaks.
    pub suite: Option<Suite>,
}

impl RegistrationOptions {
    /// As `alias`, or under a name that the relay makes up, at whatever relay `expect` admits, by its listener `sealway_xx1`.
    /// Relays of the reference have `api`.
    #[must_use]
    pub fn new(alias: Option<String>, expect: Trust) -> Self {
        Self::named(alias.map_or(Request::Ephemeral, Request::Alias), expect)
    }

    /// Under `name`, at whatever relay `expect` admits, by its listener `sealway_xx1`.
    #[must_use]
    pub fn named(name: Request, expect: Trust) -> Self {
        Self {
            name,
            expect,
            listener: Suite::Hybrid.listener().to_owned(),
            suite: None,
        }
    }
}

/// Why a registration did not come to stand.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// The relay cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// No channel with the relay.
    #[error("no channel with the relay: {0}")]
    Channel(#[from] OpenError),
    /// The request could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The relay did not confirm: it refused (its operator sees why), or it is none.
    #[error(
        "the relay did not confirm the registration: it may serve no relay, or the name belongs to another identity"
    )]
    Unconfirmed,
    /// The relay refused, for the reason that it gives.
    #[error("the relay refused: {0}")]
    Refused(String),
    /// The relay has closed the channel.
    #[error("the relay refused: {0}")]
    Closed(CloseReason),
}

impl RegisterError {
    /// Whether the relay, or we, refused: what a local operator must hear of.
    fn is_refusal(&self) -> bool {
        match self {
            Self::Channel(error) => error.is_refusal(),
            Self::Refused(_) | Self::Closed(CloseReason::Refused) => true,
            Self::Transport(_) | Self::Send(_) | Self::Unconfirmed | Self::Closed(_) => false,
        }
    }
}

/// A registration that stands.
struct Standing {
    link: Link,
    channel: Channel,
    /// Our address in the relay's node.
    address: Address,
    // Relays of the Elixir reference send everything to the address that registered.
    _hop: Registered,
}

/// A registration at a relay that was met just now. Ends when dropped, unless it is kept.
pub struct MetRelay {
    node: Node,
    relay: String,
    identifier: Identifier,
    options: RegistrationOptions,
    standing: Standing,
}

impl MetRelay {
    /// The identity of the relay.
    #[must_use]
    pub const fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// Tells [`Event::Registered`], and stays registered.
    #[must_use]
    pub fn keep(self) -> RelayRegistration {
        let Self {
            node,
            relay,
            identifier,
            options,
            standing,
        } = self;
        let (publish, address) = watch::channel(Some(standing.address.clone()));
        let (stop, mut stopped) = watch::channel(());
        node.announce(&relay, &standing);
        let task = keep(node.clone(), relay, options, standing, publish);
        node.shared().spawn(async move {
            tokio::select! {
                () = task => {}
                // Ends when the sender is dropped.
                () = async { while stopped.changed().await.is_ok() {} } => {}
            }
        });
        RelayRegistration {
            address,
            relay: identifier,
            _stop: stop,
        }
    }
}

/// A registration at a relay, renewed whenever it is lost. Ends when dropped.
pub struct RelayRegistration {
    address: watch::Receiver<Option<Address>>,
    relay: Identifier,
    _stop: watch::Sender<()>,
}

impl Drop for Standing {
    /// A registration that nobody keeps up any more ends at the relay too.
    fn drop(&mut self) {
        self.channel.close();
        self.link.close();
    }
}

impl RelayRegistration {
    /// Our address in the relay's node, while the registration stands.
    #[must_use]
    pub fn address(&self) -> Option<Address> {
        self.address.borrow().clone()
    }

    /// The identity of the relay.
    #[must_use]
    pub fn relay(&self) -> &Identifier {
        &self.relay
    }
}

impl Node {
    /// Registers at the relay at `relay` (an address as for [`Node::connect`]) and stays registered: after a loss it registers
    /// again. Later attempts accept the identity that was met first and no other.
    ///
    /// # Errors
    /// [`RegisterError`] if the first attempt fails.
    pub async fn register_at_relay(
        &self,
        relay: &str,
        options: RegistrationOptions,
    ) -> Result<RelayRegistration, RegisterError> {
        Ok(self.meet_relay(relay, options).await?.keep())
    }

    /// Registers like [`Node::register_at_relay`], but tells nobody yet and is not kept up: for who remembers which relay was met
    /// before anything depends on it.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn meet_relay(
        &self,
        relay: &str,
        options: RegistrationOptions,
    ) -> Result<MetRelay, RegisterError> {
        let standing = register(self, relay, &options).await?;
        let identifier = *standing.channel.peer();
        Ok(MetRelay {
            node: self.clone(),
            relay: relay.to_owned(),
            identifier,
            options: RegistrationOptions {
                expect: Trust::Identifier(identifier),
                ..options
            },
            standing,
        })
    }

    fn announce(&self, relay: &str, standing: &Standing) {
        // The relay has chosen it: escaped where it does not print.
        let address = standing.address.to_string();
        let address = address.strip_prefix("0#").unwrap_or(&address).to_owned();
        self.shared().emit(Event::Registered {
            relay: relay.to_owned(),
            address,
            suite: standing.channel.suite(),
        });
    }
}

async fn keep(
    node: Node,
    relay: String,
    options: RegistrationOptions,
    first: Standing,
    publish: watch::Sender<Option<Address>>,
) {
    let mut standing = first;
    let mut back_off = BackOff::new();
    let mut refusals = Refusals::default();
    loop {
        let began = Instant::now();
        let reason = tokio::select! {
            reason = standing.channel.closed() => reason,
            () = standing.link.closed() => CloseReason::Carrier,
        };
        publish.send_replace(None);
        drop(standing);
        node.shared().emit(Event::Lost {
            what: format!("registration at the relay {relay}"),
            why: reason.to_string(),
        });
        #[cfg(sealway_weaken)]
        if sealway_core::weaken::off(sealway_core::weaken::Check::Recovery) {
            return std::future::pending().await;
        }
        if back_off.lost(began) {
            refusals = Refusals::default();
        }
        standing = loop {
            back_off.wait().await;
            match register(&node, &relay, &options).await {
                Ok(standing) => break standing,
                Err(error) if error.is_refusal() => {
                    let remedy = match &error {
                        RegisterError::Channel(OpenError::Unexpected { .. }) => {
                            "; it was another when it was met first: if that is right, forget the former one (sealway peer remove), and start again"
                        }
                        _ => "",
                    };
                    refusals.tell(&node, format!("relay {relay}: {error}{remedy}"));
                }
                Err(error) => tracing::debug!(%relay, %error, "not registered yet"),
            }
        };
        publish.send_replace(Some(standing.address.clone()));
        node.announce(&relay, &standing);
    }
}

async fn register(
    node: &Node,
    relay: &str,
    options: &RegistrationOptions,
) -> Result<Standing, RegisterError> {
    let mut opened = Opened {
        link: node.connect(relay).await?,
        is_needed: false,
    };
    let (channel, address, hop) = register_over(node, &opened.link, options).await?;
    opened.is_needed = true;
    Ok(Standing {
        link: opened.link.clone(),
        channel,
        address,
        _hop: hop,
    })
}

/// A connection that is closed again unless the registration comes to stand.
struct Opened {
    link: Link,
    is_needed: bool,
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.is_needed {
            self.link.close();
        }
    }
}

async fn register_over(
    node: &Node,
    link: &Link,
    options: &RegistrationOptions,
) -> Result<(Channel, Address, Registered), RegisterError> {
    let to: Route = [link.address().clone(), Address::local(&options.listener)]
        .into_iter()
        .collect();
    let channel_options = ChannelOptions {
        confined: true,
        suite: options.suite,
        ..ChannelOptions::expect(options.expect.clone())
    };
    let channel = node.secure_channel(to, channel_options).await?;
    let request = &options.name;
    let (hop, mut confirmations) = Registered::begin(node.shared(), channel.address());
    let payload = request.encode();
    let ask = |service: &str| {
        let to: Route = [channel.address().clone(), Address::local(service)]
            .into_iter()
            .collect();
        node.send(Message::new(
            to,
            route_to(&hop.address),
            Frame::from_slice(&payload),
        ))
    };
    ask(NATIVE_SERVICE).await?;
    let own = node.identifier().ok_or(OpenError::NoIdentity)?;
    let confirmed = async {
        let native = tokio::time::timeout(NATIVE_PATIENCE, confirmations.recv()).await;
        let (frame, return_route) = match native {
            Ok(Some(confirmation)) => confirmation,
            Ok(None) => return Err(RegisterError::Unconfirmed),
            Err(_) => {
                // Not one of ours, it seems: the reference's service, by the kind of name.
                match request {
                    Request::Alias(_) => ask(STATIC_SERVICE).await?,
                    Request::Ephemeral => ask(EPHEMERAL_SERVICE).await?,
                    // No relay of the reference knows these.
                    Request::Native { .. } => {}
                }
                confirmations
                    .recv()
                    .await
                    .ok_or(RegisterError::Unconfirmed)?
            }
        };
        if let Some(why) = refusal(frame.as_slice()) {
            return Err(RegisterError::Refused(why));
        }
        accept_confirmation(request, &own, frame.as_slice(), &return_route).map_err(|error| {
            tracing::debug!(%error, "no confirmation");
            RegisterError::Unconfirmed
        })
    };
    tokio::select! {
        outcome = tokio::time::timeout(CONFIRM_DEADLINE, confirmed) => {
            let address = outcome.map_err(|_| RegisterError::Unconfirmed)??;
            channel.depend().await;
            Ok((channel, address, hop))
        }
        reason = channel.closed() => Err(RegisterError::Closed(reason)),
    }
}

/// The reason in a refusal, as far as it may be shown: the relay is not trusted with our terminal.
fn refusal(payload: &[u8]) -> Option<String> {
    const LONGEST: usize = 200;
    let text = bare::Reader::new(payload).string().ok()?;
    let why = text.strip_prefix(REFUSAL)?.trim_end_matches('!');
    Some(
        why.chars()
            // Nothing that would be escaped: controls, and what reorders or hides text.
            .filter(|c| c.is_ascii_punctuation() || c.escape_debug().len() == 1)
            .take(LONGEST)
            .collect(),
    )
}

/// The address that registers: gets confirmations and, from relays of the Elixir reference, everything that is relayed.
struct Registered {
    node: Weak<Shared>,
    address: Address,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(node) = self.node.upgrade() {
            node.forget(&self.address);
        }
    }
}

struct RegisteredHop {
    address: Address,
    /// Four confirmations at the most, each under 1 KiB; more are nobody's business.
    confirmations: Mutex<mpsc::Sender<(Frame, Route)>>,
}

impl Registered {
    fn begin(node: &Arc<Shared>, channel: &Address) -> (Self, mpsc::Receiver<(Frame, Route)>) {
        let address = node.fresh_address();
        let (sender, receiver) = mpsc::channel(4);
        let hop = RegisteredHop {
            address: address.clone(),
            confirmations: Mutex::new(sender),
        };
        let exposure = Exposure::local().to_source(channel.clone());
        node.router.insert(
            address.clone(),
            Endpoint {
                exposure,
                target: Target::Hop(Arc::new(hop)),
            },
        );
        (
            Self {
                node: Arc::downgrade(node),
                address,
            },
            receiver,
        )
    }
}

impl Hop for RegisteredHop {
    fn step(&self, _router: &Router, mut message: Message, _flushes: &mut Flushes) -> Step {
        match relayed(&mut message.onward, &self.address) {
            RelayedTo::Next => Step::Next(message),
            RelayedTo::Refused => Step::Refused(Count::TooManyHops),
            RelayedTo::Service => {
                let sender = crate::node::lock(&self.confirmations);
                match sender.try_send((message.payload, message.return_route)) {
                    Ok(()) => Step::Done,
                    Err(_) => Step::Refused(Count::MailboxFull),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_of_a_refusal_cannot_act_on_a_terminal() {
        let refused = |why: &str| refusal(&bare::string_payload(&format!("{REFUSAL}{why}!")));
        let plain = "the name \"a\" isn't yours";
        assert_eq!(refused(plain).as_deref(), Some(plain));
        let hostile = "a\u{1b}[2J\r\n\u{9b}1m\u{202e}b\u{200b}c";
        assert_eq!(refused(hostile).as_deref(), Some("a[2J1mbc"));
    }
}
