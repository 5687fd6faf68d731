//! Connecting by a ticket, and again without it.

use sealway_core::channel::Trust;
use sealway_core::identity::Identifier;
use sealway_core::ticket::Ticket;
use sealway_core::wire::{MultiAddr, Protocol};

use super::expose::outlet;
use super::redeem::{RedeemError, ways};
use crate::node::Node;
use crate::path::{PathError, PathOptions};
use crate::pins::Pins;
use crate::portal::{Bound, Inlet, PortalProtocol};
use crate::store::{ConnectionError, Known, Name, StoreFault};
use crate::transport::TransportError;

/// How to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// Where the service appears, `HOST:PORT`; by default where it did last, or at a free port of 127.0.0.1.
    pub listen: Option<String>,
    /// What the connection is called here; by default the name that it has already, or that of the resource.
    pub name: Option<Name>,
    /// As [`PathOptions::channels`].
    pub channels: usize,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            listen: None,
            name: None,
            channels: PathOptions::MAX_CHANNELS,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// It cannot listen there.
    #[error(transparent)]
    Listen(#[from] TransportError),
    /// The ticket was not redeemed.
    #[error(transparent)]
    Redeem(#[from] RedeemError),
    /// The path to the exposer cannot be built.
    #[error(transparent)]
    Path(#[from] PathError),
    /// There is no such connection, or its name is another's.
    #[error(transparent)]
    Store(#[from] ConnectionError),
    /// The pin for the resource was taken back here.
    #[error("{resource:?} at {exposer} is not pinned here any more")]
    Unpinned {
        /// What was offered.
        resource: String,
        /// By whom.
        exposer: Identifier,
    },
    /// The store could not do its work.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

/// A service of the exposer's as a local port. The port is closed when this is dropped.
#[derive(Clone)]
pub struct Connection {
    known: Known,
    inlet: Inlet,
    pins: Pins,
}

impl Connection {
    /// What is kept of it.
    #[must_use]
    pub const fn known(&self) -> &Known {
        &self.known
    }

    /// The local port.
    #[must_use]
    pub const fn inlet(&self) -> &Inlet {
        &self.inlet
    }

    /// Resolves once we took back the pin for the resource, as `peer remove` does (see [`Pins::reload`]). What is open is to be
    /// ended then: [`Node::shutdown`], or drop the connection.
    pub async fn forgotten(&self) {
        let Known { peer, resource, .. } = &self.known;
        self.pins.forgotten(peer, resource).await;
    }
}

impl Node {
    /// Redeems a ticket, and makes what it offers a local port. Redeeming again costs nothing: who has the pin keeps it.
    ///
    /// # Errors
    /// [`ConnectError`]. After a redemption that had no answer, try again.
    pub async fn connect_ticket(
        &self,
        pins: &Pins,
        ticket: &Ticket,
        options: ConnectOptions,
    ) -> Result<Connection, ConnectError> {
        let home = pins.home();
        let before = home.connections().list()?;
        let is_it =
            |known: &&Known| known.peer == ticket.exposer && known.resource == ticket.resource;
        let before_it = before.iter().find(is_it);
        let name = options
            .name
            .or_else(|| before_it.map(|known| known.name.clone()))
            .unwrap_or_else(|| free_name(&ticket.resource, &before));
        // First what costs no use.
        let listen = options
            .listen
            .or_else(|| before_it.map(|known| known.listen.clone()));
        let bound = Bound::at(listen.as_deref().unwrap_or("127.0.0.1:0")).await?;
        self.redeem(ticket).await?;
        let known = Known {
            name,
            peer: ticket.exposer,
            resource: ticket.resource.clone(),
            minimum_change: ticket.minimum_change,
            ways: ways(ticket),
            listen: bound.address().to_owned(),
        };
        home.connections()
            .set(known.clone(), self.shared().now())
            .await?;
        // It was met before there was a pin.
        home.peers().raise_floor(known.peer, ticket.suite).await?;
        self.open(pins, known, bound, options.channels).await
    }

    /// Connects to what a ticket was redeemed for once, by the name of the connection; another name in `options` is its name from then
    /// on.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_known(
        &self,
        pins: &Pins,
        name: &str,
        options: ConnectOptions,
    ) -> Result<Connection, ConnectError> {
        let home = pins.home();
        let mut known = home.connections().find(name)?;
        let listen = options.listen.as_ref().unwrap_or(&known.listen);
        let bound = Bound::at(listen).await?;
        let name = options.name.unwrap_or_else(|| known.name.clone());
        if bound.address() != known.listen || name != known.name {
            known.listen = bound.address().to_owned();
            known.name = name;
            home.connections()
                .set(known.clone(), self.shared().now())
                .await?;
        }
        self.open(pins, known, bound, options.channels).await
    }

    async fn open(
        &self,
        pins: &Pins,
        known: Known,
        bound: Bound,
        channels: usize,
    ) -> Result<Connection, ConnectError> {
        pins.reload(self)?;
        if !pins.leads_to(&known.peer, &known.resource) {
            return Err(ConnectError::Unpinned {
                resource: known.resource,
                exposer: known.peer,
            });
        }
        self.answer_pinned(pins);
        let options = PathOptions {
            minimum_change: Some(known.minimum_change),
            portal: PortalProtocol::Native,
            channels,
            ..PathOptions::expect(Trust::Identifier(known.peer))
        };
        let ways: Vec<_> = known
            .ways
            .iter()
            .map(|way| to_outlet(way, &known.resource))
            .collect();
        let inlet = self.inlet_by(bound, &ways, options).await?;
        Ok(Connection {
            known,
            inlet,
            pins: pins.clone(),
        })
    }
}

fn to_outlet(way: &MultiAddr, resource: &str) -> MultiAddr {
    let mut way = way.clone();
    way.push(Protocol::Service(outlet(resource)));
    way
}

/// What a connection is called if nobody says: as the resource, with a number if that is taken.
fn free_name(resource: &str, taken: &[Known]) -> Name {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let mut stem: String = resource
        .chars()
        .map(|c| if is_allowed(c) { c } else { '_' })
        .take(48)
        .collect();
    if !stem.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        stem.insert(0, '_');
    }
    let is_free = |name: &Name| taken.iter().all(|known| known.name != *name);
    std::iter::once(stem.clone())
        .chain((2..).map(|n: u32| format!("{stem}-{n}")))
        .filter_map(|text| text.parse().ok())
        .find(is_free)
        .expect("of endless names one is free")
}
