//! `sealway ticket …`, and how tickets are read.

use std::io::{self, IsTerminal as _, Read as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use sealway::home::Home;
use sealway::store::ExposureError;
use sealway::ticket::{Ticket, TicketError};
use sealway_core::UnixSeconds;
use sealway_core::ticket::Reach;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::identity::read_text;
use super::serving::{self, Serving};
use super::{expose, wait_for};
use crate::args::values::Secret;
use crate::args::{Global, TicketCommand, TicketTerms};
use crate::error::{CliError, Result};
use crate::home;
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
pub(crate) fn run(command: &TicketCommand, global: &Global, output: Output) -> Result<()> {
    match command {
        TicketCommand::Create { name, terms } => {
            let home = home::open(global)?;
            wait_for(create(&home, name, terms, output))
        }
        TicketCommand::Show { ticket } => show(ticket, output),
    }
}

/// Makes a ticket for what another process of the home exposes.
async fn create(home: &Home, name: &str, terms: &TicketTerms, output: Output) -> Result<()> {
    let running = serving::all(home).await.into_iter();
    let offer = running.into_iter().find_map(|(_, serving)| match serving {
        Serving::Exposure { offer, .. } if offer.resource == name => Some(offer),
        _ => None,
    });
    if let Some(offer) = offer {
        return expose::issue(&offer, home, terms, output).await;
    }
    let known = home.exposures().list()?.into_iter();
    let known = known.into_iter().find(|known| known.resource == name);
    Err(match known {
        Some(known) => {
            CliError::failed(format!("no process exposes {} now", shown(name))).hint(format!(
                "start it, which makes a ticket too: sealway expose {} --name {}, as before",
                known.target,
                shown(name)
            ))
        }
        None => ExposureError::Missing {
            resource: name.chars().take(80).collect(),
        }
        .into(),
    })
}

fn show(ticket: &Secret, output: Output) -> Result<()> {
    let ticket = Ticket::parse(&text(ticket)?)?;
    let ways: Vec<_> = ticket.reaches.iter().map(way).collect();
    let lines = [
        format!("offers   {}", shown(&ticket.resource)),
        format!("exposer  {}", ticket.exposer),
        format!("suite    {}", ticket.suite.name()),
        format!("uses     {}", ticket.uses),
        format!("expires  {}", until(ticket.expires)),
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

/// How far away a time is, by this machine's clock.
fn until(time: UnixSeconds) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs());
    match time.0.checked_sub(now) {
        None | Some(0) => "expired".to_owned(),
        Some(left @ 1..60) => format!("in {left} s"),
        Some(left @ 60..3_600) => format!("in {} min", left / 60),
        Some(left @ 3_600..172_800) => format!("in {} h", left / 3_600),
        Some(left) => format!("in {} days", left / 86_400),
    }
}

/// All but the secret.
pub(super) fn described(ticket: &Ticket) -> Value {
    json!({
        "resource": ticket.resource,
        "exposer": ticket.exposer.to_string(),
        "suite": ticket.suite.name(),
        "uses": ticket.uses,
        "expires": ticket.expires.0,
        "ways": ticket.reaches.iter().map(serving::way).collect::<Vec<_>>(),
    })
}
