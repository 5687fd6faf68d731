//! Portals as two Sealway nodes speak them: many connections in one session inside one secure channel (docs/wire.md, "Native
//! portal"). The state machine is core's; here are the sockets, the clock and the tasks.
//!
//! ```text
//!  client's socket                                                       channel
//!    Stream --- readable ---> Session (core's, under a lock) <--- PortalHop: the thread that reads the connection
//!      ^  ^                      |        |                         |
//!      |  '--- data, FIN, RST ---'        '--- whose turn ---> sending task --- reads the socket, seals
//!      '-------------------------------------------------------------'
//! ```
//!
//! What comes is put into sockets by the thread that it came by, which never waits for one: the peer's credits bound what a
//! socket's queue holds. What goes is read by one task for the whole session, once there is room for it on the way.

mod hello;
mod sending;
mod session;
mod stream;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use sealway_core::streams::{ADDRESS, HELLO_ADDRESS, Reason, Role};
use sealway_core::wire::{Address, Route};
use tokio::net::TcpStream;

use super::outlet::{Outlet, Place};
use super::{Ended, tell_refused};
use crate::channel::ChannelShared;
use crate::counters::Count;
use crate::exposure::{Access, Exposure};
use crate::message::{Message, Origin};
use crate::node::{Shared, lock};
use crate::router::{Endpoint, Flushes, Hop, Router, Step, Target};
use crate::transport::socket::{Socket, SocketWriter};
pub(crate) use hello::greet;
pub(crate) use session::Session;
use stream::Stream;

/// The sessions of a node, and where its outlets are.
#[derive(Default)]
pub(crate) struct Portals {
    /// By channel: one each.
    sessions: Mutex<HashMap<Address, Arc<Session>>>,
    outlets: Mutex<Vec<Address>>,
}

impl Portals {
    /// The session inside a channel, if there is one.
    pub(crate) fn session(&self, channel: &Address) -> Option<Arc<Session>> {
        lock(&self.sessions).get(channel).cloned()
    }

    /// An outlet came into use.
    pub(super) fn add_outlet(&self, address: Address) {
        lock(&self.outlets).push(address);
    }

    fn end(&self, channel: &Address) {
        lock(&self.sessions).remove(channel);
    }

    /// The session of a channel, which begins now if there was none.
    fn begin(node: &Arc<Shared>, channel: &Arc<ChannelShared>, role: Role) -> Arc<Session> {
        let address = &channel.origin.channel;
        let mut sessions = lock(&node.portals.sessions);
        if let Some(session) = sessions.get(address) {
            return Arc::clone(session);
        }
        let session = Session::new(node, channel, role);
        sessions.insert(address.clone(), Arc::clone(&session));
        drop(sessions);
        // Who speaks this answers Pings.
        lock(&channel.liveness).answers();
        node.spawn(sending::run(Arc::clone(&session), Arc::clone(node)));
        session
    }
}

/// Takes the two addresses into use that sessions begin and go on at.
pub(crate) fn start(node: &Arc<Shared>) {
    let hops: [(&str, Arc<dyn Hop>); 2] = [
        (ADDRESS, Arc::new(PortalHop(Arc::downgrade(node)))),
        (
            HELLO_ADDRESS,
            Arc::new(hello::HelloHop(Arc::downgrade(node))),
        ),
    ];
    for (address, hop) in hops {
        // Channels only, and none that is confined. What can be reached behind it each outlet's exposure says.
        let channels = Access::by(|_, _| true);
        let endpoint = Endpoint {
            exposure: Exposure::local().to_channels(channels, address),
            target: Target::Hop(hop),
        };
        node.router.insert(address.into(), endpoint);
    }
}

/// Where the messages of all sessions arrive.
struct PortalHop(Weak<Shared>);

impl Hop for PortalHop {
    fn step(&self, _router: &Router, message: Message, flushes: &mut Flushes) -> Step {
        let (Some(node), Origin::Channel(channel, _)) = (self.0.upgrade(), &message.origin) else {
            return Step::Refused(Count::NotExposed);
        };
        // Without a Hello before it there is no order that it could be in.
        let Some(session) = node.portals.session(&channel.channel) else {
            return Step::Refused(Count::NotExposed);
        };
        session.on_message(&node, message, flushes);
        Step::Done
    }
}

/// The outlet at `address`, if what came from `origin` may reach it.
fn outlet(node: &Shared, address: &Address, origin: &Origin) -> Option<Arc<Outlet>> {
    let endpoint = node.router.get(address)?;
    if !endpoint.exposure.admits(origin) {
        return None;
    }
    match &endpoint.target {
        Target::Hop(hop) => hop.outlet(),
        Target::Mailbox(_) => None,
    }
}

/// Whether what came from `origin` may reach any outlet.
fn admits(node: &Shared, origin: &Origin) -> bool {
    // The policies are asked without the lock: one of them may take its time, or bring an outlet into use.
    let outlets = {
        let mut outlets = lock(&node.portals.outlets);
        outlets.retain(|address| node.router.get(address).is_some());
        outlets.clone()
    };
    outlets
        .iter()
        .any(|address| outlet(node, address, origin).is_some())
}

/// A place at the outlet that an Open names: none if there is no such outlet, the policy refuses, or it is full.
fn place(node: &Arc<Shared>, resource: &str, origin: &Origin) -> Result<Place, Reason> {
    let Some(outlet) = outlet(node, &Address::local(resource), origin) else {
        node.router.counters.one(Count::NotExposed);
        return Err(Reason::Refused);
    };
    outlet.place().ok_or_else(|| {
        node.router.counters.one(Count::StreamsRefused);
        Reason::TargetRefused
    })
}

/// The name of the resource behind a route that goes through a channel and no further than its other end.
pub(crate) fn resource(route: &Route) -> Option<&str> {
    let mut hops = route.iter().skip(1);
    let (outlet, None) = (hops.next()?, hops.next()) else {
        return None;
    };
    let name = std::str::from_utf8(outlet.value()).ok()?;
    let fits = (1..=sealway_core::streams::MAX_RESOURCE).contains(&name.len());
    (outlet.is_local() && fits).then_some(name)
}

/// A connection of an inlet that is about to be opened.
pub(super) struct Opening(Arc<Stream>);

/// Begins a connection of an inlet to the outlet's `resource`.
pub(super) fn open(
    session: &Arc<Session>,
    resource: &str,
    socket: TcpStream,
) -> Result<Opening, Ended> {
    let writer = SocketWriter::new(Socket::Tcp(socket), None);
    match session.open(resource, writer) {
        Ok(stream) => Ok(Opening(stream)),
        Err(error) => Err(Ended::Reset(error.to_string())),
    }
}

impl Opening {
    /// Carries the connection to its end. `inlet` names the inlet for people.
    pub(super) async fn carry(&self, node: &Arc<Shared>, inlet: &str) -> Ended {
        let Self(stream) = self;
        match stream.opened().await {
            Ok(()) => {
                node.router.counters.one(Count::StreamsOpened);
                stream.carry().await
            }
            Err(why) => {
                if why.is_refusal() {
                    tell_refused(node, format!("inlet at {inlet}: {why}"));
                }
                Ended::Reset(why.to_string())
            }
        }
    }
}
