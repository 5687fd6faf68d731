//! Sealway's benchmarks. Every figure comes with its baseline, measured in the same round on the same machine; on a busy
//! machine the ratio is what can be compared.
//!
//! `cargo run --release -p sealway-bench -- --quick --json` prints one JSON line a figure:
//! `{"name","value","unit","baseline","ratio"}`, medians over the rounds. Without `--json` it prints a table.

mod blocks;
mod far;
mod handshake;
mod inlet;
mod load;
mod messages;
mod points;
mod process;
mod record;
mod report;
mod timing;
mod tunnel;

use clap::{Parser, Subcommand};
use load::Durations;
use points::{Figure, points};
use process::Process;
use report::Report;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;
use tunnel::{Homes, Kind, Tunnel};

#[derive(Parser)]
#[command(about = "Sealway's benchmarks: every figure with its baseline of the same round")]
struct Args {
    /// One short round instead of three longer ones
    #[arg(long)]
    quick: bool,
    /// One round of a moment each: shows that everything can be measured, not how fast it is
    #[arg(long, conflicts_with = "quick")]
    smoke: bool,
    /// One JSON line a figure
    #[arg(long)]
    json: bool,
    /// Only the groups named: tunnels, record, handshake, messages
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program runs as processes of its own.
#[derive(Subcommand)]
enum Part {
    /// The service behind every tunnel
    #[command(hide = true)]
    Serve,
    /// A plain TCP forwarder
    #[command(hide = true)]
    Forward {
        /// Where to
        target: SocketAddr,
    },
    /// An inlet of a protocol that nobody else would choose
    #[command(hide = true)]
    Inlet(inlet::Args),
}

impl Args {
    fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == group)
    }

    fn rounds(&self) -> usize {
        if self.quick || self.smoke { 1 } else { 3 }
    }

    fn durations(&self) -> Durations {
        let millis = Duration::from_millis;
        if self.smoke {
            Durations {
                bulk: millis(100),
                ping: millis(50),
                connect: millis(100),
                held: 20,
                in_process: millis(20),
            }
        } else if self.quick {
            Durations {
                bulk: millis(800),
                ping: millis(500),
                connect: millis(500),
                held: 100,
                in_process: millis(300),
            }
        } else {
            Durations {
                bulk: millis(2000),
                ping: millis(1000),
                connect: millis(1000),
                held: 200,
                in_process: millis(1000),
            }
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.part {
        Some(Part::Serve) => far::serve(),
        Some(Part::Forward { target }) => far::forward(target),
        Some(Part::Inlet(args)) => inlet::run(&args),
        None => measure(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealway-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> io::Result<()> {
    let mut report = Report::default();
    if args.wants("record") {
        record::measure(&mut report, args.durations().in_process);
    }
    if args.wants("handshake") {
        handshake::measure(&mut report, args.durations().in_process);
    }
    if args.wants("messages") {
        messages::measure(&mut report, args.durations().in_process)?;
    }
    if args.wants("tunnels") {
        tunnels(args, &mut report)?;
    }
    report.print(args.json);
    match report.errors() {
        0 => Ok(()),
        errors => Err(io::Error::other(format!(
            "{errors} figures could not be measured"
        ))),
    }
}

/// The portals that are measured, and what each is called: direct, and through a relay.
const KINDS: [(Kind, [&str; 2]); 3] = [
    (Kind::Native, ["portal", "relay"]),
    (Kind::Striped, ["portal_4_channels", "relay_4_channels"]),
    (Kind::Reference, ["reference", "reference_relay"]),
];

/// Sealway's portal protocol with the reference's of the same round as the baseline.
fn against_reference(report: &mut Report, measured: &BTreeMap<&str, Vec<Figure>>) {
    for (ours, theirs) in [("portal", "reference"), ("relay", "reference_relay")] {
        let (Some(ours_measured), Some(baselines)) = (measured.get(ours), measured.get(theirs))
        else {
            continue;
        };
        for (figure, baseline) in ours_measured.iter().zip(baselines) {
            let name = format!("{ours}_to_{theirs}/{}", figure.name);
            report.add(&name, figure.unit, figure.value, Some(baseline.value));
        }
    }
}

/// All tunnels are up at once. Each point is measured on one after the other, a tunnel right beside its baseline, round
/// after round, starting with another one each time.
fn tunnels(args: &Args, report: &mut Report) -> io::Result<()> {
    let service = Process::start_own(&["serve"])?;
    let address = service.line()?;
    let homes = Homes::new(process::sealway()?)?;
    let mut tunnels = vec![
        Tunnel::plain("plain2", 2, &address)?,
        Tunnel::plain("plain3", 3, &address)?,
    ];
    for (kind, [direct, relayed]) in KINDS {
        tunnels.push(Tunnel::direct(direct, kind, &homes, &address)?);
        tunnels.push(Tunnel::relayed(relayed, kind, &homes, &address)?);
    }
    for round in 1..=args.rounds() {
        for point in points() {
            eprintln!("round {round}: {}", point.name());
            let mut measured = BTreeMap::new();
            for tunnel in &tunnels {
                match point.measure(&tunnel.target, args.durations()) {
                    Ok(figures) => drop(measured.insert(tunnel.name, figures)),
                    Err(error) => {
                        report.failed(&format!("{}/{}", tunnel.name, point.name()), &error)
                    }
                }
            }
            for tunnel in &tunnels {
                let baselines = tunnel.baseline.and_then(|name| measured.get(name));
                for (index, figure) in measured.get(tunnel.name).into_iter().flatten().enumerate() {
                    let baseline = baselines
                        .and_then(|figures| figures.get(index))
                        .map(|figure| figure.value);
                    report.add(
                        &format!("{}/{}", tunnel.name, figure.name),
                        figure.unit,
                        figure.value,
                        baseline,
                    );
                }
            }
            against_reference(report, &measured);
        }
        tunnels.rotate_left(1);
    }
    Ok(())
}
