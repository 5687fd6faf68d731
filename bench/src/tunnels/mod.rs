//! Tunnels, the load that goes through them, and what is measured on each.

pub(crate) mod age;
pub(crate) mod homes;
pub(crate) mod inlet;
pub(crate) mod kernel;
pub(crate) mod load;
pub(crate) mod points;
pub(crate) mod tunnel;

use crate::process::Process;
use crate::report::Report;
use crate::settings::Durations;
use homes::Homes;
use points::{Figure, POINTS};
use std::collections::BTreeMap;
use std::io;
use tunnel::{Kind, Tunnel};

/// What is measured when no tunnels are named: Sealway's defaults.
pub(crate) const DEFAULTS: [&str; 2] = ["portal", "relay"];

/// The tunnels of Sealway's: what each speaks, and whether by a relay.
pub(crate) const OWN: [(&str, Kind, bool); 6] = [
    ("portal", Kind::Native, false),
    ("relay", Kind::Native, true),
    ("portal_1_channel", Kind::OneChannel, false),
    ("relay_1_channel", Kind::OneChannel, true),
    ("reference", Kind::Reference, false),
    ("reference_relay", Kind::Reference, true),
];

/// The names of [`OWN`].
pub(crate) const NAMES: [&str; 6] = {
    let mut names = [""; 6];
    let mut index = 0;
    while index < names.len() {
        names[index] = OWN[index].0;
        index += 1;
    }
    names
};

/// The running tunnels, and the service behind all of them. A round has its own: what one leaves in the processes' memory, or how its
/// buffers happened to lie, meets no other.
pub(crate) struct Tunnels {
    all: Vec<Tunnel>,
    address: String,
    _service: Process,
}

impl Tunnels {
    /// Starts a service, plain chains, and those of [`OWN`] that are wanted.
    pub(crate) fn start(homes: &Homes, wanted: impl Fn(&str) -> bool) -> io::Result<Self> {
        let service = Process::start_own(&["serve"])?;
        let address = service.line()?;
        let mut all = vec![
            Tunnel::plain("plain2", 2, &address)?,
            Tunnel::plain("plain3", 3, &address)?,
        ];
        for (name, kind, relayed) in OWN {
            if wanted(name) {
                let start = if relayed {
                    Tunnel::relayed
                } else {
                    Tunnel::direct
                };
                all.push(start(name, kind, homes, &address)?);
            }
        }
        Ok(Tunnels {
            all,
            address,
            _service: service,
        })
    }

    /// Measures another beside them.
    pub(crate) fn add(&mut self, other: Tunnel) {
        self.all.push(other);
    }

    /// Where the service listens.
    pub(crate) fn service(&self) -> &str {
        &self.address
    }

    /// Each point is measured on one tunnel after the other; each round begins with another one.
    pub(crate) fn measure(&mut self, report: &mut Report, durations: Durations, round: usize) {
        for tunnel in &mut self.all {
            tunnel.refresh();
        }
        let first = round % self.all.len().max(1);
        self.all.rotate_left(first);
        let mut figures = Round::default();
        for point in POINTS {
            eprintln!("  {}", point.name());
            for tunnel in &self.all {
                match point.measure(&tunnel.target, durations) {
                    Ok(measured) => figures.take(tunnel.name, measured),
                    Err(error) => {
                        report.failed(&format!("{}/{}", tunnel.name, point.name()), &error);
                    }
                }
            }
        }
        self.all.rotate_right(first);
        for tunnel in &self.all {
            figures.tell(tunnel, report);
        }
    }

    /// System calls and context switches of Sealway's tunnels and of plain chains.
    pub(crate) fn kernel(&self, report: &mut Report, window: std::time::Duration) {
        let own =
            |tunnel: &&Tunnel| tunnel.name.starts_with("plain") || DEFAULTS.contains(&tunnel.name);
        let mut tunnels: Vec<&Tunnel> = self.all.iter().filter(own).collect();
        // Baselines first.
        tunnels.sort_by_key(|tunnel| tunnel.baseline.is_some());
        kernel::measure(report, &tunnels, window);
    }
}

/// The figures of one round, by tunnel and name.
#[derive(Default)]
struct Round {
    figures: BTreeMap<&'static str, Vec<Figure>>,
}

impl Round {
    fn take(&mut self, tunnel: &'static str, figures: Vec<Figure>) {
        self.figures.entry(tunnel).or_default().extend(figures);
    }

    fn value(&self, tunnel: &str, name: &str) -> Option<f64> {
        let figures = self.figures.get(tunnel)?;
        figures
            .iter()
            .find(|figure| figure.name == name)
            .map(|figure| figure.value)
    }

    /// Reports a tunnel's figures, each with its baseline.
    fn tell(&self, tunnel: &Tunnel, report: &mut Report) {
        for figure in self.figures.get(tunnel.name).into_iter().flatten() {
            let baseline = match figure.against {
                Some(alone) => self.value(tunnel.name, alone),
                None => tunnel
                    .baseline
                    .and_then(|plain| self.value(plain, &figure.name)),
            };
            let name = format!("{}/{}", tunnel.name, figure.name);
            report.add(&name, figure.unit, figure.value, baseline);
        }
    }
}
