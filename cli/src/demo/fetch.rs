//! The client of the demo: gets something over HTTP/1.1 and tells what really arrived.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::scan::{Needles, Scanner};

/// Longest head of a response in bytes.
const MAX_HEAD: usize = 8_192;

/// What a client got.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Got {
    /// A whole response: as many bytes as it announced.
    Whole(Body),
    /// Less than that.
    Broken {
        /// Bytes of the body that arrived.
        received: u64,
        /// How it ended.
        why: String,
    },
}

/// The body of a whole response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Body {
    /// Its length in bytes.
    pub(crate) len: u64,
    /// Its SHA-256.
    pub(crate) sha256: [u8; 32],
    /// How many pieces of the private file the search found in it.
    pub(crate) hits: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

/// Gets `path` from `address` and waits no longer than `deadline` for all of it.
pub(crate) async fn get(
    address: SocketAddr,
    path: &str,
    needles: &Arc<Needles>,
    deadline: Duration,
) -> Got {
    let mut received = 0;
    let attempt = attempt(address, path, needles, &mut received);
    let why = match tokio::time::timeout(deadline, attempt).await {
        Ok(Ok(body)) => return Got::Whole(body),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("nothing more came within {} s", deadline.as_secs()),
    };
    Got::Broken { received, why }
}

/// What a client sends.
pub(crate) fn request(address: SocketAddr, path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")
}

async fn attempt(
    address: SocketAddr,
    path: &str,
    needles: &Arc<Needles>,
    received: &mut u64,
) -> io::Result<Body> {
    let start = Instant::now();
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(request(address, path).as_bytes()).await?;
    let (len, first) = read_head(&mut socket).await?;
    let mut hash = Sha256::new();
    let mut scanner = Scanner::new(Arc::clone(needles));
    let mut chunk = vec![0; 256 * 1024];
    let mut part = first;
    loop {
        hash.update(&part);
        scanner.feed(&part);
        *received += part.len() as u64;
        if *received >= len {
            break;
        }
        let read = socket.read(&mut chunk).await?;
        if read == 0 {
            let why = format!("the connection was closed {} bytes early", len - *received);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        part.clear();
        part.extend_from_slice(&chunk[..read]);
    }
    let sha256 = hash.finalize().into();
    Ok(Body {
        len: *received,
        sha256,
        hits: scanner.hits(),
        took: start.elapsed(),
    })
}

/// Reads the head: the announced length, and what of the body came with it.
async fn read_head(socket: &mut TcpStream) -> io::Result<(u64, Vec<u8>)> {
    let mut head = Vec::new();
    let end = loop {
        if let Some(at) = head.windows(4).position(|end| end == b"\r\n\r\n") {
            break at + 4;
        }
        if head.len() > MAX_HEAD {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no HTTP answer came",
            ));
        }
        if socket.read_buf(&mut head).await? == 0 {
            let why = "the connection was closed before an answer came";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
    };
    let body = head.split_off(end);
    let text = String::from_utf8_lossy(&head);
    let len = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok());
    match len {
        Some(len) if text.starts_with("HTTP/1.1 200 ") => Ok((len, body)),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the answer is not 200 with a length",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::super::service::{FILE, GREETING, HELLO, Service, write_private_text};
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn the_file_arrives_whole_and_the_visits_are_counted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_private_text(&path, 1_000_001, "MARKER", 5).unwrap();
        let content = std::fs::read(&path).unwrap();
        assert_eq!(content.len(), 1_000_001);
        let mut file = std::fs::File::open(&path).unwrap();
        let needles = Arc::new(Needles::from_file(&mut file, 1_000_001, &[]).unwrap());
        let service = Service::start(path).await.unwrap();
        let Got::Whole(body) = get(service.address, FILE, &needles, DEADLINE).await else {
            panic!("broken");
        };
        let expected: [u8; 32] = Sha256::digest(&content).into();
        assert_eq!((body.len, body.sha256), (1_000_001, expected));
        // At least: neighbouring lines may share what a needle holds of them.
        assert!(body.hits >= needles.count() as u64, "{body:?}");
        let Got::Whole(hello) = get(service.address, HELLO, &needles, DEADLINE).await else {
            panic!("broken");
        };
        assert_eq!(hello.len, GREETING.len() as u64);
        assert!(matches!(
            get(service.address, "/x", &needles, DEADLINE).await,
            Got::Broken { .. }
        ));
        assert_eq!(service.visits.seen(), (3, 3));
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_broken() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.read_u8().await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345";
            socket.write_all(answer).await.unwrap();
        });
        let needles = Arc::new(Needles::new([]));
        let got = get(address, "/", &needles, DEADLINE).await;
        assert!(matches!(got, Got::Broken { received: 5, .. }), "{got:?}");
    }
}
