//! Portals over a simulated network, whose clients and targets are real sockets.

#![allow(dead_code, reason = "each test file uses a part")]

use std::io::ErrorKind;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use sealway::core::channel::Trust;
use sealway::core::wire::MultiAddr;
use sealway::portal::{Inlet, PortalProtocol};
use sealway::transport::Listening;
use sealway::transport::memory::{Direction, LinkProfile, Network, Verdict};
use sealway::{Access, Event, Exposure, Node, NodeBuilder, Path, PathOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::node_common::{builder, identifier, ms, offer};

/// What a portal may speak.
pub(crate) const BOTH: [PortalProtocol; 2] = [PortalProtocol::Detected, PortalProtocol::Reference];

/// A portal over the simulated network: its clients and its target are real sockets.
pub(crate) struct Portal {
    pub(crate) network: Network,
    pub(crate) server: Node,
    pub(crate) listening: Listening,
    pub(crate) client: Node,
    pub(crate) inlet: Inlet,
    pub(crate) target: TcpListener,
    pub(crate) protocol: PortalProtocol,
}

impl Portal {
    /// A portal of the protocol that the two nodes find out that they both speak: Sealway's.
    pub(crate) async fn new(seed: u64) -> Self {
        Self::speaking(PortalProtocol::Detected, seed).await
    }

    pub(crate) async fn over(network: Network) -> Self {
        let server = builder(&network);
        Self::to(server, network).await
    }

    /// A portal of the reference's protocol.
    pub(crate) async fn reference(seed: u64) -> Self {
        Self::speaking(PortalProtocol::Reference, seed).await
    }

    pub(crate) async fn speaking(portal: PortalProtocol, seed: u64) -> Self {
        let network = Network::new(seed);
        network.set_link(LinkProfile {
            delay: ms(5),
            ..LinkProfile::default()
        });
        let server = builder(&network);
        let portal = Self::between(server, network, portal).await;
        let path = portal.inlet.path().expect("it stands");
        assert_eq!(
            path.is_native(),
            portal.protocol != PortalProtocol::Reference
        );
        portal
    }

    /// A portal to the node of this builder.
    pub(crate) async fn to(server: NodeBuilder, network: Network) -> Self {
        Self::between(server, network, PortalProtocol::Detected).await
    }

    async fn between(server: NodeBuilder, network: Network, protocol: PortalProtocol) -> Self {
        let server = server.start();
        offer(&server, Trust::Everyone);
        let listening = server.listen("tcp:10.0.0.1:1").await.expect("free");
        let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = target.local_addr().expect("bound").to_string();
        let everyone = Access::trust(Trust::Everyone);
        server
            .outlet(
                "out",
                &address,
                Exposure::local().to_channels(everyone, "out"),
            )
            .expect("free");
        let client = builder(&network).start();
        let to: MultiAddr = "/ip4/10.0.0.1/tcp/1/secure/api/service/out"
            .parse()
            .expect("a multiaddr");
        let expect = Trust::Identifier(identifier(&server));
        let options = PathOptions {
            portal: protocol,
            // What is said of a path is said of this one.
            channels: 1,
            ..PathOptions::expect(expect)
        };
        let inlet = client
            .inlet("127.0.0.1:0", &to, options)
            .await
            .expect("an inlet");
        Self {
            network,
            server,
            listening,
            client,
            inlet,
            target,
            protocol,
        }
    }

    /// One connection: `up` goes to the target, then `down` comes back. Says what each end saw.
    pub(crate) async fn transfer(&self, up: &[u8], down: &[u8]) -> (Seen, Seen) {
        let done = Mutex::new(None);
        let served = async {
            let (mut socket, _) = self.target.accept().await.expect("it listens");
            let seen = read_to_end(&mut socket).await;
            if seen.clean && socket.write_all(down).await.is_ok() {
                let _ = socket.shutdown().await;
            }
            *done.lock().expect("no panic") = Some(seen);
            // Kept open until the client has seen how it ends.
            std::future::pending::<()>().await;
        };
        let asked = async {
            let mut socket = TcpStream::connect(self.inlet.address())
                .await
                .expect("it listens");
            let sent = socket.write_all(up).await.is_ok() && socket.shutdown().await.is_ok();
            let mut seen = read_to_end(&mut socket).await;
            seen.clean &= sent;
            seen
        };
        let asked = tokio::time::timeout(Duration::from_secs(300), asked);
        let seen = tokio::select! {
            seen = asked => seen.expect("neither end nor reset in five minutes"),
            () = served => unreachable!("it is kept open"),
        };
        let at_target = done.lock().expect("no panic").take();
        (seen, at_target.unwrap_or_default())
    }
}

/// What a socket's owner saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) bytes: Vec<u8>,
    /// An orderly end.
    pub(crate) clean: bool,
}

impl Seen {
    /// Every byte is right, and an orderly end came only after the last.
    pub(crate) fn is_true_to(&self, whole: &[u8]) -> bool {
        whole.starts_with(&self.bytes) && (!self.clean || self.bytes.len() == whole.len())
    }
}

pub(crate) async fn read_to_end(socket: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        match socket.read(&mut chunk).await {
            Ok(0) => return Seen { bytes, clean: true },
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return Seen {
                    bytes,
                    clean: false,
                };
            }
        }
    }
}

/// Loses the message number `countdown`, from 0, in one direction; how long it was, once it is lost.
pub(crate) fn lose_one(
    network: &Network,
    direction: Direction,
    countdown: &Arc<AtomicI64>,
) -> Arc<OnceLock<usize>> {
    let countdown = Arc::clone(countdown);
    let was = Arc::new(OnceLock::new());
    let lost = Arc::clone(&was);
    network.set_tap(move |towards, message| {
        if towards == direction && countdown.fetch_sub(1, Ordering::SeqCst) == 0 {
            // There is one.
            let _ = lost.set(message.len());
            Verdict::Lose
        } else {
            Verdict::Pass
        }
    });
    was
}

pub(crate) async fn standing(inlet: &Inlet) -> Arc<Path> {
    loop {
        if let Some(path) = inlet.path() {
            return path;
        }
        tokio::time::sleep(ms(10)).await;
    }
}

pub(crate) async fn lost(events: &mut tokio::sync::broadcast::Receiver<Event>) -> String {
    loop {
        if let Event::Lost { why, .. } = events.recv().await.expect("events go on") {
            return why;
        }
    }
}
