//! Nodes over a simulated network: loss, duplication, reordering, partitions, on a virtual clock.

mod node_common;
#[path = "node_common/portals.rs"]
mod portals;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use node_common::{SOON, Sink, builder, channel, ms, pattern, route, server, text};
use portals::{BOTH, Portal, lose_one, read_to_end};
use sealway::channel::ChannelOptions;
use sealway::core::channel::Trust;
use sealway::core::wire::{Frame, Route};
use sealway::portal::PortalProtocol;
use sealway::transport::memory::{Direction, LinkProfile, Network, Passage, Passing, Verdict};
use sealway::{Access, Count, Echo, Exposure, Message, Node, RequestError};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

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

/// The length of a Ping of the native portal on the wire; a Fin is longer, and so is what carries data.
const SEALED_PING: usize = 64;

#[tokio::test(start_paused = true)]
async fn a_portal_that_loses_one_message_resets_and_never_ends_early() {
    for protocol in BOTH {
        let (mut lost, mut resets, mut questions) = (0, 0, 0);
        for seed in 0..20 {
            let portal = Portal::speaking(protocol, seed).await;
            for direction in [Direction::ToListener, Direction::ToConnector] {
                for index in 0..10 {
                    let n = u32::try_from(seed).expect("small") * 100 + index;
                    let len = 1_000 + 9_000 * usize::try_from(index).expect("small");
                    let (up, down) = (pattern(2 * len, n), pattern(len, n + 50));
                    let countdown = Arc::new(AtomicI64::new(i64::from(index)));
                    let was = lose_one(&portal.network, direction, &countdown);
                    let (client, target) = portal.transfer(&up, &down).await;
                    let hit = countdown.load(Ordering::SeqCst) < 0;
                    portal.network.set_tap(|_, _| Verdict::Pass);
                    // A loss at the very end shows when the peer is next asked whether it lives; the next connection is to
                    // begin after that.
                    tokio::time::sleep(Duration::from_secs(10)).await;
                    let case = format!("seed {seed}, {direction:?}, message {index}");
                    assert!(client.is_true_to(&down), "{case}: the client was deceived");
                    assert!(target.is_true_to(&up), "{case}: the target was deceived");
                    if hit
                        && protocol == PortalProtocol::Detected
                        && was.get() <= Some(&SEALED_PING)
                    {
                        // A Ping or Pong; whoever has seen everything by the time it is missed is not reset for it.
                        questions += 1;
                    } else if hit {
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
        println!("{protocol:?}: {resets} resets for {lost} losses, and {questions} questions lost");
        assert!(lost >= 150, "only {lost} were lost");
        assert_eq!(resets, lost);
    }
}

#[tokio::test(start_paused = true)]
async fn a_portal_over_a_link_that_swaps_and_doubles_loses_nothing() {
    for protocol in BOTH {
        for seed in 0..20 {
            let portal = Portal::speaking(protocol, seed).await;
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
}

/// The order begins with the Ping, and other messages of the channel overtake it or fall behind it.
#[tokio::test(start_paused = true)]
async fn a_portal_that_begins_amid_reordering_resets_nothing() {
    for protocol in BOTH {
        for seed in 0..100 {
            let portal = Portal::speaking(protocol, seed).await;
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
