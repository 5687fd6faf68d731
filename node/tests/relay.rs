//! Reaching a node with no open port through a relay.

use std::time::Duration;

use sealway::channel::ListenerOptions;
use sealway::core::channel::Trust;
use sealway::core::identity::Identifier;
use sealway::core::wire::{Address, MultiAddr};
use sealway::relay::{RegisterError, RegistrationOptions, RelayOptions, RelayRegistration};
use sealway::transport::Listening;
use sealway::{Access, Count, Event, Exposure, Node, PathOptions, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

const SOON: Duration = Duration::from_secs(20);

fn identifier(node: &Node) -> Identifier {
    node.identifier().expect("it has an identity")
}

async fn relay(address: &str) -> (Node, Listening) {
    let node = Node::builder().ephemeral_identity().start();
    serve(node, address).await
}

async fn serve(node: Node, address: &str) -> (Node, Listening) {
    let access = Access::trust(Trust::Everyone);
    node.start_service(
        Service::Echo,
        Exposure::local().to_channels(access.clone(), "echo"),
    )
    .expect("free");
    node.secure_channel_listener("sealway_xx1", ListenerOptions::new(access))
        .expect("free");
    node.relay_service(RelayOptions::default()).expect("free");
    let listening = node.listen(address).await.expect("a free port");
    (node, listening)
}

/// A node behind the relay that trusts whom `trust` admits.
async fn private(relay: &str, alias: &str, trust: Trust) -> (Node, RelayRegistration) {
    let node = Node::builder().ephemeral_identity().start();
    let access = Access::trust(trust);
    node.start_service(
        Service::Echo,
        Exposure::local().to_channels(access.clone(), "echo"),
    )
    .expect("free");
    node.secure_channel_listener("api", ListenerOptions::new(access))
        .expect("free");
    let options = RegistrationOptions::new(Some(alias.to_owned()), Trust::Everyone);
    let registration = node
        .register_at_relay(relay, options)
        .await
        .expect("registered");
    (node, registration)
}

fn through(relay: &Listening, alias: &str, rest: &str) -> MultiAddr {
    let port = relay.address.rsplit_once(':').expect("a port").1;
    format!("/ip4/127.0.0.1/tcp/{port}/service/forward_to_{alias}/secure/api{rest}")
        .parse()
        .expect("a multiaddr")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_with_no_open_port_is_reached_end_to_end() {
    let (relay, listening) = relay("127.0.0.1:0").await;
    let (server, registration) = private(&listening.address, "alice", Trust::Everyone).await;
    assert_eq!(
        registration.address(),
        Some(Address::local("forward_to_alice"))
    );
    let client = Node::builder().ephemeral_identity().start();
    let options = PathOptions::expect(Trust::Identifier(identifier(&server)));
    let path = client
        .path(&through(&listening, "alice", "/service/echo"), &options)
        .await
        .expect("a path");
    for n in 0..100 {
        let reply: String = client
            .request(path.route().clone(), n.to_string(), SOON)
            .await
            .expect("a reply");
        assert_eq!(reply, n.to_string());
    }
    // Only the first message went by the name: the rest goes from connection to connection.
    assert_eq!(relay.counters().get(Count::RelayForwarded), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_belongs_to_whom_it_was_first_given() {
    let (relay, listening) = relay("127.0.0.1:0").await;
    let (_server, _registration) = private(&listening.address, "alice", Trust::Everyone).await;
    let thief = Node::builder().ephemeral_identity().start();
    let options = RegistrationOptions::new(Some("alice".to_owned()), Trust::Everyone);
    let outcome = thief.register_at_relay(&listening.address, options).await;
    assert!(
        matches!(outcome.err(), Some(RegisterError::Refused(why)) if why.contains("another identity"))
    );
    assert!(relay.counters().get(Count::RelayRefused) > 0);
}

/// Strangers could otherwise fill the table, one short connection after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_does_not_outlive_who_hung_up_before_it_was_served() {
    use sealway::core::relay::{EPHEMERAL_SERVICE, Registration};
    use sealway::core::wire::{Frame, Route, encode_routing, tcp};

    let (relay, listening) = relay("127.0.0.1:0").await;
    let before = relay.addresses();
    for _ in 0..8 {
        let mut bytes = vec![tcp::VERSION];
        for _ in 0..64 {
            let mut frame = Frame::from_slice(&Registration::Ephemeral.encode());
            let onward = Route::from_iter([Address::local(EPHEMERAL_SERVICE)]);
            encode_routing(
                &mut frame,
                &onward,
                &Route::from_iter([Address::local("me")]),
            );
            tcp::encode_frame(&mut frame).expect("short");
            bytes.extend_from_slice(frame.as_slice());
        }
        let mut socket = TcpStream::connect(&listening.address).await.expect("up");
        socket.write_all(&bytes).await.expect("sent");
        socket.shutdown().await.expect("sent");
        // Whether the confirmations still come is no matter.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    let all = async {
        loop {
            let counters = relay.counters();
            let served = counters.get(Count::RelayRegistered) + counters.get(Count::RelayRefused);
            if served == 8 * 64 && relay.links().is_empty() && relay.addresses() == before {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, all)
        .await
        .expect("nothing is left");
}

/// The name would lead through `hop`, which never ends, and so stay for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_through_a_hop_is_refused_and_leaves_nothing() {
    use sealway::core::relay::{EPHEMERAL_SERVICE, Registration};
    use sealway::core::wire::{Frame, Route, encode_routing, tcp};

    let (relay, listening) = relay("127.0.0.1:0").await;
    relay
        .start_service(Service::Hop, Exposure::local().to_transports())
        .expect("free");
    let before = relay.addresses();
    // Without the hop the same bytes do register.
    for (through, served) in [
        (None, Count::RelayRegistered),
        (Some("hop"), Count::RelayRefused),
    ] {
        let onward = through.into_iter().chain([EPHEMERAL_SERVICE]);
        let onward = onward.map(Address::local).collect::<Route>();
        let mut frame = Frame::from_slice(&Registration::Ephemeral.encode());
        let back = Route::from_iter([Address::local("me")]);
        encode_routing(&mut frame, &onward, &back);
        tcp::encode_frame(&mut frame).expect("short");
        let mut socket = TcpStream::connect(&listening.address).await.expect("up");
        socket.write_all(&[tcp::VERSION]).await.expect("sent");
        socket.write_all(frame.as_slice()).await.expect("sent");
        let all = async {
            while relay.counters().get(served) == 0 {
                tokio::task::yield_now().await;
            }
            drop(socket);
            while !relay.links().is_empty() || relay.addresses() != before {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(SOON, all)
            .await
            .expect("served, then nothing is left");
    }
    assert_eq!(relay.counters().get(Count::RelayRegistered), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_reaches_nothing_behind_the_listener() {
    let (relay, listening) = relay("127.0.0.1:0").await;
    // The private node trusts the relay's own identity; as a registration its channel still reaches nothing.
    let (server, _registration) = private(
        &listening.address,
        "alice",
        Trust::Identifier(identifier(&relay)),
    )
    .await;
    let forward = "forward_to_alice=>echo"
        .parse::<sealway::core::wire::Route>()
        .expect("a route");
    let reply = relay
        .request::<String>(forward, "hello".to_owned(), Duration::from_millis(500))
        .await;
    assert!(reply.is_err());
    assert!(server.counters().get(Count::NotExposed) > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_comes_back_after_the_relay_was_restarted() {
    let (first, listening) = relay("127.0.0.1:0").await;
    let (server, _registration) = private(&listening.address, "alice", Trust::Everyone).await;
    let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = target.local_addr().expect("bound").to_string();
    let access = Access::trust(Trust::Everyone);
    server
        .outlet(
            "out",
            &address,
            Exposure::local().to_channels(access, "out"),
        )
        .expect("free");
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = target.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = socket.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    let client = Node::builder().ephemeral_identity().start();
    let options = PathOptions::expect(Trust::Identifier(identifier(&server)));
    let to = through(&listening, "alice", "/service/out");
    let inlet = client
        .inlet("127.0.0.1:0", &to, options)
        .await
        .expect("an inlet");
    assert_eq!(exchange(inlet.address()).await, b"hello");

    let mut events = server.events();
    first.shutdown(SOON).await;
    // The relay keeps its identity: another one in its place would be refused.
    let party = first.parties().expect("an identity");
    let (_second, _) = serve(Node::builder().identity(party).start(), &listening.address).await;
    let registered =
        async { while !matches!(events.recv().await, Ok(Event::Registered { .. })) {} };
    tokio::time::timeout(SOON, registered)
        .await
        .expect("registered again");
    assert_eq!(exchange(inlet.address()).await, b"hello");
}

/// Sends `hello` and reads it back; clients try again while the path is being rebuilt.
async fn exchange(address: &str) -> Vec<u8> {
    let attempt = async || -> std::io::Result<Vec<u8>> {
        let mut socket = TcpStream::connect(address).await?;
        socket.write_all(b"hello").await?;
        socket.shutdown().await?;
        let mut got = Vec::new();
        socket.read_to_end(&mut got).await?;
        Ok(got)
    };
    let all = async {
        loop {
            if let Ok(got) = attempt().await {
                return got;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, all).await.expect("in time")
}

/// Whether a registration was told by now.
fn is_told(events: &mut broadcast::Receiver<Event>) -> bool {
    std::iter::from_fn(|| events.try_recv().ok())
        .any(|event| matches!(event, Event::Registered { .. }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_a_registration_before_the_relay_is_remembered() {
    let (relay, listening) = relay("127.0.0.1:0").await;
    let node = Node::builder().ephemeral_identity().start();
    let mut events = node.events();
    let options = RegistrationOptions::new(Some("alice".to_owned()), Trust::Everyone);
    let met = node
        .meet_relay(&listening.address, options)
        .await
        .expect("registered");
    assert_eq!(met.identifier(), &identifier(&relay));
    assert!(!is_told(&mut events));
    // Here the pin is written.
    let registration = met.keep();
    assert!(is_told(&mut events));
    assert_eq!(registration.relay(), &identifier(&relay));
}
