//! What a ticket leads to, and what it does not although it is called the same.

mod node_common;
mod ticket_common;

use std::time::Duration;

use sealway::core::channel::Trust;
use sealway::core::ticket::{REDEEM, Reach};
use sealway::core::wire::MultiAddr;
use sealway::store::{Direction, Pin, PinOrigin, Resource};
use sealway::ticket::{ExposeError, ExposeOptions, Ticket, Way};
use sealway::{Access, Exposure, Node, PathOptions};
use tokio::net::TcpStream;

use node_common::{SOON, identifier};
use tokio::io::AsyncReadExt;

use ticket_common::{Echo, End, here, open, relay, say};

const HOUR: Duration = Duration::from_secs(3_600);

/// The route to a service of the exposer, past what the ticket is for.
fn beside(ticket: &Ticket, service: &str) -> MultiAddr {
    let [Reach::Direct(at)] = ticket.reaches.as_slice() else {
        panic!("one way");
    };
    format!("{at}/secure/sealway_xx1/service/{service}")
        .parse()
        .expect("a multiaddr")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_opens_no_outlet_that_is_called_as_its_exposure_is() {
    let (exposed_service, other) = (Echo::start().await, Echo::start().await);
    let (a, b) = (End::new().await, End::new().await);
    let access = Exposure::local().to_channels(a.pins.to_services(), "ssh");
    a.node.outlet("ssh", &other.address, access).expect("free");
    let exposed = a.expose("ssh", &exposed_service.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    open(&b.connect(&ticket).await).await.expect("it works");

    let expect = PathOptions::expect(Trust::Identifier(ticket.exposer));
    let to = beside(&ticket, "ssh");
    let inlet = b.node.inlet("127.0.0.1:0", &to, expect).await;
    let inlet = inlet.expect("a channel, as it is pinned for something");
    let attempt = || async {
        let mut socket = TcpStream::connect(inlet.address()).await?;
        say(&mut socket).await
    };
    attempt().await.expect_err("nobody answers");
    assert_eq!((exposed_service.connections(), other.connections()), (1, 0));

    // Control: the operator pins B for that outlet, and it is there.
    let pin = Pin {
        direction: Direction::Inbound,
        resource: Resource::Named("ssh".to_owned()),
        origin: PinOrigin::Operator,
        added: a.pins.home().clock().now(),
    };
    let pinned = a.pins.home().peers().pin(identifier(&b.node), pin);
    pinned.await.expect("pinned");
    a.pins.reload(&a.node).expect("read");
    let comes = async {
        while attempt().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(4 * SOON, comes)
        .await
        .expect("it is let in");
    assert!(other.connections() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_that_is_called_like_a_relay_says_nothing_about_who_the_relay_is() {
    let (service, a) = (Echo::start().await, End::new().await);
    let (relay_node, listening) = relay("127.0.0.1:0").await;
    let resource = Resource::Named(format!("relay:{}", listening.address));
    let mallory = identifier(&Node::builder().ephemeral_identity().start());
    let by_ticket = Pin {
        direction: Direction::Outbound,
        resource: resource.clone(),
        origin: PinOrigin::Ticket,
        added: a.pins.home().clock().now(),
    };
    let pinned = a.pins.home().peers().pin(mallory, by_ticket);
    pinned.await.expect("pinned");
    // It is met for the first time now.
    let way = Way::Relay(listening.address.clone());
    let _exposed = a.expose("db", &service.address, way).await;
    let peers = a.pins.home().peers().list().expect("a list");
    let met = |peer: &&sealway::store::Peer| {
        let is_it = |pin: &Pin| pin.resource == resource && pin.origin == PinOrigin::FirstMeeting;
        peer.pins.iter().any(is_it)
    };
    let met: Vec<_> = peers
        .iter()
        .filter(met)
        .map(|peer| peer.identifier)
        .collect();
    assert_eq!(met, [identifier(&relay_node)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exposed_again_outlives_the_handle_of_what_was_removed() {
    let (service, a, b) = (Echo::start().await, End::new().await, End::new().await);
    let first = a.expose("db", &service.address, here()).await;
    first.remove().await.expect("removed");
    // Its address is free at once.
    let second = a.expose("db", &service.address, here()).await;
    drop(first);
    let ticket = second.ticket(1, HOUR).await.expect("a ticket");
    open(&b.connect(&ticket).await).await.expect("it works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_removed_and_exposed_anew_between_two_looks_is_another_exposure() {
    let (service, a, b) = (Echo::start().await, End::new().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let connection = b.connect(&ticket).await;
    let mut socket = open(&connection).await.expect("it works");
    // Another process of the home does both; this one looks once.
    let exposures = a.pins.home().exposures();
    exposures.remove("db").await.expect("it is there");
    let anew = sealway::store::Exposed {
        resource: "db".to_owned(),
        target: "127.0.0.1:9".to_owned(),
        listen: None,
        created: a.pins.home().clock().now(),
    };
    exposures.set(anew).await.expect("exposed");
    a.pins.reload(&a.node).expect("read");
    let removed = tokio::time::timeout(SOON, exposed.removed()).await;
    removed.expect("it was taken for the new one");
    let ended = tokio::time::timeout(SOON, socket.read_u8()).await;
    ended.expect("in time").expect_err("it was another's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_pins_cannot_be_read_nobody_is_admitted() {
    let (service, a, b) = (Echo::start().await, End::new().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let connection = b
        .connect(&exposed.ticket(1, HOUR).await.expect("a ticket"))
        .await;
    let mut socket = open(&connection).await.expect("it works");
    let state = a.directory.path().join("home/state.db");
    let state = rusqlite::Connection::open(state).expect("the state");
    let damage = |origin: u8| {
        let changed = state.execute("UPDATE pins SET origin = ?1", [origin]);
        assert_eq!(changed.expect("changed"), 1);
    };
    state
        .pragma_update(None, "ignore_check_constraints", true)
        .expect("set");
    damage(99);
    a.pins.reload(&a.node).expect_err("it is impossible");
    let ended = tokio::time::timeout(SOON, socket.read_u8()).await;
    ended.expect("in time").expect_err("it went on");
    assert!(!a.pins.knows(&identifier(&b.node)));
    // What is exposed stays so, and whoever was pinned gets in again by itself.
    damage(1);
    let again = async {
        while open(&connection).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let again = tokio::time::timeout(4 * SOON, again).await;
    again.expect("it is read again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_exposure_that_failed_takes_nothing_from_the_second() {
    let (service, a, b) = (Echo::start().await, End::new().await, End::new().await);
    let mine = Exposure::local();
    a.node.outlet(REDEEM, &service.address, mine).expect("free");
    let options = ExposeOptions {
        resource: "db".to_owned(),
        target: service.address.clone(),
        way: here(),
    };
    let failed = a.node.expose(&a.pins, options).await.err();
    assert!(
        matches!(failed, Some(ExposeError::AddressInUse(_))),
        "{failed:?}"
    );
    a.node.stop_worker(&REDEEM.into());
    let exposed = a.expose("db", &service.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    open(&b.connect(&ticket).await).await.expect("it works");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_lost_a_pin_loses_the_channels_that_we_opened_too() {
    let (a, b) = (End::new().await, End::new().await);
    let listener = sealway::channel::ListenerOptions::new(Access::trust(Trust::Everyone));
    b.node
        .secure_channel_listener("sealway_xx1", listener)
        .expect("free");
    let listening = b.node.listen("127.0.0.1:0").await.expect("a free port");
    let name = "b".parse().expect("a name");
    let is = identifier(&b.node);
    let peers = a.pins.home().peers();
    peers
        .add(&name, is, a.pins.home().clock().now())
        .await
        .expect("pinned");
    a.pins.reload(&a.node).expect("read");
    let port = listening.address.rsplit(':').next().expect("a port");
    let to = format!("/ip4/127.0.0.1/tcp/{port}/secure/sealway_xx1")
        .parse()
        .expect("a multiaddr");
    let options = PathOptions::expect(Trust::Identifier(is));
    let path = a.node.path(&to, &options).await.expect("a channel");
    peers.remove("b").await.expect("it is there");
    a.pins.reload(&a.node).expect("read");
    let ended = tokio::time::timeout(SOON, path.ended()).await;
    ended.expect("by it B's messages came in, too");
}
