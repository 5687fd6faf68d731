//! A blocking TLS 1.3 connection to a server on loopback that has a certificate of its own.

use crate::process::run;
use rustls::client::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, RootCertStore, StreamOwned};
use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// What is read and written in the clear.
pub(super) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A server's certificate and key.
pub(super) struct Certificate {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificate {
    /// Has `openssl` make one for `localhost`.
    pub(super) fn make(directory: &Path) -> io::Result<Self> {
        let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
        let mut command = Command::new("openssl");
        command.args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ]);
        command.args(["-nodes", "-days", "2", "-subj", "/CN=localhost"]);
        command.args(["-addext", "subjectAltName=DNS:localhost"]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        command
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        run(&mut command)?;
        Ok(Certificate { certificate, key })
    }

    /// Goes on in TLS on `socket`, whose other end must have this certificate.
    pub(super) fn connect(&self, socket: TcpStream) -> io::Result<Stream> {
        let mut roots = RootCertStore::empty();
        let certificate =
            CertificateDer::from_pem_file(&self.certificate).map_err(io::Error::other)?;
        roots.add(certificate).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(connection, socket))
    }
}
