//! Wall time that never goes back: a clock set back does not un-expire anything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _};
use sealway_core::UnixSeconds;

use super::Store;
use super::fault::StoreFault;
use super::writer::{After, Pending};

/// A group of writes stores the time only if it has moved on by so many seconds: a clock set back
/// across a restart gains at most as much.
const STORE_EVERY: u64 = 10;

/// The highest wall time that this home has seen, in memory and on the disk.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    highest: AtomicU64,
    stored: AtomicU64,
}

impl WallClock {
    /// Continues from what the state file says.
    pub(crate) fn load(connection: &Connection) -> Result<Self, StoreFault> {
        let stored: Option<i64> = connection
            .query_row(
                "SELECT value FROM settings WHERE key = 'highest_wall_time'",
                [],
                |row| row.get(0),
            )
            .optional()?;
        let stored = stored.unwrap_or(0).unsigned_abs();
        Ok(Self {
            highest: AtomicU64::new(stored),
            stored: AtomicU64::new(stored),
        })
    }

    fn observe(&self, now: UnixSeconds) -> UnixSeconds {
        // SQLite's integers are signed.
        let now = now.0.min(i64::MAX.unsigned_abs());
        UnixSeconds(self.highest.fetch_max(now, Ordering::Relaxed).max(now))
    }

    /// Writes the time into the transaction if it has moved on; gives what was written.
    pub(crate) fn write_if_due(&self, transaction: &Connection) -> Result<Option<u64>, StoreFault> {
        let highest = self.observe(system_time()).0;
        let stored = self.stored.load(Ordering::Relaxed);
        if highest < stored.saturating_add(STORE_EVERY) {
            return Ok(None);
        }
        transaction
            .prepare_cached(
                "INSERT INTO settings (key, value) VALUES ('highest_wall_time', ?1)
                 ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)",
            )?
            .execute([highest.cast_signed()])?;
        Ok(Some(highest))
    }

    /// The transaction that [`WallClock::write_if_due`] wrote into is on the disk.
    pub(crate) fn was_stored(&self, written: Option<u64>) {
        if let Some(written) = written {
            self.stored.fetch_max(written, Ordering::Relaxed);
        }
    }
}

/// What the machine's clock says, in seconds; a clock before 1970 says 0.
fn system_time() -> UnixSeconds {
    UnixSeconds(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    )
}

/// The wall clock of a home. See [`super::Store::clock`].
#[derive(Clone, Copy, Debug)]
pub struct Clock<'a> {
    store: &'a Store,
}

impl<'a> Clock<'a> {
    pub(crate) const fn new(store: &'a Store) -> Self {
        Self { store }
    }

    /// The time to decide expiry with: the highest that this home has seen, the machine's clock
    /// included.
    #[must_use]
    pub fn now(&self) -> UnixSeconds {
        self.observe(system_time())
    }

    /// The time to write into what we sign now: the machine's clock as it is.
    #[must_use]
    pub fn system(&self) -> UnixSeconds {
        system_time()
    }

    /// Takes note of a time and gives the highest seen.
    #[must_use]
    pub fn observe(&self, now: UnixSeconds) -> UnixSeconds {
        self.store.wall_clock().observe(now)
    }

    /// By how many seconds the machine's clock is behind the highest time seen; 0 if it is not.
    #[must_use]
    pub fn behind_by(&self) -> u64 {
        self.now().0.saturating_sub(system_time().0)
    }

    /// Puts the highest time on the disk. Every other write does it too, if 10 s have passed; a
    /// node that may be idle calls this once a minute and when it shuts down.
    pub fn persist(&self) -> Pending<(), StoreFault> {
        // The group that holds this request writes the time.
        self.store.write(After::Nothing, |_| Ok(()))
    }

    /// Forgets the highest time and goes on from the machine's clock, which it gives: for an operator
    /// who knows that the clock was ahead once, and that nothing expired is to be feared. Other
    /// processes of the home remember the later time, and store it again, until they end or do the same: tell them
    /// ([`Changed::Clock`](crate::control::Changed::Clock)).
    pub fn accept_machine_time(&self) -> Pending<UnixSeconds, StoreFault> {
        let clock = self.store.shared_wall_clock();
        self.store.write(After::Nothing, move |transaction| {
            transaction.execute("DELETE FROM settings WHERE key = 'highest_wall_time'", [])?;
            clock.highest.store(0, Ordering::Relaxed);
            clock.stored.store(0, Ordering::Relaxed);
            Ok(system_time())
        })
    }
}
