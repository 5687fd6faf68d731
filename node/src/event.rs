//! What a node tells its application.

use sealway_core::channel::Suite;
use sealway_core::identity::Identifier;

/// Something that happened in a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A transport listens.
    Listening {
        /// The transport's name.
        transport: &'static str,
        /// The bound address.
        address: String,
    },
    /// An inlet accepts connections, and its path to the outlet stands.
    Ready {
        /// The inlet's bound address.
        address: String,
        /// The suite of the path's last channel, if it has one.
        suite: Option<Suite>,
        /// Whether its connections go by Sealway's portal, and not the reference's; a path that is rebuilt keeps to it.
        is_native: bool,
    },
    /// A relay accepted our registration: we are reachable under this address there.
    Registered {
        /// The relay, for people.
        relay: String,
        /// The address in the relay's node.
        address: String,
        /// The suite of the channel with the relay.
        suite: Suite,
    },
    /// A peer completed a secure channel and may reach something here.
    Peer {
        /// The authenticated peer.
        identifier: Identifier,
        /// The channel's suite.
        suite: Suite,
    },
    /// A peer has redeemed a ticket and is pinned for what it offers.
    Redeemed {
        /// The authenticated peer.
        identifier: Identifier,
        /// The resource.
        resource: String,
    },
    /// A path is gone and is being rebuilt.
    Lost {
        /// What was lost, for people.
        what: String,
        /// Why.
        why: String,
    },
    /// A path that was lost stands again.
    Restored {
        /// What it is, for people: as in [`Event::Lost`].
        what: String,
    },
    /// Something was refused. Of each reason ten are told at once, then one a second, which says how many it stands for.
    Refused {
        /// Why, with the names that a local operator needs.
        why: String,
    },
}
