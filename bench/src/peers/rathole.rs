//! rathole with its Noise transport: the client knows the server's key.

use super::{Started, free_address, listening};
use crate::process::{Process, Reading, run};
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(super) fn start(program: &Path, directory: &Path, service: &str) -> io::Result<Started> {
    let keys = run(Command::new(program).arg("--genkey"))?;
    // A private key and a public one, 32 bytes in base64 each, under a heading each.
    let keys: Vec<&str> = keys
        .split_whitespace()
        .filter(|word| word.len() == 44 && word.ends_with('='))
        .collect();
    let [private, public] = keys[..] else {
        return Err(io::Error::other("rathole --genkey printed no keys"));
    };
    let (control, address) = (free_address()?, free_address()?);
    fs::write(
        directory.join("server.toml"),
        format!(
            "[server]\nbind_addr = \"{control}\"\ndefault_token = \"t\"\n[server.transport]\ntype = \"noise\"\n\
             [server.transport.noise]\nlocal_private_key = \"{private}\"\n\
             [server.services.s]\nbind_addr = \"{address}\"\nnodelay = true\n"
        ),
    )?;
    fs::write(
        directory.join("client.toml"),
        format!(
            "[client]\nremote_addr = \"{control}\"\ndefault_token = \"t\"\n[client.transport]\ntype = \"noise\"\n\
             [client.transport.noise]\nremote_public_key = \"{public}\"\n\
             [client.services.s]\nlocal_addr = \"{service}\"\nnodelay = true\n"
        ),
    )?;
    let mut command = Command::new(program);
    command
        .arg(directory.join("server.toml"))
        .env("RUST_LOG", "error");
    let server = listening("rathole", &command, &control)?;
    let mut command = Command::new(program);
    command
        .arg(directory.join("client.toml"))
        .env("RUST_LOG", "error");
    let client = Process::spawn("rathole", &command, Reading::Nothing)?;
    carries(&address)?;
    Ok((address, vec![("server", server), ("client", client)]))
}

/// The server may listen before the client has said where to: waits until bytes go through.
fn carries(address: &str) -> io::Result<()> {
    let began = Instant::now();
    let hello = crate::blocks::Hello::echo(1).encode();
    let tried = || -> io::Result<()> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        stream.write_all(&hello)?;
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])
    };
    loop {
        match tried() {
            Err(error) if began.elapsed() > super::READY => return Err(error),
            Err(_) => sleep(Duration::from_millis(100)),
            Ok(()) => return Ok(()),
        }
    }
}
