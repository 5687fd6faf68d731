//! Sealway's benchmarks. Every figure comes with its baseline, measured in the same round on the same machine; on a busy
//! machine the ratio is what can be compared.
//!
//! `cargo run --release -p sealway-bench` measures three indicative rounds in about three minutes, `-- --full` five longer ones of all
//! variants, which is what is reported: for each figure the median, least and greatest of the rounds, the same of the ratios to the
//! baselines, and whether what it must reach is reached. `-- --smoke` holds what it measures to floors.

mod aligned;
mod blocks;
mod cost;
mod far;
mod guard;
mod in_process;
mod machine;
mod peers;
mod process;
mod report;
mod run;
mod scratch;
mod settings;
mod start;
mod tunnels;

use clap::{Parser, Subcommand};
use settings::Settings;
use std::net::SocketAddr;
use std::process::ExitCode;

/// Sealway's benchmarks: every figure with its baseline of the same round
#[derive(Parser)]
#[command(about, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(flatten)]
    settings: Settings,
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
    Inlet(tunnels::inlet::Args),
    /// A node with an echo behind channels
    #[command(hide = true)]
    EchoNode,
    /// A node that keeps channels to another open
    #[command(hide = true)]
    HoldChannels {
        /// Where the other listens
        address: String,
        /// How many, after the first
        count: usize,
    },
    /// Becomes a program that ends with us
    #[command(hide = true, name = guard::NAME)]
    Guard(guard::Args),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.part {
        Some(Part::Serve) => far::serve(),
        Some(Part::Forward { target }) => far::forward(target),
        Some(Part::Inlet(args)) => tunnels::inlet::run(&args),
        Some(Part::EchoNode) => in_process::pair::serve(),
        Some(Part::HoldChannels { address, count }) => in_process::memory::hold(&address, count),
        Some(Part::Guard(args)) => guard::run(&args),
        None => run::run(&args.settings),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sealway-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
