//! System calls and context switches for a MiB, of each process of a tunnel under one stream up: context switches from /proc, system calls
//! as `perf trace` counts them, or `strace`, both of which slow down what they count.

use super::load::{Running, Target};
use super::tunnel::Tunnel;
use crate::cost::switches;
use crate::process::{Process, Reading, which};
use crate::report::Report;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

const MIB: f64 = (1_u64 << 20) as f64;
/// Most that a counting program may take to begin and to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures each tunnel for twice `window`: each of its processes, and their sum against the plain chain's.
pub(super) fn measure(report: &mut Report, tunnels: &[&Tunnel], window: Duration) {
    let counter = Counter::find();
    if counter.is_none() {
        report.missing("system calls", "neither perf nor strace can be used here");
    }
    let mut sums: BTreeMap<(&str, &str), f64> = BTreeMap::new();
    for tunnel in tunnels {
        let mut tell = |kind: &'static str, measured: io::Result<Vec<f64>>| match measured {
            Ok(each) => {
                for ((role, _), value) in tunnel.roles.iter().zip(&each) {
                    report.add(
                        &format!("kernel/{}_{role}_{kind}", tunnel.name),
                        "1/MiB",
                        *value,
                        None,
                    );
                }
                sums.insert((tunnel.name, kind), each.iter().sum());
                let baseline = tunnel.baseline.and_then(|plain| sums.get(&(plain, kind)));
                let name = format!("kernel/{}_all_{kind}", tunnel.name);
                report.add(&name, "1/MiB", each.iter().sum(), baseline.copied());
            }
            Err(error) => report.failed(&format!("{}: {kind}", tunnel.name), &error),
        };
        tell("switches", switches_each(tunnel, window));
        if let Some(counter) = &counter {
            tell("syscalls", counter.calls_each(tunnel, window));
        }
    }
}

/// Context switches of each process for a MiB.
fn switches_each(tunnel: &Tunnel, window: Duration) -> io::Result<Vec<f64>> {
    let look = || {
        tunnel
            .roles
            .iter()
            .map(|(_, id)| switches(*id))
            .collect::<io::Result<Vec<_>>>()
    };
    let stream = Running::start(&tunnel.target, window + window / 2)?;
    let (before, sent) = (look()?, stream.sent());
    sleep(window);
    let (after, sent) = (look()?, (stream.sent() - sent) as f64 / MIB);
    stream.finish()?;
    Ok(before
        .iter()
        .zip(after)
        .map(|(before, after)| (after - before) / sent)
        .collect())
}

/// What counts system calls here.
enum Counter {
    Perf(PathBuf),
    Strace(PathBuf),
}

impl Counter {
    /// The first that is installed and may trace a process.
    fn find() -> Option<Self> {
        let counters = [
            which(&["perf"], &[]).map(Counter::Perf),
            which(&["strace"], &[]).map(Counter::Strace),
        ];
        counters
            .into_iter()
            .flatten()
            .find(|counter| counter.works())
    }

    fn works(&self) -> bool {
        let tried = match self {
            Counter::Perf(perf) => Command::new(perf).args(["trace", "-s", "true"]).output(),
            Counter::Strace(strace) => Command::new(strace).args(["-c", "true"]).output(),
        };
        tried.is_ok_and(|output| output.status.success())
    }

    /// System calls of each process for a MiB. A stream that is traced is slower, so its own bytes are what counts.
    fn calls_each(&self, tunnel: &Tunnel, window: Duration) -> io::Result<Vec<f64>> {
        let each = tunnel.roles.iter();
        each.map(|(_, id)| self.calls(&tunnel.target, *id, window))
            .collect()
    }

    fn calls(&self, target: &Target, id: u32, window: Duration) -> io::Result<f64> {
        // Longer than the counting, which may begin late.
        let stream = Running::start(target, window * 3 + Duration::from_millis(500))?;
        let file = std::env::temp_dir().join(format!("swbench.{}.calls", std::process::id()));
        let counted = self.count(&file, id, &stream, window);
        let text = fs::read_to_string(&file);
        // It lies in the system's temporary directory.
        let _ = fs::remove_file(&file);
        let sent = counted?;
        stream.finish()?;
        let calls = match self {
            Counter::Perf(_) => calls_of_perf(&text?),
            Counter::Strace(_) => calls_of_strace(&text?),
        };
        match calls {
            0 => Err(io::Error::other("no system call was counted")),
            calls => Ok(calls as f64 / sent),
        }
    }

    /// Counts for `window` into `file`. Returns the MiB sent meanwhile.
    fn count(&self, file: &Path, id: u32, stream: &Running, window: Duration) -> io::Result<f64> {
        let seconds = window.as_secs_f64();
        let rate = |sent: u64, began: Instant| sent as f64 / MIB / began.elapsed().as_secs_f64();
        let (began, sent) = (Instant::now(), stream.sent());
        match self {
            Counter::Perf(perf) => {
                let mut command = Command::new(perf);
                command
                    .args(["trace", "-s", "-p", &id.to_string(), "-o"])
                    .arg(file);
                command.args(["--", "sleep", &seconds.to_string()]);
                let output = command.output()?;
                if !output.status.success() {
                    let errors = String::from_utf8_lossy(&output.stderr);
                    return Err(io::Error::other(format!("perf trace: {}", errors.trim())));
                }
                // It counts while its child sleeps; what it takes before and after is not counted.
                Ok(rate(stream.sent() - sent, began) * seconds)
            }
            Counter::Strace(strace) => {
                let mut command = Command::new(strace);
                command
                    .args(["-c", "-f", "-p", &id.to_string(), "-o"])
                    .arg(file);
                let mut tracing = Process::spawn("strace", &command, Reading::Nothing)?;
                until("strace to begin", || traced(id))?;
                let sent = stream.sent();
                sleep(window);
                let sent = (stream.sent() - sent) as f64 / MIB;
                let pid = i32::try_from(tracing.id()).ok().and_then(Pid::from_raw);
                kill_process(
                    pid.ok_or_else(|| io::Error::other("no process"))?,
                    Signal::INT,
                )?;
                until("strace to end", || tracing.ended())?;
                Ok(sent)
            }
        }
    }
}

/// Whether somebody traces the process.
fn traced(id: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let tracer = status
        .lines()
        .find_map(|line| line.strip_prefix("TracerPid:"));
    tracer.is_some_and(|tracer| tracer.trim() != "0")
}

fn until(what: &str, mut holds: impl FnMut() -> bool) -> io::Result<()> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > PATIENCE {
            return Err(io::Error::other(format!("waited {PATIENCE:?} for {what}")));
        }
        sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The calls of all threads in a summary of `perf trace -s`: lines of a name, calls, errors and six figures more.
fn calls_of_perf(summary: &str) -> u64 {
    let calls = |line: &str| {
        let mut fields = line.split_whitespace();
        let (_, calls, _) = (
            fields.next()?,
            fields.next()?.parse::<u64>().ok()?,
            fields.next()?.parse::<u64>().ok()?,
        );
        (fields.count() >= 4).then_some(calls)
    };
    summary.lines().filter_map(calls).sum()
}

/// The calls in the last line of `strace -c`: `100.00 seconds usecs/call calls [errors] total`.
fn calls_of_strace(summary: &str) -> u64 {
    let total = summary
        .lines()
        .rfind(|line| line.trim_end().ends_with(" total"));
    total
        .and_then(|line| line.split_whitespace().nth(3)?.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn perf_summaries_are_summed_over_threads() {
        let summary = "
 Summary of events:

 tokio-rt-worker (11408), 9486 events, 60.0%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   read                2371      0    74.665     0.015     0.031     4.082      5.47%
   write               2372      1    65.206     0.013     0.027     0.132      0.71%


 sealway (11400), 20 events, 40.0%

   syscall            calls  errors  total       min       avg       max       stddev
                                     (msec)    (msec)    (msec)    (msec)        (%)
   --------------- --------  ------ -------- --------- --------- ---------     ------
   futex                 10      3    74.665     0.015     0.031     4.082      5.47%
";
        assert_eq!(calls_of_perf(summary), 2371 + 2372 + 10);
        assert_eq!(calls_of_perf("\n Summary of events:\n\n"), 0);
    }

    #[test]
    fn the_total_of_strace_is_read() {
        let summary = "% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.000060           1        40         2 read
 40.00    0.000040           1        30           write
------ ----------- ----------- --------- --------- ----------------
100.00    0.000100           1        70         2 total
";
        assert_eq!(calls_of_strace(summary), 70);
        assert_eq!(calls_of_strace(""), 0);
    }
}
