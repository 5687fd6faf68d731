//! What `--keep` leaves behind: what the relay saw, and the same parties without the recording proxies, running.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use super::process::{Process, Program};
use super::service::{FILE, Service};
use super::stage::{self, Stage, said};
use super::story::Story;
use crate::error::{CliError, Result};
use crate::output::Output;
use crate::signals::Signals;

/// What the service is exposed as from then on.
const KEPT: &str = "kept";

/// What has to outlive the stage.
#[derive(Debug)]
pub(super) struct Kept {
    program: Program,
    file: String,
    relay: SocketAddr,
}

impl Kept {
    /// Writes down what the relay saw, and takes from the stage what the parties need to start again.
    ///
    /// # Errors
    /// The directory is full.
    pub(super) fn new(stage: &Stage) -> std::result::Result<Self, String> {
        let lanes = [
            (
                "relay-received-from-exposer.bin",
                &stage.exposer_side.received,
            ),
            ("relay-sent-to-exposer.bin", &stage.exposer_side.sent),
            (
                "relay-received-from-client.bin",
                &stage.client_side.received,
            ),
            ("relay-sent-to-client.bin", &stage.client_side.sent),
        ];
        for (name, lane) in lanes {
            lane.tape(|tape| fs::write(stage.directory.path.join(name), tape.beginning()))
                .map_err(said("what the relay saw"))?;
        }
        Ok(Self {
            program: stage.program.clone(),
            file: stage.file.path.display().to_string(),
            relay: stage.relay_address,
        })
    }

    /// Starts the parties again, to stay, and says how to look at them.
    ///
    /// # Errors
    /// One did not start.
    pub(super) async fn start(
        self,
        directory: &Path,
        story: &mut Story,
    ) -> std::result::Result<Value, String> {
        let program = &self.program;
        let begin = |home, label, arguments: &[&str]| {
            program
                .start(home, label, arguments, true)
                .map_err(said("a process to keep"))
        };
        let mut service = begin("service", "service", &["demo", "--serve", &self.file])?;
        let service_address = stage::address_of(&mut service, "listening").await?;
        let relay_at = self.relay.to_string();
        let mut relay = begin("relay", "relay", &["relay", "--listen", &relay_at])?;
        stage::address_of(&mut relay, "listening").await?;
        // What the stage exposed was another service; this one has a name and a ticket of its own.
        let mut exposer = stage::start_expose(program, &relay_at, service_address, KEPT, true)?;
        let ticket = stage::ticket_of(&mut exposer).await?;
        let ticket_file = directory.join("ticket-kept");
        stage::write_ticket(&ticket_file, &ticket)?;
        let mut connector = stage::start_connect(program, "client", "connect", &ticket_file, true)?;
        let address = stage::address_of(&mut connector, "ready").await?;
        let parties = [
            ("service", service),
            ("relay", relay),
            ("expose", exposer),
            ("connect", connector),
        ];
        Ok(told(
            directory,
            program,
            &format!("http://{address}{FILE}"),
            &parties,
            story,
        ))
    }
}

fn told(
    directory: &Path,
    program: &Program,
    url: &str,
    parties: &[(&str, Process)],
    story: &mut Story,
) -> Value {
    let directory = directory.display().to_string();
    let sealway = program.executable().display().to_string();
    let ids: Vec<String> = parties
        .iter()
        .map(|(_, process)| process.id().to_string())
        .collect();
    story.step("Kept");
    for (name, process) in parties {
        story.say(&format!("{name:<8} process {}", process.id()));
    }
    story.say(&format!("fetch the file:    curl -s {url} | sha256sum"));
    story.say(&format!(
        "what runs:         {sealway} --home {directory}/exposer status"
    ));
    story.say(&format!(
        "what relay saw:    xxd {directory}/relay-received-from-exposer.bin | less"
    ));
    story.say(&format!("logs:              {directory}/*.log"));
    story.say(&format!(
        "end it:            kill {}; rm -r {directory}",
        ids.join(" ")
    ));
    let processes: Vec<Value> = parties
        .iter()
        .map(|(name, process)| json!({"name": name, "pid": process.id()}))
        .collect();
    json!({"directory": directory, "url": url, "processes": processes})
}

/// `sealway demo --serve FILE`: the private service alone.
///
/// # Errors
/// The file is none, or no port is free.
pub(super) async fn serve(file: &Path, output: Output, signals: &mut Signals) -> Result<()> {
    let service = Service::start(file.to_owned())
        .await
        .map_err(|error| CliError::failed(format!("cannot serve {}: {error}", file.display())))?;
    let address = service.address.to_string();
    let event = json!({"event": "listening", "transport": "http", "address": address});
    output.event(Some(&format!("listening on http {address}")), &event)?;
    signals.end().await;
    Ok(())
}
