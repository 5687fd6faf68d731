//! What the command takes to start, and to be there: times, memory, size.

use crate::cost::resident_kib;
use crate::process::{Process, run, which};
use crate::report::Report;
use crate::scratch::Scratch;
use crate::tunnels::homes::Homes;
use std::io;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Starts of `sealway --version` whose median counts.
const VERSIONS: usize = 21;
/// Starts of a node on a fresh home whose median counts.
const NODES: usize = 5;
/// What a node may still do after it is ready.
const SETTLE: Duration = Duration::from_millis(300);

/// Measures all of them. Starts processes: for the main thread.
pub(crate) fn measure(report: &mut Report, homes: &Homes, scratch: &Scratch) {
    let mut tell = |name: &str, unit: &'static str, measured: io::Result<f64>| match measured {
        Ok(value) => report.add(name, unit, value, None),
        Err(error) => report.failed(name, &error),
    };
    let times = (0..VERSIONS).map(|_| version(homes)).collect();
    tell("start/version", "ms", middle(times));
    let nodes: io::Result<Vec<_>> = (0..NODES)
        .map(|n| node(homes, &format!("start{n}")))
        .collect();
    match nodes {
        Ok(nodes) => {
            let times = nodes.iter().map(|(time, _)| Ok(*time)).collect();
            tell("start/node_ready", "ms", middle(times));
            sleep(SETTLE);
            let sizes = nodes.iter().map(|(_, node)| resident_kib(&[node.id()]));
            tell(
                "start/idle_node",
                "MiB",
                middle(sizes.collect()).map(|kib| kib / 1024.0),
            );
        }
        Err(error) => tell("start/node_ready", "ms", Err(error)),
    }
    if which(&["strip"], &[]).is_some() {
        tell("start/stripped_binary", "MB", stripped(homes, scratch));
    } else {
        report.missing(
            "start/stripped_binary",
            "strip is not installed (Debian: binutils)",
        );
    }
}

fn middle(values: io::Result<Vec<f64>>) -> io::Result<f64> {
    let mut values = values?;
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2);
    middle
        .copied()
        .ok_or_else(|| io::Error::other("no samples"))
}

/// Milliseconds from the start of `sealway --version` to its end.
fn version(homes: &Homes) -> io::Result<f64> {
    let mut command = Command::new(&homes.sealway);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let began = Instant::now();
    let status = command.status()?;
    let took = began.elapsed();
    match status.success() {
        true => Ok(took.as_secs_f64() * 1e3),
        false => Err(io::Error::other(format!("sealway --version: {status}"))),
    }
}

/// Milliseconds from the start of a node on a fresh home until it says that it is ready; and the node. A millisecond or two of it is the
/// bench's own, which starts the command through a process that guards it.
fn node(homes: &Homes, home: &str) -> io::Result<(f64, Process)> {
    let began = Instant::now();
    let node = homes.start(home, &["node", "--listen", "127.0.0.1:0"])?;
    // It has nothing else to wait for.
    node.event("listening")?;
    Ok((began.elapsed().as_secs_f64() * 1e3, node))
}

/// Megabytes of the command without symbols.
fn stripped(homes: &Homes, scratch: &Scratch) -> io::Result<f64> {
    let copy = scratch.path().join("stripped");
    run(Command::new("strip")
        .arg("-o")
        .arg(&copy)
        .arg(&homes.sealway))?;
    Ok(std::fs::metadata(&copy)?.len() as f64 / 1e6)
}
