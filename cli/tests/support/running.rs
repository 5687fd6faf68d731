//! Long-running commands of the tests, watched by the events they print.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{self, Receiver};
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

    /// Sends a signal and waits for the end; the exit code.
    pub(crate) fn end(mut self, signal: Signal) -> Option<i32> {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .expect("an id");
        kill_process(id, signal).expect("it runs");
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
