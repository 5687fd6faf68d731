//! Processes of a measurement, known by their ids: started, read, measured through /proc, ended on drop.

use serde_json::Value;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

/// How long a process may take to say that it is ready.
const READY: Duration = Duration::from_secs(30);
/// Clock ticks a second in /proc/PID/stat (USER_HZ, fixed by Linux's interface).
const TICKS: f64 = 100.0;

/// A process that ends when this is dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    name: String,
}

impl Process {
    /// Starts `program`; its standard output is read by lines, its errors go to ours.
    pub(crate) fn start<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> io::Result<Self> {
        let mut child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| io::Error::other(format!("{}: {e}", program.display())))?;
        let output = child
            .stdout
            .take()
            .ok_or_else(|| io::Error::other("no standard output"))?;
        Ok(Process {
            child,
            lines: lines_of(output),
            name: name.to_owned(),
        })
    }

    /// One of this program's own hidden subcommands.
    pub(crate) fn start_own(args: &[&str]) -> io::Result<Self> {
        Self::start(
            args.first().copied().unwrap_or("bench"),
            &env::current_exe()?,
            args,
        )
    }

    /// The next line of output.
    pub(crate) fn line(&self) -> io::Result<String> {
        self.line_before(Instant::now() + READY)
    }

    fn line_before(&self, deadline: Instant) -> io::Result<String> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(left).map_err(|e| {
            io::Error::other(match e {
                RecvTimeoutError::Timeout => {
                    format!("{} said nothing more in {READY:?}", self.name)
                }
                RecvTimeoutError::Disconnected => {
                    format!("{} ended before it was ready", self.name)
                }
            })
        })
    }

    /// The first JSON event line named `event`.
    pub(crate) fn event(&self, event: &str) -> io::Result<Value> {
        let deadline = Instant::now() + READY;
        loop {
            let line = self.line_before(deadline)?;
            let value: Value = serde_json::from_str(&line)
                .map_err(|e| io::Error::other(format!("{}: {e}: {line}", self.name)))?;
            if value.get("event").and_then(Value::as_str) == Some(event) {
                return Ok(value);
            }
        }
    }

    /// The address in the first event line named `event`.
    pub(crate) fn address(&self, event: &str) -> io::Result<String> {
        let value = self.event(event)?;
        let address = value.get("address").and_then(Value::as_str);
        address
            .map(str::to_owned)
            .ok_or_else(|| io::Error::other(format!("{}: no address in {value}", self.name)))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

/// Lines as they come; what nobody asks for is read all the same, so that the process never waits for us.
fn lines_of(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of processor time (user and system) that the processes have used so far.
pub(crate) fn cpu_seconds(ids: &[u32]) -> io::Result<f64> {
    ids.iter().try_fold(0.0, |sum, id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name, in brackets, may hold anything; after it the 12th and 13th fields are utime and stime.
        let fields = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
        let ticks: Vec<u32> = fields
            .into_iter()
            .flatten()
            .filter_map(|field| field.parse().ok())
            .collect();
        match ticks[..] {
            [user, system] => Ok(sum + (f64::from(user) + f64::from(system)) / TICKS),
            _ => Err(io::Error::other(format!(
                "/proc/{id}/stat is not understood"
            ))),
        }
    })
}

/// Resident memory of the processes in KiB.
pub(crate) fn resident_kib(ids: &[u32]) -> io::Result<f64> {
    ids.iter().try_fold(0.0, |sum, id| {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<u32> = line
            .and_then(|line| line.split_whitespace().next())
            .and_then(|kib| kib.parse().ok());
        kib.map(|kib| sum + f64::from(kib))
            .ok_or_else(|| io::Error::other(format!("/proc/{id}/status is not understood")))
    })
}

/// The `sealway` command: `SEALWAY`, or built by cargo from this tree in this program's profile, or the one beside us.
pub(crate) fn sealway() -> io::Result<PathBuf> {
    if let Some(path) = env::var_os("SEALWAY") {
        return Ok(path.into());
    }
    let beside = env::current_exe()?.with_file_name("sealway");
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    if tree.is_file() {
        let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build
            .args([
                "build",
                "--quiet",
                "--locked",
                "-p",
                "sealway-cli",
                "--manifest-path",
            ])
            .arg(tree);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.stdin(Stdio::null()).status();
        if !status.is_ok_and(|status| status.success()) {
            return Err(io::Error::other(
                "cargo could not build the sealway command",
            ));
        }
    }
    if beside.is_file() {
        return Ok(beside);
    }
    Err(io::Error::other(format!(
        "no sealway command at {}; name one with SEALWAY",
        beside.display()
    )))
}
