//! Where and when a run took place.

use crate::process::run;
use std::fs;
use std::process::Command;

/// A line for the head of the tables.
pub(crate) fn description(pace: &str, rounds: usize) -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find(|line| line.starts_with("model name"));
    let model = model
        .and_then(|line| line.split_once(": "))
        .map_or("unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let kernel = text("/proc/sys/kernel/osrelease");
    let congestion = text("/proc/sys/net/ipv4/tcp_congestion_control");
    let load = text("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    let said = |program: &str, argument: &str| {
        let said = run(Command::new(program).arg(argument));
        said.map_or_else(
            |_| format!("{program} unknown"),
            |text| text.trim().to_owned(),
        )
    };
    format!(
        "{}, {pace}, {rounds} rounds; {cores} cores, {model}; Linux {kernel}, {congestion}; {}; load before: {load}",
        said("date", "+%F"),
        said("rustc", "--version"),
    )
}

/// Processor time that the host kept from this machine: what makes figures of a virtual machine swing.
pub(crate) struct Stolen {
    stolen: f64,
    all: f64,
}

impl Stolen {
    pub(crate) fn begin() -> Self {
        let stat = text("/proc/stat");
        let first = stat.lines().next().unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let ticks: Vec<f64> = first
            .split_whitespace()
            .skip(1)
            .take(8)
            .filter_map(|field| field.parse().ok())
            .collect();
        Stolen {
            stolen: ticks.get(7).copied().unwrap_or(0.0),
            all: ticks.iter().sum(),
        }
    }

    /// The share since the beginning, for readers.
    pub(crate) fn share(&self) -> String {
        let now = Self::begin();
        let share = (now.stolen - self.stolen) / (now.all - self.all).max(1.0);
        format!(
            "{:.1} % of the processors' time went to other machines of the host",
            share * 100.0
        )
    }
}

fn text(path: &str) -> String {
    let text = fs::read_to_string(path);
    text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
