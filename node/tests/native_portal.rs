//! Portals as two Sealway nodes speak them: what their connections promise, over a simulated network and real sockets.

mod node_common;
#[path = "node_common/portals.rs"]
mod portals;

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use node_common::{SOON, builder, identifier, ms, offer, pattern};
use portals::{Portal, Seen, read_to_end};
use sealway::channel::ListenerOptions;
use sealway::core::channel::Trust;
use sealway::core::wire::MultiAddr;
use sealway::portal::{Inlet, PortalProtocol};
use sealway::transport::memory::{Direction, LinkProfile, Network, Verdict};
use sealway::{Access, Count, Exposure, Node, PathError, PathOptions, Service};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// An inlet of the portal's client to another of the server's outlets.
async fn inlet(portal: &Portal, outlet: &str) -> Result<Inlet, sealway::portal::InletError> {
    let to: MultiAddr = format!("/ip4/10.0.0.1/tcp/1/secure/api/service/{outlet}")
        .parse()
        .expect("a multiaddr");
    let options = PathOptions {
        portal: PortalProtocol::Native,
        ..PathOptions::expect(Trust::Everyone)
    };
    portal.client.inlet("127.0.0.1:0", &to, options).await
}

/// A target of its own behind an outlet that admits whom `access` says.
async fn outlet(node: &Node, name: &str, access: Access) -> TcpListener {
    let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = target.local_addr().expect("bound").to_string();
    let exposure = Exposure::local().to_channels(access, name);
    node.outlet(name, &address, exposure).expect("free");
    target
}

#[tokio::test(start_paused = true)]
async fn a_target_that_policy_refuses_gets_no_byte_and_not_even_a_connection() {
    let portal = Portal::new(1).await;
    for (name, access, reaches) in [
        ("closed", Access::nobody(), false),
        ("open", Access::trust(Trust::Everyone), true),
    ] {
        let target = outlet(&portal.server, name, access).await;
        let inlet = inlet(&portal, name).await.expect("the peer is native");
        let mut socket = TcpStream::connect(inlet.address())
            .await
            .expect("it listens");
        // First data, which goes with the opening.
        socket.write_all(b"let me in").await.expect("written");
        let accepted = tokio::time::timeout(SOON, target.accept()).await;
        assert_eq!(accepted.is_ok(), reaches, "{name}");
        if let Ok(accepted) = accepted {
            let mut got = [0; 9];
            let (mut served, _) = accepted.expect("a connection");
            served.read_exact(&mut got).await.expect("it arrives");
            assert_eq!(&got, b"let me in");
        } else {
            let read = tokio::time::timeout(SOON, socket.read(&mut [0; 1])).await;
            let refused = read.expect("promptly").expect_err("no end");
            assert_eq!(refused.kind(), ErrorKind::ConnectionReset);
            assert_eq!(portal.client.counters().get(Count::StreamsRefused), 1);
            assert_eq!(portal.server.counters().get(Count::NotExposed), 1);
        }
    }
}

/// More one after the other than may be opened before any credit: the first credit must not be lost.
#[tokio::test(start_paused = true)]
async fn connections_go_on_after_the_first_credit_is_used_up() {
    let portal = Portal::new(11).await;
    for _ in 0..100 {
        let (client, target) = portal.transfer(b"question", b"answer").await;
        assert!(client.clean && target.clean);
    }
    assert_eq!(portal.client.counters().get(Count::NotExposed), 0);
}

/// Its answer to the Hello and its echo may both be there before either is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_speaks_it_is_known_each_time() {
    let [server, client] = [(); 2].map(|()| Node::builder().ephemeral_identity().start());
    let everyone = || Access::trust(Trust::Everyone);
    server
        .secure_channel_listener("api", ListenerOptions::new(everyone()))
        .expect("free");
    server
        .start_service(
            Service::Echo,
            Exposure::local().to_channels(everyone(), "echo"),
        )
        .expect("free");
    let _target = outlet(&server, "out", everyone()).await;
    let listening = server.listen("127.0.0.1:0").await.expect("a free port");
    let (_, port) = listening.address.rsplit_once(':').expect("a port");
    let to = format!("/ip4/127.0.0.1/tcp/{port}/secure/api/service/out");
    let to: MultiAddr = to.parse().expect("a multiaddr");
    let options = PathOptions {
        portal: PortalProtocol::Native,
        channels: 1,
        ..PathOptions::expect(Trust::Everyone)
    };
    for _ in 0..1_500 {
        let inlet = client.inlet("127.0.0.1:0", &to, options.clone()).await;
        inlet.expect("the peer is native").close();
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_waits_for_no_answer() {
    let portal = Portal::new(8).await;
    // Nothing comes back any more, so that the Accept does not either.
    portal.network.set_tap(|towards, _| match towards {
        Direction::ToListener => Verdict::Pass,
        Direction::ToConnector => Verdict::Lose,
    });
    let mut socket = TcpStream::connect(portal.inlet.address())
        .await
        .expect("it listens");
    // The Open is there: this is not the data that goes with it.
    let (mut served, _) = portal.target.accept().await.expect("a connection");
    socket.write_all(b"request").await.expect("written");
    let mut got = [0; 7];
    served.read_exact(&mut got).await.expect("it arrives");
    assert_eq!(&got, b"request");
}

#[tokio::test(start_paused = true)]
async fn an_inlet_that_was_told_native_speaks_nothing_else() {
    let portal = Portal::new(2).await;
    // Who is admitted to no outlet is not answered: to it this is no peer that speaks the protocol.
    portal.server.stop_worker(&"out".into());
    let refused = inlet(&portal, "out").await.err().expect("no answer");
    assert!(
        matches!(
            refused,
            sealway::portal::InletError::Path(PathError::NotNative(_))
        ),
        "{refused}"
    );
}

/// Eight senders at once, each of a pattern of its own; how much each target has when the first has all.
#[tokio::test(start_paused = true)]
async fn eight_connections_get_equal_shares_of_their_path() {
    const LEN: usize = 4 << 20;
    let portal = Portal::new(3).await;
    portal.network.set_link(LinkProfile {
        delay: ms(5),
        ..LinkProfile::default()
    });
    let mut ends = Vec::new();
    for number in 0..8 {
        let client = TcpStream::connect(portal.inlet.address())
            .await
            .expect("it listens");
        let (target, _) = portal.target.accept().await.expect("a connection");
        ends.push((number, client, target));
    }
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for (number, mut client, mut target) in ends {
        let tell = tell.clone();
        let bytes = pattern(LEN, number);
        let expected = bytes.clone();
        tokio::spawn(async move {
            client.write_all(&bytes).await.expect("written");
            client.shutdown().await.expect("ended");
            std::future::pending::<()>().await;
        });
        tokio::spawn(async move {
            let mut got = Vec::with_capacity(LEN);
            let mut chunk = vec![0; 16 << 10];
            loop {
                let read = target.read(&mut chunk).await.expect("no reset");
                got.extend_from_slice(&chunk[..read]);
                tell.send((number, got.len(), read == 0)).expect("heard");
                if read == 0 {
                    return assert!(got == expected, "connection {number}");
                }
            }
        });
    }
    let mut sums = [0; 8];
    let mut at_first = None;
    for _ in 0..8 {
        loop {
            let (number, sum, ended) = told.recv().await.expect("they go on");
            sums[usize::try_from(number).expect("small")] = sum;
            if ended {
                break;
            }
        }
        at_first.get_or_insert(sums);
    }
    let at_first = at_first.expect("one was first");
    assert!(at_first.iter().all(|sum| *sum > LEN / 2), "{at_first:?}");
}

/// Nothing gets through after the message number `passes`; or the connection breaks there.
async fn cut_after(portal: &Portal, passes: u32, breaks: bool) -> (Seen, Seen) {
    let (up, down) = (pattern(150_000, passes), pattern(90_000, passes + 1));
    let network = portal.network.clone();
    let cut = std::sync::Arc::new(tokio::sync::Notify::new());
    let (reached, mut left) = (std::sync::Arc::clone(&cut), passes);
    network.set_tap(move |_, _| {
        if left == 0 {
            reached.notify_one();
            return Verdict::Lose;
        }
        left -= 1;
        Verdict::Pass
    });
    let breaking = async {
        cut.notified().await;
        if breaks {
            network.break_connections();
        }
        std::future::pending::<()>().await
    };
    let seen = tokio::select! {
        seen = portal.transfer(&up, &down) => seen,
        () = breaking => unreachable!("it goes on"),
    };
    assert!(
        seen.0.is_true_to(&down),
        "after {passes}: {:?}",
        seen.0.clean
    );
    assert!(seen.1.is_true_to(&up), "after {passes}: {:?}", seen.1.clean);
    seen
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_is_lost_at_any_message_leaves_whole_streams_or_resets() {
    let (mut whole, mut cut) = (0, 0);
    for breaks in [true, false] {
        for passes in 0..40 {
            let portal = Portal::new(u64::from(passes)).await;
            let (client, target) = cut_after(&portal, passes, breaks).await;
            let is_whole = client.clean && target.clean;
            whole += u32::from(is_whole);
            cut += u32::from(!is_whole);
        }
    }
    assert!(cut >= 20 && whole >= 10, "{cut} cut, {whole} whole");
}

/// Each of these would stop the channel if a slow reader could.
#[tokio::test(start_paused = true)]
async fn connections_that_nobody_reads_hold_up_nobody_else() {
    let portal = Portal::new(5).await;
    let mut pourers = Vec::new();
    for _ in 0..3 {
        let client = TcpStream::connect(portal.inlet.address())
            .await
            .expect("it listens");
        let (target, _) = portal.target.accept().await.expect("a connection");
        pourers.extend([client, target]);
    }
    for mut socket in pourers {
        tokio::spawn(async move { while socket.write_all(&[7; 64 << 10]).await.is_ok() {} });
    }
    for _ in 0..20 {
        let (client, target) = portal.transfer(b"question", b"answer").await;
        assert!(client.clean && target.clean);
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    // They hold what their windows allow, and that is no reason to end them.
    for node in [&portal.client, &portal.server] {
        assert_eq!(node.counters().get(Count::StreamsReset), 0);
        assert_eq!(node.counters().get(Count::ChannelsClosed), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_first_still_gets_the_answer() {
    let portal = Portal::new(6).await;
    let mut socket = TcpStream::connect(portal.inlet.address())
        .await
        .expect("it listens");
    socket.write_all(b"question").await.expect("written");
    socket.shutdown().await.expect("ended");
    let (mut served, _) = portal.target.accept().await.expect("a connection");
    assert_eq!(read_to_end(&mut served).await.bytes, b"question");
    // Long after: a direction that has ended is no reason to end the other.
    tokio::time::sleep(Duration::from_secs(3_000)).await;
    served.write_all(b"answer").await.expect("written");
    drop(served);
    let seen = read_to_end(&mut socket).await;
    assert_eq!((seen.bytes.as_slice(), seen.clean), (&b"answer"[..], true));
}

#[tokio::test(start_paused = true)]
async fn a_failed_socket_at_one_end_is_a_reset_at_the_other() {
    let portal = Portal::new(7).await;
    for target_fails in [true, false] {
        let socket = TcpStream::connect(portal.inlet.address())
            .await
            .expect("it listens");
        let (served, _) = portal.target.accept().await.expect("a connection");
        let (failing, mut other) = if target_fails {
            (served, socket)
        } else {
            (socket, served)
        };
        failing.set_zero_linger().expect("a socket");
        drop(failing);
        let seen = tokio::time::timeout(SOON, read_to_end(&mut other)).await;
        assert!(!seen.expect("promptly").clean);
    }
}

/// A path is opened whenever all that stand are in use. One that is lost with its connection is nothing to what goes over the others.
#[tokio::test(start_paused = true)]
async fn a_portal_goes_over_up_to_four_channels_that_fail_each_for_itself() {
    let portal = Portal::new(9).await;
    let to: MultiAddr = "/ip4/10.0.0.1/tcp/1/secure/api/service/out"
        .parse()
        .expect("a multiaddr");
    let options = PathOptions {
        channels: 9,
        ..PathOptions::expect(Trust::Identifier(identifier(&portal.server)))
    };
    let inlet = portal.client.inlet("127.0.0.1:0", &to, options).await;
    let inlet = inlet.expect("an inlet");
    let mut ends = Vec::new();
    for number in 1..=8 {
        let wanted = number.clamp(2, 4);
        while inlet.paths().len() < wanted {
            tokio::time::sleep(ms(10)).await;
        }
        // Two, and one more than there are connections.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(inlet.paths().len(), wanted, "at connection {number}");
        let client = TcpStream::connect(inlet.address()).await.expect("listens");
        let (target, _) = portal.target.accept().await.expect("a connection");
        ends.push((client, target));
        let each: Vec<_> = inlet.paths().iter().map(|path| path.streams()).collect();
        assert_eq!(each.iter().sum::<usize>(), number, "{each:?}");
        let evenly = number.div_ceil(4);
        assert!(each.iter().all(|streams| *streams <= evenly), "{each:?}");
    }
    let paths = inlet.paths();
    assert_eq!(paths.len(), 4, "never more");
    paths[2].close();
    let (mut whole, mut reset) = (0, 0);
    for (mut client, mut target) in ends {
        let said = client.write_all(b"still here").await;
        let _ = client.shutdown().await;
        let heard = read_to_end(&mut target).await;
        match (said, heard.clean) {
            (Ok(()), true) => {
                assert_eq!(heard.bytes, b"still here");
                whole += 1;
            }
            (_, true) => panic!("an end in order without all that was said"),
            (_, false) => reset += 1,
        }
    }
    assert_eq!((whole, reset), (6, 2));
    // It comes again, beside the others.
    while inlet.paths().len() < 4 {
        tokio::time::sleep(ms(10)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reference_portal_has_one_channel_whatever_was_asked_for() {
    let portal = Portal::reference(10).await;
    let to: MultiAddr = "/ip4/10.0.0.1/tcp/1/secure/api/service/out"
        .parse()
        .expect("a multiaddr");
    let options = PathOptions {
        channels: 4,
        portal: PortalProtocol::Reference,
        ..PathOptions::expect(Trust::Identifier(identifier(&portal.server)))
    };
    let inlet = portal.client.inlet("127.0.0.1:0", &to, options).await;
    let inlet = inlet.expect("an inlet");
    let before = portal.server.counters().get(Count::ChannelsOpened);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let after = portal.server.counters().get(Count::ChannelsOpened);
    assert_eq!((inlet.paths().len(), after), (1, before));
}

/// A policy is a program of the node's owner, and may use the node: bring another outlet into use, for one.
#[tokio::test(start_paused = true)]
async fn a_policy_may_bring_outlets_into_use_while_it_is_asked_who_may_have_a_session() {
    let network = Network::new(12);
    let server = builder(&network).start();
    offer(&server, Trust::Everyone);
    server.listen("tcp:10.0.0.1:1").await.expect("free");
    let node = server.clone();
    let asked = AtomicBool::new(false);
    let access = Access::by(move |_, _| {
        if !asked.swap(true, Ordering::SeqCst) {
            let nobody = Exposure::local().to_channels(Access::nobody(), "later");
            node.outlet("later", "127.0.0.1:1", nobody).expect("free");
        }
        true
    });
    let _target = outlet(&server, "out", access).await;
    let client = builder(&network).start();
    let to: MultiAddr = "/ip4/10.0.0.1/tcp/1/secure/api/service/out"
        .parse()
        .expect("a multiaddr");
    let options = PathOptions {
        portal: PortalProtocol::Native,
        ..PathOptions::expect(Trust::Everyone)
    };
    client
        .inlet("127.0.0.1:0", &to, options)
        .await
        .expect("an answer to the Hello");
}
