//! How weak a suite may be that a known peer is met in (docs/wire.md, "Which suite").

use std::sync::Arc;

use sealway_core::channel::Suite;
use sealway_core::identity::Identifier;

/// Keeps the suite floors of peers beyond the life of a process.
pub trait FloorStore: Send + Sync + 'static {
    /// The weakest suite in which this peer may be met; `None` if nothing is kept about it.
    ///
    /// # Errors
    /// Why it cannot be told, for the operator: the peer is then refused.
    fn floor(&self, peer: &Identifier) -> Result<Option<Suite>, String>;

    /// The peer was met in `suite`, which is stronger than its floor. Must not block: write behind.
    fn raise(&self, peer: &Identifier, suite: Suite);
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

    /// Judges a channel with a peer that has proved itself in `suite`, and raises its floor.
    ///
    /// # Errors
    /// [`FloorError`].
    pub fn accept(&self, peer: &Identifier, suite: Suite) -> Result<(), FloorError> {
        let Some(store) = &self.0 else { return Ok(()) };
        let floor = store
            .floor(peer)
            .map_err(|why| FloorError::Unreadable { peer: *peer, why })?;
        match floor {
            Some(floor) if !suite.at_least(floor) => Err(FloorError::Below {
                peer: *peer,
                suite,
                floor,
            }),
            Some(floor) if suite > floor => {
                store.raise(peer, suite);
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }
}
