//! Bytes that the reference produced or accepted (`vectors/`), each compared with ours.

use sealway_core::control::{ErrorBody, Method, Request, Response, Status};
use sealway_core::portal::{self, Message};
use sealway_core::wire::Frame;
use serde_json::Value;

fn load(text: &str) -> Value {
    serde_json::from_str(text).expect("vectors are JSON")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().expect("hex")).expect("hex")
}

fn number(value: &Value, key: &str) -> u32 {
    let number = value[key].as_u64().expect(key);
    u32::try_from(number).expect(key)
}

/// Checks that `input` is a Payload of `data` with `counter`.
fn is_payload(input: &[u8], data: &[u8], counter: Option<u16>) -> bool {
    match Message::decode(input) {
        Ok(Message::Payload {
            data: range,
            counter: found,
        }) => &input[range] == data && found == counter,
        _ => false,
    }
}

#[test]
fn portal_messages_are_the_references() {
    let vectors = load(include_str!("../../../vectors/portal_messages.json"));
    let mut count = 0;
    for (key, ours, message) in [
        ("ping", portal::PING, Message::Ping),
        ("pong", portal::PONG, Message::Pong),
        ("disconnect", portal::DISCONNECT, Message::Disconnect),
    ] {
        assert_eq!(bytes(&vectors[key]), ours);
        assert_eq!(Message::decode(ours), Ok(message));
        count += 1;
    }
    for (key, data) in [
        ("payload_hello_no_counter", &b"hello"[..]),
        ("payload_hello_counter_5_as_sent_by_reference", b"hello"),
        ("payload_200_bytes", &[0x55; 200]),
    ] {
        let mut frame = Frame::from_slice(data);
        portal::encode_payload(&mut frame, None);
        assert_eq!(frame.as_slice(), bytes(&vectors[key]));
        assert!(is_payload(frame.as_slice(), data, None));
        count += 1;
    }
    let counted = bytes(&vectors["payload_hello_with_counter_5_accepted_on_decode"]["hex"]);
    let mut frame = Frame::from_slice(b"hello");
    portal::encode_payload(&mut frame, Some(5));
    assert_eq!(frame.as_slice(), counted);
    assert!(is_payload(&counted, b"hello", Some(5)));
    let absent = bytes(&vectors["payload_hello_with_option_none_accepted_on_decode"]["hex"]);
    assert!(is_payload(&absent, b"hello", None));
    println!("portal_messages: {} cases", count + 2);
    assert_eq!(count + 2, 8);
}

/// The content of a payload: a header and, with a flag that says so, a body of one byte.
fn with_body(header: &[u8], has_body: bool) -> Vec<u8> {
    let mut content = header.to_vec();
    if has_body {
        content.push(0xf6);
    }
    let mut payload = vec![u8::try_from(content.len()).expect("short")];
    payload.extend(content);
    payload
}

#[test]
fn request_headers_are_the_references() {
    let vectors = load(include_str!("../../../vectors/api.json"));
    let cases = vectors["requests"].as_array().expect("requests");
    for case in cases {
        let has_body = case["has_body"] == true;
        let header = bytes(&case["header_cbor"]);
        assert_eq!(
            bytes(&case["as_message_payload_when_no_body"])[1..],
            header[..]
        );
        let payload = with_body(&header, has_body);
        let (request, body) = Request::decode(&payload).expect("a request");
        assert_eq!(request.id, number(case, "id"));
        assert_eq!(request.path, case["path"].as_str().expect("path"));
        assert_eq!(request.method.map(Method::name), case["method"].as_str());
        assert_eq!(request.has_body, has_body);
        assert_eq!(request.encode(body), payload);
    }
    println!("api: {} requests", cases.len());
    assert_eq!(cases.len(), 6);
}

#[test]
fn response_headers_are_the_references() {
    let vectors = load(include_str!("../../../vectors/api.json"));
    let cases = vectors["responses"].as_array().expect("responses");
    for case in cases {
        let has_body = case["has_body"] == true;
        let payload = with_body(&bytes(&case["header_cbor"]), has_body);
        let (response, body) = Response::decode(&payload).expect("a response");
        assert_eq!(response.id, number(case, "id"));
        assert_eq!(response.re, number(case, "re"));
        let code = response.status.map(Status::code).expect("known");
        let name = response.status.map(|status| format!("{code} {status:?}"));
        assert_eq!(name.as_deref(), case["status"].as_str());
        assert_eq!(response.has_body, has_body);
        assert_eq!(response.encode(body), payload);
    }
    println!("api: {} responses", cases.len());
    assert_eq!(cases.len(), 11);
}

#[test]
fn error_bodies_are_the_references() {
    let vectors = load(include_str!("../../../vectors/api.json"));
    let with_cause = ErrorBody {
        cause: Some(Box::new(ErrorBody {
            path: Some("/c".into()),
            ..ErrorBody::default()
        })),
        ..ErrorBody::message("nope")
    };
    let plain = ErrorBody {
        path: Some("/tokens".into()),
        method: Some(Method::Post),
        ..ErrorBody::message("nope")
    };
    for (key, error) in [
        ("error_body(path=/tokens,method=POST,message=nope)", plain),
        ("error_body(message=nope,cause={path:/c})", with_cause),
    ] {
        let body = bytes(&vectors[key]);
        assert_eq!(error.encode(), body);
        assert_eq!(ErrorBody::decode(&body), Ok(error));
    }
    println!("api: 2 error bodies");
}
