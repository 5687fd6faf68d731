//! The signals that a long-running command obeys.

use std::fs::File;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To end in order.
    End,
    /// To read again what others may have changed.
    Reload,
}

/// SIGTERM, SIGINT and SIGHUP, caught from the moment this exists.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    /// None if it was ignored when we began: nohup(1) means that it stays so.
    hangup: Option<Signal>,
    /// SIGHUP means that the terminal has gone.
    on_terminal: bool,
}

impl Signals {
    /// Catches the signals from now on. Needs the runtime.
    ///
    /// # Errors
    /// The system has no room for another handler.
    pub(crate) fn new() -> io::Result<Self> {
        let hangup = if ignores_hangup() {
            None
        } else {
            Some(signal(SignalKind::hangup())?)
        };
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup,
            // Only a process with a controlling terminal can open it (tty(4)).
            on_terminal: File::open("/dev/tty").is_ok(),
        })
    }

    /// Waits for the next of them. SIGHUP ends whoever may have lost a terminal by it, and reloads a daemon.
    pub(crate) async fn next(&mut self) -> Asked {
        let Self {
            terminate,
            interrupt,
            hangup,
            on_terminal,
        } = self;
        let hung_up = async {
            match hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => Asked::End,
            _ = interrupt.recv() => Asked::End,
            _ = hung_up => if *on_terminal { Asked::End } else { Asked::Reload },
        }
    }

    /// Waits until one asks for the end.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Asked::End {}
    }
}

/// Whether SIGHUP is ignored (proc_pid_status(5), `SigIgn`, whose lowest bit is signal 1). Where the system does not tell, it is not.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}
