//! The reference implementation as a process: one JSON command per line on standard input, one JSON answer per
//! line on standard output, in order of completion. End of input ends the process.
//!
//! Command: `{"id": 1, "op": "listen", ...}`; answer: `{"id": 1, "ok": true, ...}` or
//! `{"id": 1, "ok": false, "error": "..."}`. [`command::Command`] lists the operations and their fields.

mod channels;
mod command;
mod exchange;
mod failure;
mod identities;
mod node;
mod portals;
mod relays;
mod transport;
mod workers;

use command::Request;
use failure::Failure;
use node::ReferenceNode;
use ockam::{Context, NodeBuilder};
use serde_json::{json, Map, Value};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::io::{stdin, AsyncBufReadExt, BufReader};

fn main() -> ExitCode {
    // Before any thread exists: the reference would otherwise keep its state under the user's home.
    std::env::set_var("OCKAM_SQLITE_IN_MEMORY", "1");
    // The reference logs to standard output, which belongs to the answers, and on a panic prints there too.
    let (context, mut executor) = NodeBuilder::new().no_logging().no_exit_on_panic().build();
    match executor.execute(serve(context)) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(failure)) => fail(&failure),
        Err(error) => fail(&Failure::from(error)),
    }
}

fn fail(failure: &Failure) -> ExitCode {
    eprintln!("reference-node: {failure}");
    ExitCode::FAILURE
}

/// Answers commands until standard input ends or `shutdown` is told. Each command runs on its own, so that one
/// that waits for the peer does not hold up the others.
async fn serve(context: Context) -> Result<(), Failure> {
    let node = Arc::new(ReferenceNode::start(context).await?);
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let request: Request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(error) => {
                answer(Value::Null, Err(Failure::BadCommand(error)))?;
                continue;
            }
        };
        if matches!(request.command, command::Command::Shutdown) {
            answer(json!(request.id), Ok(json!({})))?;
            break;
        }
        let node = node.clone();
        tokio::spawn(async move {
            let outcome = node.execute(request.command).await;
            if let Err(failure) = answer(json!(request.id), outcome) {
                eprintln!("reference-node: {failure}");
            }
        });
    }
    node.shutdown().await
}

/// Writes one answer line: the fields of `outcome` beside `id` and `ok`.
fn answer(id: Value, outcome: Result<Value, Failure>) -> Result<(), Failure> {
    let mut fields = match outcome {
        Ok(Value::Object(fields)) => with_status(fields, true),
        Ok(other) => with_status(Map::from_iter([("value".to_owned(), other)]), true),
        Err(failure) => with_status(
            Map::from_iter([("error".to_owned(), json!(failure.to_string()))]),
            false,
        ),
    };
    fields.insert("id".to_owned(), id);
    let mut line = Value::Object(fields).to_string();
    line.push('\n');
    let mut output = std::io::stdout().lock();
    output.write_all(line.as_bytes())?;
    Ok(output.flush()?)
}

fn with_status(mut fields: Map<String, Value>, ok: bool) -> Map<String, Value> {
    fields.insert("ok".to_owned(), json!(ok));
    fields
}
