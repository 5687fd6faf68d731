//! Lines about what strangers do, few of each kind: who is refused a million times must neither fill a disk nor push out of the
//! events what matters. The counters stay exact.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::counters::Count;
use crate::event::Event;
use crate::node::{Shared, lock};

/// Lines of one kind that are told at once. Each [`EVERY`] brings one back.
const AT_ONCE: u32 = 10;
/// After that there is one line in this time, which tells how many it stands for.
const EVERY: Duration = Duration::from_secs(1);

/// A line about something from outside.
pub(crate) enum Line {
    /// For the application and the log.
    Refused(String),
    /// For the log.
    Warning(String),
    /// For the log of who wants to know more.
    Note(String),
}

/// What was told lately, by the reason that it was counted under.
#[derive(Default)]
pub(crate) struct Tellings(Mutex<HashMap<Count, Kind>>);

struct Kind {
    left: u32,
    /// When a line was brought back last.
    since: Instant,
    /// The first that was not told, and how many more there were.
    kept: Option<(Line, u64)>,
}

impl Kind {
    fn new() -> Self {
        Self {
            left: AT_ONCE,
            since: Instant::now(),
            kept: None,
        }
    }

    fn admit(&mut self, line: Line) -> Admitted {
        if let Some((_, more)) = &mut self.kept {
            *more += 1;
            return Admitted::Counted;
        }
        while self.left < AT_ONCE && self.since.elapsed() >= EVERY {
            self.left += 1;
            self.since += EVERY;
        }
        if self.left == 0 {
            self.kept = Some((line, 0));
            return Admitted::Kept;
        }
        if self.left == AT_ONCE {
            self.since = Instant::now();
        }
        self.left -= 1;
        Admitted::Now(line)
    }
}

/// What becomes of a line.
enum Admitted {
    Now(Line),
    /// It is the first that is kept back: somebody must tell it in a while.
    Kept,
    /// It is one of those that will be told with that.
    Counted,
}

impl Line {
    fn and_more(self, more: u64) -> Self {
        if more == 0 {
            return self;
        }
        let with = |line: String| format!("{line} … and {more} more like it");
        match self {
            Line::Refused(line) => Line::Refused(with(line)),
            Line::Warning(line) => Line::Warning(with(line)),
            Line::Note(line) => Line::Note(with(line)),
        }
    }
}

/// A time as people say it: whole milliseconds below a second, else tenths of seconds.
pub(crate) fn rounded(time: Duration) -> String {
    if time < Duration::from_millis(1_000) {
        return format!("{} ms", time.as_millis());
    }
    let tenths = (time.as_millis() + 50) / 100;
    match (tenths / 10, tenths % 10) {
        (seconds, 0) => format!("{seconds} s"),
        (seconds, tenth) => format!("{seconds}.{tenth} s"),
    }
}

impl Shared {
    /// Tells a line about something that was counted as `reason`, or keeps it back and tells in a while how many there were.
    pub(crate) fn tell(self: &Arc<Self>, reason: Count, line: Line) {
        let admitted = {
            let mut kinds = lock(&self.tellings.0);
            kinds.entry(reason).or_insert_with(Kind::new).admit(line)
        };
        match admitted {
            Admitted::Now(line) => self.tell_now(line),
            Admitted::Counted => {}
            Admitted::Kept => {
                let node = Arc::clone(self);
                self.spawn(async move {
                    tokio::time::sleep(EVERY).await;
                    node.tell_kept(reason);
                });
            }
        }
    }

    fn tell_kept(&self, reason: Count) {
        let kept = lock(&self.tellings.0).get_mut(&reason).and_then(|kind| {
            // This line is what the time has brought back.
            kind.since = Instant::now();
            kind.kept.take()
        });
        if let Some((line, more)) = kept {
            self.tell_now(line.and_more(more));
        }
    }

    fn tell_now(&self, line: Line) {
        match line {
            Line::Refused(why) => self.emit(Event::Refused { why }),
            Line::Warning(line) => tracing::warn!("{line}"),
            Line::Note(line) => tracing::info!("{line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_without_their_last_digits() {
        for (time, said) in [
            (Duration::from_nanos(2_987_296_143), "3 s"),
            (Duration::from_millis(2_340), "2.3 s"),
            (Duration::from_millis(999), "999 ms"),
            (Duration::from_secs(10), "10 s"),
        ] {
            assert_eq!(rounded(time), said);
        }
    }
}
