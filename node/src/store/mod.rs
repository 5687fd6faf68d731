//! Durable state: identities and their keys, peers, known histories, relay names, the highest wall
//! time, in one SQLite file that several processes share.
//!
//! Reading answers at once, from a connection of its own that no writer blocks. Writing gives a
//! [`Pending`]: a future for nodes, [`Pending::wait`] for short commands; it answers after the
//! commit that holds the request is on the disk.

mod clock;
mod fault;
mod name;
mod schema;
mod writer;

pub use clock::Clock;
pub use fault::StoreFault;
pub use name::{MAX_NAME, Name, NameError};
pub use writer::Pending;

pub(crate) use fault::{BUSY_TIMEOUT, name_full_disk};
pub(crate) use schema::{Found, LATEST, inspect, migrate};

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use clock::WallClock;
use writer::{After, Writer};

/// The state file of a home, open in this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // First, so that it is dropped first: the last connection to close tidies up the log.
    writer: Writer,
    reader: Mutex<Connection>,
    clock: Arc<WallClock>,
}

impl Store {
    /// Opens the file, which exists, is ours and has the latest schema.
    pub(crate) fn start(file: &Path) -> Result<Self, StoreFault> {
        let writer = connect(file)?;
        let reader = connect(file)?;
        let clock = Arc::new(WallClock::load(&reader)?);
        Ok(Self {
            inner: Arc::new(Inner {
                writer: Writer::start(writer, Arc::clone(&clock))?,
                reader: Mutex::new(reader),
                clock,
            }),
        })
    }

    /// The wall clock of this home, which never goes back.
    #[must_use]
    pub const fn clock(&self) -> Clock<'_> {
        Clock::new(self)
    }

    pub(crate) fn wall_clock(&self) -> &WallClock {
        &self.inner.clock
    }

    /// Has `work` done in a transaction.
    pub(crate) fn write<F, T, E>(&self, after: After, work: F) -> Pending<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreFault> + Send + 'static,
    {
        self.inner.writer.submit(after, work)
    }

    /// The connection for reading. Hold it for one query.
    pub(crate) fn read(&self) -> MutexGuard<'_, Connection> {
        // A reader that panicked leaves nothing half-done behind.
        self.inner
            .reader
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection with the settings that every connection of ours has.
pub(crate) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(
        file,
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW,
    )?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Deleted keys are overwritten; what is malformed is found when it is read, not when it is used.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA secure_delete = ON;
         PRAGMA cell_size_check = ON;
         PRAGMA trusted_schema = OFF;",
    )?;
    Ok(connection)
}
