//! Negative controls: switches that turn a single check off, so that a test of that check can be
//! seen to fail.
//!
//! This module exists only in builds made with `--cfg sealway_weaken`; no ordinary build contains
//! it or any of the places that ask it.

use core::sync::atomic::{AtomicU8, Ordering};

/// The checks that have been switched off in this process, one bit each.
static OFF: AtomicU8 = AtomicU8::new(0);

/// A check that can be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Check {
    /// `encryption`: records and handshake messages leave in plaintext under a tag of zeros.
    Encryption,
    /// `tag`: records are opened whatever their tag is.
    Tag,
    /// `replay_window`: a nonce may come any number of times.
    ReplayWindow,
    /// `trust`: any identity is admitted.
    Trust,
    /// `recovery`: a lost path is not rebuilt.
    Recovery,
    /// `stream_integrity`: gaps, counters and unclean ends of a byte stream go unnoticed.
    StreamIntegrity,
    /// `ticket_uses`: a ticket may be redeemed by any number of identities.
    TicketUses,
    /// `suite`: exposures and their tickets speak the reference's suite.
    Suite,
}

impl Check {
    /// All checks there are.
    pub const ALL: [Self; 8] = [
        Self::Encryption,
        Self::Tag,
        Self::ReplayWindow,
        Self::Trust,
        Self::Recovery,
        Self::StreamIntegrity,
        Self::TicketUses,
        Self::Suite,
    ];

    /// The name by which [`set`] knows this check.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Encryption => "encryption",
            Self::Tag => "tag",
            Self::ReplayWindow => "replay_window",
            Self::Trust => "trust",
            Self::Recovery => "recovery",
            Self::StreamIntegrity => "stream_integrity",
            Self::TicketUses => "ticket_uses",
            Self::Suite => "suite",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Whether `check` has been switched off in this process.
#[must_use]
pub fn off(check: Check) -> bool {
    OFF.load(Ordering::Relaxed) & check.bit() != 0
}

/// Switches the check of this name off, for the rest of the process; false if there is none.
pub fn set(name: &str) -> bool {
    let check = Check::ALL.into_iter().find(|check| check.name() == name);
    if let Some(check) = check {
        OFF.fetch_or(check.bit(), Ordering::Relaxed);
    }
    check.is_some()
}
