//! What `node`, `relay` and `inlet` have in common: the home's identity, the control socket, events on stdout, and an
//! orderly end.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use sealway::control::{Answer, Call, Changed, ControlServer, Method, Status};
use sealway::home::Home;
use sealway::keys::load_parties;
use sealway::store::Name;
use sealway::{Event, Node};
use sealway_core::channel::Suite;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::oneshot;

use super::clock;
use super::name_of;
use super::party::{self, Pins};
use crate::args::values::Addr;
use crate::args::{Global, OwnIdentity};
use crate::error::{CliError, Result};
use crate::home;
use crate::output::{Output, shown};
use crate::signals::Shutdown;

/// How long the node may take to end in order.
const END: Duration = Duration::from_secs(5);
/// Events that wait for a slow reader of stdout: 1,024, some 200 KiB; beyond, they are lost to it and counted.
const EVENTS: usize = 1_024;
/// How long the last events may take to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A long-running command under way.
pub(super) struct Daemon {
    /// Its node.
    pub(super) node: Node,
    /// Its home.
    pub(super) home: Home,
    /// Who is pinned, kept up to date.
    pub(super) pins: Arc<Pins>,
    shutdown: Shutdown,
    control: ControlServer,
    teller: Teller,
}

/// Those who tell the node's events.
struct Teller {
    stop: oneshot::Sender<()>,
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
        let shutdown = Shutdown::new()
            .map_err(|error| CliError::failed(format!("cannot catch signals: {error}")))?;
        let home = home::open(global)?;
        clock::warn(&home, output);
        let name = own.identity.as_deref().map(name_of).transpose()?;
        let node = party::start_node(&home, name.as_ref()).await?;
        let pins = Arc::new(Pins::load(&home)?);
        let teller = tell(&node, output);
        let handler = Handler {
            command,
            since: Instant::now(),
            node: node.clone(),
            home: home.clone(),
            name,
            pins: Arc::clone(&pins),
        };
        let handler = Arc::new(handler);
        let control = ControlServer::bind(&home, move |call| {
            let handler = Arc::clone(&handler);
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
            shutdown,
            control,
            teller,
        })
    }

    /// Listens at the addresses and goes on until a signal asks for the end.
    ///
    /// # Errors
    /// It cannot listen there, or stdout is full or broken.
    pub(super) async fn listen_and_run(mut self, addresses: &[Addr]) -> Result<()> {
        for address in addresses {
            let node = self.node.clone();
            let listening = async move { Ok(node.listen(&address.to_string()).await?) };
            match self.starting(listening).await {
                Ok(Some(_)) => {}
                Ok(None) => return self.end().await,
                Err(error) => return self.give_up(error).await,
            }
        }
        self.shutdown.asked().await;
        self.end().await
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
            () = self.shutdown.asked() => self.end().await,
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
            () = self.shutdown.asked() => Ok(None),
            started = starting => started.map(Some),
        }
    }

    /// Ends in order.
    ///
    /// # Errors
    /// stdout was full or broken.
    pub(super) async fn end(self) -> Result<()> {
        drop(self.control);
        self.node.shutdown(END).await;
        let Teller { stop, written } = self.teller;
        // Gone already if stdout is broken.
        let _ = stop.send(());
        let written = tokio::task::spawn_blocking(move || written.recv_timeout(LAST_WORDS)).await;
        match written {
            Ok(Ok(written)) => written,
            // The reader of stdout does not read: its loss.
            _ => Ok(()),
        }
    }
}

/// Starts telling the node's events, until told to stop: then those that have happened are still told.
fn tell(node: &Node, output: Output) -> Teller {
    let (sender, events) = mpsc::sync_channel(EVENTS);
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
                Ok(event) => pass_on(&sender, event),
                Err(RecvError::Lagged(lost)) => {
                    tracing::warn!(lost, "events came faster than they could be told");
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
    // A thread of its own: a reader of stdout that stands still holds up nothing else.
    thread::spawn(move || {
        let outcome = events
            .iter()
            .try_for_each(|event| write_event(&event, output));
        // Nobody waits if the end was not in order.
        let _ = done.send(outcome);
    });
    Teller { stop, written }
}

fn pass_on(to: &SyncSender<Event>, event: Event) {
    if to.try_send(event).is_err() {
        tracing::warn!("an event was not told: nobody reads stdout");
    }
}

fn write_event(event: &Event, output: Output) -> Result<()> {
    let (human, json) = described(event);
    match human {
        Line::Result(text) => output.event(Some(&shown(&text)), &json),
        Line::Note(text) => {
            if !output.json() {
                output.note(&shown(&text));
            }
            output.event(None, &json)
        }
    }
}

/// Where a line for people goes: what became ready is a result, everything else a note.
enum Line {
    Result(String),
    Note(String),
}

fn described(event: &Event) -> (Line, Value) {
    match event {
        Event::Listening { transport, address } => (
            Line::Result(format!("listening on {transport} {address}")),
            json!({"event": "listening", "transport": transport, "address": address}),
        ),
        Event::Ready { address, suite } => (
            Line::Result(format!("ready on {address}")),
            json!({"event": "ready", "address": address, "suite": suite.map(Suite::name)}),
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
        Event::Lost { what, why } => (
            Line::Note(format!("lost {what}: {why}")),
            json!({"event": "lost", "what": what, "why": why}),
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
    pins: Arc<Pins>,
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
            Some(Changed::Peers) => match self.pins.reload(&self.home) {
                Ok(()) => Answer::ok(""),
                Err(fault) => failed("peers", &fault),
            },
            _ => Answer::failed(Status::NotFound),
        }
    }

    async fn reload_identity(&self) -> Answer {
        match load_parties(&self.home, self.name.as_ref(), &[]).await {
            Ok(parties) => {
                self.node.set_identity(parties);
                Answer::ok("")
            }
            Err(error) => failed("identity", &error),
        }
    }

    fn status(&self) -> Value {
        let counters: serde_json::Map<String, Value> = self
            .node
            .counters()
            .snapshot()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        json!({
            "pid": std::process::id(),
            "command": self.command,
            "version": env!("CARGO_PKG_VERSION"),
            "identifier": self.node.identifier().map(|own| own.to_string()),
            "seconds": self.since.elapsed().as_secs(),
            "connections": self.node.links().len(),
            "counters": counters,
        })
    }
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Answer {
    tracing::warn!(what, %error, "a change could not be taken up");
    Answer::failed(Status::InternalServerError)
}
