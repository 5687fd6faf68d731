//! Routes: a message walks from address to address, and its answer walks back.
//!
//! The server has a worker `hop` that passes messages on. Each hop takes itself off the front of the onward route
//! and puts itself at the front of the return route, so that the worker at the end can answer without knowing the way.
//!
//! Prints the routes that the last worker saw: its return route leads back through the hop.

use std::time::Duration;

use sealway::prelude::*;

/// Answers with the routes of the message.
struct Witness;

impl Worker for Witness {
    type Message = String;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<String>,
    ) -> Result<(), WorkerError> {
        // Behind the hops the way back goes on with names that nobody chose: the connection's, and the asker's.
        let hops = message.return_route.iter().take(2);
        let back: Route = hops.cloned().collect();
        let seen = format!(
            "{} came to {}, back by {back} => ..",
            message.payload, message.onward
        );
        Ok(context.reply(&message, seen).await?)
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Node::builder().start();
    server.start_service(Service::Hop, Exposure::local().to_transports())?;
    // What a hop passes on keeps its origin, so the witness too must be exposed to where the message came from.
    server.start_worker("witness", Witness, Exposure::local().to_transports())?;
    let listening = server.listen("127.0.0.1:0").await?;

    let client = Node::builder().start();
    let link = client.connect(&listening.address).await?;
    let route = link.to(["hop", "hop", "witness"]);
    let seen: String = client
        .request(route, "a letter".to_owned(), Duration::from_secs(5))
        .await?;
    println!("{seen}");

    client.shutdown(Duration::from_secs(5)).await;
    server.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
