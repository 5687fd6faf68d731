//! The asking end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealway_core::control::{Method, Request, Response};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{Answer, Changed, ControlError, MAX_FRAME, frame, place, server};
use crate::home::Home;

/// How long a process may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// A connection to one process of a home.
#[derive(Debug)]
pub struct ControlClient {
    stream: UnixStream,
    path: PathBuf,
    pid: u32,
}

impl ControlClient {
    /// A connection to every live process of the home that has a control socket, this one included.
    /// The sockets of dead ones are removed.
    pub async fn all(home: &Home) -> Vec<Self> {
        let mut live = Vec::new();
        for (path, pid) in place::sockets(home) {
            match connect(home, &path, pid).await {
                Ok(Some(client)) => live.push(client),
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "a control socket was passed over"),
            }
        }
        live
    }

    /// Tells the other processes of the home what this one has changed, all at once; gives how many
    /// have taken it up. To be called after the change was acknowledged.
    pub async fn notify_changed(home: &Home, changed: Changed) -> usize {
        let others = Self::all(home).await.into_iter();
        let others = others.filter(|client| client.pid != std::process::id());
        let mut calls: tokio::task::JoinSet<_> = others
            .map(|mut client| async move {
                let answer = client.call(Method::Post, changed.path(), &[]).await;
                if let Err(error) = &answer {
                    tracing::warn!(pid = client.pid, %error, "a process did not take up a change");
                }
                answer.is_ok_and(|answer| answer.is_ok())
            })
            .collect();
        let mut taken_up = 0;
        while let Some(answer) = calls.join_next().await {
            taken_up += usize::from(answer.unwrap_or(false));
        }
        taken_up
    }

    /// [`ControlClient::notify_changed`] for a command that has no runtime. Not to be called inside of
    /// one.
    ///
    /// # Errors
    /// The operating system's, if no runtime can be started.
    pub fn notify_changed_blocking(home: &Home, changed: Changed) -> std::io::Result<usize> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        Ok(runtime.block_on(Self::notify_changed(home, changed)))
    }

    /// The process at the other end.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// Calls `method` on `path`.
    ///
    /// # Errors
    /// [`ControlError::FrameTooLong`], [`ControlError::TimedOut`], [`ControlError::Io`],
    /// [`ControlError::Decode`], [`ControlError::WrongAnswer`]. The connection is of no use then.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, ControlError> {
        let body = (!body.is_empty()).then_some(body);
        let request = Request {
            id: random_id(),
            path: path.to_owned(),
            method: Some(method),
            has_body: body.is_some(),
        };
        let payload = request.encode(body);
        let got = payload.len();
        if got > MAX_FRAME {
            return Err(ControlError::FrameTooLong { got });
        }
        let exchange = async {
            frame::write(&mut self.stream, &payload).await?;
            let answer = frame::read(&mut self.stream).await?;
            answer.ok_or_else(|| std::io::ErrorKind::UnexpectedEof.into())
        };
        let answer = timeout(ANSWER_WITHIN, exchange)
            .await
            .map_err(|_| timed_out())?
            .map_err(|error| ControlError::io(&self.path, error))?;
        let (response, body) = Response::decode(&answer)?;
        if !response.answers(&request) {
            return Err(ControlError::WrongAnswer);
        }
        Ok(Answer {
            status: response.status,
            body: body.unwrap_or_default().to_vec(),
        })
    }
}

const fn timed_out() -> ControlError {
    ControlError::TimedOut {
        seconds: ANSWER_WITHIN.as_secs(),
    }
}

/// Removes the sockets of processes that have died.
pub(super) async fn sweep(home: &Home) {
    for (path, pid) in place::sockets(home) {
        if let Err(error) = connect(home, &path, pid).await {
            tracing::debug!(%error, "a control socket was passed over");
        }
    }
}

/// Connects, or removes the socket if nobody listens there any more.
async fn connect(
    home: &Home,
    path: &Path,
    pid: u32,
) -> Result<Option<ControlClient>, ControlError> {
    let directory = path.parent().unwrap_or(path);
    match place::check_private(directory) {
        Err(ControlError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            drop(home.strike_control_socket(path));
            return Ok(None);
        }
        other => other?,
    }
    let stream = timeout(ANSWER_WITHIN, UnixStream::connect(path))
        .await
        .map_err(|_| timed_out())?;
    match stream {
        Ok(stream) => {
            server::check_peer(&stream, path)?;
            Ok(Some(ControlClient {
                stream,
                path: path.to_owned(),
                pid,
            }))
        }
        Err(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound => {
                place::sweep(path);
                drop(home.strike_control_socket(path));
                Ok(None)
            }
            _ => Err(ControlError::io(path, error)),
        },
    }
}

/// An id for a message: random, not zero.
pub(super) fn random_id() -> u32 {
    use getrandom::rand_core::Rng as _;
    crate::store::rng().next_u32().max(1)
}
