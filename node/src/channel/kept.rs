//! What a home keeps for a node: peers' histories, how weak a suite each may be met in, and a time that never goes back.

use std::time::Duration;

use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::identity::{Identifier, Identity};
use tokio::sync::futures::OwnedNotified;

use super::floors::FloorStore;
use super::histories::HistoryStore;
use crate::home::Home;
use crate::transport::BoxFuture;

/// How often the highest time seen goes to the disk, at the least: a clock set back between two runs must not revive what has
/// expired.
const TIME: Duration = Duration::from_secs(60);

impl HistoryStore for Home {
    fn known(&self, identifier: &Identifier) -> Result<Option<Identity>, String> {
        self.histories()
            .known(identifier)
            .map_err(|fault| fault.to_string())
    }

    fn remember(&self, identity: &Identity, now: UnixSeconds) {
        // Written behind: who crashes before that has met the peer once less.
        let (peer, remembering) = (
            identity.identifier(),
            self.histories().accept(identity, now),
        );
        tokio::spawn(async move {
            if let Err(fault) = remembering.await {
                tracing::warn!(%peer, %fault, "the history of a peer could not be kept");
            }
        });
    }
}

impl FloorStore for Home {
    fn floor(&self, peer: &Identifier) -> Result<Option<Suite>, String> {
        self.peers().floor(peer).map_err(|fault| fault.to_string())
    }

    fn raise(&self, peer: &Identifier, suite: Suite) -> BoxFuture<'static, Result<(), String>> {
        // Written behind: who crashes before that has met the peer once less.
        let raising = self.peers().raise_floor(*peer, suite);
        Box::pin(async move { raising.await.map_err(|fault| fault.to_string()) })
    }
}

/// Keeps the time until the node is down.
pub(crate) async fn keep_time(home: Home, down: OwnedNotified) {
    let minutes = async {
        let mut minutes = tokio::time::interval(TIME);
        loop {
            minutes.tick().await;
            persist(&home).await;
        }
    };
    tokio::select! {
        // Also when the node is gone without a word.
        () = down => {}
        () = minutes => {}
    }
}

/// Waits until the time is on the disk, and with it all that the node has learnt of its peers before.
pub(crate) async fn persist(home: &Home) {
    if let Err(fault) = home.clock().persist().await {
        tracing::warn!(%fault, "what was learnt of peers, and the time, are not kept");
    }
}
