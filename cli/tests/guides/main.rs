//! The commands in the documents, run as they stand there, in their order, each person in a home of their own. What they print
//! is compared with what the document shows.
//!
//! A code block whose lines begin with `NAME$ ` is a session. Identifiers, ports and the relay's host are replaced by this
//! run's, times by `T`; `NAME$ ^C` interrupts what NAME has running; a shown line `…` stands for any lines, and one that ends with `…` for any end.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared fails")]

mod session;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::fs;
use std::path::Path;

use session::sessions;
use world::World;

/// Plays the sessions of a document under one of its headings; how many commands that were.
fn play(document: &str, heading: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(document);
    let text = fs::read_to_string(&path).unwrap();
    let steps = sessions(&text, heading);
    let mut world = World::new();
    for step in &steps {
        if let Err(why) = world.perform(step) {
            panic!("{document}: {}$ {}\n{why}", step.who, step.command);
        }
    }
    steps.len()
}

#[test]
fn the_readmes_commands_do_what_it_says() {
    assert!(play("README.md", "The command") >= 10);
}

#[test]
fn the_first_minute_goes_as_it_is_told() {
    assert!(play("docs/first-minute.md", "Two commands") >= 4);
    assert!(play("docs/first-minute.md", "Through a relay") >= 4);
}

#[test]
fn a_ticket_is_redeemed_spent_and_taken_back_as_the_document_says() {
    assert!(play("docs/tickets.md", "The life of a ticket") >= 7);
}

#[test]
fn the_suites_are_spoken_as_the_document_on_ockam_says() {
    assert!(play("docs/ockam.md", "Suites and listeners") >= 7);
}

#[test]
fn a_relay_can_be_looked_at_as_the_document_says() {
    assert!(play("docs/what-a-relay-sees.md", "Look for yourself") >= 6);
}
