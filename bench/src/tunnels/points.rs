//! What is measured on every tunnel.

use super::load::{self, Percentiles, Target};
use crate::blocks::Mode;
use crate::settings::Durations;
use std::io;

/// One figure of one tunnel.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
    /// The figure of the same tunnel and round that it is compared with; none for the plain chain's of the same name.
    pub(crate) against: Option<&'static str>,
}

fn figure(name: String, unit: &'static str, value: f64) -> Figure {
    Figure {
        name,
        unit,
        value,
        against: None,
    }
}

/// The figure of one stream that goes up alone.
const ALONE: &str = "up_x1";

/// One measurement, which may give several figures.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    /// So many bulk streams at once.
    Bulk(Mode, usize),
    /// Messages of so many bytes there and back.
    Ping(u32),
    /// The same while a bulk stream runs.
    PingBesideBulk(u32),
    /// Short connections, so many in flight.
    Connections(usize),
    /// Memory of open, idle connections.
    Held,
}

/// Every point, in the order measured. The connections that are held come first, since memory that others left behind would hide theirs.
pub(crate) const POINTS: [Point; 11] = [
    Point::Held,
    Point::Bulk(Mode::Up, 1),
    Point::PingBesideBulk(1),
    Point::PingBesideBulk(1024),
    Point::Bulk(Mode::Up, 8),
    Point::Bulk(Mode::Down, 1),
    Point::Bulk(Mode::Down, 8),
    Point::Ping(1),
    Point::Ping(1024),
    Point::Connections(1),
    Point::Connections(8),
];

impl Point {
    /// Its name, with which its figures' names begin.
    pub(crate) fn name(self) -> String {
        match self {
            Point::Bulk(Mode::Down, streams) => format!("down_x{streams}"),
            Point::Bulk(_, streams) => format!("up_x{streams}"),
            Point::Ping(len) => format!("ping_{}", size(len)),
            Point::PingBesideBulk(len) => format!("ping_{}_beside_bulk", size(len)),
            Point::Connections(at_once) => format!("connections_x{at_once}"),
            Point::Held => "held_connection".to_owned(),
        }
    }

    /// Measures it on `target`.
    pub(crate) fn measure(self, target: &Target, durations: Durations) -> io::Result<Vec<Figure>> {
        let name = self.name();
        Ok(match self {
            Point::Bulk(mode, streams) => {
                let (rate, cpu) = load::throughput(target, mode, streams, durations.bulk)?;
                vec![
                    figure(name.clone(), "GB/s", rate),
                    figure(format!("{name}_cpu"), "s/GiB", cpu),
                ]
            }
            Point::Ping(len) => times(&name, load::round_trip(target, len, durations.ping)?),
            Point::PingBesideBulk(len) => {
                let (round_trips, rate) =
                    load::round_trip_beside_bulk(target, len, durations.bulk)?;
                let mut figures = times(&name, round_trips);
                figures.push(Figure {
                    against: Some(ALONE),
                    ..figure(format!("bulk_beside_ping_{}", size(len)), "GB/s", rate)
                });
                figures
            }
            Point::Connections(at_once) => {
                vec![figure(
                    name,
                    "1/s",
                    load::connections(target, at_once, durations.connect)?,
                )]
            }
            Point::Held => vec![figure(name, "KiB", load::held_kib(target, durations.held)?)],
        })
    }
}

fn size(len: u32) -> String {
    match len {
        0..1024 => format!("{len}B"),
        _ => format!("{}KiB", len / 1024),
    }
}

fn times(name: &str, times: Percentiles) -> Vec<Figure> {
    vec![
        figure(format!("{name}_p50"), "us", times.p50_us),
        figure(format!("{name}_p99"), "us", times.p99_us),
    ]
}
