//! A transport of one's own: anything that can carry a message can carry a secure channel.
//!
//! This one carries messages between the nodes of one process through queues, under addresses such as `post:bob`. The node
//! hands it an encoded message with the [`Room`] that was reserved for it; the room is given back when the message has
//! left, and that is all there is to back-pressure.
//!
//! Prints Bob's answer.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealway::core::wire::{AddressType, Frame};
use sealway::prelude::*;
use sealway::transport::{BoxFuture, Egress, Ingress, Link, Listening, Transport, TransportError};
use sealway::{Reservoir, Room};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// A message on its way. The queue is bounded by the room.
type Parcel = (Frame, Room);

/// The sending half of a connection.
struct Out {
    queue: Mutex<Option<UnboundedSender<Parcel>>>,
    room: Reservoir,
    sent: AtomicU64,
}

impl Egress for Out {
    fn reservoir(&self) -> &Reservoir {
        &self.room
    }

    fn enqueue(&self, message: Frame, room: Room) {
        let len = message.len() as u64;
        let queue = self.queue.lock().expect("no thread panics with it");
        // An error means that the other end is gone, which its side of the connection tells.
        if queue
            .as_ref()
            .is_some_and(|queue| queue.send((message, room)).is_ok())
        {
            self.sent.fetch_add(len, Ordering::Relaxed);
        }
    }

    fn flush(&self) {} // Nothing waits: `enqueue` has sent it.

    fn progress(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.queue.lock().expect("no thread panics with it").take();
    }
}

/// Attaches one end of a connection to its node.
fn attach(
    node: &Node,
    peer: &str,
    outgoing: UnboundedSender<Parcel>,
    incoming: UnboundedReceiver<Parcel>,
) -> Link {
    let egress = Out {
        queue: Mutex::new(Some(outgoing)),
        room: Reservoir::new(1 << 20),
        sent: AtomicU64::new(0),
    };
    let (link, ingress) = node.attach("post", peer.to_owned(), Arc::new(egress));
    tokio::spawn(deliver(ingress, incoming));
    link
}

/// Hands in what arrives. Dropping the [`Ingress`] at the end closes the connection.
async fn deliver(mut ingress: Ingress, mut incoming: UnboundedReceiver<Parcel>) {
    while let Some((message, _room)) = incoming.recv().await {
        if ingress.receive(message).await.is_err() {
            return;
        }
        ingress.flush();
    }
}

/// Who calls, and the two queues of the connection.
type Call = (UnboundedSender<Parcel>, UnboundedReceiver<Parcel>);

/// The transport: who listens under which name. All nodes share one.
#[derive(Clone, Default)]
struct Post(Arc<Mutex<HashMap<String, UnboundedSender<Call>>>>);

impl Transport for Post {
    fn name(&self) -> &'static str {
        "post"
    }

    fn address_type(&self) -> AddressType {
        AddressType(200)
    }

    fn connect<'a>(
        &'a self,
        node: &'a Node,
        peer: &'a str,
    ) -> BoxFuture<'a, Result<Link, TransportError>> {
        Box::pin(async move {
            let (to_peer, at_peer) = unbounded_channel();
            let (to_us, at_us) = unbounded_channel();
            let listeners = self.0.lock().expect("no thread panics with it");
            match listeners
                .get(peer)
                .map(|calls| calls.send((to_us, at_peer)))
            {
                Some(Ok(())) => Ok(attach(node, peer, to_peer, at_us)),
                _ => Err(TransportError::Unreachable {
                    peer: peer.to_owned(),
                    source: io::ErrorKind::ConnectionRefused.into(),
                }),
            }
        })
    }

    fn listen<'a>(
        &'a self,
        node: &'a Node,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Listening, TransportError>> {
        Box::pin(async move {
            let (calls, mut called) = unbounded_channel();
            let mut listeners = self.0.lock().expect("no thread panics with it");
            listeners.insert(address.to_owned(), calls);
            let listening = Listening::new("post", address.to_owned());
            let (node, open) = (node.clone(), listening.clone());
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        Some((outgoing, incoming)) = called.recv() => {
                            attach(&node, "a caller", outgoing, incoming);
                        }
                        () = open.stopped() => return,
                    }
                }
            });
            Ok(listening)
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let post = Post::default();
    let node = || {
        let transport = Arc::new(post.clone());
        Node::builder()
            .ephemeral_identity()
            .transport(transport)
            .start()
    };
    let (alice, bob) = (node(), node());
    let bob_is = bob.identifier().ok_or("bob has no identity")?;
    let access = Access::trust(Trust::Everyone);
    let exposure = Exposure::local().to_channels(access.clone(), "uppercase");
    bob.start_service(Service::Uppercase, exposure)?;
    bob.secure_channel_listener("sealway_xx1", ListenerOptions::new(access))?;
    bob.listen("post:bob").await?;

    let link = alice.connect("post:bob").await?;
    let expect = ChannelOptions::expect(Trust::Identifier(bob_is));
    let channel = alice.secure_channel(link.to("sealway_xx1"), expect).await?;
    let question = "sent by my own post".to_owned();
    let answer: String = alice
        .request(channel.to("uppercase"), question, Duration::from_secs(5))
        .await?;
    println!("{answer}");

    alice.shutdown(Duration::from_secs(5)).await;
    bob.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
