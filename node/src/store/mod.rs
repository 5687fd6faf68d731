//! Durable state: identities and their keys, peers, known histories, relay names, the highest wall
//! time, in one SQLite file that several processes share.
//!
//! Reading answers at once, from a connection of its own that no writer blocks. Writing gives a
//! [`Pending`]: a future for nodes, [`Pending::wait`] for short commands; it answers after the
//! commit that holds the request is on the disk.

mod backup;
mod channel_keys;
mod clock;
mod connections;
mod control_sockets;
mod exposures;
mod fault;
mod floors;
mod histories;
mod identities;
mod name;
mod peers;
mod relay_names;
mod schema;
mod writer;

pub use backup::{BACKUP_PREFIX, Backup, BackupError};
pub use channel_keys::{ChannelKey, ChannelKeys};
pub use clock::Clock;
pub use connections::{ConnectionError, Connections, Known};
pub use exposures::{Exposed, ExposureError, Exposures, Issued, Redemption};
pub use fault::StoreFault;
pub use histories::{Histories, HistoryError};
pub use identities::{Identities, IdentityStoreError, StoredIdentity};
pub use name::{MAX_NAME, Name, NameError};
pub use peers::{Direction, MAX_RESOURCE, Peer, PeerError, Peers, Pin, PinOrigin, Resource};
pub use relay_names::{KeptNames, RelayNameError, RelayNames};
pub use writer::Pending;

pub(crate) use fault::{BUSY_TIMEOUT, name_full_disk};
pub(crate) use schema::{Found, LATEST, inspect, migrate};

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};
use sealway_core::UnixSeconds;
use sealway_core::crypto::CryptoRng;

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

    /// Our own identities.
    #[must_use]
    pub const fn identities(&self) -> Identities<'_> {
        Identities::new(self)
    }

    /// The keys that our identities show in handshakes.
    #[must_use]
    pub const fn channel_keys(&self) -> ChannelKeys<'_> {
        ChannelKeys::new(self)
    }

    /// Peers and pins.
    #[must_use]
    pub const fn peers(&self) -> Peers<'_> {
        Peers::new(self)
    }

    /// What is exposed by tickets, and who has redeemed them.
    #[must_use]
    pub const fn exposures(&self) -> Exposures<'_> {
        Exposures::new(self)
    }

    /// What was connected to by tickets.
    #[must_use]
    pub const fn connections(&self) -> Connections<'_> {
        Connections::new(self)
    }

    /// What is known of the histories of others.
    #[must_use]
    pub const fn histories(&self) -> Histories<'_> {
        Histories::new(self)
    }

    /// The aliases of our relay.
    #[must_use]
    pub const fn relay_names(&self) -> RelayNames<'_> {
        RelayNames::new(self)
    }

    /// How many transactions this process has committed. Requests that wait together share one.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.inner.writer.commits()
    }

    pub(crate) fn wall_clock(&self) -> &WallClock {
        &self.inner.clock
    }

    fn shared_wall_clock(&self) -> Arc<WallClock> {
        Arc::clone(&self.inner.clock)
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

/// The operating system's randomness.
pub(crate) fn rng() -> impl CryptoRng {
    getrandom::rand_core::UnwrapErr(getrandom::SysRng)
}

/// A time for a column. SQLite's integers are signed; times beyond them are as good as for ever.
fn to_column(time: UnixSeconds) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// A time from a column.
fn seconds(column: i64) -> UnixSeconds {
    UnixSeconds(u64::try_from(column).unwrap_or(0))
}
