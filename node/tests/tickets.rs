//! Tickets between real nodes: who gets in by one, to what, and who does not.

mod node_common;
mod ticket_common;

use std::time::Duration;

use sealway::channel::{ChannelOptions, CloseReason, ListenerOptions, OpenError};
use sealway::core::channel::Trust;
use sealway::core::crypto::KeyType;
use sealway::core::identity::{ChangeHash, Rotation};
use sealway::core::ticket::{REDEEM, Reach, Request, Secret};
use sealway::core::wire::{Address, MultiAddr};
use sealway::store::{Direction, Resource};
use sealway::ticket::{ConnectOptions, Connection, RedeemError, Refusal, Way};
use sealway::{Access, Count, Node, PathError, PathOptions, Raw, RequestError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use node_common::{SOON, identifier};
use ticket_common::{Echo, End, here, open, relay};

const HOUR: Duration = Duration::from_secs(3_600);

/// Waits until the connection works again: each attempt waits for the path by itself.
async fn comes_back(connection: &Connection) {
    let again = async {
        while open(connection).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(4 * SOON, again)
        .await
        .expect("it comes back");
}

/// Waits for the end of a socket that nothing is sent to: a reset.
async fn is_reset(mut socket: TcpStream) {
    let end = tokio::time::timeout(Duration::from_secs(1), socket.read_u8()).await;
    let error = end.expect("within a second").expect_err("no more bytes");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_redeemed_a_ticket_gets_in_and_still_does_after_both_ends_have_restarted() {
    let (service, a, b) = (Echo::start().await, End::new().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let connection = b.connect(&ticket).await;
    open(&connection).await.expect("it works");
    let name = connection.known().name.clone();
    assert_eq!(name.as_str(), "db");

    drop((exposed, connection));
    let (a, b) = (a.restart().await, b.restart().await);
    // The port that was kept.
    let _exposed = a.expose("db", &service.address, Way::Direct(None)).await;
    let again = b
        .node
        .connect_known(&b.pins, name.as_str(), ConnectOptions::default())
        .await;
    open(&again.expect("by its name")).await.expect("it works");

    let text = ticket.to_text().expect("a text");
    let secret: String = ticket
        .secret
        .as_bytes()
        .map(|byte| format!("{byte:02x}"))
        .concat();
    for end in [&a, &b] {
        let state = std::fs::read(end.directory.path().join("home/state.db")).expect("a file");
        let wal = std::fs::read(end.directory.path().join("home/state.db-wal")).unwrap_or_default();
        let holds = |what: &[u8]| {
            [&state, &wal]
                .iter()
                .any(|file| file.windows(what.len()).any(|w| w == what))
        };
        assert!(
            !holds(ticket.secret.as_bytes()),
            "the secret is on the disk"
        );
        assert!(!holds(text.as_bytes()) && !holds(secret.as_bytes()));
        assert!(holds(b"db"), "the state is read at all");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_racers_for_a_ticket_of_one_use_one_is_pinned_and_the_others_are_told() {
    let (service, a) = (Echo::start().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let mut racers = tokio::task::JoinSet::new();
    for _ in 0..64 {
        let (node, ticket) = (Node::builder().ephemeral_identity().start(), ticket.clone());
        racers.spawn(async move { (node.redeem(&ticket).await, node) });
    }
    let mut winners = Vec::new();
    while let Some(ended) = racers.join_next().await {
        match ended.expect("no panic") {
            (Ok(()), node) => winners.push(node),
            (Err(RedeemError::Refused(Refusal::AlreadyRedeemed)), _) => {}
            (Err(other), _) => panic!("{other}"),
        }
    }
    let [winner] = winners.as_slice() else {
        panic!("{} were let in", winners.len());
    };
    let pinned = a.pins.home().peers().pinned(Direction::Inbound);
    assert_eq!(pinned.expect("a list"), [identifier(winner)]);
    winner.redeem(&ticket).await.expect("a retry costs nothing");
    assert_eq!(a.node.counters().get(Count::TicketsRedeemed), 1);
    assert_eq!(a.node.counters().get(Count::RedemptionsRefused), 63);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_redeemed_a_ticket_for_one_service_reaches_no_other_and_the_exposer_gains_nothing() {
    let (mine, other) = (Echo::start().await, Echo::start().await);
    let (a, b) = (End::new().await, End::new().await);
    let exposed = a.expose("mine", &mine.address, here()).await;
    let _other = a.expose("other", &other.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let connection = b.connect(&ticket).await;
    open(&connection).await.expect("it works");

    let [Reach::Direct(at)] = ticket.reaches.as_slice() else {
        panic!("one way");
    };
    let to: MultiAddr = format!("{at}/secure/sealway_xx1/service/exposed_other")
        .parse()
        .expect("a multiaddr");
    let expect = PathOptions::expect(Trust::Identifier(ticket.exposer));
    let inlet = b.node.inlet("127.0.0.1:0", &to, expect).await;
    let inlet = inlet.expect("a channel, as it is pinned for something");
    let refused = a.node.counters().get(Count::NotExposed);
    // The refusal may come before the words that it refuses, and before the connection is known to be there.
    if let Ok(mut socket) = TcpStream::connect(inlet.address()).await {
        let _ = socket.write_all(b"let me in").await;
        socket.read_u8().await.expect_err("nobody answers");
    }
    assert!(a.node.counters().get(Count::NotExposed) > refused);
    assert_eq!((mine.connections(), other.connections()), (1, 0));

    // B exposes something too: A is no guest there that could reach it.
    let inner = Echo::start().await;
    let theirs = b.expose("theirs", &inner.address, here()).await;
    let ticket = theirs.ticket(1, HOUR).await.expect("a ticket");
    let [Reach::Direct(at)] = ticket.reaches.as_slice() else {
        panic!("one way");
    };
    let to: MultiAddr = format!("{at}/secure/sealway_xx1/service/exposed_theirs")
        .parse()
        .expect("a multiaddr");
    let expect = PathOptions::expect(Trust::Identifier(ticket.exposer));
    let path = a.node.path(&to, &expect).await.expect("a channel");
    let sent = a
        .node
        .request::<Raw>(path.route().clone(), Raw(vec![0]), SOON);
    tokio::select! {
        answer = sent => panic!("{answer:?}"),
        reason = path.ended() => assert_eq!(reason, CloseReason::Refused),
    }
    assert_eq!(inner.connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_reaches_nothing_but_the_redemption_and_that_once() {
    let (service, a) = (Echo::start().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let ticket = exposed.ticket(2, HOUR).await.expect("a ticket");
    let stranger = Node::builder().ephemeral_identity().start();
    let [Reach::Direct(at)] = ticket.reaches.as_slice() else {
        panic!("one way");
    };
    let to: MultiAddr = format!("{at}/secure/sealway_xx1")
        .parse()
        .expect("a multiaddr");
    let options = PathOptions::expect(Trust::Identifier(ticket.exposer));
    for address in ["echo", "exposed_db", "uppercase", "redeem/"] {
        let path = stranger.path(&to, &options).await.expect("a channel");
        let mut route = path.route().clone();
        route.push_back(Address::local(address));
        let sent = stranger.request::<Raw>(route, Raw(Vec::new()), SOON);
        tokio::select! {
            answer = sent => panic!("{address}: {answer:?}"),
            reason = path.ended() => assert_eq!(reason, CloseReason::Refused, "{address}"),
        }
    }
    // A wrong guess is answered, a second one in the same channel is not.
    let path = stranger.path(&to, &options).await.expect("a channel");
    let mut route = path.route().clone();
    route.push_back(REDEEM.into());
    let guess = |byte| {
        let secret = Secret::from_bytes([byte; 32]);
        Raw(Request { secret }.encode().to_vec())
    };
    let first: Raw = stranger
        .request(route.clone(), guess(1), SOON)
        .await
        .expect("an answer");
    assert_eq!(first.0, [0x82, 1, 3], "refused: unknown");
    let right = Raw(Request {
        secret: ticket.secret.clone(),
    }
    .encode()
    .to_vec());
    let second = stranger.request::<Raw>(route, right, Duration::from_millis(500));
    assert!(matches!(second.await, Err(RequestError::Deadline(_))));
    assert!(!a.pins.knows(&identifier(&stranger)));
    stranger.redeem(&ticket).await.expect("in another channel");
    assert!(a.pins.knows(&identifier(&stranger)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_above_1_kib_is_not_read() {
    let (service, a) = (Echo::start().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let [Reach::Direct(at)] = ticket.reaches.as_slice() else {
        panic!("one way");
    };
    let to: MultiAddr = format!("{at}/secure/sealway_xx1")
        .parse()
        .expect("a multiaddr");
    let stranger = Node::builder().ephemeral_identity().start();
    let options = PathOptions::expect(Trust::Identifier(ticket.exposer));
    let path = stranger.path(&to, &options).await.expect("a channel");
    let mut route = path.route().clone();
    route.push_back(REDEEM.into());
    let request = Request {
        secret: ticket.secret.clone(),
    };
    let mut long = request.encode().to_vec();
    long.resize(1_025, 0);
    let refused = a.node.counters().get(Count::NotExposed);
    let sent = stranger.request::<Raw>(route, Raw(long), Duration::from_millis(500));
    assert!(matches!(sent.await, Err(RequestError::Deadline(_))));
    assert_eq!(a.node.counters().get(Count::NotExposed), refused + 1);
    assert!(!a.pins.knows(&identifier(&stranger)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_ends_within_a_second_when_the_exposure_the_peer_or_the_exposer_is_removed() {
    let (service, a) = (Echo::start().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let _kept = a.expose("kept", &service.address, here()).await;

    // The exposer removes the peer.
    let b = End::new().await;
    let connection = b
        .connect(&exposed.ticket(1, HOUR).await.expect("a ticket"))
        .await;
    let socket = open(&connection).await.expect("it works");
    let is = identifier(&b.node).to_string();
    let removed = a
        .pins
        .home()
        .peers()
        .remove(&is)
        .await
        .expect("it is there");
    assert_eq!(removed.pins.len(), 1);
    a.pins.reload(&a.node).expect("read");
    is_reset(socket).await;

    // The exposer removes the exposure, under the eyes of one whom the operator has pinned for everything.
    let b = End::new().await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let connection = b.connect(&ticket).await;
    let name = "operator".parse().expect("a name");
    let now = a.pins.home().clock().now();
    let pinned = a.pins.home().peers().add(&name, identifier(&b.node), now);
    pinned.await.expect("pinned");
    a.pins.reload(&a.node).expect("read");
    let socket = open(&connection).await.expect("it works");
    exposed.remove().await.expect("removed");
    is_reset(socket).await;
    exposed.removed().await;
    let refused = b.node.redeem(&ticket).await;
    assert!(refused.is_err(), "{refused:?}");

    // The redeemer removes the exposer.
    let exposed = a.expose("db", &service.address, here()).await;
    let c = End::new().await;
    let connection = c
        .connect(&exposed.ticket(1, HOUR).await.expect("a ticket"))
        .await;
    open(&connection).await.expect("it works");
    let home = c.pins.home();
    let is = identifier(&a.node).to_string();
    home.peers().remove(&is).await.expect("it is there");
    c.pins.reload(&c.node).expect("read");
    connection.forgotten().await;
    assert!(home.connections().list().expect("a list").is_empty());
    assert!(!c.pins.leads_to(&ticket.exposer, "db"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_carries_it_with_no_port_open_and_may_restart() {
    let (service, a, b) = (Echo::start().await, End::new().await, End::new().await);
    let (relay_node, listening) = relay("127.0.0.1:0").await;
    let way = Way::Relay(listening.address.clone());
    let exposed = a.expose("db", &service.address, way).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let [
        Reach::Relay {
            identifier: met, ..
        },
    ] = ticket.reaches.as_slice()
    else {
        panic!("one way, by the relay");
    };
    assert_eq!(*met, Some(identifier(&relay_node)));
    let connection = b.connect(&ticket).await;
    open(&connection).await.expect("it works");
    let pins = a.pins.home().peers().list().expect("a list");
    let resource = Resource::Named(format!("relay:{}", listening.address));
    assert!(pins.iter().any(|peer| {
        peer.identifier == identifier(&relay_node)
            && peer.pins.iter().any(|pin| pin.resource == resource)
    }));
    let port = listening.address.clone();
    let path = connection.inlet().path().expect("it stands");
    relay_node.shutdown(SOON).await;
    path.ended().await;
    drop(path);
    // Another relay's identity is not taken for the one that was pinned.
    let (impostor, _listening) = relay(&port).await;
    let mut events = a.node.events();
    loop {
        if let sealway::Event::Refused { why } = events.recv().await.expect("events") {
            assert!(why.contains(&identifier(&impostor).to_string()), "{why}");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_finds_its_exposer_at_another_address_of_the_ticket() {
    let (service, a, b) = (Echo::start().await, End::new().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let mut ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    // The other address that it may have.
    let spare = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let second = spare.local_addr().expect("bound");
    drop(spare);
    let other = format!("/ip4/127.0.0.1/tcp/{}", second.port());
    ticket
        .reaches
        .insert(0, Reach::Direct(other.parse().expect("a multiaddr")));
    let connection = b.connect(&ticket).await;
    let path = connection.inlet().path().expect("it stands");
    open(&connection).await.expect("it works");
    drop(exposed);
    let a = a.restart().await;
    path.ended().await;
    drop(path);
    let way = Way::Direct(Some(second.to_string()));
    let _exposed = a.expose("db", &service.address, way).await;
    comes_back(&connection).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_secret_is_sent_to_nobody_but_the_exposer_with_a_history_that_is_not_older() {
    let (service, a) = (Echo::start().await, End::new().await);
    let exposed = a.expose("db", &service.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let b = Node::builder().ephemeral_identity().start();

    // Whoever the network or a relay leads to instead.
    let impostor = End::new().await;
    let trap = impostor.expose("db", &service.address, here()).await;
    let mut led_astray = ticket.clone();
    led_astray.reaches = trap.ticket(1, HOUR).await.expect("a ticket").reaches;
    let refused = b.redeem(&led_astray).await;
    let met = identifier(&impostor.node);
    assert!(
        matches!(
            &refused,
            Err(RedeemError::Path(PathError::Channel {
                error: OpenError::Unexpected { met: other },
                ..
            })) if *other == met
        ),
        "{refused:?}"
    );
    assert_eq!(impostor.node.counters().get(Count::RedemptionsRefused), 0);

    // The thief of a key from before a rotation.
    let mut rotated = ticket.clone();
    rotated.minimum_change = ChangeHash::from_bytes([7; 32]);
    let refused = b.redeem(&rotated).await;
    assert!(
        matches!(
            &refused,
            Err(RedeemError::Path(PathError::Channel {
                error: OpenError::Outdated { .. },
                ..
            }))
        ),
        "{refused:?}"
    );
    assert_eq!(a.node.counters().get(Count::TicketsRedeemed), 0);
    b.redeem(&ticket).await.expect("the true one is met");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_holds_the_latest_change_of_its_exposer() {
    let (service, a) = (Echo::start().await, End::new().await);
    let home = a.pins.home();
    let now = home.clock().now();
    home.identities()
        .rotate(
            None,
            KeyType::Ed25519,
            Rotation {
                revoke_all_purpose_keys: false,
            },
            now,
        )
        .await
        .expect("rotated");
    let a = a.restart().await;
    let exposed = a.expose("db", &service.address, here()).await;
    let ticket = exposed.ticket(1, HOUR).await.expect("a ticket");
    let stored = a.pins.home().identities().get(None).expect("it is there");
    assert_eq!(
        ticket.minimum_change,
        stored.identity.latest_change().hash()
    );
    assert_ne!(ticket.minimum_change.as_bytes(), ticket.exposer.as_bytes());
    let b = Node::builder().ephemeral_identity().start();
    b.redeem(&ticket).await.expect("the history holds it");
}

/// A channel of a stranger with an exposer, in a network of its own.
async fn stranger() -> (Node, sealway::channel::Channel) {
    use sealway::transport::memory::Network;
    let network = Network::new(1);
    let a = node_common::builder(&network).start();
    let access = Access::trust(Trust::AnyOf(Vec::new()));
    let options = ListenerOptions {
        guests: true,
        ..ListenerOptions::new(access)
    };
    a.secure_channel_listener("sealway_xx1", options)
        .expect("free");
    a.listen("tcp:10.0.0.1:1").await.expect("free");
    let stranger = node_common::builder(&network).start();
    let link = stranger
        .connect("tcp:10.0.0.1:1")
        .await
        .expect("it listens");
    let expect = ChannelOptions::expect(Trust::Everyone);
    let channel = stranger
        .secure_channel(link.to("sealway_xx1"), expect)
        .await
        .expect("any identity completes the handshake");
    (a, channel)
}

/// Ten seconds of the clock that channels go by.
#[tokio::test(start_paused = true)]
async fn a_stranger_that_redeems_nothing_is_sent_away_after_ten_seconds() {
    let (_a, channel) = stranger().await;
    assert_eq!(channel.closed().await, CloseReason::Refused);
    let age = channel.age();
    assert!(
        age >= SOON && age < SOON + Duration::from_secs(1),
        "{age:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_refreshes_its_history_is_sent_away_at_once() {
    let (_a, channel) = stranger().await;
    let refreshed = channel.refresh_credentials(&[0x80], &[]);
    refreshed.expect("sent");
    assert_eq!(channel.closed().await, CloseReason::Refused);
    assert!(channel.age() < Duration::from_secs(1));
}
