//! The three pictures for the documents: throughput, latency under load, cost of a GiB; ours beside plain chains and the others.

use super::Report;
use super::svg::{Bar, Kind, Scale, bars};
use super::tables::number;
use std::io;
use std::path::Path;

/// The tunnels in the order in which they are shown, and what readers call them.
const TUNNELS: &[(&str, &str, Kind)] = &[
    ("plain2", "two plain TCP hops", Kind::Plain),
    ("plain3", "three plain TCP hops", Kind::Plain),
    ("portal", "Sealway", Kind::Ours),
    ("relay", "Sealway by a relay", Kind::Ours),
    ("portal_1_channel", "Sealway, one channel", Kind::Ours),
    ("relay_1_channel", "the same by a relay", Kind::Ours),
    ("reference", "Sealway to Ockam's portal", Kind::Ours),
    ("reference_relay", "the same by a relay", Kind::Ours),
    ("ssh", "ssh -L, AES-GCM", Kind::Other),
    ("stunnel", "stunnel", Kind::Other),
    ("rathole", "rathole, Noise", Kind::Other),
    ("dumbpipe", "dumbpipe", Kind::Other),
    ("ockam", "Ockam", Kind::Other),
];

/// Those that the pictures show.
const SHOWN: &[&str] = &[
    "plain2", "portal", "relay", "ssh", "stunnel", "rathole", "dumbpipe", "ockam",
];

/// Where a tunnel stands in tables.
pub(super) fn rank(tunnel: &str) -> usize {
    TUNNELS
        .iter()
        .position(|(name, ..)| *name == tunnel)
        .unwrap_or(TUNNELS.len())
}

struct Plot {
    file: &'static str,
    title: &'static str,
    note: &'static str,
    /// Each tunnel's figures: their points, and what distinguishes them.
    points: &'static [(&'static str, &'static str)],
    /// Of the figures' unit.
    factor: f64,
    unit: &'static str,
    scale: Scale,
}

const PLOTS: &[Plot] = &[
    Plot {
        file: "throughput.svg",
        title: "Throughput of one stream",
        note: "GB/s up; longer is better. Client, tunnel and service share one machine.",
        points: &[("up_x1", "")],
        factor: 1.0,
        unit: "GB/s",
        scale: Scale::Linear,
    },
    Plot {
        file: "latency.svg",
        title: "Round trip of 1 B beside a stream at full speed",
        note: "Milliseconds, logarithmic: each line is ten times the one before; shorter is better.",
        points: &[
            ("ping_1B_beside_bulk_p50", ", p50"),
            ("ping_1B_beside_bulk_p99", ", p99"),
        ],
        factor: 1e-3,
        unit: "ms",
        scale: Scale::Logarithmic,
    },
    Plot {
        file: "cost.svg",
        title: "Processor time for a GiB",
        note: "Seconds of all the tunnel's processes, one stream up; shorter is better.",
        points: &[("up_x1_cpu", "")],
        factor: 1.0,
        unit: "s",
        scale: Scale::Linear,
    },
];

impl Report {
    /// Writes the pictures into `directory`, which is made if need be.
    pub(crate) fn draw(&self, directory: &Path) -> io::Result<()> {
        std::fs::create_dir_all(directory)?;
        for plot in PLOTS {
            std::fs::write(directory.join(plot.file), self.plot(plot))?;
        }
        Ok(())
    }

    fn plot(&self, plot: &Plot) -> String {
        let mut all = Vec::new();
        let shown = TUNNELS.iter().filter(|(tunnel, ..)| SHOWN.contains(tunnel));
        for (tunnel, label, kind) in shown {
            for (point, which) in plot.points {
                // What was not measured is not drawn.
                let Some(summary) = self.summary(&format!("{tunnel}/{point}")) else {
                    continue;
                };
                let value = summary.value.median * plot.factor;
                all.push(Bar {
                    label: format!("{label}{which}"),
                    value,
                    text: format!("{} {}", number(value), plot.unit),
                    kind: *kind,
                });
            }
        }
        bars(plot.title, plot.note, &all, plot.scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_drawn_and_nothing_else() {
        let mut report = Report::default();
        report.add("portal/up_x1", "GB/s", 0.5, Some(1.0));
        report.add("plain2/up_x1", "GB/s", 1.0, None);
        report.add("reference/up_x1", "GB/s", 0.25, Some(1.0));
        let svg = report.plot(&PLOTS[0]);
        let plain = svg.find("two plain TCP hops").unwrap();
        assert!(plain < svg.find(">Sealway<").unwrap(), "plain comes first");
        assert!(svg.contains("0.5 GB/s") && !svg.contains("ssh") && !svg.contains("Ockam"));
    }

    #[test]
    fn all_that_is_shown_is_known() {
        for shown in SHOWN {
            assert!(rank(shown) < TUNNELS.len(), "{shown}");
        }
    }
}
