//! What is measured on every tunnel.

use crate::blocks::Mode;
use crate::load::{self, Durations, Percentiles, Target};
use std::io;

/// One figure of one tunnel.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

fn figure(name: String, unit: &'static str, value: f64) -> Figure {
    Figure { name, unit, value }
}

/// One measurement, which may give several figures.
#[derive(Clone, Copy)]
pub(crate) enum Point {
    /// So many bulk streams at once.
    Bulk(Mode, usize),
    /// Messages of so many bytes there and back.
    Ping(u32),
    /// The same while a bulk stream runs.
    PingUnderBulk(u32),
    /// Short connections, so many in flight.
    Connections(usize),
    /// Memory of open, idle connections.
    Held,
}

/// Every point, in the order measured. The connections that are held come last: they grow what is resident.
pub(crate) fn points() -> [Point; 11] {
    [
        Point::Bulk(Mode::Up, 1),
        Point::Bulk(Mode::Up, 8),
        Point::Bulk(Mode::Down, 1),
        Point::Bulk(Mode::Down, 8),
        Point::Ping(1),
        Point::Ping(1024),
        Point::PingUnderBulk(1),
        Point::PingUnderBulk(1024),
        Point::Connections(1),
        Point::Connections(8),
        Point::Held,
    ]
}

impl Point {
    /// Its name, with which its figures' names begin.
    pub(crate) fn name(self) -> String {
        let size = |len: u32| {
            if len.is_multiple_of(1024) {
                format!("{}KiB", len / 1024)
            } else {
                format!("{len}B")
            }
        };
        match self {
            Point::Bulk(Mode::Down, streams) => format!("down_x{streams}"),
            Point::Bulk(_, streams) => format!("up_x{streams}"),
            Point::Ping(len) => format!("ping_{}", size(len)),
            Point::PingUnderBulk(len) => format!("ping_{}_under_bulk", size(len)),
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
                    figure(format!("{name}_cpu"), "s/GiB", cpu),
                    figure(name, "GB/s", rate),
                ]
            }
            Point::Ping(len) => times(&name, load::round_trip(target, len, durations.ping)?),
            Point::PingUnderBulk(len) => times(
                &name,
                load::round_trip_under_bulk(target, len, durations.ping)?,
            ),
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

fn times(name: &str, times: Percentiles) -> Vec<Figure> {
    vec![
        figure(format!("{name}_p50"), "us", times.p50_us),
        figure(format!("{name}_p99"), "us", times.p99_us),
    ]
}
