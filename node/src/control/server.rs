//! The answering end.

use std::fs;
use std::future::Future;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::process::geteuid;
use sealway_core::control::{Request, Response};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::{Answer, Call, ControlError, MAX_FRAME, Status, client, frame, place};
use crate::home::Home;

/// Connections that are served at once; others wait in the system's backlog. At most 2 MiB each.
const MAX_CONNECTIONS: usize = 16;

/// How long a connection may be idle, or a request on its way.
const IDLE: Duration = Duration::from_secs(30);

/// How many connections the system holds until they are accepted.
const BACKLOG: i32 = 128;

/// The control socket of this process. Dropped, it is closed and removed.
#[derive(Debug)]
pub struct ControlServer {
    path: PathBuf,
    home: Home,
    accepting: JoinHandle<()>,
}

impl ControlServer {
    /// Opens a socket for `home`, removes those of dead processes, and answers calls by `handler`
    /// from then on. To be called inside a runtime.
    ///
    /// # Errors
    /// [`ControlError::PathTooLong`] if no place is short enough, [`ControlError::NotPrivate`],
    /// [`ControlError::Io`].
    pub async fn bind<H, F>(home: &Home, handler: H) -> Result<Self, ControlError>
    where
        H: Fn(Call) -> F + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        client::sweep(home).await;
        let (path, listener) = listen_somewhere(home)?;
        // Without the entry the socket is still found in its directory, as long as both processes
        // look there: on a full disk that has to do.
        if let Err(fault) = home.enter_control_socket(&path, std::process::id()).await {
            tracing::warn!(%fault, "the control socket is not listed in the state file");
        }
        let accepting = tokio::spawn(accept(listener, path.clone(), Arc::new(handler)));
        Ok(Self {
            path,
            home: home.clone(),
            accepting,
        })
    }

    /// Where the socket is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.accepting.abort();
        place::sweep(&self.path);
        // Nobody waits for it; a row that stays is swept by the next process.
        drop(self.home.strike_control_socket(&self.path));
    }
}

/// The first place of those possible that works.
fn listen_somewhere(home: &Home) -> Result<(PathBuf, UnixListener), ControlError> {
    let name = place::fresh_name(home);
    let mut last = None;
    for directory in place::directories(home) {
        match listen(&directory, &name) {
            Ok(found) => return Ok(found),
            // What the last place says is the user's own home, so it is what he can change.
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("the home itself is always among the places"))
}

fn listen(directory: &Path, name: &str) -> Result<(PathBuf, UnixListener), ControlError> {
    let path = directory.join(name);
    let born_as = directory.join(place::unborn(name));
    let length = born_as.as_os_str().as_bytes().len();
    if length > place::MAX_PATH {
        let max = place::MAX_PATH;
        return Err(ControlError::PathTooLong { path, length, max });
    }
    place::make(directory)?;
    let fault = |error: std::io::Error| ControlError::io(&path, error);
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None).map_err(fault)?;
    // The file is born with the mode that the socket has before it is bound.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(|error| fault(error.into()))?;
    socket
        .bind(&SockAddr::unix(&born_as).map_err(fault)?)
        .map_err(fault)?;
    socket.listen(BACKLOG).map_err(fault)?;
    socket.set_nonblocking(true).map_err(fault)?;
    // Only a socket that listens has the name: who is refused there knows that it is dead.
    fs::rename(&born_as, &path).map_err(fault)?;
    let listener = UnixListener::from_std(socket.into()).map_err(fault)?;
    Ok((path, listener))
}

async fn accept<H, F>(listener: UnixListener, path: PathBuf, handler: Arc<H>)
where
    H: Fn(Call) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    // Ends with this task.
    let mut serving = JoinSet::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        while serving.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = check_peer(&stream, &path) {
                    tracing::warn!(%error, "a control connection was refused");
                    continue;
                }
                let handler = Arc::clone(&handler);
                serving.spawn(async move {
                    serve(stream, handler.as_ref()).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no control connection could be accepted");
                // Out of descriptors, most likely: others must close first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Refuses an end of the socket that runs as another user.
pub(super) fn check_peer(stream: &UnixStream, path: &Path) -> Result<(), ControlError> {
    let user = stream
        .peer_cred()
        .map_err(|error| ControlError::io(path, error))?
        .uid();
    if user == geteuid().as_raw() {
        return Ok(());
    }
    Err(ControlError::OtherUser {
        path: path.to_owned(),
        user,
    })
}

async fn serve<H, F>(mut stream: UnixStream, handler: &H)
where
    H: Fn(Call) -> F,
    F: Future<Output = Answer>,
{
    while let Ok(Ok(Some(payload))) = timeout(IDLE, frame::read(&mut stream)).await {
        let response = respond(&payload, handler).await;
        match timeout(IDLE, frame::write(&mut stream, &response)).await {
            Ok(Ok(())) => {}
            _ => return,
        }
    }
}

async fn respond<H, F>(payload: &[u8], handler: &H) -> Vec<u8>
where
    H: Fn(Call) -> F,
    F: Future<Output = Answer>,
{
    let (re, mut answer) = match Request::decode(payload) {
        Ok((request, body)) => {
            let call = Call {
                method: request.method,
                path: request.path,
                body: body.unwrap_or_default().to_vec(),
            };
            (request.id, handler(call).await)
        }
        Err(error) => {
            tracing::debug!(%error, "not a control request");
            (0, Answer::failed(Status::BadRequest))
        }
    };
    // Room for the header.
    if answer.body.len() > MAX_FRAME - 64 {
        answer = Answer::failed(Status::InternalServerError);
    }
    let body = (!answer.body.is_empty()).then_some(answer.body.as_slice());
    let response = Response {
        id: client::random_id(),
        re,
        status: answer.status,
        has_body: body.is_some(),
    };
    response.encode(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    const SOCKET: &str = "SEALWAY_TEST_SOCKET";

    #[tokio::test]
    async fn a_path_that_is_too_long_for_a_socket_is_refused_before_anything_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("d".repeat(100));
        let error = listen(&long, "x-1-2.sock").unwrap_err();
        assert!(matches!(error, ControlError::PathTooLong { .. }), "{error}");
        assert!(!long.exists());
    }

    /// Not a test of its own: what another user does in the next one.
    #[test]
    fn connect_as_another_user() {
        if let Some(path) = std::env::var_os(SOCKET) {
            drop(std::os::unix::net::UnixStream::connect(path).unwrap());
        }
    }

    #[tokio::test]
    async fn an_end_that_runs_as_another_user_is_refused() {
        if !geteuid().is_root() {
            println!("skipped: only root can become another user");
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        // As if the directory had been opened to all by mistake.
        let everybody = fs::Permissions::from_mode(0o777);
        fs::set_permissions(directory.path(), everybody.clone()).unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, everybody).unwrap();
        let own = UnixStream::connect(&path).await.unwrap();
        check_peer(&own, &path).unwrap();
        check_peer(&listener.accept().await.unwrap().0, &path).unwrap();
        let mut child = Command::new("/proc/self/exe")
            .args(["--exact", "control::server::tests::connect_as_another_user"])
            .env(SOCKET, &path)
            .uid(65534)
            .spawn()
            .unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let error = check_peer(&stream, &path).unwrap_err();
        assert!(
            matches!(error, ControlError::OtherUser { user: 65534, .. }),
            "{error}"
        );
        assert!(child.wait().unwrap().success());
    }
}
