//! What a message of a portal allocates on its way: in the steady state, nothing. Counted over the whole process, in which inlet, relay
//! and outlet run with their defaults over loopback TCP, while client and service are threads that allocate nothing.
//!
//! That also shows that a body is not copied between the socket that it is read from and the one that it is written to: the copy would
//! need memory.
//!
//! In a test binary of its own, with one test, because it counts the allocations of the process.

use std::alloc::System;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use sealway::channel::ListenerOptions;
use sealway::core::channel::{Suite, Trust};
use sealway::core::wire::MultiAddr;
use sealway::relay::{RegistrationOptions, RelayOptions};
use sealway::{Access, Count, Exposure, Node, PathOptions};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes of one message at the most.
const MESSAGE: usize = 64 << 10;
/// Bytes before anything is counted: windows have grown, and buffers are there.
const WARM: usize = 64 << 20;
/// Bytes whose allocations are counted.
const COUNTED: usize = 192 << 20;
/// Allocations for a message of 64 KiB at the most, of all ends together. What there are belong to credits: three or four for each, and
/// some ten messages to a credit.
const MOST: f64 = 0.4;
/// Bytes that are allocated for such a message at the most.
const MOST_BYTES: f64 = 512.0;

#[derive(Clone, Copy, Debug)]
enum Direction {
    Up,
    Down,
}

/// A service that reads or sends all that is counted on its one connection, in a thread of its own; and its address.
fn service(direction: Direction) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        let mut buffer = vec![7; MESSAGE];
        let (mut socket, _) = listener.accept().expect("a connection");
        match direction {
            Direction::Up => while socket.read(&mut buffer).is_ok_and(|read| read > 0) {},
            Direction::Down => while socket.write_all(&buffer).is_ok() {},
        }
    });
    address
}

fn everyone() -> Access {
    Access::trust(Trust::Everyone)
}

/// Inlet, outlet and perhaps a relay between them: the inlet's port.
async fn portal(target: &str, relayed: bool) -> (Vec<Node>, u16) {
    let listener = Suite::Hybrid.listener();
    let server = Node::builder().ephemeral_identity().start();
    server
        .secure_channel_listener(listener, ListenerOptions::new(everyone()))
        .expect("free");
    let exposure = Exposure::local().to_channels(everyone(), "out");
    server.outlet("out", target, exposure).expect("free");
    let client = Node::builder().ephemeral_identity().start();
    let mut nodes = vec![server, client];
    let port_of = |address: &str| address.rsplit_once(':').expect("a port").1.to_owned();
    let way = if relayed {
        let relay = Node::builder().ephemeral_identity().start();
        relay
            .secure_channel_listener(listener, ListenerOptions::new(everyone()))
            .expect("free");
        relay.relay_service(RelayOptions::default()).expect("free");
        let listening = relay.listen("127.0.0.1:0").await.expect("a free port");
        let options = RegistrationOptions::new(Some("alice".to_owned()), Trust::Everyone);
        let registering = nodes[0].register_at_relay(&listening.address, options);
        std::mem::forget(registering.await.expect("registered"));
        nodes.push(relay);
        let port = port_of(&listening.address);
        format!("/ip4/127.0.0.1/tcp/{port}/service/forward_to_alice/secure/{listener}/service/out")
    } else {
        let listening = nodes[0].listen("127.0.0.1:0").await.expect("a free port");
        let port = port_of(&listening.address);
        format!("/ip4/127.0.0.1/tcp/{port}/secure/{listener}/service/out")
    };
    let to: MultiAddr = way.parse().expect("a multiaddr");
    let options = PathOptions::expect(Trust::Everyone);
    let inlet = nodes[1].inlet("127.0.0.1:0", &to, options).await;
    let inlet = inlet.expect("an inlet");
    assert!(inlet.path().is_some_and(|path| path.is_native()));
    let port = port_of(inlet.address()).parse().expect("a number");
    std::mem::forget(inlet);
    (nodes, port)
}

/// What is counted between two moments of a client's thread.
struct Counted {
    allocations: usize,
    bytes: usize,
    messages: u64,
}

/// Moves the bytes through the portal, and counts.
fn transfer(direction: Direction, port: u16, nodes: &[Node]) -> Counted {
    let sent = || -> u64 {
        let counters = nodes.iter().map(Node::counters);
        counters
            .map(|counters| counters.get(Count::StreamBytesSent))
            .sum()
    };
    let mut socket = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let mut buffer = vec![9; MESSAGE];
    let mut go = |bytes: usize| {
        for _ in 0..bytes / MESSAGE {
            match direction {
                Direction::Up => socket.write_all(&buffer).expect("it goes on"),
                Direction::Down => socket.read_exact(&mut buffer).expect("it goes on"),
            }
        }
    };
    go(WARM);
    let region = Region::new(ALLOCATOR);
    let before = sent();
    go(COUNTED);
    let change = region.change();
    Counted {
        allocations: change.allocations + change.reallocations,
        bytes: change.bytes_allocated,
        messages: (sent() - before) / MESSAGE as u64,
    }
}

#[test]
fn a_message_of_a_portal_allocates_nothing() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    for relayed in [false, true] {
        for direction in [Direction::Up, Direction::Down] {
            let target = service(direction);
            let (nodes, port) = runtime.block_on(portal(&target, relayed));
            let (done, counted) = mpsc::channel();
            std::thread::spawn(move || done.send(transfer(direction, port, &nodes)));
            let counted = counted.recv_timeout(Duration::from_secs(300));
            let counted = counted.expect("it ends");
            let messages = counted.messages as f64;
            let (of_each, bytes) = (
                counted.allocations as f64 / messages,
                counted.bytes as f64 / messages,
            );
            println!(
                "{direction:?}, relayed {relayed}: {messages} messages, {of_each:.3} allocations and {bytes:.0} bytes for each"
            );
            assert!(counted.messages >= (COUNTED / MESSAGE) as u64 * 9 / 10);
            assert!(of_each <= MOST && bytes <= MOST_BYTES);
        }
    }
}
