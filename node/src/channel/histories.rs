//! What is known about peers' histories, so that an older or diverged one is refused (reference, section 3.3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sealway_core::UnixSeconds;
use sealway_core::identity::{Evolution, Identifier, Identity};

use crate::node::lock;

/// Keeps peers' histories beyond the life of a process.
pub trait HistoryStore: Send + Sync + 'static {
    /// The longest history known of `identifier`.
    fn known(&self, identifier: &Identifier) -> Option<Identity>;

    /// A longer history was verified. Must not block: write behind.
    fn remember(&self, identity: &Identity, now: UnixSeconds);
}

/// Why a peer's history was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
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
}

/// Histories kept in memory at the most, each some 200 bytes to 8 KiB; beyond, the store is asked each time.
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
        let mut cached = lock(&self.cached);
        let known = match cached.get(&identifier) {
            Some(known) => Some(known.clone()),
            None => self
                .store
                .as_ref()
                .and_then(|store| store.known(&identifier)),
        };
        let evolution = known
            .as_ref()
            .map_or(Evolution::Newer, |known| identity.compare(known));
        match evolution {
            Evolution::Same => {}
            Evolution::Newer => {
                if let Some(store) = &self.store {
                    store.remember(identity, now);
                }
            }
            Evolution::Older => return Err(HistoryError::Older(identifier)),
            Evolution::Diverged => return Err(HistoryError::Diverged(identifier)),
        }
        // With nobody to ask later, what is known must stay.
        if cached.len() < CACHED || cached.contains_key(&identifier) || self.store.is_none() {
            cached.insert(identifier, identity.clone());
        }
        Ok(())
    }
}
