//! stunnel, client and server, TLS 1.3, a handshake for each connection.

use super::{Peer, Started, free_address, listening};
use crate::process::{run, which};
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;

pub(super) fn find() -> io::Result<(Peer, String)> {
    let program = which(&["stunnel4", "stunnel"], &[])
        .ok_or_else(|| io::Error::other("not installed (Debian: stunnel4)"))?;
    if which(&["openssl"], &[]).is_none() {
        return Err(io::Error::other(
            "openssl is not installed, which makes its certificate",
        ));
    }
    let said = run(Command::new(&program).arg("-version"))?;
    let version = said
        .split_whitespace()
        .skip_while(|word| *word != "stunnel")
        .nth(1);
    let version = format!("stunnel {}", version.unwrap_or("of unknown version"));
    Ok((Peer::Stunnel(program), version))
}

pub(super) fn start(program: &Path, directory: &Path, service: &str) -> io::Result<Started> {
    let at = directory.display();
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ]);
    openssl.args(["-days", "2", "-subj", "/CN=localhost", "-keyout"]);
    openssl
        .arg(directory.join("key.pem"))
        .arg("-out")
        .arg(directory.join("cert.pem"));
    run(&mut openssl)?;
    let (far, address) = (free_address()?, free_address()?);
    let common = "foreground = yes\ndebug = 3\npid =\nsslVersionMin = TLSv1.3\n\
                  socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\n";
    fs::write(
        directory.join("server.conf"),
        format!(
            "{common}[s]\naccept = {far}\nconnect = {service}\ncert = {at}/cert.pem\nkey = {at}/key.pem\n"
        ),
    )?;
    fs::write(
        directory.join("client.conf"),
        format!(
            "{common}client = yes\n[c]\naccept = {address}\nconnect = {far}\nCAfile = {at}/cert.pem\nverifyPeer = yes\n"
        ),
    )?;
    let mut command = Command::new(program);
    command.arg(directory.join("server.conf"));
    let server = listening("stunnel", &command, &far)?;
    let mut command = Command::new(program);
    command.arg(directory.join("client.conf"));
    let client = listening("stunnel", &command, &address)?;
    Ok((address, vec![("client", client), ("server", server)]))
}
