//! Nodes over a simulated network: loss, duplication, reordering, partitions, on a virtual clock.

mod node_common;

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use node_common::{SOON, Sink, builder, channel, identifier, pattern, route, server, text};
use sealway::channel::ChannelOptions;
use sealway::core::channel::Trust;
use sealway::core::wire::{Frame, MultiAddr, Route};
use sealway::portal::Inlet;
use sealway::transport::memory::{Direction, LinkProfile, Network, Passage, Passing, Verdict};
use sealway::{
    Access, Count, Echo, Event, Exposure, Message, Node, Path, PathOptions, RequestError,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A bad link: a third lost, much of the rest twice or late.
fn bad() -> LinkProfile {
    LinkProfile {
        delay: ms(10),
        jitter: ms(20),
        loss: 0.3,
        duplication: 0.2,
        reordering: 0.2,
        depth: 8,
    }
}

#[tokio::test(start_paused = true)]
async fn an_echo_comes_back_over_a_bad_link_when_its_caller_asks_again() {
    for seed in 0..200 {
        let network = Network::new(seed);
        network.set_link(bad());
        let server = Node::builder().transport(network.transport()).start();
        server
            .start_worker("echo", Echo, Exposure::local().to_transports())
            .expect("free");
        server.listen("memory:server").await.expect("free");
        let client = Node::builder().transport(network.transport()).start();
        let to = text("200#server=>0#echo");
        let mut tries = 0;
        let reply = loop {
            tries += 1;
            assert!(tries < 100, "seed {seed}: no reply in {tries} tries");
            let asked: Result<String, _> = client
                .request(to.clone(), format!("try {tries}"), ms(300))
                .await;
            match asked {
                Ok(reply) => break reply,
                Err(RequestError::Deadline(_)) => {}
                Err(other) => panic!("seed {seed}: {other}"),
            }
        };
        assert_eq!(reply, format!("try {tries}"), "seed {seed}");
        assert_eq!(client.counters().get(Count::Undecodable), 0);
    }
}

/// Sends `count` numbers through a channel over a link that is bad from after the handshake, and returns what arrived
/// and how many messages the link lost.
async fn through_a_channel(seed: u64, profile: LinkProfile, count: usize) -> (Vec<String>, usize) {
    let network = Network::new(seed);
    let server = server(&network).await;
    let sink = Sink::default();
    let everyone = Access::trust(Trust::Everyone);
    server
        .start_worker(
            "sink",
            sink.clone(),
            Exposure::local().to_channels(everyone, "sink"),
        )
        .expect("free");
    let client = builder(&network).start();
    let channel = channel(&client).await;
    // Message 3 must have arrived.
    let to = route(&[channel.address(), &"echo".into()]);
    client
        .request::<String>(to, "there?".to_owned(), SOON)
        .await
        .expect("a reply");
    let before = network.trace().len();
    network.set_direction(Direction::ToListener, profile);
    for n in 0..count {
        let to = route(&[channel.address(), &"sink".into()]);
        let message = Message::new(to, Route::new(), sealway::Payload::encode(n.to_string()));
        client.send(message).await.expect("sent");
        tokio::time::sleep(ms(1)).await;
    }
    tokio::time::sleep(SOON).await;
    let trace = network.trace().split_off(before);
    let lost = trace
        .iter()
        .filter(|passage| passage.passing == Passing::Lost)
        .count();
    assert_eq!(trace.len(), count);
    assert_eq!(
        server.counters().get(Count::FramesRefused),
        0,
        "seed {seed}"
    );
    (sink.got(), lost)
}

#[tokio::test(start_paused = true)]
async fn a_channel_delivers_once_whatever_the_link_loses_doubles_and_swaps() {
    let profile = LinkProfile {
        loss: 0.1,
        duplication: 0.2,
        reordering: 0.3,
        depth: 32,
        ..bad()
    };
    let mut swapped = 0;
    for seed in 0..100 {
        let (got, lost) = through_a_channel(seed, profile.clone(), 200).await;
        let distinct: BTreeSet<_> = got.iter().collect();
        assert_eq!(distinct.len(), got.len(), "seed {seed}: delivered twice");
        assert_eq!(got.len() + lost, 200, "seed {seed}: not all that arrived");
        let numbers: Vec<usize> = got.iter().map(|n| n.parse().expect("a number")).collect();
        swapped += numbers.windows(2).filter(|two| two[0] > two[1]).count();
    }
    assert!(
        swapped > 1_000,
        "the link hardly swapped anything: {swapped}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_channel_under_byte_streams_delivers_in_order() {
    for seed in 0..50 {
        let network = Network::new(seed);
        let _server = server(&network).await;
        let client = builder(&network).start();
        let link = client.connect("tcp:10.0.0.1:1").await.expect("it listens");
        let options = ChannelOptions {
            ordered: true,
            ..ChannelOptions::expect(Trust::Everyone)
        };
        let channel = client
            .secure_channel(route(&[link.address(), &"api".into()]), options)
            .await
            .expect("a channel");
        let mut inbox = client.inbox(Exposure::local().to_source(channel.address().clone()));
        let loss = if seed % 2 == 0 { 0.0 } else { 0.05 };
        network.set_direction(
            Direction::ToConnector,
            LinkProfile {
                loss,
                reordering: 0.3,
                depth: 32,
                ..bad()
            },
        );
        for n in 0..100_u8 {
            let to = route(&[channel.address(), &"echo".into()]);
            let message = Message::new(to, route(&[inbox.address()]), Frame::from_slice(&[n]));
            client.send(message).await.expect("sent");
            tokio::time::sleep(ms(2)).await;
        }
        let mut got = Vec::new();
        while let Ok(Some(reply)) = tokio::time::timeout(SOON, inbox.next()).await {
            got.extend_from_slice(reply.payload.as_slice());
        }
        let gaps = client.counters().get(Count::ChannelGaps);
        if loss == 0.0 {
            assert_eq!(got, (0..100).collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(gaps, 0, "seed {seed}");
        } else {
            let distinct: BTreeSet<_> = got.iter().collect();
            assert_eq!(distinct.len(), got.len(), "seed {seed}: delivered twice");
            assert!(gaps > 0 || got.len() > 90, "seed {seed}: {got:?}");
        }
    }
}

/// A portal over the simulated network: its clients and its target are real sockets.
struct Portal {
    network: Network,
    server: Node,
    client: Node,
    inlet: Inlet,
    target: TcpListener,
}

impl Portal {
    async fn new(seed: u64) -> Self {
        let network = Network::new(seed);
        network.set_link(LinkProfile {
            delay: ms(5),
            ..LinkProfile::default()
        });
        Self::over(network).await
    }

    async fn over(network: Network) -> Self {
        let server = server(&network).await;
        let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = target.local_addr().expect("bound").to_string();
        let everyone = Access::trust(Trust::Everyone);
        server
            .outlet(
                "out",
                &address,
                Exposure::local().to_channels(everyone, "out"),
            )
            .expect("free");
        let client = builder(&network).start();
        let to: MultiAddr = "/ip4/10.0.0.1/tcp/1/secure/api/service/out"
            .parse()
            .expect("a multiaddr");
        let expect = Trust::Identifier(identifier(&server));
        let inlet = client
            .inlet("127.0.0.1:0", &to, PathOptions::expect(expect))
            .await
            .expect("an inlet");
        Self {
            network,
            server,
            client,
            inlet,
            target,
        }
    }

    /// One connection: `up` goes to the target, then `down` comes back. Says what each end saw.
    async fn transfer(&self, up: &[u8], down: &[u8]) -> (Seen, Seen) {
        let done = Mutex::new(None);
        let served = async {
            let (mut socket, _) = self.target.accept().await.expect("it listens");
            let seen = read_to_end(&mut socket).await;
            if seen.clean && socket.write_all(down).await.is_ok() {
                let _ = socket.shutdown().await;
            }
            *done.lock().expect("no panic") = Some(seen);
            // Kept open until the client has seen how it ends.
            std::future::pending::<()>().await;
        };
        let asked = async {
            let mut socket = TcpStream::connect(self.inlet.address())
                .await
                .expect("it listens");
            let sent = socket.write_all(up).await.is_ok() && socket.shutdown().await.is_ok();
            let mut seen = read_to_end(&mut socket).await;
            seen.clean &= sent;
            seen
        };
        let asked = tokio::time::timeout(Duration::from_secs(300), asked);
        let seen = tokio::select! {
            seen = asked => seen.expect("neither end nor reset in five minutes"),
            () = served => unreachable!("it is kept open"),
        };
        let at_target = done.lock().expect("no panic").take();
        (seen, at_target.unwrap_or_default())
    }
}

/// What a socket's owner saw.
#[derive(Debug, Default)]
struct Seen {
    bytes: Vec<u8>,
    /// An orderly end.
    clean: bool,
}

impl Seen {
    /// Every byte is right, and an orderly end came only after the last.
    fn is_true_to(&self, whole: &[u8]) -> bool {
        whole.starts_with(&self.bytes) && (!self.clean || self.bytes.len() == whole.len())
    }
}

async fn read_to_end(socket: &mut TcpStream) -> Seen {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 16 << 10];
    loop {
        match socket.read(&mut chunk).await {
            Ok(0) => return Seen { bytes, clean: true },
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                return Seen {
                    bytes,
                    clean: false,
                };
            }
        }
    }
}

/// Loses the message number `countdown`, from 0, in one direction.
fn lose_one(network: &Network, direction: Direction, countdown: &Arc<AtomicI64>) {
    let countdown = Arc::clone(countdown);
    network.set_tap(move |towards, _| {
        if towards == direction && countdown.fetch_sub(1, Ordering::SeqCst) == 0 {
            Verdict::Lose
        } else {
            Verdict::Pass
        }
    });
}

#[tokio::test(start_paused = true)]
async fn a_portal_that_loses_one_message_resets_and_never_ends_early() {
    let (mut lost, mut resets) = (0, 0);
    for seed in 0..20 {
        let portal = Portal::new(seed).await;
        for direction in [Direction::ToListener, Direction::ToConnector] {
            for index in 0..10 {
                let n = u32::try_from(seed).expect("small") * 100 + index;
                let len = 1_000 + 9_000 * usize::try_from(index).expect("small");
                let (up, down) = (pattern(2 * len, n), pattern(len, n + 50));
                let countdown = Arc::new(AtomicI64::new(i64::from(index)));
                lose_one(&portal.network, direction, &countdown);
                let (client, target) = portal.transfer(&up, &down).await;
                let hit = countdown.load(Ordering::SeqCst) < 0;
                portal.network.set_tap(|_, _| Verdict::Pass);
                // A loss at the very end shows when the peer is next asked whether it lives; the next connection is to
                // begin after that.
                tokio::time::sleep(Duration::from_secs(10)).await;
                let case = format!("seed {seed}, {direction:?}, message {index}");
                assert!(client.is_true_to(&down), "{case}: the client was deceived");
                assert!(target.is_true_to(&up), "{case}: the target was deceived");
                if hit {
                    lost += 1;
                    resets += usize::from(!client.clean || !target.clean);
                } else {
                    assert!(client.clean && target.clean, "{case}: reset without a loss");
                }
            }
        }
        let (client, target) = portal.transfer(b"up", b"down").await;
        assert!(
            client.clean && target.clean,
            "seed {seed}: the channel goes on"
        );
    }
    assert!(lost >= 150, "only {lost} were lost");
    // A lost question of the liveness check resets nobody who has seen everything.
    assert!(resets * 10 >= lost * 8, "{resets} resets for {lost} losses");
}

#[tokio::test(start_paused = true)]
async fn a_portal_over_a_link_that_swaps_and_doubles_loses_nothing() {
    for seed in 0..20 {
        let portal = Portal::new(seed).await;
        portal.network.set_link(LinkProfile {
            delay: ms(5),
            jitter: ms(5),
            loss: 0.0,
            duplication: 0.2,
            reordering: 0.2,
            depth: 4,
        });
        let (up, down) = (pattern(300_000, 1), pattern(200_000, 2));
        let (client, target) = portal.transfer(&up, &down).await;
        assert!(client.clean && client.bytes == down, "seed {seed}");
        assert!(target.clean && target.bytes == up, "seed {seed}");
    }
}

/// The order begins with the Ping, and other messages of the channel overtake it or fall behind it.
#[tokio::test(start_paused = true)]
async fn a_portal_that_begins_amid_reordering_resets_nothing() {
    for seed in 0..100 {
        let portal = Portal::new(seed).await;
        let everyone = Exposure::local().to_channels(Access::trust(Trust::Everyone), "sink");
        let sink = Sink::default();
        portal
            .server
            .start_worker("sink", sink.clone(), everyone)
            .expect("free");
        portal.network.set_link(LinkProfile {
            delay: ms(5),
            reordering: 0.3,
            depth: 16,
            ..LinkProfile::default()
        });
        let path = portal.inlet.path().expect("it stands");
        let channel = path.channel().expect("a secure hop");
        let talk = async {
            loop {
                let payload = sealway::Payload::encode("beside".to_owned());
                let message = Message::new(channel.to("sink"), Route::new(), payload);
                portal.client.send(message).await.expect("sent");
                tokio::time::sleep(ms(1)).await;
            }
        };
        let (up, down) = (pattern(200_000, 1), pattern(100_000, 2));
        let (client, target) = tokio::select! {
            seen = portal.transfer(&up, &down) => seen,
            () = talk => unreachable!("it goes on"),
        };
        assert!(client.clean && client.bytes == down, "seed {seed}");
        assert!(target.clean && target.bytes == up, "seed {seed}");
        assert!(!sink.got().is_empty(), "seed {seed}");
        for node in [&portal.server, &portal.client] {
            assert_eq!(node.counters().get(Count::ChannelGaps), 0, "seed {seed}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_speaks_first_is_heard() {
    let portal = Portal::over(Network::new(1)).await;
    for _ in 0..50 {
        let mut socket = TcpStream::connect(portal.inlet.address())
            .await
            .expect("it listens");
        let (mut served, _) = portal.target.accept().await.expect("a connection");
        served.write_all(b"220 ready").await.expect("written");
        served.shutdown().await.expect("ended");
        let seen = tokio::time::timeout(Duration::from_secs(60), read_to_end(&mut socket))
            .await
            .expect("neither end nor reset");
        assert_eq!(
            (seen.bytes.as_slice(), seen.clean),
            (&b"220 ready"[..], true)
        );
    }
}

async fn standing(inlet: &Inlet) -> Arc<Path> {
    loop {
        if let Some(path) = inlet.path() {
            return path;
        }
        tokio::time::sleep(ms(10)).await;
    }
}

async fn lost(events: &mut tokio::sync::broadcast::Receiver<Event>) -> String {
    loop {
        if let Event::Lost { why, .. } = events.recv().await.expect("events go on") {
            return why;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_is_rebuilt_after_a_partition() {
    let portal = Portal::new(7).await;
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

#[tokio::test(start_paused = true)]
async fn a_path_is_rebuilt_after_each_break_of_its_connection() {
    let portal = Portal::new(8).await;
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

#[tokio::test(start_paused = true)]
async fn a_channel_whose_last_handshake_message_was_lost_is_rebuilt() {
    let portal = Portal::new(9).await;
    let mut events = portal.client.events();
    // After the connection breaks: message 1, message 3, which is lost.
    let countdown = Arc::new(AtomicI64::new(1));
    lose_one(&portal.network, Direction::ToListener, &countdown);
    portal.network.break_connections();
    lost(&mut events).await;
    standing(&portal.inlet).await;
    let began = Instant::now();
    assert_eq!(lost(&mut events).await, "the peer fell silent");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let (client, _) = portal.transfer(b"question", b"answer").await;
    assert!(client.clean && client.bytes == b"answer");
}

/// A short life over a bad link, as the link saw it.
async fn trace(seed: u64) -> Vec<Passage> {
    let network = Network::new(seed);
    let _server = server(&network).await;
    let client = builder(&network).start();
    let channel = channel(&client).await;
    network.set_link(bad());
    for n in 0..50 {
        let to = route(&[channel.address(), &"echo".into()]);
        // Whether it comes back is the link's affair.
        let _ = client.request::<String>(to, format!("{n}"), ms(60)).await;
    }
    network.trace()
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_trace() {
    for seed in 0..10 {
        let (first, second) = (trace(seed).await, trace(seed).await);
        assert!(first.len() > 60, "{}", first.len());
        assert_eq!(first, second, "seed {seed}");
    }
    assert_ne!(trace(1).await, trace(2).await);
}
