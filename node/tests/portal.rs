//! Portals between nodes, over a secure channel.

use std::time::Duration;

use sealway::channel::ListenerOptions;
use sealway::core::channel::Trust;
use sealway::core::wire::MultiAddr;
use sealway::portal::{Inlet, InletError};
use sealway::{Access, Count, Exposure, Node, PathError, PathOptions, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const SOON: Duration = Duration::from_secs(20);

/// A node with an outlet `out` to `target`, and a node with an inlet to it.
async fn portal(target: &str) -> (Node, Node, Inlet) {
    let server = Node::builder().ephemeral_identity().start();
    let access = Access::trust(Trust::Everyone);
    server
        .start_service(
            Service::Echo,
            Exposure::local().to_channels(access.clone(), "echo"),
        )
        .expect("free");
    server
        .outlet(
            "out",
            target,
            Exposure::local().to_channels(access.clone(), "out"),
        )
        .expect("free");
    server
        .secure_channel_listener("api", ListenerOptions::new(access))
        .expect("free");
    let listening = server.listen("127.0.0.1:0").await.expect("a free port");
    let port = listening.address.rsplit_once(':').expect("it has a port").1;
    let to: MultiAddr = format!("/ip4/127.0.0.1/tcp/{port}/secure/api/service/out")
        .parse()
        .expect("a multiaddr");
    let expect = Trust::Identifier(server.identifier().expect("an identity"));
    let client = Node::builder().ephemeral_identity().start();
    let inlet = client
        .inlet("127.0.0.1:0", &to, PathOptions::expect(expect))
        .await
        .expect("an inlet");
    (server, client, inlet)
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    (listener, address)
}

fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    })
    .take(len)
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_arrive_whole_both_ways_and_ends_are_passed_on() {
    let (target, address) = listener().await;
    let (_server, client, inlet) = portal(&address).await;
    let up = pattern(20 << 20, 1);
    let down = pattern(20 << 20, 2);
    let served = tokio::spawn({
        let (up, down) = (up.clone(), down.clone());
        async move {
            let (mut socket, _) = target.accept().await.expect("a connection");
            let mut got = Vec::new();
            socket.read_to_end(&mut got).await.expect("an orderly end");
            assert!(got == up);
            // The half that is still open carries the answer: a half-close is passed on.
            socket.write_all(&down).await.expect("written");
            socket.shutdown().await.expect("ended");
        }
    });
    let mut socket = TcpStream::connect(inlet.address())
        .await
        .expect("it listens");
    socket.write_all(&up).await.expect("written");
    socket.shutdown().await.expect("ended");
    let mut got = Vec::new();
    tokio::time::timeout(SOON, socket.read_to_end(&mut got))
        .await
        .expect("in time")
        .expect("an orderly end");
    assert!(got == down);
    served.await.expect("served");
    assert_eq!(client.counters().get(Count::StreamsReset), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_refuses_is_a_prompt_reset() {
    // A port that was just given back: nobody listens there.
    let (target, address) = listener().await;
    drop(target);
    let (server, _client, inlet) = portal(&address).await;
    let attempt = async {
        let mut socket = TcpStream::connect(inlet.address()).await?;
        socket.read_to_end(&mut Vec::new()).await
    };
    let outcome = tokio::time::timeout(Duration::from_secs(3), attempt)
        .await
        .expect("promptly");
    assert_eq!(
        outcome.expect_err("no clean end").kind(),
        std::io::ErrorKind::ConnectionReset
    );
    assert_eq!(server.counters().get(Count::StreamsRefused), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_stops_stops_the_writer() {
    let (target, address) = listener().await;
    let (server, _client, inlet) = portal(&address).await;
    let mut socket = TcpStream::connect(inlet.address())
        .await
        .expect("it listens");
    let (mut served, _) = target.accept().await.expect("a connection");
    // Nobody reads at the target: the writer comes to a stand after what the queues and the kernel hold.
    let chunk = pattern(1 << 20, 3);
    let mut sent = 0;
    while let Ok(written) = tokio::time::timeout(Duration::from_secs(2), socket.write(&chunk)).await
    {
        sent += written.expect("no error");
        assert!(sent < 256 << 20, "no back-pressure after {sent} bytes");
    }
    // Nothing was lost meanwhile.
    drop(tokio::spawn(async move {
        socket.shutdown().await.map(|()| socket)
    }));
    let mut got = 0;
    let mut buffer = vec![0; 1 << 20];
    while got < sent {
        let read = tokio::time::timeout(SOON, served.read(&mut buffer))
            .await
            .expect("in time")
            .expect("no reset");
        assert!(read > 0, "ended after {got} of {sent}");
        got += read;
    }
    assert_eq!(server.counters().get(Count::StreamsReset), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_node_is_a_reset_and_never_an_end() {
    let (target, address) = listener().await;
    let (server, _client, inlet) = portal(&address).await;
    let mut socket = TcpStream::connect(inlet.address())
        .await
        .expect("it listens");
    let (mut served, _) = target.accept().await.expect("a connection");
    served.write_all(b"the first half").await.expect("written");
    let mut first = [0; 14];
    socket.read_exact(&mut first).await.expect("it arrives");
    server.shutdown(SOON).await;
    let outcome = tokio::time::timeout(SOON, socket.read(&mut first))
        .await
        .expect("promptly");
    assert_eq!(
        outcome.expect_err("no clean end").kind(),
        std::io::ErrorKind::ConnectionReset
    );
}

#[tokio::test]
async fn an_inlet_that_is_admitted_to_nothing_is_told_so_and_never_opens() {
    let node = || Node::builder().ephemeral_identity().start();
    let (alice, bob) = (node(), node());
    let nobody = Access::trust(Trust::Identifier(bob.identifier().expect("an identity")));
    bob.outlet(
        "files",
        "127.0.0.1:9",
        Exposure::local().to_channels(nobody.clone(), "files"),
    )
    .expect("free");
    bob.secure_channel_listener("api", ListenerOptions::new(nobody))
        .expect("free");
    let at_bob = bob.listen("127.0.0.1:0").await.expect("a free port");
    let port = at_bob.address.rsplit(':').next().expect("a port");
    let to = format!("/ip4/127.0.0.1/tcp/{port}/secure/api/service/files");
    let to = to.parse().expect("a multiaddr");
    let expect = Trust::Identifier(bob.identifier().expect("an identity"));
    // The Close may come before or after anything here looks for it; the answer is the same.
    for _ in 0..50 {
        let options = PathOptions::expect(expect.clone());
        match alice.inlet("127.0.0.1:0", &to, options).await {
            Err(InletError::Path(PathError::Refused(by))) => {
                assert_eq!(Some(by), bob.identifier());
            }
            Err(other) => panic!("{other}"),
            Ok(inlet) => {
                let told = tokio::time::timeout(Duration::from_secs(5), inlet.refused());
                told.await.expect("told that it was refused");
            }
        }
    }
}
