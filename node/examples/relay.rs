//! A node with no open port: it registers at a relay, and is reached there under its name, end to end encrypted.
//!
//! The relay binds the name to the identity that registered it. It carries the secure channel between the two others and
//! can neither read nor alter what is in it.
//!
//! Prints where the private node is registered, and its answer.

use std::time::Duration;

use sealway::prelude::*;
use sealway::relay::{RegistrationOptions, RelayOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The relay: any proven identity may register.
    let relay = Node::builder().ephemeral_identity().start();
    relay.relay_service(RelayOptions::default())?;
    let access = Access::trust(Trust::Everyone);
    relay.secure_channel_listener("sealway_xx1", ListenerOptions::new(access))?;
    let listening = relay.listen("127.0.0.1:0").await?;
    let relay_is = relay.identifier().ok_or("the relay has no identity")?;

    // The private node: it listens nowhere, and trusts the client alone.
    let client = Node::builder().ephemeral_identity().start();
    let private = Node::builder().ephemeral_identity().start();
    let client_is = client.identifier().ok_or("the client has no identity")?;
    let private_is = private.identifier().ok_or("it has no identity")?;
    let access = Access::trust(Trust::Identifier(client_is));
    let exposure = Exposure::local().to_channels(access.clone(), "uppercase");
    private.start_service(Service::Uppercase, exposure)?;
    private.secure_channel_listener("sealway_xx1", ListenerOptions::new(access))?;
    let options = RegistrationOptions::new(Some("alice".to_owned()), Trust::Identifier(relay_is));
    // Renewed whenever it is lost, until it is dropped.
    let registration = private
        .register_at_relay(&listening.address, options)
        .await?;
    let name = registration.address().ok_or("the registration is lost")?;
    println!("registered as {name}");

    // The client: it needs the relay's address, the name, and whom to expect behind it.
    let link = client.connect(&listening.address).await?;
    let expect = ChannelOptions::expect(Trust::Identifier(private_is));
    let channel = client
        .secure_channel(link.to([name, "sealway_xx1".into()]), expect)
        .await?;
    let question = "through the relay".to_owned();
    let answer: String = client
        .request(channel.to("uppercase"), question, Duration::from_secs(5))
        .await?;
    println!("{answer}");

    for node in [client, private, relay] {
        node.shutdown(Duration::from_secs(5)).await;
    }
    Ok(())
}
