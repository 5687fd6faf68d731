//! Inlet and outlet of the reference's crates over one of its secure channels: the node of interop/, told by JSON lines.

use super::Started;
use crate::process::Process;
use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// A node of the reference that does as it is told.
struct Node {
    process: Process,
    told: u64,
}

impl Node {
    fn start(program: &Path) -> io::Result<Self> {
        let process = Process::start("reference-node", program, [""; 0])?;
        Ok(Node { process, told: 0 })
    }

    /// Tells it a command and waits for the answer.
    fn tell(&mut self, mut command: Value) -> io::Result<Value> {
        self.told += 1;
        command["id"] = json!(self.told);
        self.process.tell(&command.to_string())?;
        let answer: Value = serde_json::from_str(&self.process.line()?)?;
        match answer["ok"] {
            Value::Bool(true) => Ok(answer),
            _ => Err(io::Error::other(format!("{command}: {answer}"))),
        }
    }

    fn identity(&mut self) -> io::Result<Value> {
        Ok(self.tell(json!({"op": "create_identity"}))?["identifier"].take())
    }
}

pub(super) fn start(program: &Path, service: &str) -> io::Result<Started> {
    let mut outlet = Node::start(program)?;
    let identity = outlet.identity()?;
    outlet.tell(json!({"op": "channel_listener", "identity": identity, "address": "api"}))?;
    outlet.tell(json!({"op": "outlet", "address": "bench", "target": service}))?;
    let port = outlet.tell(json!({"op": "listen"}))?["port"].take();
    let mut inlet = Node::start(program)?;
    let mine = inlet.identity()?;
    let connected = inlet.tell(json!({"op": "connect", "peer": format!("127.0.0.1:{port}")}))?;
    let route = format!("{} => 0#api", text(&connected["address"]));
    let channel =
        inlet.tell(json!({"op": "channel", "identity": mine, "route": route, "peer": identity}))?;
    let route = format!("{} => 0#bench", text(&channel["address"]));
    let port = inlet.tell(json!({"op": "inlet", "route": route}))?["port"].take();
    let processes = vec![("inlet", inlet.process), ("outlet", outlet.process)];
    Ok((format!("127.0.0.1:{port}"), processes))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
