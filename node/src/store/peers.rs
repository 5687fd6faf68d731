//! Peers and pins: who may reach what here, and whom we may reach, by identifier.

use std::fmt;

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::identity::{Identifier, Identity};

use super::fault::StoreFault;
use super::floors;
use super::histories::{self, HistoryError};
use super::name::Name;
use super::writer::{After, Pending};
use super::{Store, seconds, to_column};

/// Longest name of a resource in bytes.
pub const MAX_RESOURCE: usize = 255;

/// Which way a pin holds. One way says nothing about the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The peer may reach the resource here.
    Inbound,
    /// We may reach the resource at the peer.
    Outbound,
}

/// How a pin came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PinOrigin {
    /// The operator of this home said so.
    Operator,
    /// A ticket was redeemed.
    Ticket,
    /// It was met there first, by the operator's wish (a relay).
    FirstMeeting,
}

/// What a pin is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Whatever is offered to pinned peers. Only the operator pins so.
    Any,
    /// The service, outlet or relay of this name.
    Named(String),
}

impl Resource {
    /// In the table and on the screen: the name, or `*`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Any => "*",
            Self::Named(name) => name,
        }
    }

    fn from_column(text: String) -> Self {
        if text == "*" {
            Self::Any
        } else {
            Self::Named(text)
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A permission for one peer, one direction and one resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Which way.
    pub direction: Direction,
    /// To what.
    pub resource: Resource,
    /// Why.
    pub origin: PinOrigin,
    /// Since when.
    pub added: UnixSeconds,
}

/// A peer with its pins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who it is.
    pub identifier: Identifier,
    /// The name that the operator gave to it.
    pub name: Option<Name>,
    /// Since when it is here.
    pub added: UnixSeconds,
    /// The weakest suite in which it may be met: raised by each stronger channel, lowered by [`Peers::set_floor`] alone.
    pub floor: Suite,
    /// What it may reach and what we may reach at it, inbound first.
    pub pins: Vec<Pin>,
}

/// Why something could not be done with a peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Neither a name nor an identifier of a peer.
    #[error("there is no peer {text:?}")]
    Missing {
        /// What was looked for.
        text: String,
    },
    /// The name belongs to another peer.
    #[error("the name {name} belongs to {identifier}")]
    NameTaken {
        /// The name.
        name: Name,
        /// Whose it is.
        identifier: Identifier,
    },
    /// The name of the resource is empty, too long, or `*`.
    #[error("{resource:?} cannot be the name of a resource")]
    BadResource {
        /// The name, its start if it is long.
        resource: String,
    },
    /// The peer's history is older or other than the known one.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// The store could not do its work.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<rusqlite::Error> for PeerError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl PeerError {
    /// The next step; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "see which there are: sealway peer list",
            Self::NameTaken { .. } => "choose another name, or remove that peer first",
            Self::BadResource { .. } => "use the name of a service or an outlet, 1 to 255 bytes",
            Self::History(error) => error.hint(),
            Self::Fault(fault) => fault.hint(),
        }
    }
}

/// The peers of a home. See [`Store::peers`].
#[derive(Clone, Copy, Debug)]
pub struct Peers<'a> {
    pub(super) store: &'a Store,
}

type Answer<T> = Pending<T, PeerError>;

impl<'a> Peers<'a> {
    pub(crate) const fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Trusts a peer, as its operator's word: it may reach what is offered to pinned peers, and we may
    /// reach it. Adding a peer again changes its name.
    ///
    /// Fails with [`PeerError::NameTaken`].
    pub fn add(&self, name: &Name, identifier: Identifier, now: UnixSeconds) -> Answer<Peer> {
        let name = name.clone();
        self.store.write(After::Nothing, move |transaction| {
            add(transaction, &name, &identifier, now)
        })
    }

    /// [`Peers::add`] for a peer whose history is at hand: no shorter one is believed from now on.
    ///
    /// Fails with [`PeerError::NameTaken`], [`PeerError::History`].
    pub fn add_history(&self, name: &Name, identity: &Identity, now: UnixSeconds) -> Answer<Peer> {
        let (name, identity) = (name.clone(), identity.clone());
        self.store.write(After::Nothing, move |transaction| {
            let peer = add(transaction, &name, &identity.identifier(), now)?;
            histories::accept(transaction, &identity, now)?;
            Ok(peer)
        })
    }

    /// Adds one pin. One that is there already keeps the origin that stands above: the operator, a meeting, a ticket.
    ///
    /// Fails with [`PeerError::BadResource`].
    pub fn pin(&self, peer: Identifier, pin: Pin) -> Answer<()> {
        if let Resource::Named(resource) = &pin.resource
            && (resource.is_empty() || resource.len() > MAX_RESOURCE || resource == "*")
        {
            return Pending::ready(Err(PeerError::BadResource {
                resource: resource.chars().take(64).collect(),
            }));
        }
        self.store.write(After::Nothing, move |transaction| {
            Ok(insert(transaction, &peer, &pin)?)
        })
    }

    /// Takes one pin back; false if there was none. A peer without a name and without pins is gone.
    pub fn unpin(
        &self,
        peer: Identifier,
        direction: Direction,
        resource: Resource,
    ) -> Pending<bool, StoreFault> {
        self.store.write(After::Nothing, move |transaction| {
            let removed = transaction.execute(
                "DELETE FROM pins WHERE peer = ?1 AND direction = ?2 AND resource = ?3",
                (
                    peer.as_bytes(),
                    direction_to_column(direction),
                    resource.as_str(),
                ),
            )?;
            sweep(transaction)?;
            Ok(removed > 0)
        })
    }

    /// Takes all pins of a peer back, and its name; gives what there was.
    ///
    /// Fails with [`PeerError::Missing`]. Its history stays known: it cannot come back as an older one.
    pub fn remove(&self, name_or_identifier: &str) -> Answer<Peer> {
        let text = name_or_identifier.to_owned();
        self.store.write(After::Nothing, move |transaction| {
            let peer = find(transaction, &text)?;
            transaction.execute(
                "DELETE FROM peers WHERE identifier = ?1",
                [peer.identifier.as_bytes()],
            )?;
            Ok(peer)
        })
    }

    /// The peer of this name, or with this identifier.
    ///
    /// # Errors
    /// [`PeerError::Missing`], or a fault.
    pub fn find(&self, name_or_identifier: &str) -> Result<Peer, PeerError> {
        find(&self.store.read(), name_or_identifier)
    }

    /// All peers: the named ones by name, then the others by identifier.
    ///
    /// # Errors
    /// The store's faults.
    pub fn list(&self) -> Result<Vec<Peer>, StoreFault> {
        let connection = self.store.read();
        let mut statement = connection.prepare_cached(
            "SELECT identifier, name, added, suite_floor FROM peers ORDER BY name IS NULL, name, identifier",
        )?;
        let rows = statement.query_map([], read_peer)?;
        rows.map(|row| with_pins(&connection, row?)).collect()
    }

    /// The pin, if there is one, that lets this peer through: its own for the resource, or one for
    /// [`Resource::Any`]. To be asked at every open.
    ///
    /// # Errors
    /// The store's faults: then nobody is let through.
    pub fn admits(
        &self,
        peer: &Identifier,
        direction: Direction,
        resource: &str,
    ) -> Result<Option<Pin>, StoreFault> {
        let connection = self.store.read();
        let mut statement = connection.prepare_cached(
            "SELECT direction, resource, origin, added FROM pins
             WHERE peer = ?1 AND direction = ?2 AND resource IN (?3, '*')
             ORDER BY resource = '*' LIMIT 1",
        )?;
        let pin = statement
            .query_row(
                (peer.as_bytes(), direction_to_column(direction), resource),
                read_pin,
            )
            .optional()?;
        pin.map(RawPin::check).transpose()
    }

    /// Who has any pin in this direction: whom a handshake may succeed with. What exactly a peer may
    /// reach is asked at the open ([`Peers::admits`]).
    ///
    /// # Errors
    /// The store's faults.
    pub fn pinned(&self, direction: Direction) -> Result<Vec<Identifier>, StoreFault> {
        let connection = self.store.read();
        let mut statement = connection
            .prepare_cached("SELECT DISTINCT peer FROM pins WHERE direction = ?1 ORDER BY peer")?;
        let rows = statement.query_map([direction_to_column(direction)], |row| row.get(0))?;
        rows.map(|row| Ok(Identifier::from_bytes(row?))).collect()
    }
}

/// Enters a pin, and its peer if it is new. One that is there already keeps the origin that stands above.
pub(super) fn insert(
    transaction: &Connection,
    peer: &Identifier,
    pin: &Pin,
) -> Result<(), StoreFault> {
    insert_peer(transaction, peer, pin.added)?;
    insert_pin(transaction, peer, pin)
}

/// Whether there is a pin for this peer, direction and resource, whatever its origin.
pub(super) fn holds(
    connection: &Connection,
    peer: &Identifier,
    pin: &Pin,
) -> Result<bool, StoreFault> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM pins WHERE peer = ?1 AND direction = ?2 AND resource = ?3",
    )?;
    Ok(statement.exists((
        peer.as_bytes(),
        direction_to_column(pin.direction),
        pin.resource.as_str(),
    ))?)
}

/// Takes back the inbound pins for `resource` that tickets have made; gives whose they were.
pub(super) fn unpin_redeemers(
    transaction: &Connection,
    resource: &str,
) -> Result<Vec<Identifier>, StoreFault> {
    let mut statement = transaction.prepare_cached(
        "DELETE FROM pins WHERE direction = ?1 AND resource = ?2 AND origin = ?3 RETURNING peer",
    )?;
    let of_tickets = (
        direction_to_column(Direction::Inbound),
        resource,
        origin_to_column(PinOrigin::Ticket),
    );
    let rows = statement.query_map(of_tickets, |row| row.get(0))?;
    let unpinned = rows
        .map(|row| Ok(Identifier::from_bytes(row?)))
        .collect::<Result<_, StoreFault>>()?;
    sweep(transaction)?;
    Ok(unpinned)
}

/// Forgets the peers that have neither a name nor a pin.
fn sweep(transaction: &Connection) -> Result<(), StoreFault> {
    transaction.execute(
        "DELETE FROM peers WHERE name IS NULL
         AND NOT EXISTS (SELECT 1 FROM pins WHERE peer = identifier)",
        [],
    )?;
    Ok(())
}

fn add(
    transaction: &Connection,
    name: &Name,
    identifier: &Identifier,
    now: UnixSeconds,
) -> Result<Peer, PeerError> {
    let holder: Option<[u8; 32]> = transaction
        .prepare_cached("SELECT identifier FROM peers WHERE name = ?1")?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(holder) = holder.filter(|holder| holder != identifier.as_bytes()) {
        return Err(PeerError::NameTaken {
            name: name.clone(),
            identifier: Identifier::from_bytes(holder),
        });
    }
    insert_peer(transaction, identifier, now)?;
    transaction
        .prepare_cached("UPDATE peers SET name = ?2 WHERE identifier = ?1")?
        .execute((identifier.as_bytes(), name.as_str()))?;
    for direction in [Direction::Inbound, Direction::Outbound] {
        let pin = Pin {
            direction,
            resource: Resource::Any,
            origin: PinOrigin::Operator,
            added: now,
        };
        insert_pin(transaction, identifier, &pin)?;
    }
    find(transaction, name.as_str())
}

fn insert_peer(
    transaction: &Connection,
    identifier: &Identifier,
    now: UnixSeconds,
) -> Result<(), StoreFault> {
    transaction
        .prepare_cached("INSERT OR IGNORE INTO peers (identifier, added) VALUES (?1, ?2)")?
        .execute((identifier.as_bytes(), to_column(now)))?;
    Ok(())
}

fn insert_pin(transaction: &Connection, peer: &Identifier, pin: &Pin) -> Result<(), StoreFault> {
    transaction
        .prepare_cached(
            // What the operator says stands above a meeting, and that above a ticket.
            "INSERT INTO pins (peer, direction, resource, origin, added)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (peer, direction, resource) DO UPDATE SET origin = ?4
             WHERE ?4 = 0 OR (?4 = 2 AND origin = 1)",
        )?
        .execute((
            peer.as_bytes(),
            direction_to_column(pin.direction),
            pin.resource.as_str(),
            origin_to_column(pin.origin),
            to_column(pin.added),
        ))?;
    Ok(())
}

pub(super) fn find(connection: &Connection, text: &str) -> Result<Peer, PeerError> {
    // No name looks like an identifier and means another peer: the identifier comes first.
    let identifier = text.parse::<Identifier>().ok();
    let row = connection
        .prepare_cached(
            "SELECT identifier, name, added, suite_floor FROM peers WHERE identifier = ?1 OR name = ?2
             ORDER BY identifier = ?1 DESC LIMIT 1",
        )?
        .query_row(
            (identifier.as_ref().map(Identifier::as_bytes), text),
            read_peer,
        )
        .optional()?;
    match row {
        Some(row) => Ok(with_pins(connection, row)?),
        None => Err(PeerError::Missing {
            text: text.chars().take(80).collect(),
        }),
    }
}

type RawPeer = ([u8; 32], Option<String>, i64, u16);

fn read_peer(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawPeer> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn with_pins(connection: &Connection, raw: RawPeer) -> Result<Peer, StoreFault> {
    let (identifier, name, added, floor) = raw;
    let name = name
        .map(|name| name.parse())
        .transpose()
        .map_err(|_| StoreFault::damaged("the name of a peer is impossible"))?;
    let mut statement = connection.prepare_cached(
        "SELECT direction, resource, origin, added FROM pins WHERE peer = ?1
         ORDER BY direction, resource",
    )?;
    let rows = statement.query_map([identifier], read_pin)?;
    Ok(Peer {
        identifier: Identifier::from_bytes(identifier),
        name,
        added: seconds(added),
        floor: floors::from_column(floor)?,
        pins: rows.map(|row| row?.check()).collect::<Result<_, _>>()?,
    })
}

struct RawPin {
    direction: i64,
    resource: String,
    origin: i64,
    added: i64,
}

fn read_pin(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawPin> {
    Ok(RawPin {
        direction: row.get(0)?,
        resource: row.get(1)?,
        origin: row.get(2)?,
        added: row.get(3)?,
    })
}

impl RawPin {
    fn check(self) -> Result<Pin, StoreFault> {
        let direction = match self.direction {
            0 => Direction::Inbound,
            1 => Direction::Outbound,
            _ => return Err(StoreFault::damaged("a pin has an impossible direction")),
        };
        let origin = match self.origin {
            0 => PinOrigin::Operator,
            1 => PinOrigin::Ticket,
            2 => PinOrigin::FirstMeeting,
            _ => return Err(StoreFault::damaged("a pin has an impossible origin")),
        };
        Ok(Pin {
            direction,
            resource: Resource::from_column(self.resource),
            origin,
            added: seconds(self.added),
        })
    }
}

const fn direction_to_column(direction: Direction) -> i64 {
    match direction {
        Direction::Inbound => 0,
        Direction::Outbound => 1,
    }
}

const fn origin_to_column(origin: PinOrigin) -> i64 {
    match origin {
        PinOrigin::Operator => 0,
        PinOrigin::Ticket => 1,
        PinOrigin::FirstMeeting => 2,
    }
}
