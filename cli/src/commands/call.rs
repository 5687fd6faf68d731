//! `sealway call`: one message along a route, and its reply.

use std::time::{Duration, Instant};

use sealway::channel::{Channel, CloseReason};
use sealway::home::Home;
use sealway::{Node, Path, PathOptions, Raw};
use sealway_core::channel::Suite;
use sealway_core::wire::{Route, bare};
use serde_json::json;

use super::party::{self, expected};
use super::{clock, hex, name_of, reach};
use crate::args::{CallArgs, Global};
use crate::error::{CliError, Kind, Result};
use crate::home;
use crate::output::{Output, shown};

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(1);

/// Calls and prints the reply.
///
/// # Errors
/// Nobody could be reached, somebody refused, or no reply came.
pub(crate) async fn run(args: &CallArgs, global: &Global, output: Output) -> Result<()> {
    let home = home::open(global)?;
    let name = args.own.identity.as_deref().map(name_of).transpose()?;
    let node = party::start_node(&home, name.as_ref()).await?;
    let outcome = exchange(&node, &home, args).await;
    node.shutdown(CLOSE).await;
    let reply = outcome.map_err(|error| clock::suspect(&home, error))?;
    print(&reply, args, output)
}

/// A reply, and who gave it.
struct Reply {
    payload: Vec<u8>,
    peer: Option<String>,
    suite: Option<Suite>,
    took: Duration,
}

async fn exchange(node: &Node, home: &Home, args: &CallArgs) -> Result<Reply> {
    let until = Instant::now() + args.timeout;
    let expect = expected(args.far.expect.as_ref(), args.route.route(), home)?;
    let options = PathOptions {
        deadline: args.timeout,
        suite: args.far.suite,
        ..PathOptions::expect(expect.clone())
    };
    let to = args.route.route().multiaddr();
    let late = || {
        CliError::new(
            Kind::Unreachable,
            format!("no path to {to} within {:?}", args.timeout),
        )
        .hint(reach::silence_hint(
            args.route.route().suite(args.far.suite),
            "give more --timeout",
        ))
    };
    let path = tokio::time::timeout(args.timeout, node.path(to, &options))
        .await
        .map_err(|_| late())?
        .map_err(|error| reach::unreached(error, &expect))?;
    let payload = if args.raw {
        args.payload.clone().into_bytes()
    } else {
        bare::string_payload(&args.payload)
    };
    let start = Instant::now();
    let left = until.saturating_duration_since(start);
    let payload = request(node, &path, path.route().clone(), payload, left).await?;
    let peer = path.peer().map(ToString::to_string);
    let suite = path.channel().map(Channel::suite);
    path.close();
    let payload = if args.raw { payload } else { text_of(payload) };
    Ok(Reply {
        payload,
        peer,
        suite,
        took: start.elapsed(),
    })
}

/// Sends `payload` along `route` and waits for the reply, or for the end of the path.
///
/// # Errors
/// No reply came.
pub(super) async fn request(
    node: &Node,
    path: &Path,
    route: Route,
    payload: Vec<u8>,
    deadline: Duration,
) -> Result<Vec<u8>> {
    let asked = node.request::<Raw>(route, Raw(payload), deadline);
    tokio::select! {
        biased;
        reply = asked => match reply {
            Ok(Raw(reply)) => Ok(reply),
            // The Close may have come just before the message went.
            Err(error) => Err(match path.channel().and_then(|channel| channel.close_reason()) {
                Some(CloseReason::Refused) => reach::ended(CloseReason::Refused),
                _ => error.into(),
            }),
        },
        reason = path.ended() => Err(reach::ended(reason)),
    }
}

/// The text in a payload that is exactly one text (reference, section 0.3), otherwise the payload.
fn text_of(payload: Vec<u8>) -> Vec<u8> {
    let mut reader = bare::Reader::new(&payload);
    match reader.string() {
        Ok(text) if reader.remaining().is_empty() => text.as_bytes().to_vec(),
        _ => payload,
    }
}

fn print(reply: &Reply, args: &CallArgs, output: Output) -> Result<()> {
    let text = std::str::from_utf8(&reply.payload).ok();
    let value = json!({
        "payload": text,
        "hex": hex(&reply.payload),
        "identifier": reply.peer,
        "suite": reply.suite.map(Suite::name),
        "milliseconds": reply.took.as_secs_f64() * 1_000.0,
    });
    if output.json() {
        return output.result("", &value);
    }
    match text {
        _ if args.hex => output.line(&hex(&reply.payload)),
        Some(text) if output.on_terminal() => output.line(&shown(text)),
        Some(text) => output.line(text),
        None => {
            output.note("the reply is no text, so it is shown as hex");
            output.line(&hex(&reply.payload))
        }
    }
}
