//! Who this end is, whom it trusts, and whom it means to reach.

use sealway::channel::ListenerOptions;
use sealway::home::Home;
use sealway::keys::{Parties, PartyLoadError, load_parties};
use sealway::pins::Pins;
use sealway::store::{Direction, Name, Pin, PinOrigin, Resource};
use sealway::{Access, Node};
use sealway_core::channel::{Suite, Trust};
use sealway_core::crypto::KeyType;
use sealway_core::identity::Identifier;

use crate::args::Speaks;
use crate::args::route::Route;
use crate::args::values::{Expect, Trusted};
use crate::error::{CliError, Result};

impl From<PartyLoadError> for CliError {
    fn from(error: PartyLoadError) -> Self {
        CliError::failed(&error).hint(error.hint())
    }
}

/// Loads the identity of this name, or the default one; makes a default one if there is none at all. Only for the start: a
/// process under way never takes up an identity that nobody made.
///
/// # Errors
/// It is not there, or cannot be used.
async fn load_or_create(home: &Home, name: Option<&Name>) -> Result<Parties> {
    if name.is_none() {
        let default = super::name_of("default")?;
        home.identities()
            .default_or_create(&default, KeyType::Ed25519, home.clock().now())
            .await?;
    }
    Ok(load_parties(home, name, &[]).await?)
}

/// Starts a node under an identity of the home, which believes no older history than the home knows, and meets
/// no peer in a weaker suite than before.
///
/// # Errors
/// The identity is not there, or cannot be used.
pub(super) async fn start_node(home: &Home, name: Option<&Name>) -> Result<Node> {
    let parties = load_or_create(home, name).await?;
    Ok(Node::builder().identity(parties).home(home).start())
}

/// Opens a listener for channels of this suite, or of each, by the name that callers know it by.
///
/// # Errors
/// An address is in use.
pub(super) fn listen(node: &Node, access: &Access, speaks: &Speaks) -> Result<()> {
    let wanted = |suite: &Suite| speaks.suite.is_none_or(|only| only == *suite);
    for suite in Suite::ALL.into_iter().filter(wanted) {
        node.secure_channel_listener(suite.listener(), ListenerOptions::new(access.clone()))?;
    }
    Ok(())
}

/// Who may reach what.
pub(super) struct Admission {
    /// At the channel listener: whether a peer may reach anything.
    pub(super) listener: Access,
    /// At a service or an outlet.
    pub(super) service: Access,
}

/// Those of `--trust`, for this run, and whoever is pinned at the time.
pub(super) fn admission(trusted: &[Trusted], pins: &Pins) -> Admission {
    let trust = if trusted.contains(&Trusted::Everyone) {
        Trust::Everyone
    } else {
        let identifiers = trusted.iter().filter_map(|trusted| match trusted {
            Trusted::Identifier(identifier) => Some(*identifier),
            Trusted::Everyone => None,
        });
        Trust::AnyOf(identifiers.collect())
    };
    let at_listener = (trust.clone(), pins.clone());
    let at_service = (trust, pins.clone());
    Admission {
        listener: Access::by(move |peer, _| {
            let (trust, pins) = &at_listener;
            trust.admits(peer) || pins.knows(peer)
        }),
        service: Access::by(move |peer, resource| {
            let (trust, pins) = &at_service;
            trust.admits(peer) || pins.admits(peer, resource)
        }),
    }
}

/// What `--expect` says; without it those that the operator has pinned for what the route ends at. A ticket's resource may be called like
/// a service of somebody else: its exposer is not whom that route leads to.
///
/// # Errors
/// The store's faults.
pub(super) fn expected(expect: Option<&Expect>, to: &Route, home: &Home) -> Result<Trust> {
    Ok(match expect {
        Some(Expect::Anyone) => Trust::Everyone,
        Some(Expect::Identifier(identifier)) => Trust::Identifier(*identifier),
        None => {
            let target = to.target();
            Trust::AnyOf(pinned(home, |pin| {
                let resource = &pin.resource;
                pin.origin == PinOrigin::Operator
                    && (*resource == Resource::Any || target == Some(resource.as_str()))
            })?)
        }
    })
}

/// Whom we may reach something of, that `wanted` picks.
///
/// # Errors
/// The store's faults.
pub(super) fn pinned(home: &Home, wanted: impl Fn(&Pin) -> bool) -> Result<Vec<Identifier>> {
    let outbound = |pin: &Pin| pin.direction == Direction::Outbound && wanted(pin);
    let peers = home.peers().list()?.into_iter();
    Ok(peers
        .filter(|peer| peer.pins.iter().any(outbound))
        .map(|peer| peer.identifier)
        .collect())
}
