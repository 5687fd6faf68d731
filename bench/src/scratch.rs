//! The run's own directory: removed at its end, also when a signal ends it.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use tokio::signal::unix::{SignalKind, signal};

/// A temporary directory of this process.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes it, and has it removed when SIGTERM, SIGINT or SIGHUP ends this process.
    pub(crate) fn new() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("swbench.{}", std::process::id()));
        std::fs::create_dir(&path)?;
        let scratch = Scratch(path);
        let watched = scratch.0.clone();
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || remove_on_signal(&watched))?;
        Ok(scratch)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A new directory in it.
    pub(crate) fn directory(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.0.join(name);
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left lies in the system's temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Ends the process on a signal. Without a runtime the signals keep their default action, which leaves the directory behind.
fn remove_on_signal(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let Ok(runtime) = runtime else { return };
    let code = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).ok()?;
        let mut interrupt = signal(SignalKind::interrupt()).ok()?;
        let mut hangup = signal(SignalKind::hangup()).ok()?;
        tokio::select! {
            _ = terminate.recv() => Some(128 + 15),
            _ = interrupt.recv() => Some(128 + 2),
            _ = hangup.recv() => Some(128 + 1),
        }
    });
    if let Some(code) = code {
        // What runs ends with us, by the kernel's hand.
        let _ = std::fs::remove_dir_all(path);
        std::process::exit(code);
    }
}
