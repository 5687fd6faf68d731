//! The protocol core alone against the reference: TCP frames, routing messages, the XX handshake in both roles,
//! records across rekeys, Close, written with blocking sockets and nothing of the node.

use interop_cells::{CellError, Oracle, Shape, now, rng};
use sealway_core::Tick;
use sealway_core::channel::message::{self, Plaintext};
use sealway_core::channel::{Established, Initiator, LocalParty, Opener, Responder, Sealer, Trust};
use sealway_core::identity::{Identifier, Identity};
use sealway_core::wire::{self, Address, Frame, Route, RoutingMessage, tcp};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Six rekeys in each direction.
const ROUND_TRIPS: u32 = 200;
const PATIENCE: Duration = Duration::from_secs(20);

fn route(hops: &[&str]) -> Route {
    hops.iter().map(Address::local).collect()
}

/// One TCP connection to or from the reference.
struct Wire {
    stream: TcpStream,
    deframer: tcp::Deframer,
}

/// A message as it came off the wire.
struct Received {
    onward: Route,
    return_route: Route,
    payload: Frame,
}

impl Wire {
    fn new(mut stream: TcpStream) -> Result<Self, CellError> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        stream.write_all(&[tcp::VERSION])?;
        Ok(Self {
            stream,
            deframer: tcp::Deframer::new(),
        })
    }

    fn dial(port: &str) -> Result<Self, CellError> {
        Self::new(TcpStream::connect(format!("127.0.0.1:{port}"))?)
    }

    fn send(&mut self, onward: &Route, back: &Route, mut frame: Frame) -> Result<(), CellError> {
        wire::encode_routing(&mut frame, onward, back);
        tcp::encode_frame(&mut frame)?;
        Ok(self.stream.write_all(frame.as_slice())?)
    }

    fn receive(&mut self) -> Result<Received, CellError> {
        let mut chunk = [0; 4096];
        let mut frame = loop {
            if let Some(frame) = self.deframer.next_frame()? {
                break frame;
            }
            let got = self.stream.read(&mut chunk)?;
            if got == 0 {
                return Err("the reference closed the connection".into());
            }
            self.deframer.feed(&chunk[..got]);
        };
        let routing = RoutingMessage::decode(frame.as_slice())?;
        frame.narrow(routing.payload);
        Ok(Received {
            onward: routing.onward,
            return_route: routing.return_route,
            payload: frame,
        })
    }
}

/// An open channel with the reference at the other end of `wire`.
struct Channel {
    wire: Wire,
    sealer: Sealer,
    opener: Opener,
    peer_route: Route,
    peer: Identity,
}

impl Channel {
    fn new(wire: Wire, peer_route: Route, established: Established) -> Self {
        let (sealer, opener) = established.session.split();
        Self {
            wire,
            sealer,
            opener,
            peer_route,
            peer: established.peer,
        }
    }

    /// Opens a channel to the reference's listener `api`.
    fn open(port: &str, party: &Arc<LocalParty>, trust: &Trust) -> Result<Self, CellError> {
        let mut wire = Wire::dial(port)?;
        let (message1, waiting) = Initiator::start(party, &Address::local("api"), &mut rng());
        let (api, decryptor) = (route(&["api"]), route(&["decryptor"]));
        wire.send(&api, &decryptor, Frame::from_slice(&message1))?;
        let answer = wire.receive()?;
        assert_eq!(answer.onward, decryptor);
        let trusted = waiting.read_message2(answer.payload.as_slice(), now()?, trust)?;
        let (message3, established) = trusted.write_message3()?;
        wire.send(
            &answer.return_route,
            &decryptor,
            Frame::from_slice(&message3),
        )?;
        Ok(Self::new(wire, answer.return_route, established))
    }

    /// Answers the reference, which opens a channel to our listener `api`.
    fn accept(
        listener: &TcpListener,
        party: &Arc<LocalParty>,
        trust: &Trust,
    ) -> Result<Self, CellError> {
        let mut wire = Wire::new(listener.accept()?.0)?;
        let first = wire.receive()?;
        assert_eq!(first.onward, route(&["api"]));
        let responder = Responder::new(party, &Address::local("api"))
            .read_message1(first.payload.as_slice())?;
        let (message2, waiting) = responder.write_message2(&mut rng())?;
        let decryptor = route(&["decryptor"]);
        wire.send(
            &first.return_route,
            &decryptor,
            Frame::from_slice(&message2),
        )?;
        let third = wire.receive()?;
        assert_eq!(third.onward, decryptor);
        let established = waiting.read_message3(third.payload.as_slice(), now()?, trust)?;
        Ok(Self::new(wire, first.return_route, established))
    }

    fn send(&mut self, mut plaintext: Frame) -> Result<(), CellError> {
        self.sealer.seal(&mut plaintext)?;
        self.wire.send(&self.peer_route, &Route::new(), plaintext)
    }

    fn send_payload(
        &mut self,
        onward: &Route,
        back: &Route,
        bytes: &[u8],
    ) -> Result<(), CellError> {
        let mut frame = Frame::from_slice(bytes);
        message::encode_payload(&mut frame, onward, back);
        self.send(frame)
    }

    fn receive(&mut self) -> Result<(Plaintext, Frame), CellError> {
        let mut frame = self.wire.receive()?.payload;
        self.opener.open(&mut frame, Tick(0))?;
        Ok((message::decode(frame.as_slice())?, frame))
    }

    /// Echoes what the reference sends, as often as it was told to send.
    fn echo(&mut self, times: u32) -> Result<(), CellError> {
        for _ in 0..times {
            let (plaintext, frame) = self.receive()?;
            let Plaintext::Payload {
                onward,
                return_route,
                payload,
            } = plaintext
            else {
                return Err(format!("a payload was due, not {plaintext:?}").into());
            };
            assert_eq!(onward, route(&["echo"]));
            let bytes = &frame.as_slice()[payload];
            self.send_payload(&return_route, &onward, bytes)?;
        }
        Ok(())
    }

    /// Sends to the reference's echo worker and compares what comes back.
    fn ping(&mut self, times: u32) -> Result<(), CellError> {
        let (echo, app) = (route(&["echo"]), route(&["app"]));
        for index in 0..times {
            let sent = format!("message {index}");
            self.send_payload(&echo, &app, sent.as_bytes())?;
            let (plaintext, frame) = self.receive()?;
            let Plaintext::Payload {
                onward, payload, ..
            } = plaintext
            else {
                return Err(format!("a payload was due, not {plaintext:?}").into());
            };
            assert_eq!(onward, app);
            assert_eq!(&frame.as_slice()[payload], sent.as_bytes());
        }
        Ok(())
    }
}

fn identifier(text: &str) -> Result<Identifier, CellError> {
    Ok(text.parse()?)
}

/// A reference node that listens for channels at `api` and echoes.
fn listening(shape: Shape, trusts: &Identifier) -> Result<(Oracle, String, Identifier), CellError> {
    let oracle = Oracle::start()?;
    let port = oracle.call_for("listen", json!({}), "port")?;
    oracle.call("start", json!({"worker": "echo", "address": "echo"}))?;
    let own = oracle.call_for("create_identity", shape.fields(), "identifier")?;
    let fields = json!({"identity": own, "address": "api", "peer": trusts.to_string()});
    oracle.call("channel_listener", fields)?;
    Ok((oracle, port, identifier(&own)?))
}

#[test]
fn reference_echoes_plain_frames() -> Result<(), CellError> {
    let oracle = Oracle::start()?;
    let port = oracle.call_for("listen", json!({}), "port")?;
    oracle.call("start", json!({"worker": "echo", "address": "echo"}))?;
    let mut wire = Wire::dial(&port)?;
    let app = route(&["app"]);
    for length in [0, 1, 255, 65_536, 1_000_000] {
        let sent = vec![0x5a; length];
        wire.send(&route(&["echo"]), &app, Frame::from_slice(&sent))?;
        let back = wire.receive()?;
        assert_eq!(back.onward, app);
        assert_eq!(back.payload.as_slice(), sent);
    }
    Ok(())
}

#[test]
fn initiator_completes_xx_and_exchanges_across_rekeys() -> Result<(), CellError> {
    for shape in Shape::ALL {
        let party = shape.party()?;
        let (oracle, port, peer) = listening(shape, party.identifier())?;
        let mut channel = Channel::open(&port, &party, &Trust::Identifier(peer))?;
        assert_eq!(channel.peer.identifier(), peer);
        channel.ping(ROUND_TRIPS)?;
        let fields = json!({"peer": party.identifier().to_string()});
        oracle.call("await_channel", fields)?;
    }
    Ok(())
}

/// Lets the reference open a channel to us; it runs beside `then`, which gets our end of it.
fn called(
    shape: Shape,
    then: impl FnOnce(&mut Channel, &Oracle, &str) -> Result<(), CellError>,
) -> Result<(), CellError> {
    let party = shape.party()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let oracle = Oracle::start()?;
    let own = oracle.call_for("create_identity", shape.fields(), "identifier")?;
    let peer = listener.local_addr()?.to_string();
    let first = oracle.call_for("connect", json!({"peer": peer}), "address")?;
    let us = party.identifier().to_string();
    let opening = oracle.begin(
        "channel",
        json!({"identity": own, "route": format!("{first} => api"), "peer": us}),
    )?;
    let trust = Trust::Identifier(identifier(&own)?);
    let mut channel = Channel::accept(&listener, &party, &trust)?;
    let opened = opening.wait()?;
    let address = opened["address"]
        .as_str()
        .ok_or("a channel has an address")?;
    then(&mut channel, &oracle, address)
}

#[test]
fn responder_completes_xx_and_exchanges_across_rekeys() -> Result<(), CellError> {
    for shape in Shape::ALL {
        called(shape, |channel, oracle, address| {
            let route = format!("{address} => echo");
            let running =
                oracle.begin("exchange", json!({"route": route, "count": ROUND_TRIPS}))?;
            channel.echo(ROUND_TRIPS)?;
            running.wait()?;
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn close_from_the_initiator_ends_the_channel_at_the_reference() -> Result<(), CellError> {
    let party = Shape::Ed25519.party()?;
    let (oracle, port, peer) = listening(Shape::Ed25519, party.identifier())?;
    let mut channel = Channel::open(&port, &party, &Trust::Identifier(peer))?;
    let fields = json!({"peer": party.identifier().to_string()});
    let address = oracle.call_for("await_channel", fields, "address")?;
    channel.send(message::encode_close())?;
    oracle.call("await_closed", json!({"address": address}))?;
    Ok(())
}

#[test]
fn close_from_the_responder_ends_the_channel_at_the_reference() -> Result<(), CellError> {
    called(Shape::Ed25519, |channel, oracle, address| {
        channel.send(message::encode_close())?;
        oracle.call("await_closed", json!({"address": address}))?;
        Ok(())
    })
}

#[test]
fn close_from_the_reference_is_understood_in_both_roles() -> Result<(), CellError> {
    called(Shape::Ed25519, |channel, oracle, address| {
        oracle.call("close_channel", json!({"address": address}))?;
        assert_eq!(channel.receive()?.0, Plaintext::Close);
        Ok(())
    })?;

    let party = Shape::Ed25519.party()?;
    let (oracle, port, peer) = listening(Shape::Ed25519, party.identifier())?;
    let mut channel = Channel::open(&port, &party, &Trust::Identifier(peer))?;
    let fields = json!({"peer": party.identifier().to_string()});
    let address = oracle.call_for("await_channel", fields, "address")?;
    oracle.call("close_channel", json!({"address": address}))?;
    assert_eq!(channel.receive()?.0, Plaintext::Close);
    Ok(())
}

#[test]
fn untrusted_reference_is_refused_before_message_3() -> Result<(), CellError> {
    let party = Shape::Ed25519.party()?;
    let (_oracle, port, _peer) = listening(Shape::Ed25519, party.identifier())?;
    let stranger = Trust::Identifier(*party.identifier());
    assert!(Channel::open(&port, &party, &stranger).is_err());
    Ok(())
}

#[test]
fn identities_verify_at_the_other_side() -> Result<(), CellError> {
    let oracle = Oracle::start()?;
    for shape in Shape::ALL {
        let (ours, _key) = shape.identity()?;
        let history: String = ours.export().iter().map(|b| format!("{b:02x}")).collect();
        let verified =
            oracle.call_for("verify_identity", json!({"history": history}), "identifier")?;
        assert_eq!(verified, ours.identifier().to_string());

        let theirs = oracle.call("create_identity", shape.fields())?;
        let history = theirs["history"].as_str().ok_or("a history")?;
        let bytes: Vec<u8> = (0..history.len() / 2)
            .map(|at| u8::from_str_radix(&history[2 * at..2 * at + 2], 16))
            .collect::<Result<_, _>>()?;
        let imported = Identity::import(&bytes, None)?;
        assert_eq!(
            Some(imported.identifier().to_string().as_str()),
            theirs["identifier"].as_str()
        );
        assert_eq!(imported.change_count(), shape.keys().len());
    }
    Ok(())
}
