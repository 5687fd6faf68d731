//! What an idle channel keeps: counted in bytes of the process.
//!
//! In a test binary of its own, with one test, because it measures the allocations of the process. What aws-lc allocates for
//! its keys is not counted; where ring's AES-GCM is used, its keys are.

mod node_common;

use node_common::{SOON, builder, route, server};
use peak_alloc::PeakAlloc;
use sealway::Node;
use sealway::channel::{Channel, ChannelOptions};
use sealway::core::channel::{Suite, Trust};
use sealway::core::wire::{Address, Route};
use sealway::transport::memory::Network;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const CHANNELS: usize = 1_000;
/// Bytes that one side of a channel may keep.
const MOST: usize = 4 << 10;

async fn open(client: &Node, to: &Route) -> Channel {
    let options = ChannelOptions::expect(Trust::Everyone);
    let opened = client.secure_channel(to.clone(), options).await;
    opened.expect("a channel")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_channel_takes_four_kib_at_most() {
    let network = Network::new(1);
    let _server = server(&network).await;
    let client = builder(&network).start();
    let link = client.connect("tcp:10.0.0.1:1").await.expect("it listens");
    let listener = Address::local(Suite::Hybrid.listener());
    let to = route(&[link.address(), &listener]);
    // What the first ones make is there once.
    let mut channels = Vec::with_capacity(2 * CHANNELS);
    for _ in 0..100 {
        channels.push(open(&client, &to).await);
    }
    let per_side =
        |before: usize| ALLOCATOR.current_usage().saturating_sub(before) / (2 * CHANNELS);
    let before = ALLOCATOR.current_usage();
    for _ in 0..CHANNELS {
        channels.push(open(&client, &to).await);
    }
    let new = per_side(before);
    // Far enough for both directions to keep the key of the epoch before.
    for channel in channels.iter().skip(100) {
        for _ in 0..40 {
            let echoed: Result<String, _> = client
                .request(channel.to("echo"), "x".to_owned(), SOON)
                .await;
            assert_eq!(echoed.expect("an answer"), "x");
        }
    }
    let used = per_side(before);
    println!("an idle channel, one side: {new} bytes when new, {used} once it was used");
    assert!(new.max(used) <= MOST, "{new} and {used} bytes");
}
