//! `sealway peer …`: the identities of others that this home trusts.

use std::fmt::Write as _;
use std::path::Path;

use sealway::control::Changed;
use sealway::store::{Direction, Known, Peer, PeerError, Pin, PinOrigin};
use sealway_core::channel::Suite;
use sealway_core::identity::{Identifier, Identity, MAX_HISTORY_LEN};
use serde_json::{Value, json};

use super::identity::read_text;
use super::{name_of, tell_others};
use crate::args::{Global, PeerCommand};
use crate::error::{CliError, Result};
use crate::home;
use crate::output::{Output, shown};

impl From<PeerError> for CliError {
    fn from(error: PeerError) -> Self {
        CliError::failed(&error).hint(error.hint())
    }
}

/// Who is to be trusted.
enum Who {
    Identifier(Identifier),
    History(Box<Identity>),
}

/// Carries out `sealway peer …`.
pub(crate) fn run(command: PeerCommand, global: &Global, output: Output) -> Result<()> {
    match command {
        PeerCommand::Add { name, identity } => {
            let name = name_of(&name)?;
            let who = who(&identity)?;
            let home = home::open(global)?;
            let now = home.clock().now();
            let peer = match &who {
                Who::Identifier(identifier) => home.peers().add(&name, *identifier, now).wait()?,
                Who::History(identity) => home.peers().add_history(&name, identity, now).wait()?,
            };
            tell_others(&home, Changed::Peers, output)?;
            output.note(&format!(
                "{name} is trusted: it may reach all services and outlets of this home, and is expected at the end of a route"
            ));
            output.result(&peer.identifier.to_string(), &described(&peer))
        }
        PeerCommand::List => {
            let home = home::open(global)?;
            let (peers, connections) = (home.peers().list()?, home.connections().list()?);
            let mut lines = String::new();
            let mut values = Vec::new();
            for peer in &peers {
                let name = shown(called(peer));
                let _ = writeln!(lines, "{name:<16}  {}  {}", peer.identifier, peer.floor);
                let own: Vec<_> = connections
                    .iter()
                    .filter(|known| known.peer == peer.identifier)
                    .collect();
                for known in &own {
                    let resource = shown(&known.resource);
                    let _ = writeln!(
                        lines,
                        "  connection {}: its {resource}, at {}",
                        known.name, known.listen
                    );
                }
                let mut value = described(peer);
                value["connections"] = own.iter().map(|known| connection(known)).collect();
                values.push(value);
            }
            output.result(lines.trim_end(), &Value::Array(values))
        }
        PeerCommand::Suite { name, floor } => {
            let home = home::open(global)?;
            let peer = home.peers().set_floor(&name, floor).wait()?;
            tell_others(&home, Changed::Peers, output)?;
            output.note(&match floor {
                Suite::Classical => format!(
                    "{} may be met in any suite, until it is met in a stronger one again",
                    peer.identifier
                ),
                Suite::Hybrid => format!("{} is met in no weaker suite", peer.identifier),
            });
            output.result(&peer.identifier.to_string(), &described(&peer))
        }
        PeerCommand::Remove { name } => {
            let home = home::open(global)?;
            let peer = home.peers().remove(&name).wait()?;
            tell_others(&home, Changed::Peers, output)?;
            output.note(&format!(
                "{} is not pinned any more; a node started with --trust for it admits it until it ends",
                peer.identifier
            ));
            output.result("", &described(&peer))
        }
    }
}

/// What a peer is shown as: its name, or, of a relay that was never named, `relay:HOST:PORT`.
fn called(peer: &Peer) -> &str {
    let met = peer
        .pins
        .iter()
        .find(|pin| pin.origin == PinOrigin::FirstMeeting);
    match (&peer.name, met) {
        (Some(name), _) => name.as_str(),
        (None, Some(pin)) => pin.resource.as_str(),
        (None, None) => "-",
    }
}

fn connection(known: &Known) -> Value {
    json!({"name": known.name.as_str(), "resource": known.resource, "listen": known.listen})
}

fn described(peer: &Peer) -> Value {
    json!({
        "name": peer.name.as_ref().map(|name| name.as_str()),
        "identifier": peer.identifier.to_string(),
        "added": peer.added.0,
        "suite_floor": peer.floor.name(),
        "pins": peer.pins.iter().map(pin).collect::<Vec<_>>(),
    })
}

fn pin(pin: &Pin) -> Value {
    let direction = match pin.direction {
        Direction::Inbound => "inbound",
        Direction::Outbound => "outbound",
    };
    let origin = match pin.origin {
        PinOrigin::Operator => "operator",
        PinOrigin::Ticket => "ticket",
        PinOrigin::FirstMeeting => "first_meeting",
        _ => "other",
    };
    json!({"direction": direction, "resource": pin.resource.as_str(), "origin": origin, "added": pin.added.0})
}

/// Reads an identifier, a history in hex, or a file that holds either.
fn who(text: &str) -> Result<Who> {
    if let Some(who) = identifier_or_history(text)? {
        return Ok(who);
    }
    let path = Path::new(text);
    if text.is_empty() || !path.exists() {
        let what = if text.len() > 80 { "that text" } else { text };
        return Err(CliError::usage(format!(
            "{what:?} is neither an identifier, nor a change history in hex, nor a file"
        ))
        .hint("get one with: sealway identity export (there), and give its output or a file that holds it"));
    }
    let content = read_text(path, 2 * MAX_HISTORY_LEN as u64 + 2)?;
    identifier_or_history(content.trim())?.ok_or_else(|| {
        CliError::failed(format!(
            "{text} holds neither an identifier nor a change history in hex"
        ))
        .hint("make it with: sealway identity export --output FILE (there)")
    })
}

fn identifier_or_history(text: &str) -> Result<Option<Who>> {
    if let Ok(identifier) = text.parse() {
        return Ok(Some(Who::Identifier(identifier)));
    }
    let Some(bytes) = from_hex(text) else {
        return Ok(None);
    };
    let identity = Identity::import(&bytes, None).map_err(|error| {
        CliError::failed(format!("the change history does not verify: {error}"))
            .hint("get it again with: sealway identity export (there)")
    })?;
    Ok(Some(Who::History(Box::new(identity))))
}

/// Hex digits of a plausible history; anything else is none.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let plausible =
        text.len() >= 64 && text.len() <= 2 * MAX_HISTORY_LEN && text.len().is_multiple_of(2);
    if !plausible {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    text.as_bytes()
        .chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}
