//! Tickets against `vectors/tickets.json`, which a program of its own made from docs/wire.md; and under change of any kind.

use proptest::prelude::*;
use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::crypto::sha256;
use sealway_core::identity::{ChangeHash, Identifier};
use sealway_core::ticket::{
    Answer, Asker, Reach, Refusal, Request, Secret, Terms, Ticket, TicketError, admit,
};
use serde_json::Value;

fn vectors() -> Value {
    let text = include_str!("../../../vectors/tickets.json");
    serde_json::from_str(text).expect("vectors are JSON")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(text(value)).expect("hex")
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().expect("32 bytes")
}

fn cases(value: &Value) -> &[Value] {
    value.as_array().expect("cases")
}

#[test]
fn tickets_are_what_the_document_says() {
    let vectors = vectors();
    for case in cases(&vectors["tickets"]) {
        let name = text(&case["name"]);
        let ticket = Ticket::parse(text(&case["text"])).expect(name);
        assert_eq!(ticket.exposer.as_bytes(), &array(&case["exposer"]));
        let change = ticket.minimum_change.as_bytes();
        assert_eq!(change, &array(&case["minimum_change"]));
        let routes = ticket.reaches.iter();
        let routes: Vec<String> = routes
            .map(|reach| reach.to_listener(&ticket.exposer, "LISTENER").to_string())
            .collect();
        let expected: Vec<&str> = cases(&case["routes"]).iter().map(text).collect();
        assert_eq!(routes, expected, "{name}");
        assert_eq!(u64::from(ticket.suite.number()), case["suite"]);
        assert_eq!(ticket.resource, text(&case["resource"]));
        assert_eq!(ticket.secret.as_bytes(), &array(&case["secret"]));
        assert_eq!(ticket.secret.hash().0, array(&case["secret_hash"]));
        assert_eq!(ticket.expires.0, case["expires"]);
        assert_eq!(ticket.uses, case["uses"]);
        // What this release knows it also writes, to the letter.
        let known = !name.contains("unknown") && !name.contains("later");
        let written = ticket.to_text().expect(name);
        assert_eq!(*written == text(&case["text"]), known, "{name}");
        let shouted = text(&case["text"]).to_uppercase();
        let wrapped = shouted.replace('A', "A\r\n\t ");
        assert_eq!(Ticket::parse(&wrapped).expect(name), ticket);
    }
    println!("tickets: {} cases", cases(&vectors["tickets"]).len());
}

#[test]
fn texts_that_are_no_tickets_are_refused_by_name() {
    let vectors = vectors();
    for case in cases(&vectors["refused"]) {
        let name = text(&case["name"]);
        let error = Ticket::parse(text(&case["text"])).expect_err(name);
        let variant = format!("{error:?}");
        let variant = variant.split(['(', ' ']).next().expect("a name");
        if let Some(expected) = case["error"].as_str() {
            assert_eq!(variant, expected, "{name}: {error}");
        } else {
            assert!(["Digits", "Checksum"].contains(&variant), "{name}: {error}");
        }
        assert!(!error.to_string().chars().any(char::is_control));
    }
    println!(
        "tickets refused: {} cases",
        cases(&vectors["refused"]).len()
    );
}

#[test]
fn redemptions_are_what_the_document_says() {
    let vectors = &vectors()["redemption"];
    let request = &vectors["request"];
    let secret = Secret::from_bytes(array(&request["secret"]));
    let expected = Request { secret };
    assert_eq!(*expected.encode(), bytes(&request["payload"]));
    assert_eq!(Request::decode(&bytes(&request["payload"])), Ok(expected));
    for case in cases(&vectors["answers"]) {
        let answer = match case["granted"].as_bool() {
            Some(_) => Answer::Granted,
            None => Answer::Refused(match text(&case["refused"]) {
                "AlreadyRedeemed" => Refusal::AlreadyRedeemed,
                "Expired" => Refusal::Expired,
                _ => Refusal::Unknown,
            }),
        };
        assert_eq!(answer.encode(), bytes(&case["payload"]));
        assert_eq!(Answer::decode(&bytes(&case["payload"])), Ok(answer));
    }
    for case in cases(&vectors["refused"]) {
        let name = text(&case["name"]);
        Request::decode(&bytes(&case["payload"])).expect_err(name);
    }
}

fn direct() -> Ticket {
    let vectors = vectors();
    Ticket::parse(text(&vectors["tickets"][0]["text"])).expect("a ticket")
}

#[test]
fn every_flipped_character_is_noticed() {
    let whole = direct().to_text().expect("a ticket");
    let mut tried = 0;
    for at in 0..whole.len() {
        for digit in "abcdefghijklmnopqrstuvwxyz234567".chars() {
            let mut changed = whole.to_string();
            changed.replace_range(at..=at, &digit.to_string());
            if changed != *whole {
                assert!(Ticket::parse(&changed).is_err(), "{at} {digit}");
                tried += 1;
            }
        }
        assert!(Ticket::parse(&whole[..at]).is_err(), "cut at {at}");
    }
    println!("tickets with one character changed: {tried}");
}

#[test]
fn a_ticket_shows_its_secret_nowhere_but_in_its_text() {
    let ticket = direct();
    let shown = format!("{ticket:?} {:?}", ticket.secret);
    assert!(shown.contains("Secret(..)"));
    assert!(
        !shown.contains("68, 68") && !shown.contains("44444"),
        "{shown}"
    );
}

#[test]
fn a_use_is_granted_once_and_to_its_redeemer_while_pinned() {
    let terms = Terms {
        uses: 2,
        expires: UnixSeconds(100),
    };
    let before = UnixSeconds(99);
    assert_eq!(admit(&terms, 0, Asker::New, before), Ok(()));
    assert_eq!(admit(&terms, 1, Asker::New, before), Ok(()));
    let spent = Err(Refusal::AlreadyRedeemed);
    assert_eq!(admit(&terms, 2, Asker::New, before), spent);
    let expiry = UnixSeconds(100);
    assert_eq!(admit(&terms, 1, Asker::New, expiry), Err(Refusal::Expired));
    assert_eq!(admit(&terms, 2, Asker::New, expiry), spent);
    for now in [before, expiry] {
        assert_eq!(admit(&terms, 2, Asker::Pinned, now), Ok(()));
        let taken_back = admit(&terms, 1, Asker::Unpinned, now);
        assert_eq!(taken_back, Err(Refusal::Unknown));
    }
}

const DIGITS: &str = "abcdefghijklmnopqrstuvwxyz234567";

/// The bytes of base32 digits; a slow reader of our own, so that damage gets past the checksum.
fn body_of(ticket: &Ticket) -> Vec<u8> {
    let text = ticket.to_text().expect("a ticket");
    let bits: Vec<bool> = text["sealway1".len()..]
        .chars()
        .filter_map(|digit| DIGITS.find(digit))
        .flat_map(|value| (0..5).rev().map(move |bit| value >> bit & 1 == 1))
        .collect();
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte, bit| byte << 1 | u8::from(*bit));
    let mut bytes: Vec<u8> = bits.chunks_exact(8).map(byte).collect();
    bytes.truncate(bytes.len() - 5);
    bytes
}

fn text_of(body: Vec<u8>) -> String {
    let checksum = sha256(&[b"sealway/ticket/1", &body]);
    let bytes = [&body[..], &checksum[..5]].concat();
    let bits: Vec<bool> = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1 == 1))
        .collect();
    let digit = |bits: &[bool]| {
        let value = (0..5).fold(0, |value, bit| {
            value << 1 | usize::from(bits.get(bit) == Some(&true))
        });
        char::from(DIGITS.as_bytes()[value])
    };
    let digits: String = bits.chunks(5).map(digit).collect();
    format!("sealway1{digits}")
}

fn reaches() -> impl Strategy<Value = Reach> {
    let address = prop_oneof![
        (any::<[u8; 4]>(), 1_u16..)
            .prop_map(|(ip, port)| format!("/ip4/{}/tcp/{port}", std::net::Ipv4Addr::from(ip))),
        ("[a-z0-9.-]{1,40}", 1_u16..)
            .prop_map(|(name, port)| format!("/dnsaddr/{name}/tcp/{port}")),
    ];
    let address = address.prop_map(|text| text.parse().expect("a multiaddr"));
    let relay = (address.clone(), any::<Option<[u8; 32]>>(), "[a-z]{0,20}");
    prop_oneof![
        address.prop_map(Reach::Direct),
        relay.prop_map(|(relay, identifier, service)| Reach::Relay {
            relay,
            identifier: identifier.map(Identifier::from_bytes),
            service,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn tickets_come_back(
        exposer: [u8; 32], change: Option<[u8; 32]>, secret: [u8; 32], expires: u64, uses in 1_u32..,
        reaches in prop::collection::vec(reaches(), 1..=8), resource in "[^\\p{C}\\p{Z}*]{1,32}",
    ) {
        let ticket = Ticket {
            exposer: Identifier::from_bytes(exposer),
            minimum_change: ChangeHash::from_bytes(change.unwrap_or(exposer)),
            reaches,
            suite: Suite::Hybrid,
            resource,
            secret: Secret::from_bytes(secret),
            expires: UnixSeconds(expires),
            uses,
        };
        let text = ticket.to_text().expect("within the bounds");
        prop_assert!(text.chars().all(|c| c.is_ascii_alphanumeric()));
        prop_assert_eq!(Ticket::parse(&text), Ok(ticket));
    }

    #[test]
    fn no_body_makes_the_reader_panic(at in 0_usize..200, byte: u8, cut in 0_usize..200, body: Vec<u8>) {
        let mut damaged = body_of(&direct());
        let at = at % damaged.len();
        damaged[at] = byte;
        damaged.truncate(damaged.len().min(cut.max(at)));
        for body in [damaged, body] {
            if let Ok(ticket) = Ticket::parse(&text_of(body)) {
                let again = ticket.to_text().expect("what was read can be written");
                prop_assert_eq!(Ticket::parse(&again), Ok(ticket));
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(body: Vec<u8>, text in ".{0,80}") {
        let _ = Ticket::parse(&text);
        let _ = Ticket::parse(&format!("sealway1{text}"));
        let _ = Request::decode(&body);
        if let Ok(answer) = Answer::decode(&body) {
            prop_assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
        }
    }
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let whole = direct();
    for (broken, error) in [
        (
            Ticket {
                uses: 0,
                ..whole.clone()
            },
            TicketError::Field { field: 7 },
        ),
        (
            Ticket {
                reaches: Vec::new(),
                ..whole.clone()
            },
            TicketError::Field { field: 2 },
        ),
        (
            Ticket {
                resource: "a\nb".into(),
                ..whole.clone()
            },
            TicketError::Field { field: 4 },
        ),
    ] {
        assert_eq!(broken.to_text().expect_err("broken"), error);
    }
}
