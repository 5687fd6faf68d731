//! What comes back after a loss, and what must not: connections, peers and relays that break, restart or are exchanged.

mod node_common;
#[path = "node_common/portals.rs"]
mod portals;

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use node_common::SOON;
use portals::{Portal, lose_one, lost, read_to_end, standing};
use sealway::transport::memory::Direction;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_path_is_rebuilt_after_a_partition() {
    let portal = Portal::new(7).await;
    let (client, target) = portal.transfer(b"before", b"answer").await;
    assert!(client.clean && target.clean);
    let mut events = portal.client.events();
    // A stranger to the partition: open when it begins.
    let mut open = TcpStream::connect(portal.inlet.address())
        .await
        .expect("it listens");
    let (mut served, _) = portal.target.accept().await.expect("a connection");
    served.write_all(b"first").await.expect("written");
    open.read_exact(&mut [0; 5]).await.expect("it arrives");
    // The peer has answered once: from now on silence means something.
    tokio::time::sleep(Duration::from_secs(8)).await;

    portal.network.partition();
    let cut = Instant::now();
    let why = tokio::time::timeout(Duration::from_secs(40), lost(&mut events))
        .await
        .expect("noticed");
    assert_eq!(why, "the peer fell silent");
    assert!(
        cut.elapsed() < Duration::from_secs(30),
        "{:?}",
        cut.elapsed()
    );
    assert!(!read_to_end(&mut open).await.clean, "a reset, not an end");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(portal.inlet.path().is_none());

    portal.network.heal();
    let healed = Instant::now();
    standing(&portal.inlet).await;
    let (client, target) = portal.transfer(b"after", b"again").await;
    assert!(client.clean && client.bytes == b"again" && target.bytes == b"after");
    assert!(
        healed.elapsed() < Duration::from_secs(30),
        "{:?}",
        healed.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_path_is_rebuilt_after_each_break_of_its_connection() {
    let portal = Portal::new(8).await;
    let mut events = portal.client.events();
    for round in 0..20 {
        portal.network.break_connections();
        assert_eq!(lost(&mut events).await, "the connection under it is gone");
        let (client, target) = portal.transfer(b"question", b"answer").await;
        assert!(client.clean && target.clean, "round {round}");
        assert_eq!(client.bytes, b"answer");
    }
    assert_eq!(portal.client.links().len(), 1);
    assert_eq!(portal.server.links().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_channel_whose_last_handshake_message_was_lost_is_rebuilt() {
    let portal = Portal::new(9).await;
    let mut events = portal.client.events();
    // After the connection breaks: message 1, message 3, which is lost.
    let countdown = Arc::new(AtomicI64::new(1));
    lose_one(&portal.network, Direction::ToListener, &countdown);
    portal.network.break_connections();
    lost(&mut events).await;
    standing(&portal.inlet).await;
    let began = Instant::now();
    assert_eq!(lost(&mut events).await, "the peer fell silent");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let (client, _) = portal.transfer(b"question", b"answer").await;
    assert!(client.clean && client.bytes == b"answer");
}
