//! A NATS server on loopback with TLS, one client that publishes and one that subscribes, both in this process, in NATS's own protocol. Many
//! messages go into one write, so that the server is what is measured.

use super::messages::PAYLOAD;
use super::tls::{Certificate, Stream};
use crate::process::{Process, Reading, which};
use crate::scratch::Scratch;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes that are written at once.
const WRITE: usize = 64 * 1024;
/// What the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The first byte of the last message's payload.
const LAST: u8 = b'L';

/// A running server.
pub(super) struct Nats {
    address: SocketAddr,
    certificate: Certificate,
    _server: Process,
}

impl Nats {
    /// Starts one; says what is missing if it cannot be had here.
    pub(super) fn start(scratch: &Scratch) -> io::Result<Result<Self, String>> {
        let Some(server) = which(&["nats-server"], &[Path::new("/usr/sbin")]) else {
            return Ok(Err(
                "nats-server is not installed (Debian: nats-server)".to_owned()
            ));
        };
        if which(&["openssl"], &[]).is_none() {
            return Ok(Err(
                "openssl is not installed, which makes the server's certificate".to_owned(),
            ));
        }
        let directory = scratch.directory("nats")?;
        let certificate = Certificate::make(&directory)?;
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let config = directory.join("nats.conf");
        // A subscriber that is behind is not cut off: everything must arrive.
        std::fs::write(
            &config,
            format!(
                "listen: \"{address}\"\nmax_pending: 1GB\nwrite_deadline: \"30s\"\ntls {{ cert_file: {:?}, key_file: {:?} }}\n",
                certificate.certificate, certificate.key
            ),
        )?;
        let server = Process::spawn(
            "nats-server",
            Command::new(server).arg("-c").arg(config),
            Reading::Errors,
        )?;
        server.find(|line| line.contains("Server is ready").then_some(()))?;
        Ok(Ok(Nats {
            address,
            certificate,
            _server: server,
        }))
    }

    /// Publishes for `duration` and waits until the subscriber has the last. Returns messages a second.
    pub(super) fn one_way(&self, duration: Duration) -> io::Result<f64> {
        let mut subscriber = self.connect()?;
        ask(&mut subscriber, "SUB b 1\r\nPING\r\n")?;
        let mut publisher = self.connect()?;
        let counting = thread::spawn(move || count(&mut subscriber));
        let message = |first: u8| {
            let mut payload = PAYLOAD;
            payload[0] = first;
            [
                format!("PUB b {}\r\n", PAYLOAD.len()).as_bytes(),
                &payload,
                b"\r\n",
            ]
            .concat()
        };
        let one = message(PAYLOAD[0]);
        let at_once = WRITE / one.len();
        let batch = one.repeat(at_once);
        let began = Instant::now();
        let mut sent = 0_u64;
        while began.elapsed() < duration {
            publisher.write_all(&batch)?;
            sent += at_once as u64;
        }
        publisher.write_all(&message(LAST))?;
        publisher.flush()?;
        let received = counting
            .join()
            .map_err(|_| io::Error::other("the subscriber panicked"))??;
        match received == sent {
            true => Ok(sent as f64 / began.elapsed().as_secs_f64()),
            false => Err(io::Error::other(format!(
                "{received} of {sent} messages arrived"
            ))),
        }
    }

    /// A connection that has been greeted.
    fn connect(&self) -> io::Result<Stream> {
        let mut socket = TcpStream::connect(self.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // The server introduces itself before TLS begins.
        let mut byte = [0];
        while byte != *b"\n" {
            socket.read_exact(&mut byte)?;
        }
        let mut stream = self.certificate.connect(socket)?;
        ask(
            &mut stream,
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":true}\r\nPING\r\n",
        )?;
        Ok(stream)
    }
}

/// Writes `words`, which end in a PING, and waits for the PONG.
fn ask(stream: &mut Stream, words: &str) -> io::Result<()> {
    stream.write_all(words.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"PONG\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        answer.push(byte[0]);
        if answer.starts_with(b"-ERR") && byte == *b"\n" {
            return Err(io::Error::other(
                String::from_utf8_lossy(&answer).into_owned(),
            ));
        }
    }
    Ok(())
}

/// Counts the messages before the last.
fn count(stream: &mut impl Read) -> io::Result<u64> {
    let head = format!("MSG b 1 {}\r\n", PAYLOAD.len()).into_bytes();
    let len = head.len() + PAYLOAD.len() + 2;
    let mut buffer = vec![0; 2 * WRITE];
    let (mut filled, mut count) = (0, 0);
    loop {
        let n = stream.read(&mut buffer[filled..])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += n;
        let whole = filled - filled % len;
        for message in buffer[..whole].chunks_exact(len) {
            if !message.starts_with(&head) {
                let text = String::from_utf8_lossy(&message[..head.len()]).into_owned();
                return Err(io::Error::other(format!("no message: {text}")));
            }
            if message[head.len()] == LAST {
                return Ok(count);
            }
            count += 1;
        }
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes a few at a time.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buffer.len());
            let (piece, rest) = self.0.split_at(n);
            buffer[..n].copy_from_slice(piece);
            self.0 = rest;
            Ok(n)
        }
    }

    #[test]
    fn messages_in_pieces_are_counted_to_the_last() {
        let message = |first: u8| {
            let mut payload = PAYLOAD;
            payload[0] = first;
            [b"MSG b 1 100\r\n".as_slice(), &payload, b"\r\n"].concat()
        };
        let stream = [message(b'3').repeat(5), message(LAST)].concat();
        for piece in [1, 7, 115, 1000] {
            assert_eq!(count(&mut Pieces(&stream, piece)).unwrap(), 5);
        }
        assert!(count(&mut Pieces(&stream[1..], 1000)).is_err(), "shifted");
        let cut = stream.len() - message(LAST).len();
        assert!(
            count(&mut Pieces(&stream[..cut], 1000)).is_err(),
            "no last one"
        );
    }
}
