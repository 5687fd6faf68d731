//! The tunnels that are measured: plain chains, the portal, the portal through a relay. Each hop is a process.

use crate::load::Target;
use crate::process::Process;
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a portal speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sealway's protocol, as two Sealway ends find out.
    Native,
    /// The same over four channels, each on a connection of its own.
    Striped,
    /// The reference's protocol.
    Reference,
}

/// A running tunnel to the service.
pub(crate) struct Tunnel {
    pub(crate) name: &'static str,
    /// The plain chain with as many hops, whose figures of the same round are the baseline; none for a plain chain.
    pub(crate) baseline: Option<&'static str>,
    pub(crate) target: Target,
    _processes: Vec<Process>,
}

impl Tunnel {
    fn new(
        name: &'static str,
        baseline: Option<&'static str>,
        address: &str,
        processes: Vec<Process>,
    ) -> io::Result<Self> {
        let address = address
            .parse()
            .map_err(|e| io::Error::other(format!("{name}: {address}: {e}")))?;
        let target = Target {
            address,
            processes: processes.iter().map(Process::id).collect(),
        };
        Ok(Tunnel {
            name,
            baseline,
            target,
            _processes: processes,
        })
    }

    /// `hops` plain TCP forwarders in a row.
    pub(crate) fn plain(name: &'static str, hops: usize, service: &str) -> io::Result<Self> {
        let mut address = service.to_owned();
        let mut processes = Vec::new();
        for _ in 0..hops {
            let process = Process::start_own(&["forward", &address])?;
            address = process.line()?;
            processes.push(process);
        }
        Self::new(name, None, &address, processes)
    }

    /// Inlet and outlet, each a process, in between one secure channel over one TCP connection, or as many as the kind says.
    pub(crate) fn direct(
        name: &'static str,
        kind: Kind,
        homes: &Homes,
        service: &str,
    ) -> io::Result<Self> {
        let node_home = format!("{name}-node");
        let (node_id, trusted) = (homes.identity(&node_home)?, homes.trusted(name, kind)?);
        let outlet = format!("bench={service}");
        let node = homes.start(
            &node_home,
            &[
                "node",
                "--listen",
                "127.0.0.1:0",
                "--outlet",
                &outlet,
                "--trust",
                &trusted,
            ],
        )?;
        let node_address = node.address("listening")?;
        let port = port_of(&node_address)?;
        let to = format!("/ip4/127.0.0.1/tcp/{port}/secure/api/service/bench");
        let (inlet, address) = homes.inlet(name, kind, &to, &node_id)?;
        Self::new(name, Some("plain2"), &address, vec![inlet, node])
    }

    /// The same through a relay process.
    pub(crate) fn relayed(
        name: &'static str,
        kind: Kind,
        homes: &Homes,
        service: &str,
    ) -> io::Result<Self> {
        let node_home = format!("{name}-node");
        let (node_id, trusted) = (homes.identity(&node_home)?, homes.trusted(name, kind)?);
        let relay_home = format!("{name}-relay");
        let relay = homes.start(&relay_home, &["relay", "--listen", "127.0.0.1:0"])?;
        let relay_address = relay.address("listening")?;
        let port = port_of(&relay_address)?;
        let outlet = format!("bench={service}");
        let node = homes.start(
            &node_home,
            &[
                "node",
                "--via",
                &relay_address,
                "--alias",
                "bench",
                "--outlet",
                &outlet,
                "--trust",
                &trusted,
            ],
        )?;
        node.event("ready")?;
        let to =
            format!("/ip4/127.0.0.1/tcp/{port}/service/forward_to_bench/secure/api/service/bench");
        let (inlet, address) = homes.inlet(name, kind, &to, &node_id)?;
        Self::new(name, Some("plain3"), &address, vec![inlet, relay, node])
    }
}

/// A directory of homes, one for each process, removed on drop.
pub(crate) struct Homes {
    sealway: PathBuf,
    directory: PathBuf,
}

impl Homes {
    pub(crate) fn new(sealway: PathBuf) -> io::Result<Self> {
        let directory = std::env::temp_dir().join(format!("swbench.{}", std::process::id()));
        std::fs::create_dir(&directory)?;
        Ok(Homes { sealway, directory })
    }

    fn home(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Makes an identity in the home `name` and returns its identifier.
    fn identity(&self, name: &str) -> io::Result<String> {
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
    fn trusted(&self, name: &str, kind: Kind) -> io::Result<String> {
        match kind {
            Kind::Native | Kind::Striped => self.identity(&format!("{name}-inlet")),
            Kind::Reference => Ok("everyone".to_owned()),
        }
    }

    /// An inlet to `to`, and where it listens.
    fn inlet(
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
        let channels = if kind == Kind::Striped { "4" } else { "1" };
        let args = [
            "inlet",
            "--listen",
            "127.0.0.1:0",
            "--channels",
            channels,
            "--to",
            to,
            "--expect",
            expect,
        ];
        let inlet = self.start(&format!("{name}-inlet"), &args)?;
        let address = inlet.address("ready")?;
        Ok((inlet, address))
    }

    fn start(&self, name: &str, args: &[&str]) -> io::Result<Process> {
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

impl Drop for Homes {
    fn drop(&mut self) {
        // What is left lies in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--home").arg(home).stdin(Stdio::null());
    command
}

fn port_of(address: &str) -> io::Result<&str> {
    address
        .rsplit_once(':')
        .map(|(_, port)| port)
        .ok_or_else(|| io::Error::other(format!("no port in {address}")))
}
