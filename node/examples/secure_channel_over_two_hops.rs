//! End to end: a secure channel through a node in the middle, which carries it and can read nothing.
//!
//! Alice and Bob each know the other's identifier and accept nobody else. The channel is created over a route, not over a
//! connection: here the route leads over two TCP connections. Bob's worker is exposed to Alice alone, and only
//! through a channel.
//!
//! Prints who proved to be at each end, and Bob's answer.

use std::time::Duration;

use sealway::prelude::*;

/// Answers a greeting, and says who it came from.
struct Host;

impl Worker for Host {
    type Message = String;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<String>,
    ) -> Result<(), WorkerError> {
        // Not what the message claims: what this node has verified.
        let guest = message.origin.peer().ok_or("not through a channel")?;
        let answer = format!("welcome, {guest}");
        Ok(context.reply(&message, answer).await?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let alice = Node::builder().ephemeral_identity().start();
    let bob = Node::builder().ephemeral_identity().start();
    let alice_is = alice.identifier().ok_or("alice has no identity")?;
    let bob_is = bob.identifier().ok_or("bob has no identity")?;

    let access = Access::trust(Trust::Identifier(alice_is));
    let exposure = Exposure::local().to_channels(access.clone(), "host");
    bob.start_worker("host", Host, exposure)?;
    bob.secure_channel_listener("sealway_xx1", ListenerOptions::new(access))?;
    let at_bob = bob.listen("127.0.0.1:0").await?;

    // The middle node has no identity, and no part in the channel.
    let middle = Node::builder().start();
    let link = middle.connect(&at_bob.address).await?;
    let route = Route::from(link.address().clone());
    middle.start_relay("to_bob", route, Exposure::local().to_transports())?;
    let at_middle = middle.listen("127.0.0.1:0").await?;

    let link = alice.connect(&at_middle.address).await?;
    let expect = ChannelOptions::expect(Trust::Identifier(bob_is));
    let channel = alice
        .secure_channel(link.to(["to_bob", "sealway_xx1"]), expect)
        .await?;
    println!("alice met {}", channel.peer());
    let answer: String = alice
        .request(
            channel.to("host"),
            "hello".to_owned(),
            Duration::from_secs(5),
        )
        .await?;
    println!("bob said: {answer}");

    for node in [alice, middle, bob] {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
