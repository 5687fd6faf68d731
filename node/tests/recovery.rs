//! What comes back after a loss, and what must not: connections, peers and relays that break, restart or are exchanged.

mod node_common;
#[path = "node_common/portals.rs"]
mod portals;

use std::collections::{BTreeSet, HashSet};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use node_common::{SOON, Sink, builder, identifier, ms, offer, pattern};
use portals::{BOTH, Portal, lose_one, lost, read_to_end, standing};
use sealway::core::UnixSeconds;
use sealway::core::channel::{LocalParty, Trust};
use sealway::core::crypto::{DhSecret, KeyType, SigningKey};
use sealway::core::identity::{Attestation, Identity, PurposeKey, Rotation};
use sealway::core::wire::{MultiAddr, Route};
use sealway::keys::Parties;
use sealway::portal::{Inlet, PortalProtocol};
use sealway::relay::{RegistrationOptions, RelayOptions, RelayRegistration};
use sealway::transport::memory::{Direction, LinkProfile, Network, Verdict};
use sealway::{Access, Count, Event, Exposure, Message, Node, PathOptions, Payload};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_path_is_rebuilt_after_a_partition() {
    for protocol in BOTH {
        let portal = Portal::speaking(protocol, 7).await;
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
}

#[tokio::test(start_paused = true)]
async fn a_path_that_breaks_as_soon_as_it_stands_is_rebuilt_ever_more_slowly() {
    let portal = Portal::new(7).await;
    let mut events = portal.client.events();
    let breaks = async |count: u32, events: &mut Receiver<Event>| {
        let began = Instant::now();
        for _ in 0..count {
            portal.network.break_connections();
            lost(events).await;
            standing(&portal.inlet).await;
        }
        began.elapsed()
    };
    let took = breaks(12, &mut events).await;
    assert!(took > Duration::from_secs(20), "{took:?}");
    // What stood for long is rebuilt at once.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let took = breaks(1, &mut events).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_path_is_rebuilt_after_each_break_of_its_connection() {
    for protocol in BOTH {
        let portal = Portal::speaking(protocol, 8).await;
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
}

/// While the outlet is not there nobody answers a Hello, as if the peer were one of the reference's.
#[tokio::test(start_paused = true)]
async fn a_path_that_spoke_the_native_portal_is_rebuilt_to_speak_nothing_else() {
    let portal = Portal::new(7).await;
    let mut events = portal.client.events();
    portal.server.stop_worker(&"out".into());
    portal.network.break_connections();
    loop {
        if let Event::Refused { why } = events.recv().await.expect("events go on") {
            assert!(why.contains("does not speak Sealway's portal"), "{why}");
            break;
        }
    }
    assert!(portal.inlet.path().is_none());
    let address = portal.target.local_addr().expect("bound").to_string();
    let everyone = Exposure::local().to_channels(Access::trust(Trust::Everyone), "out");
    portal
        .server
        .outlet("out", &address, everyone)
        .expect("free");
    assert!(standing(&portal.inlet).await.is_native());
    let (client, target) = portal.transfer(b"question", b"answer").await;
    assert!(client.clean && target.clean && client.bytes == b"answer");
}

#[tokio::test(start_paused = true)]
async fn a_channel_whose_last_handshake_message_was_lost_is_rebuilt() {
    for protocol in BOTH {
        let portal = Portal::speaking(protocol, 9).await;
        let mut events = portal.client.events();
        // After the connection breaks: message 1, message 3, which is lost.
        let countdown = Arc::new(AtomicI64::new(1));
        lose_one(&portal.network, Direction::ToListener, &countdown);
        portal.network.break_connections();
        lost(&mut events).await;
        let began = Instant::now();
        standing(&portal.inlet).await;
        // Whom nothing is expected of is found silent later; who owes an answer to a Hello is not relied on before it came.
        if protocol == PortalProtocol::Reference {
            assert_eq!(lost(&mut events).await, "the peer fell silent");
        }
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        assert!(countdown.load(Ordering::SeqCst) < 0, "it was lost");
        let (client, _) = portal.transfer(b"question", b"answer").await;
        assert!(client.clean && client.bytes == b"answer");
    }
}

/// The node's machine loses power: whatever it would still say is lost, and its connections are found broken when it is back.
async fn kill(node: &Node, networks: &[&Network]) {
    networks.iter().for_each(|network| network.partition());
    node.shutdown(SOON).await;
    networks.iter().for_each(|network| network.heal());
}

/// A service that knows what each of its clients sends, and answers with what they expect.
#[derive(Default)]
struct Served {
    /// The numbers of the requests that ended in order and whole.
    whole: Vec<u32>,
    /// What must never be.
    wrong: Vec<String>,
}

const REQUEST: usize = 150_000;
const ANSWER: usize = 100_000;

/// The request of a number: the number, then bytes that follow from it.
fn request(number: u32) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend(pattern(REQUEST, number));
    bytes
}

fn answer(number: u32) -> Vec<u8> {
    pattern(ANSWER, number ^ 0x5555)
}

fn serve(service: TcpListener) -> Arc<Mutex<Served>> {
    let served: Arc<Mutex<Served>> = Arc::default();
    let notes = Arc::clone(&served);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = service.accept().await {
            let notes = Arc::clone(&notes);
            tokio::spawn(async move {
                let seen = read_to_end(&mut socket).await;
                let number = seen
                    .bytes
                    .first_chunk()
                    .map(|bytes| u32::from_be_bytes(*bytes));
                let true_so_far = number.is_none_or(|number| seen.is_true_to(&request(number)));
                match number {
                    _ if !true_so_far => notes.lock().expect("no panic").wrong.push(format!(
                        "request {number:?}: {} bytes, clean: {}",
                        seen.bytes.len(),
                        seen.clean
                    )),
                    Some(number) if seen.clean => {
                        notes.lock().expect("no panic").whole.push(number);
                        let _ = socket.write_all(&answer(number)).await;
                        let _ = socket.shutdown().await;
                        // Dropped only when the other end has seen it: what follows is nothing.
                        let _ = socket.read(&mut [0]).await;
                    }
                    _ => {}
                }
            });
        }
    });
    served
}

/// Asks the service once: whether the answer came whole. Anything between that and an error is a failure.
async fn ask(inlet: &Inlet, number: u32) -> bool {
    let Ok(mut socket) = TcpStream::connect(inlet.address()).await else {
        return false;
    };
    let sent = socket.write_all(&request(number)).await.is_ok() && socket.shutdown().await.is_ok();
    let seen = read_to_end(&mut socket).await;
    assert!(
        seen.is_true_to(&answer(number)),
        "request {number}: deceived after {} bytes",
        seen.bytes.len()
    );
    assert!(!seen.clean || sent, "request {number}: answered unasked");
    seen.clean
}

/// A service behind a node with no open port, which is reached through a relay: client and node have networks of their own.
struct Stage {
    near: Network,
    far: Network,
    relay: Node,
    server: Node,
    registration: RelayRegistration,
    client: Node,
    inlet: Inlet,
    target: String,
    served: Arc<Mutex<Served>>,
}

impl Stage {
    async fn new(seed: u64) -> Self {
        let (near, far) = (Network::new(seed), Network::new(seed + 1_000));
        for network in [&near, &far] {
            network.set_link(LinkProfile {
                delay: ms(5),
                ..LinkProfile::default()
            });
        }
        let service = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let target = service.local_addr().expect("bound").to_string();
        let served = serve(service);
        let relay = relay(&near, &far, None).await;
        let (server, registration) = private(&far, None, &target).await;
        let client = builder(&near).start();
        let to = "/ip4/10.0.0.9/tcp/1/service/forward_to_alice/secure/api/service/out";
        let to: MultiAddr = to.parse().expect("a multiaddr");
        let expect = PathOptions::expect(Trust::Identifier(identifier(&server)));
        let inlet = client.inlet("127.0.0.1:0", &to, expect).await;
        Self {
            inlet: inlet.expect("an inlet"),
            near,
            far,
            relay,
            server,
            registration,
            client,
            target,
            served,
        }
    }

    async fn kill_relay(&mut self) {
        kill(&self.relay, &[&self.near, &self.far]).await;
        self.relay = relay(&self.near, &self.far, self.relay.parties()).await;
    }

    async fn kill_server(&mut self) {
        kill(&self.server, &[&self.far]).await;
        let party = self.server.parties();
        (self.server, self.registration) = private(&self.far, party, &self.target).await;
    }

    /// Asks until an answer comes; within how much time, and the next number.
    async fn recover(&self, mut number: u32) -> (Duration, u32) {
        let began = Instant::now();
        loop {
            number += 1;
            if ask(&self.inlet, number).await {
                return (began.elapsed(), number + 1);
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no way back");
        }
    }
}

/// A relay, at `tcp:10.0.0.9:1` on one side and `memory:relay` on the other.
async fn relay(near: &Network, far: &Network, party: Option<Parties>) -> Node {
    let builder = builder(near).transport(far.transport());
    let node = match party {
        Some(party) => builder.identity(party),
        None => builder,
    }
    .start();
    offer(&node, Trust::Everyone);
    node.relay_service(RelayOptions::default()).expect("free");
    node.listen("tcp:10.0.0.9:1").await.expect("free");
    node.listen("memory:relay").await.expect("free");
    node
}

/// A node that is reached through the relay as `alice`, with an outlet `out`.
async fn private(far: &Network, party: Option<Parties>, target: &str) -> (Node, RelayRegistration) {
    let builder = Node::builder().transport(far.transport());
    let node = match party {
        Some(party) => builder.identity(party),
        None => builder.ephemeral_identity(),
    }
    .start();
    offer(&node, Trust::Everyone);
    let exposure = Exposure::local().to_channels(Access::trust(Trust::Everyone), "out");
    node.outlet("out", target, exposure).expect("free");
    let options = RegistrationOptions::new(Some("alice".to_owned()), Trust::Everyone);
    let registration = node.register_at_relay("memory:relay", options).await;
    (node, registration.expect("registered"))
}

/// Resolves when so many more messages have passed in the network, in either direction.
fn after(network: &Network, messages: usize) -> Arc<Notify> {
    let reached = Arc::new(Notify::new());
    let (left, tell) = (AtomicUsize::new(messages), Arc::clone(&reached));
    network.set_tap(move |_, _| {
        if left.fetch_sub(1, Ordering::SeqCst) == 1 {
            tell.notify_one();
        }
        Verdict::Pass
    });
    reached
}

#[tokio::test(start_paused = true)]
async fn a_transfer_under_which_a_machine_dies_is_whole_or_reset_and_the_next_one_arrives() {
    let (mut number, mut reset) = (0, 0);
    for seed in 0..3 {
        let mut stage = Stage::new(seed).await;
        for moment in 1..=12 {
            let reached = after(&stage.near, moment);
            let whole = {
                // The victim dies in the middle of it, and is started again.
                let inlet = stage.inlet.clone();
                let under_way = tokio::spawn(async move { ask(&inlet, number).await });
                reached.notified().await;
                if moment % 2 == 0 {
                    stage.kill_relay().await;
                } else {
                    stage.kill_server().await;
                }
                under_way.await.expect("never deceived")
            };
            reset += usize::from(!whole);
            let (took, next) = stage.recover(number).await;
            assert!(took < Duration::from_secs(40), "back after {took:?}");
            number = next;
        }
        let connected = async {
            // The path that was used, and the one that was opened for whoever comes beside it.
            while (stage.inlet.paths().len(), stage.client.links().len()) != (2, 2) {
                tokio::time::sleep(ms(10)).await;
            }
        };
        let settled = tokio::time::timeout(Duration::from_secs(60), connected).await;
        settled.expect("both stand again, and nothing is left of those that were lost");
        let served = stage.served.lock().expect("no panic");
        assert!(served.wrong.is_empty(), "{:?}", served.wrong);
        let once: BTreeSet<_> = served.whole.iter().collect();
        assert_eq!(once.len(), served.whole.len(), "served twice");
    }
    assert!(reset >= 12, "hardly any kill hit its transfer: {reset}");
}

#[tokio::test(start_paused = true)]
async fn a_path_gets_new_keys_each_hour_and_a_stream_over_the_old_ones_goes_on() {
    for protocol in BOTH {
        let portal = Portal::speaking(protocol, 21).await;
        let mut socket = TcpStream::connect(portal.inlet.address())
            .await
            .expect("it listens");
        let (mut served, _) = portal.target.accept().await.expect("a connection");
        let first = portal.inlet.path().expect("it stands");
        let mut passed = 0;
        // Hardly an hour: the keys are still the first ones.
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(3_590) {
            exchange(&mut socket, &mut served, passed).await;
            tokio::time::sleep(Duration::from_secs(5)).await;
            passed += 1;
        }
        let now = portal.inlet.path().expect("it stands");
        assert_eq!(now.route(), first.route());
        // The hour strikes under traffic.
        while portal.inlet.path().expect("never away").route() == first.route() {
            exchange(&mut socket, &mut served, passed).await;
            passed += 1;
            assert!(
                began.elapsed() < Duration::from_secs(3_620),
                "the keys are old"
            );
        }
        let old = first.channel().expect("a secure hop");
        assert_eq!(old.close_reason(), None, "a stream runs over it");
        // New connections take the new path; the old stream stays where it is, for another hour.
        let (client, target) = portal.transfer(b"over the new one", b"answer").await;
        assert!(client.clean && target.clean);
        for more in 0..10 {
            exchange(&mut socket, &mut served, passed + more).await;
            tokio::time::sleep(Duration::from_secs(360)).await;
        }
        assert_eq!(old.close_reason(), None);
        // With its last stream the old path goes, connection and all.
        socket.shutdown().await.expect("ended");
        served.shutdown().await.expect("ended");
        assert!(read_to_end(&mut socket).await.clean && read_to_end(&mut served).await.clean);
        tokio::time::timeout(SOON, first.ended())
            .await
            .expect("nobody uses it");
        tokio::time::sleep(SOON).await;
        for node in [&portal.client, &portal.server] {
            assert_eq!(node.links().len(), 1);
            assert_eq!(node.counters().get(Count::StreamsReset), 0);
        }
    }
}

/// Some kilobytes one way and back.
async fn exchange(one: &mut TcpStream, other: &mut TcpStream, number: u32) {
    let sent = pattern(20_000, number);
    let mut got = vec![0; sent.len()];
    for back in [false, true] {
        let (from, to) = if back {
            (&mut *other, &mut *one)
        } else {
            (&mut *one, &mut *other)
        };
        let (written, read) = tokio::join!(from.write_all(&sent), to.read_exact(&mut got));
        assert!(written.is_ok() && read.is_ok(), "exchange {number}");
        assert!(got == sent, "exchange {number}");
    }
}

/// Refusals that the node tells of until a path stands again, or for as long as there is nothing to wait for.
fn refusals(events: &mut Receiver<Event>) -> Vec<String> {
    let all = std::iter::from_fn(|| events.try_recv().ok());
    all.filter_map(|event| match event {
        Event::Refused { why } => Some(why),
        _ => None,
    })
    .collect()
}

/// Another node in the place of the portal's server, for whom it was; offers the same to whom `trust` admits.
async fn replace(portal: &mut Portal, party: Option<Parties>, trust: Trust) {
    portal.server.shutdown(SOON).await;
    let builder = builder(&portal.network);
    portal.server = match party {
        Some(party) => builder.identity(party),
        None => builder,
    }
    .start();
    offer(&portal.server, trust);
    let target = portal.target.local_addr().expect("bound").to_string();
    let exposure = Exposure::local().to_channels(Access::trust(Trust::Everyone), "out");
    portal
        .server
        .outlet("out", &target, exposure)
        .expect("free");
    portal.listening = portal.server.listen("tcp:10.0.0.1:1").await.expect("free");
}

#[tokio::test(start_paused = true)]
async fn a_stranger_in_the_way_is_told_once_and_asked_again_until_the_right_one_is_back() {
    let mut portal = Portal::new(31).await;
    let party = portal.server.parties();
    let mut events = portal.client.events();
    replace(&mut portal, None, Trust::Everyone).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(portal.inlet.path().is_none());
    let met = identifier(&portal.server).to_string();
    let told = refusals(&mut events);
    assert!(told.len() == 1 && told[0].contains(&met), "{told:?}");
    // One answer of a stranger ends one attempt, and no more; and they come at growing distances.
    let attempts = portal.client.counters().get(Count::HandshakesRefused);
    assert!((10..=40).contains(&attempts), "{attempts} attempts");
    assert_eq!(portal.server.counters().get(Count::ChannelsOpened), 0);

    replace(&mut portal, party, Trust::Everyone).await;
    tokio::time::timeout(SOON, standing(&portal.inlet))
        .await
        .expect("it stands again");
    let (client, target) = portal.transfer(b"question", b"answer").await;
    assert!(client.clean && target.clean);
    // A path that stood in between: the same stranger is news again.
    replace(&mut portal, None, Trust::Everyone).await;
    tokio::time::sleep(SOON).await;
    assert_eq!(refusals(&mut events).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stranger_at_the_hour_leaves_the_old_path_in_use() {
    let portal = Portal::new(32).await;
    let first = portal.inlet.path().expect("it stands");
    let mut events = portal.client.events();
    // From now on a stranger answers there; the connection that stands goes on.
    let stranger = builder(&portal.network).start();
    offer(&stranger, Trust::Everyone);
    portal.listening.close();
    tokio::time::sleep(ms(1)).await;
    let at = stranger.listen("tcp:10.0.0.1:1").await.expect("free");
    tokio::time::sleep(Duration::from_secs(3_700)).await;
    assert_eq!(refusals(&mut events).len(), 1);
    assert_eq!(
        portal.inlet.path().expect("it stands").route(),
        first.route()
    );
    let (client, target) = portal.transfer(b"question", b"answer").await;
    assert!(client.clean && target.clean);
    // Gone again: the keys are renewed without another hour.
    at.close();
    tokio::time::sleep(ms(1)).await;
    portal.server.listen("tcp:10.0.0.1:1").await.expect("free");
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_ne!(
        portal.inlet.path().expect("it stands").route(),
        first.route()
    );
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_admits_us_no_more_is_asked_with_back_off_until_it_does() {
    let mut portal = Portal::new(33).await;
    let party = portal.server.parties();
    let mut events = portal.client.events();
    replace(&mut portal, party.clone(), Trust::AnyOf(Vec::new())).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(portal.inlet.path().is_none());
    let told = refusals(&mut events);
    assert!(
        told.len() == 1 && told[0].contains("admits us to nothing"),
        "{told:?}"
    );
    let refused = portal.server.counters().get(Count::PeersRefused);
    assert!((10..=40).contains(&refused), "asked {refused} times");
    replace(&mut portal, party, Trust::Everyone).await;
    tokio::time::timeout(SOON, standing(&portal.inlet))
        .await
        .expect("it stands again");
}

/// An identity before and after a rotation.
fn rotated() -> [Arc<LocalParty>; 2] {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = UnixSeconds(now.expect("after 1970").as_secs());
    let [old, new] =
        [1, 2].map(|seed| SigningKey::from_bytes(KeyType::Ed25519, &[seed; 32]).expect("a key"));
    let first = Identity::create(&old, now);
    let second = first
        .rotate(&old, &new, now, Rotation::default())
        .expect("it rotates");
    [(first, old), (second, new)].map(|(identity, signer)| {
        let secret = DhSecret::from_bytes([3; 32]);
        let purpose = PurposeKey::SecureChannel(secret.public());
        let attestation = Attestation::issue(&signer, &identity, purpose, now).expect("its own");
        let party = LocalParty::new(&identity, &attestation, secret, &[]);
        Arc::new(party.expect("the parts belong together"))
    })
}

#[tokio::test(start_paused = true)]
async fn an_older_history_is_refused_when_a_path_is_rebuilt() {
    let [before, after] = rotated();
    let network = Network::new(41);
    let mut portal = Portal::to(builder(&network).identity(after.clone()), network).await;
    let mut events = portal.client.events();
    // Its state comes back from an old backup, or somebody has the old key.
    replace(&mut portal, Some(before.into()), Trust::Everyone).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(portal.inlet.path().is_none());
    let told = refusals(&mut events);
    assert!(
        told.len() == 1 && told[0].contains("older history"),
        "{told:?}"
    );
    assert_eq!(portal.server.counters().get(Count::ChannelsOpened), 0);
    replace(&mut portal, Some(after.into()), Trust::Everyone).await;
    tokio::time::timeout(SOON, standing(&portal.inlet))
        .await
        .expect("it stands again");
}

#[tokio::test(start_paused = true)]
async fn a_registration_outlives_a_stranger_in_the_place_of_its_relay() {
    let mut stage = Stage::new(51).await;
    let party = stage.relay.parties();
    let mut events = stage.server.events();
    kill(&stage.relay, &[&stage.near, &stage.far]).await;
    let stranger = relay(&stage.near, &stage.far, None).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let told = refusals(&mut events);
    let met = identifier(&stranger).to_string();
    assert!(told.len() == 1 && told[0].contains(&met), "{told:?}");
    assert!(stage.registration.address().is_none());
    kill(&stranger, &[&stage.near, &stage.far]).await;
    stage.relay = relay(&stage.near, &stage.far, party).await;
    let (took, _) = stage.recover(1_000).await;
    assert!(took < SOON * 2, "{took:?}");
    assert!(stage.registration.address().is_some());
}

#[tokio::test(start_paused = true)]
async fn no_message_arrives_twice_and_no_record_leaves_twice_whatever_breaks() {
    for protocol in BOTH {
        for seed in 0..20 {
            let portal = Portal::speaking(protocol, seed).await;
            let sink = Sink::default();
            let everyone = Exposure::local().to_channels(Access::trust(Trust::Everyone), "sink");
            let started = portal.server.start_worker("sink", sink.clone(), everyone);
            started.expect("free");
            let repeated = Arc::new(AtomicUsize::new(0));
            let (count, mut seen) = (Arc::clone(&repeated), HashSet::new());
            portal.network.set_tap(move |direction, message| {
                if !seen.insert((direction as u8, message.to_vec())) {
                    count.fetch_add(1, Ordering::SeqCst);
                }
                Verdict::Pass
            });
            let mut sent = 0;
            for round in 0..10 {
                let path = standing(&portal.inlet).await;
                let to = path.channel().expect("a secure hop").to("sink");
                for _ in 0..20 {
                    let payload = Payload::encode(sent.to_string());
                    let message = Message::new(to.clone(), Route::new(), payload);
                    sent += usize::from(portal.client.send(message).await.is_ok());
                }
                // With some of them under way.
                tokio::time::sleep(ms(3 + (seed + round) % 5)).await;
                portal.network.break_connections();
            }
            let (client, target) = portal.transfer(b"and then", b"all is well").await;
            assert!(client.clean && target.clean, "seed {seed}");
            let got = sink.got();
            let distinct: BTreeSet<_> = got.iter().collect();
            assert_eq!(distinct.len(), got.len(), "seed {seed}: delivered twice");
            assert!(got.len() < sent, "seed {seed}: no break hit anything");
            assert_eq!(
                repeated.load(Ordering::SeqCst),
                0,
                "seed {seed}: sent twice"
            );
        }
    }
}

/// Writes until the connection is reset, and reads nothing.
async fn pour(mut socket: TcpStream) {
    while socket.write_all(&[7; 64 << 10]).await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn streams_that_nobody_reads_both_ways_are_reset_and_a_bystander_goes_on() {
    let portal = Portal::reference(11).await;
    let mut pourers = Vec::new();
    for _ in 0..3 {
        let client = TcpStream::connect(portal.inlet.address())
            .await
            .expect("it listens");
        let (target, _) = portal.target.accept().await.expect("a connection");
        pourers.extend([client, target]);
    }
    let mut client = TcpStream::connect(portal.inlet.address())
        .await
        .expect("it listens");
    let (mut target, _) = portal.target.accept().await.expect("a connection");
    let pourers: Vec<_> = pourers
        .into_iter()
        .map(|socket| tokio::spawn(pour(socket)))
        .collect();
    // Each node waits for sockets of its own while the other one's paths are full of what is for them.
    while portal.client.counters().get(Count::EgressStalled) == 0
        || portal.server.counters().get(Count::EgressStalled) == 0
    {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    for pourer in pourers {
        tokio::time::timeout(Duration::from_secs(120), pourer)
            .await
            .expect("a stream that stands still for others is reset")
            .expect("no panic");
    }
    client.write_all(b"hello").await.expect("written");
    let mut heard = [0; 5];
    tokio::time::timeout(SOON, target.read_exact(&mut heard))
        .await
        .expect("in time")
        .expect("not reset");
    assert_eq!(&heard, b"hello");
}
