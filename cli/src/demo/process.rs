//! The demo's processes: this executable, started again with other arguments, watched by the events it prints, ended by id.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

/// How long a process may take to end in order before it is killed.
const GRACE: Duration = Duration::from_secs(3);
/// Events that wait to be looked at; more are dropped, the log has them.
const EVENTS: usize = 1_024;

/// How the demo starts itself.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    executable: PathBuf,
    directory: PathBuf,
}

/// What a short command left.
#[derive(Debug)]
pub(crate) struct Ran {
    /// Its exit code; none if a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it said beside.
    pub(crate) stderr: String,
}

impl Program {
    /// This very executable, with homes and logs in `directory`.
    ///
    /// # Errors
    /// The system does not tell where the executable is.
    pub(crate) fn new(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            executable: std::env::current_exe()?,
            directory: directory.to_owned(),
        })
    }

    /// The home of the party `name`.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The executable.
    pub(crate) fn executable(&self) -> &Path {
        &self.executable
    }

    /// The message of the failure that the log of a process ends with.
    pub(crate) fn last_failure(&self, label: &str) -> Option<String> {
        let log = std::fs::read_to_string(self.directory.join(format!("{label}.log"))).ok()?;
        let failure: Value = serde_json::from_str(log.lines().last()?).ok()?;
        failure["error"]["message"].as_str().map(str::to_owned)
    }

    fn command(&self, home: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command
            .arg("--home")
            .arg(self.home(home))
            .arg("--json")
            .args(arguments)
            .env_remove("SEALWAY_HOME")
            .stdin(Stdio::null())
            // A Ctrl-C at the terminal reaches the demo alone, which ends its processes in order.
            .process_group(0);
        command
    }

    /// Runs a short command to its end.
    ///
    /// # Errors
    /// It cannot be started, or did not end within `deadline`.
    pub(crate) async fn run(
        &self,
        home: &str,
        arguments: &[&str],
        deadline: Duration,
    ) -> io::Result<Ran> {
        let child = self
            .command(home, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut running = Running { child, kept: false };
        timeout(deadline, running.output()).await.map_err(|_| {
            let what = arguments.first().copied().unwrap_or_default();
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("sealway {what} did not end in time"),
            )
        })?
    }

    /// Starts a long-running command whose stderr goes to `LABEL.log`; it ends with its value, unless it is `kept`.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(
        &self,
        home: &str,
        label: &str,
        arguments: &[&str],
        kept: bool,
    ) -> io::Result<Process> {
        let log = self.directory.join(format!("{label}.log"));
        let log = File::options().create(true).append(true).open(log)?;
        let mut child = self
            .command(home, arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log))
            .spawn()?;
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let (sender, events) = mpsc::channel(EVENTS);
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(event) = serde_json::from_str::<Value>(&line) {
                    // A full queue holds more than anybody waits for.
                    let _ = sender.try_send(event);
                }
            }
        });
        Ok(Process {
            label: label.to_owned(),
            running: Running { child, kept },
            events,
        })
    }
}

/// A child process that ends with its value, unless it is kept: it is gone, and no more writes into the demo's directory,
/// when the value is dropped.
#[derive(Debug)]
struct Running {
    child: Child,
    kept: bool,
}

impl Running {
    /// Its process id, for as long as it was not waited for.
    fn pid(&self) -> Option<Pid> {
        let id = i32::try_from(self.child.id()?).ok()?;
        Pid::from_raw(id)
    }

    /// Reads what it prints until it has ended.
    async fn output(&mut self) -> io::Result<Ran> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (status, stdout, stderr) =
            tokio::try_join!(self.child.wait(), text(stdout), text(stderr))?;
        Ok(Ran {
            code: status.code(),
            stdout,
            stderr,
        })
    }
}

/// All that comes out of a pipe, as text.
async fn text(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<String> {
    let mut read = Vec::new();
    if let Some(mut pipe) = pipe {
        pipe.read_to_end(&mut read).await?;
    }
    Ok(String::from_utf8_lossy(&read).into_owned())
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(id) = self.pid().filter(|_| !self.kept) else {
            return;
        };
        // A killed process may write for a while yet on a busy machine. It stays a zombie, for the runtime to reap.
        if self.child.start_kill().is_ok() {
            let _ = waitid(
                WaitId::Pid(id),
                WaitIdOptions::EXITED | WaitIdOptions::NOWAIT,
            );
        }
    }
}

/// A running process of the demo. Killed with its value.
#[derive(Debug)]
pub(crate) struct Process {
    label: String,
    running: Running,
    events: mpsc::Receiver<Value>,
}

impl Process {
    /// Its id; 0 once it has ended.
    pub(crate) fn id(&self) -> u32 {
        self.running.child.id().unwrap_or(0)
    }

    /// Waits for the next event named `name`.
    ///
    /// # Errors
    /// It ended, or the event did not come within `deadline`.
    pub(crate) async fn event(&mut self, name: &str, deadline: Duration) -> io::Result<Value> {
        let until = Instant::now() + deadline;
        loop {
            let event = timeout_at(until, self.events.recv()).await.map_err(|_| {
                let why = format!(
                    "{}: no {name} event within {} s",
                    self.label,
                    deadline.as_secs()
                );
                io::Error::new(io::ErrorKind::TimedOut, why)
            })?;
            let Some(event) = event else {
                let why = format!("{} ended before it was {name}", self.label);
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
            };
            if event["event"] == name {
                return Ok(event);
            }
        }
    }

    /// Waits until it has ended by itself; its exit code, none if a signal ended it.
    ///
    /// # Errors
    /// It did not end within `deadline`.
    pub(crate) async fn ended(&mut self, deadline: Duration) -> io::Result<Option<i32>> {
        let status = timeout(deadline, self.running.child.wait()).await;
        let status = status.map_err(|_| {
            io::Error::new(
                io::ErrorKind::TimedOut,
                format!("{} did not end", self.label),
            )
        })?;
        Ok(status?.code())
    }

    /// Kills it at once, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) async fn kill(&mut self) -> io::Result<()> {
        self.running.child.kill().await
    }

    /// Asks it to end, and kills it if it does not; whether it ended in order with exit code 0.
    pub(crate) async fn end(mut self) -> bool {
        if let Some(id) = self.running.pid() {
            // A process that has just ended is what we want.
            let _ = kill_process(id, Signal::TERM);
        }
        match timeout(GRACE, self.running.child.wait()).await {
            Ok(status) => status.is_ok_and(|status| status.success()),
            Err(_) => {
                let _ = self.running.child.kill().await;
                false
            }
        }
    }
}
