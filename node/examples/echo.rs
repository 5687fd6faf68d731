//! Two nodes and a message: a worker that answers what it is sent, reached over TCP.
//!
//! Nothing is encrypted here, and whoever can connect can send: the worker is exposed to bare transports. See the example
//! `secure_channel_over_two_hops` for how it should be.
//!
//! Prints `hello, echo` as it came back.

use std::time::Duration;

use sealway::prelude::*;

/// Answers each message with what it carried.
struct Echo;

impl Worker for Echo {
    type Message = String;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<String>,
    ) -> Result<(), WorkerError> {
        let answer = message.payload.clone();
        Ok(context.reply(&message, answer).await?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Node::builder().start();
    server.start_worker("echo", Echo, Exposure::local().to_transports())?;
    let listening = server.listen("127.0.0.1:0").await?;

    let client = Node::builder().start();
    let link = client.connect(&listening.address).await?;
    let question = "hello, echo".to_owned();
    let answer: String = client
        .request(link.to("echo"), question, Duration::from_secs(5))
        .await?;
    println!("{answer}");

    client.shutdown(Duration::from_secs(5)).await;
    server.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
