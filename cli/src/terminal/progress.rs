//! How a portal goes, in one line: bytes, rate, streams, the path.

use std::collections::VecDeque;
use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::{columns, is_dumb, line};
use crate::output::{Output, shown};

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(500);
/// Looks that the rate is taken over.
const LOOKS: usize = 6;
/// How long the line may take to go away: a terminal may stand still.
const GONE: Duration = Duration::from_secs(1);

/// How a portal goes at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Bytes that came from the other end since the start.
    pub(crate) received: u64,
    /// Bytes that went to the other end since the start.
    pub(crate) sent: u64,
    /// Streams that are open.
    pub(crate) streams: usize,
    /// Where it leads; none while there is no way.
    pub(crate) path: Option<String>,
}

/// The line, for as long as this lives.
pub(crate) struct Progress {
    stop: Option<Sender<()>>,
    gone: Receiver<()>,
}

impl Progress {
    /// Shows how it goes, as `reading` says, if somebody looks: stderr is a terminal, and neither JSON nor quiet was asked for.
    pub(crate) fn start(
        output: Output,
        reading: impl Fn() -> Reading + Send + 'static,
    ) -> Option<Self> {
        if output.json() || output.quiet() || is_dumb() || !io::stderr().is_terminal() {
            return None;
        }
        let (stop, stopped) = mpsc::channel::<()>();
        let (tell_gone, gone) = mpsc::channel();
        // A thread of its own: a terminal that stands still (Ctrl-S) holds up nothing else.
        thread::spawn(move || {
            let mut rate = Rate::default();
            while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
                let reading = reading();
                let rate = rate.of(Instant::now(), reading.received + reading.sent);
                let mut text = shown(&told(&reading, rate));
                // The last column stays free: some terminals begin a new line after it.
                let room = columns(io::stderr()).saturating_sub(1);
                if let Some((end, _)) = text.char_indices().nth(room) {
                    text.truncate(end);
                }
                line::show(Some(text));
            }
            line::show(None);
            // Who waited may have given up.
            let _ = tell_gone.send(());
        });
        Some(Self {
            stop: Some(stop),
            gone,
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        drop(self.stop.take());
        // What is said next must not stand behind the line.
        let _ = self.gone.recv_timeout(GONE);
    }
}

/// Bytes a second, over the last looks.
#[derive(Default)]
struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    fn of(&mut self, now: Instant, total: u64) -> u64 {
        let rate = self.0.front().map_or(0, |(then, before)| {
            let milliseconds = now.duration_since(*then).as_millis().max(1);
            let bytes = u128::from(total.saturating_sub(*before)) * 1_000;
            u64::try_from(bytes / milliseconds).unwrap_or(u64::MAX)
        });
        self.0.push_back((now, total));
        if self.0.len() > LOOKS {
            self.0.pop_front();
        }
        rate
    }
}

fn told(reading: &Reading, rate: u64) -> String {
    let streams = match reading.streams {
        1 => "1 stream".to_owned(),
        many => format!("{many} streams"),
    };
    format!(
        "received {}, sent {}, {}/s, {streams}, {}",
        bytes(reading.received),
        bytes(reading.sent),
        bytes(rate),
        reading
            .path
            .as_deref()
            .unwrap_or("no path: it is being rebuilt")
    )
}

/// A number of bytes in its largest unit, of a thousand each (IEC 80000-13 keeps kB, MB, GB for these).
fn bytes(number: u64) -> String {
    let mut whole = number;
    let mut tenths = 0;
    let mut units = ["B", "kB", "MB", "GB", "TB"].iter();
    let mut unit = units.next().unwrap_or(&"B");
    while whole >= 1_000 {
        let Some(larger) = units.next() else { break };
        tenths = whole % 1_000 / 100;
        whole /= 1_000;
        unit = larger;
    }
    if *unit == "B" {
        format!("{whole} B")
    } else {
        format!("{whole}.{tenths} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_that_suits_them() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (1_250_000, "1.2 MB"),
            (999_999_999, "999.9 MB"),
            (1_073_741_824, "1.0 GB"),
            (u64::MAX, "18446744.0 TB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }

    #[test]
    fn the_rate_is_that_of_the_last_looks() {
        let mut rate = Rate::default();
        let start = Instant::now();
        assert_eq!(rate.of(start, 5_000), 0, "nothing to compare with");
        for look in 1..=20 {
            rate.of(start + EVERY * look, 5_000 + 1_000 * u64::from(look));
        }
        assert_eq!(rate.of(start + EVERY * 21, 26_000), 2_000);
        // When nothing moves any more, the rate goes to nothing.
        let settled = (22..40).map(|look| rate.of(start + EVERY * look, 26_000));
        assert_eq!(settled.last(), Some(0));
    }

    #[test]
    fn the_line_tells_where_it_leads_or_that_there_is_no_way() {
        let mut reading = Reading {
            received: 2_000_000,
            sent: 10,
            streams: 1,
            path: Some("I78127c14 by 127.0.0.1:4100".to_owned()),
        };
        assert_eq!(
            told(&reading, 1_500),
            "received 2.0 MB, sent 10 B, 1.5 kB/s, 1 stream, I78127c14 by 127.0.0.1:4100"
        );
        reading.path = None;
        assert!(told(&reading, 0).ends_with("0 B/s, 1 stream, no path: it is being rebuilt"));
    }
}
