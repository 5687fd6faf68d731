//! Which suite a channel has: chosen at each end before the first byte, and weakened by nobody in between.

mod node_common;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use node_common::{SOON, builder, identifier, offer};
use sealway::channel::floors::{FloorError, FloorStore, Floors};
use sealway::channel::histories::{Histories, HistoryStore};
use sealway::channel::{Channel, ChannelOptions, CloseReason, ListenerOptions, OpenError};
use sealway::core::UnixSeconds;
use sealway::core::channel::{Suite, Trust};
use sealway::core::identity::{Identifier, Identity};
use sealway::core::wire::{Address, Frame, MultiAddr, Route, RoutingMessage, encode_routing};
use sealway::home::Home;
use sealway::transport::BoxFuture;
use sealway::transport::memory::{Direction, Network, Verdict};
use sealway::{Access, Count, Event, Exposure, Node, PathOptions};

/// Where the server listens.
const AT: &str = "tcp:10.0.0.1:1";
const NOW: UnixSeconds = UnixSeconds(1_000_000);
/// A hybrid message 1, and a classical one.
const MESSAGE_1: [usize; 2] = [1_218, 32];

/// What somebody in between makes of a message: another destination, other bytes.
type Meddling = fn(Direction, &mut Route, &mut Vec<u8>);
/// Handshake messages as they left the client: the address they name, and their length.
type Sent = Arc<Mutex<Vec<(Address, usize)>>>;

/// Puts somebody between who connects and who listens; gives what the former has sent.
fn between(network: &Network, meddling: Meddling) -> Sent {
    let sent = Sent::default();
    let told = Arc::clone(&sent);
    network.set_tap(move |direction, bytes| {
        let message = RoutingMessage::decode(bytes).expect("a routing message");
        let mut payload = bytes[message.payload].to_vec();
        let mut onward = message.onward;
        if direction == Direction::ToListener {
            let to = onward.first().expect("an address").clone();
            told.lock().expect("no panic").push((to, payload.len()));
        }
        let before = (onward.clone(), payload.clone());
        meddling(direction, &mut onward, &mut payload);
        if before == (onward.clone(), payload.clone()) {
            return Verdict::Pass;
        }
        let mut frame = Frame::from_slice(&payload);
        encode_routing(&mut frame, &onward, &message.return_route);
        Verdict::Replace(frame.as_slice().to_vec())
    });
    sent
}

fn is_message1(direction: Direction, payload: &[u8]) -> bool {
    direction == Direction::ToListener && payload.len() == MESSAGE_1[0]
}

fn is_message2(direction: Direction, payload: &[u8]) -> bool {
    direction == Direction::ToConnector && payload.len() > 1_218
}

/// Opens a channel with whoever listens, by the listener of this name.
async fn open(client: &Node, listener: &str, suite: Option<Suite>) -> Result<Channel, OpenError> {
    let link = client.connect(AT).await.expect("it listens");
    let options = ChannelOptions {
        suite,
        ..ChannelOptions::expect(Trust::Everyone)
    };
    client.secure_channel(link.to(listener), options).await
}

async fn listen(node: &Node) {
    node.listen(AT).await.expect("free");
}

/// A server with listeners of both suites, and a second hybrid one.
async fn server(network: &Network) -> Node {
    let node = builder(network).start();
    offer(&node, Trust::Everyone);
    let access = Access::trust(Trust::Everyone);
    node.secure_channel_listener("other", ListenerOptions::new(access))
        .expect("free");
    listen(&node).await;
    node
}

#[tokio::test(start_paused = true)]
async fn a_listeners_name_says_its_suite_at_both_ends() {
    let network = Network::new(1);
    let server = server(&network).await;
    let client = builder(&network).start();
    let mut events = server.events();
    let names = [
        ("api", Suite::Classical),
        ("sealway_xx1", Suite::Hybrid),
        ("other", Suite::Hybrid),
    ];
    for (listener, suite) in names {
        let channel = open(&client, listener, None).await.expect("a channel");
        assert_eq!(channel.suite(), suite, "{listener}");
        let told = loop {
            if let Event::Peer { suite, .. } = events.recv().await.expect("events") {
                break suite;
            }
        };
        assert_eq!(told, suite, "{listener}");
        let there: Vec<_> = server.channels().iter().map(Channel::suite).collect();
        assert_eq!(there, [suite], "{listener}");
        channel.close();
        while !server.channels().is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listener_answers_no_other_suite_than_its_own() {
    let network = Network::new(2);
    let server = server(&network).await;
    let client = builder(&network).start();
    let mut refused = 0;
    for listener in ["sealway_xx1", "other"] {
        let outcome = open(&client, listener, Some(Suite::Classical)).await;
        assert!(
            matches!(outcome, Err(OpenError::Deadline { last: None, .. })),
            "{listener}: {outcome:?}"
        );
        let now = server.counters().get(Count::HandshakesRefused);
        assert!(now > refused, "{listener}: the refusal is not counted");
        refused = now;
    }
    // The reference answers whatever begins with 32 bytes; its answer is then no hybrid one.
    let outcome = open(&client, "api", Some(Suite::Hybrid)).await;
    assert!(
        matches!(outcome, Err(OpenError::Deadline { last: Some(_), .. })),
        "{outcome:?}"
    );
    assert!(server.channels().is_empty() && client.channels().is_empty());
}

/// What somebody in between may try, so that the two speak something weaker, or speak past each other.
const DOWNGRADES: [(&str, Meddling); 10] = [
    ("e1 is stripped", |direction, _, payload| {
        if is_message1(direction, payload) {
            payload.truncate(2 + 32);
        }
    }),
    ("all that is hybrid is stripped", |direction, _, payload| {
        if is_message1(direction, payload) {
            *payload = payload[2..34].to_vec();
        }
    }),
    ("led to the classical listener", |direction, to, payload| {
        if is_message1(direction, payload) {
            *to = Route::from("api");
        }
    }),
    ("led there with what it reads", |direction, to, payload| {
        if is_message1(direction, payload) {
            *payload = payload[2..34].to_vec();
            *to = Route::from("api");
        }
    }),
    ("the suite says classical", |direction, _, payload| {
        if is_message1(direction, payload) {
            payload[1] = 0;
        }
    }),
    (
        "led to another hybrid listener",
        |direction, to, payload| {
            if is_message1(direction, payload) {
                *to = Route::from("other");
            }
        },
    ),
    ("e is altered", |direction, _, payload| {
        if is_message1(direction, payload) {
            payload[2] ^= 1;
        }
    }),
    ("e1 is altered", |direction, _, payload| {
        if is_message1(direction, payload) {
            // The seed in the encapsulation key: any bytes are a valid one.
            payload[MESSAGE_1[0] - 1] ^= 1;
        }
    }),
    ("the ciphertext is altered", |direction, _, payload| {
        if is_message2(direction, payload) {
            payload[32] ^= 1;
        }
    }),
    ("the ciphertext is stripped", |direction, _, payload| {
        if is_message2(direction, payload) {
            payload.drain(32..32 + 1_104);
        }
    }),
];

#[tokio::test(start_paused = true)]
async fn a_downgrade_of_any_kind_is_refused_and_nothing_weaker_is_tried() {
    let untouched: (&str, Meddling) = ("untouched", |_, _, _| {});
    for (attack, meddling) in DOWNGRADES.into_iter().chain([untouched]) {
        let network = Network::new(3);
        let server = server(&network).await;
        let client = builder(&network).start();
        let sent = between(&network, meddling);
        let outcome = open(&client, "sealway_xx1", None).await;
        let sent = sent.lock().expect("no panic").clone();
        if attack == "untouched" {
            let channel = outcome.expect("nothing is in its way");
            assert_eq!(channel.suite(), Suite::Hybrid);
            assert_eq!(sent[0].1, MESSAGE_1[0]);
            continue;
        }
        assert!(
            matches!(outcome, Err(OpenError::Deadline { .. })),
            "{attack}: {outcome:?}"
        );
        assert!(sent.len() > 2, "{attack}: asked {} times", sent.len());
        let asked = (Address::local("sealway_xx1"), MESSAGE_1[0]);
        for message in sent {
            assert_eq!(message, asked, "{attack}: something else was tried");
        }
        let refused = |node: &Node| node.counters().get(Count::HandshakesRefused);
        assert!(refused(&server) + refused(&client) > 0, "{attack}");
        assert!(server.channels().is_empty(), "{attack}");
        assert!(client.channels().is_empty(), "{attack}");
    }
}

/// Who answers there has a trusted identity, and a classical key of it. That is not what was asked for.
#[tokio::test(start_paused = true)]
async fn who_answers_classically_is_refused_whoever_it_is() {
    for (suite, accepted) in [(Suite::Classical, false), (Suite::Hybrid, true)] {
        let network = Network::new(4);
        let server = builder(&network).start();
        let options = ListenerOptions {
            suite: Some(suite),
            ..ListenerOptions::new(Access::trust(Trust::Everyone))
        };
        server
            .secure_channel_listener("sealway_xx1", options)
            .expect("free");
        listen(&server).await;
        let client = builder(&network).start();
        let sent = between(&network, |_, _, _| {});
        let outcome = open(&client, "sealway_xx1", None).await;
        assert_eq!(outcome.is_ok(), accepted, "{suite}: {outcome:?}");
        if !accepted {
            let lens: Vec<_> = sent.lock().expect("no panic").iter().map(|m| m.1).collect();
            assert!(lens.iter().all(|len| *len == MESSAGE_1[0]), "{lens:?}");
        }
    }
}

/// A path that breaks comes back in its suite or not at all.
#[tokio::test(start_paused = true)]
async fn a_path_is_never_rebuilt_in_a_weaker_suite() {
    let network = Network::new(5);
    let identity = builder(&network).start().parties().expect("an identity");
    // Each instance is the same identity, at the same place.
    let instance = async |suite: Suite| {
        let node = builder(&network).identity(identity.clone()).start();
        let access = Access::trust(Trust::Everyone);
        let exposure = Exposure::local().to_channels(access.clone(), "out");
        node.outlet("out", "127.0.0.1:9", exposure).expect("free");
        for listener in ["api", "sealway_xx1"] {
            let options = ListenerOptions {
                suite: Some(suite),
                ..ListenerOptions::new(access.clone())
            };
            node.secure_channel_listener(listener, options)
                .expect("free");
        }
        listen(&node).await;
        node
    };
    let server = instance(Suite::Hybrid).await;
    let client = builder(&network).start();
    let sent = between(&network, |_, _, _| {});
    let to: MultiAddr = "/ip4/10.0.0.1/tcp/1/secure/sealway_xx1/service/out"
        .parse()
        .expect("a multiaddr");
    let options = PathOptions {
        channels: 1,
        ..PathOptions::expect(Trust::Identifier(identifier(&server)))
    };
    let mut events = client.events();
    let _inlet = client
        .inlet("127.0.0.1:0", &to, options)
        .await
        .expect("an inlet");
    let opened = || client.counters().get(Count::ChannelsOpened);
    assert_eq!(opened(), 1);

    server.shutdown(SOON).await;
    let weaker = instance(Suite::Classical).await;
    loop {
        if let Event::Lost { .. } = events.recv().await.expect("events") {
            break;
        }
    }
    sent.lock().expect("no panic").clear();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(opened(), 1, "it was rebuilt in a weaker suite");
    let asked = (Address::local("sealway_xx1"), MESSAGE_1[0]);
    let tried = sent.lock().expect("no panic").clone();
    assert!(tried.len() > 5, "it was tried {} times", tried.len());
    assert!(tried.iter().all(|message| *message == asked), "{tried:?}");

    weaker.shutdown(SOON).await;
    let _server = instance(Suite::Hybrid).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(opened(), 2, "it comes back in its own suite");
    let suites: Vec<_> = client.channels().iter().map(Channel::suite).collect();
    assert_eq!(suites, [Suite::Hybrid]);
}

/// Floors of known peers, in memory.
#[derive(Clone, Default)]
struct Known(Arc<Mutex<HashMap<Identifier, Suite>>>);

impl Known {
    fn floor_of(&self, peer: Identifier) -> Option<Suite> {
        self.0.lock().expect("no panic").get(&peer).copied()
    }

    fn set(&self, peer: Identifier, floor: Suite) {
        self.0.lock().expect("no panic").insert(peer, floor);
    }
}

impl FloorStore for Known {
    fn floor(&self, peer: &Identifier) -> Result<Option<Suite>, String> {
        Ok(self.floor_of(*peer))
    }

    fn raise(&self, peer: &Identifier, suite: Suite) -> BoxFuture<'static, Result<(), String>> {
        self.set(*peer, suite);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A floor that is raised by somebody else between the first look at it and the second.
#[derive(Default)]
struct RaisedMeanwhile(AtomicUsize);

impl FloorStore for RaisedMeanwhile {
    fn floor(&self, _: &Identifier) -> Result<Option<Suite>, String> {
        let is_first = self.0.fetch_add(1, Ordering::Relaxed) == 0;
        Ok(Some(if is_first {
            Suite::Classical
        } else {
            Suite::Hybrid
        }))
    }

    fn raise(&self, _: &Identifier, _: Suite) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_floor_that_is_raised_during_the_handshake_is_seen_at_its_end_by_both_ends() {
    let network = Network::new(11);
    let raised = || Floors::stored(Arc::new(RaisedMeanwhile::default()));
    let server = builder(&network).floors(raised()).start();
    offer(&server, Trust::Everyone);
    listen(&server).await;
    let client = builder(&network).start();
    let channel = open(&client, "api", None).await.expect("it is not told");
    let ended = tokio::time::timeout(SOON, channel.closed()).await;
    assert_eq!(ended.expect("it went on"), CloseReason::Refused);
    assert_eq!(server.channels().len(), 0);

    let client = builder(&network).floors(raised()).start();
    let outcome = open(&client, "api", None).await;
    assert!(
        matches!(outcome, Err(OpenError::Floor(FloorError::Below { .. }))),
        "{outcome:?}"
    );
    assert_eq!(client.channels().len(), 0);
}

/// What cannot be read.
struct Broken;

impl FloorStore for Broken {
    fn floor(&self, _: &Identifier) -> Result<Option<Suite>, String> {
        Err("the disk is gone".to_owned())
    }

    fn raise(&self, _: &Identifier, _: Suite) -> BoxFuture<'static, Result<(), String>> {
        Box::pin(std::future::ready(Err("the disk is gone".to_owned())))
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_met_in_a_stronger_suite_is_not_met_in_a_weaker_one() {
    let network = Network::new(6);
    let server = server(&network).await;
    let peer = identifier(&server);
    let known = Known::default();
    let floors = Floors::stored(Arc::new(known.clone()));
    let client = builder(&network).floors(floors).start();
    // A stranger's suite is no matter of the past.
    for listener in ["sealway_xx1", "api"] {
        open(&client, listener, None).await.expect("a channel");
    }
    assert_eq!(known.floor_of(peer), None);
    known.set(peer, Suite::Classical);
    let weaker = open(&client, "api", None)
        .await
        .expect("nothing stronger was met");
    open(&client, "sealway_xx1", None).await.expect("a channel");
    assert_eq!(known.floor_of(peer), Some(Suite::Hybrid));
    let ended = tokio::time::timeout(SOON, weaker.closed()).await;
    assert_eq!(ended.expect("it went on"), CloseReason::Local);
    let sent = between(&network, |_, _, _| {});
    let outcome = open(&client, "api", None).await;
    assert!(
        matches!(&outcome, Err(OpenError::Floor(FloorError::Below { peer: met, .. })) if *met == peer),
        "{outcome:?}"
    );
    let lens: Vec<_> = sent.lock().expect("no panic").iter().map(|m| m.1).collect();
    assert_eq!(lens, [MESSAGE_1[1]], "our identity was shown");
    open(&client, "sealway_xx1", None).await.expect("a channel");
    assert_eq!(known.floor_of(peer), Some(Suite::Hybrid));
    known.set(peer, Suite::Classical);
    open(&client, "api", None).await.expect("it was lowered");

    let client = builder(&network)
        .floors(Floors::stored(Arc::new(Broken)))
        .start();
    let outcome = open(&client, "sealway_xx1", None).await;
    assert!(
        matches!(
            outcome,
            Err(OpenError::Floor(FloorError::Unreadable { .. }))
        ),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_node_with_a_home_remembers_over_a_restart_in_which_suite_a_peer_was_met() {
    let network = Network::new(10);
    let server = server(&network).await;
    let directory = tempfile::tempdir().expect("a directory");
    let home = Home::open(directory.path().join("home")).expect("a home");
    let name = "server".parse().expect("a name");
    let added = home.peers().add(&name, identifier(&server), NOW);
    added.await.expect("room");
    let client = builder(&network).home(&home).start();
    open(&client, "sealway_xx1", None).await.expect("a channel");
    client.shutdown(SOON).await;
    let home = Home::open(directory.path().join("home")).expect("a home");
    let client = builder(&network).home(&home).start();
    let outcome = open(&client, "api", None).await;
    assert!(
        matches!(outcome, Err(OpenError::Floor(FloorError::Below { .. }))),
        "{outcome:?}"
    );
}

/// What is known of histories: nothing, or nothing that can be read.
struct Past {
    is_readable: bool,
}

impl HistoryStore for Past {
    fn known(&self, _: &Identifier) -> Result<Option<Identity>, String> {
        let unreadable = || "the disk is gone".to_owned();
        self.is_readable.then_some(None).ok_or_else(unreadable)
    }

    fn remember(&self, _: &Identity, _: UnixSeconds) {}
}

#[tokio::test(start_paused = true)]
async fn a_peer_whose_history_is_refused_raises_no_floor() {
    let network = Network::new(9);
    let server = server(&network).await;
    let peer = identifier(&server);
    for (is_readable, floor) in [(false, Suite::Classical), (true, Suite::Hybrid)] {
        let known = Known::default();
        known.set(peer, Suite::Classical);
        let client = builder(&network)
            .floors(Floors::stored(Arc::new(known.clone())))
            .histories(Histories::stored(Arc::new(Past { is_readable })))
            .start();
        let outcome = open(&client, "sealway_xx1", None).await;
        assert_eq!(outcome.is_ok(), is_readable, "{outcome:?}");
        assert_eq!(known.floor_of(peer), Some(floor));
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_was_met_in_a_stronger_suite_is_refused_in_a_weaker_one() {
    let network = Network::new(7);
    let known = Known::default();
    let floors = Floors::stored(Arc::new(known.clone()));
    let server = builder(&network).floors(floors).start();
    offer(&server, Trust::Everyone);
    listen(&server).await;
    let client = builder(&network).start();
    known.set(identifier(&client), Suite::Classical);
    let reaches = async |listener: &str| {
        let channel = open(&client, listener, None).await.expect("a channel");
        let asked = client.request::<String>(channel.to("echo"), "there?".to_owned(), SOON);
        let reached = tokio::select! {
            biased;
            reply = asked => reply.is_ok(),
            reason = channel.closed() => {
                assert_eq!(reason, CloseReason::Refused);
                false
            }
        };
        channel.close();
        reached
    };
    assert!(reaches("api").await, "nothing stronger was met");
    assert!(reaches("sealway_xx1").await);
    assert_eq!(known.floor_of(identifier(&client)), Some(Suite::Hybrid));
    assert!(!reaches("api").await, "it reached something all the same");
    assert_eq!(server.counters().get(Count::PeersRefused), 1);
    assert!(reaches("sealway_xx1").await);
}

#[tokio::test(start_paused = true)]
async fn a_key_for_one_suite_opens_and_accepts_no_other() {
    let network = Network::new(8);
    let parties = builder(&network).start().parties().expect("an identity");
    let classical = parties.of(Suite::Classical).expect("a key").clone();
    let half = builder(&network).identity(classical).start();
    offer(&half, Trust::Everyone);
    listen(&half).await;
    let outcome = open(&half, "sealway_xx1", None).await;
    assert!(matches!(outcome, Err(OpenError::NoKey(Suite::Hybrid))));
    let client = builder(&network).start();
    let outcome = open(&client, "sealway_xx1", None).await;
    assert!(matches!(outcome, Err(OpenError::Deadline { .. })));
    open(&client, "api", None).await.expect("it has that key");
}
