//! How weak a suite may be that a known peer is met in (docs/wire.md, "Which suite").

use std::sync::Arc;

use sealway_core::channel::Suite;
use sealway_core::identity::Identifier;

use super::CloseReason;
use crate::node::{Shared, lock};
use crate::transport::BoxFuture;

/// Keeps the suite floors of peers beyond the life of a process.
pub trait FloorStore: Send + Sync + 'static {
    /// The weakest suite in which this peer may be met; `None` if nothing is kept about it.
    ///
    /// # Errors
    /// Why it cannot be told, for the operator: the peer is then refused.
    fn floor(&self, peer: &Identifier) -> Result<Option<Suite>, String>;

    /// The peer was met in `suite`, which is stronger than its floor. Must not block: what is returned resolves once
    /// [`FloorStore::floor`] says so, or why it cannot be kept, and need not be polled for that.
    fn raise(&self, peer: &Identifier, suite: Suite) -> BoxFuture<'static, Result<(), String>>;
}

/// Why a peer is not met in this suite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FloorError {
    /// The peer has been met in a stronger suite, or its pin asks for one.
    #[error("{peer} is not met in the suite {suite} any more: it speaks {floor}")]
    Below {
        /// The peer.
        peer: Identifier,
        /// The channel's suite.
        suite: Suite,
        /// The weakest that is accepted.
        floor: Suite,
    },
    /// The floor cannot be read.
    #[error("the suite floor of {peer} cannot be read: {why}")]
    Unreadable {
        /// The peer.
        peer: Identifier,
        /// Why not.
        why: String,
    },
}

/// The suite floors that a node goes by: those of a store, or none. A floor is raised by each channel of a stronger suite, and
/// lowered by no channel.
#[derive(Clone, Default)]
pub struct Floors(Option<Arc<dyn FloorStore>>);

impl Floors {
    /// Floors kept in `store`.
    #[must_use]
    pub fn stored(store: Arc<dyn FloorStore>) -> Self {
        Self(Some(store))
    }

    /// Judges a channel with a peer that has proved itself in `suite`, and raises its floor: what is returned is the raising.
    ///
    /// # Errors
    /// [`FloorError`].
    fn accept(&self, peer: &Identifier, suite: Suite) -> Result<Option<Raising>, FloorError> {
        let Some(store) = &self.0 else {
            return Ok(None);
        };
        let floor = store
            .floor(peer)
            .map_err(|why| FloorError::Unreadable { peer: *peer, why })?;
        match floor {
            Some(floor) if !suite.at_least(floor) => Err(FloorError::Below {
                peer: *peer,
                suite,
                floor,
            }),
            Some(floor) if suite > floor => Ok(Some(store.raise(peer, suite))),
            Some(_) | None => Ok(None),
        }
    }
}

type Raising = BoxFuture<'static, Result<(), String>>;

impl Shared {
    /// Judges a channel with a peer that has proved itself in `suite`. If that raises the peer's floor, what is open in a weaker
    /// suite ends once the floor is kept: a channel that was judged before finds that out when it has been published.
    ///
    /// # Errors
    /// [`FloorError`].
    pub(crate) fn judge_suite(
        self: &Arc<Self>,
        peer: &Identifier,
        suite: Suite,
    ) -> Result<(), FloorError> {
        let Some(raising) = self.floors.accept(peer, suite)? else {
            return Ok(());
        };
        let (node, peer) = (Arc::clone(self), *peer);
        self.spawn(async move {
            if let Err(why) = raising.await {
                tracing::warn!(%peer, %suite, why, "the suite floor of a peer could not be raised");
            }
            node.end_channels(|other, spoken| *other == peer && !spoken.at_least(suite));
        });
        Ok(())
    }

    /// Ends the channels with whom `is_over` says, and tells them. Also those that we opened: the peer's messages come in by them too.
    pub(crate) fn end_channels(self: &Arc<Self>, is_over: impl Fn(&Identifier, Suite) -> bool) {
        let channels: Vec<_> = lock(&self.channels)
            .values()
            .filter(|channel| is_over(&channel.origin.peer, channel.origin.suite))
            .cloned()
            .collect();
        for channel in channels {
            channel.close(self, CloseReason::Local, true);
        }
    }
}
