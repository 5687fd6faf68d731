//! Ends with homes, for the tests of tickets.
#![allow(dead_code, reason = "no test uses all of it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sealway::channel::ListenerOptions;
use sealway::core::channel::Trust;
use sealway::core::crypto::KeyType;
use sealway::home::Home;
use sealway::keys::load_parties;
use sealway::pins::Pins;
use sealway::relay::RelayOptions;
use sealway::ticket::{ConnectOptions, Connection, ExposeOptions, Exposed, Ticket, Way};
use sealway::transport::Listening;
use sealway::{Access, Exposure, Node, Service};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::node_common::SOON;

/// A node with a home.
pub(crate) struct End {
    pub(crate) node: Node,
    pub(crate) pins: Pins,
    pub(crate) directory: Arc<TempDir>,
}

impl End {
    pub(crate) async fn new() -> Self {
        Self::at(Arc::new(tempfile::tempdir().expect("a directory"))).await
    }

    /// The node of the home in this directory.
    pub(crate) async fn at(directory: Arc<TempDir>) -> Self {
        let home = Home::open(directory.path().join("home")).expect("a home");
        let name = "default".parse().expect("a name");
        let now = home.clock().now();
        home.identities()
            .default_or_create(&name, KeyType::Ed25519, now)
            .await
            .expect("an identity");
        let parties = load_parties(&home, None, &[]).await.expect("keys");
        Self {
            node: Node::builder().identity(parties).start(),
            pins: Pins::open(&home).expect("pins"),
            directory,
        }
    }

    /// The node ends, and another one begins with its home.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            node,
            pins,
            directory,
        } = self;
        drop(pins);
        node.shutdown(SOON).await;
        Self::at(directory).await
    }

    pub(crate) async fn expose(&self, resource: &str, target: &str, way: Way) -> Exposed {
        let options = ExposeOptions {
            resource: resource.to_owned(),
            target: target.to_owned(),
            way,
        };
        self.node
            .expose(&self.pins, options)
            .await
            .expect("exposed")
    }

    pub(crate) async fn connect(&self, ticket: &Ticket) -> Connection {
        self.node
            .connect_ticket(&self.pins, ticket, ConnectOptions::default())
            .await
            .expect("connected")
    }
}

pub(crate) fn here() -> Way {
    Way::Direct(Some("127.0.0.1:0".to_owned()))
}

/// A service that answers each line with itself, and counts its connections.
pub(crate) struct Echo {
    pub(crate) address: String,
    connections: Arc<AtomicUsize>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let (mut read, mut write) = socket.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        Self {
            address,
            connections,
        }
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

/// A connection through the portal that has been heard of at the other end.
pub(crate) async fn open(connection: &Connection) -> std::io::Result<TcpStream> {
    let mut socket = TcpStream::connect(connection.inlet().address()).await?;
    say(&mut socket).await?;
    Ok(socket)
}

/// Says something, and hears it back.
pub(crate) async fn say(socket: &mut TcpStream) -> std::io::Result<()> {
    socket.write_all(b"are you there").await?;
    let mut answer = [0; 13];
    socket.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"are you there");
    Ok(())
}

pub(crate) async fn relay(at: &str) -> (Node, Listening) {
    let relay = Node::builder().ephemeral_identity().start();
    relay.relay_service(RelayOptions::default()).expect("free");
    let access = Access::trust(Trust::Everyone);
    relay
        .secure_channel_listener("sealway_xx1", ListenerOptions::new(access.clone()))
        .expect("free");
    let exposure = Exposure::local().to_channels(access, "echo");
    relay.start_service(Service::Echo, exposure).expect("free");
    let listening = relay.listen(at).await.expect("a free port");
    (relay, listening)
}
