//! Tickets, behind their checksum: a fuzzer does not guess a hash.

use sealway_core::crypto::sha256;
use sealway_core::ticket::{Answer, MAX_REACHES, MAX_RESOURCE, Request, Ticket};

fn base32(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let digit = |at: usize| (0..5).fold(0, |value, next| value << 1 | bit(at + next));
    (0..bytes.len() * 8)
        .step_by(5)
        .map(|at| char::from(DIGITS[usize::from(digit(at))]))
        .collect()
}

/// A ticket's text, its body, and the messages of its redemption.
pub fn ticket(data: &[u8]) {
    if let Ok(text) = core::str::from_utf8(data) {
        let _refused = Ticket::parse(text);
    }
    if let Ok(request) = Request::decode(data) {
        assert_eq!(Request::decode(&request.encode()), Ok(request));
    }
    if let Ok(answer) = Answer::decode(data) {
        assert_eq!(Answer::decode(&answer.encode()), Ok(answer));
    }
    let checksum = sha256(&[b"sealway/ticket/1", data]);
    let text = format!("sealway1{}", base32(&[data, &checksum[..5]].concat()));
    let Ok(ticket) = Ticket::parse(&text) else {
        return;
    };
    assert!((1..=MAX_REACHES).contains(&ticket.reaches.len()));
    assert!((1..=MAX_RESOURCE).contains(&ticket.resource.len()) && ticket.uses > 0);

    let again = ticket.to_text().expect("what was read can be written");
    assert_eq!(Ticket::parse(&again), Ok(ticket));
}
