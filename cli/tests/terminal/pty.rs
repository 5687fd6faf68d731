//! A pseudo-terminal (pty(7)): what a command writes to one end is read at the other.

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::support::DEADLINE;

/// A terminal that somebody looks at.
pub(crate) struct Terminal {
    end: File,
    shown: Receiver<String>,
    /// What has been shown and not been looked at.
    next: RefCell<String>,
}

impl Terminal {
    /// One of so many columns.
    pub(crate) fn new(columns: u16) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize {
            ws_row: 40,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let end = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
            .open(name.to_str().unwrap())
            .unwrap();
        let (sender, shown) = mpsc::channel();
        let mut screen = File::from(master);
        thread::spawn(move || {
            let mut chunk = [0; 4_096];
            // Fails once the other end is closed everywhere.
            while let Ok(read @ 1..) = screen.read(&mut chunk) {
                let text = String::from_utf8_lossy(&chunk[..read]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        Self {
            end,
            shown,
            next: RefCell::default(),
        }
    }

    /// The end for a command.
    pub(crate) fn end(&self) -> File {
        self.end.try_clone().unwrap()
    }

    /// What is shown up to `text`, which is its end.
    ///
    /// # Panics
    /// It does not come.
    pub(crate) fn until(&self, text: &str) -> String {
        let until = Instant::now() + DEADLINE;
        let mut next = self.next.borrow_mut();
        loop {
            if let Some(start) = next.find(text) {
                let rest = next.split_off(start + text.len());
                return std::mem::replace(&mut *next, rest);
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(more) => next.push_str(&more),
                Err(_) => panic!("{text:?} is not shown, but: {next:?}"),
            }
        }
    }

    /// What was shown before and has not been looked at.
    pub(crate) fn rest(&self) -> String {
        // A terminal keeps the order.
        rustix::io::write(&self.end, b"\x04").unwrap();
        self.until("\u{4}").trim_end_matches('\u{4}').to_owned()
    }
}
