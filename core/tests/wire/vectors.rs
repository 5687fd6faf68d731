//! Bytes that the reference produced or accepted (`vectors/`), each compared with ours.

use sealway_core::wire::legacy::{self, TransportMessage, Version};
use sealway_core::wire::tcp::{self, Deframer};
use sealway_core::wire::{
    Address, AddressType, Frame, MultiAddr, Route, RoutingMessage, bare, cbor, encode_routing,
};
use serde_json::Value;

fn load(text: &str) -> Value {
    serde_json::from_str(text).expect("vectors are JSON")
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect(key)
}

fn bytes(value: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(value, key)).expect(key)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().expect(key)
}

fn kind(value: &Value) -> AddressType {
    AddressType(u8::try_from(value["type"].as_u64().expect("type")).expect("type is a byte"))
}

fn route(value: &Value, key: &str) -> Route {
    list(value, key)
        .iter()
        .map(|hop| Address::new(kind(hop), bytes(hop, "hex")))
        .collect()
}

fn deframed(stream: &[u8]) -> Vec<Frame> {
    let mut deframer = Deframer::new();
    deframer.feed(stream);
    core::iter::from_fn(|| deframer.next_frame().expect("valid frames")).collect()
}

/// Checks a CBOR message against the case's routes and payload, then our encoding of these.
fn check_message(case: &Value, message: &[u8]) {
    let (onward, return_route) = (route(case, "onward_route"), route(case, "return_route"));
    let decoded = RoutingMessage::decode(message).expect("a routing message");
    assert_eq!(decoded.onward, onward);
    assert_eq!(decoded.return_route, return_route);
    assert_eq!(message[decoded.payload], bytes(case, "payload"));

    let mut frame = Frame::from_slice(&bytes(case, "payload"));
    encode_routing(&mut frame, &onward, &return_route);
    match case["tracing_context"].as_str() {
        None => assert_eq!(frame.as_slice(), message),
        // The reference adds a fourth element, which we do not write.
        Some(tracing) => {
            let mut writer = cbor::Writer::new(frame.as_slice().to_vec());
            writer.text(tracing);
            let mut expected = writer.into_sink();
            expected[0] = 0x84;
            assert_eq!(expected, message);
        }
    }
}

fn check_legacy(case: &Value) {
    let (onward, return_route) = (route(case, "onward_route"), route(case, "return_route"));
    for key in [
        "bare_transport_message_v1",
        "bare_transport_message_version1_with_tracing_option",
        "bare_transport_message_v2",
    ] {
        let message = bytes(case, key);
        let decoded = TransportMessage::decode(&message).expect("a transport message");
        assert_eq!(decoded.onward, onward);
        assert_eq!(decoded.return_route, return_route);
        assert_eq!(message[decoded.payload], bytes(case, "payload"));
    }
    let encoded = |version| {
        let mut frame = Frame::from_slice(&bytes(case, "payload"));
        legacy::encode(&mut frame, version, &onward, &return_route);
        frame
    };
    // The reference appends an absent option to version 1; by definition there is none.
    let mut v1 = bytes(case, "bare_transport_message_v1");
    assert_eq!(v1.pop(), Some(0));
    assert_eq!(encoded(Version::V1).as_slice(), v1);
    if case["tracing_context"].is_null() {
        let v2 = bytes(case, "bare_transport_message_v2");
        assert_eq!(encoded(Version::V2).as_slice(), v2);
    }
}

#[test]
fn transport_messages_are_the_references() {
    let vectors = load(include_str!("../../../vectors/transport_messages.json"));
    let cases = list(&vectors, "vectors");
    for case in cases {
        let message = bytes(case, "tcp_udp_message_cbor");
        check_message(case, &message);

        let mut frame = Frame::from_slice(&message);
        tcp::encode_frame(&mut frame).expect("small");
        assert_eq!(frame.as_slice(), bytes(case, "tcp_frame"));

        let stream = bytes(case, "tcp_stream_with_version_byte");
        assert_eq!(stream[0], tcp::VERSION);
        assert_eq!(deframed(&stream), [Frame::from_slice(&message)]);
        check_legacy(case);
    }
    println!("transport_messages: {} cases", cases.len());
    assert_eq!(cases.len(), 9);
}

#[test]
fn a_recorded_tcp_exchange_is_read() {
    let vectors = load(include_str!("../../../vectors/tcp_capture_plain.json"));
    let frames = list(&vectors, "frames");
    for direction in ["initiator_to_responder", "responder_to_initiator"] {
        let is_ours = |value: &&Value| text(value, "direction") == direction;
        let stream: Vec<u8> = list(&vectors, "raw_chunks")
            .iter()
            .filter(is_ours)
            .flat_map(|chunk| bytes(chunk, "bytes"))
            .collect();
        let received = deframed(&stream);
        let expected: Vec<&Value> = frames.iter().filter(is_ours).collect();
        assert_eq!(received.len(), expected.len());
        for (frame, case) in received.iter().zip(expected) {
            check_message(case, frame.as_slice());
        }
    }
    println!("tcp_capture_plain: {} frames", frames.len());
    assert_eq!(frames.len(), 2);
}

#[test]
fn payload_encodings_are_the_references() {
    let vectors = load(include_str!("../../../vectors/payload_encodings.json"));
    let mut count = 0;
    let long = "a".repeat(200);
    for (key, value) in [
        ("string_hello_bare", "hello"),
        ("string_empty_bare", ""),
        ("string_200_a_bare", long.as_str()),
        ("relay_register_payload", "register"),
        ("relay_static_alias_payload_my_alias", "my_alias"),
    ] {
        let payload = bytes(&vectors, key);
        assert_eq!(bare::string_payload(value), payload);
        assert_eq!(bare::Reader::new(&payload).string(), Ok(value));
        count += 1;
    }
    let data = bytes(&vectors, "vec_u8_deadbeef_bare");
    assert_eq!(
        bare::Reader::new(&data).data(),
        Ok(&[0xde, 0xad, 0xbe, 0xef][..])
    );
    for (key, payload) in [
        (
            "string_with_trailing_bytes_decodes",
            &b"\x05hello\xff\xff"[..],
        ),
        ("string_non_minimal_varint_decodes", b"\x85\x00hello"),
    ] {
        assert_eq!(bare::Reader::new(payload).string(), Ok(text(&vectors, key)));
        count += 1;
    }
    for case in list(&vectors, "varint") {
        let value: u64 = text(case, "value").parse().expect("a number");
        let mut encoded = Vec::new();
        bare::write_uint(&mut encoded, value);
        assert_eq!(encoded, bytes(case, "hex"));
        assert_eq!(bare::uint_len(value), encoded.len());
        assert_eq!(bare::Reader::new(&encoded).uint(), Ok(value));
        count += 1;
    }
    println!("payload_encodings: {} payloads", count + 1);
    assert_eq!(count + 1, 19);
}

#[test]
fn address_and_route_texts_are_the_references() {
    let vectors = load(include_str!("../../../vectors/payload_encodings.json"));
    let (good, bad, routes) = (
        list(&vectors, "address_parse"),
        list(&vectors, "address_parse_errors"),
        list(&vectors, "route_parse"),
    );
    for case in good {
        let address: Address = text(case, "text").parse().expect("an address");
        assert_eq!(address, Address::new(kind(case), bytes(case, "bytes")));
        assert_eq!(address.to_string(), text(case, "display"));
    }
    for case in bad {
        assert!(text(case, "text").parse::<Address>().is_err());
    }
    for case in routes {
        let parsed: Route = text(case, "text").parse().expect("a route");
        assert_eq!(parsed, route(case, "route"));
        assert_eq!(parsed.to_string(), text(case, "display"));
    }
    assert_eq!(vectors["route_parse_empty_is_none"], true);
    assert!("".parse::<Route>().is_err());
    println!(
        "payload_encodings: {} texts",
        good.len() + bad.len() + routes.len() + 1
    );
    assert_eq!(good.len() + bad.len() + routes.len() + 1, 14);
}

#[test]
fn multiaddrs_are_the_references() {
    let vectors = load(include_str!("../../../vectors/multiaddr.json"));
    let cases = list(&vectors, "vectors");
    for case in cases {
        let parsed = text(case, "text").parse::<MultiAddr>();
        if case["ok"] == false {
            // Release 0.150 added udp, which the recorded release did not know.
            let since_added = text(case, "text") == "/udp/1";
            assert_eq!(parsed.is_ok(), since_added, "{}", text(case, "text"));
            continue;
        }
        let parsed = parsed.expect("a multiaddr");
        let binary = bytes(case, "bytes");
        assert_eq!(parsed.encode(), binary);
        assert_eq!(parsed.to_string(), text(case, "display"));
        assert_eq!(MultiAddr::decode(&binary).as_ref(), Ok(&parsed));
        if case["cbor"].is_string() {
            let item = bytes(case, "cbor");
            assert_eq!(cbor::Reader::new(&item).bytes(), Ok(&binary[..]));
            let codes: Vec<u64> = parsed.protocols().iter().map(|part| part.code()).collect();
            let expected = list(case, "protocols").iter();
            let expected: Vec<u64> = expected.filter_map(|part| part["code"].as_u64()).collect();
            assert_eq!(codes, expected);
        }
    }
    println!("multiaddr: {} cases", cases.len());
    assert_eq!(cases.len(), 22);
}
