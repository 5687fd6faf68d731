//! Whether a portal gets slower or larger with use: one that has carried many connections beside one that has carried none, in turns, so
//! that the machine's moods meet both.

use super::homes::Homes;
use super::load::{self, Target};
use super::tunnel::{Kind, Tunnel};
use crate::blocks::Mode;
use crate::cost::resident_kib;
use crate::process::Process;
use crate::report::Report;
use crate::settings::Durations;
use std::io;
use std::time::Duration;

/// How often each of the two has its turn; odd, for the median.
const TURNS: usize = 9;
/// Connections after which a process has what it allocates once.
const FIRST: u64 = 500;

/// Measures both figures on two portals that it starts for that.
pub(crate) fn measure(report: &mut Report, homes: &Homes, durations: Durations) {
    match aged(homes, durations) {
        Ok(aged) => {
            report.add("age/throughput", "GB/s", aged.after, Some(aged.before));
            report.add("age/growth", "MiB", aged.growth_mib, None);
        }
        Err(error) => report.failed("age", &error),
    }
}

struct Aged {
    /// GB/s of the portal without a past.
    before: f64,
    /// GB/s of the one with many connections behind it.
    after: f64,
    growth_mib: f64,
}

fn aged(homes: &Homes, durations: Durations) -> io::Result<Aged> {
    let service = Process::start_own(&["serve"])?;
    let address = service.line()?;
    let fresh = start("fresh", homes, &address)?;
    let used = start("used", homes, &address)?;
    for portal in [&fresh, &used] {
        rate(&portal.target, durations.bulk)?;
    }
    load::some_connections(&used.target, FIRST)?;
    let before = resident_kib(&used.target.processes)?;
    load::some_connections(&used.target, durations.age)?;
    let growth_mib = (resident_kib(&used.target.processes)? - before) / 1024.0;
    let turn = durations.bulk / 2;
    let (mut of_fresh, mut of_used) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        of_fresh.push(rate(&fresh.target, turn)?);
        of_used.push(rate(&used.target, turn)?);
    }
    Ok(Aged {
        before: middle(of_fresh),
        after: middle(of_used),
        growth_mib,
    })
}

fn start(home: &str, homes: &Homes, service: &str) -> io::Result<Tunnel> {
    Tunnel::direct_of("age", home, Kind::Native, homes, service)
}

fn rate(target: &Target, duration: Duration) -> io::Result<f64> {
    load::throughput(target, Mode::Up, 1, duration).map(|(rate, _)| rate)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
