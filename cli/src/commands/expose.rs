//! `sealway expose`: a TCP service for whoever redeems a ticket.

use sealway::home::Home;
use sealway::ticket::{ExposeError, ExposeOptions, Offer, Way};
use serde_json::json;
use zeroize::Zeroizing;

use super::daemon::{Daemon, Readiness};
use super::serving::{self, Serving};
use super::ticket;
use crate::args::{ExposeArgs, Global, TicketTerms};
use crate::error::{CliError, Result};
use crate::output::{Output, shown};
use crate::terminal::qr;

impl From<ExposeError> for CliError {
    fn from(error: ExposeError) -> Self {
        match error {
            ExposeError::Listen(error) => error.into(),
            ExposeError::Register(error) => error.into(),
            ExposeError::AddressInUse(error) => error.into(),
            ExposeError::Store(error) => error.into(),
            ExposeError::Pin(error) => error.into(),
            ExposeError::Fault(error) => error.into(),
            ExposeError::OnlyByRelay { .. } => CliError::failed(&error)
                .hint("name the relay again: --via ADDR; or open a port: --listen 0.0.0.0:0"),
            ExposeError::NameTaken { .. } => CliError::failed(&error).hint(
                "choose another name (--name), or remove that one: sealway exposure remove NAME",
            ),
            error => CliError::failed(&error)
                .hint("give the relay as HOST:PORT, as the other end reaches it"),
        }
    }
}

/// Exposes the service, prints a ticket, and serves until a signal ends it or the exposure is removed.
///
/// # Errors
/// It cannot be exposed.
pub(crate) async fn run(args: &ExposeArgs, global: &Global, output: Output) -> Result<()> {
    // So that `sealway expose 5432 >FILE` makes a file that holds a ticket, and nothing else.
    let readiness = if args.no_ticket {
        Readiness::Result
    } else {
        Readiness::Note
    };
    let mut daemon = Daemon::start_telling("expose", global, &args.own, output, readiness).await?;
    let (node, pins) = (daemon.node.clone(), daemon.pins.clone());
    let way = match &args.via {
        Some(via) => Way::Relay(via.to_string()),
        None => Way::Direct(args.listen.as_ref().map(ToString::to_string)),
    };
    let options = ExposeOptions {
        resource: args
            .name
            .clone()
            .unwrap_or_else(|| args.target.port.to_string()),
        target: args.target.to_string(),
        way,
    };
    let home = daemon.home.clone();
    let via = args.via.as_ref().map(ToString::to_string);
    let exposing = async {
        // Where a port is asked for, its being in use says the same.
        if args.listen.is_none() {
            refuse_twice(&home, &options.resource, via.as_ref()).await?;
        }
        Ok(node.expose(&pins, options).await?)
    };
    let exposed = match daemon.starting(exposing).await {
        Ok(Some(exposed)) => exposed,
        Ok(None) => return daemon.end().await,
        Err(error) => return daemon.give_up(error).await,
    };
    let offer = exposed.offer().clone();
    daemon.serves(&Serving::Exposure { offer, via });
    if !args.no_ticket {
        let issuing = issue(exposed.offer(), &home, &args.terms, output);
        match daemon.starting(issuing).await {
            Ok(Some(())) => {}
            Ok(None) => return daemon.end().await,
            Err(error) => return daemon.give_up(error).await,
        }
    }
    let removed = async move {
        exposed.removed().await;
        CliError::failed(format!("{} is not exposed any more", exposed.resource()))
            .hint("it, or its relay, was removed here; to offer it again: sealway expose")
    };
    daemon.run_until(removed).await
}

/// Two processes that expose the same in the same way would take it from each other.
async fn refuse_twice(home: &Home, resource: &str, via: Option<&String>) -> Result<()> {
    let running = serving::all(home).await.into_iter();
    let twin = running.into_iter().find(|(_, serving)| {
        matches!(serving, Serving::Exposure { offer, via: theirs } if offer.resource == resource && theirs.as_ref() == via)
    });
    match twin {
        None => Ok(()),
        Some((pid, _)) => Err(CliError::failed(format!(
            "{} is exposed already, by process {pid}",
            shown(resource)
        ))
        .hint(format!(
            "for another ticket: sealway ticket create {}; to expose another service: --name NAME",
            shown(resource)
        ))),
    }
}

/// Makes a ticket and prints it: the one line on stdout.
///
/// # Errors
/// The exposure was removed, or it cannot be stored.
pub(super) async fn issue(
    offer: &Offer,
    home: &Home,
    terms: &TicketTerms,
    output: Output,
) -> Result<()> {
    let made = offer.ticket(home, terms.uses, terms.expires).await?;
    let text = made.to_text()?;
    let mut event = ticket::described(&made);
    event["event"] = json!("ticket");
    event["ticket"] = json!(text.as_str());
    output.event(Some(&text), &event)?;
    qr::show(&Zeroizing::new(text.to_uppercase()), output);
    Ok(())
}
