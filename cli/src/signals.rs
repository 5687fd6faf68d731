//! The signals that end a long-running command in order.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM, SIGINT and SIGHUP, caught from the moment this exists.
pub(crate) struct Shutdown {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Shutdown {
    /// Catches the signals from now on. Needs the runtime.
    ///
    /// # Errors
    /// The system has no room for another handler.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next of them.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
