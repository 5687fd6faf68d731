//! What is known about peers' histories, so that an older or diverged one is refused (reference, section 3.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sealway_core::UnixSeconds;
use sealway_core::identity::{Evolution, Identifier, Identity};

use crate::node::lock;

/// Keeps peers' histories beyond the life of a process.
pub trait HistoryStore: Send + Sync + 'static {
    /// The longest history known of `identifier`.
    ///
    /// # Errors
    /// Why it cannot be told, for the operator: the peer is then refused, since its history may be an old one.
    fn known(&self, identifier: &Identifier) -> Result<Option<Identity>, String>;

    /// A longer history was verified. Must not block: write behind.
    fn remember(&self, identity: &Identity, now: UnixSeconds);
}

/// Why a peer's history was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HistoryError {
    /// The peer presents fewer changes than are known: its state was restored, or somebody uses a key that was rotated.
    #[error(
        "{0} presents an older history than the one known: its state was restored from a backup, or an old key is in use"
    )]
    Older(Identifier),
    /// The peer's history and the known one contradict each other.
    #[error("{0} presents another history than the one known")]
    Diverged(Identifier),
    /// What is known cannot be read.
    #[error("what is known of {peer} cannot be read: {why}")]
    Unreadable {
        /// The peer.
        peer: Identifier,
        /// Why not.
        why: String,
    },
}

/// Rotated histories kept in memory at the most, without a store: 4,096, each at most 16 KiB.
const CACHED: usize = 4_096;

/// The known histories of a node: cheap to clone, shared by its channels.
#[derive(Clone, Default)]
pub struct Histories {
    cached: Arc<Mutex<HashMap<Identifier, Identity>>>,
    store: Option<Arc<dyn HistoryStore>>,
}

impl Histories {
    /// Histories kept in `store`.
    #[must_use]
    pub fn stored(store: Arc<dyn HistoryStore>) -> Self {
        Self {
            cached: Arc::default(),
            store: Some(store),
        }
    }

    /// Compares a verified history with the known one and remembers it if it is longer.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn accept(&self, identity: &Identity, now: UnixSeconds) -> Result<(), HistoryError> {
        let identifier = identity.identifier();
        // With a store it alone is asked: other processes write to it as well.
        let known = match &self.store {
            Some(store) => store
                .known(&identifier)
                .map_err(|why| HistoryError::Unreadable {
                    peer: identifier,
                    why,
                })?,
            None => lock(&self.cached).get(&identifier).cloned(),
        };
        let evolution = known
            .as_ref()
            .map_or(Evolution::Newer, |known| identity.compare(known));
        match evolution {
            Evolution::Same => {}
            Evolution::Newer => match &self.store {
                Some(store) => store.remember(identity, now),
                None => {
                    let mut cached = lock(&self.cached);
                    // What a single change says, its identifier says too.
                    if identity.change_count() > 1 && cached.len() < CACHED {
                        cached.insert(identifier, identity.clone());
                    }
                }
            },
            Evolution::Older => return Err(HistoryError::Older(identifier)),
            Evolution::Diverged => return Err(HistoryError::Diverged(identifier)),
        }
        Ok(())
    }
}
