//! `ssh -L` to an sshd of its own, AES-256-GCM.

use super::{Peer, Started, free_address, listening};
use crate::process::{run, which};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

const CIPHER: &str = "aes256-gcm@openssh.com";

pub(crate) struct Programs {
    client: PathBuf,
    server: PathBuf,
    keygen: PathBuf,
}

pub(super) fn find() -> io::Result<(Peer, String)> {
    let found = |name: &str| {
        let program = which(&[name], &[Path::new("/usr/sbin")]);
        program.ok_or_else(|| {
            io::Error::other(format!(
                "{name} is not installed (Debian: openssh-client, openssh-server)"
            ))
        })
    };
    let programs = Programs {
        client: found("ssh")?,
        server: found("sshd")?,
        keygen: found("ssh-keygen")?,
    };
    let version = run(Command::new(&programs.client).arg("-V"))?;
    let version = version
        .split(',')
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned();
    Ok((Peer::Ssh(programs), format!("{version}, {CIPHER}")))
}

pub(super) fn start(programs: &Programs, directory: &Path, service: &str) -> io::Result<Started> {
    for key in ["host", "user"] {
        let mut keygen = Command::new(&programs.keygen);
        keygen
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(directory.join(key));
        run(&mut keygen)?;
    }
    fs::copy(directory.join("user.pub"), directory.join("authorized"))?;
    let (server_address, address) = (free_address()?, free_address()?);
    let port = server_address.rsplit(':').next().unwrap_or_default();
    let at = directory.display();
    let config = directory.join("sshd_config");
    fs::write(
        &config,
        format!(
            "ListenAddress {server_address}\nHostKey {at}/host\nAuthorizedKeysFile {at}/authorized\nPidFile none\n\
             UsePAM no\nStrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
             AllowTcpForwarding yes\nMaxSessions 1000\nCiphers {CIPHER}\n"
        ),
    )?;
    // Where sshd wants to put itself before a login; only root can make it, and others' sshd does without.
    let _ = fs::create_dir("/run/sshd");
    let mut command = Command::new(&programs.server);
    command.args(["-D", "-e", "-f"]).arg(&config);
    let server = listening("sshd", &command, &server_address)?;
    let mut command = Command::new(&programs.client);
    command
        .args(["-F", "none", "-N", "-p", port, "-c", CIPHER, "-i"])
        .arg(directory.join("user"));
    command.args([
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "ExitOnForwardFailure=yes",
        "-o",
    ]);
    command.arg(format!("UserKnownHostsFile={at}/known"));
    command.args(["-L", &format!("{address}:{service}"), "127.0.0.1"]);
    let client = listening("ssh", &command, &address)?;
    Ok((address, vec![("ssh", client), ("sshd", server)]))
}
