//! What only somebody who looks at a terminal sees: a line that tells how it goes, and texts as QR codes.

mod line;
mod progress;
pub(crate) mod qr;

pub(crate) use line::{Beside, beside};
pub(crate) use progress::{Progress, Reading};

use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;

/// Columns of a terminal that does not say.
const COLUMNS: usize = 80;

/// How many columns the terminal there has.
fn columns(of: impl AsFd) -> usize {
    match tcgetwinsize(of) {
        Ok(size) if size.ws_col > 0 => size.ws_col.into(),
        _ => COLUMNS,
    }
}

/// Whether the terminal can do no more than print.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|value| value == "dumb")
}
