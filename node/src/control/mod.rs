//! The control socket: how the processes of one home speak to each other, and how `status` asks.
//!
//! A Unix socket of mode 0600 in a directory of mode 0700, from birth; it gets its name when it
//! listens. Both ends check that the other one runs as the same user. There is no abstract name, and
//! no shared directory to fall back to.
//!
//! A frame is a length (u32, big-endian, at most [`MAX_FRAME`]), then a request or response of the
//! reference's section 5.4. Bodies are ours: UTF-8 text, JSON where there is structure.
//!
//! | method | path | answer |
//! |---|---|---|
//! | GET | `/status` | the process's status |
//! | POST | `/changed/identities` | it has loaded the identities again |
//! | POST | `/changed/peers` | it has looked at the peers again |

mod client;
mod frame;
mod place;
mod server;

pub use client::ControlClient;
pub use frame::MAX_FRAME;
pub use sealway_core::control::{Method, Status};
pub use server::ControlServer;

use std::io;
use std::path::{Path, PathBuf};

use sealway_core::wire::DecodeError;

/// What a process has changed in the shared state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Changed {
    /// An identity was made, rotated or deleted.
    Identities,
    /// A peer or a pin was added or removed.
    Peers,
    /// The machine's clock was accepted although it is behind: see [`crate::store::Clock::accept_machine_time`].
    Clock,
}

impl Changed {
    /// The path of the call that tells it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Identities => "/changed/identities",
            Self::Peers => "/changed/peers",
            Self::Clock => "/changed/clock",
        }
    }
}

/// A call, as the handler gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What to do; none if the number is not known.
    pub method: Option<Method>,
    /// With what.
    pub path: String,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

impl Call {
    /// What the caller says it has changed, if that is what the call is.
    #[must_use]
    pub fn changed(&self) -> Option<Changed> {
        [Changed::Identities, Changed::Peers, Changed::Clock]
            .into_iter()
            .find(|changed| self.is(Method::Post, changed.path()))
    }

    /// Whether this is `method` on `path`.
    #[must_use]
    pub fn is(&self, method: Method, path: &str) -> bool {
        self.method == Some(method) && self.path == path
    }
}

/// What a handler answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How it went; a client gets none if it does not know the number.
    pub status: Option<Status>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

impl Answer {
    /// 200 with a body.
    #[must_use]
    pub fn ok(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: Some(Status::Ok),
            body: body.into(),
        }
    }

    /// A failure without a body.
    #[must_use]
    pub const fn failed(status: Status) -> Self {
        Self {
            status: Some(status),
            body: Vec::new(),
        }
    }

    /// Whether it went well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.status == Some(Status::Ok)
    }
}

/// Why there is no control socket, or no answer from one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// No directory is short enough for the system's limit on socket paths.
    #[error("the path of a control socket would have {length} bytes, and {max} are possible: {}", .path.display())]
    PathTooLong {
        /// The shortest path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The most that is possible.
        max: usize,
    },
    /// The directory is a link, another user's, or open to others.
    #[error("{} is not a private directory of this user", .path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
    },
    /// The other end runs as another user.
    #[error("the other end of {} runs as user {user}", .path.display())]
    OtherUser {
        /// The socket.
        path: PathBuf,
        /// The other end's user id.
        user: u32,
    },
    /// A frame is longer than it may be.
    #[error("frame of {got} bytes exceeds {MAX_FRAME}")]
    FrameTooLong {
        /// Its length.
        got: usize,
    },
    /// The other end does not speak the protocol.
    #[error("not a control message: {0}")]
    Decode(#[from] DecodeError),
    /// The answer belongs to another request.
    #[error("the answer belongs to another request")]
    WrongAnswer,
    /// There was no answer in time.
    #[error("no answer within {seconds} s")]
    TimedOut {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The operating system refused.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The socket or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl ControlError {
    /// The next step; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::PathTooLong { .. } => {
                "set XDG_RUNTIME_DIR to a private directory with a short path, or use a home with one"
            }
            Self::NotPrivate { .. } => "make it private (chmod 700), or remove it",
            Self::OtherUser { .. } => "ask as the user who runs the node",
            Self::TimedOut { .. } => "the process hangs or is stopped: end it",
            Self::Io { .. } => "check the directory and its file system",
            _ => "end the process that answers there; it may be of another version",
        }
    }

    fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}
