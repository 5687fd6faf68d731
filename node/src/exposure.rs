//! Who may reach an address: the reference's flow control, decided from what was proved.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, RwLock};

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
    sources: RwLock<HashSet<Address>>,
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

    /// Admits what comes by `source` from now on. Returns false if it was admitted before.
    pub(crate) fn grant(&self, source: Address) -> bool {
        // A poisoned lock means that a thread died while it held this list of plain addresses: still good.
        let mut sources = self
            .sources
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        sources.insert(source)
    }

    pub(crate) fn revoke(&self, source: &Address) {
        let mut sources = self
            .sources
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        sources.remove(source);
    }

    pub(crate) fn has_source(&self, source: &Address) -> bool {
        let sources = self
            .sources
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        sources.contains(source)
    }

    pub(crate) fn take_sources(&self) -> HashSet<Address> {
        std::mem::take(
            &mut *self
                .sources
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
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
                .is_some_and(|source| self.has_source(source))
    }
}
