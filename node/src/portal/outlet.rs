//! Outlets: the end of a portal that connects to the service.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sealway_core::wire::Address;
use tokio::net::TcpStream;

use super::{reference, tell_refused};
use crate::counters::Count;
use crate::exposure::Exposure;
use crate::message::Message;
use crate::node::{AddressInUse, Node, Shared};
use crate::router::{Endpoint, Flushes, Hop, Router, Step, Target};
use crate::transport::{TransportError, tcp};

/// The target must accept within this time: less than an inlet waits for the answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(8);
/// Connections that one outlet has open at a time.
const MAX_STREAMS: usize = 8_192;

/// A service that portals lead to.
pub(crate) struct Outlet {
    name: String,
    target: String,
    streams: AtomicUsize,
}

impl Outlet {
    /// A place for one more connection, if there is one.
    pub(super) fn place(self: &Arc<Self>) -> Option<Place> {
        let place = Place(Arc::clone(self));
        (self.streams.fetch_add(1, Ordering::AcqRel) < MAX_STREAMS).then_some(place)
    }
}

/// Counts a connection as long as it lives.
pub(super) struct Place(Arc<Outlet>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What became of a connection to a target.
pub(super) enum Connected {
    Open(TcpStream),
    Refused,
    Unreachable,
}

impl Place {
    /// Connects to the target; a failure is counted and told.
    pub(super) async fn connect(&self, node: &Arc<Shared>) -> Connected {
        let Outlet { name, target, .. } = &*self.0;
        let connecting = tokio::time::timeout(CONNECT_DEADLINE, tcp::connect(target));
        let (outcome, why) = match connecting.await {
            Ok(Ok(socket)) => {
                super::reset_unless_finished(&socket);
                return Connected::Open(socket);
            }
            Ok(Err(error)) if is_refusal(&error) => (Connected::Refused, error.to_string()),
            Ok(Err(error)) => (Connected::Unreachable, error.to_string()),
            Err(_) => {
                let why = format!("{target} did not accept within {CONNECT_DEADLINE:?}");
                (Connected::Unreachable, why)
            }
        };
        tell_refused(node, format!("outlet {}: {why}", Address::local(name)));
        outcome
    }
}

fn is_refusal(error: &TransportError) -> bool {
    matches!(error, TransportError::Unreachable { source, .. } if source.kind() == ErrorKind::ConnectionRefused)
}

impl Node {
    /// Offers the TCP service at `target` (`HOST:PORT`) through portals to `name`, for whom `exposure` says.
    ///
    /// # Errors
    /// [`AddressInUse`].
    pub fn outlet(&self, name: &str, target: &str, exposure: Exposure) -> Result<(), AddressInUse> {
        let outlet = Arc::new(Outlet {
            name: name.to_owned(),
            target: target.to_owned(),
            streams: AtomicUsize::new(0),
        });
        let hop = OutletHop {
            outlet,
            node: Arc::downgrade(self.shared()),
        };
        let endpoint = Endpoint {
            exposure,
            target: Target::Hop(Arc::new(hop)),
        };
        if !self.shared().router.insert(name.into(), endpoint) {
            return Err(AddressInUse(Address::local(name).to_string()));
        }
        self.shared().portals.add_outlet(name.into());
        Ok(())
    }
}

/// Where inlets of the reference's protocol ask for connections.
struct OutletHop {
    outlet: Arc<Outlet>,
    node: Weak<Shared>,
}

impl Hop for OutletHop {
    fn step(&self, _router: &Router, message: Message, _flushes: &mut Flushes) -> Step {
        let Some(node) = self.node.upgrade() else {
            return Step::Refused(Count::UnknownAddress);
        };
        let Some(place) = self.outlet.place() else {
            return Step::Refused(Count::StreamsRefused);
        };
        let Some(asked) = reference::Asked::read(&node, message) else {
            return Step::Refused(Count::UndecodablePayload);
        };
        let shared = Arc::clone(&node);
        node.spawn(async move { asked.serve(&shared, place).await });
        Step::Done
    }

    fn outlet(&self) -> Option<Arc<Outlet>> {
        Some(Arc::clone(&self.outlet))
    }
}
