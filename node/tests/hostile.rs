//! What a hostile peer can do to a node, and what comes of it: nothing.

mod node_common;
#[path = "node_common/raw.rs"]
mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use node_common::{SOON, Sink, builder, identifier, offer, route, text};
use raw::{Raw, RawChannel, one, party};
use sealway::channel::{ChannelOptions, ListenerOptions};
use sealway::core::channel::{Trust, message as plaintext};
use sealway::core::wire::{Address, Frame, Route};
use sealway::transport::memory::{Direction, Network, Passing};
use sealway::{
    Access, Context, Count, Delivery, Echo, Event, Exposure, Message, Node, Origin, Payload,
    SendError, Service, Worker, WorkerError,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::Instant;

/// Counts what reaches it, whoever sends it, and answers it.
#[derive(Clone, Default)]
struct Heard(Arc<AtomicUsize>);

impl Heard {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Worker for Heard {
    type Message = Frame;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<Frame>,
    ) -> Result<(), WorkerError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(context.send(message.return_route, message.payload).await?)
    }
}

/// A node on a real port: `open` hears everybody, `private` only the node itself, `members` whom `trust` admits.
struct Victim {
    node: Node,
    address: String,
    open: Heard,
    private: Heard,
    members: Heard,
}

impl Victim {
    async fn new(trust: Trust) -> Self {
        let node = Node::builder().ephemeral_identity().start();
        let [open, private, members] = [Heard::default(), Heard::default(), Heard::default()];
        let to_members = Exposure::local().to_channels(Access::trust(trust.clone()), "members");
        for (name, worker, exposure) in [
            ("open", &open, Exposure::local().to_transports()),
            ("private", &private, Exposure::local()),
            ("members", &members, to_members),
        ] {
            node.start_worker(name, worker.clone(), exposure)
                .expect("free");
        }
        offer(&node, trust);
        let listening = node.listen("127.0.0.1:0").await.expect("a free port");
        Self {
            node,
            address: listening.address,
            open,
            private,
            members,
        }
    }

    fn count(&self, count: Count) -> u64 {
        self.node.counters().get(count)
    }

    /// Waits until something was counted so often.
    async fn counted(&self, count: Count, times: u64) {
        let wait = async {
            while self.count(count) < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        if tokio::time::timeout(SOON, wait).await.is_err() {
            panic!("{}: {:?}", count.name(), self.node.counters().snapshot());
        }
    }

    /// Somebody else is served as if nothing had happened.
    async fn serves(&self) {
        let client = Node::builder().start();
        let to = text(&format!("1#{}=>0#open", self.address));
        let reply: String = client
            .request(to, "still there?".to_owned(), SOON)
            .await
            .expect("a reply");
        assert_eq!(reply, "still there?");
    }
}

// ---- routes ----

#[tokio::test]
async fn a_foreign_route_that_names_an_address_connects_to_nothing() {
    let victim = Victim::new(Trust::Everyone).await;
    victim
        .node
        .start_service(Service::Hop, Exposure::local().to_transports())
        .expect("free");
    let bait = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let named = format!("1#{}", bait.local_addr().expect("bound"));
    let mut raw = Raw::connect(&victim.address).await;
    // By itself, behind a hop, as what a hop's answer goes to.
    raw.send(&text(&format!("{named}=>0#x")), &Route::new(), b"1")
        .await;
    raw.send(&text(&format!("0#hop=>{named}=>0#x")), &Route::new(), b"2")
        .await;
    raw.send(&one("open"), &text(&named), b"3").await;
    // And through a channel.
    let mut channel = raw.open(&party(), "api", "me").await;
    let mut frame = Frame::from_slice(b"4");
    plaintext::encode_payload(&mut frame, &text(&named), &Route::new());
    let sealed = channel.seal(frame.as_slice());
    raw.send(&channel.to, &Route::new(), &sealed).await;
    victim.counted(Count::ForeignDial, 3).await;
    // The answer of `open` went back to who asked, with the name in its route.
    assert_eq!(victim.open.count(), 1);
    victim.serves().await;
    let nobody = tokio::time::timeout(Duration::from_millis(50), bait.accept()).await;
    assert!(nobody.is_err(), "somebody connected");
    assert_eq!(victim.count(Count::ForeignDial), 3);
}

#[tokio::test(start_paused = true)]
async fn a_loop_of_two_relays_ends_within_sixteen_hops() {
    let network = Network::new(1);
    let one = builder(&network).start();
    one.listen("tcp:one").await.expect("free");
    let two = builder(&network).start();
    let there = two.connect("tcp:one").await.expect("it listens");
    let back = one.links()[0].address().clone();
    for (node, link) in [(&one, &back), (&two, there.address())] {
        let to = route(&[link, &"loop".into()]);
        node.start_relay("loop", to, Exposure::local().to_transports())
            .expect("free");
    }
    let to = route(&[there.address(), &"loop".into()]);
    let message = Message::new(to, Route::new(), Frame::from_slice(b"round and round"));
    two.send(message).await.expect("sent");
    tokio::time::sleep(SOON).await;
    let sum = |count| one.counters().get(count) + two.counters().get(count);
    assert!((1..=16).contains(&sum(Count::RelayForwarded)));
    assert_eq!(sum(Count::TooManyHops), 1);
    // Each hop adds what it must to the return route, and nothing else.
    let trace = network.trace();
    let (first, last) = (trace.first().expect("one"), trace.last().expect("one"));
    assert!(last.len < first.len + 17 * 16);
    assert!(trace.iter().all(|passage| passage.passing == Passing::Once));
}

#[tokio::test]
async fn a_loop_inside_a_node_ends() {
    let node = Node::builder().start();
    let here: Address = "here".into();
    node.start_relay("here", route(&[&here]), Exposure::local())
        .expect("free");
    let message = Message::new(route(&[&here]), Route::new(), Frame::from_slice(b"."));
    assert_eq!(
        node.send(message).await.expect_err("it never arrives"),
        SendError::Refused(Count::TooManyHops.name())
    );
}

/// A routing message of the reference whose onward route has `hops` hops of one byte.
fn many_hops(hops: u32) -> Vec<u8> {
    let mut bytes = vec![0x83, 0x81, 0x9a];
    bytes.extend_from_slice(&hops.to_be_bytes());
    for _ in 0..hops {
        bytes.extend_from_slice(&[0x82, 0x00, 0x41, b'a']);
    }
    bytes.extend_from_slice(&[0x81, 0x80, 0x40]);
    bytes
}

fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages = status.split(' ').nth(1).expect("resident pages");
    pages.parse::<usize>().expect("a number") * 4_096
}

#[tokio::test]
async fn a_route_of_a_million_hops_ends_its_connection() {
    let victim = Victim::new(Trust::Everyone).await;
    for (index, hops) in [65, 1_000, 1_000_000].into_iter().enumerate() {
        let mut raw = Raw::connect(&victim.address).await;
        raw.send_frame(&many_hops(hops)).await;
        raw.closed().await;
        assert_eq!(victim.count(Count::Undecodable), index as u64 + 1);
    }
    victim.serves().await;
}

#[tokio::test]
async fn a_return_route_of_more_than_sixteen_hops_is_dropped() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    let back = |hops: usize| -> Route { (0..hops).map(|_| Address::local("b")).collect() };
    raw.send(&one("open"), &back(16), b"too far").await;
    raw.send(&one("open"), &back(15), b"just so").await;
    let came = raw.receive().await.expect("an answer");
    assert_eq!(
        (came.payload.as_slice(), came.onward.len()),
        (&b"just so"[..], 15)
    );
    assert_eq!(victim.count(Count::TooManyHops), 1);
}

#[tokio::test]
async fn a_forged_return_route_reaches_no_local_worker() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    // Bare, and as the outer and the inner return route of a channel's message.
    raw.send(&one("open"), &one("private"), b"bare").await;
    let came = raw.receive().await.expect("an answer");
    assert_eq!(came.onward, one("private"), "it is ours to pass on");
    let mut channel = raw.open(&party(), "api", "me").await;
    // The first is of the route that the handshake came by: learned are those after it.
    for outer in ["me", "private", "members", "api"] {
        let sealed = channel.message("members", "private", b"inner");
        raw.send(&channel.to, &one(outer), &sealed).await;
        let came = raw.receive().await.expect("an answer");
        assert_eq!(came.onward.first(), Some(&Address::local(outer)));
        let (plaintext, bytes) = channel.opened(&came.payload);
        let plaintext::Plaintext::Payload {
            onward, payload, ..
        } = plaintext
        else {
            panic!("{plaintext:?}");
        };
        assert_eq!(onward, one("private"));
        assert_eq!(&bytes[payload], b"inner");
    }
    assert_eq!(victim.members.count(), 4);
    assert_eq!(victim.private.count(), 0);
}

#[tokio::test]
async fn only_what_is_exposed_is_reached_from_outside() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    for address in ["private", "members", "echo"] {
        raw.send(&one(address), &one("me"), b"knock").await;
    }
    victim.counted(Count::NotExposed, 3).await;
    let mut channel = raw.open(&party(), "api", "me").await;
    let sealed = channel.message("private", "me", b"knock");
    raw.send(&channel.to, &one("me"), &sealed).await;
    victim.counted(Count::NotExposed, 4).await;
    raw.send(&one("nobody"), &one("me"), b"knock").await;
    victim.counted(Count::UnknownAddress, 1).await;
    assert_eq!(victim.private.count() + victim.members.count(), 0);
}

// ---- connections ----

/// How long the victim leaves the connection open, after these bytes.
async fn patience(victim: &Victim, bytes: &[u8]) -> Duration {
    let mut raw = Raw::silent(&victim.address).await;
    let began = Instant::now();
    raw.socket.write_all(bytes).await.expect("written");
    let mut rest = Vec::new();
    let read = raw.socket.read_to_end(&mut rest);
    let _ = tokio::time::timeout(Duration::from_secs(3_600), read).await;
    began.elapsed()
}

// On a paused clock the time that passes is the victim's.
#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_is_closed() {
    let victim = Victim::new(Trust::Everyone).await;
    let waited = patience(&victim, &[]).await;
    assert!((9..12).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_does_not_come_is_given_up() {
    let victim = Victim::new(Trust::Everyone).await;
    for begun in [
        &[1, 0][..],
        &[1, 0, 0, 1, 0],
        &[1, 0, 16, 0, 0, 0x83, 0x81],
        &[1, 0x01, 0, 0, 0],
    ] {
        let waited = patience(&victim, begun).await;
        assert!(
            (29..33).contains(&waited.as_secs()),
            "{begun:?}: {waited:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_comes_a_byte_a_second_is_given_up() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::silent(&victim.address).await;
    let began = Instant::now();
    raw.socket
        .write_all(&[1, 0, 1, 0, 0])
        .await
        .expect("written");
    while victim.count(Count::ConnectionsClosed) == 0 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = raw.socket.write_all(&[0]).await;
        assert!(began.elapsed() < Duration::from_secs(120), "it waits on");
    }
    let waited = began.elapsed();
    assert!((29..40).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test]
async fn a_wrong_version_byte_ends_the_connection() {
    let victim = Victim::new(Trust::Everyone).await;
    for (index, version) in [0, 2, b'G', 0x16, 0xff].into_iter().enumerate() {
        let mut raw = Raw::silent(&victim.address).await;
        raw.socket.write_all(&[version]).await.expect("written");
        raw.closed().await;
        assert_eq!(victim.count(Count::BadVersion), index as u64 + 1);
    }
    victim.serves().await;
}

#[tokio::test]
async fn a_frame_above_sixteen_mebibytes_ends_the_connection() {
    let victim = Victim::new(Trust::Everyone).await;
    for (index, len) in [(16_u32 << 20) + 1, 1 << 31, u32::MAX]
        .into_iter()
        .enumerate()
    {
        let mut raw = Raw::connect(&victim.address).await;
        raw.socket
            .write_all(&len.to_be_bytes())
            .await
            .expect("written");
        raw.closed().await;
        assert_eq!(victim.count(Count::OversizedFrame), index as u64 + 1);
    }
    victim.serves().await;
}

#[tokio::test]
async fn a_frame_of_sixteen_mebibytes_passes() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    let prefix = sealway::core::wire::routing_prefix_len(&one("open"), &Route::new(), 16 << 20);
    let payload = vec![7; (16 << 20) - prefix];
    raw.send(&one("open"), &Route::new(), &payload).await;
    victim.counted(Count::MessagesReceived, 1).await;
    assert_eq!(victim.count(Count::OversizedFrame), 0);
}

#[tokio::test]
async fn announced_frames_cost_no_memory_before_they_come() {
    let victim = Victim::new(Trust::Everyone).await;
    let before = resident_bytes();
    let mut raws = Vec::new();
    for _ in 0..64 {
        let mut raw = Raw::connect(&victim.address).await;
        raw.socket
            .write_all(&[0x01, 0, 0, 0, 0x83])
            .await
            .expect("written");
        raws.push(raw);
    }
    victim.counted(Count::ConnectionsOpened, 64).await;
    victim.serves().await;
    // 1 GiB was announced. Other tests of this process take some too.
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes for announcements");
}

/// Bytes that have broken parsers.
fn bombs() -> Vec<Vec<u8>> {
    let nested = |byte: u8, depth: usize| vec![byte; depth];
    let mut bombs = vec![
        Vec::new(),
        vec![0xff],
        vec![0x80],
        vec![0x9f],
        vec![0xf6],
        nested(0x81, 1 << 20),
        nested(0x9f, 1 << 20),
        nested(0xc1, 1 << 20),
        nested(0xa1, 1 << 16),
        nested(0x5f, 1 << 16),
        // Counts and lengths of 2^32 and 2^64, in each place.
        vec![0x9a, 0xff, 0xff, 0xff, 0xff],
        vec![0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![0x83, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        vec![
            0x83, 0x81, 0x9a, 0xff, 0xff, 0xff, 0xff, 0x82, 0x00, 0x41, 0x61,
        ],
        vec![0x83, 0x81, 0x81, 0x82, 0x00, 0x5a, 0xff, 0xff, 0xff, 0xff],
        vec![
            0x83, 0x81, 0x80, 0x81, 0x80, 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ],
        // Wrong types, a huge address type, a float, a tag.
        vec![0x83, 0xa0, 0xa0, 0x60],
        vec![
            0x83, 0x81, 0x81, 0x82, 0x19, 0xff, 0xff, 0x40, 0x81, 0x80, 0x40,
        ],
        vec![
            0x83, 0x81, 0x81, 0x82, 0xfb, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0x81, 0x80, 0x40,
        ],
        vec![0xd9, 0xd9, 0xf7, 0x83, 0x81, 0x80, 0x81, 0x80, 0x40],
    ];
    // A good message, cut at every place.
    let mut good = Frame::from_slice(b"payload");
    sealway::core::wire::encode_routing(&mut good, &text("0#open=>0#b"), &one("me"));
    let cuts = (0..good.len()).map(|cut| good.as_slice()[..cut].to_vec());
    bombs.extend(cuts);
    bombs
}

#[tokio::test]
async fn no_frame_of_any_bytes_harms_the_node() {
    let victim = Victim::new(Trust::Everyone).await;
    for bomb in bombs() {
        let began = std::time::Instant::now();
        let mut raw = Raw::connect(&victim.address).await;
        raw.send_frame(&bomb).await;
        // Whether it is refused or ignored: who keeps to the protocol on the same node is served.
        raw.send(&one("open"), &one("me"), b"and now?").await;
        let came = raw.receive().await;
        assert!(came.is_none_or(|came| came.payload == b"and now?"));
        assert!(began.elapsed() < Duration::from_secs(5));
    }
    assert!(victim.count(Count::Undecodable) > 20);
    victim.serves().await;
}

#[tokio::test]
async fn no_plaintext_of_any_bytes_harms_the_node() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    let mut channel = raw.open(&party(), "api", "me").await;
    for bomb in bombs() {
        let sealed = channel.seal(&bomb);
        raw.send(&channel.to, &one("me"), &sealed).await;
    }
    let sealed = channel.message("members", "me", b"still good");
    raw.send(&channel.to, &one("me"), &sealed).await;
    let came = raw.receive().await.expect("the channel goes on");
    let (_, bytes) = channel.opened(&came.payload);
    assert!(bytes.windows(10).any(|window| window == b"still good"));
    assert!(victim.count(Count::Undecodable) > 20);
    victim.serves().await;
}

#[tokio::test]
async fn no_bytes_to_a_listener_or_an_outlet_harm_the_node() {
    let victim = Victim::new(Trust::Everyone).await;
    let outlet = Exposure::local().to_transports();
    victim
        .node
        .outlet("outlet", "127.0.0.1:9", outlet)
        .expect("free");
    let mut raw = Raw::connect(&victim.address).await;
    let bombs = bombs();
    for bomb in &bombs {
        raw.send(&one("api"), &one("me"), bomb).await;
        raw.send(&one("outlet"), &one("me"), bomb).await;
        raw.send(&Route::new(), &one("me"), bomb).await;
    }
    victim
        .counted(Count::HandshakesRefused, bombs.len() as u64)
        .await;
    victim.counted(Count::Heartbeats, bombs.len() as u64).await;
    victim.serves().await;
}

// ---- handshakes ----

#[tokio::test(start_paused = true)]
async fn a_flood_of_handshakes_takes_a_bounded_place_and_leaves_room_for_others() {
    let victim = Victim::new(Trust::Everyone).await;
    let idle = victim.node.addresses();
    let mut raw = Raw::connect(&victim.address).await;
    let party = party();
    // From one return route, then from as many as there are messages.
    for n in 0..3_000 {
        let own = if n < 1_000 {
            one("same")
        } else {
            text(&format!("0#way-{n}=>0#me"))
        };
        let (message1, _) = sealway::core::channel::Initiator::start(
            &party,
            &Address::local("api"),
            &mut raw::rng(),
        );
        raw.send(&one("api"), &own, &message1).await;
        // Answers that cannot be sent are dropped: one that reads nothing is another test's.
        raw.discard();
        if n == 999 {
            // The clock stands still, as it would not if this waited for the socket.
            while victim.count(Count::MessagesSent) < 1_000 {
                raw.discard();
                tokio::task::yield_now().await;
            }
            let half_open = victim.node.addresses() - idle;
            // The connection has an address too.
            assert!(half_open <= 64 + 1, "{half_open} from one way");
        }
    }
    let honest = Node::builder().ephemeral_identity().start();
    let link = honest.connect(&victim.address).await.expect("it listens");
    let expect = ChannelOptions::expect(Trust::Identifier(identifier(&victim.node)));
    let channel = honest
        .secure_channel(route(&[link.address(), &"api".into()]), expect)
        .await
        .expect("a channel");
    let to = route(&[channel.address(), &"members".into()]);
    let reply: String = honest
        .request(to, "and I?".to_owned(), SOON)
        .await
        .expect("a reply");
    assert_eq!(reply, "and I?");
    let half_open = victim.node.addresses() - idle;
    assert!(half_open <= 1_024 + 8, "{half_open} half-open handshakes");
    assert!(victim.count(Count::HandshakesEvicted) > 1_500);
    // In time all of them are gone.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let left = victim.node.addresses() - idle;
    // Two connections, and the two addresses of the good channel.
    assert!(left <= 4, "{left} left");
    assert!(victim.count(Count::HandshakesExpired) > 900);
}

#[tokio::test]
async fn a_forged_handshake_message_changes_nothing() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    let party = party();
    let state = raw.start(&party, "api", "me").await;
    let message2 = raw.receive().await.expect("message 2");
    // Garbage, message 2 reflected, and a message 3 of another handshake.
    let mut other = Raw::connect(&victim.address).await;
    let other_state = other.start(&party, "api", "me").await;
    let other2 = other.receive().await.expect("message 2");
    let trust = Trust::Everyone;
    let Ok(verified) = other_state.read_message2(&other2.payload, raw::now(), &trust) else {
        panic!("message 2 is not good");
    };
    let (other3, _) = verified.write_message3().expect("message 3");
    let Ok(verified) = state.read_message2(&message2.payload, raw::now(), &trust) else {
        panic!("message 2 is not good");
    };
    let (message3, established) = verified.write_message3().expect("message 3");
    let mut flipped = message3.clone();
    flipped[40] ^= 1;
    for forged in [&[0; 300][..], &message2.payload, &other3, &flipped] {
        other.send(&message2.return_route, &one("me"), forged).await;
    }
    victim.counted(Count::HandshakesRefused, 4).await;
    // The real one still comes.
    raw.send(&message2.return_route, &one("me"), &message3)
        .await;
    let (sealer, opener) = established.session.split();
    let mut channel = RawChannel {
        to: message2.return_route,
        sealer,
        opener,
    };
    let sealed = channel.message("members", "me", b"it is I");
    raw.send(&channel.to, &one("me"), &sealed).await;
    raw.receive().await.expect("an answer");
    assert_eq!(victim.members.count(), 1);
}

#[tokio::test]
async fn a_strangers_channel_reaches_nothing_even_if_it_ignores_the_close() {
    let victim = Victim::new(Trust::AnyOf(Vec::new())).await;
    let mut raw = Raw::connect(&victim.address).await;
    let mut channel = raw.open(&party(), "api", "me").await;
    for address in ["members", "open", "private", "echo", "api"] {
        let sealed = channel.message(address, "me", b"knock");
        raw.send(&channel.to, &one("me"), &sealed).await;
    }
    let close = raw.receive().await.expect("a Close");
    let (plaintext, _) = channel.opened(&close.payload);
    assert!(matches!(plaintext, plaintext::Plaintext::Close));
    victim.counted(Count::UnknownAddress, 5).await;
    assert_eq!(victim.count(Count::PeersRefused), 1);
    let heard = [&victim.open, &victim.private, &victim.members];
    assert_eq!(heard.map(Heard::count), [0; 3]);
}

#[tokio::test]
async fn who_is_not_admitted_to_a_resource_reaches_it_through_no_open_channel() {
    let victim = Victim::new(Trust::Everyone).await;
    let others = Heard::default();
    victim
        .node
        .start_worker(
            "others",
            others.clone(),
            Exposure::local().to_channels(Access::nobody(), "others"),
        )
        .expect("free");
    let mut raw = Raw::connect(&victim.address).await;
    let mut channel = raw.open(&party(), "api", "me").await;
    let sealed = channel.message("others", "me", b"knock");
    raw.send(&channel.to, &one("me"), &sealed).await;
    victim.counted(Count::NotExposed, 1).await;
    assert_eq!(others.count(), 0);
}

// ---- records ----

#[tokio::test]
async fn a_replayed_record_is_refused() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    let mut channel = raw.open(&party(), "api", "me").await;
    let sealed: Vec<_> = (0..100)
        .map(|_| channel.message("members", "me", b"once"))
        .collect();
    for record in &sealed {
        raw.send(&channel.to, &one("me"), record).await;
        raw.receive().await.expect("an answer");
    }
    // Recorded frames, by the same connection and by another.
    let mut other = Raw::connect(&victim.address).await;
    for _ in 0..20 {
        for record in &sealed {
            raw.send(&channel.to, &one("me"), record).await;
            other.send(&channel.to, &one("me"), record).await;
        }
    }
    let refused = async {
        let sum = || victim.count(Count::FramesReplayed) + victim.count(Count::FramesRefused);
        while sum() < 4_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, refused).await.expect("refused");
    assert!(victim.count(Count::FramesReplayed) >= 40 * 33);
    assert_eq!(victim.members.count(), 100);
}

#[tokio::test]
async fn a_record_of_one_channel_is_refused_by_another() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    let party = party();
    let mut first = raw.open(&party, "api", "one").await;
    let second = raw.open(&party, "api", "two").await;
    let sealed = first.message("members", "me", b"for the first");
    raw.send(&second.to, &one("me"), &sealed).await;
    victim.counted(Count::FramesRefused, 1).await;
    assert_eq!(victim.members.count(), 0);
    raw.send(&first.to, &one("me"), &sealed).await;
    raw.receive().await.expect("an answer");
    assert_eq!(victim.members.count(), 1);
}

#[tokio::test]
async fn a_reflected_record_is_refused() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    let mut channel = raw.open(&party(), "api", "me").await;
    // Each direction has answers at nonces that the other has not used yet: send three, get three, return them.
    let mut answers = Vec::new();
    for _ in 0..3 {
        let sealed = channel.message("members", "members", b"there and back");
        raw.send(&channel.to, &one("me"), &sealed).await;
        answers.push(raw.receive().await.expect("an answer"));
    }
    for nonce in 0..40_u64 {
        for answer in &answers {
            let mut returned = answer.payload.clone();
            raw.send(&channel.to, &one("me"), &returned).await;
            returned[..8].copy_from_slice(&nonce.to_be_bytes());
            raw.send(&channel.to, &one("me"), &returned).await;
        }
    }
    let refused = async {
        let sum = || victim.count(Count::FramesReplayed) + victim.count(Count::FramesRefused);
        while sum() < 240 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, refused).await.expect("refused");
    assert_eq!(victim.members.count(), 3);
    // The channel is none the worse for it.
    let sealed = channel.message("members", "me", b"on we go");
    raw.send(&channel.to, &one("me"), &sealed).await;
    raw.receive().await.expect("an answer");
    assert_eq!(victim.members.count(), 4);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_is_refused() {
    let victim = Victim::new(Trust::Everyone).await;
    let mut raw = Raw::connect(&victim.address).await;
    let mut channel = raw.open(&party(), "api", "me").await;
    let sealed = channel.message("members", "me", b"as it was sealed");
    for at in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[at] ^= 1 << (at % 8);
        raw.send(&channel.to, &one("me"), &flipped).await;
    }
    victim
        .counted(Count::FramesRefused, sealed.len() as u64)
        .await;
    assert_eq!(victim.members.count(), 0);
    raw.send(&channel.to, &one("me"), &sealed).await;
    raw.receive().await.expect("an answer");
    assert_eq!(victim.members.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_tapped_link_that_returns_and_repeats_everything_changes_nothing() {
    let network = Network::new(5);
    let server = node_common::server(&network).await;
    let client = builder(&network).start();
    let channel = node_common::channel(&client).await;
    let recorded = Arc::new(std::sync::Mutex::new(Vec::new()));
    let tape = Arc::clone(&recorded);
    network.set_tap(move |direction, bytes| {
        let mut tape = tape.lock().expect("no panic");
        if tape.len() < 100 {
            tape.push((direction, bytes.to_vec()));
        }
        sealway::transport::memory::Verdict::Pass
    });
    for n in 0..20 {
        let to = route(&[channel.address(), &"echo".into()]);
        let reply: String = client
            .request(to, format!("{n}"), SOON)
            .await
            .expect("a reply");
        assert_eq!(reply, format!("{n}"));
    }
    let tape = recorded.lock().expect("no panic").clone();
    assert_eq!(tape.len(), 40);
    let received = server.counters().get(Count::MessagesReceived);
    for (_, bytes) in &tape {
        network.inject(Direction::ToListener, bytes);
        network.inject(Direction::ToConnector, bytes);
    }
    tokio::time::sleep(SOON).await;
    assert_eq!(
        server.counters().get(Count::MessagesReceived),
        received + 40
    );
    let replayed = |node: &Node| node.counters().get(Count::FramesReplayed);
    // What was meant for the other is for an address that does not exist here.
    let unknown = |node: &Node| node.counters().get(Count::UnknownAddress);
    assert_eq!((replayed(&server), unknown(&server)), (20, 20));
    assert_eq!((replayed(&client), unknown(&client)), (20, 20));
}

// ---- confinement ----

#[tokio::test(start_paused = true)]
async fn a_confined_channel_reaches_channel_listeners_and_nothing_else() {
    let network = Network::new(3);
    let relay = node_common::server(&network).await;
    let client = builder(&network).start();
    let everyone = Access::trust(Trust::Everyone);
    let heard = Heard::default();
    for (name, exposure) in [
        (
            "members",
            Exposure::local().to_channels(everyone.clone(), "members"),
        ),
        ("open", Exposure::local().to_transports()),
        ("private", Exposure::local()),
    ] {
        client
            .start_worker(name, heard.clone(), exposure)
            .expect("free");
    }
    client
        .secure_channel_listener("api", ListenerOptions::new(everyone))
        .expect("free");
    let link = client.connect("tcp:10.0.0.1:1").await.expect("it listens");
    let options = ChannelOptions {
        confined: true,
        ..ChannelOptions::expect(Trust::Identifier(identifier(&relay)))
    };
    let registration = client
        .secure_channel(route(&[link.address(), &"api".into()]), options)
        .await
        .expect("a channel");
    let to = route(&[registration.address(), &"echo".into()]);
    let reply: String = client
        .request(to, "registered?".to_owned(), SOON)
        .await
        .expect("answers come back");
    assert_eq!(reply, "registered?");
    let (told, mut source) = tokio::sync::mpsc::unbounded_channel();
    let exposure = Exposure::local().to_channels(Access::trust(Trust::Everyone), "source");
    relay
        .start_worker("source", Source(told), exposure)
        .expect("free");
    let to = route(&[registration.address(), &"source".into()]);
    client
        .send(Message::new(to, Route::new(), Frame::from_slice(b".")))
        .await
        .expect("sent");

    // The relay turns its end of the channel round.
    let back = source.recv().await.expect("it arrives");
    for name in ["members", "open", "private"] {
        let message = Message::new(
            route(&[&back, &name.into()]),
            Route::new(),
            Frame::from_slice(b"knock"),
        );
        relay.send(message).await.expect("sent");
    }
    tokio::time::sleep(SOON).await;
    assert_eq!(client.counters().get(Count::NotExposed), 3);
    assert_eq!(heard.count(), 0);
    // A listener it does reach: who that lets in is decided by another handshake.
    let expect = ChannelOptions::expect(Trust::Identifier(identifier(&client)));
    let inner = relay
        .secure_channel(route(&[&back, &"api".into()]), expect)
        .await
        .expect("a channel through the channel");
    let to = route(&[inner.address(), &"members".into()]);
    let reply: String = relay
        .request(to, "hello".to_owned(), SOON)
        .await
        .expect("a reply");
    assert_eq!((reply.as_str(), heard.count()), ("hello", 1));
}

/// Tells the address here of the channel that a message came through.
struct Source(tokio::sync::mpsc::UnboundedSender<Address>);

impl Worker for Source {
    type Message = Frame;

    async fn handle(
        &mut self,
        _context: &mut Context,
        message: Delivery<Frame>,
    ) -> Result<(), WorkerError> {
        if let Origin::Channel(origin, _) = &message.origin {
            self.0.send(origin.channel.clone())?;
        }
        Ok(())
    }
}

// ---- names ----

#[tokio::test]
async fn names_with_control_characters_are_escaped_wherever_they_are_shown() {
    let evil = "evil\u{1b}[31m\r\n\u{7}\u{9b}\u{2028}\u{202e}name\0";
    let clean = |shown: &str| {
        let bad = shown.chars().find(|c| {
            c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert!(bad.is_none(), "{bad:?} in {shown:?}");
    };
    let node = Node::builder().ephemeral_identity().start();
    let address = Address::local(evil);
    clean(&address.to_string());
    clean(&format!("{address:?}"));
    clean(&route(&[&address, &address]).to_string());
    let message = || Message::new(route(&[&address]), Route::new(), "x".to_owned().encode());
    clean(&node.send(message()).await.expect_err("nobody").to_string());
    node.start_worker(address.clone(), Echo, Exposure::local())
        .expect("free");
    let taken = node.start_worker(address.clone(), Echo, Exposure::local());
    clean(&taken.expect_err("taken").to_string());
    for bad in [
        evil.to_owned(),
        format!("tcp:{evil}:1"),
        format!("unix:{evil}"),
    ] {
        clean(&node.listen(&bad).await.expect_err("no address").to_string());
        clean(
            &node
                .connect(&bad)
                .await
                .expect_err("no address")
                .to_string(),
        );
    }
    // Events: an outlet of that name whose target refuses, an unexpected peer.
    let mut events = node.events();
    let outlet = format!("outlet of {evil}");
    node.outlet(&outlet, "127.0.0.1:1", Exposure::local())
        .expect("free");
    let taken = node.outlet(&outlet, "127.0.0.1:1", Exposure::local());
    clean(&taken.expect_err("taken").to_string());
    let ping = sealway::core::portal::PING;
    let message = Message::new(
        route(&[&Address::local(&outlet)]),
        route(&[&address]),
        Frame::from_slice(ping),
    );
    let _ = node.send(message).await;
    let event = loop {
        match tokio::time::timeout(SOON, events.recv()).await {
            Ok(Ok(Event::Refused { why })) => break why,
            Ok(Ok(_)) => {}
            other => panic!("{other:?}"),
        }
    };
    clean(&event);
}

// ---- sockets in the file system ----

#[tokio::test]
async fn a_stale_socket_is_swept_and_anything_else_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    let node = Node::builder().start();

    // A socket whose process is gone.
    let stale = path("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("free"));
    assert!(std::fs::symlink_metadata(&stale).is_ok(), "it is left over");
    node.listen(&format!("unix:{stale}")).await.expect("swept");

    // One that somebody listens at.
    let busy = path("busy");
    let other = std::os::unix::net::UnixListener::bind(&busy).expect("free");
    let error = node
        .listen(&format!("unix:{busy}"))
        .await
        .expect_err("in use");
    assert!(error.to_string().contains("busy"), "{error}");
    drop(other);

    // A file, a directory, a link to a file: of somebody who wants to keep them.
    let (file, link, inside) = (path("file"), path("link"), path("directory"));
    std::fs::write(&file, "precious").expect("written");
    std::os::unix::fs::symlink(&file, &link).expect("linked");
    std::fs::create_dir(&inside).expect("made");
    for kept in [&file, &link, &inside] {
        node.listen(&format!("unix:{kept}"))
            .await
            .expect_err("not ours");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("kept"), "precious");
    assert_eq!(std::fs::read_to_string(&link).expect("kept"), "precious");
    for bad in ["unix:", &format!("unix:{}", "x".repeat(200)), "unix:a\0b"] {
        node.listen(bad).await.expect_err(bad);
        node.connect(bad).await.expect_err(bad);
    }
    // After shutdown nothing is left behind.
    node.shutdown(SOON).await;
    assert!(std::fs::symlink_metadata(&stale).is_err(), "left behind");
}

#[tokio::test]
async fn hostile_bytes_on_a_unix_socket_end_the_connection_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("s");
    let node = Node::builder().start();
    node.start_worker("sink", Sink::default(), Exposure::local().to_transports())
        .expect("free");
    node.listen(&format!("unix:{}", path.display()))
        .await
        .expect("free");
    for bytes in [
        &[9][..],
        &[1, 0xff, 0xff, 0xff, 0xff],
        &[1, 0, 0, 0, 1, 0xff],
    ] {
        let mut socket = tokio::net::UnixStream::connect(&path)
            .await
            .expect("it listens");
        socket.write_all(bytes).await.expect("written");
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(SOON, socket.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{bytes:?}: still open");
    }
    let counted = [Count::BadVersion, Count::OversizedFrame, Count::Undecodable];
    assert_eq!(counted.map(|count| node.counters().get(count)), [1; 3]);
}
