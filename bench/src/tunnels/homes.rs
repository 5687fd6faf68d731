//! The `sealway` command, each process of it with a home of its own.

use super::tunnel::Kind;
use crate::process::Process;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The command, and a directory of homes, one for each process.
pub(crate) struct Homes {
    pub(crate) sealway: PathBuf,
    directory: PathBuf,
}

impl Homes {
    pub(crate) fn new(sealway: PathBuf, directory: PathBuf) -> Self {
        Homes { sealway, directory }
    }

    fn home(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes an identity in the home `name` and returns its identifier.
    pub(super) fn identity(&self, name: &str) -> io::Result<String> {
        let output = command(&self.sealway, &self.home(name))
            .args(["identity", "create", "--json"])
            .stderr(Stdio::inherit())
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let value: Option<Value> = serde_json::from_str(&text).ok();
        let identifier = value
            .as_ref()
            .and_then(|value| value.get("identifier"))
            .and_then(Value::as_str);
        identifier
            .map(str::to_owned)
            .ok_or_else(|| io::Error::other(format!("identity create: {} {text}", output.status)))
    }

    /// Whom the node of a tunnel admits: its inlet, which has no home if this program runs it.
    pub(super) fn trusted(&self, name: &str, kind: Kind) -> io::Result<String> {
        match kind {
            Kind::Native | Kind::OneChannel => self.identity(&format!("{name}-inlet")),
            Kind::Reference => Ok("everyone".to_owned()),
        }
    }

    /// An inlet to `to`, and where it listens.
    pub(super) fn inlet(
        &self,
        name: &str,
        kind: Kind,
        to: &str,
        expect: &str,
    ) -> io::Result<(Process, String)> {
        if kind == Kind::Reference {
            let inlet = Process::start_own(&["inlet", "--to", to, "--expect", expect])?;
            let address = inlet.line()?;
            return Ok((inlet, address));
        }
        let mut args = vec![
            "inlet",
            "--listen",
            "127.0.0.1:0",
            "--to",
            to,
            "--expect",
            expect,
        ];
        if kind == Kind::OneChannel {
            args.extend(["--channels", "1"]);
        }
        let inlet = self.start(&format!("{name}-inlet"), &args)?;
        let address = inlet.address("ready")?;
        Ok((inlet, address))
    }

    /// Starts the command with the home `name` and events as JSON lines.
    pub(crate) fn start(&self, name: &str, args: &[&str]) -> io::Result<Process> {
        let home = self.home(name);
        let home = home
            .to_str()
            .ok_or_else(|| io::Error::other("the temporary directory's name is not UTF-8"))?;
        let args = ["--home", home]
            .into_iter()
            .chain(args.iter().copied())
            .chain(["--json"]);
        Process::start(name, &self.sealway, args)
    }
}

fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--home").arg(home).stdin(Stdio::null());
    command
}
