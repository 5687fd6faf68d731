//! The home directory: where the state of one user's nodes lives.
//!
//! `HOME/` has mode 0700 and `HOME/state.db` mode 0600 from the moment they exist, whatever the
//! umask is. What is not as it must be is refused with one named cause ([`HomeError`]) and a remedy
//! ([`HomeError::hint`]); nothing is repaired behind the user's back.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::ops::Deref;
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rustix::fs::{Access, FlockOperation};
use rustix::process::geteuid;

use crate::store::{self, BUSY_TIMEOUT, Found, Store, StoreFault};

/// The name of the state file inside of the home directory.
const STATE_FILE: &str = "state.db";

/// What every SQLite file starts with.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Why a home directory cannot be used. Nothing was changed in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// The path, or a part of it, is something else than a directory.
    #[error("{} is not a directory", .path.display())]
    NotADirectory {
        /// The part that is not.
        path: PathBuf,
    },
    /// The state file is not a file.
    #[error("{} is not a regular file", .path.display())]
    NotAFile {
        /// The state file.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error("{} belongs to user {owner}, and this is user {user}", .path.display())]
    OtherOwner {
        /// The directory or file.
        path: PathBuf,
        /// Whose it is: a user id.
        owner: u32,
        /// Who asks: a user id.
        user: u32,
    },
    /// Others than its owner can read or write it.
    #[error("{} is open to other users (mode {mode:04o})", .path.display())]
    OpenToOthers {
        /// The directory or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Its permissions keep its own user out.
    #[error("no permission to use {}", .path.display())]
    NoPermission {
        /// The directory or file.
        path: PathBuf,
    },
    /// The file system is mounted read-only.
    #[error("{} is on a read-only file system", .path.display())]
    ReadOnly {
        /// The directory or file.
        path: PathBuf,
    },
    /// The disk, or the user's quota, is full.
    #[error("no space is left on the disk that holds {}", .path.display())]
    NoSpace {
        /// The directory.
        path: PathBuf,
    },
    /// A newer program wrote the state file.
    #[error("{} has schema {found}, and this program knows up to {known}", .path.display())]
    NewerSchema {
        /// The state file.
        path: PathBuf,
        /// The version of its schema.
        found: i32,
        /// The latest version that this program knows.
        known: i32,
    },
    /// The state file is a database of another program.
    #[error("{} was not written by sealway", .path.display())]
    Foreign {
        /// The state file.
        path: PathBuf,
    },
    /// The state file is not what was once written.
    #[error("{} is damaged: {detail}", .path.display())]
    Damaged {
        /// The state file.
        path: PathBuf,
        /// What is wrong with it, without any of its content.
        detail: String,
    },
    /// Another process held it for too long.
    #[error("{} is held by another process", .path.display())]
    Busy {
        /// The directory or file.
        path: PathBuf,
    },
    /// The operating system refused in another way.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The state file could not be opened for another reason.
    #[error("{}: {fault}", .path.display())]
    Store {
        /// The state file.
        path: PathBuf,
        /// What the store said.
        fault: StoreFault,
    },
}

impl HomeError {
    /// The remedy; one line.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NotADirectory { .. } => "choose a directory as home".to_owned(),
            Self::NotAFile { path } => format!("move {} away", path.display()),
            Self::OtherOwner { owner, .. } => {
                format!("run as user {owner}, or choose a home of your own")
            }
            Self::OpenToOthers { path, .. } => {
                format!("make it private: chmod go= {}", quoted(path))
            }
            Self::NoPermission { path } => {
                format!(
                    "give yourself access (chmod u+rwX {}), or choose another home",
                    quoted(path)
                )
            }
            Self::ReadOnly { .. } => {
                "choose a home on a file system that can be written".to_owned()
            }
            Self::NoSpace { .. } => "free some space, or choose a home on another disk".to_owned(),
            Self::NewerSchema { .. } => "update sealway, or choose another home".to_owned(),
            Self::Foreign { .. } => "choose another directory as home".to_owned(),
            Self::Damaged { path, .. } => {
                format!(
                    "restore {} from a copy, or choose a new home",
                    path.display()
                )
            }
            Self::Busy { .. } => "end the process that holds it, then try again".to_owned(),
            Self::Io { .. } => "choose another home".to_owned(),
            Self::Store { fault, .. } => fault.hint().to_owned(),
        }
    }

    /// Names the cause of an error of the operating system.
    fn from_io(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotADirectory => Self::NotADirectory { path },
            io::ErrorKind::PermissionDenied => Self::NoPermission { path },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { path },
            _ => Self::Io { path, source },
        }
    }

    /// Names the cause of an error of the store.
    fn from_fault(file: &Path, fault: StoreFault) -> Self {
        let path = file.to_owned();
        match store::name_full_disk(fault, file.parent()) {
            StoreFault::NoSpace => Self::NoSpace { path },
            StoreFault::ReadOnly => Self::ReadOnly { path },
            StoreFault::Busy { .. } => Self::Busy { path },
            StoreFault::Damaged { detail } => Self::Damaged { path, detail },
            fault => Self::Store { path, fault },
        }
    }
}

/// The path as one word of a shell.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', "'\\''"))
}

/// An open home directory. Clones share it; it dereferences to its [`Store`].
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let home = sealway::home::Home::open(directory.path().join("home"))?;
/// let now = home.clock().now();
/// # assert!(now.0 > 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Home {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    runtime_dir: Option<PathBuf>,
    store: Store,
}

impl Home {
    /// Opens the home directory at `path`; creates it, and what is missing above it, with mode 0700.
    ///
    /// Blocks for some milliseconds: a few reads, and on the first use a few syncs.
    ///
    /// # Errors
    /// One [`HomeError`] per cause. A home that is half-made by a process that was killed is
    /// completed by the next.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, HomeError> {
        Self::open_with_runtime_dir(path, None)
    }

    /// [`Home::open`], with the directory where the user's sockets live (`XDG_RUNTIME_DIR`) if the
    /// caller knows one. Without it `/run/user/UID` is tried.
    ///
    /// # Errors
    /// As [`Home::open`].
    pub fn open_with_runtime_dir(
        path: impl AsRef<Path>,
        runtime_dir: Option<PathBuf>,
    ) -> Result<Self, HomeError> {
        let path = path.as_ref();
        make_directory(path)?;
        let path = fs::canonicalize(path).map_err(|error| HomeError::from_io(path, error))?;
        let file = path.join(STATE_FILE);
        // One process at a time looks whether there is something to create. The lock ends with the
        // file handle, so a killed process leaves none.
        let directory = File::open(&path).map_err(|error| HomeError::from_io(&path, error))?;
        lock(&directory, &path)?;
        make_state_file(&directory, &path, &file)?;
        prepare(&file)?;
        let store = Store::start(&file).map_err(|fault| HomeError::from_fault(&file, fault))?;
        Ok(Self {
            inner: Arc::new(Inner {
                path,
                runtime_dir,
                store,
            }),
        })
    }

    /// The directory, with symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The runtime directory that the caller named.
    #[must_use]
    pub fn runtime_dir(&self) -> Option<&Path> {
        self.inner.runtime_dir.as_deref()
    }

    /// The state in it.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.inner.store
    }
}

impl Deref for Home {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.inner.store
    }
}

/// Makes the directory if it is missing, and checks that it is ours alone.
fn make_directory(path: &Path) -> Result<(), HomeError> {
    let metadata = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(|error| blame_ancestor(path, error))?;
            // The entry of a new home is to outlive a power failure like what is stored in it.
            if let Some(parent) = path.parent() {
                let parent = if parent.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    parent
                };
                // A parent that we may enter but not read cannot be synced; the home is still good.
                if let Ok(parent) = File::open(parent) {
                    parent
                        .sync_all()
                        .map_err(|error| HomeError::from_io(path, error))?;
                }
            }
            fs::metadata(path)
        }
        other => other,
    };
    let metadata = metadata.map_err(|error| blame_ancestor(path, error))?;
    if !metadata.is_dir() {
        return Err(HomeError::NotADirectory {
            path: path.to_owned(),
        });
    }
    check_private(path, &metadata)?;
    rustix::fs::access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| HomeError::from_io(path, error.into()))
}

/// Finds the part of `path` that an error is about: the nearest one above that exists.
fn blame_ancestor(path: &Path, error: io::Error) -> HomeError {
    let existing = path
        .ancestors()
        .find(|part| !part.as_os_str().is_empty() && fs::symlink_metadata(part).is_ok());
    match existing {
        Some(part) if fs::metadata(part).is_ok_and(|part| !part.is_dir()) => {
            HomeError::NotADirectory {
                path: part.to_owned(),
            }
        }
        Some(part) if error.kind() == io::ErrorKind::PermissionDenied => HomeError::NoPermission {
            path: part.to_owned(),
        },
        _ => HomeError::from_io(path, error),
    }
}

/// Refuses what is another user's, or open to others.
fn check_private(path: &Path, metadata: &Metadata) -> Result<(), HomeError> {
    let user = geteuid().as_raw();
    if metadata.uid() != user {
        return Err(HomeError::OtherOwner {
            path: path.to_owned(),
            owner: metadata.uid(),
            user,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(HomeError::OpenToOthers {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

/// Takes the lock of the directory for as long as `directory` is open.
fn lock(directory: &File, path: &Path) -> Result<(), HomeError> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match rustix::fs::flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            // A network file system without locks: SQLite's own locks decide there.
            Err(rustix::io::Errno::NOLCK | rustix::io::Errno::OPNOTSUPP) => return Ok(()),
            Err(error) => return Err(HomeError::from_io(path, error.into())),
        }
        if Instant::now() >= deadline {
            return Err(HomeError::Busy {
                path: path.to_owned(),
            });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Makes the state file if it is missing, empty and with mode 0600, and checks what is there.
fn make_state_file(directory: &File, home: &Path, file: &Path) -> Result<(), HomeError> {
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file);
    match created {
        Ok(_) => {
            return directory
                .sync_all()
                .map_err(|error| HomeError::from_io(home, error));
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(HomeError::from_io(home, error)),
    }
    // Not followed: a link here could make us write into a file that is not ours.
    let metadata = fs::symlink_metadata(file).map_err(|error| HomeError::from_io(file, error))?;
    let kind = metadata.file_type();
    if !kind.is_file() || kind.is_fifo() {
        return Err(HomeError::NotAFile {
            path: file.to_owned(),
        });
    }
    check_private(file, &metadata)?;
    rustix::fs::access(file, Access::READ_OK | Access::WRITE_OK)
        .map_err(|error| HomeError::from_io(file, error.into()))?;
    check_header(file)
}

/// Refuses a file that SQLite cannot have written.
fn check_header(file: &Path) -> Result<(), HomeError> {
    let mut header = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(100).read_to_end(&mut header))
        .map_err(|error| HomeError::from_io(file, error))?;
    let detail = match header.len() {
        0 => return Ok(()),
        100 if header.starts_with(SQLITE_MAGIC) => return Ok(()),
        100 => "it does not start like a state file".to_owned(),
        short => format!("it ends after {short} bytes"),
    };
    Err(HomeError::Damaged {
        path: file.to_owned(),
        detail,
    })
}

/// Brings the file to the latest schema, or says why not.
fn prepare(file: &Path) -> Result<(), HomeError> {
    let mut connection =
        store::connect(file).map_err(|error| HomeError::from_fault(file, error.into()))?;
    match prepare_connection(&mut connection, file) {
        Err(HomeError::Damaged { path, detail }) => Err(HomeError::Damaged {
            path,
            detail: quick_check(&connection).unwrap_or(detail),
        }),
        other => other,
    }
}

fn prepare_connection(connection: &mut Connection, file: &Path) -> Result<(), HomeError> {
    let fault = |error: rusqlite::Error| HomeError::from_fault(file, error.into());
    match store::inspect(connection).map_err(fault)? {
        Found::Version(found) if found > store::LATEST => {
            return Err(HomeError::NewerSchema {
                path: file.to_owned(),
                found,
                known: store::LATEST,
            });
        }
        Found::Foreign => {
            return Err(HomeError::Foreign {
                path: file.to_owned(),
            });
        }
        Found::Version(_) | Found::Empty => {}
    }
    let journal: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(fault)?;
    if journal != "wal" {
        return Err(HomeError::Store {
            path: file.to_owned(),
            fault: StoreFault::Io {
                detail: format!("the file system allows no write-ahead log (it is {journal})"),
            },
        });
    }
    store::migrate(connection).map_err(fault)
}

/// What SQLite finds wrong, in its first line.
fn quick_check(connection: &Connection) -> Option<String> {
    connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        .ok()
        .filter(|found| found != "ok")
        .map(|found| found.lines().next().unwrap_or_default().to_owned())
}
