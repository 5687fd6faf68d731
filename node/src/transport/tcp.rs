//! The TCP transport (reference, section 2.1).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealway_core::wire::AddressType;
use tokio::net::{TcpListener, TcpStream};

use super::socket::{Socket, keep_unsent_small, prepare_tcp};
use super::{BoxFuture, Link, Listening, Transport, TransportError, stream};
use crate::counters::Count;
use crate::node::{Node, Shared};
use crate::telling::Line;

/// One attempt to connect to one of a host's addresses.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Tcp;

impl Transport for Tcp {
    fn name(&self) -> &'static str {
        "tcp"
    }

    fn address_type(&self) -> AddressType {
        AddressType::TCP
    }

    fn connect<'a>(
        &'a self,
        node: &'a Node,
        peer: &'a str,
    ) -> BoxFuture<'a, Result<Link, TransportError>> {
        Box::pin(async move {
            let socket = connect(peer).await?;
            keep_unsent_small(&socket);
            Ok(stream::start(
                node.shared(),
                "tcp",
                peer.to_owned(),
                Socket::Tcp(socket),
            ))
        })
    }

    fn listen<'a>(
        &'a self,
        node: &'a Node,
        address: &'a str,
    ) -> BoxFuture<'a, Result<Listening, TransportError>> {
        Box::pin(async move {
            let (listener, bound) = bind(address).await?;
            let listening = Listening::new("tcp", bound.to_string());
            let stop = listening.clone();
            let shared = node.shared().clone();
            node.shared().spawn(async move {
                loop {
                    let accepted = tokio::select! {
                        accepted = listener.accept() => accepted,
                        () = stop.stopped() => return,
                    };
                    match accepted {
                        Ok((socket, peer)) => {
                            if prepare_tcp(&socket).is_ok() && shared.admits_connection() {
                                keep_unsent_small(&socket);
                                stream::start(
                                    &shared,
                                    "tcp",
                                    peer.to_string(),
                                    Socket::Tcp(socket),
                                );
                            }
                        }
                        Err(error) => accept_failed(&shared, &error).await,
                    }
                }
            });
            Ok(listening)
        })
    }
}

/// Out of file descriptors, most likely: the listener waits for some to come back instead of spinning.
pub(crate) async fn accept_failed(node: &Arc<Shared>, error: &io::Error) {
    node.router.counters.one(Count::ConnectionsRefused);
    let line = format!("a connection could not be accepted: {error}");
    node.tell(Count::ConnectionsRefused, Line::Warning(line));
    tokio::time::sleep(Duration::from_millis(100)).await;
}

/// The addresses of `HOST:PORT`, IPv6 in brackets (reference, section 2.1).
async fn resolve(peer: &str) -> Result<Vec<SocketAddr>, TransportError> {
    let bad = |why| TransportError::BadAddress {
        transport: "tcp",
        address: peer.to_owned(),
        why,
    };
    let (host, port) = peer
        .rsplit_once(':')
        .ok_or_else(|| bad("it has no port: write HOST:PORT"))?;
    let port: u16 = port
        .parse()
        .map_err(|_| bad("the port is not a number from 0 to 65535"))?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    if bare.is_empty() {
        return Err(bad("it has no host"));
    }
    if bare.contains(':') && bare.len() == host.len() {
        return Err(bad("an IPv6 address stands in brackets"));
    }
    if let Ok(ip) = bare.parse() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    if !is_hostname(bare) {
        return Err(bad("it is neither an IP address nor a host name"));
    }
    let found = tokio::net::lookup_host((bare, port)).await;
    let addresses: Vec<_> = found
        .map_err(|source| TransportError::Unresolvable {
            host: bare.to_owned(),
            source,
        })?
        .collect();
    if addresses.is_empty() {
        let source = io::Error::from(io::ErrorKind::NotFound);
        return Err(TransportError::Unresolvable {
            host: bare.to_owned(),
            source,
        });
    }
    Ok(addresses)
}

/// At most 253 characters, labels of 1 to 63 letters, digits, `-` and `_`, no `-` at their ends.
fn is_hostname(host: &str) -> bool {
    host.len() <= 253
        && host.trim_end_matches('.').split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

/// Connects to the first address of `peer` that answers.
pub(crate) async fn connect(peer: &str) -> Result<TcpStream, TransportError> {
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in resolve(peer).await? {
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => match prepare_tcp(&socket) {
                Ok(()) => return Ok(socket),
                Err(error) => last = error,
            },
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(TransportError::Unreachable {
        peer: peer.to_owned(),
        source: last,
    })
}

/// Binds the first address of `address` that can be had.
pub(crate) async fn bind(address: &str) -> Result<(TcpListener, SocketAddr), TransportError> {
    let failed = |source| TransportError::Listen {
        address: address.to_owned(),
        source,
    };
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for candidate in resolve(address).await? {
        match TcpListener::bind(candidate).await {
            Ok(listener) => {
                let bound = listener.local_addr().map_err(failed)?;
                return Ok((listener, bound));
            }
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_of_nonsense_are_named() {
        for bad in [
            "",
            "nowhere",
            "host:",
            "host:70000",
            ":80",
            "::1:80",
            "-x:80",
            "a b:80",
            "a..b:80",
            "x\u{7}:1",
        ] {
            let error = resolve(bad).await.expect_err(bad);
            assert!(
                matches!(error, TransportError::BadAddress { .. }),
                "{bad}: {error}"
            );
        }
    }

    #[tokio::test]
    async fn ipv6_in_brackets_resolves() {
        assert_eq!(
            resolve("[::1]:80").await.expect("literal")[0].to_string(),
            "[::1]:80"
        );
    }
}
