//! What a peer can make a node hold: the bounds of queues are bytes of memory, not only of messages. In a process of its own,
//! whose memory is measured.

mod node_common;
#[path = "node_common/raw.rs"]
mod raw;

use std::time::Duration;

use node_common::route;
use raw::{Raw, one};
use sealway::core::wire::{Address, Frame, Route, encode_routing, tcp};
use sealway::{Context, Count, Delivery, Echo, Exposure, Node, Worker, WorkerError};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;

/// A name that is longer than what a relay puts in its place: there is headroom, and the message stays where it is.
const ASLEEP: &str = "a-receiver-that-is-asleep-and-has-a-long-name-of-sixty-letters";

/// Handles nothing, ever.
struct Stuck;

impl Worker for Stuck {
    type Message = Frame;

    async fn handle(&mut self, _: &mut Context, _: Delivery<Frame>) -> Result<(), WorkerError> {
        std::future::pending().await
    }
}

fn resident_mib() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = status
        .split(' ')
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .expect("resident pages");
    pages * 4 / 1_024
}

fn framed(to: &str, payload: &[u8]) -> Vec<u8> {
    let mut frame = Frame::from_slice(payload);
    encode_routing(&mut frame, &one(to), &Route::new());
    tcp::encode_frame(&mut frame).expect("short enough");
    frame.as_slice().to_vec()
}

/// Small messages that are kept, each between much that is not: until the node reads no more, or all is sent.
async fn send_raisins(raw: &mut Raw, to: &str, messages: usize) {
    let mut cake = framed(to, b"raisin");
    cake.extend(framed("nobody", &[0; 64 << 10]));
    for _ in 0..messages {
        let written = raw.socket.write_all(&cake);
        if tokio::time::timeout(Duration::from_secs(2), written)
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Memory of one process: these run one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_bounded_in_memory() {
    small_messages_that_wait_do_not_hold_the_buffers_they_came_in().await;
    routes_count_as_what_they_take().await;
    answers_that_nobody_reads_are_bounded_in_bytes().await;
}

/// A message whose routes are much longer than what it says.
async fn routes_count_as_what_they_take() {
    let node = Node::builder().start();
    node.start_worker("stuck", Stuck, Exposure::local().to_transports())
        .expect("free");
    let listening = node.listen("127.0.0.1:0").await.expect("a free port");
    let mut sender = Raw::connect(&listening.address).await;
    let long = |hop: u8| Address::local([hop; 1_000]);
    let onward: Route = std::iter::once("stuck".into())
        .chain((0..63).map(long))
        .collect();
    let mut frame = Frame::from_slice(b"x");
    encode_routing(&mut frame, &onward, &(0..15).map(long).collect());
    tcp::encode_frame(&mut frame).expect("short enough");
    let before = resident_mib();
    for _ in 0..6_000 {
        let written = sender.socket.write_all(frame.as_slice());
        written.await.expect("written");
    }
    while node.counters().get(Count::MailboxFull) < 1_000 {
        tokio::task::yield_now().await;
    }
    let held = resident_mib().saturating_sub(before);
    assert!(held < 24, "{held} MiB for a mailbox of one");
    println!("long routes: {held} MiB");
}

async fn answers_that_nobody_reads_are_bounded_in_bytes() {
    let node = Node::builder().start();
    node.start_worker("echo", Echo, Exposure::local().to_transports())
        .expect("free");
    let listening = node.listen("127.0.0.1:0").await.expect("a free port");
    let mut sender = Raw::connect(&listening.address).await;
    let question = framed("echo", &vec![1; 4 << 20]);
    let before = resident_mib();
    while node.counters().get(Count::MailboxFull) < 40 {
        sender.socket.write_all(&question).await.expect("written");
    }
    let held = resident_mib().saturating_sub(before);
    assert!(held < 64, "{held} MiB for answers that nobody reads");
    println!("answers: {held} MiB");
}

async fn small_messages_that_wait_do_not_hold_the_buffers_they_came_in() {
    let node = Node::builder().start();
    // A receiver behind a relay that reads nothing. The kernel takes little in its place.
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("socket");
    let address = format!("unix:{}", path.display());
    node.listen(&address).await.expect("free");
    let mut receiver = UnixStream::connect(&path).await.expect("it listens");
    receiver.write_all(&[tcp::VERSION]).await.expect("written");
    while node.links().is_empty() {
        tokio::task::yield_now().await;
    }
    let link = node.links()[0].address().clone();
    node.start_relay(ASLEEP, route(&[&link]), Exposure::local().to_transports())
        .expect("free");
    node.start_worker("stuck", Stuck, Exposure::local().to_transports())
        .expect("free");

    let listening = node.listen("127.0.0.1:0").await.expect("a free port");
    let mut sender = Raw::connect(&listening.address).await;
    let before = resident_mib();
    send_raisins(&mut sender, "stuck", 4_500).await;
    assert!(node.counters().get(Count::MailboxFull) > 0, "never full");
    let mailbox = resident_mib().saturating_sub(before);
    assert!(mailbox < 24, "{mailbox} MiB for a mailbox of one");

    send_raisins(&mut sender, ASLEEP, 12_000).await;
    let queue = resident_mib().saturating_sub(before + mailbox);
    assert!(queue < 24, "{queue} MiB for a queue of one");
    let passed = node.counters().get(Count::RelayForwarded);
    assert!(
        (5_000..12_000).contains(&passed),
        "{passed} until it was full"
    );
    println!("mailbox {mailbox} MiB, queue {queue} MiB, {passed} passed on");
}
