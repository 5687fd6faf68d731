//! The command as it is meant to be used: nodes, relays, inlets and callers as processes, and whole transcripts.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared fails")]

mod clock;
mod nodes;
mod portals;
mod services;
mod signals;
mod suites;
#[path = "../support/mod.rs"]
mod support;
mod tickets;
mod transcripts;
mod trust;

use std::path::Path;

use serde_json::Value;

use support::{Ran, run, sealway};

/// Runs a command in `directory` with the home `home`.
fn at(directory: &Path, home: &str, arguments: &[&str]) -> Ran {
    run(sealway(directory).args(["--home", home]).args(arguments))
}

/// Runs a command that has to succeed; its JSON.
fn json(directory: &Path, home: &str, arguments: &[&str]) -> Value {
    let ran = run(sealway(directory)
        .args(["--home", home, "--json"])
        .args(arguments));
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

/// Makes the default identity of a home; its identifier.
fn identity(directory: &Path, home: &str) -> String {
    json(directory, home, &["identity", "create"])["identifier"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// `/ip4/127.0.0.1/tcp/PORT` and what follows.
fn route(address: &str, tail: &str) -> String {
    let (host, port) = address.rsplit_once(':').unwrap();
    format!("/ip4/{host}/tcp/{port}{tail}")
}
