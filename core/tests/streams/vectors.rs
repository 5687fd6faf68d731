//! The bytes of docs/wire.md, "Native portal", written by a script that knows nothing of the code.

use sealway_core::Tick;
use sealway_core::streams::{
    Control, Hello, Limits, Part, Parts, Role, Session, StreamId, Transmit, control_message,
    encode_data, encode_open,
};
use sealway_core::wire::Frame;
use serde_json::Value;

fn vectors() -> Value {
    let text = include_str!("../../../vectors/native_portal.json");
    serde_json::from_str(text).expect("vectors are JSON")
}

fn cases(name: &str) -> Vec<Value> {
    vectors()[name].as_array().expect(name).clone()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().expect(key)
}

fn bytes(text: &str) -> Vec<u8> {
    hex::decode(text.replace("<131072 x 78>", &"78".repeat(131_072))).expect("hex")
}

fn number(frame: &Value, key: &str) -> u64 {
    match &frame[key] {
        Value::String(text) => text.parse().expect(key),
        number => number.as_u64().expect(key),
    }
}

/// The frame of a vector as text, and the bytes that we make of it.
fn expected(frame: &Value) -> (String, Vec<u8>) {
    let of = |key| number(frame, key);
    let stream = || StreamId(of("stream"));
    let mut message = control_message(0);
    let control = match text(frame, "frame") {
        kind @ ("Open" | "Data") => {
            let mut body = Frame::from_slice(&bytes(text(frame, "data")));
            let shown = if kind == "Open" {
                let resource = text(frame, "resource");
                encode_open(&mut body, stream(), of("limit"), resource);
                format!("Open {} {} {resource}", stream(), of("limit"))
            } else {
                encode_data(&mut body, stream(), of("offset"));
                format!("Data {} {}", stream(), of("offset"))
            };
            let shown = format!("{shown} {}", text(frame, "data"));
            return (shown, body.as_slice()[1..].to_vec());
        }
        "Accept" => Control::Accept {
            stream: stream(),
            limit: of("limit"),
        },
        "Credit" => Control::Credit {
            stream: stream(),
            acknowledged: of("acknowledged"),
            limit: of("limit"),
        },
        "Fin" => Control::Fin {
            stream: stream(),
            offset: of("offset"),
        },
        "Reset" => {
            let name = text(frame, "reason");
            let mut reasons = (0..6).filter_map(|code| {
                let message = [1, 5, 0, code];
                let part = Parts::new(&message).ok()?.next()?;
                match part.ok()? {
                    Part::Control(Control::Reset { reason, .. }) => Some(reason),
                    _ => None,
                }
            });
            let reason = reasons.find(|reason| format!("{reason:?}") == name);
            Control::Reset {
                stream: stream(),
                reason: reason.expect(name),
            }
        }
        "ChannelCredit" => Control::ChannelCredit { limit: of("limit") },
        "StreamCredit" => Control::StreamCredit { count: of("count") },
        "Ping" => Control::Ping {
            number: of("number"),
        },
        "Pong" => Control::Pong {
            number: of("number"),
        },
        other => panic!("{other}"),
    };
    control.append(&mut message);
    (format!("{control:?}"), message.as_slice()[1..].to_vec())
}

fn shown(part: Part, message: &[u8]) -> String {
    match part {
        Part::Open {
            stream,
            limit,
            resource,
            data,
        } => {
            let resource = std::str::from_utf8(&message[resource]).unwrap();
            let data = hex::encode(&message[data]);
            format!("Open {stream} {limit} {resource} {data}")
        }
        Part::Data {
            stream,
            offset,
            data,
        } => format!("Data {stream} {offset} {}", hex::encode(&message[data])),
        Part::Control(control) => format!("{control:?}"),
    }
}

#[test]
fn native_portal_hellos_are_read_and_answered() {
    let cases = cases("hellos");
    for case in &cases {
        let read = Hello::decode(&bytes(text(case, "hex")));
        if let Some(error) = case["error"].as_str() {
            let got = read.expect_err(text(case, "name"));
            assert!(format!("{got:?}").starts_with(error), "{case}: {got:?}");
            continue;
        }
        let Ok(hello) = read else {
            panic!("{case}: {read:?}")
        };
        assert_eq!(hello.portal, number(case, "portal"), "{case}");
        let answer = hello.answer().map(|hello| hello.encode());
        let answer = answer.map(|answer| hex::encode(answer.as_slice()));
        assert_eq!(answer.as_deref(), case["answer"].as_str(), "{case}");
    }
    println!("native_portal, hellos: {} cases", cases.len());
    assert_eq!(cases.len(), 9);
}

#[test]
fn native_portal_messages_are_what_the_document_says() {
    let cases = cases("messages");
    for case in &cases {
        let message = bytes(text(case, "hex"));
        let frames = case["frames"].as_array().unwrap();
        let (wanted, encoded): (Vec<String>, Vec<Vec<u8>>) = frames.iter().map(expected).unzip();
        let decoded = Parts::new(&message).unwrap();
        let decoded: Vec<_> = decoded.map(|part| shown(part.unwrap(), &message)).collect();
        assert_eq!(decoded, wanted, "{case}");
        let encoded = [vec![1], encoded.concat()].concat();
        assert_eq!(hex::encode(encoded), text(case, "hex"), "{case}");
    }
    println!("native_portal, messages: {} cases", cases.len());
    assert_eq!(cases.len(), 15);
}

#[test]
fn malformed_native_portal_messages_are_refused_by_name() {
    let cases = cases("malformed");
    for case in &cases {
        let message = bytes(text(case, "hex"));
        let read = Parts::new(&message).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let error = read.expect_err(text(case, "name"));
        assert!(
            format!("{error:?}").starts_with(text(case, "error")),
            "{case}: {error:?}"
        );
    }
    println!("native_portal, malformed: {} cases", cases.len());
    assert_eq!(cases.len(), 28);
}

/// What a session says to the messages of a vector: the name of its error, if it has one.
fn verdict(case: &Value) -> Option<String> {
    let role = match text(case, "receiver") {
        "initiator" => Role::Initiator,
        _ => Role::Responder,
    };
    let mut session = Session::new(role, Limits::default(), Tick(0));
    for step in case["steps"].as_array().unwrap() {
        let step = step.as_str().unwrap();
        if step == "open" {
            let stream = session.open("db").unwrap();
            while let Some(Transmit::Message(_)) = session.next_to_send(usize::MAX, Tick(0)) {}
            let mut open = Frame::with_capacity(0);
            session.encode(stream, &mut open, false).unwrap();
            continue;
        }
        if let Err(error) = session.on_message(&bytes(step), Tick(0)) {
            let name = format!("{error:?}");
            let end = name.find(|c: char| !c.is_alphanumeric());
            return Some(name[..end.unwrap_or(name.len())].to_owned());
        }
    }
    None
}

#[test]
fn native_portal_breaches_end_the_session() {
    let cases = cases("sessions");
    for case in &cases {
        assert_eq!(verdict(case).as_deref(), case["error"].as_str(), "{case}");
    }
    println!("native_portal, sessions: {} cases", cases.len());
    assert_eq!(cases.len(), 37);
}
