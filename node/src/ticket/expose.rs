//! Exposing a TCP service to whoever redeems a ticket for it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealway_core::UnixSeconds;
use sealway_core::channel::{Suite, Trust};
use sealway_core::identity::{ChangeHash, Identifier};
use sealway_core::relay::Registration;
use sealway_core::ticket::{REDEEM, Reach, Secret, Terms, Ticket, is_resource};
use sealway_core::wire::{MultiAddr, Protocol};

use super::{addresses, suite};
use crate::channel::ListenerOptions;
use crate::exposure::Exposure;
use crate::home::Home;
use crate::node::{AddressInUse, Node, lock};
use crate::pins::{Instance, Pins};
use crate::relay::{RegisterError, RegistrationOptions, RelayRegistration};
use crate::services::Service;
use crate::store::{
    self, Direction, ExposureError, PeerError, Pin, PinOrigin, Resource, StoreFault,
};
use crate::transport::{Listening, TransportError};

/// Where an exposure listens if nothing else is asked for and none was kept: on all interfaces, at any port.
const ANYWHERE: &str = "0.0.0.0:0";
/// What an outlet's address starts with, so that no name of an exposure is that of another worker.
const OUTLET: &str = "exposed_";

/// What to expose, and how it is to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposeOptions {
    /// The name: what pins and tickets speak of. See [`is_resource`].
    pub resource: String,
    /// `HOST:PORT` of the service.
    pub target: String,
    /// How it is reached.
    pub way: Way,
}

/// How an exposure is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// At `HOST:PORT` here; without it at the port that was kept for this exposure, or at a free one on all interfaces if the
    /// exposure is new. The port is kept, so that tickets lead there after a restart.
    Direct(Option<String>),
    /// Through the relay at `HOST:PORT`: no port is opened here. The relay is pinned when it is first met.
    Relay(String),
}

/// Why a service could not be exposed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExposeError {
    /// The node has no identity.
    #[error("this node has no identity")]
    NoIdentity,
    /// The name is that of an exposure of another service.
    #[error("{resource:?} is exposed already, and is {target}")]
    NameTaken {
        /// The name.
        resource: String,
        /// The other service.
        target: String,
    },
    /// It was exposed through a relay only, and nothing says where to listen: no port is opened unasked.
    #[error(
        "{resource:?} was exposed through a relay so far, and a port is opened only if asked for"
    )]
    OnlyByRelay {
        /// The name.
        resource: String,
    },
    /// The relay's address is not one that a ticket can hold.
    #[error("{0:?} is no HOST:PORT that a ticket can lead to")]
    BadRelay(String),
    /// It cannot listen there.
    #[error(transparent)]
    Listen(#[from] TransportError),
    /// The relay was not reached, or refused.
    #[error(transparent)]
    Register(#[from] RegisterError),
    /// The node is used for something else: an address that is needed is taken.
    #[error(transparent)]
    AddressInUse(#[from] AddressInUse),
    /// It cannot be stored.
    #[error(transparent)]
    Store(#[from] ExposureError),
    /// The relay cannot be pinned.
    #[error(transparent)]
    Pin(#[from] PeerError),
    /// No random bytes, or no way to the exposure: no ticket can be made.
    #[error("no ticket can be made: {0}")]
    Ticket(#[from] sealway_core::ticket::TicketError),
    /// The store could not do its work.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// A service that is exposed. It is so until [`Exposed::remove`], also after a restart (then [`Node::expose`] is called again);
/// when the last clone is dropped it only cannot be reached any more.
#[derive(Clone)]
pub struct Exposed(Arc<Inner>);

/// What the tickets for an exposure have in common: all but their secrets and terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Who exposes it.
    pub exposer: Identifier,
    /// The name.
    pub resource: String,
    /// The ways to the exposer, the preferred one first.
    pub reaches: Vec<Reach>,
}

impl Offer {
    /// Makes a ticket: for `uses` identities, redeemable for `lasts`. The exposer is a process of `home`; this one need not be it.
    ///
    /// # Errors
    /// [`ExposeError::Store`]: in particular if the exposure was removed.
    pub async fn ticket(
        &self,
        home: &Home,
        uses: u32,
        lasts: Duration,
    ) -> Result<Ticket, ExposeError> {
        let now = home.clock().now();
        let terms = Terms {
            uses,
            expires: UnixSeconds(now.0.saturating_add(lasts.as_secs())),
        };
        let secret = Secret::generate(&mut crate::keys_rng());
        let ticket = Ticket {
            exposer: self.exposer,
            minimum_change: latest_change(home, &self.exposer)?,
            reaches: self.reaches.clone(),
            suite: suite(),
            resource: self.resource.clone(),
            secret,
            expires: terms.expires,
            uses,
        };
        // Whatever cannot be written enters no books.
        ticket.to_text()?;
        let hash = ticket.secret.hash();
        home.exposures()
            .issue(&self.resource, hash, terms, now)
            .await?;
        Ok(ticket)
    }
}

/// What an exposure rests on in the home.
#[derive(Clone)]
struct Basis {
    resource: String,
    /// Which exposure of that name it is.
    instance: Option<Instance>,
    /// The relay that it goes by, and what that is pinned for.
    relay: Option<(Identifier, String)>,
}

impl Basis {
    /// Resolves once the exposure was removed, or the relay.
    async fn gone(&self, pins: &Pins) {
        let forgotten = async {
            match &self.relay {
                Some((relay, pin)) => pins.forgotten(relay, pin).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = pins.withdrawn(&self.resource, self.instance.as_ref()) => {}
            () = forgotten => {}
        }
    }
}

struct Inner {
    node: Node,
    pins: Pins,
    offer: Offer,
    basis: Basis,
    listening: Option<Listening>,
    registration: Mutex<Option<RelayRegistration>>,
    /// Its outlet is gone, and the address may be another exposure's by now.
    is_stopped: AtomicBool,
}

impl Inner {
    /// From now on nobody reaches it.
    fn stop(&self) {
        if self.is_stopped.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(listening) = &self.listening {
            listening.close();
        }
        drop(lock(&self.registration).take());
        self.node
            .stop_worker(&outlet(&self.offer.resource).as_str().into());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The address of an exposure's outlet.
pub(super) fn outlet(resource: &str) -> String {
    format!("{OUTLET}{resource}")
}

impl Exposed {
    /// The name.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.0.offer.resource
    }

    /// What its tickets have in common.
    #[must_use]
    pub fn offer(&self) -> &Offer {
        &self.0.offer
    }

    /// Makes a ticket: [`Offer::ticket`].
    ///
    /// # Errors
    /// [`ExposeError::Store`]: in particular if the exposure was removed.
    pub async fn ticket(&self, uses: u32, lasts: Duration) -> Result<Ticket, ExposeError> {
        let home = self.0.pins.home();
        self.0.offer.ticket(home, uses, lasts).await
    }

    /// Takes the exposure back, with its tickets and the pins that they made; what is open through it ends.
    ///
    /// # Errors
    /// [`ExposureError`].
    pub async fn remove(&self) -> Result<(), ExposureError> {
        let home = self.0.pins.home();
        home.exposures().remove(&self.0.offer.resource).await?;
        // Whatever becomes of the pins, nobody reaches it from here on.
        self.0.stop();
        self.0.pins.reload(&self.0.node)?;
        Ok(())
    }

    /// Resolves once the exposure, or the relay that it goes by, was removed, here or by another process of the home (see
    /// [`Pins::reload`]).
    pub async fn removed(&self) {
        self.0.basis.gone(&self.0.pins).await;
        self.0.stop();
    }
}

impl Node {
    /// Exposes a TCP service to whoever redeems a ticket for it, and to peers that the operator has pinned. The first call
    /// opens the channel listener, `echo` and `redeem`.
    ///
    /// # Errors
    /// [`ExposeError`]; nothing is exposed then.
    pub async fn expose(
        &self,
        pins: &Pins,
        options: ExposeOptions,
    ) -> Result<Exposed, ExposeError> {
        let ExposeOptions {
            resource,
            target,
            way,
        } = options;
        let exposer = self.identifier().ok_or(ExposeError::NoIdentity)?;
        if !is_resource(&resource) {
            return Err(ExposureError::BadResource { resource }.into());
        }
        let known = known(pins, &resource, &target)?;
        let listened = known.as_ref().is_none_or(|known| known.listen.is_some());
        if way == Way::Direct(None) && !listened {
            return Err(ExposeError::OnlyByRelay { resource });
        }
        self.serve_tickets(pins)?;
        let exposure = Exposure::local().to_channels(pins.to_exposures(), resource.as_str());
        self.outlet(&outlet(&resource), &target, exposure)?;
        // From here on a failure takes the outlet back.
        let mut inner = Inner {
            node: self.clone(),
            pins: pins.clone(),
            offer: Offer {
                exposer,
                resource: resource.clone(),
                reaches: Vec::new(),
            },
            basis: Basis {
                resource: resource.clone(),
                instance: None,
                relay: None,
            },
            listening: None,
            registration: Mutex::default(),
            is_stopped: AtomicBool::new(false),
        };
        let mut listen = known.as_ref().and_then(|known| known.listen.clone());
        match way {
            Way::Direct(asked) => {
                let asked = asked.or(listen).unwrap_or_else(|| ANYWHERE.to_owned());
                let listening = self.listen(&asked).await?;
                let bound = bound(&listening)?;
                inner.offer.reaches = addresses::reaching(&asked, bound)
                    .into_iter()
                    .map(Reach::Direct)
                    .collect();
                let host = asked
                    .rsplit_once(':')
                    .map_or(asked.as_str(), |(host, _)| host);
                listen = Some(format!("{host}:{}", bound.port()));
                inner.listening = Some(listening);
            }
            Way::Relay(relay) => {
                let (reach, registration) = self.behind(pins, &relay, &resource).await?;
                inner.offer.reaches = vec![reach];
                inner.basis.relay = Some((*registration.relay(), pinned_as(&relay)));
                inner.registration = Mutex::new(Some(registration));
            }
        }
        let stored = store::Exposed {
            resource: resource.clone(),
            target,
            listen,
            created: self.shared().now(),
        };
        pins.home().exposures().set(stored).await?;
        pins.reload(self)?;
        inner.basis.instance = pins.exposed(&resource);
        let exposed = Exposed(Arc::new(inner));
        self.end_when_removed(&exposed);
        Ok(exposed)
    }

    /// Opens what all exposures of a node share.
    fn serve_tickets(&self, pins: &Pins) -> Result<(), AddressInUse> {
        let mut is_exposing = lock(&self.shared().exposing);
        if *is_exposing {
            return Ok(());
        }
        let listener = ListenerOptions {
            guests: true,
            ..ListenerOptions::new(pins.to_listeners())
        };
        self.serve_redemptions(pins)?;
        if let Err(error) = self.secure_channel_listener(suite().listener(), listener) {
            self.stop_worker(&REDEEM.into());
            return Err(error);
        }
        self.answer_pinned(pins);
        *is_exposing = true;
        Ok(())
    }

    /// Answers peers that ask whether this end lives.
    pub(super) fn answer_pinned(&self, pins: &Pins) {
        let exposure = Exposure::local().to_channels(pins.to_echo(), "echo");
        // Where the application has an `echo` of its own, that one answers.
        let _ = self.start_service(Service::Echo, exposure);
    }

    /// Registers at a relay under a name that nobody else can have.
    async fn behind(
        &self,
        pins: &Pins,
        relay: &str,
        resource: &str,
    ) -> Result<(Reach, RelayRegistration), ExposeError> {
        let address =
            host_and_port(relay).ok_or_else(|| ExposeError::BadRelay(relay.to_owned()))?;
        let name = Registration::Native {
            service: resource.to_owned(),
        };
        let registration = self
            .register_at_known_relay(pins, relay, name, suite())
            .await?;
        let reach = Reach::Relay {
            relay: address,
            identifier: Some(*registration.relay()),
            service: resource.to_owned(),
        };
        Ok((reach, registration))
    }

    /// [`Node::register_at_relay`] in `suite`, at whoever was met at that address first: the relay is pinned then, for
    /// `relay:ADDRESS`, and must be the same, and speak no weaker suite, from then on. Once that pin is taken back
    /// ([`Pins::forgotten`]) the registration should be dropped.
    ///
    /// # Errors
    /// [`ExposeError::Register`], [`ExposeError::Pin`].
    pub async fn register_at_known_relay(
        &self,
        pins: &Pins,
        relay: &str,
        name: Registration,
        suite: Suite,
    ) -> Result<RelayRegistration, ExposeError> {
        let home = pins.home();
        let resource = Resource::Named(pinned_as(relay));
        let known: Vec<_> = home
            .peers()
            .list()?
            .into_iter()
            .filter(|peer| {
                // A ticket can be for a resource that is called like a relay. It does not say who that relay is.
                let is_it = |pin: &Pin| {
                    pin.direction == Direction::Outbound
                        && pin.resource == resource
                        && pin.origin != PinOrigin::Ticket
                };
                peer.pins.iter().any(is_it)
            })
            .map(|peer| peer.identifier)
            .collect();
        let expect = if known.is_empty() {
            Trust::Everyone
        } else {
            Trust::AnyOf(known)
        };
        let options = RegistrationOptions {
            listener: suite.listener().to_owned(),
            ..RegistrationOptions::named(name, expect)
        };
        let met = self.meet_relay(relay, options).await?;
        let pin = Pin {
            direction: Direction::Outbound,
            resource,
            origin: PinOrigin::FirstMeeting,
            added: self.shared().now(),
        };
        // Whoever is told that the node can be reached may rely on the pin.
        home.peers().pin(*met.identifier(), pin).await?;
        // It was met before there was a pin.
        home.peers().raise_floor(*met.identifier(), suite).await?;
        pins.reload(self)?;
        Ok(met.keep())
    }

    /// Once an exposure was removed nobody reaches it, whoever is pinned for everything included.
    fn end_when_removed(&self, exposed: &Exposed) {
        let (pins, basis) = (exposed.0.pins.clone(), exposed.0.basis.clone());
        let inner = Arc::downgrade(&exposed.0);
        self.shared().spawn(async move {
            basis.gone(&pins).await;
            if let Some(inner) = inner.upgrade() {
                inner.stop();
            }
        });
    }
}

/// What the relay at an address is pinned for.
fn pinned_as(relay: &str) -> String {
    format!("relay:{relay}")
}

/// The exposure of this name, if there is one; it must be of this service.
fn known(pins: &Pins, resource: &str, target: &str) -> Result<Option<store::Exposed>, ExposeError> {
    let mut all = pins.home().exposures().list()?.into_iter();
    let known = all.find(|known| known.resource == resource);
    match known {
        Some(known) if known.target != target => Err(ExposeError::NameTaken {
            resource: known.resource,
            target: known.target,
        }),
        known => Ok(known),
    }
}

/// The latest change of the exposer's history, if the home has the identity; else its first one.
fn latest_change(home: &Home, exposer: &Identifier) -> Result<ChangeHash, StoreFault> {
    let identities = home.identities().list()?;
    let mut own = identities
        .into_iter()
        .filter_map(Result::ok)
        .filter(|stored| stored.identity.identifier() == *exposer);
    Ok(own.next().map_or_else(
        || ChangeHash::from_bytes(*exposer.as_bytes()),
        |stored| stored.identity.latest_change().hash(),
    ))
}

fn bound(listening: &Listening) -> Result<SocketAddr, TransportError> {
    listening
        .address
        .parse()
        .map_err(|_| TransportError::Unknown(listening.address.clone()))
}

/// `HOST:PORT` as a multiaddr.
fn host_and_port(address: &str) -> Option<MultiAddr> {
    let (host, port) = address
        .strip_prefix("tcp:")
        .unwrap_or(address)
        .rsplit_once(':')?;
    let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => Protocol::Ip6(rest.strip_suffix(']')?.parse().ok()?),
        None => host
            .parse()
            .map_or_else(|_| Protocol::DnsAddr(host.into()), Protocol::Ip4),
    };
    let mut multiaddr = MultiAddr::new();
    multiaddr.push(host);
    multiaddr.push(Protocol::Tcp(port));
    Some(multiaddr)
}
