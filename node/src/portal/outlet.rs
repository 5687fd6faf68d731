//! Outlets: the end of a portal that connects to the service.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use sealway_core::portal::{DISCONNECT, Options, Outlet, PONG};
use sealway_core::wire::{Address, Frame, Route};

use super::count_end;
use super::stream::{Driver, Ended};
use crate::channel::{ChannelShared, watch};
use crate::counters::Count;
use crate::exposure::Exposure;
use crate::message::{Message, Origin};
use crate::node::{AddressInUse, Node, Shared, lock, route_to};
use crate::router::{Endpoint, Flushes, Hop, Router, Step, Target};
use crate::telling::Line;
use crate::transport::socket::Socket;
use crate::transport::tcp;

/// The target must accept within this time: less than an inlet waits for the answer.
const CONNECT_DEADLINE: Duration = Duration::from_secs(8);
/// Connections that one outlet has open at a time.
const MAX_STREAMS: usize = 8_192;

struct OutletHop {
    name: String,
    target: String,
    options: Options,
    node: Weak<Shared>,
    streams: Arc<AtomicUsize>,
}

/// Counts a connection as long as it lives.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Node {
    /// Offers the TCP service at `target` (`HOST:PORT`) through portals to `name`, for whom `exposure` says.
    ///
    /// # Errors
    /// [`AddressInUse`].
    pub fn outlet(&self, name: &str, target: &str, exposure: Exposure) -> Result<(), AddressInUse> {
        let hop = OutletHop {
            name: name.to_owned(),
            target: target.to_owned(),
            options: Options::default(),
            node: Arc::downgrade(self.shared()),
            streams: Arc::default(),
        };
        let endpoint = Endpoint {
            exposure,
            target: Target::Hop(Arc::new(hop)),
        };
        if !self.shared().router.insert(name.into(), endpoint) {
            return Err(AddressInUse(Address::local(name).to_string()));
        }
        Ok(())
    }
}

impl Hop for OutletHop {
    fn step(&self, _router: &Router, message: Message, _flushes: &mut Flushes) -> Step {
        let Some(node) = self.node.upgrade() else {
            return Step::Refused(Count::UnknownAddress);
        };
        // Hops behind the outlet's own address are ignored: the reference doubles it (reference, section 7.2).
        let Some(opening) = Outlet::accept(message.payload.as_slice(), self.options) else {
            return Step::Refused(Count::UndecodablePayload);
        };
        let place = Place(Arc::clone(&self.streams));
        if self.streams.fetch_add(1, Ordering::AcqRel) >= MAX_STREAMS {
            return Step::Refused(Count::StreamsRefused);
        }
        let channel = match &message.origin {
            Origin::Channel(origin, _) => {
                let channel = lock(&node.channels).get(&origin.channel).cloned();
                // Byte streams need the order. The peer sends nothing of this one before it has our Pong, so whatever has
                // overtaken the Ping, or comes behind it though sent before, is none of it.
                if let Some(channel) = &channel {
                    channel.deliver_in_order();
                    watch::probe(&node, channel);
                }
                channel
            }
            Origin::Local | Origin::Transport(_) => None,
        };
        let source = message.origin.source().cloned();
        let connection = Connection {
            opening,
            name: self.name.clone(),
            target: self.target.clone(),
            peer_route: message.return_route,
            channel,
            source: source.unwrap_or_else(|| Address::local("")),
        };
        let shared = Arc::clone(&node);
        node.spawn(async move {
            let _place = place;
            connection.serve(&shared).await;
        });
        Step::Done
    }
}

struct Connection {
    opening: Outlet,
    name: String,
    target: String,
    peer_route: Route,
    channel: Option<Arc<ChannelShared>>,
    source: Address,
}

impl Connection {
    async fn serve(self, node: &Arc<Shared>) {
        let connected = tokio::time::timeout(CONNECT_DEADLINE, tcp::connect(&self.target)).await;
        let why = match connected {
            Ok(Ok(socket)) => {
                super::reset_unless_finished(&socket);
                let driver = Driver::new(
                    node,
                    Socket::Tcp(socket),
                    &self.source,
                    self.peer_route,
                    self.channel,
                );
                driver.open(self.opening.target_connected());
                if !driver.send(Frame::from_slice(PONG)).await {
                    return;
                }
                node.router.counters.one(Count::StreamsOpened);
                let ended: Ended = driver.run().await;
                count_end(node, ended);
                return;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("{} did not accept within {CONNECT_DEADLINE:?}", self.target),
        };
        // The reference would say nothing here; a Disconnect is what its inlets end at, and ours at once.
        node.router.counters.one(Count::StreamsRefused);
        let line = format!("outlet {}: {why}", Address::local(&self.name));
        node.tell(Count::StreamsRefused, Line::Refused(line));
        let refusal = Message::new(
            self.peer_route,
            route_to(&self.source),
            Frame::from_slice(DISCONNECT),
        );
        if node.send(refusal).await.is_err() {
            tracing::debug!("the inlet is gone");
        }
    }
}
