//! Processes of a measurement, known by their ids: started, read, told, ended on drop and with us.

use crate::guard;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use std::{env, thread};

/// How long a process may take to say that it is ready.
const READY: Duration = Duration::from_secs(30);

/// A process that ends when this is dropped, and when this program ends.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    name: String,
}

/// Which of a program's outputs is read by lines; the other goes where ours goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Output,
    Errors,
    /// Both go nowhere.
    Nothing,
}

impl Process {
    /// Starts `command`, whose standard streams are set here. Only for the main thread: what another thread starts ends with that thread.
    pub(crate) fn spawn(name: &str, command: &Command, reading: Reading) -> io::Result<Self> {
        let mut guarded = guard::guarded(command)?;
        let (output, errors) = match reading {
            Reading::Output => (Stdio::piped(), Stdio::inherit()),
            Reading::Errors => (Stdio::null(), Stdio::piped()),
            Reading::Nothing => (Stdio::null(), Stdio::null()),
        };
        guarded.stdin(Stdio::piped()).stdout(output).stderr(errors);
        let mut child = guarded
            .spawn()
            .map_err(|e| io::Error::other(format!("{name}: {e}")))?;
        let lines = match (child.stdout.take(), child.stderr.take()) {
            (Some(output), _) => lines_of(output),
            (_, Some(errors)) => lines_of(errors),
            _ => lines_of(io::empty()),
        };
        Ok(Process {
            child,
            lines,
            name: name.to_owned(),
        })
    }

    /// Starts `program`; its standard output is read by lines, its errors go to ours.
    pub(crate) fn start<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        args: impl IntoIterator<Item = A>,
    ) -> io::Result<Self> {
        Self::spawn(name, Command::new(program).args(args), Reading::Output)
    }

    /// One of this program's own hidden subcommands.
    pub(crate) fn start_own(args: &[&str]) -> io::Result<Self> {
        Self::start(
            args.first().copied().unwrap_or("bench"),
            &env::current_exe()?,
            args,
        )
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&mut self, line: &str) -> io::Result<()> {
        let input = self.child.stdin.as_mut();
        let input = input.ok_or_else(|| io::Error::other("no standard input"))?;
        writeln!(input, "{line}")
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

    /// The first that `find` finds in a line of output.
    pub(crate) fn find<T>(&self, find: impl Fn(&str) -> Option<T>) -> io::Result<T> {
        let deadline = Instant::now() + READY;
        loop {
            if let Some(found) = find(&self.line_before(deadline)?) {
                return Ok(found);
            }
        }
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

    /// Whether it has ended by itself.
    pub(crate) fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

/// Lines as they come; what nobody asks for is read all the same, so that the process never waits for us.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
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

/// The first of the programs that PATH or `directories` hold.
pub(crate) fn which(names: &[&str], directories: &[&Path]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = directories
        .iter()
        .map(|place| place.to_path_buf())
        .collect();
    places.extend(env::split_paths(&path));
    let candidates = names
        .iter()
        .flat_map(|name| places.iter().map(move |place| place.join(name)));
    candidates.into_iter().find(|candidate| candidate.is_file())
}

/// Runs a program to its end. Returns what it printed, both outputs.
pub(crate) fn run(command: &mut Command) -> io::Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let program = command.get_program().to_string_lossy().into_owned();
    let output = output.map_err(|e| io::Error::other(format!("{program}: {e}")))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text += &String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(text);
    }
    let last = text
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default();
    Err(io::Error::other(format!(
        "{program}: {}: {last}",
        output.status
    )))
}

/// The tree that this program was built from, if it is still there.
pub(crate) fn tree() -> Option<PathBuf> {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    tree.join("Cargo.toml").is_file().then(|| tree.to_owned())
}

/// Cargo, as it runs us, or as PATH has it.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The `sealway` command: `SEALWAY`, or built by cargo from this tree in this program's profile, or the one beside us.
pub(crate) fn sealway() -> io::Result<PathBuf> {
    if let Some(path) = env::var_os("SEALWAY") {
        return Ok(path.into());
    }
    let beside = env::current_exe()?.with_file_name("sealway");
    if let Some(tree) = tree() {
        let mut build = cargo();
        build
            .args([
                "build",
                "--quiet",
                "--locked",
                "-p",
                "sealway-cli",
                "--manifest-path",
            ])
            .arg(tree.join("Cargo.toml"));
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
