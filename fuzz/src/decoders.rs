//! Decoders: nothing panics, what they accept is within its bounds, and `decode(encode(x)) == x`.

use sealway_core::UnixSeconds;
use sealway_core::channel::{Plaintext, message};
use sealway_core::control::{ErrorBody, Request, Response, Status};
use sealway_core::identity::{Attestation, Evolution, Identity};
use sealway_core::portal;
use sealway_core::relay::{Registration, accept_confirmation, check_alias};
use sealway_core::wire::tcp::{Deframer, HEADER_LEN, MAX_FRAME};
use sealway_core::wire::{
    Address, DecodeError, Frame, MAX_ADDRESS, MAX_ONWARD_HOPS, MultiAddr, Route, RoutingMessage,
    bare, cbor, encode_routing, legacy, steers,
};

/// Whether nothing in `text` could steer a terminal or start another line.
fn is_printable(text: &str) -> bool {
    !text.contains(steers)
}

/// The text form of addresses.
pub fn address_text(data: &[u8]) {
    // Any bytes can be an address that a peer sends; they must show harmlessly.
    assert!(is_printable(&Address::local(data).to_string()));
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(address) = text.parse::<Address>() else {
        return;
    };
    assert!(address.value().len() <= MAX_ADDRESS);
    let plain = |character: char| character.is_ascii_graphic() && character != '\\';
    if text.chars().all(plain) {
        let again: Address = address
            .to_string()
            .parse()
            .expect("a printed address is one");
        assert_eq!(again, address);
    }
}

/// The text form of routes.
pub fn route_text(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(route) = text.parse::<Route>() else {
        return;
    };
    assert!((1..=MAX_ONWARD_HOPS).contains(&route.len()));
    assert!(is_printable(&route.to_string()));
}

/// Routing messages as they are in TCP frames.
pub fn routing_message(data: &[u8]) {
    let Ok(message) = RoutingMessage::decode(data) else {
        return;
    };
    assert!(message.onward.len() <= MAX_ONWARD_HOPS);
    assert!(message.return_route.len() <= MAX_ONWARD_HOPS);
    let payload = &data[message.payload.clone()];
    let mut frame = Frame::from_slice(payload);
    encode_routing(&mut frame, &message.onward, &message.return_route);
    let again = RoutingMessage::decode(frame.as_slice()).expect("what was encoded is a message");
    assert_eq!(again.onward, message.onward);
    assert_eq!(again.return_route, message.return_route);
    assert_eq!(&frame.as_slice()[again.payload], payload);
}

/// BARE items: the first byte says which.
pub fn bare(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    let mut reader = bare::Reader::new(data);
    let mut out = Vec::new();
    match kind % 3 {
        0 => {
            let Ok(value) = reader.uint() else { return };
            bare::write_uint(&mut out, value);
            assert_eq!(out.len(), bare::uint_len(value));
            assert_eq!(bare::Reader::new(&out).uint(), Ok(value));
        }
        1 => {
            let Ok(value) = reader.data() else { return };
            bare::write_data(&mut out, value);
            assert_eq!(bare::Reader::new(&out).data(), Ok(value));
        }
        _ => {
            let Ok(value) = reader.string() else { return };
            bare::write_string(&mut out, value);
            assert_eq!(bare::Reader::new(&out).string(), Ok(value));
        }
    }
    assert!(reader.position() <= data.len());
    // What is encoded is never longer than what was read: lengths have one shortest form.
    assert!(out.len() <= reader.position());
}

/// CBOR items: any one of them can be skipped, or read as what it is.
pub fn cbor(data: &[u8]) {
    let mut skipped = cbor::Reader::new(data);
    let verdict = skipped.skip();
    assert!(skipped.position() <= data.len());
    let mut reader = cbor::Reader::new(data);
    let Ok(kind) = reader.peek() else {
        assert!(verdict.is_err(), "an item without a kind was skipped");
        return;
    };
    let read = match kind {
        cbor::Kind::Bytes => reader.bytes().map(|_| ()),
        cbor::Kind::Text => reader.text().map(|_| ()),
        cbor::Kind::Unsigned => reader.u64().map(|_| ()),
        _ => return,
    };
    if read.is_ok() {
        assert_eq!(
            verdict,
            Ok(()),
            "an item was read that could not be skipped"
        );
        assert_eq!(reader.position(), skipped.position());
    }
}

/// Transport messages in the older, BARE form.
pub fn legacy_message(data: &[u8]) {
    let Ok(message) = legacy::TransportMessage::decode(data) else {
        return;
    };
    let payload = &data[message.payload.clone()];
    let mut frame = Frame::from_slice(payload);
    legacy::encode(
        &mut frame,
        message.version,
        &message.onward,
        &message.return_route,
    );
    let again = legacy::TransportMessage::decode(frame.as_slice());
    let again = again.expect("what was encoded is a message");
    assert_eq!(again.version, message.version);
    assert_eq!(again.onward, message.onward);
    assert_eq!(again.return_route, message.return_route);
    assert_eq!(&frame.as_slice()[again.payload], payload);
}

/// A TCP stream: however it is cut, the same frames come out, and no length field makes room for
/// more than a step beyond what has arrived.
pub fn tcp_deframer(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let (whole, whole_error) = frames([stream]);
    let (pieces, pieces_error) = frames(stream.chunks(usize::from(cut) + 1));
    assert_eq!(whole, pieces);
    assert_eq!(whole_error, pieces_error);
    let content: usize = whole.iter().map(|frame| frame.len() + HEADER_LEN).sum();
    assert!(content <= stream.len());
}

fn frames<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Vec<u8>>, Option<DecodeError>) {
    // Twice the step up to which a length alone makes room, for buffers grow by doubling.
    const SLACK: usize = 2 * 160 * 1024;
    let mut deframer = Deframer::new();
    let mut frames = Vec::new();
    let mut arrived = 0;
    for chunk in chunks {
        deframer.room().extend_from_slice(chunk);
        arrived += chunk.len();
        loop {
            match deframer.next_frame() {
                Ok(Some(frame)) => {
                    assert!(frame.len() <= MAX_FRAME);
                    frames.push(frame.as_slice().to_vec());
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
        assert!(deframer.buffered() <= arrived);
        assert!(deframer.room().capacity() <= 2 * arrived + SLACK);
    }
    (frames, None)
}

/// The text form of multiaddrs.
pub fn multiaddr_text(data: &[u8]) {
    let Ok(text) = core::str::from_utf8(data) else {
        return;
    };
    let Ok(address) = text.parse::<MultiAddr>() else {
        return;
    };
    let printed = address.to_string();
    assert!(is_printable(&printed));
    assert_eq!(printed.parse().as_ref(), Ok(&address), "{printed}");
    assert_eq!(MultiAddr::decode(&address.encode()), Ok(address));
}

/// The binary form of multiaddrs.
pub fn multiaddr_binary(data: &[u8]) {
    let Ok(address) = MultiAddr::decode(data) else {
        return;
    };
    // The text form says the same: no value passes for other parts of the address.
    let printed = address.to_string();
    assert!(is_printable(&printed));
    assert_eq!(printed.parse().as_ref(), Ok(&address), "{printed}");
    assert_eq!(MultiAddr::decode(&address.encode()), Ok(address));
}

/// Change histories of identities.
pub fn change_history(data: &[u8]) {
    let Ok(identity) = Identity::import(data, None) else {
        return;
    };
    let identifier = identity.identifier();
    let again = Identity::import(identity.export(), Some(&identifier));
    let again = again.expect("an imported history can be imported again");
    assert_eq!(again.compare(&identity), Evolution::Same);
    assert_eq!(again.export(), identity.export());
    assert!((1..=32).contains(&identity.change_count()));
}

/// Purpose-key attestations.
pub fn attestation(data: &[u8]) {
    let Ok(attestation) = Attestation::decode(data) else {
        return;
    };
    let again = Attestation::decode(attestation.as_bytes());
    let again = again.expect("an attestation's own bytes are one");
    assert_eq!(again.as_bytes(), attestation.as_bytes());
    assert_eq!(again.subject(), attestation.subject());
    // Alice attested nothing but one key.
    let alice = crate::handshake::alice();
    let now = UnixSeconds(crate::handshake::NOW);
    if let Ok(key) = attestation.verify(&alice.identity, now) {
        assert_eq!(Ok(key), alice.attestation.verify(&alice.identity, now));
    }
}

/// What is inside a record.
pub fn channel_plaintext(data: &[u8]) {
    match message::decode(data) {
        Ok(Plaintext::Payload {
            onward,
            return_route,
            payload,
        }) => {
            let payload = &data[payload];
            let mut frame = Frame::from_slice(payload);
            message::encode_payload(&mut frame, &onward, &return_route);
            let again = message::decode(frame.as_slice());
            let Ok(Plaintext::Payload {
                onward: onward_again,
                return_route: return_again,
                payload: payload_again,
            }) = again
            else {
                panic!("an encoded payload is {again:?}");
            };
            assert_eq!((onward_again, return_again), (onward, return_route));
            assert_eq!(&frame.as_slice()[payload_again], payload);
        }
        Ok(Plaintext::RefreshCredentials {
            history,
            credentials,
        }) => {
            let history = &data[history];
            let frame = message::encode_refresh(history, &credentials);
            let again = message::decode(frame.as_slice());
            let Ok(Plaintext::RefreshCredentials {
                history: history_again,
                credentials: credentials_again,
            }) = again
            else {
                panic!("an encoded refresh is {again:?}");
            };
            assert_eq!(&frame.as_slice()[history_again], history);
            assert_eq!(credentials_again, credentials);
        }
        Ok(Plaintext::Close) | Err(_) => {}
    }
}

/// Portal messages.
pub fn portal_message(data: &[u8]) {
    let Ok(portal::Message::Payload {
        data: range,
        counter,
    }) = portal::Message::decode(data)
    else {
        return;
    };
    let chunk = &data[range];
    let mut frame = Frame::from_slice(chunk);
    portal::encode_payload(&mut frame, counter);
    assert!(frame.len() <= chunk.len() + portal::PAYLOAD_OVERHEAD);
    let again = portal::Message::decode(frame.as_slice());
    let Ok(portal::Message::Payload {
        data: range,
        counter: counter_again,
    }) = again
    else {
        panic!("an encoded payload is {again:?}");
    };
    assert_eq!(counter_again, counter);
    assert_eq!(&frame.as_slice()[range], chunk);
}

/// A relay's registrations, and its confirmations.
pub fn relay_registration(data: &[u8]) {
    let own = crate::handshake::alice().identity.identifier();
    let back = Route::from(Address::local("relay"));
    let _verdict = accept_confirmation(&Registration::Ephemeral, &own, data, &back);
    let Ok(registration) = Registration::decode(data) else {
        return;
    };
    assert_eq!(
        Registration::decode(&registration.encode()).as_ref(),
        Ok(&registration)
    );
    if let Registration::Alias(alias) = &registration
        && check_alias(alias).is_ok()
    {
        assert!(is_printable(alias));
        assert!(!alias.contains(['/', '\\', '#', '=', '>', ' ']));
        // What the relay confirms, the client takes for this name.
        let payload = bare::string_payload(&format!("forward_to_{alias}"));
        assert!(accept_confirmation(&registration, &own, &payload, &back).is_ok());
    }
}

/// Headers of requests and responses, and the bodies of errors.
pub fn api_header(data: &[u8]) {
    if let Ok((request, body)) = Request::decode(data) {
        let encoded = request.encode(body);
        let (again, body_again) = Request::decode(&encoded).expect("an encoded request is one");
        assert_eq!(body_again.unwrap_or_default(), body.unwrap_or_default());
        assert_eq!(
            (again.id, again.path, again.method),
            (request.id, request.path, request.method)
        );
    }
    if let Ok((response, body)) = Response::decode(data) {
        let encoded = response.encode(body);
        let (again, body_again) = Response::decode(&encoded).expect("an encoded response is one");
        assert_eq!(body_again.unwrap_or_default(), body.unwrap_or_default());
        assert_eq!(
            (again.id, again.re, again.status),
            (response.id, response.re, response.status)
        );
        assert!(response.is_ok() <= (response.status == Some(Status::Ok)));
    }
    if let Ok(error) = ErrorBody::decode(data) {
        assert_eq!(ErrorBody::decode(&error.encode()), Ok(error));
    }
}
