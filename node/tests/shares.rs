//! Whoever takes all he can get of what is bounded leaves room for those who come from elsewhere.

mod node_common;
#[path = "node_common/raw.rs"]
mod raw;

use node_common::{SOON, ms, offer};
use raw::{Raw, party};
use sealway::channel::{Channel, ChannelOptions, OpenError};
use sealway::core::channel::Trust;
use sealway::{Count, Node};

/// Waits until something was counted so often.
async fn counted(node: &Node, count: Count, times: u64) {
    let wait = async {
        while node.counters().get(count) < times {
            tokio::time::sleep(ms(1)).await;
        }
    };
    if tokio::time::timeout(SOON, wait).await.is_err() {
        panic!("{}: {:?}", count.name(), node.counters().snapshot());
    }
}

async fn replies(node: &Node, channel: &Channel) -> bool {
    let reply = node.request::<String>(channel.to("echo"), "me too?".to_owned(), SOON);
    reply.await.is_ok_and(|reply| reply == "me too?")
}

#[tokio::test]
async fn a_connection_that_opens_all_channels_it_can_leaves_room_for_others() {
    const MOST: usize = 32;
    let victim = Node::builder()
        .ephemeral_identity()
        .max_channels(MOST)
        .start();
    offer(&victim, Trust::Everyone);
    let address = victim
        .listen("127.0.0.1:0")
        .await
        .expect("a free port")
        .address;
    // Each with an identity of its own and a return route that it makes up.
    let mut raw = Raw::connect(&address).await;
    for _ in 0..MOST {
        raw.open(&party(), "api", "me").await;
    }
    counted(&victim, Count::ChannelsOpened, MOST as u64).await;
    for _ in 0..10 {
        raw.start(&party(), "api", "me").await;
    }
    counted(&victim, Count::HandshakesRefused, 10).await;

    let honest = Node::builder().ephemeral_identity().start();
    let link = honest.connect(&address).await.expect("it listens");
    let mut channels = Vec::new();
    for n in 1..=4 {
        let options = ChannelOptions::expect(Trust::Everyone);
        let opened: Result<Channel, OpenError> =
            honest.secure_channel(link.to("api"), options).await;
        channels.push(opened.expect("a channel"));
        counted(&victim, Count::ChannelsEvicted, n).await;
    }
    // It goes on, and takes nothing back.
    for _ in 0..10 {
        raw.start(&party(), "api", "me").await;
    }
    counted(&victim, Count::HandshakesRefused, 20).await;
    for channel in &channels {
        assert!(replies(&honest, channel).await);
    }
}
