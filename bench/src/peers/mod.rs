//! What people use instead, each as its own manual has it: OpenSSH's -L, stunnel, rathole, dumbpipe, and the portal of the reference's
//! crates. Debian's packages where there are such; what cargo builds lies in target/peers.

mod install;
mod ockam;
mod rathole;
mod ssh;
mod stunnel;

use crate::process::{Process, Reading};
use crate::report::Report;
use crate::tunnels::tunnel::Tunnel;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long a port may take to be listened on.
const READY: Duration = Duration::from_secs(20);

/// One of them, with the programs that were found.
pub(crate) enum Peer {
    Ssh(ssh::Programs),
    Stunnel(PathBuf),
    Rathole(PathBuf),
    Dumbpipe(PathBuf),
    Ockam(PathBuf),
}

/// Those that are here or can be built; the report says which versions, and which are missing and why.
pub(crate) fn find(report: &mut Report) -> Vec<Peer> {
    let all = [
        ("ssh", ssh::find()),
        ("stunnel", stunnel::find()),
        (
            "rathole",
            install::rathole().map(|(path, version)| (Peer::Rathole(path), version)),
        ),
        (
            "dumbpipe",
            install::dumbpipe().map(|(path, version)| (Peer::Dumbpipe(path), version)),
        ),
        (
            "ockam",
            install::ockam().map(|(path, version)| (Peer::Ockam(path), version)),
        ),
    ];
    let (mut found, mut versions) = (Vec::new(), Vec::new());
    for (name, peer) in all {
        match peer {
            Ok((peer, version)) => {
                found.push(peer);
                versions.push(version);
            }
            Err(reason) => report.missing(name, &reason.to_string()),
        }
    }
    report.note(format!("peers: {}", versions.join("; ")));
    found
}

impl Peer {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Peer::Ssh(_) => "ssh",
            Peer::Stunnel(_) => "stunnel",
            Peer::Rathole(_) => "rathole",
            Peer::Dumbpipe(_) => "dumbpipe",
            Peer::Ockam(_) => "ockam",
        }
    }

    /// A tunnel of its to the service: two processes, as inlet and outlet are.
    pub(crate) fn start(&self, directory: &Path, service: &str) -> io::Result<Tunnel> {
        let (address, processes) = match self {
            Peer::Ssh(programs) => ssh::start(programs, directory, service),
            Peer::Stunnel(program) => stunnel::start(program, directory, service),
            Peer::Rathole(program) => rathole::start(program, directory, service),
            Peer::Dumbpipe(program) => dumbpipe(program, directory, service),
            Peer::Ockam(program) => ockam::start(program, service),
        }?;
        Tunnel::new(self.name(), Some("plain2"), &address, processes)
    }
}

/// Where a tunnel listens, and its processes, each with what it is.
type Started = (String, Vec<(&'static str, Process)>);

/// A port of loopback that was free a moment ago.
fn free_address() -> io::Result<String> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// Starts a program that says nothing of use, and waits until it listens at `address`.
fn listening(name: &'static str, command: &Command, address: &str) -> io::Result<Process> {
    let mut process = Process::spawn(name, command, Reading::Nothing)?;
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        if process.ended() || began.elapsed() > READY {
            return Err(io::Error::other(format!(
                "{name} does not listen at {address}"
            )));
        }
        sleep(Duration::from_millis(20));
    }
    Ok(process)
}

/// `dumbpipe listen-tcp` and `connect-tcp`: QUIC over loopback UDP.
fn dumbpipe(program: &Path, directory: &Path, service: &str) -> io::Result<Started> {
    let mut command = Command::new(program);
    // A home of its own: it keeps a key there.
    command
        .args(["listen-tcp", "--host", service])
        .env("HOME", directory);
    let far = Process::spawn("dumbpipe", &command, Reading::Errors)?;
    let ticket = far.find(|line| {
        let mut words = line.split_whitespace();
        words
            .find(|word| word.starts_with("endpoint") && word.len() > 50)
            .map(str::to_owned)
    })?;
    let address = free_address()?;
    let mut command = Command::new(program);
    command
        .args(["connect-tcp", "--addr", &address, &ticket])
        .env("HOME", directory);
    let near = listening("dumbpipe", &command, &address)?;
    Ok((address, vec![("connect", near), ("listen", far)]))
}
