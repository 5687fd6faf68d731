//! Who may reach an address: the reference's flow control, decided from what was proved.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use sealway_core::channel::Trust;
use sealway_core::identity::Identifier;
use sealway_core::wire::Address;

use crate::message::Origin;

/// Decides whether an authenticated peer may reach a resource of this node.
#[derive(Clone)]
pub struct Access(Arc<Decision>);

/// Whether a peer may reach a resource.
type Decision = dyn Fn(&Identifier, &str) -> bool + Send + Sync;

impl Access {
    /// Decided by `admits(peer, resource)`, asked for each message.
    pub fn by(admits: impl Fn(&Identifier, &str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(admits))
    }

    /// Whoever `trust` admits may reach every resource this access is given to.
    #[must_use]
    pub fn trust(trust: Trust) -> Self {
        Self::by(move |peer, _| trust.admits(peer))
    }

    /// Nobody.
    #[must_use]
    pub fn nobody() -> Self {
        Self::by(|_, _| false)
    }

    /// Whether `peer` may reach `resource`.
    #[must_use]
    pub fn admits(&self, peer: &Identifier, resource: &str) -> bool {
        (self.0)(peer, resource)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Access(..)")
    }
}

/// Which origins may send to an address. The default is none but this node itself.
#[derive(Debug, Default)]
pub struct Exposure {
    anyone: bool,
    transports: bool,
    channels: Option<(Access, String)>,
    sources: RwLock<Sources>,
}

/// Connections and channels that one connection or channel was joined with by relays, because it asked: 256, some 200 bytes
/// each. Beyond, one that was not in use goes.
const MAX_JOINED: usize = 256;

/// Connections and channels that are admitted by name.
#[derive(Debug, Default)]
struct Sources {
    /// And whether something came by it since it was last looked at.
    admitted: HashMap<Address, AtomicBool>,
    /// Those among them that were asked for from here, those looked at the longest ago first.
    joined: VecDeque<Address>,
}

impl Sources {
    /// Takes out the first that nothing came by since it was looked at, or the first of all.
    fn displace(&mut self) -> Option<Address> {
        for _ in 0..self.joined.len() {
            let first = self.joined.pop_front()?;
            let heard = self.admitted.get(&first);
            if !heard.is_some_and(|heard| heard.swap(false, Ordering::Relaxed)) {
                self.admitted.remove(&first);
                return Some(first);
            }
            self.joined.push_back(first);
        }
        let first = self.joined.pop_front()?;
        self.admitted.remove(&first);
        Some(first)
    }
}

impl Exposure {
    /// Only this node's own workers.
    #[must_use]
    pub fn local() -> Self {
        Self::default()
    }

    /// Everyone, authenticated or not: for addresses that authenticate what they get themselves
    /// (channel listeners, decryptors).
    #[must_use]
    pub fn anyone() -> Self {
        Self {
            anyone: true,
            ..Self::default()
        }
    }

    /// Also bare transport connections, that is, anybody who can open one.
    #[must_use]
    pub fn to_transports(mut self) -> Self {
        self.transports = true;
        self
    }

    /// Also peers of secure channels whom `access` admits to `resource`.
    #[must_use]
    pub fn to_channels(mut self, access: Access, resource: impl Into<String>) -> Self {
        self.channels = Some((access, resource.into()));
        self
    }

    /// Also what comes by the connection or channel at `source`.
    #[must_use]
    pub fn to_source(self, source: Address) -> Self {
        self.grant(source);
        self
    }

    /// Admits what comes by `source` from now on.
    pub(crate) fn grant(&self, source: Address) {
        self.write().admitted.entry(source).or_default();
    }

    /// As [`Exposure::grant`], because what came by this connection or channel asked for it at a relay. Gives whom it
    /// displaces here: of those asked for, the first that was not heard of since it was looked at.
    pub(crate) fn join(&self, source: Address) -> Option<Address> {
        let mut sources = self.write();
        if sources.admitted.contains_key(&source) {
            return None;
        }
        let displaced = (sources.joined.len() >= MAX_JOINED).then(|| sources.displace());
        sources
            .admitted
            .insert(source.clone(), AtomicBool::default());
        sources.joined.push_back(source);
        displaced.flatten()
    }

    pub(crate) fn revoke(&self, source: &Address) {
        let mut sources = self.write();
        sources.admitted.remove(source);
        sources.joined.retain(|other| other != source);
    }

    /// Whether what comes by `source` was admitted by name.
    pub(crate) fn knows(&self, source: &Address) -> bool {
        self.read().admitted.contains_key(source)
    }

    /// All that were admitted by name, none of which is any more.
    pub(crate) fn take_sources(&self) -> Vec<Address> {
        std::mem::take(&mut *self.write())
            .admitted
            .into_keys()
            .collect()
    }

    /// As [`Exposure::knows`], and remembers that something came.
    fn admits_source(&self, source: &Address) -> bool {
        let sources = self.read();
        let Some(heard) = sources.admitted.get(source) else {
            return false;
        };
        // Written to only once: many read it at a time.
        if !heard.load(Ordering::Relaxed) {
            heard.store(true, Ordering::Relaxed);
        }
        true
    }

    // A poisoned lock means that a thread died while it held these plain addresses: still good.
    fn read(&self) -> RwLockReadGuard<'_, Sources> {
        self.sources.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Sources> {
        self.sources.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message of `origin` may come in.
    #[must_use]
    pub fn admits(&self, origin: &Origin) -> bool {
        if self.anyone {
            return true;
        }
        let by_kind = match origin {
            Origin::Local => return true,
            Origin::Transport(_) => self.transports,
            Origin::Channel(channel, _) => {
                !channel.confined
                    && (self.transports
                        || self.channels.as_ref().is_some_and(|(access, resource)| {
                            access.admits(&channel.peer, resource)
                        }))
            }
        };
        by_kind
            || origin
                .source()
                .is_some_and(|source| self.admits_source(source))
    }
}
