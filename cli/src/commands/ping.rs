//! `sealway ping`: how far a route leads, and how long each hop of it takes to answer.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use sealway::channel::Channel;
use sealway::home::Home;
use sealway::{Node, Path, PathOptions, Raw};
use sealway_core::channel::{Suite, Trust};
use sealway_core::wire::{Address, MultiAddr, Protocol};
use serde_json::{Value, json};

use super::party::{self, expected};
use super::{clock, name_of, reach};
use crate::args::{Global, PingArgs};
use crate::error::{CliError, Kind, Result};
use crate::home;
use crate::output::{Output, shown};

/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(1);
/// How long a hop on the way, which may have no echo, is waited for.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// Bytes of each echo request.
const PAYLOAD: usize = 32;

/// One hop: the route up to it.
struct Hop {
    to: MultiAddr,
    /// Its own part of the route.
    part: String,
    is_last: bool,
}

/// What was measured at a hop.
struct Measured {
    peer: Option<String>,
    suite: Option<Suite>,
    round_trips: Vec<Duration>,
    lost: u32,
}

/// Measures each hop and prints what answered.
///
/// # Errors
/// The route's last hop cannot be reached, refuses, or does not answer.
pub(crate) async fn run(args: &PingArgs, global: &Global, output: Output) -> Result<()> {
    let home = home::open(global)?;
    let name = args.own.identity.as_deref().map(name_of).transpose()?;
    let node = party::start_node(&home, name.as_ref()).await?;
    let outcome = measure_all(&node, &home, args, output).await;
    node.shutdown(CLOSE).await;
    outcome.map_err(|error| clock::suspect(&home, error))
}

async fn measure_all(node: &Node, home: &Home, args: &PingArgs, output: Output) -> Result<()> {
    let trust = expected(args.far.expect.as_ref(), &args.route, home)?;
    let mut told = Vec::new();
    let mut answered = false;
    for (index, hop) in hops(args.route.multiaddr()).iter().enumerate() {
        let measured = measure(node, hop, &trust, args).await?;
        answered = !measured.round_trips.is_empty();
        told.push(json(index + 1, hop, &measured));
        if !output.json() {
            output.line(&line(index + 1, hop, &measured))?;
        }
    }
    if output.json() {
        output.result("", &json!({"route": args.route.to_string(), "hops": told}))?;
    }
    if answered {
        return Ok(());
    }
    Err(CliError::new(Kind::Unreachable, format!("no echo at the end of {}", args.route))
        .hint("a bare hop answers only with --plain-service echo; end the route at /secure/sealway_xx1 to measure a node that trusts you"))
}

/// The nodes on the route: behind its connection, behind each name on the way, behind each channel. The service at its end is no
/// hop of its own.
fn hops(route: &MultiAddr) -> Vec<Hop> {
    let parts = route.protocols();
    let end = match parts {
        [before @ .., Protocol::Service(_) | Protocol::Worker(_)] if !before.is_empty() => {
            before.len()
        }
        all => all.len(),
    };
    let mut hops: Vec<Hop> = Vec::new();
    let mut so_far = MultiAddr::new();
    let mut part = String::new();
    for protocol in &parts[..end] {
        so_far.push(protocol.clone());
        let _ = write!(part, "{protocol}");
        if !matches!(
            protocol,
            Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::DnsAddr(_)
        ) {
            hops.push(Hop {
                to: so_far.clone(),
                part: std::mem::take(&mut part),
                is_last: false,
            });
        }
    }
    if let Some(last) = hops.last_mut() {
        last.is_last = true;
    }
    hops
}

async fn measure(node: &Node, hop: &Hop, trust: &Trust, args: &PingArgs) -> Result<Measured> {
    let expect = if hop.is_last {
        trust.clone()
    } else {
        Trust::Everyone
    };
    let options = PathOptions {
        deadline: args.timeout,
        suite: args.far.suite,
        ..PathOptions::expect(expect.clone())
    };
    let path = node
        .path(&hop.to, &options)
        .await
        .map_err(|error| reach::unreached(error, &expect))?;
    let wait = if hop.is_last {
        args.timeout
    } else {
        args.timeout.min(ON_THE_WAY)
    };
    let mut measured = Measured {
        peer: path.peer().map(ToString::to_string),
        suite: path.channel().map(Channel::suite),
        round_trips: Vec::new(),
        lost: 0,
    };
    for round in 0..args.count {
        match echo(node, &path, round, wait).await {
            Some(took) => measured.round_trips.push(took),
            // Who has not answered once is not asked again and again.
            None => {
                measured.lost += 1;
                if measured.round_trips.is_empty() {
                    break;
                }
            }
        }
    }
    let refusal = path.channel().and_then(|channel| channel.close_reason());
    path.close();
    match refusal {
        Some(reason) if hop.is_last && measured.round_trips.is_empty() => Err(reach::ended(reason)),
        _ => Ok(measured),
    }
}

async fn echo(node: &Node, path: &Path, round: u32, wait: Duration) -> Option<Duration> {
    let mut payload = vec![0x5e; PAYLOAD];
    payload[..4].copy_from_slice(&round.to_be_bytes());
    let mut route = path.route().clone();
    route.push_back(Address::local("echo"));
    let start = Instant::now();
    let asked = node.request::<Raw>(route, Raw(payload.clone()), wait);
    let reply = tokio::select! {
        biased;
        reply = asked => reply.ok()?,
        _ = path.ended() => return None,
    };
    (reply.0 == payload).then(|| start.elapsed())
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

fn line(number: usize, hop: &Hop, measured: &Measured) -> String {
    let mut text = format!("{number:>2}  {:<40}", shown(&hop.part));
    if measured.round_trips.is_empty() {
        text.push_str("  *");
    }
    for took in measured.round_trips.iter().take(8) {
        let _ = write!(text, "  {:.3} ms", milliseconds(*took));
    }
    if measured.round_trips.len() > 8 {
        let sum: Duration = measured.round_trips.iter().sum();
        let mean = milliseconds(sum) / measured.round_trips.len() as f64;
        let _ = write!(
            text,
            "  … {} in all, mean {mean:.3} ms",
            measured.round_trips.len()
        );
    }
    if measured.lost > 0 && !measured.round_trips.is_empty() {
        let _ = write!(text, "  {} lost", measured.lost);
    }
    if let Some(peer) = &measured.peer {
        let _ = write!(text, "  {peer}");
    }
    text
}

fn json(number: usize, hop: &Hop, measured: &Measured) -> Value {
    json!({
        "hop": number,
        "part": hop.part,
        "identifier": measured.peer,
        "suite": measured.suite.map(Suite::name),
        "milliseconds": measured.round_trips.iter().map(|took| milliseconds(*took)).collect::<Vec<_>>(),
        "lost": measured.lost,
    })
}
