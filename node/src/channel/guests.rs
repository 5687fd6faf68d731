//! Guests: peers of channels that are pinned for nothing, and may redeem a ticket (protocols.md section 2).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sealway_core::ticket::REDEEM;
use sealway_core::wire::Route;

use super::{ChannelShared, listener};
use crate::exposure::Access;
use crate::node::Shared;
use crate::ticket::REDEEM_WITHIN;

/// What a guest has to be admitted by to be one no longer.
pub(super) struct Guest {
    access: Access,
    resource: String,
    admitted: AtomicBool,
}

impl ChannelShared {
    /// The peer may redeem a ticket. If it is admitted to nothing by then, the channel ends.
    pub(super) fn receive_guest(
        self: &Arc<Self>,
        node: &Arc<Shared>,
        access: Access,
        resource: String,
    ) {
        let guest = Guest {
            access,
            resource,
            admitted: AtomicBool::new(false),
        };
        // A channel is received once.
        let _ = self.guest.set(guest);
        let channel = Arc::downgrade(self);
        let shared = Arc::downgrade(node);
        let mut fate = self.fate.subscribe();
        node.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(REDEEM_WITHIN) => {}
                // Also when it ends.
                _ = fate.wait_for(|fate| fate.closed.is_some()) => return,
            }
            if let (Some(channel), Some(node)) = (channel.upgrade(), shared.upgrade())
                && channel.is_guest()
            {
                channel.refuse_guest(&node);
            }
        });
    }

    fn refuse_guest(&self, node: &Arc<Shared>) {
        let peer = &self.origin.peer;
        listener::refuse(node, self, format!("{peer} may reach nothing here"));
    }

    /// Whether the peer is still admitted to nothing.
    fn is_guest(&self) -> bool {
        let Some(guest) = self.guest.get() else {
            return false;
        };
        // Who was admitted and is not any more finds each address closed, as everybody does.
        if !guest.admitted.load(Ordering::Relaxed) {
            let admitted = guest.access.admits(&self.origin.peer, &guest.resource);
            guest.admitted.store(admitted, Ordering::Relaxed);
        }
        !guest.admitted.load(Ordering::Relaxed)
    }

    /// Whether a message to `onward` may come in. A guest that asks for anything but a redemption is refused at once, so that
    /// whoever was pinned once and is not any more knows it.
    pub(super) fn admits(&self, node: &Arc<Shared>, onward: &Route) -> bool {
        let redeems = || {
            onward
                .first()
                .is_some_and(|first| first.is_local() && first.value() == REDEEM.as_bytes())
        };
        if !self.is_guest() || redeems() {
            return true;
        }
        self.refuse_guest(node);
        false
    }
}
