//! The node's three invariants, and what its parts promise: workers, requests, bounds, shutdown.

mod node_common;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use node_common::{SOON, Sink, builder, channel, offer, route, server};
use sealway::channel::{Channel, ChannelOptions, CloseReason};
use sealway::core::channel::Trust;
use sealway::core::wire::{Address, Frame, Route, RoutingMessage};
use sealway::transport::memory::Network;
use sealway::transport::{Egress, Ingress, TransportError};
use sealway::{
    Access, Context, Count, Delivery, Echo, Exposure, Message, Node, Payload, Raw, RequestError,
    Reservoir, Room, SendError, Service, Worker, WorkerError,
};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// How long a queue that others wait for may stand still.
const STALL: Duration = Duration::from_secs(10);

// ---- invariant 1: a reader never waits for a writer ----

/// Two nodes joined by one connection that holds little.
async fn two_nodes(bound_bytes: u32) -> [(Node, Address); 2] {
    let network = Network::with_bound(1, bound_bytes);
    let one = builder(&network).start();
    one.listen("tcp:one").await.expect("free");
    let two = builder(&network).start();
    let link = two.connect("tcp:one").await.expect("it listens");
    let back = one.links()[0].address().clone();
    [(one, back), (two, link.address().clone())]
}

#[tokio::test(start_paused = true)]
async fn two_nodes_that_flood_each_other_make_progress() {
    // More senders each way than answers may wait, so that room is fought for and all queues fill.
    const FLOODS: usize = 600;
    const FLOOD: usize = 20;
    let nodes = two_nodes(64 << 10).await;
    let mut floods = Vec::new();
    let replies = Arc::new(AtomicUsize::new(0));
    for (node, link) in &nodes {
        node.start_worker("echo", Echo, Exposure::local().to_transports())
            .expect("free");
        let mut inbox = node.inbox(Exposure::local().to_source(link.clone()));
        let back = route(&[inbox.address()]);
        let count = Arc::clone(&replies);
        tokio::spawn(async move {
            while inbox.next().await.is_some() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..FLOODS {
            let (node, back) = (node.clone(), back.clone());
            let onward = route(&[link, &"echo".into()]);
            floods.push(tokio::spawn(async move {
                for _ in 0..FLOOD {
                    let payload = Frame::from_slice(&[7; 1_024]);
                    let message = Message::new(onward.clone(), back.clone(), payload);
                    node.send(message).await.expect("sent");
                }
            }));
        }
    }
    for flood in floods {
        tokio::time::timeout(Duration::from_secs(60), flood)
            .await
            .expect("a deadlock")
            .expect("no panic");
    }
    tokio::time::sleep(SOON).await;
    // Whatever was not answered was counted.
    let dropped: u64 = nodes
        .iter()
        .map(|(node, _)| node.counters().get(Count::MailboxFull))
        .sum();
    let answered = replies.load(Ordering::Relaxed) as u64;
    let all = (2 * FLOODS * FLOOD) as u64;
    assert_eq!(answered + dropped, all);
    assert!(answered > all / 20, "only {answered} were answered");
    assert!(dropped > 0, "the queues never filled");
}

#[tokio::test(start_paused = true)]
async fn relays_that_block_each_other_end_their_connection_and_go_on() {
    let nodes = two_nodes(16 << 10).await;
    let mut floods = Vec::new();
    for (node, link) in &nodes {
        node.start_worker("sink", Sink::default(), Exposure::local().to_transports())
            .expect("free");
        node.start_worker("echo", Echo, Exposure::local().to_transports())
            .expect("free");
        // What comes for `back` goes back where it came from.
        let to = route(&[link, &"sink".into()]);
        node.start_relay("back", to, Exposure::local().to_transports())
            .expect("free");
        let (node, onward) = (node.clone(), route(&[link, &"back".into()]));
        floods.push(tokio::spawn(async move {
            for _ in 0..2_000 {
                let payload = "x".repeat(1_024).encode();
                let message = Message::new(onward.clone(), Route::new(), payload);
                if node.send(message).await.is_err() {
                    return;
                }
            }
        }));
    }
    for flood in floods {
        tokio::time::timeout(Duration::from_secs(60), flood)
            .await
            .expect("a deadlock")
            .expect("no panic");
    }
    let [(one, _), (two, _)] = &nodes;
    let stalled =
        one.counters().get(Count::EgressStalled) + two.counters().get(Count::EgressStalled);
    let sunk = one.counters().get(Count::MessagesReceived);
    assert!(
        stalled > 0 || sunk >= 4_000,
        "{stalled} ended, {sunk} went through"
    );
    let again: String = two
        .request(node_common::text("1#one=>0#echo"), "again".to_owned(), SOON)
        .await
        .expect("a new connection works");
    assert_eq!(again, "again");
}

#[tokio::test(start_paused = true)]
async fn a_next_hop_that_is_asleep_stops_only_who_sends_to_it() {
    let network = Network::with_bound(1, 16 << 10);
    let server = builder(&network).start();
    server.listen("tcp:one").await.expect("free");
    for service in [Service::Hop, Service::Echo] {
        let exposure = Exposure::local().to_transports();
        server.start_service(service, exposure).expect("free");
    }
    let valve = Valve::new(4_096);
    valve.set_shut(true);
    let (asleep, _ingress) = server.attach("valve", "asleep".into(), valve.clone());
    let exposure = Exposure::local().to_transports();
    server
        .start_relay("asleep", asleep.address().clone(), exposure)
        .expect("free");
    let flood = tokio::spawn({
        let user = builder(&network).start();
        let link = user.connect("tcp:one").await.expect("it listens");
        async move {
            for _ in 0..100 {
                let payload = Raw(vec![0; 1_024]).encode();
                let message = Message::new(link.to(["hop", "asleep"]), Route::new(), payload);
                user.send(message).await.expect("sent");
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(valve.queued_bytes() > 2_048);
    let other = builder(&network).start();
    let link = other.connect("tcp:one").await.expect("it listens");
    let deadline = STALL - Duration::from_secs(5);
    let answer: String = other
        .request(link.to(["hop", "echo"]), "awake?".to_owned(), deadline)
        .await
        .expect("an answer");
    assert_eq!(answer, "awake?");
    assert!(!flood.is_finished());
    assert_eq!(server.counters().get(Count::MailboxFull), 0);
    // The sleeper is given up in the end.
    asleep.closed().await;
    assert_eq!(server.counters().get(Count::EgressStalled), 1);
}

// ---- invariant 2: nothing is sealed before its transport has room ----

/// An egress that holds everything back while it is shut, with room for very little.
struct Valve {
    reservoir: Reservoir,
    queue: Mutex<Vec<(Frame, Room)>>,
    shut: AtomicBool,
    changed: Notify,
    left: AtomicU64,
    /// Everything that went through, encoded.
    seen: Mutex<Vec<Vec<u8>>>,
    closed: watch::Sender<bool>,
}

impl Valve {
    fn new(bound_bytes: u32) -> Arc<Self> {
        Arc::new(Self {
            reservoir: Reservoir::new(bound_bytes),
            queue: Mutex::default(),
            shut: AtomicBool::new(false),
            changed: Notify::new(),
            left: AtomicU64::new(0),
            seen: Mutex::default(),
            closed: watch::Sender::new(false),
        })
    }

    fn queued_bytes(&self) -> usize {
        let queue = self.queue.lock().expect("no panic");
        queue.iter().map(|(frame, _)| frame.len()).sum()
    }

    fn set_shut(&self, shut: bool) {
        self.shut.store(shut, Ordering::SeqCst);
        self.changed.notify_one();
    }

    /// The nonces of the ciphertexts to `decryptor` that went through.
    fn nonces(&self, from: usize) -> Vec<u64> {
        let seen = self.seen.lock().expect("no panic");
        let nonce = |bytes: &Vec<u8>| {
            let message = RoutingMessage::decode(bytes).expect("a routing message");
            let payload = bytes[message.payload].first_chunk::<8>().expect("a nonce");
            u64::from_be_bytes(*payload)
        };
        seen[from..].iter().map(nonce).collect()
    }

    /// Carries what comes into the other node.
    async fn carry(self: Arc<Self>, mut ingress: Ingress) {
        let mut closed = self.closed.subscribe();
        loop {
            tokio::select! {
                () = self.changed.notified() => {}
                _ = closed.wait_for(|closed| *closed) => return,
            }
            if self.shut.load(Ordering::SeqCst) {
                continue;
            }
            let queue = std::mem::take(&mut *self.queue.lock().expect("no panic"));
            for (frame, room) in queue {
                self.left.fetch_add(frame.len() as u64, Ordering::Relaxed);
                self.seen
                    .lock()
                    .expect("no panic")
                    .push(frame.as_slice().to_vec());
                drop(room);
                if ingress.receive(frame).await.is_err() {
                    return;
                }
            }
            ingress.flush();
        }
    }
}

impl Egress for Valve {
    fn reservoir(&self) -> &Reservoir {
        &self.reservoir
    }

    fn enqueue(&self, message: Frame, room: Room) {
        self.queue.lock().expect("no panic").push((message, room));
    }

    fn flush(&self) {
        self.changed.notify_one();
    }

    fn progress(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.closed.send_replace(true);
    }
}

/// A channel over a valve of 4 KiB, and a sink at its other end.
struct Valved {
    client: Node,
    server: Node,
    channel: Channel,
    valve: Arc<Valve>,
    sink: Sink,
    /// Messages of the handshake.
    before: usize,
}

impl Valved {
    async fn new() -> Self {
        Self::by(&[]).await
    }

    /// By these addresses of the client first.
    async fn by(hops: &[&str]) -> Self {
        let server = Node::builder().ephemeral_identity().start();
        offer(&server, Trust::Everyone);
        let sink = Sink::default();
        let everyone = Access::trust(Trust::Everyone);
        server
            .start_worker(
                "sink",
                sink.clone(),
                Exposure::local().to_channels(everyone, "sink"),
            )
            .expect("free");
        let client = Node::builder().ephemeral_identity().start();
        client
            .start_service(Service::Hop, Exposure::local().to_transports())
            .expect("free");
        let (valve, back) = (Valve::new(4_096), Valve::new(1 << 20));
        let (link, from_server) = client.attach("valve", "server".into(), valve.clone());
        let (_, from_client) = server.attach("valve", "client".into(), back.clone());
        tokio::spawn(valve.clone().carry(from_client));
        tokio::spawn(back.carry(from_server));
        let to: Route = hops
            .iter()
            .map(|hop| Address::from(*hop))
            .chain(link.to("api").iter().cloned())
            .collect();
        let channel = client
            .secure_channel(to, ChannelOptions::expect(Trust::Everyone))
            .await
            .expect("a channel");
        Self {
            client,
            server,
            channel,
            valve,
            sink,
            before: 2,
        }
    }

    fn message(&self, text: &str) -> Message {
        let to = route(&[self.channel.address(), &"sink".into()]);
        Message::new(to, Route::new(), text.to_owned().encode())
    }

    /// Everything that was sealed has gone through, without a gap, and was received.
    async fn nothing_is_missing(&self) -> usize {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let nonces = self.valve.nonces(self.before);
        let expected: Vec<u64> = (0..nonces.len() as u64).collect();
        assert_eq!(nonces, expected, "nonce order is wire order, without gaps");
        nonces.len()
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sealed_before_its_transport_has_room() {
    for hops in [&[][..], &["hop", "hop"]] {
        senders_wait_for_room(Valved::by(hops).await).await;
    }
}

async fn senders_wait_for_room(valved: Valved) {
    valved.valve.set_shut(true);
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..50 {
        let (client, message) = (valved.client.clone(), valved.message(&format!("{n:01000}")));
        waiting.spawn(async move {
            let sent = client.send(message);
            tokio::time::timeout(Duration::from_millis(100), sent)
                .await
                .is_ok()
        });
    }
    let went = waiting.join_all().await.into_iter().filter(|went| *went);
    let went = went.count();
    assert!((1..=3).contains(&went), "{went} of 1,000 bytes in 4,096");
    assert!(valved.valve.queued_bytes() <= 4_096);
    valved.valve.set_shut(false);
    for n in 0..100 {
        let message = valved.message(&format!("after {n}"));
        valved.client.send(message).await.expect("room again");
    }
    assert_eq!(valved.nothing_is_missing().await, went + 100);
    assert_eq!(valved.sink.got().len(), went + 100);
    assert_eq!(valved.server.counters().get(Count::FramesRefused), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_for_its_transport_is_refused_before_it_is_sealed() {
    let valved = Valved::new().await;
    let to = route(&[valved.channel.address(), &"sink".into()]);
    let huge = Message::new(to, Route::new(), Frame::from_slice(&vec![0; 17 << 20]));
    let refused = valved.client.send(huge).await.expect_err("17 MiB");
    assert_eq!(refused, SendError::Refused(Count::OversizedFrame.name()));
    let message = valved.message("after it");
    valved.client.send(message).await.expect("room");
    assert_eq!(valved.nothing_is_missing().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_finds_no_room_is_refused_before_it_is_sealed() {
    let valved = Valved::new().await;
    valved.valve.set_shut(true);
    let message = valved.message(&"x".repeat(3_000));
    valved.client.send(message).await.expect("room");
    let history = [1, 2, 3];
    let refused = valved
        .channel
        .refresh_credentials(&history, &[vec![0; 2_000]]);
    assert!(matches!(refused, Err(SendError::Full(_))), "{refused:?}");
    valved.valve.set_shut(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    valved
        .channel
        .refresh_credentials(&history, &[])
        .expect("room");
    assert_eq!(valved.nothing_is_missing().await, 2);
}

// ---- invariant 3: every queue has a bound ----

/// Handles nothing until it may.
struct Slow(Arc<Notify>, Arc<AtomicUsize>);

impl Worker for Slow {
    type Message = Raw;

    async fn handle(&mut self, _: &mut Context, _: Delivery<Raw>) -> Result<(), WorkerError> {
        if self.1.fetch_add(1, Ordering::SeqCst) == 0 {
            self.0.notified().await;
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_lets_local_senders_wait_and_drops_what_comes_from_outside() {
    let [(one, _), (two, link)] = two_nodes(64 << 10).await;
    let (gate, handled) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    one.start_worker_with(
        "slow",
        Slow(Arc::clone(&gate), Arc::clone(&handled)),
        Exposure::local().to_transports(),
        8 << 10,
    )
    .expect("free");
    let local = tokio::spawn({
        let one = one.clone();
        async move {
            for _ in 0..20 {
                let payload = Raw(vec![0; 1_024]).encode();
                let message = Message::new(route(&[&"slow".into()]), Route::new(), payload);
                one.send(message).await.expect("sent");
            }
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!local.is_finished(), "20 KiB in a mailbox of 8");
    for _ in 0..100 {
        let payload = Raw(vec![0; 1_024]).encode();
        let message = Message::new(route(&[&link, &"slow".into()]), Route::new(), payload);
        two.send(message).await.expect("sent");
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    // All of them: a local sender waits for the next room, and who waits is served first.
    assert_eq!(one.counters().get(Count::MailboxFull), 100);
    assert_eq!(handled.load(Ordering::SeqCst), 1);
    gate.notify_one();
    tokio::time::timeout(SOON, local)
        .await
        .expect("room came")
        .expect("no panic");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(handled.load(Ordering::SeqCst), 20);
}

#[tokio::test(start_paused = true)]
async fn connections_beyond_the_limit_are_refused_and_counted() {
    let network = Network::new(1);
    let server = builder(&network).max_connections(3).start();
    server.listen("tcp:one").await.expect("free");
    let client = builder(&network).start();
    let mut links = Vec::new();
    for _ in 0..3 {
        links.push(client.connect("tcp:one").await.expect("room"));
    }
    assert!(client.connect("tcp:one").await.is_err());
    assert_eq!(server.counters().get(Count::ConnectionsRefused), 1);
    links[0].close();
    tokio::time::sleep(Duration::from_secs(1)).await;
    client.connect("tcp:one").await.expect("room again");
}

// ---- workers and requests ----

/// Fails when told to.
struct Moody;

impl Worker for Moody {
    type Message = String;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<String>,
    ) -> Result<(), WorkerError> {
        match message.payload.as_str() {
            "fail" => Err("as told".into()),
            "be silent" => Ok(()),
            _ => Ok(context.reply(&message, "well".to_owned()).await?),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_goes_on_after_errors_and_payloads_that_it_cannot_decode() {
    let node = Node::builder().start();
    node.start_worker("moody", Moody, Exposure::local())
        .expect("free");
    let to = route(&[&"moody".into()]);
    // A string of 200 bytes that has 2; one that is not UTF-8; nothing at all.
    for payload in [&[200, b'o', b'k'][..], &[2, 0xff, 0xfe], &[]] {
        let message = Message::new(to.clone(), Route::new(), Frame::from_slice(payload));
        node.send(message).await.expect("sent");
    }
    for _ in 0..2 {
        let message = Message::new(to.clone(), Route::new(), "fail".to_owned().encode());
        node.send(message).await.expect("sent");
    }
    let reply: String = node
        .request(to, "how are you?".to_owned(), SOON)
        .await
        .expect("a reply");
    assert_eq!(reply, "well");
    assert_eq!(node.counters().get(Count::UndecodablePayload), 3);
    assert_eq!(node.counters().get(Count::WorkerErrors), 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_ends_at_its_deadline_and_leaves_nothing() {
    let node = Node::builder().start();
    node.start_worker("moody", Moody, Exposure::local())
        .expect("free");
    let (began, addresses) = (Instant::now(), node.addresses());
    let deadline = Duration::from_secs(3);
    let asked = node.request::<String>(route(&[&"moody".into()]), "be silent".to_owned(), deadline);
    assert_eq!(
        asked.await.expect_err("silence"),
        RequestError::Deadline(deadline)
    );
    assert_eq!(began.elapsed(), deadline);
    assert_eq!(node.addresses(), addresses);
    let asked = node.request::<()>(route(&[&"nobody".into()]), (), deadline);
    assert_eq!(
        asked.await.expect_err("nobody"),
        RequestError::Send(SendError::UnknownAddress("0#nobody".into()))
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_to_a_full_mailbox_ends_at_its_deadline() {
    let node = Node::builder().start();
    let gate = Arc::new(Notify::new());
    let slow = Slow(Arc::clone(&gate), Arc::default());
    node.start_worker_with("slow", slow, Exposure::local(), 1)
        .expect("free");
    let to = route(&[&"slow".into()]);
    let deadline = Duration::from_secs(1);
    for _ in 0..5 {
        let asked = node
            .request::<Raw>(to.clone(), Raw(vec![1]), deadline)
            .await;
        assert_eq!(
            asked.expect_err("it handles nothing"),
            RequestError::Deadline(deadline)
        );
    }
}

// ---- shutdown ----

/// Counts what it began, finished, and whether it was told of its end; drops are seen by the flag.
#[derive(Clone, Default)]
struct Life {
    began: Arc<AtomicUsize>,
    finished: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
}

struct Living {
    life: Life,
    takes: Duration,
}

impl Worker for Living {
    type Message = Raw;

    async fn handle(&mut self, _: &mut Context, _: Delivery<Raw>) -> Result<(), WorkerError> {
        self.life.began.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(self.takes).await;
        self.life.finished.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn stopped(&mut self, _: &mut Context) {
        self.life.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

async fn living(takes: Duration) -> (Node, Life) {
    let node = Node::builder().start();
    let life = Life::default();
    let worker = Living {
        life: life.clone(),
        takes,
    };
    node.start_worker("living", worker, Exposure::local())
        .expect("free");
    let payload = Raw(vec![1]).encode();
    let message = Message::new(route(&[&"living".into()]), Route::new(), payload);
    node.send(message).await.expect("sent");
    tokio::time::sleep(Duration::from_millis(1)).await;
    (node, life)
}

#[tokio::test(start_paused = true)]
async fn a_worker_finishes_its_message_at_shutdown_and_is_told() {
    let (node, life) = living(Duration::from_secs(1)).await;
    let began = Instant::now();
    node.shutdown(Duration::from_secs(60)).await;
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(life.finished.load(Ordering::SeqCst), 1);
    assert_eq!(life.stopped.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_does_not_end_is_cut_off_at_the_deadline() {
    let (node, life) = living(Duration::from_secs(3_600)).await;
    let began = Instant::now();
    node.shutdown(Duration::from_secs(5)).await;
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert_eq!(life.began.load(Ordering::SeqCst), 1);
    assert_eq!(life.finished.load(Ordering::SeqCst), 0, "it was cut off");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_everything_and_tells_the_peers() {
    let network = Network::new(1);
    let server = server(&network).await;
    let client = builder(&network).start();
    let channel = channel(&client).await;
    let link = client.links()[0].clone();
    // Message 3 arrives, and nothing after it.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let began = Instant::now();
    server.shutdown(Duration::from_secs(60)).await;
    assert!(began.elapsed() < Duration::from_secs(1), "tasks hung");
    assert_eq!(server.addresses(), 0);
    assert_eq!(server.links().len(), 0);
    // The client never sent a payload, so that a Close looks like a refusal.
    assert_eq!(channel.closed().await, CloseReason::Refused);
    link.closed().await;
    assert!(matches!(
        server.listen("tcp:two").await,
        Err(TransportError::ShutDown)
    ));
    // The name is free again.
    let other = builder(&network).start();
    other.listen("tcp:10.0.0.1:1").await.expect("free again");
}

#[tokio::test]
async fn a_port_is_free_after_shutdown() {
    let node = Node::builder().start();
    let listening = node.listen("tcp:127.0.0.1:0").await.expect("a free port");
    let _client = tokio::net::TcpStream::connect(&listening.address)
        .await
        .expect("it listens");
    node.shutdown(SOON).await;
    let again = Node::builder().start();
    again.listen(&listening.address).await.expect("free again");
}
