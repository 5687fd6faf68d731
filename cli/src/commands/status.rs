//! `sealway status`: what runs on a home, by asking it.

use std::fmt::Write as _;

use sealway::control::{ControlClient, Method};
use sealway::home::Home;
use serde_json::{Value, json};

use super::{clock, plural};
use crate::args::{Global, StatusArgs};
use crate::error::Result;
use crate::home;
use crate::output::{Output, shown};

/// Asks every process of the home and prints what it says; before that, accepts the machine's clock if told to.
///
/// # Errors
/// The home cannot be used.
pub(crate) async fn run(args: &StatusArgs, global: &Global, output: Output) -> Result<()> {
    let home = home::open(global)?;
    if args.accept_clock {
        clock::accept(&home, output).await?;
    }
    clock::warn(&home, output);
    let processes = ask_all(&home).await;
    if processes.is_empty() {
        output.note("nothing runs on this home");
    }
    let human: Vec<String> = processes.iter().map(lines).collect();
    output.result(
        human.join("\n").trim_end(),
        &json!({
            "processes": processes,
            "clock_behind_seconds": home.clock().behind_by(),
        }),
    )
}

/// What each process of the home says of itself, in the order of their ids; why not, of one that says nothing.
pub(super) async fn ask_all(home: &Home) -> Vec<Value> {
    let mut processes = Vec::new();
    for mut client in ControlClient::all(home).await {
        let pid = client.pid();
        let status = match client.call(Method::Get, "/status", &[]).await {
            Ok(answer) if answer.is_ok() => {
                serde_json::from_slice(&answer.body).unwrap_or_default()
            }
            Ok(_) => json!({"pid": pid, "error": "it gave no status"}),
            Err(error) => json!({"pid": pid, "error": error.to_string()}),
        };
        processes.push(status);
    }
    processes.sort_by_key(|process: &Value| process["pid"].as_u64());
    processes
}

fn lines(process: &Value) -> String {
    let text = |name: &str| process[name].as_str().unwrap_or("-").to_owned();
    let number = |name: &str| process[name].as_u64().unwrap_or_default();
    let mut out = format!("process {}  {}", number("pid"), text("command"));
    if let Some(error) = process["error"].as_str() {
        let _ = writeln!(out, "  {error}");
        return out;
    }
    let _ = writeln!(
        out,
        "  {}  up {} s, {} connection{}",
        text("identifier"),
        number("seconds"),
        number("connections"),
        plural(number("connections")),
    );
    let serves = &process["serves"];
    let part = |name: &str| serves[name].as_str().map(shown);
    if let Some(name) = part("exposure") {
        let via = part("via").map_or_else(|| "directly".to_owned(), |via| format!("through {via}"));
        let _ = writeln!(out, "  exposes {name}, {via}");
    }
    if let (Some(name), Some(address)) = (part("connection"), part("address")) {
        let _ = writeln!(out, "  connected to {name}, at {address}");
    }
    for (suite, count) in process["suites"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "  {:<22} {count}", format!("channels, {suite}"));
    }
    for channel in process["channels"].as_array().into_iter().flatten() {
        let part = |name: &str| channel[name].as_str().unwrap_or("-");
        let _ = writeln!(
            out,
            "  {}  {}  up {} s",
            part("identifier"),
            part("suite"),
            channel["seconds"].as_u64().unwrap_or_default()
        );
    }
    for (name, value) in process["counters"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "  {name:<22} {value}");
    }
    out
}
