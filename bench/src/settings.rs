//! What is measured, how long, how often, and how it is printed.

use crate::report::Form;
use crate::tunnels;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

const GROUPS: [&str; 10] = [
    "tunnels",
    "kernel",
    "age",
    "record",
    "handshake",
    "messages",
    "channels",
    "echo",
    "memory",
    "start",
];

#[derive(Args)]
pub(crate) struct Settings {
    /// Three indicative rounds, in about three minutes (the default)
    #[arg(long, group = "pace")]
    quick: bool,
    /// Five longer rounds of all variants, in at most 25 minutes: what is reported
    #[arg(long, group = "pace")]
    full: bool,
    /// Three short rounds against the floors that every change is held to
    #[arg(long, group = "pace")]
    smoke: bool,
    /// Another number of rounds
    #[arg(long)]
    rounds: Option<usize>,
    /// One JSON line a figure
    #[arg(long, group = "form")]
    json: bool,
    /// Tables for the documents
    #[arg(long, group = "form")]
    markdown: bool,
    /// Only these groups
    #[arg(long, value_delimiter = ',', value_parser = GROUPS)]
    only: Vec<String>,
    /// These tunnels beside plain chains, instead of portal and relay
    #[arg(long, value_delimiter = ',', value_parser = tunnels::NAMES)]
    tunnels: Vec<String>,
    /// Beside what people use instead: ssh, stunnel, rathole, dumbpipe, Ockam's portal; what cargo can build is built
    #[arg(long)]
    peers: bool,
    /// Draws into this directory, with the peers
    #[arg(long, value_name = "DIR")]
    pub(crate) svg: Option<PathBuf>,
}

/// How long each point is measured.
#[derive(Clone, Copy)]
pub(crate) struct Durations {
    pub(crate) bulk: Duration,
    pub(crate) ping: Duration,
    pub(crate) connect: Duration,
    /// Connections held for the memory figure.
    pub(crate) held: usize,
    /// Connections that a portal ages by.
    pub(crate) age: u64,
    /// Channels held for the memory figure.
    pub(crate) channels: usize,
    /// For each figure that needs no other process.
    pub(crate) in_process: Duration,
    /// For which system calls and context switches are counted.
    pub(crate) kernel: Duration,
}

impl Settings {
    fn wants(&self, group: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| name == group)
    }

    pub(crate) fn wants_tunnel(&self, tunnel: &str) -> bool {
        match &self.tunnels[..] {
            [] => self.full || tunnels::DEFAULTS.contains(&tunnel),
            named => named.iter().any(|name| name == tunnel),
        }
    }

    pub(crate) fn wants_peers(&self) -> bool {
        self.peers || self.svg.is_some()
    }

    /// Whether a group is measured in that round. What holds still from round to round, and takes long, is measured once where there is
    /// little time.
    pub(crate) fn wants_in(&self, group: &str, round: usize) -> bool {
        let once = match group {
            "kernel" => !self.full,
            "age" => self.smoke,
            _ => false,
        };
        self.wants(group) && (round == 1 || !once)
    }

    /// Whether the figures are held to their floors: all of them must have been measured for that.
    pub(crate) fn judges(&self) -> bool {
        self.smoke && self.only.is_empty() && self.tunnels.is_empty()
    }

    pub(crate) fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.full { 5 } else { 3 }).max(1)
    }

    pub(crate) fn form(&self) -> Form {
        match (self.json, self.markdown) {
            (true, _) => Form::Json,
            (_, true) => Form::Markdown,
            _ => Form::Terminal,
        }
    }

    /// How the run is called in its tables.
    pub(crate) fn pace(&self) -> &'static str {
        match (self.full, self.smoke) {
            (true, _) => "--full",
            (_, true) => "--smoke",
            _ => "--quick",
        }
    }

    pub(crate) fn durations(&self) -> Durations {
        let millis = Duration::from_millis;
        if self.smoke {
            Durations {
                bulk: millis(400),
                ping: millis(150),
                connect: millis(250),
                held: 200,
                age: 500,
                channels: 300,
                in_process: millis(150),
                kernel: millis(100),
            }
        } else if self.full {
            Durations {
                bulk: millis(1500),
                ping: millis(800),
                connect: millis(800),
                held: 500,
                age: 10_000,
                channels: 4000,
                in_process: millis(800),
                kernel: millis(500),
            }
        } else {
            Durations {
                bulk: millis(700),
                ping: millis(300),
                connect: millis(400),
                held: 300,
                age: 10_000,
                channels: 2000,
                in_process: millis(250),
                kernel: millis(200),
            }
        }
    }
}
