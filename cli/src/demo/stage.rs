//! The stage of the demo: a private service, `expose` beside it with no open port, an untrusted relay, `connect` beside the
//! client with the ticket, and a recording proxy on either side of the relay.
//!
//! ```text
//! service <- expose -> [proxy] -> relay <- [proxy] <- connect <- client
//! ```

use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sealway_core::ticket::{Reach, Ticket};
use sealway_core::wire::{MultiAddr, Protocol};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fetch::{self, Got};
use super::process::{Process, Program};
use super::proxy::Proxy;
use super::scan::Needles;
use super::service::{self, FILE, HELLO, Service};

/// Length of the generated file in bytes.
const GENERATED: u64 = 64 << 20;
/// How long a process may take until it is ready.
pub(super) const READY: Duration = Duration::from_secs(60);
/// How long a short command may take.
const SHORT: Duration = Duration::from_secs(60);
/// What the service is exposed as.
const NAME: &str = "files";
/// The address that this has behind the channel, which a stranger may know.
const OUTLET: &str = "exposed_files";

/// What the demo works on. Ends its processes and removes its directory with its value.
#[derive(Debug)]
pub(super) struct Stage {
    /// How processes are started.
    pub(super) program: Program,
    /// The private file.
    pub(super) file: PrivateFile,
    /// What is looked for in what the relay sees.
    pub(super) needles: Arc<Needles>,
    /// The private service.
    pub(super) service: Service,
    /// The relay.
    pub(super) relay: Process,
    /// Where the relay listens.
    pub(super) relay_address: SocketAddr,
    /// Between the exposer and the relay.
    pub(super) exposer_side: Proxy,
    /// Between the client and the relay.
    pub(super) client_side: Proxy,
    /// `expose`, beside the service.
    pub(super) exposer: Process,
    /// What it printed, and what the client redeemed; it leads the client to the proxy on its side.
    pub(super) ticket: Ticket,
    /// The file that the ticket is in.
    pub(super) ticket_file: PathBuf,
    /// `connect`, beside the client.
    pub(super) connector: Process,
    /// Where the service appears to the client.
    pub(super) entry: SocketAddr,
    /// The suites that exposer and client name in their events.
    pub(super) suites: [String; 2],
    /// Removed at last.
    pub(super) directory: Directory,
}

/// The file that nobody but the client is to see.
#[derive(Debug)]
pub(super) struct PrivateFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its length in bytes.
    pub(super) len: u64,
    /// Its SHA-256.
    pub(super) sha256: [u8; 32],
}

/// A directory of the demo's own, removed with its value unless it is kept.
#[derive(Debug)]
pub(super) struct Directory {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Whether it is to stay.
    pub(super) keep: bool,
}

impl Directory {
    /// Makes a directory that only this user can enter, below the directory for temporary files.
    ///
    /// # Errors
    /// It cannot be made.
    pub(super) fn new(keep: bool) -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("sealway-demo-{:016x}", random()));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path, keep })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep {
            // What cannot be removed is in the directory for temporary files, where it may be removed.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

/// A number that differs from run to run: names and file contents, nothing that must be secret.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl PrivateFile {
    /// Takes `given`, or writes 64 MiB of text into `directory`.
    ///
    /// # Errors
    /// The file cannot be read or written.
    pub(super) fn prepare(given: Option<&Path>, directory: &Path) -> io::Result<Self> {
        let path = match given {
            Some(path) => path.canonicalize()?,
            None => {
                let path = directory.join("private.txt");
                let marker = format!("CONFIDENTIAL-{:016x}", random());
                service::write_private_text(&path, GENERATED, &marker, random())?;
                path
            }
        };
        if !path.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let mut file = File::open(&path)?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 1 << 20];
        let mut len = 0;
        loop {
            let read = file.read(&mut chunk)?;
            if read == 0 {
                break;
            }
            hash.update(&chunk[..read]);
            len += read as u64;
        }
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is empty"));
        }
        Ok(Self {
            path,
            len,
            sha256: hash.finalize().into(),
        })
    }
}

impl Stage {
    /// Starts everything.
    ///
    /// # Errors
    /// Something did not start; the text says what.
    pub(super) async fn set(directory: Directory, file: PrivateFile) -> Result<Self, String> {
        let program = Program::new(&directory.path).map_err(said("this executable"))?;
        let needles = needles(&file).map_err(said("the private file"))?;
        let service = Service::start(file.path.clone())
            .await
            .map_err(said("the private service"))?;

        let mut relay = program
            .start(
                "relay",
                "relay",
                &["relay", "--listen", "127.0.0.1:0"],
                false,
            )
            .map_err(said("the relay"))?;
        let relay_address = address_of(&mut relay, "listening").await?;
        let exposer_side = Proxy::start(relay_address, &needles)
            .await
            .map_err(said("the proxy"))?;
        let client_side = Proxy::start(relay_address, &needles)
            .await
            .map_err(said("the proxy"))?;

        let via = exposer_side.address.to_string();
        let mut exposer = start_expose(&program, &via, service.address, NAME, false)?;
        let mut ticket = ticket_of(&mut exposer).await?;
        // The recorder on the client's side stands where the ticket says that the relay is.
        lead_to(&mut ticket, client_side.address)?;
        let ticket_file = directory.path.join("ticket");
        write_ticket(&ticket_file, &ticket)?;
        let mut connector = start_connect(&program, "client", "connect", &ticket_file, false)?;
        let ready = connector
            .event("ready", READY)
            .await
            .map_err(said("connect"))?;
        let entry = address_in(&ready)?;
        let peer = exposer.event("peer", READY).await.map_err(said("expose"))?;
        let suites =
            [&peer, &ready].map(|event| event["suite"].as_str().unwrap_or("none").to_owned());
        Ok(Self {
            program,
            file,
            needles,
            service,
            relay,
            relay_address,
            exposer_side,
            client_side,
            exposer,
            ticket,
            ticket_file,
            connector,
            entry,
            suites,
            directory,
        })
    }

    /// Gets something as the client does.
    pub(super) async fn get(&self, path: &str, deadline: Duration) -> Got {
        fetch::get(self.entry, path, &self.needles, deadline).await
    }

    /// Gets the private file and says whether it is what the service has.
    pub(super) async fn fetch_file(&self, deadline: Duration) -> Result<fetch::Body, String> {
        match self.get(FILE, deadline).await {
            Got::Whole(body) if body.sha256 == self.file.sha256 => Ok(body),
            Got::Whole(body) => Err(format!(
                "{} bytes arrived as if they were the file, with SHA-256 {} instead of {}",
                body.len,
                hex(&body.sha256),
                hex(&self.file.sha256)
            )),
            Got::Broken { received, why } => Err(format!(
                "only {received} of {} bytes arrived: {why}",
                self.file.len
            )),
        }
    }

    /// The route by which a stranger would reach an address behind the exposer's listener.
    pub(super) fn route(&self, service: &str) -> String {
        let ticket = &self.ticket;
        let mut route = MultiAddr::new();
        if let [reach, ..] = ticket.reaches.as_slice() {
            route = reach.to_listener(&ticket.exposer, ticket.suite.listener());
        }
        route.push(Protocol::Service(service.to_owned()));
        route.to_string()
    }

    /// The route to the exposed service.
    pub(super) fn route_to_service(&self) -> String {
        self.route(OUTLET)
    }

    /// The processes of a party, as `sealway status` shows them.
    pub(super) async fn processes(&self, home: &str) -> Result<Vec<Value>, String> {
        let ran = self
            .program
            .run(home, &["status"], SHORT)
            .await
            .map_err(said("status"))?;
        let status: Value = serde_json::from_str(&ran.stdout)
            .map_err(|_| format!("status of {home} printed no JSON: {}", ran.stderr.trim()))?;
        let processes = status["processes"].as_array().cloned();
        processes.ok_or_else(|| "status names no processes".to_owned())
    }

    /// The sum of some counters over all processes of a party.
    pub(super) async fn counters(&self, home: &str, names: &[&str]) -> Result<u64, String> {
        let processes = self.processes(home).await?;
        let count = |name: &&str| -> u64 {
            processes
                .iter()
                .filter_map(|process| process["counters"][*name].as_u64())
                .sum()
        };
        Ok(names.iter().map(count).sum())
    }

    /// Waits until such a sum has reached `least`; the last sum seen.
    pub(super) async fn counters_reach(
        &self,
        home: &str,
        names: &[&str],
        least: u64,
        deadline: Duration,
    ) -> Result<u64, String> {
        let until = tokio::time::Instant::now() + deadline;
        loop {
            let sum = self.counters(home, names).await?;
            if sum >= least || tokio::time::Instant::now() >= until {
                return Ok(sum);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a party has so many channels.
    pub(super) async fn channels_reach(
        &self,
        home: &str,
        least: usize,
        deadline: Duration,
    ) -> Result<(), String> {
        let until = tokio::time::Instant::now() + deadline;
        loop {
            let processes = self.processes(home).await?;
            let channels = processes
                .iter()
                .filter_map(|process| process["channels"].as_array());
            let channels: usize = channels.map(Vec::len).sum();
            if channels >= least {
                return Ok(());
            }
            if tokio::time::Instant::now() >= until {
                return Err(format!(
                    "{home} has {channels} channels in place of {least}"
                ));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends the processes in order; whether each ended with exit code 0.
    pub(super) async fn strike(self) -> (Vec<(&'static str, bool)>, Directory) {
        let ended = vec![
            ("connect", self.connector.end().await),
            ("expose", self.exposer.end().await),
            ("relay", self.relay.end().await),
        ];
        (ended, self.directory)
    }
}

fn needles(file: &PrivateFile) -> io::Result<Arc<Needles>> {
    let requests = [
        format!("GET {FILE} HTTP/1.1\r\nHost: "),
        format!("GET {HELLO} HTTP/1.1\r\nHost: "),
    ];
    let mut texts: Vec<&[u8]> = requests.iter().map(String::as_bytes).collect();
    texts.push(service::GREETING.as_bytes());
    texts.push(b"Content-Type: application/octet-stream");
    let mut source = File::open(&file.path)?;
    Needles::from_file(&mut source, file.len, &texts).map(Arc::new)
}

/// Starts `expose` beside a service.
pub(super) fn start_expose(
    program: &Program,
    via: &str,
    service: SocketAddr,
    name: &str,
    kept: bool,
) -> Result<Process, String> {
    let target = service.to_string();
    let arguments = ["expose", &target, "--via", via, "--name", name];
    program
        .start("exposer", "expose", &arguments, kept)
        .map_err(said("expose"))
}

/// The ticket that `expose` prints.
pub(super) async fn ticket_of(exposer: &mut Process) -> Result<Ticket, String> {
    let event = exposer
        .event("ticket", READY)
        .await
        .map_err(said("expose"))?;
    let text = event["ticket"].as_str().unwrap_or_default();
    Ticket::parse(text).map_err(|error| format!("expose printed no ticket: {error}"))
}

/// Has a ticket lead to another address than the relay's own.
fn lead_to(ticket: &mut Ticket, address: SocketAddr) -> Result<(), String> {
    let there: MultiAddr = format!("/ip4/{}/tcp/{}", address.ip(), address.port())
        .parse()
        .map_err(|_| format!("{address} is no address for a ticket"))?;
    for reach in &mut ticket.reaches {
        let (Reach::Direct(address) | Reach::Relay { relay: address, .. }) = reach;
        *address = there.clone();
    }
    Ok(())
}

/// Writes a ticket where only this user can read it: in arguments others would see it.
pub(super) fn write_ticket(path: &Path, ticket: &Ticket) -> Result<(), String> {
    let text = ticket.to_text().map_err(|error| error.to_string())?;
    File::options()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(said("the ticket"))
}

/// Starts `connect` with the ticket in a file.
pub(super) fn start_connect(
    program: &Program,
    home: &str,
    label: &str,
    ticket: &Path,
    kept: bool,
) -> Result<Process, String> {
    let ticket = format!("@{}", ticket.display());
    let arguments = ["connect", &ticket, "--listen", "127.0.0.1:0"];
    program
        .start(home, label, &arguments, kept)
        .map_err(said("connect"))
}

/// Starts an inlet.
pub(super) fn start_inlet(
    program: &Program,
    home: &str,
    label: &str,
    to: &str,
    expect: &str,
) -> Result<Process, String> {
    let listen = "127.0.0.1:0";
    let arguments = ["inlet", "--listen", listen, "--to", to, "--expect", expect];
    program
        .start(home, label, &arguments, false)
        .map_err(said("the inlet"))
}

/// Makes an identity in a party's home; its identifier.
pub(super) async fn create_identity(program: &Program, home: &str) -> Result<String, String> {
    let ran = program
        .run(home, &["identity", "create"], SHORT)
        .await
        .map_err(said("identity create"))?;
    let made: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    made["identifier"]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("identity create failed: {}", ran.stderr.trim()))
}

/// The address in a process's next event of that name.
pub(super) async fn address_of(process: &mut Process, event: &str) -> Result<SocketAddr, String> {
    let event = process
        .event(event, READY)
        .await
        .map_err(|error| error.to_string())?;
    address_in(&event)
}

fn address_in(event: &Value) -> Result<SocketAddr, String> {
    let address = event["address"].as_str().unwrap_or_default();
    address
        .parse()
        .map_err(|_| format!("{address:?} is no address to connect to"))
}

/// Names what a failure was about.
pub(super) fn said(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
