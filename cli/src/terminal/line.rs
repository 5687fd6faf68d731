//! The line below everything else that a command prints: replaced in place, and out of the way while something else is written.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// To the start of the line, and nothing left of it (ECMA-48, EL).
const ERASE: &str = "\r\u{1b}[K";

/// What the line says, while there is one. It stands on stderr.
static LINE: Mutex<Option<String>> = Mutex::new(None);

fn lock() -> MutexGuard<'static, Option<String>> {
    LINE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn put(text: &str) {
    let mut stderr = io::stderr().lock();
    // The terminal is gone: nothing to be shown, and nothing depends on it.
    let _ = stderr
        .write_all(text.as_bytes())
        .and_then(|()| stderr.flush());
}

/// Makes the line say `text`, or takes it away.
pub(super) fn show(text: Option<String>) {
    let mut line = lock();
    if *line == text {
        return;
    }
    put(&format!("{ERASE}{}", text.as_deref().unwrap_or_default()));
    *line = text;
}

/// Writes something to the terminal that the line stands on: the line makes room and comes back below.
pub(crate) fn beside<T>(write: impl FnOnce() -> T) -> T {
    let line = lock();
    if line.is_some() {
        put(ERASE);
    }
    let written = write();
    if let Some(text) = &*line {
        put(text);
    }
    written
}

/// Stderr for the log: whole lines, beside the line.
#[derive(Debug, Default)]
pub(crate) struct Beside;

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        beside(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
