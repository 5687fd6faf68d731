//! The private service of the demo: HTTP/1.1, two things to get, and a count of everybody who came.

use std::io::{self, BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// The path of the private file.
pub(crate) const FILE: &str = "/private/file";
/// The path of a short text.
pub(crate) const HELLO: &str = "/private/hello";
/// The short text.
pub(crate) const GREETING: &str = "hello from the private service, which has no open port to you\n";
/// Longest head of a request in bytes.
const MAX_HEAD: usize = 8_192;
/// How long a client may take for the head of its request.
const HEAD_DEADLINE: Duration = Duration::from_secs(20);
/// Bytes read from the file at a time.
const CHUNK: usize = 256 * 1024;

/// Who came.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    connections: AtomicU64,
    requests: AtomicU64,
}

impl Visits {
    /// Connections accepted, and whole requests read.
    pub(crate) fn seen(&self) -> (u64, u64) {
        (
            self.connections.load(Ordering::SeqCst),
            self.requests.load(Ordering::SeqCst),
        )
    }
}

/// The running service. Ends with its value.
#[derive(Debug)]
pub(crate) struct Service {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Who came.
    pub(crate) visits: Arc<Visits>,
    task: AbortHandle,
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Service {
    /// Serves `file` on a free loopback port.
    ///
    /// # Errors
    /// No port is free.
    pub(crate) async fn start(file: PathBuf) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let visits = Arc::new(Visits::default());
        let task = tokio::spawn(serve(listener, file, Arc::clone(&visits))).abort_handle();
        Ok(Self {
            address,
            visits,
            task,
        })
    }
}

async fn serve(listener: TcpListener, file: PathBuf, visits: Arc<Visits>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((socket, _)) = accepted else { continue };
                visits.connections.fetch_add(1, Ordering::SeqCst);
                connections.spawn(answer(socket, file.clone(), Arc::clone(&visits)));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers one request and closes.
async fn answer(mut socket: TcpStream, file: PathBuf, visits: Arc<Visits>) -> io::Result<()> {
    let head = tokio::time::timeout(HEAD_DEADLINE, read_head(&mut socket)).await??;
    visits.requests.fetch_add(1, Ordering::SeqCst);
    let path = head
        .strip_prefix("GET ")
        .and_then(|rest| rest.split(' ').next());
    match path {
        Some(FILE) => send_file(&mut socket, &file).await?,
        Some(HELLO) => {
            let head = head_of("200 OK", GREETING.len() as u64);
            socket
                .write_all(format!("{head}{GREETING}").as_bytes())
                .await?;
        }
        _ => {
            socket
                .write_all(head_of("404 Not Found", 0).as_bytes())
                .await?
        }
    }
    socket.shutdown().await?;
    // The client closes when it has everything; closing first could cut what is under way.
    while socket.read(&mut [0; 1_024]).await? > 0 {}
    Ok(())
}

async fn read_head(socket: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > MAX_HEAD || socket.read_buf(&mut head).await? == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn head_of(status: &str, len: u64) -> String {
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n"
    )
}

async fn send_file(socket: &mut TcpStream, path: &Path) -> io::Result<()> {
    let mut file = File::open(path).await?;
    let mut left = file.metadata().await?.len();
    socket.write_all(head_of("200 OK", left).as_bytes()).await?;
    let mut chunk = vec![0; CHUNK];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let read = file.read(&mut chunk[..want]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        socket.write_all(&chunk[..read]).await?;
        left -= read as u64;
    }
    Ok(())
}

/// Writes `len` bytes of text whose every line carries `marker` and a pseudo-random part.
///
/// # Errors
/// The file exists or cannot be written.
pub(crate) fn write_private_text(path: &Path, len: u64, marker: &str, seed: u64) -> io::Result<()> {
    let file = std::fs::File::create_new(path)?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let mut state = seed | 1;
    let mut written = 0_u64;
    let mut number = 0_u64;
    while written < len {
        // xorshift64 (Marsaglia 2003): nothing here needs to be secret, only different everywhere.
        let mut random = [0_u64; 4];
        for word in &mut random {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state;
        }
        number += 1;
        let [a, b, c, d] = random;
        let line =
            format!("{number:08} {marker} {a:016x}{b:016x}{c:016x}{d:016x} for nobody else\n");
        let left = usize::try_from(len - written).unwrap_or(usize::MAX);
        let part = &line.as_bytes()[..line.len().min(left)];
        out.write_all(part)?;
        written += part.len() as u64;
    }
    out.flush()
}
