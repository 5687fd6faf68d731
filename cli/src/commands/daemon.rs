//! What `node`, `relay` and `inlet` have in common: the home's identity, the control socket, events on stdout, and an
//! orderly end.

use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use sealway::channel::Channel;
use sealway::control::{Answer, Call, Changed, ControlServer, Method, Status};
use sealway::home::Home;
use sealway::keys::{PartyLoadError, load_parties};
use sealway::pins::Pins;
use sealway::store::Name;
use sealway::{Event, Node};
use sealway_core::channel::Suite;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use super::clock;
use super::name_of;
use super::party;
use super::serving::Serving;
use crate::args::values::Addr;
use crate::args::{Global, OwnIdentity};
use crate::error::{CliError, Result};
use crate::home;
use crate::output::{Output, shown};
use crate::signals::{Asked, Signals};

/// How long the node may take to end in order.
const END: Duration = Duration::from_secs(5);
/// Events that wait for a slow reader of stdout: 1,024, some 200 KiB; beyond, they are lost to it and counted.
const EVENTS: usize = 1_024;
/// Channels that a status tells of one by one, the newest: 256, some 32 KiB.
const CHANNELS: usize = 256;
/// How long the last events may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A long-running command under way.
pub(super) struct Daemon {
    /// Its node.
    pub(super) node: Node,
    /// Its home.
    pub(super) home: Home,
    /// Who is pinned, kept up to date.
    pub(super) pins: Pins,
    signals: Signals,
    handler: Arc<Handler>,
    control: ControlServer,
    teller: Teller,
}

/// Those who tell the node's events.
struct Teller {
    stop: oneshot::Sender<()>,
    /// For what does not happen in the node.
    told: SyncSender<Told>,
    /// How the writing went, at its end.
    written: Receiver<Result<()>>,
}

impl Daemon {
    /// Opens the home, loads the identity, starts a node and tells its events from then on.
    ///
    /// # Errors
    /// The home or the identity cannot be used, or there is no place for the control socket.
    pub(super) async fn start(
        command: &'static str,
        global: &Global,
        own: &OwnIdentity,
        output: Output,
    ) -> Result<Self> {
        Self::start_telling(command, global, own, output, Readiness::Result).await
    }

    /// The same, for a command that says otherwise where people read what became ready.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub(super) async fn start_telling(
        command: &'static str,
        global: &Global,
        own: &OwnIdentity,
        output: Output,
        readiness: Readiness,
    ) -> Result<Self> {
        let signals = Signals::new()
            .map_err(|error| CliError::failed(format!("cannot catch signals: {error}")))?;
        let home = home::open(global)?;
        clock::warn(&home, output);
        let name = own.identity.as_deref().map(name_of).transpose()?;
        let node = party::start_node(&home, name.as_ref()).await?;
        let pins = Pins::open(&home)?;
        let teller = tell(&node, output, readiness);
        let handler = Handler {
            command,
            since: Instant::now(),
            node: node.clone(),
            home: home.clone(),
            name,
            pins: pins.clone(),
            serving: OnceLock::new(),
        };
        let handler = Arc::new(handler);
        let answering = Arc::clone(&handler);
        let control = ControlServer::bind(&home, move |call| {
            let handler = Arc::clone(&answering);
            async move { handler.answer(&call).await }
        })
        .await
        .map_err(|error| {
            CliError::failed(format!("no control socket: {error}")).hint(error.hint())
        })?;
        Ok(Self {
            node,
            home,
            pins,
            signals,
            handler,
            control,
            teller,
        })
    }

    /// From now on `status` says what this process is for.
    pub(super) fn serves(&self, what: &Serving) {
        // Said once.
        let _ = self.handler.serving.set(what.described());
    }

    /// Listens at the addresses and goes on until a signal asks for the end, or `failure` says why it cannot.
    ///
    /// # Errors
    /// It cannot listen there, what `failure` says, or stdout is full or broken.
    pub(super) async fn listen_and_run(
        mut self,
        addresses: &[Addr],
        failure: impl Future<Output = CliError>,
    ) -> Result<()> {
        for address in addresses {
            let node = self.node.clone();
            let listening = async move { Ok(node.listen(&address.to_string()).await?) };
            match self.starting(listening).await {
                Ok(Some(_)) => {}
                Ok(None) => return self.end().await,
                Err(error) => return self.give_up(error).await,
            }
        }
        self.run_until(failure).await
    }

    /// Goes on until a signal asks for the end, and reloads when one asks for that.
    async fn until_asked(&mut self) {
        while self.signals.next().await == Asked::Reload {
            let told = match self.handler.reload().await {
                Ok(()) => Told::Reloaded,
                Err(error) => Told::NotReloaded(error),
            };
            pass_on(&self.teller.told, told);
        }
    }

    /// Ends in order because of a failure, which is the outcome.
    ///
    /// # Errors
    /// The failure.
    pub(super) async fn give_up(self, failure: CliError) -> Result<()> {
        let failure = clock::suspect(&self.home, failure);
        // The failure says more than what went wrong at the end.
        let _ = self.end().await;
        Err(failure)
    }

    /// Goes on until a signal asks for the end, or `failure` says why it cannot.
    ///
    /// # Errors
    /// What `failure` says, or stdout is full or broken.
    pub(super) async fn run_until(mut self, failure: impl Future<Output = CliError>) -> Result<()> {
        tokio::select! {
            () = self.until_asked() => self.end().await,
            error = failure => self.give_up(error).await,
        }
    }

    /// Ends at once if a signal asks for it while something is being started.
    ///
    /// # Errors
    /// What `starting` says.
    pub(super) async fn starting<T>(
        &mut self,
        starting: impl Future<Output = Result<T>>,
    ) -> Result<Option<T>> {
        tokio::select! {
            // What is being started has read everything just now.
            () = self.signals.end() => Ok(None),
            started = starting => started.map(Some),
        }
    }

    /// Ends in order, within [`END`] and [`LAST_WORDS`]; at once if it is asked for again.
    ///
    /// # Errors
    /// stdout was full or broken, or there was no time for an orderly end.
    pub(super) async fn end(mut self) -> Result<()> {
        drop(self.control);
        let in_order = tokio::select! {
            () = self.node.shutdown(END) => Ok(()),
            () = self.signals.end() => Err(CliError::failed("ended at once, as it was asked for twice")),
        };
        let Teller {
            stop,
            told,
            written,
        } = self.teller;
        drop(told);
        // Gone already if stdout is broken.
        let _ = stop.send(());
        let written = tokio::task::spawn_blocking(move || written.recv_timeout(LAST_WORDS)).await;
        match written {
            Ok(Ok(written)) => in_order.and(written),
            // The reader of stdout does not read: its loss.
            _ => in_order,
        }
    }
}

/// What is told.
enum Told {
    /// Something happened in the node.
    Event(Event),
    /// What others may have changed was read again.
    Reloaded,
    /// That failed.
    NotReloaded(String),
}

/// Starts telling the node's events, until told to stop: then those that have happened are still told.
fn tell(node: &Node, output: Output, readiness: Readiness) -> Teller {
    let (told, events) = mpsc::sync_channel(EVENTS);
    let sender = told.clone();
    let (done, written) = mpsc::channel();
    let (stop, mut stopped) = oneshot::channel();
    let mut source = node.events();
    tokio::spawn(async move {
        loop {
            let received = tokio::select! {
                biased;
                received = source.recv() => received,
                _ = &mut stopped => return,
            };
            match received {
                Ok(event) => pass_on(&sender, Told::Event(event)),
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "events came faster than they could be told");
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
    // A thread of its own: a reader of stdout that stands still holds up nothing else.
    thread::spawn(move || {
        let mut last = String::new();
        let outcome = events
            .iter()
            .try_for_each(|event| write_event(&event, output, readiness, &mut last));
        // Nobody waits if the end was not in order.
        let _ = done.send(outcome);
    });
    Teller {
        stop,
        told,
        written,
    }
}

fn pass_on(to: &SyncSender<Told>, told: Told) {
    if to.try_send(told).is_err() {
        tracing::warn!("an event was not told: nobody reads stdout");
    }
}

/// What people were told last they are not told again at once: a peer comes by several channels.
fn write_event(told: &Told, output: Output, readiness: Readiness, last: &mut String) -> Result<()> {
    let (human, json) = told.described();
    match human {
        Line::Result(text) if readiness == Readiness::Result => {
            output.event(Some(&shown(&text)), &json)
        }
        Line::Result(text) | Line::Note(text) => {
            if !output.json() && text != *last {
                output.note(&shown(&text));
                *last = text;
            }
            output.event(None, &json)
        }
    }
}

/// Where lines for people go that tell what became ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readiness {
    /// To stdout.
    Result,
    /// To stderr: the command's only result is another.
    Note,
}

/// Where a line for people goes: what became ready is a result, everything else a note.
enum Line {
    Result(String),
    Note(String),
}

impl Told {
    fn described(&self) -> (Line, Value) {
        match self {
            Self::Event(event) => described(event),
            Self::Reloaded => (
                Line::Note("read again: identity, peers".to_owned()),
                json!({"event": "reloaded"}),
            ),
            Self::NotReloaded(why) => (
                Line::Note(format!("not read again: {why}")),
                json!({"event": "not_reloaded", "why": why}),
            ),
        }
    }
}

fn described(event: &Event) -> (Line, Value) {
    match event {
        Event::Listening { transport, address } => (
            Line::Result(format!("listening on {transport} {address}")),
            json!({"event": "listening", "transport": transport, "address": address}),
        ),
        Event::Ready {
            address,
            suite,
            is_native,
        } => (
            Line::Result(format!("ready on {address}")),
            json!({
                "event": "ready",
                "address": address,
                "suite": suite.map(Suite::name),
                "portal": if *is_native { "native" } else { "ockam" },
            }),
        ),
        Event::Registered {
            relay,
            address,
            suite,
        } => (
            Line::Result(format!("reachable through {relay} as {address}")),
            json!({"event": "ready", "address": address, "relay": relay, "suite": suite.name()}),
        ),
        Event::Peer { identifier, suite } => (
            Line::Note(format!("peer {identifier} ({suite})")),
            json!({"event": "peer", "identifier": identifier.to_string(), "suite": suite.name()}),
        ),
        Event::Redeemed {
            identifier,
            resource,
        } => (
            Line::Note(format!("{identifier} has redeemed a ticket for {resource}")),
            json!({"event": "redeemed", "identifier": identifier.to_string(), "resource": resource}),
        ),
        Event::Lost { what, why } => (
            Line::Note(format!("lost {what}: {why}")),
            json!({"event": "lost", "what": what, "why": why}),
        ),
        Event::Restored { what } => (
            Line::Note(format!("restored {what}")),
            json!({"event": "restored", "what": what}),
        ),
        Event::Refused { why } => (
            Line::Note(format!("refused: {why}")),
            json!({"event": "refused", "why": why}),
        ),
        other => (
            Line::Note(format!("{other:?}")),
            json!({"event": "other", "text": format!("{other:?}")}),
        ),
    }
}

/// Answers at the control socket.
struct Handler {
    command: &'static str,
    since: Instant,
    node: Node,
    home: Home,
    name: Option<Name>,
    pins: Pins,
    /// What the process is for, once that stands.
    serving: OnceLock<Value>,
}

impl Handler {
    async fn answer(&self, call: &Call) -> Answer {
        if call.is(Method::Get, "/status") {
            return Answer::ok(self.status().to_string());
        }
        match call.changed() {
            Some(Changed::Identities) => self.reload_identity().await,
            Some(Changed::Clock) => match self.home.clock().accept_machine_time().await {
                // What was signed in the future is signed anew.
                Ok(_) => self.reload_identity().await,
                Err(fault) => failed("the clock", &fault),
            },
            Some(Changed::Peers) => match self.pins.reload(&self.node) {
                Ok(()) => Answer::ok(""),
                Err(fault) => failed("peers", &fault),
            },
            _ => Answer::failed(Status::NotFound),
        }
    }

    async fn reload_identity(&self) -> Answer {
        match self.read_identity().await {
            Ok(()) => Answer::ok(""),
            Err(error) => failed("identity", &error),
        }
    }

    async fn read_identity(&self) -> std::result::Result<(), PartyLoadError> {
        let parties = load_parties(&self.home, self.name.as_ref(), &[]).await?;
        self.node.set_identity(parties);
        Ok(())
    }

    /// Reads again what the home holds: for changes that nobody has told of.
    async fn reload(&self) -> std::result::Result<(), String> {
        let peers = self.pins.reload(&self.node);
        self.read_identity()
            .await
            .map_err(|error| format!("identity: {error}"))?;
        peers.map_err(|fault| format!("peers: {fault}"))
    }

    fn status(&self) -> Value {
        let counters: serde_json::Map<String, Value> = self
            .node
            .counters()
            .snapshot()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        let mut channels = self.node.channels();
        channels.sort_by_key(Channel::age);
        json!({
            "pid": std::process::id(),
            "command": self.command,
            "serves": self.serving.get(),
            "version": env!("CARGO_PKG_VERSION"),
            "identifier": self.node.identifier().map(|own| own.to_string()),
            "seconds": self.since.elapsed().as_secs(),
            "connections": self.node.links().len(),
            "suites": suites(&channels),
            "channels": channels.iter().take(CHANNELS).map(described_channel).collect::<Vec<_>>(),
            "counters": counters,
        })
    }
}

/// How many channels there are of each suite.
fn suites(channels: &[Channel]) -> Value {
    let count = |suite: Suite| {
        channels
            .iter()
            .filter(|channel| channel.suite() == suite)
            .count()
    };
    let counts = Suite::ALL.map(|suite| (suite.name().to_owned(), Value::from(count(suite))));
    Value::Object(counts.into_iter().collect())
}

fn described_channel(channel: &Channel) -> Value {
    json!({
        "identifier": channel.peer().to_string(),
        "suite": channel.suite().name(),
        "seconds": channel.age().as_secs(),
    })
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Answer {
    tracing::warn!(what, %error, "a change could not be taken up");
    Answer::failed(Status::InternalServerError)
}
