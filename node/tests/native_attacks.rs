//! What a peer that breaks the rules of a portal's session can do: lose its channel, and nothing to others.

mod node_common;
#[path = "node_common/raw.rs"]
mod raw;

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use node_common::{SOON, identifier, offer};
use raw::{Raw, RawChannel, party};
use sealway::core::channel::{Trust, message::Plaintext};
use sealway::core::streams::{
    Control, MAX_WINDOW, Part, Parts, Reason, STREAM_WINDOW, StreamId, control_message,
    encode_data, encode_open,
};
use sealway::core::wire::{Frame, MultiAddr, Route};
use sealway::{Access, Count, Exposure, Node, PathOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A node with an outlet to `target`, and a peer with a channel to it that sends what it likes.
struct Stage {
    node: Node,
    address: String,
    target: TcpListener,
    raw: Raw,
    channel: RawChannel,
}

impl Stage {
    async fn silent() -> Self {
        let node = Node::builder().ephemeral_identity().start();
        offer(&node, Trust::Everyone);
        let target = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let service = target.local_addr().expect("bound").to_string();
        let everyone = Exposure::local().to_channels(Access::trust(Trust::Everyone), "out");
        node.outlet("out", &service, everyone).expect("free");
        let listening = node.listen("127.0.0.1:0").await.expect("a free port");
        let mut raw = Raw::connect(&listening.address).await;
        let channel = raw.open(&party(), "api", "me").await;
        Self {
            node,
            address: listening.address,
            target,
            raw,
            channel,
        }
    }

    /// After the Hello.
    async fn new() -> Self {
        let mut stage = Self::silent().await;
        stage.send("sealway", &[1, 1]).await;
        assert_eq!(stage.next().await.as_deref(), Some(&[1, 1][..]));
        stage
    }

    async fn send(&mut self, to: &str, payload: &[u8]) {
        let sealed = self.channel.message(to, "me", payload);
        self.raw
            .send(&self.channel.to, &Route::new(), &sealed)
            .await;
    }

    /// The next payload; none once the node has closed the channel.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let came = tokio::time::timeout(SOON, self.raw.receive()).await;
        let came = came.expect("in time")?;
        match self.channel.opened(&came.payload) {
            (Plaintext::Payload { payload, .. }, bytes) => Some(bytes[payload].to_vec()),
            (Plaintext::Close, _) => None,
            (other, _) => panic!("{other:?}"),
        }
    }

    /// The next frames of the session.
    async fn frames(&mut self) -> Option<(Vec<Part>, Vec<u8>)> {
        let message = self.next().await?;
        let parts = Parts::new(&message).expect("a message");
        let parts = parts.collect::<Result<_, _>>().expect("frames");
        Some((parts, message))
    }

    async fn say(&mut self, controls: &[Control]) {
        let mut message = control_message(64);
        controls.iter().for_each(|frame| frame.append(&mut message));
        self.send("portal", message.as_slice()).await;
    }

    async fn ask_for(&mut self, stream: u64) {
        let open = open(stream, b"first");
        self.send("portal", &open).await;
    }

    async fn say_data(&mut self, stream: u64, offset: u64, data: &[u8]) {
        let mut frame = Frame::from_slice(data);
        encode_data(&mut frame, StreamId(stream), offset);
        self.send("portal", frame.as_slice()).await;
    }

    /// Opens stream 0; gives its target's end once it is accepted.
    async fn opened(&mut self) -> TcpStream {
        self.ask_for(0).await;
        let (target, _) = self.target.accept().await.expect("a connection");
        let accept = |part: &Part| matches!(part, Part::Control(Control::Accept { .. }));
        while !self.frames().await.expect("open").0.iter().any(accept) {}
        target
    }

    /// Somebody else is served as if nothing had happened.
    async fn serves(&self) {
        let client = Node::builder().ephemeral_identity().start();
        let port = self.address.rsplit(':').next().expect("a port");
        let to: MultiAddr = format!("/ip4/127.0.0.1/tcp/{port}/secure/api/service/out")
            .parse()
            .expect("a multiaddr");
        let options = PathOptions::expect(Trust::Identifier(identifier(&self.node)));
        let inlet = client.inlet("127.0.0.1:0", &to, options).await;
        let inlet = inlet.expect("an inlet");
        let mut socket = TcpStream::connect(inlet.address()).await.expect("listens");
        socket.write_all(b"hello").await.expect("written");
        loop {
            let (mut served, _) = self.target.accept().await.expect("a connection");
            let mut heard = [0; 5];
            if served.read_exact(&mut heard).await.is_ok() && &heard == b"hello" {
                return;
            }
        }
    }
}

fn open(stream: u64, data: &[u8]) -> Vec<u8> {
    let mut frame = Frame::from_slice(data);
    encode_open(&mut frame, StreamId(stream), STREAM_WINDOW, "out");
    frame.as_slice().to_vec()
}

/// What the peer does to a session with one good stream of five bytes, number 0.
type Breach = (&'static str, fn(&mut Vec<Vec<u8>>));

fn data(stream: u64, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut frame = Frame::from_slice(data);
    encode_data(&mut frame, StreamId(stream), offset);
    frame.as_slice().to_vec()
}

fn control(frame: Control) -> Vec<u8> {
    let mut message = control_message(64);
    frame.append(&mut message);
    message.as_slice().to_vec()
}

const STREAM: StreamId = StreamId(0);

const BREACHES: [Breach; 7] = [
    ("a number used again", |say| say.push(open(0, b""))),
    ("a number of the other end's", |say| say.push(open(1, b""))),
    ("a stream that never was", |say| say.push(data(2, 0, b"x"))),
    ("data after a gap", |say| say.push(data(0, 6, b"x"))),
    ("data behind its end", |say| {
        let (stream, offset) = (STREAM, 5);
        say.push(control(Control::Fin { stream, offset }));
        say.push(data(0, 5, b"x"));
    }),
    ("a window that binds too much", |say| {
        let (stream, acknowledged, limit) = (STREAM, 0, MAX_WINDOW + 1);
        say.push(control(Control::Credit {
            stream,
            acknowledged,
            limit,
        }));
    }),
    ("more data than any credit", |say| {
        // The target reads nothing: whatever the kernel takes in its place, this is more.
        for n in 0..320 {
            say.push(data(0, 5 + n * 65_536, &[7; 65_536]));
        }
    }),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_breach_ends_the_channel_with_a_reset_of_all_it_carried_and_others_go_on() {
    for (name, breach) in BREACHES {
        let mut stage = Stage::new().await;
        let mut target = stage.opened().await;
        let mut messages = Vec::new();
        breach(&mut messages);
        for message in messages {
            stage.send("portal", &message).await;
        }
        while stage.next().await.is_some() {}
        assert_eq!(
            stage.node.counters().get(Count::SessionsBroken),
            1,
            "{name}"
        );
        let mut got = Vec::new();
        let end = tokio::time::timeout(SOON, target.read_to_end(&mut got)).await;
        match end.expect("promptly") {
            // It came, before the breach.
            Ok(_) => assert_eq!(
                (name, got.as_slice()),
                ("data behind its end", &b"first"[..])
            ),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{name}"),
        }
        stage.serves().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_without_a_hello_before_it_opens_nothing() {
    let mut stage = Stage::silent().await;
    stage.ask_for(0).await;
    while stage.node.counters().get(Count::NotExposed) == 0 {
        tokio::task::yield_now().await;
    }
    stage.serves().await;
    assert_eq!(stage.node.counters().get(Count::StreamsOpened), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_never_acknowledges_gets_its_window_and_holds_up_only_itself() {
    let mut stage = Stage::new().await;
    let mut target = stage.opened().await;
    tokio::spawn(async move { while target.write_all(&[7; 1 << 16]).await.is_ok() {} });
    let mut got = 0;
    while got < STREAM_WINDOW {
        for part in stage.frames().await.expect("open").0 {
            if let Part::Data { data, .. } = part {
                got += data.len() as u64;
            }
        }
    }
    // Another one is opened and answered; nothing more comes of the first meanwhile.
    stage.ask_for(2).await;
    let (mut served, _) = stage.target.accept().await.expect("a connection");
    served.write_all(b"answer").await.expect("written");
    loop {
        let (parts, message) = stage.frames().await.expect("open");
        for part in parts {
            if let Part::Data { stream, data, .. } = part {
                assert_eq!(stream, StreamId(2), "beyond the credit");
                assert_eq!(&message[data], b"answer");
                assert_eq!(got, STREAM_WINDOW);
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_opens_and_resets_connects_to_nothing_and_is_slowed_down() {
    let mut stage = Stage::new().await;
    let connections = Arc::new(AtomicUsize::new(0));
    let began = std::time::Instant::now();
    let (mut opened, mut allowed) = (0, 64);
    let reason = Reason::Gone;
    while opened < 8_192 {
        while opened < allowed.min(8_192) {
            let mut message = control_message(64 * 32);
            for _ in 0..32.min(allowed - opened) {
                let stream = StreamId(2 * opened);
                message.append(&open(2 * opened, b"")[1..]);
                Control::Reset { stream, reason }.append(&mut message);
                opened += 1;
            }
            stage.send("portal", message.as_slice()).await;
        }
        // How many more it may.
        while opened < 8_192 && allowed <= opened {
            for part in stage.frames().await.expect("open").0 {
                if let Part::Control(Control::StreamCredit { count }) = part {
                    allowed = count;
                }
            }
        }
    }
    stage.say(&[Control::Ping { number: 9 }]).await;
    let pong = |part: &Part| *part == Part::Control(Control::Pong { number: 9 });
    loop {
        let parts = stage.frames().await.expect("open").0;
        for part in &parts {
            if let Part::Control(Control::StreamCredit { count }) = part {
                allowed = *count;
            }
        }
        if parts.iter().any(pong) {
            break;
        }
    }
    let seconds = began.elapsed().as_secs() + 1;
    assert!(
        allowed <= 8_192 + 256 + 250 * seconds,
        "{allowed} after {seconds} s"
    );
    let connecting = Arc::clone(&connections);
    let count = async {
        while let Ok(accepted) = stage.target.accept().await {
            drop(accepted);
            connecting.fetch_add(1, Ordering::SeqCst);
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_millis(200), count).await;
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    stage.serves().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_for_a_stream_that_was_refused_reaches_nobody() {
    let mut stage = Stage::new().await;
    let mut message = Frame::from_slice(b"first");
    encode_open(&mut message, STREAM, STREAM_WINDOW, "another");
    stage.send("portal", message.as_slice()).await;
    stage.say_data(0, 5, b"more").await;
    let (stream, reason) = (STREAM, Reason::Refused);
    let refused = Part::Control(Control::Reset { stream, reason });
    while !stage.frames().await.expect("open").0.contains(&refused) {}
    // It is the stream's end, and not the session's.
    stage.ask_for(2).await;
    let (mut served, _) = stage.target.accept().await.expect("a connection");
    let mut first = [0; 5];
    served.read_exact(&mut first).await.expect("it arrives");
    assert_eq!(&first, b"first");
    assert_eq!(stage.node.counters().get(Count::SessionsBroken), 0);
}
