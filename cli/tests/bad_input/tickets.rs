//! Tickets that are none, or none any more.

use std::fs;

use sealway_core::UnixSeconds;
use sealway_core::channel::Suite;
use sealway_core::identity::{ChangeHash, Identifier};
use sealway_core::ticket::{Reach, Secret, Ticket};

use crate::table::{case, check};

fn ticket() -> String {
    let exposer = Identifier::from_bytes([1; 32]);
    let ticket = Ticket {
        exposer,
        minimum_change: ChangeHash::from_bytes([1; 32]),
        // Nobody listens at the port of discard.
        reaches: vec![Reach::Direct("/ip4/127.0.0.1/tcp/9".parse().unwrap())],
        suite: Suite::Hybrid,
        resource: "5432".to_owned(),
        secret: Secret::from_bytes([2; 32]),
        expires: UnixSeconds(1),
        uses: 1,
    };
    ticket.to_text().unwrap().to_string()
}

#[test]
fn tickets_of_nonsense_are_refused_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let whole = ticket();
    let flipped = {
        let mut text = whole.clone();
        let last = if text.ends_with('a') { "b" } else { "a" };
        text.replace_range(60..61, if &text[60..61] == last { "c" } else { last });
        text
    };
    let later = whole.replacen("sealway1", "sealway2", 1);
    let cut = &whole[..whole.len() - 8];
    fs::write(path.join("prose"), "dear diary").unwrap();
    let cases = [
        case(
            "a ticket with one character changed",
            2,
            "damaged ticket",
            &["connect", &flipped],
        ),
        case(
            "a ticket that was cut off",
            2,
            "damaged ticket",
            &["connect", cut],
        ),
        case(
            "a ticket of a later version",
            2,
            "version 2",
            &["connect", &later],
        ),
        case(
            "a file that holds no ticket",
            2,
            "not a ticket",
            &["connect", "@prose"],
        ),
        case(
            "a file that is not there",
            1,
            "cannot read",
            &["connect", "@missing"],
        ),
        case(
            "an empty standard input",
            2,
            "not a ticket",
            &["connect", "-"],
        ),
        case(
            "a name that no connection has",
            1,
            "no connection",
            &["connect", "nobody"],
        ),
        case(
            "showing what is no ticket",
            2,
            "not a ticket",
            &["ticket", "show", "hello"],
        ),
        case(
            "a ticket whose exposer is not there",
            4,
            "127.0.0.1:9",
            &["connect", &whole],
        ),
        case(
            "removing what is not exposed",
            1,
            "nothing is exposed",
            &["exposure", "remove", "db"],
        ),
        case("a service at port 0", 2, "port 0", &["expose", "0"]),
        case(
            "a service given as a URL",
            2,
            "without http://",
            &["expose", "http://127.0.0.1:8080"],
        ),
        case(
            "another ticket for what is not exposed",
            1,
            "nothing is exposed",
            &["ticket", "create", "web"],
        ),
        case(
            "a ticket of no use",
            2,
            "0",
            &["expose", "5432", "--uses", "0"],
        ),
        case(
            "an open port and a relay",
            2,
            "--via",
            &[
                "expose",
                "5432",
                "--listen",
                "127.0.0.1:0",
                "--via",
                "127.0.0.1:9",
            ],
        ),
    ];
    for case in &cases {
        check(path, case);
    }
}
