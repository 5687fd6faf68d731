//! What a node keeps in its home of its peers: their histories, and how weak a suite they may be met in.

use sealway::channel::floors::FloorStore;
use sealway::channel::histories::HistoryStore;
use sealway::home::Home;
use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::identity::{Identifier, Identity};

/// A home as the node's store of histories and floors.
pub(super) struct Kept(pub(super) Home);

impl HistoryStore for Kept {
    fn known(&self, identifier: &Identifier) -> Result<Option<Identity>, String> {
        self.0
            .histories()
            .known(identifier)
            .map_err(|fault| fault.to_string())
    }

    fn remember(&self, identity: &Identity, now: UnixSeconds) {
        // Written behind: until it is on the disk, the node's own memory has it.
        drop(self.0.histories().accept(identity, now));
    }
}

impl FloorStore for Kept {
    fn floor(&self, peer: &Identifier) -> Result<Option<Suite>, String> {
        self.0
            .peers()
            .floor(peer)
            .map_err(|fault| fault.to_string())
    }

    fn raise(&self, peer: &Identifier, suite: Suite) {
        // Written behind: who crashes before that has met the peer once less.
        drop(self.0.peers().raise_floor(*peer, suite));
    }
}
