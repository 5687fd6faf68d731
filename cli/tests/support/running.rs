//! Long-running commands of the tests, watched by the events they print.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{DEADLINE, sealway};

/// A running command. Killed with its value.
pub(crate) struct Running {
    child: Child,
    events: Receiver<Value>,
}

impl Running {
    /// Starts `sealway --json ARGUMENTS` in `directory`.
    pub(crate) fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = sealway(directory)
            .arg("--json")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the binary exists");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("a line of JSON");
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        Self { child, events }
    }

    /// Waits for the next event of that name.
    ///
    /// # Panics
    /// It does not come.
    pub(crate) fn event(&self, name: &str) -> Value {
        loop {
            let event = self
                .events
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("no event {name}"));
            if event["event"] == name {
                return event;
            }
        }
    }

    /// The address of the next event of that name.
    pub(crate) fn address(&self, name: &str) -> String {
        self.event(name)["address"]
            .as_str()
            .expect("an address")
            .to_owned()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it ends by itself; the exit code.
    pub(crate) fn ended(mut self) -> Option<i32> {
        // Its last events, then the end of stdout.
        let ended = loop {
            if let Err(why) = self.events.recv_timeout(DEADLINE) {
                break why;
            }
        };
        assert_eq!(ended, RecvTimeoutError::Disconnected, "it goes on");
        let status = self.child.wait().expect("it is a child");
        status.code()
    }

    /// Sends a signal and waits for the end; the exit code.
    pub(crate) fn end(mut self, signal: Signal) -> Option<i32> {
        send(&self.child, signal);
        let status = self.child.wait().expect("it is a child");
        status.code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running command whose lines for people are read. Killed with its value.
pub(crate) struct Watched {
    child: Child,
    lines: Receiver<String>,
}

impl Watched {
    /// Starts it; its stderr goes where the command says.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary exists");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for the next line that begins so.
    ///
    /// # Panics
    /// It does not come.
    pub(crate) fn line(&self, start: &str) -> String {
        loop {
            let line = self
                .lines
                .recv_timeout(DEADLINE)
                .unwrap_or_else(|_| panic!("no line {start}"));
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// All that it says on stderr until its end, if that is piped.
    pub(crate) fn stderr(&mut self) -> Option<thread::JoinHandle<String>> {
        let mut stderr = self.child.stderr.take()?;
        Some(thread::spawn(move || {
            let mut said = String::new();
            let _ = stderr.read_to_string(&mut said);
            said
        }))
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the end; the exit code.
    pub(crate) fn end(mut self, signal: Signal) -> Option<i32> {
        send(&self.child, signal);
        self.child.wait().expect("it is a child").code()
    }

    /// The same, and the lines that it had still to say.
    pub(crate) fn end_and_rest(mut self, signal: Signal) -> (Option<i32>, Vec<String>) {
        send(&self.child, signal);
        let code = self.child.wait().expect("it is a child").code();
        (code, self.lines.iter().collect())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a child.
fn send(child: &Child, signal: Signal) {
    let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(id.expect("an id"), signal).expect("it runs");
}
