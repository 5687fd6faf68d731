//! Peers that answer no questions whether they live: they are not dead.

mod node_common;
#[path = "node_common/portals.rs"]
mod portals;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use node_common::{SOON, builder, identifier};
use portals::{Portal, lose_one, lost, read_to_end};
use sealway::channel::ListenerOptions;
use sealway::core::channel::Trust;
use sealway::core::wire::MultiAddr;
use sealway::portal::PortalProtocol;
use sealway::transport::memory::{Direction, Network};
use sealway::{Access, Count, Exposure, PathOptions, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// A portal to a node that offers nothing besides it: it answers no question whether it lives.
async fn portal_to_the_taciturn(network: Network) -> Portal {
    let server = builder(&network).start();
    let access = Access::trust(Trust::Everyone);
    let listener = ListenerOptions::new(access.clone());
    server
        .secure_channel_listener("api", listener)
        .expect("free");
    let listening = server.listen("tcp:10.0.0.1:1").await.expect("free");
    let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = target.local_addr().expect("bound").to_string();
    server
        .outlet(
            "out",
            &address,
            Exposure::local().to_channels(access, "out"),
        )
        .expect("free");
    let client = builder(&network).start();
    let to: MultiAddr = "/ip4/10.0.0.1/tcp/1/secure/api/service/out"
        .parse()
        .expect("a multiaddr");
    let options = PathOptions {
        // What is said of a path is said of this one.
        channels: 1,
        ..PathOptions::expect(Trust::Identifier(identifier(&server)))
    };
    let inlet = client
        .inlet("127.0.0.1:0", &to, options)
        .await
        .expect("an inlet");
    Portal {
        network,
        server,
        listening,
        client,
        inlet,
        target,
        protocol: PortalProtocol::Detected,
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_path_to_a_peer_that_answers_no_questions_stays() {
    let portal = portal_to_the_taciturn(Network::new(9)).await;
    let mut events = portal.client.events();
    let idle = Duration::from_secs(600);
    let lost = tokio::time::timeout(idle, lost(&mut events)).await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(portal.client.counters().get(Count::ChannelsOpened), 1);
    let (client, _) = portal.transfer(b"question", b"answer").await;
    assert!(client.clean && client.bytes == b"answer");
}

/// Only who wants something of the peer finds out that it knows nothing of the channel.
#[tokio::test(start_paused = true)]
async fn a_channel_that_such_a_peer_does_not_know_of_is_rebuilt_when_it_is_needed() {
    let network = Network::new(9);
    // Message 1, then message 3, which is lost.
    lose_one(
        &network,
        Direction::ToListener,
        &Arc::new(AtomicI64::new(1)),
    );
    let portal = portal_to_the_taciturn(network).await;
    let mut events = portal.client.events();
    let began = Instant::now();
    let mut socket = TcpStream::connect(portal.inlet.address())
        .await
        .expect("it listens");
    let lost = tokio::time::timeout(Duration::from_secs(600), lost(&mut events)).await;
    assert_eq!(lost.as_deref(), Ok("the peer fell silent"));
    assert!(began.elapsed() < 2 * SOON, "{:?}", began.elapsed());
    let _ = socket.read(&mut [0]).await;
    let (client, _) = portal.transfer(b"question", b"answer").await;
    assert!(client.clean && client.bytes == b"answer");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_more_is_given_up_once() {
    let portal = Portal::reference(9).await;
    let mut events = portal.client.events();
    portal.server.stop_worker(&"echo".into());
    assert_eq!(lost(&mut events).await, "the peer fell silent");
    assert_eq!(lost(&mut events).await, "the peer fell silent");
    let idle = Duration::from_secs(600);
    let lost = tokio::time::timeout(idle, lost(&mut events)).await;
    assert!(lost.is_err(), "{lost:?}");
    let (client, _) = portal.transfer(b"question", b"answer").await;
    assert!(client.clean && client.bytes == b"answer");
}

/// The peer of an outlet that only listens dies right after the first bytes: nothing but silence tells of it.
#[tokio::test(start_paused = true)]
async fn a_target_sees_a_reset_when_its_client_died_at_the_very_start() {
    let portal = Portal::reference(9).await;
    let peers = Exposure::local().to_channels(Access::trust(Trust::Everyone), "echo");
    portal
        .client
        .start_service(Service::Echo, peers)
        .expect("free");
    let mut client = TcpStream::connect(portal.inlet.address())
        .await
        .expect("it listens");
    client.write_all(b"the first").await.expect("written");
    let (mut served, _) = portal.target.accept().await.expect("a connection");
    served.read_exact(&mut [0; 9]).await.expect("it arrives");
    portal.network.partition();
    let cut = Instant::now();
    let seen = tokio::time::timeout(Duration::from_secs(600), read_to_end(&mut served)).await;
    let seen = seen.expect("the target never learns of it");
    assert!(!seen.clean, "a reset, not an end");
    assert!(
        cut.elapsed() < Duration::from_secs(30),
        "{:?}",
        cut.elapsed()
    );
}
