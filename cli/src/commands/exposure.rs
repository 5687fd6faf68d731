//! `sealway exposure …`: what this home offers by tickets.

use std::collections::HashSet;
use std::fmt::Write as _;

use sealway::control::Changed;
use sealway::store::{Exposed, ExposureError, Issued};
use serde_json::{Value, json};

use super::{plural, tell_others};
use crate::args::{ExposureCommand, Global};
use crate::error::{CliError, Result};
use crate::home;
use crate::output::{Output, shown};

impl From<ExposureError> for CliError {
    fn from(error: ExposureError) -> Self {
        CliError::failed(&error).hint(error.hint())
    }
}

/// Carries out `sealway exposure …`.
pub(crate) fn run(command: &ExposureCommand, global: &Global, output: Output) -> Result<()> {
    let home = home::open(global)?;
    match command {
        ExposureCommand::List => {
            let (all, tickets) = (home.exposures().list()?, home.exposures().tickets()?);
            let mut lines = String::new();
            let mut values = Vec::new();
            for exposed in &all {
                let own: Vec<_> = tickets
                    .iter()
                    .filter(|ticket| ticket.resource == exposed.resource)
                    .collect();
                let redeemers = own.iter().flat_map(|ticket| &ticket.redeemers);
                let redeemed = redeemers.collect::<HashSet<_>>().len();
                let name = shown(&exposed.resource);
                let _ = writeln!(
                    lines,
                    "{name:<16}  {}  {} ticket{}, redeemed by {redeemed}",
                    exposed.target,
                    own.len(),
                    plural(own.len()),
                );
                values.push(described(exposed, &own));
            }
            output.result(lines.trim_end(), &Value::Array(values))
        }
        ExposureCommand::Remove { name } => {
            let unpinned = home.exposures().remove(name).wait()?;
            tell_others(&home, Changed::Peers, output)?;
            output.note(&format!(
                "{} is not exposed any more; {} peer{} lost it",
                shown(name),
                unpinned.len(),
                plural(unpinned.len()),
            ));
            let unpinned: Vec<_> = unpinned.iter().map(ToString::to_string).collect();
            output.result("", &json!({"name": name, "unpinned": unpinned}))
        }
    }
}

fn described(exposed: &Exposed, tickets: &[&Issued]) -> Value {
    let ticket = |issued: &&Issued| {
        let redeemers: Vec<_> = issued.redeemers.iter().map(ToString::to_string).collect();
        json!({"uses": issued.terms.uses, "expires": issued.terms.expires.0, "redeemers": redeemers})
    };
    json!({
        "name": exposed.resource,
        "target": exposed.target,
        "listen": exposed.listen,
        "created": exposed.created.0,
        "tickets": tickets.iter().map(ticket).collect::<Vec<_>>(),
    })
}
