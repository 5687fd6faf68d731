//! Two connections: a message passes through a node in the middle that knows where the last node is.
//!
//! A message from outside can never make a node open a connection. The middle node opens its connection itself, and gives it
//! a name: `onward` stands for the route through it.
//!
//! Prints the answer that came back over both connections.

use std::time::Duration;

use sealway::prelude::*;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let last = Node::builder().start();
    last.start_service(Service::Uppercase, Exposure::local().to_transports())?;
    let at_last = last.listen("127.0.0.1:0").await?;

    let middle = Node::builder().start();
    let link = middle.connect(&at_last.address).await?;
    let route = Route::from(link.address().clone());
    middle.start_relay("onward", route, Exposure::local().to_transports())?;
    let at_middle = middle.listen("127.0.0.1:0").await?;

    let first = Node::builder().start();
    let link = first.connect(&at_middle.address).await?;
    let route = link.to(["onward", "uppercase"]);
    let answer: String = first
        .request(route, "two hops away".to_owned(), Duration::from_secs(5))
        .await?;
    println!("{answer}");

    for node in [first, middle, last] {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
