//! The control socket: who can call whom, and what remains of the dead.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use sealway::control::{
    Answer, Call, Changed, ControlClient, ControlServer, MAX_FRAME, Method, Status,
};
use sealway::home::Home;
use store_common::{child, is_root, mode, run, spawn, tell, told};
use tempfile::tempdir;
use tokio::runtime::Runtime;

#[test]
fn child_entry() {
    let Some((case, directory)) = store_common::case() else {
        return;
    };
    let runtime = Runtime::new().unwrap();
    match case.as_str() {
        "serve" => runtime.block_on(serve(&directory, None)),
        "serve_in_runtime_dir" => runtime.block_on(serve(&directory, Some("runtime"))),
        "modes" => runtime.block_on(modes(&directory)),
        "intrude" => intrude(&directory),
        other => panic!("no case {other}"),
    }
}

async fn answer(call: Call) -> Answer {
    if let Some(changed) = call.changed() {
        tell(&format!("{changed:?}"));
        return Answer::ok("");
    }
    if call.is(Method::Get, "/status") {
        return Answer::ok(format!("{{\"pid\":{}}}", std::process::id()));
    }
    match call.path.as_str() {
        "/echo" => Answer::ok(call.body),
        "/too-much" => Answer::ok(vec![b'x'; MAX_FRAME]),
        _ => Answer::failed(Status::NotFound),
    }
}

/// Serves until it is killed.
async fn serve(directory: &Path, runtime_dir: Option<&str>) {
    let runtime_dir = runtime_dir.map(|name| directory.join(name));
    let home = Home::open_with_runtime_dir(directory.join("home"), runtime_dir).unwrap();
    let server = ControlServer::bind(&home, answer).await.unwrap();
    tell(&format!("at {}", server.path().display()));
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_process_answers_calls() {
    let directory = tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    assert!(ControlClient::all(&home).await.is_empty());
    let server = ControlServer::bind(&home, answer).await.unwrap();
    let mut clients = ControlClient::all(&home).await;
    assert_eq!(clients.len(), 1);
    let client = &mut clients[0];
    assert_eq!(client.pid(), std::process::id());
    let status = client.call(Method::Get, "/status", b"").await.unwrap();
    assert!(status.is_ok());
    assert_eq!(
        status.body,
        format!("{{\"pid\":{}}}", std::process::id()).as_bytes()
    );
    let echoed = client.call(Method::Post, "/echo", b"hello").await.unwrap();
    assert_eq!(echoed.body, b"hello");
    let most = vec![7; MAX_FRAME - 100];
    assert_eq!(
        client
            .call(Method::Post, "/echo", &most)
            .await
            .unwrap()
            .body,
        most
    );
    let missing = client.call(Method::Delete, "/status", b"").await.unwrap();
    assert_eq!(missing.status, Some(Status::NotFound));
    let much = client.call(Method::Get, "/too-much", b"").await.unwrap();
    assert_eq!(much.status, Some(Status::InternalServerError));
    assert!(
        client
            .call(Method::Post, "/echo", &vec![7; MAX_FRAME])
            .await
            .is_err()
    );
    // Nobody tells himself.
    assert_eq!(
        ControlClient::notify_changed(&home, Changed::Peers).await,
        0
    );
    let path = server.path().to_owned();
    drop(server);
    assert!(!path.exists());
    assert!(ControlClient::all(&home).await.is_empty());
}

#[tokio::test]
async fn garbage_ends_its_own_connection_and_nothing_else() {
    let directory = tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    let server = ControlServer::bind(&home, answer).await.unwrap();
    let path = server.path().to_owned();
    let heard = |sent: Vec<u8>| {
        let path = path.clone();
        tokio::task::spawn_blocking(move || {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(&sent).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).unwrap();
            heard
        })
    };
    let length = |n: u32| n.to_be_bytes().to_vec();
    for silent in [
        length(u32::MAX),
        length((1 << 20) + 1),
        length(10),
        b"\0".to_vec(),
    ] {
        assert!(heard(silent).await.unwrap().is_empty());
    }
    let nonsense = [length(5), b"hello".to_vec()].concat();
    let bad_request = heard(nonsense).await.unwrap();
    let (response, _) = sealway_core::control::Response::decode(&bad_request[4..]).unwrap();
    assert_eq!(
        (response.re, response.status),
        (0, Some(Status::BadRequest))
    );
    let mut client = ControlClient::all(&home).await.remove(0);
    assert!(
        client
            .call(Method::Get, "/status", b"")
            .await
            .unwrap()
            .is_ok()
    );
}

#[tokio::test]
async fn processes_tell_each_other_and_the_dead_are_swept() {
    let directory = tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    let mut children: Vec<_> = (0..2).map(|_| spawn("serve", directory.path())).collect();
    let mut hearing: Vec<_> = children
        .iter_mut()
        .map(|child| told(child.stdout.take().unwrap()))
        .collect();
    let paths: Vec<_> = hearing
        .iter_mut()
        .map(|words| words.next().unwrap().split_once(' ').unwrap().1.to_owned())
        .collect();
    // This process has a socket too, and is not told what it says itself.
    let _server = ControlServer::bind(&home, |_| async { panic!("nobody calls") })
        .await
        .unwrap();
    assert_eq!(
        ControlClient::notify_changed(&home, Changed::Identities).await,
        2
    );
    for words in &mut hearing {
        assert_eq!(words.next().unwrap(), "Identities");
    }
    children[0].kill().unwrap();
    children[0].wait().unwrap();
    assert!(Path::new(&paths[0]).exists(), "kill -9 leaves the socket");
    assert_eq!(
        ControlClient::notify_changed(&home, Changed::Peers).await,
        1
    );
    assert!(
        !Path::new(&paths[0]).exists(),
        "the next one to look removes it"
    );
    assert!(Path::new(&paths[1]).exists());
    children[1].kill().unwrap();
    children[1].wait().unwrap();
    // A starting process sweeps too.
    let _another = ControlServer::bind(&home, answer).await.unwrap();
    assert!(!Path::new(&paths[1]).exists());
}

#[tokio::test]
async fn a_socket_in_a_runtime_directory_is_found_by_who_does_not_know_that_directory() {
    let directory = tempdir().unwrap();
    let runtime = directory.path().join("runtime");
    fs::create_dir(&runtime).unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o700)).unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    let mut serving = spawn("serve_in_runtime_dir", directory.path());
    let at = told(serving.stdout.take().unwrap()).next().unwrap();
    assert!(at.contains("/runtime/sealway/"), "{at}");
    assert_eq!(ControlClient::all(&home).await.len(), 1);
    serving.kill().unwrap();
    serving.wait().unwrap();
    // The directory is gone with the user's session.
    fs::remove_dir_all(&runtime).unwrap();
    assert!(ControlClient::all(&home).await.is_empty());
}

#[tokio::test]
async fn a_runtime_directory_that_others_can_enter_is_not_used() {
    let directory = tempdir().unwrap();
    let shared = directory.path().join("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    let path = directory.path().join("home");
    let home = Home::open_with_runtime_dir(&path, Some(shared.clone())).unwrap();
    let server = ControlServer::bind(&home, answer).await.unwrap();
    assert!(!server.path().starts_with(&shared));
    // A link into a shared directory is none either.
    let private = directory.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(&shared, private.join("sealway")).unwrap();
    let home = Home::open_with_runtime_dir(&path, Some(private)).unwrap();
    let server = ControlServer::bind(&home, answer).await.unwrap();
    assert!(
        !fs::canonicalize(server.path())
            .unwrap()
            .starts_with(&shared)
    );
    assert_eq!(fs::read_dir(&shared).unwrap().count(), 0);
}

#[tokio::test]
async fn a_home_with_a_long_path_uses_the_runtime_directory() {
    let directory = tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let deep = directory.path().join("d".repeat(120));
    let home = Home::open_with_runtime_dir(deep, Some(directory.path().to_owned())).unwrap();
    let server = ControlServer::bind(&home, answer).await.unwrap();
    assert!(server.path().starts_with(directory.path().join("sealway")));
    assert_eq!(ControlClient::all(&home).await.len(), 1);
}

#[test]
fn the_socket_is_born_private_whatever_the_umask() {
    let directory = tempdir().unwrap();
    run(child("modes", directory.path()));
}

async fn modes(directory: &Path) {
    rustix::process::umask(rustix::fs::Mode::empty());
    // Inside of the home, and in a runtime directory.
    fs::create_dir(directory.join("runtime")).unwrap();
    fs::set_permissions(directory.join("runtime"), fs::Permissions::from_mode(0o700)).unwrap();
    for runtime_dir in [None, Some(directory.join("runtime"))] {
        let home = Home::open_with_runtime_dir(directory.join("home"), runtime_dir).unwrap();
        let server = ControlServer::bind(&home, answer).await.unwrap();
        assert_eq!(mode(server.path()), 0o600);
        assert_eq!(mode(server.path().parent().unwrap()), 0o700);
    }
}

#[tokio::test]
async fn another_user_gets_nowhere() {
    if !is_root() {
        println!("skipped: only root can become another user");
        return;
    }
    let directory = tempdir().unwrap();
    let home = Home::open(directory.path().join("home")).unwrap();
    let server = ControlServer::bind(&home, answer).await.unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let path = server.path().to_owned();
    let intruding = tokio::task::spawn_blocking(move || {
        store_common::run_as_nobody("intrude", &path);
    });
    intruding.await.unwrap();
}

fn intrude(socket: &Path) {
    let error = UnixStream::connect(socket).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert!(fs::read(socket.ancestors().nth(2).unwrap().join("state.db")).is_err());
}
