//! Whoever takes all he can get of what is bounded leaves room for those who come from elsewhere.

mod node_common;
#[path = "node_common/raw.rs"]
mod raw;

use node_common::{SOON, ms, offer};
use raw::{Raw, one, party};
use sealway::channel::{Channel, ChannelOptions, OpenError};
use sealway::core::channel::Trust;
use sealway::core::relay::{EPHEMERAL_SERVICE, Limits, Registration};
use sealway::core::wire::{Frame, Route};
use sealway::relay::RelayOptions;
use sealway::{Count, Event, Message, Node};

/// Waits until something was counted so often.
async fn counted(node: &Node, count: Count, times: u64) {
    let wait = async {
        while node.counters().get(count) < times {
            tokio::time::sleep(ms(1)).await;
        }
    };
    if tokio::time::timeout(SOON, wait).await.is_err() {
        panic!("{}: {:?}", count.name(), node.counters().snapshot());
    }
}

async fn replies(node: &Node, channel: &Channel) -> bool {
    let reply = node.request::<String>(channel.to("echo"), "me too?".to_owned(), SOON);
    reply.await.is_ok_and(|reply| reply == "me too?")
}

#[tokio::test]
async fn a_connection_that_opens_all_channels_it_can_leaves_room_for_others() {
    const MOST: usize = 32;
    let victim = Node::builder()
        .ephemeral_identity()
        .max_channels(MOST)
        .start();
    offer(&victim, Trust::Everyone);
    let address = victim
        .listen("127.0.0.1:0")
        .await
        .expect("a free port")
        .address;
    // Each with an identity of its own and a return route that it makes up.
    let mut raw = Raw::connect(&address).await;
    for _ in 0..MOST {
        raw.open(&party(), "api", "me").await;
    }
    counted(&victim, Count::ChannelsOpened, MOST as u64).await;
    for _ in 0..10 {
        raw.start(&party(), "api", "me").await;
    }
    counted(&victim, Count::HandshakesRefused, 10).await;

    let honest = Node::builder().ephemeral_identity().start();
    let link = honest.connect(&address).await.expect("it listens");
    let mut channels = Vec::new();
    for n in 1..=4 {
        let options = ChannelOptions::expect(Trust::Everyone);
        let opened: Result<Channel, OpenError> =
            honest.secure_channel(link.to("api"), options).await;
        channels.push(opened.expect("a channel"));
        counted(&victim, Count::ChannelsEvicted, n).await;
    }
    // It goes on, and takes nothing back.
    for _ in 0..10 {
        raw.start(&party(), "api", "me").await;
    }
    counted(&victim, Count::HandshakesRefused, 20).await;
    for channel in &channels {
        assert!(replies(&honest, channel).await);
    }
}

/// A connection with an ephemeral name at the relay, and that name.
async fn registrant(relay: &str) -> (Raw, Route) {
    named(Raw::connect(relay).await).await
}

async fn named(mut raw: Raw) -> (Raw, Route) {
    let registration = Registration::Ephemeral.encode();
    raw.send(&one(EPHEMERAL_SERVICE), &one("me"), &registration)
        .await;
    let confirmation = raw.receive().await.expect("a confirmation");
    (raw, confirmation.return_route)
}

/// Sends to a name that a relay knows, and gives what its owner gets.
async fn by_name(client: &mut Raw, name: &Route, owner: &mut Raw) -> Route {
    client.send(name, &one("me"), b"hello").await;
    owner.receive().await.expect("relayed").return_route
}

#[tokio::test]
async fn a_connection_that_asks_for_every_name_keeps_the_ways_it_uses_and_no_more() {
    const MOST: usize = 256;
    let relay = Node::builder().start();
    relay.relay_service(RelayOptions::default()).expect("free");
    let address = relay
        .listen("127.0.0.1:0")
        .await
        .expect("a free port")
        .address;
    let mut client = Raw::connect(&address).await;
    let mut other = Raw::connect(&address).await;
    let mut all = Vec::new();
    let mut ways = Vec::new();
    let mut second = Route::new();
    for n in 0..MOST + 3 {
        let (mut owner, name) = registrant(&address).await;
        ways.push(by_name(&mut client, &name, &mut owner).await);
        if n == 1 {
            // The second one has another client besides.
            let way = by_name(&mut other, &name, &mut owner).await;
            owner.send(&way, &one("me"), b"back").await;
            second = other.receive().await.expect("an answer").return_route;
        }
        all.push(owner);
        if n == 0 || n == MOST - 1 {
            // The first one is in use.
            all[0].send(&ways[0], &one("me"), b"back").await;
            assert!(client.receive().await.is_some());
        }
    }
    assert_eq!(relay.counters().get(Count::GrantsEvicted), 3);
    assert_eq!(relay.counters().get(Count::NotExposed), 0);
    for n in [1, 2, 3] {
        all[n].send(&ways[n], &one("me"), b"back").await;
    }
    counted(&relay, Count::NotExposed, 3).await;
    // Neither the one way nor the other, for who had asked.
    client.send(&second, &one("me"), b"hello?").await;
    counted(&relay, Count::NotExposed, 4).await;
    other.send(&second, &one("me"), b"hello!").await;
    let came = all[1].receive().await.expect("relayed");
    assert_eq!(came.payload, b"hello!");
    for n in [0, 4, MOST + 2] {
        all[n].send(&ways[n], &one("me"), b"back").await;
        assert!(client.receive().await.is_some());
    }
    // Nobody else is any the worse for it.
    let (mut owner, name) = registrant(&address).await;
    let way = by_name(&mut other, &name, &mut owner).await;
    owner.send(&way, &one("me"), b"back").await;
    assert!(other.receive().await.is_some());
    assert_eq!(relay.counters().get(Count::GrantsEvicted), 3);
}

#[tokio::test]
async fn a_host_with_many_connections_leaves_relay_names_to_others() {
    let relay = Node::builder().start();
    let limits = Limits {
        live: 6,
        live_per_source: 3,
        ..Limits::default()
    };
    let options = RelayOptions {
        limits,
        ..RelayOptions::default()
    };
    relay.relay_service(options).expect("free");
    let address = relay
        .listen("127.0.0.1:0")
        .await
        .expect("a free port")
        .address;
    let mut flood = Vec::new();
    for _ in 0..3 {
        flood.push(registrant(&address).await);
    }
    let registration = Registration::Ephemeral.encode();
    for n in 1..=10 {
        let mut raw = Raw::connect(&address).await;
        raw.send(&one(EPHEMERAL_SERVICE), &one("me"), &registration)
            .await;
        counted(&relay, Count::RelayRefused, n).await;
    }
    let (mut owner, name) = named(Raw::connect_from("127.0.0.2", &address).await).await;
    let mut client = Raw::connect(&address).await;
    by_name(&mut client, &name, &mut owner).await;
}

/// The refusals that wait among `events`; nothing may have been lost.
fn refusals(events: &mut tokio::sync::broadcast::Receiver<Event>) -> Vec<String> {
    use tokio::sync::broadcast::error::TryRecvError;
    let mut told = Vec::new();
    loop {
        match events.try_recv() {
            Ok(Event::Refused { why }) => told.push(why),
            Ok(_) => {}
            Err(TryRecvError::Empty) => return told,
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_refusals_is_told_in_few_lines() {
    const MANY: u64 = 4_322;
    let relay = Node::builder().start();
    relay.relay_service(RelayOptions::default()).expect("free");
    let mut events = relay.events();
    let flood = async |times: u64| {
        let before = relay.counters().get(Count::RelayRefused);
        for _ in 0..times {
            let message = Message::new(
                one(EPHEMERAL_SERVICE),
                Route::new(),
                Frame::from_slice(b"no registration"),
            );
            relay.send(message).await.expect("sent");
        }
        while relay.counters().get(Count::RelayRefused) < before + times {
            tokio::task::yield_now().await;
        }
    };
    flood(MANY).await;
    assert_eq!(relay.counters().get(Count::RelayRefused), MANY);
    let told = refusals(&mut events);
    assert_eq!(told.len(), 10);
    assert!(told.iter().all(|line| !line.contains("more")), "{told:?}");

    tokio::time::sleep(ms(1_100)).await;
    let told = refusals(&mut events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with("… and 4311 more like it"), "{told:?}");

    // One a second while it goes on.
    flood(50).await;
    tokio::time::sleep(ms(1_100)).await;
    let told = refusals(&mut events);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with("… and 49 more like it"), "{told:?}");
    // After a while of quiet, each line again.
    tokio::time::sleep(ms(20_000)).await;
    flood(10).await;
    let told = refusals(&mut events);
    assert_eq!(told.len(), 10);
    assert!(told.iter().all(|line| !line.contains("more")), "{told:?}");
}
