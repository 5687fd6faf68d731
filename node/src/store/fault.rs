//! What can go wrong with the store itself, whatever was asked of it.

use std::path::Path;

use rusqlite::ErrorCode;
use rusqlite::ffi;

/// The store could not do its work: the disk, another process, or damage.
///
/// Kept apart from refusals (a name that is taken, a history that is older), because the remedy is
/// another one. Nothing of the request was stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// The disk, or the user's quota, is full.
    #[error("no space is left on the disk that holds the state file")]
    NoSpace,
    /// The file system or the file became read-only.
    #[error("the state file is read-only")]
    ReadOnly,
    /// Another process held the state file for longer than we wait.
    #[error("the state file was busy for {waited_seconds} s")]
    Busy {
        /// How long we waited, in seconds.
        waited_seconds: u64,
    },
    /// The file's content contradicts itself.
    #[error("the state file is damaged: {detail}")]
    Damaged {
        /// What was found, without any content of the file.
        detail: String,
    },
    /// The disk failed in another way.
    #[error("the state file could not be read or written: {detail}")]
    Io {
        /// What the operating system or SQLite said.
        detail: String,
    },
    /// More requests wait for the disk than we hold.
    #[error("{waiting} requests wait for the disk already")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// The writer of this process has ended.
    #[error("the store is closed")]
    Closed,
}

impl StoreFault {
    /// The next step for whoever operates this machine; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NoSpace => "free some space, then try again; nothing was stored",
            Self::ReadOnly => "make the home directory writable, or choose another home",
            Self::Busy { .. } => "end the process that holds it, then try again",
            Self::Damaged { .. } => "restore the home directory from a copy, or start a new one",
            Self::Io { .. } => "check the disk, then try again",
            Self::Overloaded { .. } => {
                "try again later; the disk is slower than what is asked of it"
            }
            Self::Closed => "start the node again",
        }
    }

    /// Damage that we found ourselves, above SQLite's page checks.
    pub(crate) fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged {
            detail: detail.into(),
        }
    }
}

/// How long one process waits for another one's transaction.
pub(crate) const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// Below this many free bytes an unexplained I/O error is reported as a full disk. The shared-memory
/// file of the write-ahead log alone takes 32 KiB.
const FULL_BELOW_BYTES: u64 = 128 * 1024;

impl From<rusqlite::Error> for StoreFault {
    fn from(error: rusqlite::Error) -> Self {
        match &error {
            rusqlite::Error::SqliteFailure(failure, message) => {
                let detail = || {
                    message
                        .clone()
                        .unwrap_or_else(|| ffi::code_to_str(failure.extended_code).to_owned())
                };
                match failure.code {
                    ErrorCode::DiskFull => Self::NoSpace,
                    ErrorCode::ReadOnly => Self::ReadOnly,
                    ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy {
                        waited_seconds: BUSY_TIMEOUT.as_secs(),
                    },
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                        Self::Damaged { detail: detail() }
                    }
                    _ => Self::Io { detail: detail() },
                }
            }
            // A column of another type or length than the schema says is damage, not a fault of ours.
            rusqlite::Error::FromSqlConversionFailure(column, ..)
            | rusqlite::Error::InvalidColumnType(column, ..)
            | rusqlite::Error::IntegralValueOutOfRange(column, _) => {
                Self::damaged(format!("column {column} of a row has an impossible value"))
            }
            other => Self::Io {
                detail: other.to_string(),
            },
        }
    }
}

/// `fault`, or [`StoreFault::NoSpace`] if it is an I/O error on a disk without room.
///
/// SQLite reports a shared-memory file that it cannot grow as a plain I/O error.
pub(crate) fn name_full_disk(fault: StoreFault, on: Option<impl AsRef<Path>>) -> StoreFault {
    match (fault, on) {
        (StoreFault::Io { .. }, Some(path)) if disk_is_full(path.as_ref()) => StoreFault::NoSpace,
        (other, _) => other,
    }
}

fn disk_is_full(path: &Path) -> bool {
    rustix::fs::statvfs(path)
        .is_ok_and(|s| s.f_bavail.saturating_mul(s.f_frsize) < FULL_BELOW_BYTES || s.f_favail == 0)
}
