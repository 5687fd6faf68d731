//! What a home exposes by tickets, and who has redeemed them (protocols.md sections 1 and 2).

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::identity::Identifier;
use sealway_core::ticket::{Asker, Refusal, SecretHash, Terms, admit, is_resource};

use super::fault::StoreFault;
use super::peers::{self, Direction, Pin, PinOrigin, Resource};
use super::writer::{After, Pending};
use super::{Store, floors, seconds, to_column};

/// Tickets of one exposure that can be redeemed at a time, and spent ones that are remembered: who asks again with one of those is told
/// that it is spent, and its redeemer that it is let in.
const MAX_TICKETS: u32 = 1_024;

/// A service that is offered to whoever redeems a ticket for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// The resource's name: what pins and tickets speak of.
    pub resource: String,
    /// `HOST:PORT` of the service.
    pub target: String,
    /// Where the exposer listens, if it does: kept, so that old tickets lead there after a restart.
    pub listen: Option<String>,
    /// Since when.
    pub created: UnixSeconds,
}

/// A ticket as its exposer knows it: not the secret, only its hash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// What it is for.
    pub resource: String,
    /// The hash of its secret.
    pub secret: SecretHash,
    /// How many may redeem it, and until when.
    pub terms: Terms,
    /// Who has.
    pub redeemers: Vec<Identifier>,
}

/// A ticket that was redeemed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redemption {
    /// What it is for.
    pub resource: String,
    /// Whether a use was taken: the first time.
    pub is_new: bool,
}

/// Why something could not be done with an exposure or a ticket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExposureError {
    /// The name fails [`is_resource`].
    #[error("{resource:?} cannot be the name of what is exposed")]
    BadResource {
        /// The name, its start if it is long.
        resource: String,
    },
    /// Nothing of this name is exposed.
    #[error("nothing is exposed as {resource:?}")]
    Missing {
        /// The name.
        resource: String,
    },
    /// The exposure has as many tickets as it may have.
    #[error("{max} tickets for one exposure are out", max = MAX_TICKETS)]
    TooManyTickets,
    /// The redemption was refused; the pins are as they were.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store could not do its work.
    #[error(transparent)]
    Fault(#[from] StoreFault),
}

impl From<rusqlite::Error> for ExposureError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl ExposureError {
    /// The next step; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::BadResource { .. } => "use 1 to 128 bytes without control characters",
            Self::Missing { .. } => "see what there is: sealway exposure list",
            Self::TooManyTickets => "wait until some expire, or remove the exposure",
            Self::Refused(_) => "ask the exposer for a new ticket",
            Self::Fault(fault) => fault.hint(),
        }
    }
}

/// The exposures of a home. See [`Store::exposures`].
#[derive(Clone, Copy, Debug)]
pub struct Exposures<'a> {
    store: &'a Store,
}

type Answer<T> = Pending<T, ExposureError>;

impl<'a> Exposures<'a> {
    pub(crate) const fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// Exposes a service, or changes target and address of one that is exposed; its tickets and pins stay.
    ///
    /// Fails with [`ExposureError::BadResource`].
    pub fn set(&self, exposed: Exposed) -> Answer<()> {
        if !is_resource(&exposed.resource) {
            let resource = exposed.resource.chars().take(64).collect();
            return Pending::ready(Err(ExposureError::BadResource { resource }));
        }
        self.store.write(After::Nothing, move |transaction| {
            transaction
                .prepare_cached(
                    "INSERT INTO exposures (resource, target, listen, created) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (resource) DO UPDATE SET target = ?2, listen = ?3",
                )?
                .execute((
                    &exposed.resource,
                    &exposed.target,
                    &exposed.listen,
                    to_column(exposed.created),
                ))?;
            Ok(())
        })
    }

    /// Takes an exposure back, with its tickets and with the pins that they have made; gives who was pinned. What the operator
    /// pinned stays.
    ///
    /// Fails with [`ExposureError::Missing`].
    pub fn remove(&self, resource: &str) -> Answer<Vec<Identifier>> {
        let resource = resource.to_owned();
        self.store.write(After::Nothing, move |transaction| {
            let removed =
                transaction.execute("DELETE FROM exposures WHERE resource = ?1", [&resource])?;
            if removed == 0 {
                return Err(ExposureError::Missing { resource });
            }
            Ok(peers::unpin_redeemers(transaction, &resource)?)
        })
    }

    /// All exposures, by name.
    ///
    /// # Errors
    /// The store's faults.
    pub fn list(&self) -> Result<Vec<Exposed>, StoreFault> {
        let connection = self.store.read();
        let mut statement = connection.prepare_cached(
            "SELECT resource, target, listen, created FROM exposures ORDER BY resource",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Exposed {
                resource: row.get(0)?,
                target: row.get(1)?,
                listen: row.get(2)?,
                created: seconds(row.get(3)?),
            })
        })?;
        rows.map(|row| Ok(row?)).collect()
    }

    /// Enters a ticket into the books, by the hash of its secret. Those of the exposure that have expired unused are forgotten, and of
    /// those that are spent the ones that expired first, if there are too many.
    ///
    /// Fails with [`ExposureError::Missing`], [`ExposureError::TooManyTickets`].
    pub fn issue(
        &self,
        resource: &str,
        secret: SecretHash,
        terms: Terms,
        now: UnixSeconds,
    ) -> Answer<()> {
        let resource = resource.to_owned();
        self.store.write(After::Nothing, move |transaction| {
            let is_there = transaction
                .prepare_cached("SELECT 1 FROM exposures WHERE resource = ?1")?
                .exists([&resource])?;
            if !is_there {
                return Err(ExposureError::Missing { resource });
            }
            transaction
                .prepare_cached(
                    "DELETE FROM tickets WHERE resource = ?1 AND expires <= ?2
                     AND NOT EXISTS (SELECT 1 FROM redemptions WHERE ticket = secret)",
                )?
                .execute((&resource, to_column(now)))?;
            let out: u32 = transaction
                .prepare_cached(
                    "SELECT count(*) FROM tickets WHERE resource = ?1 AND expires > ?2
                     AND uses > (SELECT count(*) FROM redemptions WHERE ticket = secret)",
                )?
                .query_row((&resource, to_column(now)), |row| row.get(0))?;
            if out >= MAX_TICKETS {
                return Err(ExposureError::TooManyTickets);
            }
            transaction
                .prepare_cached(
                    "DELETE FROM tickets WHERE secret IN (
                         SELECT secret FROM tickets WHERE resource = ?1 AND (expires <= ?2
                         OR uses <= (SELECT count(*) FROM redemptions WHERE ticket = secret))
                         ORDER BY expires DESC, secret LIMIT -1 OFFSET ?3)",
                )?
                .execute((&resource, to_column(now), MAX_TICKETS))?;
            transaction
                .prepare_cached(
                    "INSERT INTO tickets (secret, resource, uses, expires) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute((secret.0, &resource, terms.uses, to_column(terms.expires)))?;
            Ok(())
        })
    }

    /// Redeems a ticket: takes a use, pins the peer for the resource, and raises its floor to the suite in which it asks, in one
    /// transaction. For who has redeemed it before no use is taken, unless the pin was taken back meanwhile: then the ticket is spent
    /// for them too.
    ///
    /// Fails with [`ExposureError::Refused`]; nothing has changed then.
    pub fn redeem(
        &self,
        secret: SecretHash,
        peer: Identifier,
        suite: Suite,
        now: UnixSeconds,
    ) -> Answer<Redemption> {
        self.store.write(After::Nothing, move |transaction| {
            let redemption = redeem(transaction, secret, &peer, now)?;
            floors::raise(transaction, &peer, suite)?;
            Ok(redemption)
        })
    }

    /// The tickets of all exposures.
    ///
    /// # Errors
    /// The store's faults.
    pub fn tickets(&self) -> Result<Vec<Issued>, StoreFault> {
        let connection = self.store.read();
        let mut statement = connection.prepare_cached(
            "SELECT secret, resource, uses, expires FROM tickets ORDER BY resource, expires, secret",
        )?;
        let rows = statement.query_map([], |row| {
            Ok(Issued {
                secret: SecretHash(row.get(0)?),
                resource: row.get(1)?,
                terms: Terms {
                    uses: row.get(2)?,
                    expires: seconds(row.get(3)?),
                },
                redeemers: Vec::new(),
            })
        })?;
        let with_redeemers = |mut issued: Issued| {
            issued.redeemers = redeemers(&connection, issued.secret)?;
            Ok(issued)
        };
        rows.map(|row| with_redeemers(row?)).collect()
    }
}

fn redeem(
    transaction: &Connection,
    secret: SecretHash,
    peer: &Identifier,
    now: UnixSeconds,
) -> Result<Redemption, ExposureError> {
    let ticket = transaction
        .prepare_cached("SELECT resource, uses, expires FROM tickets WHERE secret = ?1")?
        .query_row([secret.0], |row| {
            let resource: String = row.get(0)?;
            let expires = seconds(row.get(2)?);
            Ok((
                resource,
                Terms {
                    uses: row.get(1)?,
                    expires,
                },
            ))
        })
        .optional()?;
    let (resource, terms) = ticket.ok_or(Refusal::Unknown)?;
    let taken = redeemers(transaction, secret)?;
    let pin = Pin {
        direction: Direction::Inbound,
        resource: Resource::Named(resource.clone()),
        origin: PinOrigin::Ticket,
        added: now,
    };
    let asker = if !taken.contains(peer) {
        Asker::New
    } else if peers::holds(transaction, peer, &pin)? {
        Asker::Pinned
    } else {
        Asker::Unpinned
    };
    let uses = u32::try_from(taken.len()).unwrap_or(u32::MAX);
    admit(&terms, uses, asker, now)?;
    let is_new = asker == Asker::New;
    if !is_new {
        return Ok(Redemption { resource, is_new });
    }
    transaction
        .prepare_cached("INSERT INTO redemptions (ticket, peer, redeemed) VALUES (?1, ?2, ?3)")?
        .execute((secret.0, peer.as_bytes(), to_column(now)))?;
    peers::insert(transaction, peer, &pin)?;
    Ok(Redemption { resource, is_new })
}

fn redeemers(connection: &Connection, secret: SecretHash) -> Result<Vec<Identifier>, StoreFault> {
    let mut statement = connection
        .prepare_cached("SELECT peer FROM redemptions WHERE ticket = ?1 ORDER BY redeemed, peer")?;
    let rows = statement.query_map([secret.0], |row| row.get(0))?;
    rows.map(|row| Ok(Identifier::from_bytes(row?))).collect()
}
