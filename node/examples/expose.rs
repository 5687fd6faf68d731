//! Exposing a service by ticket: whoever redeems it is pinned for this one service, and the ticket is spent.
//!
//! The home keeps exposures and pins, so that a redeemer still gets in after both ends have restarted. A program that others
//! of the same home should be able to tell of changes has a `ControlServer` and calls `Pins::reload`.
//!
//! Prints what the ticket offers, and who came: the first redeemer, and nobody else.

use std::time::Duration;

use sealway::core::crypto::KeyType;
use sealway::home::Home;
use sealway::keys::load_parties;
use sealway::pins::Pins;
use sealway::prelude::*;
use sealway::ticket::{ExposeOptions, RedeemError, Refusal, Way};
use sealway::{Count, store::Name};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let home = Home::open(directory.path().join("home"))?;
    let name: Name = "server".parse()?;
    let now = home.clock().now();
    home.identities()
        .create(&name, KeyType::Ed25519, now)
        .await?;
    let parties = load_parties(&home, None, &[]).await?;
    let server = Node::builder().identity(parties).home(&home).start();

    let pins = Pins::open(&home)?;
    let options = ExposeOptions {
        resource: "database".to_owned(),
        target: "127.0.0.1:5432".to_owned(),
        way: Way::Direct(Some("127.0.0.1:0".to_owned())),
    };
    let exposed = server.expose(&pins, options).await?;
    // One identity, within an hour. `ticket.to_text()` is the line to hand over.
    let ticket = exposed.ticket(1, Duration::from_secs(3_600)).await?;
    println!("a ticket for {}", ticket.resource);

    let first = Node::builder().ephemeral_identity().start();
    first.redeem(&ticket).await?;
    // Asking again costs nothing: an answer may have been lost.
    first.redeem(&ticket).await?;
    let second = Node::builder().ephemeral_identity().start();
    let refused = second.redeem(&ticket).await;
    assert!(matches!(
        refused,
        Err(RedeemError::Refused(Refusal::AlreadyRedeemed))
    ));
    let first_is = first.identifier().ok_or("it has no identity")?;
    let came = server.counters().get(Count::TicketsRedeemed);
    println!(
        "{came} redeemed it; the first is in: {}",
        pins.admits_to_exposure(&first_is, "database")
    );

    for node in [first, second, server] {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
