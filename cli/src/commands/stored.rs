//! What a node keeps in its home: peers' histories, and the names at its relay.

use sealway::channel::histories::HistoryStore;
use sealway::home::Home;
use sealway::relay::NameStore;
use sealway::store::RelayQuota;
use sealway::transport::BoxFuture;
use sealway_core::UnixSeconds;
use sealway_core::identity::{Identifier, Identity};
use sealway_core::relay::{Limits, NameRecord};

/// A home as the node's stores.
pub(super) struct Kept(pub(super) Home);

impl HistoryStore for Kept {
    fn known(&self, identifier: &Identifier) -> Option<Identity> {
        self.0
            .histories()
            .known(identifier)
            .unwrap_or_else(|fault| {
                tracing::error!(%fault, "a peer's history cannot be read");
                None
            })
    }

    fn remember(&self, identity: &Identity, now: UnixSeconds) {
        // Written behind: until it is on the disk, the node's own memory has it.
        drop(self.0.histories().accept(identity, now));
    }
}

impl NameStore for Kept {
    fn load(&self) -> Vec<NameRecord> {
        let now = self.0.clock().now();
        let kept = self.0.relay_names().list(now).unwrap_or_else(|fault| {
            tracing::error!(%fault, "the relay's names cannot be read");
            Vec::new()
        });
        kept.into_iter()
            .map(|name| NameRecord {
                alias: name.alias,
                owner: name.owner,
                expires: name.expires,
            })
            .collect()
    }

    fn save(&self, record: NameRecord) -> BoxFuture<'_, Result<(), String>> {
        let now = self.0.clock().now();
        let claim = self
            .0
            .relay_names()
            .claim(&record.alias, record.owner, quota(), now);
        Box::pin(async move { claim.await.map(drop).map_err(|error| error.to_string()) })
    }
}

/// What the relay's table in memory allows, on the disk.
fn quota() -> RelayQuota {
    let limits = Limits::default();
    let capped = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    RelayQuota {
        per_identity: capped(limits.names_per_identity),
        total: capped(limits.names),
        lifetime_seconds: limits.name_lifetime,
    }
}
