//! The pins of a home in memory, where they are asked for each message and each open.
//!
//! A pin is (peer, direction, resource, origin): see [`crate::store::Pin`]. Whoever is pinned for one resource reaches no other;
//! and that we may reach something at a peer lets the peer reach nothing here but `echo`, which tells it that we live.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::identity::Identifier;
use tokio::sync::watch;

use crate::exposure::Access;
use crate::home::Home;
use crate::node::{Node, lock};
use crate::store::{Direction, Exposed, PinOrigin, Resource, StoreFault};

/// How soon pins that could not be read are read again.
const AGAIN: Duration = Duration::from_secs(1);

/// The pins of a home. Cheap to clone; all clones are the same.
///
/// They are those of the disk at the time of [`Pins::open`], and again whenever [`Pins::reload`] was called: a process that has a
/// [`ControlServer`](crate::control::ControlServer) does so when it is told that peers have changed.
#[derive(Clone)]
pub struct Pins(Arc<Inner>);

struct Inner {
    home: Home,
    held: RwLock<Held>,
    reloading: Mutex<()>,
    /// Somebody reads them again until it works.
    is_retrying: AtomicBool,
    /// Sent after each reload.
    reloaded: watch::Sender<()>,
}

#[derive(Default)]
struct Held {
    inbound: HashMap<Identifier, HashSet<Resource>>,
    /// Inbound pins that tickets made. They lead to exposures and nowhere else: a service or an outlet that happens to have the same name
    /// is another thing.
    redeemed: HashMap<Identifier, HashSet<Resource>>,
    outbound: HashMap<Identifier, HashSet<Resource>>,
    /// What is exposed by tickets, by name.
    exposed: HashMap<String, Instance>,
    /// The weakest suite in which each peer may be met.
    floors: HashMap<Identifier, Suite>,
}

/// Which exposure a name stands for: one that was removed and made anew is another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    created: UnixSeconds,
    target: String,
}

impl Held {
    fn read(home: &Home) -> Result<Self, StoreFault> {
        let mut held = Self::default();
        for peer in home.peers().list()? {
            held.floors.insert(peer.identifier, peer.floor);
            for pin in peer.pins {
                let side = match (pin.direction, pin.origin) {
                    (Direction::Inbound, PinOrigin::Ticket) => &mut held.redeemed,
                    (Direction::Inbound, _) => &mut held.inbound,
                    (Direction::Outbound, _) => &mut held.outbound,
                };
                side.entry(peer.identifier)
                    .or_default()
                    .insert(pin.resource);
            }
        }
        let exposed = home.exposures().list()?.into_iter();
        let instance = |exposed: Exposed| {
            let Exposed {
                resource,
                target,
                created,
                ..
            } = exposed;
            (resource, Instance { created, target })
        };
        held.exposed = exposed.map(instance).collect();
        Ok(held)
    }

    /// Those who could reach something before that they cannot reach now, or whom we could.
    fn lost(&self, now: &Self) -> HashSet<Identifier> {
        let withdrawn: Vec<&str> = self
            .exposed
            .iter()
            .filter(|(resource, instance)| now.exposed.get(*resource) != Some(*instance))
            .map(|(resource, _)| resource.as_str())
            .collect();
        let reached = |pin: &Resource| {
            matches!(pin, Resource::Any) && !withdrawn.is_empty()
                || withdrawn.contains(&pin.as_str())
        };
        // What the operator pins is more than what a ticket did.
        let inbound = [
            lost(&self.inbound, &[&now.inbound], &reached),
            lost(&self.redeemed, &[&now.redeemed, &now.inbound], &reached),
        ];
        let outbound = lost(&self.outbound, &[&now.outbound], &|_| false);
        inbound.into_iter().flatten().chain(outbound).collect()
    }

    /// Whether a channel with `peer` is one in which it is not met any more.
    fn is_too_weak(&self, peer: &Identifier, suite: Suite) -> bool {
        let floor = self.floors.get(peer);
        floor.is_some_and(|floor| !suite.at_least(*floor))
    }

    /// Whether `peer` is pinned for anything here.
    fn knows(&self, peer: &Identifier) -> bool {
        self.inbound.contains_key(peer) || self.redeemed.contains_key(peer)
    }
}

type Side = HashMap<Identifier, HashSet<Resource>>;

/// Whose pin is on none of the sides any more, or is one of those that are worth nothing now.
fn lost(
    before: &Side,
    now: &[&Side],
    is_worthless: &impl Fn(&Resource) -> bool,
) -> Vec<Identifier> {
    let is_kept = |peer: &Identifier, pin: &Resource| {
        let mut after = now.iter().filter_map(|side| side.get(peer));
        after.any(|after| after.contains(pin))
    };
    before
        .iter()
        .filter(|(peer, pins)| {
            pins.iter()
                .any(|pin| !is_kept(peer, pin) || is_worthless(pin))
        })
        .map(|(peer, _)| *peer)
        .collect()
}

/// In a build for negative controls, and in no other: whether any identity counts as pinned.
#[cfg(sealway_weaken)]
fn anybody() -> bool {
    sealway_core::weaken::off(sealway_core::weaken::Check::Trust)
}

fn holds(pins: &HashMap<Identifier, HashSet<Resource>>, peer: &Identifier, resource: &str) -> bool {
    #[cfg(sealway_weaken)]
    if anybody() {
        return true;
    }
    pins.get(peer).is_some_and(|pins| {
        pins.iter()
            .any(|pin| matches!(pin, Resource::Any) || pin.as_str() == resource)
    })
}

impl Pins {
    /// Reads the pins of `home`.
    ///
    /// # Errors
    /// The store's faults.
    pub fn open(home: &Home) -> Result<Self, StoreFault> {
        let held = Held::read(home)?;
        Ok(Self(Arc::new(Inner {
            home: home.clone(),
            held: RwLock::new(held),
            reloading: Mutex::default(),
            is_retrying: AtomicBool::new(false),
            reloaded: watch::Sender::new(()),
        })))
    }

    /// Their home.
    #[must_use]
    pub fn home(&self) -> &Home {
        &self.0.home
    }

    /// Reads the pins again, and ends the channels of `node` with peers who have lost one, whoever opened them, and those that are weaker
    /// than their peer's suite floor. A peer that may still reach something opens another, and so does this node if it keeps a path to
    /// the peer.
    ///
    /// # Errors
    /// The store's faults. Then nobody is admitted until the pins can be read: who was removed cannot be told from who was not. That is
    /// tried again each second.
    pub fn reload(&self, node: &Node) -> Result<(), StoreFault> {
        let outcome = self.read_again(node);
        if outcome.is_err() && !self.0.is_retrying.swap(true, Ordering::AcqRel) {
            let (pins, shared) = (self.clone(), Arc::downgrade(node.shared()));
            node.shared().spawn(async move {
                loop {
                    tokio::time::sleep(AGAIN).await;
                    let Some(node) = shared.upgrade() else { return };
                    // Whoever fails from here on tries by itself.
                    pins.0.is_retrying.store(false, Ordering::Release);
                    let Err(fault) = pins.read_again(&Node::from_shared(node)) else {
                        return;
                    };
                    tracing::warn!(%fault, "the pins cannot be read");
                    if pins.0.is_retrying.swap(true, Ordering::AcqRel) {
                        return;
                    }
                }
            });
        }
        outcome
    }

    fn read_again(&self, node: &Node) -> Result<(), StoreFault> {
        // One at a time, so that an older state never replaces a newer one.
        let _turn = lock(&self.0.reloading);
        let (now, outcome) = match Held::read(&self.0.home) {
            Ok(now) => (now, Ok(())),
            Err(fault) => {
                let held = self.held();
                let closed = Held {
                    outbound: held.outbound.clone(),
                    exposed: held.exposed.clone(),
                    floors: held.floors.clone(),
                    ..Held::default()
                };
                (closed, Err(fault))
            }
        };
        let lost = {
            let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
            let lost = held.lost(&now);
            *held = now;
            lost
        };
        node.shared().end_channels(|peer, suite| {
            lost.contains(peer) || self.held().is_too_weak(peer, suite)
        });
        self.0.reloaded.send_replace(());
        outcome
    }

    /// Whether `peer` may reach the service or outlet `resource` here: the operator said so. What tickets pin leads to exposures alone,
    /// see [`Pins::admits_to_exposure`].
    #[must_use]
    pub fn admits(&self, peer: &Identifier, resource: &str) -> bool {
        holds(&self.held().inbound, peer, resource)
    }

    /// Whether `peer` may reach what is exposed as `resource` here: it has redeemed a ticket, or the operator pinned it. Nobody may once
    /// the exposure was removed.
    #[must_use]
    pub fn admits_to_exposure(&self, peer: &Identifier, resource: &str) -> bool {
        let held = self.held();
        held.exposed.contains_key(resource)
            && (holds(&held.redeemed, peer, resource) || holds(&held.inbound, peer, resource))
    }

    /// Whether `peer` may reach anything here.
    #[must_use]
    pub fn knows(&self, peer: &Identifier) -> bool {
        #[cfg(sealway_weaken)]
        if anybody() {
            return true;
        }
        self.held().knows(peer)
    }

    /// Whether we may reach `resource` at `peer`.
    #[must_use]
    pub fn leads_to(&self, peer: &Identifier, resource: &str) -> bool {
        holds(&self.held().outbound, peer, resource)
    }

    /// Whom each service and outlet is for: peers that the operator pinned for it.
    #[must_use]
    pub fn to_services(&self) -> Access {
        let pins = self.clone();
        Access::by(move |peer, resource| pins.admits(peer, resource))
    }

    /// Whom what is exposed by tickets is for.
    pub(crate) fn to_exposures(&self) -> Access {
        let pins = self.clone();
        Access::by(move |peer, resource| pins.admits_to_exposure(peer, resource))
    }

    /// Whom a channel listener is for: peers that are pinned for anything here.
    #[must_use]
    pub fn to_listeners(&self) -> Access {
        let pins = self.clone();
        Access::by(move |peer, _| pins.knows(peer))
    }

    /// Whom `echo` is for, by which channels find out whether the other end lives: peers that are pinned in either direction.
    #[must_use]
    pub fn to_echo(&self) -> Access {
        let pins = self.clone();
        Access::by(move |peer, _| pins.knows(peer) || pins.held().outbound.contains_key(peer))
    }

    /// Which exposure of that name there is.
    pub(crate) fn exposed(&self, resource: &str) -> Option<Instance> {
        self.held().exposed.get(resource).cloned()
    }

    /// Resolves once this exposure of that name is there no more, or none was.
    pub(crate) async fn withdrawn(&self, resource: &str, instance: Option<&Instance>) {
        self.until(|| instance.is_none() || self.held().exposed.get(resource) != instance)
            .await;
    }

    /// Resolves once we may not reach `resource` at `peer` any more.
    pub async fn forgotten(&self, peer: &Identifier, resource: &str) {
        self.until(|| !self.leads_to(peer, resource)).await;
    }

    async fn until(&self, done: impl Fn() -> bool) {
        let mut reloaded = self.0.reloaded.subscribe();
        while !done() {
            // The sender is in `self`.
            let _ = reloaded.changed().await;
        }
    }

    fn held(&self) -> RwLockReadGuard<'_, Held> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner)
    }
}
