//! Channels between nodes: over TCP, over Unix sockets, inside each other.

use std::time::Duration;

use sealway::channel::{ChannelOptions, CloseReason, ListenerOptions, OpenError};
use sealway::core::channel::Trust;
use sealway::core::identity::Identifier;
use sealway::core::wire::{Address, Route};
use sealway::{Access, Count, Echo, Exposure, Node, Service};

const SOON: Duration = Duration::from_secs(10);

fn route(addresses: &[&Address]) -> Route {
    addresses.iter().map(|address| (*address).clone()).collect()
}

fn identifier(node: &Node) -> Identifier {
    node.identifier().expect("it has an identity")
}

/// A node that accepts channels at `api`, with `echo` behind them for whom `trust` admits.
async fn server(trust: Trust) -> (Node, String) {
    let node = Node::builder().ephemeral_identity().start();
    let access = Access::trust(trust);
    node.start_service(
        Service::Echo,
        Exposure::local().to_channels(access.clone(), "echo"),
    )
    .expect("free");
    node.secure_channel_listener("api", ListenerOptions::new(access))
        .expect("free");
    let listening = node.listen("tcp:127.0.0.1:0").await.expect("a free port");
    (node, listening.address)
}

#[tokio::test]
async fn an_echo_passes_over_bare_tcp() {
    let server = Node::builder().start();
    server
        .start_worker("echo", Echo, Exposure::local().to_transports())
        .expect("free");
    let listening = server.listen("127.0.0.1:0").await.expect("a free port");
    let client = Node::builder().start();
    let to: Route = format!("1#{}=>0#echo", listening.address)
        .parse()
        .expect("a route");
    let reply: String = client
        .request(to, "hello".to_owned(), SOON)
        .await
        .expect("a reply");
    assert_eq!(reply, "hello");
}

#[tokio::test]
async fn a_channel_carries_a_thousand_messages_across_rekeys() {
    let (server, address) = server(Trust::Everyone).await;
    let client = Node::builder().ephemeral_identity().start();
    let link = client.connect(&address).await.expect("it listens");
    let options = ChannelOptions::expect(Trust::Identifier(identifier(&server)));
    let channel = client
        .secure_channel(route(&[link.address(), &"api".into()]), options)
        .await
        .expect("a channel");
    assert_eq!(*channel.peer(), identifier(&server));
    for n in 0..1_000 {
        let to = route(&[channel.address(), &"echo".into()]);
        let reply: String = client
            .request(to, format!("message {n}"), SOON)
            .await
            .expect("a reply");
        assert_eq!(reply, format!("message {n}"));
    }
}

#[tokio::test]
async fn who_may_reach_nothing_gets_a_close_before_any_payload() {
    let (server, address) = server(Trust::AnyOf(Vec::new())).await;
    let client = Node::builder().ephemeral_identity().start();
    let link = client.connect(&address).await.expect("it listens");
    let options = ChannelOptions::expect(Trust::Everyone);
    let channel = client
        .secure_channel(route(&[link.address(), &"api".into()]), options)
        .await
        .expect("a handshake");
    assert_eq!(channel.closed().await, CloseReason::Refused);
    assert_eq!(server.counters().get(Count::PeersRefused), 1);
}

#[tokio::test]
async fn an_initiator_refuses_whom_it_does_not_expect() {
    let (server, address) = server(Trust::Everyone).await;
    let client = Node::builder().ephemeral_identity().start();
    let link = client.connect(&address).await.expect("it listens");
    let options = ChannelOptions::expect(Trust::Identifier(identifier(&client)));
    let refused = client
        .secure_channel(route(&[link.address(), &"api".into()]), options)
        .await;
    assert_eq!(
        refused.expect_err("not the expected one"),
        OpenError::Unexpected {
            met: identifier(&server)
        }
    );
}

#[tokio::test]
async fn nothing_is_reachable_without_a_channel_unless_it_is_exposed() {
    let (server, address) = server(Trust::Everyone).await;
    let client = Node::builder().start();
    let to: Route = format!("1#{address}=>0#echo").parse().expect("a route");
    let mut events =
        Box::pin(client.request::<String>(to, "hello".to_owned(), Duration::from_millis(300)));
    assert!((&mut events).await.is_err());
    assert_eq!(server.counters().get(Count::NotExposed), 1);
}

#[tokio::test]
async fn a_channel_runs_inside_a_channel_over_mixed_transports() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = format!("unix:{}/s", directory.path().display());
    let (inner, address) = server(Trust::Everyone).await;
    // The middle node reaches the inner one by TCP and is reached itself over a Unix socket.
    let middle = Node::builder().ephemeral_identity().start();
    middle
        .secure_channel_listener("api", ListenerOptions::new(Access::trust(Trust::Everyone)))
        .expect("free");
    middle.listen(&socket).await.expect("a free path");
    let onward = middle.connect(&address).await.expect("it listens");
    middle
        .start_relay(
            "inner",
            route(&[onward.address()]),
            Exposure::local().to_channels(Access::trust(Trust::Everyone), "inner"),
        )
        .expect("free");

    let client = Node::builder().ephemeral_identity().start();
    let link = client.connect(&socket).await.expect("it listens");
    let expect = |node: &Node| ChannelOptions::expect(Trust::Identifier(identifier(node)));
    let outer = client
        .secure_channel(route(&[link.address(), &"api".into()]), expect(&middle))
        .await
        .expect("outer");
    let way = route(&[outer.address(), &"inner".into(), &"api".into()]);
    let channel = client
        .secure_channel(way, expect(&inner))
        .await
        .expect("inner");
    let reply: String = client
        .request(
            route(&[channel.address(), &"echo".into()]),
            "deep".to_owned(),
            SOON,
        )
        .await
        .expect("a reply");
    assert_eq!(reply, "deep");
}

#[tokio::test]
async fn a_channel_ends_with_the_connection_under_it() {
    let (server, address) = server(Trust::Everyone).await;
    let client = Node::builder().ephemeral_identity().start();
    let link = client.connect(&address).await.expect("it listens");
    let options = ChannelOptions::expect(Trust::Everyone);
    let channel = client
        .secure_channel(route(&[link.address(), &"api".into()]), options)
        .await
        .expect("a channel");
    server.shutdown(SOON).await;
    let reason = channel.closed().await;
    assert!(
        matches!(reason, CloseReason::Carrier | CloseReason::Refused),
        "{reason}"
    );
}
