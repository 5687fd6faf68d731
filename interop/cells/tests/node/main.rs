//! The twelve cells: a Sealway node and a node of the reference, each at either end.
//!
//! Run by `interop/run`, which prints them as a table.

mod subject;

use interop_cells::{CellError, Oracle, Shape, Target, cell, transfer};
use sealway::channel::{Channel, CloseReason};
use sealway::core::channel::Trust;
use sealway::core::wire::{MultiAddr, Route};
use sealway::relay::{RegistrationOptions, RelayOptions};
use sealway::{Access, Count, Exposure, PathOptions, Service};
use serde_json::json;
use std::net::SocketAddr;
use subject::{PATIENCE, Reference, Subject};

const OUT: &str = "Sealway -> reference";
const IN: &str = "reference -> Sealway";
/// What a portal carries in each direction.
const PORTAL_BYTES: u64 = 100_000_000;

/// A Sealway node connected to a node of the reference, with a channel that it opened.
fn opened(ours: Shape, theirs: Shape) -> Result<(Subject, Reference, Channel), CellError> {
    let reference = Reference::start(theirs)?;
    let subject = Subject::start(ours)?;
    let link = subject.connect(&reference.address)?;
    let channel = subject.open(&format!("{link} => api"), &reference.identifier)?;
    Ok((subject, reference, channel))
}

/// A node of the reference connected to a Sealway node, with a channel that it opened: its first hop.
fn accepted(ours: Shape, theirs: Shape) -> Result<(Subject, Reference, String), CellError> {
    let reference = Reference::start(theirs)?;
    let subject = Subject::start(ours)?;
    let address = subject.serve(Service::Echo)?;
    subject.accept_channels(Trust::Identifier(reference.identifier.parse()?))?;
    let link = reference.connect(&address)?;
    let us = subject.identifier()?.to_string();
    let channel = reference.open(&format!("{link} => api"), &us)?;
    Ok((subject, reference, channel))
}

#[test]
fn c01_plain_echo() {
    cell("01 plain echo", OUT, || {
        let reference = Reference::start(Shape::Ed25519)?;
        let subject = Subject::start(Shape::Ed25519)?;
        let link = subject.connect(&reference.address)?;
        subject.exchange(&format!("{link} => echo"), 20)?;
        Ok("20 strings echoed".to_owned())
    });
    cell("01 plain echo", IN, || {
        let subject = Subject::start(Shape::Ed25519)?;
        let address = subject.serve(Service::Echo)?;
        let reference = Reference::start(Shape::Ed25519)?;
        let link = reference.connect(&address)?;
        reference.exchange(&format!("{link} => echo"), 20)?;
        Ok("20 strings echoed".to_owned())
    });
}

#[test]
fn c02_mixed_hop() {
    cell("02 mixed hop", "through the reference", || {
        let middle = Reference::start(Shape::Ed25519)?;
        middle
            .oracle
            .call("start", json!({"worker": "hop", "address": "hop"}))?;
        let (near, far) = (
            Subject::start(Shape::Ed25519)?,
            Subject::start(Shape::Ed25519)?,
        );
        let second = middle.connect(&far.serve(Service::Echo)?)?;
        let first = near.connect(&middle.address)?;
        near.exchange(&format!("{first} => hop => {second} => echo"), 20)?;
        Ok("Sealway, reference, Sealway: 20 strings echoed".to_owned())
    });
    cell("02 mixed hop", "through Sealway", || {
        let middle = Subject::start(Shape::Ed25519)?;
        let address = middle.serve(Service::Hop)?;
        let (near, far) = (
            Reference::start(Shape::Ed25519)?,
            Reference::start(Shape::Ed25519)?,
        );
        // A hop opens no doors here: that messages may leave by the second connection has to be said.
        let second = middle.connect(&far.address)?;
        let exposure = Exposure::local().to_transports();
        middle.run(async {
            middle
                .node
                .start_relay("onward", second.to_string().parse::<Route>()?, exposure)?;
            Ok::<_, CellError>(())
        })?;
        let first = near.connect(&address)?;
        near.exchange(&format!("{first} => hop => onward => echo"), 20)?;
        Ok("reference, Sealway, reference: 20 strings echoed".to_owned())
    });
}

#[test]
fn c03_xx_with_sealway_as_initiator() {
    cell("03 XX, Sealway initiates", OUT, || {
        let (subject, reference, channel) = opened(Shape::Ed25519, Shape::Ed25519)?;
        assert_eq!(channel.peer().to_string(), reference.identifier);
        let whoami = format!("{} => whoami", channel.address());
        let request =
            subject
                .node
                .request::<String>(whoami.parse::<Route>()?, String::new(), PATIENCE);
        let seen = subject.run(request)?;
        assert_eq!(seen, subject.identifier()?.to_string());
        subject.exchange(&format!("{} => echo", channel.address()), 10)?;
        Ok("each proved who it is; 10 strings echoed".to_owned())
    });
}

#[test]
fn c04_xx_with_the_reference_as_initiator() {
    cell("04 XX, reference initiates", IN, || {
        let (_subject, reference, channel) = accepted(Shape::Ed25519, Shape::Ed25519)?;
        reference.exchange(&format!("{channel} => echo"), 10)?;
        Ok("each proved who it is; 10 strings echoed".to_owned())
    });
}

#[test]
fn c05_rotated_and_p256_identities() {
    let shapes = [
        ("05 identity: P-256", Shape::P256),
        ("05 identity: rotated twice", Shape::Ed25519Rotated),
        ("05 identity: P-256 to Ed25519", Shape::P256RotatedToEd25519),
    ];
    for (name, shape) in shapes {
        for (whose, ours, theirs) in [
            ("Sealway presents it", shape, Shape::Ed25519),
            ("reference presents it", Shape::Ed25519, shape),
        ] {
            cell(name, whose, || {
                let (subject, _reference, channel) = opened(ours, theirs)?;
                subject.exchange(&format!("{} => echo", channel.address()), 3)?;
                let (_subject, reference, channel) = accepted(ours, theirs)?;
                reference.exchange(&format!("{channel} => echo"), 3)?;
                Ok("as initiator and as responder".to_owned())
            });
        }
    }
}

#[test]
fn c06_thousand_messages_across_rekeys() {
    cell("06 1,000 messages", OUT, || {
        let (subject, _reference, channel) = opened(Shape::Ed25519, Shape::Ed25519)?;
        subject.exchange(&format!("{} => echo", channel.address()), 1_000)?;
        Ok("1,000 round trips, 31 rekeys each way".to_owned())
    });
    cell("06 1,000 messages", IN, || {
        let (_subject, reference, channel) = accepted(Shape::Ed25519, Shape::Ed25519)?;
        reference.exchange(&format!("{channel} => echo"), 1_000)?;
        Ok("1,000 round trips, 31 rekeys each way".to_owned())
    });
}

#[test]
fn c07_close_by_sealway() {
    cell("07 Close by Sealway", OUT, || {
        let (subject, reference, channel) = opened(Shape::Ed25519, Shape::Ed25519)?;
        let us = json!({"peer": subject.identifier()?.to_string()});
        let theirs = reference.oracle.call_for("await_channel", us, "address")?;
        subject.run(async { channel.close() });
        reference
            .oracle
            .call("await_closed", json!({"address": theirs}))?;
        Ok("the reference's end is gone".to_owned())
    });
    cell("07 Close by Sealway", IN, || {
        let (subject, reference, channel) = accepted(Shape::Ed25519, Shape::Ed25519)?;
        // The reference speaks of a channel before its message 3 has arrived; an echo comes after.
        reference.exchange(&format!("{channel} => echo"), 1)?;
        subject.run(subject.node.shutdown(PATIENCE));
        reference
            .oracle
            .call("await_closed", json!({"address": channel}))?;
        Ok("the reference's end is gone".to_owned())
    });
}

#[test]
fn c08_close_by_the_reference() {
    cell("08 Close by the reference", OUT, || {
        let (subject, reference, channel) = opened(Shape::Ed25519, Shape::Ed25519)?;
        subject.exchange(&format!("{} => echo", channel.address()), 1)?;
        let us = json!({"peer": subject.identifier()?.to_string()});
        let theirs = reference.oracle.call_for("await_channel", us, "address")?;
        reference
            .oracle
            .call("close_channel", json!({"address": theirs}))?;
        let closed =
            subject.run(async { tokio::time::timeout(PATIENCE, channel.closed()).await })?;
        assert_eq!(closed, CloseReason::Peer);
        Ok("our end is gone".to_owned())
    });
    cell("08 Close by the reference", IN, || {
        let (subject, reference, channel) = accepted(Shape::Ed25519, Shape::Ed25519)?;
        reference.exchange(&format!("{channel} => echo"), 1)?;
        reference
            .oracle
            .call("close_channel", json!({"address": channel}))?;
        // Nothing tells of an accepted channel's end but the counter.
        subject.run(async {
            let ended = async {
                while subject.node.counters().get(Count::ChannelsClosed) == 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, ended).await
        })?;
        Ok("our end is gone".to_owned())
    });
}

/// Two clients, one of each kind, reach `private`'s echo through the relay, in a channel from end to end.
fn reach_through(relay: &str, name: &str, private: &str) -> Result<(), CellError> {
    let ours = Subject::start(Shape::Ed25519)?;
    let link = ours.connect(relay)?;
    let channel = ours.open(&format!("{link} => {name} => api"), private)?;
    ours.exchange(&format!("{} => echo", channel.address()), 100)?;

    let theirs = Reference::start(Shape::Ed25519)?;
    let link = theirs.connect(relay)?;
    let channel = theirs.open(&format!("{link} => {name} => api"), private)?;
    theirs.exchange(&format!("{channel} => echo"), 100)
}

#[test]
fn c09_relay_of_the_reference() {
    for (kind, alias) in [("named", Some("alice".to_owned())), ("ephemeral", None)] {
        let direction = format!("Sealway registers, {kind}");
        cell("09 relay of the reference", &direction, || {
            let relay = Reference::start(Shape::Ed25519)?;
            relay
                .oracle
                .call("relay_service", json!({"prefix": "forward_to_"}))?;
            let private = Subject::start(Shape::Ed25519)?;
            private.run(async {
                private
                    .node
                    .start_service(Service::Echo, Exposure::local().to_transports())
            })?;
            private.accept_channels(Trust::Everyone)?;
            let expect = Trust::Identifier(relay.identifier.parse()?);
            let options = RegistrationOptions {
                listener: "api".to_owned(),
                ..RegistrationOptions::new(alias, expect)
            };
            let registration =
                private.run(private.node.register_at_relay(&relay.address, options))?;
            let name = registration.address().ok_or("a registration stands")?;
            let us = private.identifier()?.to_string();
            reach_through(&relay.address, &name.to_string(), &us)?;
            Ok("reached by both, 100 strings each".to_owned())
        });
    }
}

#[test]
fn c10_relay_of_sealway() {
    let variants = [
        ("named", Some("bob"), true),
        ("ephemeral", None, true),
        ("plain", None, false),
    ];
    for (kind, alias, inside) in variants {
        let direction = format!("reference registers, {kind}");
        cell("10 relay of Sealway", &direction, || {
            let relay = Subject::start(Shape::Ed25519)?;
            let address = relay.serve(Service::Echo)?;
            relay.accept_channels(Trust::Everyone)?;
            relay.run(async { relay.node.relay_service(RelayOptions::default()) })?;
            let private = Reference::start(Shape::Ed25519)?;
            let mut way = private.connect(&address)?;
            if inside {
                let us = relay.identifier()?.to_string();
                way = private.open(&format!("{way} => api"), &us)?;
            }
            let fields = json!({"route": way, "alias": alias});
            let name = private.oracle.call_for("register", fields, "relay")?;
            reach_through(&address, &name, &private.identifier)?;
            Ok("reached by both, 100 strings each".to_owned())
        });
    }
}

fn moved() -> String {
    format!("{} MB each way, SHA-256 equal", PORTAL_BYTES / 1_000_000)
}

#[test]
fn c11_portal_with_an_inlet_of_sealway() {
    cell("11 portal, Sealway inlet", OUT, || {
        let target = Target::start()?;
        let reference = Reference::start(Shape::Ed25519)?;
        let fields = json!({"address": "outlet", "target": target.address().to_string()});
        reference.oracle.call("outlet", fields)?;
        let subject = Subject::start(Shape::Ed25519)?;
        let port = reference.address.rsplit_once(':').ok_or("a port")?.1;
        let to: MultiAddr =
            format!("/ip4/127.0.0.1/tcp/{port}/secure/api/service/outlet").parse()?;
        let options = PathOptions::expect(Trust::Identifier(reference.identifier.parse()?));
        let inlet = subject.run(subject.node.inlet("127.0.0.1:0", &to, options))?;
        transfer(inlet.address().parse()?, PORTAL_BYTES)?;
        Ok(moved())
    });
}

#[test]
fn c12_portal_with_an_inlet_of_the_reference() {
    cell("12 portal, reference inlet", IN, || {
        let target = Target::start()?;
        let (subject, reference, channel) = accepted(Shape::Ed25519, Shape::Ed25519)?;
        let access = Access::trust(Trust::Identifier(reference.identifier.parse()?));
        let exposure = Exposure::local().to_channels(access, "outlet");
        let address = target.address().to_string();
        subject.run(async { subject.node.outlet("outlet", &address, exposure) })?;
        transfer(inlet(&reference.oracle, &channel)?, PORTAL_BYTES)?;
        Ok(moved())
    });
}

fn inlet(oracle: &Oracle, channel: &str) -> Result<SocketAddr, CellError> {
    let fields = json!({"route": format!("{channel} => outlet")});
    let port: u16 = oracle.call_for("inlet", fields, "port")?.parse()?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}
