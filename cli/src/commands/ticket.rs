//! `sealway ticket …`, and how tickets are read.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;

use sealway::ticket::{Ticket, TicketError};
use sealway_core::ticket::Reach;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::identity::read_text;
use crate::args::TicketCommand;
use crate::args::values::Secret;
use crate::error::{CliError, Result};
use crate::output::{Output, shown};

/// No ticket is longer, wrapped lines included.
const MAX_TEXT: u64 = 8_192;

impl From<TicketError> for CliError {
    fn from(error: TicketError) -> Self {
        let hint = match &error {
            TicketError::Prefix => "give the whole line that `sealway expose` has printed",
            TicketError::Digits | TicketError::Checksum | TicketError::TooLong => {
                "copy the whole ticket again, or send it as a file: sealway connect @FILE"
            }
            TicketError::Version { .. }
            | TicketError::UnknownField { .. }
            | TicketError::UnknownSuite { .. }
            | TicketError::UnknownWays => "update sealway, then try again",
            _ => "ask the exposer for a new ticket",
        };
        CliError::usage(&error).hint(hint)
    }
}

/// The text of the argument: itself, standard input for `-`, or a file for `@FILE`.
///
/// # Errors
/// The file or standard input cannot be read.
pub(super) fn text(argument: &Secret) -> Result<Zeroizing<String>> {
    let argument = argument.0.as_str();
    if argument == "-" {
        return standard_input();
    }
    match argument.strip_prefix('@') {
        Some(file) => read_text(Path::new(file), MAX_TEXT),
        None => Ok(Zeroizing::new(argument.to_owned())),
    }
}

fn standard_input() -> Result<Zeroizing<String>> {
    if io::stdin().is_terminal() {
        return Err(CliError::usage("standard input is a terminal")
            .hint("give the ticket by a pipe or a file: sealway connect - < FILE"));
    }
    // Of the final size at once: a growing string would leave copies behind.
    let capacity = usize::try_from(MAX_TEXT).unwrap_or_default() + 1;
    let mut text = Zeroizing::new(String::with_capacity(capacity));
    io::stdin()
        .take(MAX_TEXT)
        .read_to_string(&mut text)
        .map_err(|error| {
            CliError::failed(format!("cannot read standard input: {error}"))
                .hint("give the ticket by a pipe or a file: sealway connect @FILE")
        })?;
    Ok(text)
}

/// Carries out `sealway ticket …`.
pub(crate) fn run(command: &TicketCommand, output: Output) -> Result<()> {
    let TicketCommand::Show { ticket } = command;
    let ticket = Ticket::parse(&text(ticket)?)?;
    let ways: Vec<_> = ticket.reaches.iter().map(way).collect();
    let lines = [
        format!("offers   {}", shown(&ticket.resource)),
        format!("exposer  {}", ticket.exposer),
        format!("suite    {}", ticket.suite.name()),
        format!("uses     {}", ticket.uses),
        format!("expires  {} (seconds since 1970)", ticket.expires.0),
        format!("ways     {}", ways.join("\n         ")),
    ];
    output.result(&lines.join("\n"), &described(&ticket))
}

fn way(reach: &Reach) -> String {
    match reach {
        Reach::Direct(address) => address.to_string(),
        Reach::Relay {
            relay, identifier, ..
        } => match identifier {
            Some(identifier) => format!("relay {relay} ({identifier})"),
            None => format!("relay {relay}"),
        },
    }
}

/// All but the secret.
pub(super) fn described(ticket: &Ticket) -> Value {
    let way = |reach: &Reach| match reach {
        Reach::Direct(address) => json!({"kind": "direct", "address": address.to_string()}),
        Reach::Relay {
            relay,
            identifier,
            service,
        } => json!({
            "kind": "relay",
            "address": relay.to_string(),
            "identifier": identifier.map(|identifier| identifier.to_string()),
            "service": service,
        }),
    };
    json!({
        "resource": ticket.resource,
        "exposer": ticket.exposer.to_string(),
        "suite": ticket.suite.name(),
        "uses": ticket.uses,
        "expires": ticket.expires.0,
        "ways": ticket.reaches.iter().map(way).collect::<Vec<_>>(),
    })
}
