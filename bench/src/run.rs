//! A run: all that is wanted, round after round, and what is said of it at the end.

use crate::in_process::{channels, echo, handshake, memory, messages, record};
use crate::peers::Peer;
use crate::process;
use crate::report::{Report, floors};
use crate::scratch::Scratch;
use crate::settings::Settings;
use crate::tunnels::homes::Homes;
use crate::tunnels::{Tunnels, age};
use crate::{machine, peers, start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::time::Instant;
use tokio::runtime::Runtime;

/// Measures and reports.
///
/// # Errors
/// A figure could not be measured, or does not hold its floor.
pub(crate) fn run(settings: &Settings) -> io::Result<()> {
    // A plain forwarder has four descriptors for each connection that is held. What cannot be had fails there.
    let files = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: files.maximum,
        ..files
    };
    let _ = setrlimit(Resource::Nofile, most);
    let mut report = Report::default();
    // Built before anything is measured.
    let sealway = process::sealway()?;
    let peers = if settings.wants_peers() {
        peers::find(&mut report)
    } else {
        Vec::new()
    };
    report.note(machine::description(settings.pace(), settings.rounds()));
    let scratch = Scratch::new()?;
    let runtime = Runtime::new()?;
    let stolen = machine::Stolen::begin();
    for round in 1..=settings.rounds() {
        let began = Instant::now();
        let homes = Homes::new(
            sealway.clone(),
            scratch.directory(&format!("homes{round}"))?,
        );
        let bench = Bench {
            settings,
            peers: &peers,
            homes: &homes,
            scratch: &scratch,
            runtime: &runtime,
            round,
        };
        bench.round(&mut report)?;
        eprintln!(
            "round {round} of {} took {:.0?}",
            settings.rounds(),
            began.elapsed()
        );
    }
    report.note(stolen.share());
    print!("{}", report.text(settings.form()));
    if let Some(directory) = &settings.svg {
        report.draw(directory)?;
    }
    verdict(settings, &report)
}

/// What a round needs.
struct Bench<'a> {
    settings: &'a Settings,
    peers: &'a [Peer],
    homes: &'a Homes,
    scratch: &'a Scratch,
    runtime: &'a Runtime,
    round: usize,
}

impl Bench<'_> {
    fn round(&self, report: &mut Report) -> io::Result<()> {
        let durations = self.settings.durations();
        let in_this_round = |group: &str| self.settings.wants_in(group, self.round);
        let wants = |group: &str| {
            let wanted = in_this_round(group);
            if wanted {
                eprintln!(" {group}");
            }
            wanted
        };
        if in_this_round("tunnels") || in_this_round("kernel") {
            let mut tunnels = self.tunnels(report)?;
            if wants("tunnels") {
                tunnels.measure(report, durations, self.round);
            }
            if wants("kernel") {
                tunnels.kernel(report, durations.kernel);
            }
        }
        if wants("age") {
            age::measure(report, self.homes, durations);
        }
        if wants("record") {
            record::measure(report, durations.in_process);
        }
        if wants("handshake") {
            handshake::measure(report, durations.in_process);
        }
        if wants("messages") {
            messages::measure(report, self.runtime, self.scratch, durations.in_process);
        }
        if wants("channels") {
            channels::measure(report, self.runtime, durations.in_process);
        }
        if wants("echo") {
            echo::measure(report, self.runtime, durations.ping * 2);
        }
        if wants("memory") {
            memory::measure(report, durations.channels);
        }
        if wants("start") {
            start::measure(report, self.homes, self.scratch);
        }
        Ok(())
    }

    /// Starts the tunnels of this round.
    fn tunnels(&self, report: &mut Report) -> io::Result<Tunnels> {
        let mut tunnels = Tunnels::start(self.homes, |name| self.settings.wants_tunnel(name))?;
        for peer in self.peers {
            let directory = format!("{}{}", peer.name(), self.round);
            match peer.start(&self.scratch.directory(&directory)?, tunnels.service()) {
                Ok(tunnel) => tunnels.add(tunnel),
                Err(error) => report.failed(peer.name(), &error),
            }
        }
        Ok(tunnels)
    }
}

fn verdict(settings: &Settings, report: &Report) -> io::Result<()> {
    let broken = if settings.judges() {
        floors::broken(report)
    } else {
        Vec::new()
    };
    for figure in &broken {
        eprintln!("{figure}");
    }
    match (report.errors(), broken.len()) {
        (0, 0) => Ok(()),
        (0, broken) => Err(io::Error::other(format!(
            "{broken} figures below their floors"
        ))),
        (errors, _) => Err(io::Error::other(format!(
            "{errors} figures could not be measured"
        ))),
    }
}
