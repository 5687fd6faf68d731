//! Portals as the reference speaks them (reference, section 7.2): each connection between two addresses of its own.

mod stream;

use std::sync::Arc;
use std::time::Duration;

use sealway_core::portal::{
    DISCONNECT, Inlet as Opening, Options, Outlet as Answering, PING, PONG, Reason,
};
use sealway_core::wire::{Address, Frame, Route};
use tokio::net::TcpStream;

use super::outlet::{Connected, Place};
use super::{Ended, tell_refused};
use crate::channel::{ChannelShared, watch};
use crate::counters::Count;
use crate::message::{Message, Origin};
use crate::node::{Shared, lock, route_to};
use crate::path::Path;
use crate::transport::socket::Socket;
use stream::Driver;

/// Carries one connection of an inlet from its acceptance to its end. `inlet` names the inlet for people.
pub(super) async fn carry(
    node: &Arc<Shared>,
    inlet: &str,
    path: Arc<Path>,
    socket: TcpStream,
) -> Ended {
    let route = path.route().clone();
    let Some(source) = route.first().cloned() else {
        return Ended::Reset(Reason::PathLost.to_string());
    };
    let channel = path.channel().map(|channel| Arc::clone(&channel.shared));
    drop(path);
    let driver = Driver::new(node, Socket::Tcp(socket), &source, route, channel.clone());
    match open(node, &driver).await {
        Ok(()) => {
            node.router.counters.one(Count::StreamsOpened);
            driver.run().await
        }
        Err(reason) => {
            driver.refuse();
            if reason == Reason::NoAnswer
                && let Some(channel) = channel
            {
                channel.unanswered(node);
            }
            if matches!(reason, Reason::TargetRefused | Reason::NoAnswer) {
                tell_refused(node, format!("inlet at {inlet}: {reason}"));
            }
            Ended::Reset(reason.to_string())
        }
    }
}

/// Asks the outlet for a connection and waits for the answer.
async fn open(node: &Shared, driver: &Driver) -> Result<(), Reason> {
    let opening = Opening::new(node.tick(), Options::default());
    let wait = Duration::from_millis(opening.deadline().0.saturating_sub(node.tick().0));
    let answer = driver.answer(opening);
    let asked = driver.send(Frame::from_slice(PING));
    match tokio::time::timeout(wait, asked).await {
        Ok(true) => {}
        Ok(false) => return Err(Reason::PathLost),
        Err(_) => return Err(Reason::NoAnswer),
    }
    let mut fates = driver.fates();
    tokio::select! {
        answer = tokio::time::timeout(wait, answer) => match answer {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Reason::Shutdown),
            Err(_) => Err(Reason::NoAnswer),
        },
        reason = fates.bad() => Err(reason),
    }
}

/// A connection that an outlet was asked for.
pub(super) struct Asked {
    answering: Answering,
    peer_route: Route,
    channel: Option<Arc<ChannelShared>>,
    source: Address,
}

impl Asked {
    /// Reads what came to an outlet's address; none if it is no Ping. The order of a channel under it begins here.
    pub(super) fn read(node: &Shared, message: Message) -> Option<Self> {
        // Hops behind the outlet's own address are ignored: the reference doubles it (reference, section 7.2).
        let answering = Answering::accept(message.payload.as_slice(), Options::default())?;
        let channel = match &message.origin {
            Origin::Channel(origin, _) => {
                let channel = lock(&node.channels).get(&origin.channel).cloned();
                // Byte streams need the order. The peer sends nothing of this one before it has our Pong, so whatever has
                // overtaken the Ping, or comes behind it though sent before, is none of it.
                if let Some(channel) = &channel {
                    channel.deliver_in_order();
                    watch::probe(node, channel);
                }
                channel
            }
            Origin::Local | Origin::Transport(_) => None,
        };
        let source = message.origin.source().cloned();
        Some(Self {
            answering,
            peer_route: message.return_route,
            channel,
            source: source.unwrap_or_else(|| Address::local("")),
        })
    }

    /// Carries the connection to its end.
    pub(super) async fn serve(self, node: &Arc<Shared>, place: Place) {
        let socket = match place.connect(node).await {
            Connected::Open(socket) => socket,
            Connected::Refused | Connected::Unreachable => return self.refuse(node).await,
        };
        let driver = Driver::new(
            node,
            Socket::Tcp(socket),
            &self.source,
            self.peer_route,
            self.channel,
        );
        driver.open(self.answering.target_connected());
        if !driver.send(Frame::from_slice(PONG)).await {
            return;
        }
        node.router.counters.one(Count::StreamsOpened);
        driver.run().await.count(node);
    }

    /// The reference would say nothing here; a Disconnect is what its inlets end at, and ours at once.
    async fn refuse(self, node: &Arc<Shared>) {
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
