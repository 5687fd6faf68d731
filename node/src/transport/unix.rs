//! Unix sockets with the framing of the TCP transport. Ours: the reference's own Unix sockets carry another frame.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sealway_core::wire::AddressType;
use tokio::net::{UnixListener, UnixStream};

use super::socket::Socket;
use super::tcp::accept_failed;
use super::{BoxFuture, Link, Listening, Transport, TransportError, stream};
use crate::node::Node;

/// Longest path of a Unix socket in bytes (`sun_path` with its final zero).
const MAX_PATH: usize = 107;

pub(crate) struct Unix;

fn checked(path: &str) -> Result<&Path, TransportError> {
    let bad = |why| TransportError::BadAddress {
        transport: "unix",
        address: path.to_owned(),
        why,
    };
    if path.is_empty() || path.contains('\0') {
        return Err(bad("a path is needed"));
    }
    if path.len() > MAX_PATH {
        return Err(bad("the path of a socket has at most 107 bytes"));
    }
    Ok(Path::new(path))
}

/// Removes the socket of a process that is gone: ours, and nobody answers.
fn sweep(path: &Path) -> io::Result<()> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() || found.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::ErrorKind::AddrInUse.into());
    }
    std::fs::remove_file(path)
}

/// A listener's file, removed however the listener ends: by its own, or with its node.
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // One that is gone already is what we want.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Transport for Unix {
    fn name(&self) -> &'static str {
        "unix"
    }

    fn address_type(&self) -> AddressType {
        AddressType::UNIX
    }

    fn connect<'a>(
        &'a self,
        node: &'a Node,
        peer: &'a str,
    ) -> BoxFuture<'a, Result<Link, TransportError>> {
        Box::pin(async move {
            let socket = UnixStream::connect(checked(peer)?)
                .await
                .map_err(|source| TransportError::Unreachable {
                    peer: peer.to_owned(),
                    source,
                })?;
            Ok(stream::start(
                node.shared(),
                "unix",
                peer.to_owned(),
                Socket::Unix(socket),
            ))
        })
    }

    fn listen<'a>(
        &'a self,
        node: &'a Node,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Listening, TransportError>> {
        Box::pin(async move {
            let failed = |source| TransportError::Listen {
                address: address.to_owned(),
                source,
            };
            let path = checked(address)?;
            sweep(path).map_err(failed)?;
            let listener = UnixListener::bind(path).map_err(failed)?;
            let listening = Listening::new("unix", address.to_owned());
            let stop = listening.clone();
            let shared = node.shared().clone();
            let file = SocketFile(path.to_owned());
            node.shared().spawn(async move {
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        () = stop.stopped() => break,
                    };
                    match accepted {
                        Ok((socket, _)) if shared.admits_connection() => {
                            stream::start(
                                &shared,
                                "unix",
                                file.0.display().to_string(),
                                Socket::Unix(socket),
                            );
                        }
                        Ok(_) => {}
                        Err(error) => accept_failed(&shared, &error).await,
                    }
                }
            });
            Ok(listening)
        })
    }
}
