//! Connecting by a ticket: what it offers becomes a local port, and stays reachable without it.
//!
//! The ticket leads to the exposer, and to nobody else: its identity is compared before the secret is sent. Afterwards the home
//! knows the connection by a name, and a program that starts anew needs that name only.
//!
//! Prints what the service said by the ticket, and what it said once the client had restarted.

use std::path::Path;
use std::time::Duration;

use sealway::core::crypto::KeyType;
use sealway::home::Home;
use sealway::keys::load_parties;
use sealway::pins::Pins;
use sealway::prelude::*;
use sealway::ticket::{ConnectOptions, ExposeOptions, Ticket, Way};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type Error = Box<dyn std::error::Error>;

/// Some service that nobody outside reaches.
async fn serve(service: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut socket, _) = service.accept().await?;
        let mut name = String::new();
        socket.read_to_string(&mut name).await?;
        let answer = format!("good morning, {name}");
        socket.write_all(answer.as_bytes()).await?;
    }
}

/// A node under the identity of a home, which keeps what it learns of peers there.
async fn node(home: &Path) -> Result<(Node, Pins), Error> {
    let home = Home::open(home)?;
    let now = home.clock().now();
    let name = "default".parse()?;
    home.identities()
        .default_or_create(&name, KeyType::Ed25519, now)
        .await?;
    let parties = load_parties(&home, None, &[]).await?;
    let pins = Pins::open(&home)?;
    let node = Node::builder().identity(parties).home(&home).start();
    Ok((node, pins))
}

async fn ask(port: &str, name: &str) -> Result<String, Error> {
    let mut socket = TcpStream::connect(port).await?;
    socket.write_all(name.as_bytes()).await?;
    socket.shutdown().await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let target = service.local_addr()?.to_string();
    tokio::spawn(serve(service));
    let directory = tempfile::tempdir()?;

    let (server, pins) = node(&directory.path().join("server")).await?;
    let options = ExposeOptions {
        resource: "greeter".to_owned(),
        target,
        way: Way::Direct(Some("127.0.0.1:0".to_owned())),
    };
    let exposed = server.expose(&pins, options).await?;
    let ticket = exposed.ticket(1, Duration::from_secs(3_600)).await?;
    let text = ticket.to_text()?;

    // The other end, with nothing but that line.
    let home = directory.path().join("client");
    let (client, pins) = node(&home).await?;
    let ticket = Ticket::parse(&text)?;
    let connection = client
        .connect_ticket(&pins, &ticket, ConnectOptions::default())
        .await?;
    println!("{}", ask(connection.inlet().address(), "ticket").await?);
    let name = connection.known().name.clone();
    drop(connection);
    client.shutdown(Duration::from_secs(5)).await;

    let (client, pins) = node(&home).await?;
    let connection = client
        .connect_known(&pins, name.as_str(), ConnectOptions::default())
        .await?;
    println!(
        "{}",
        ask(connection.inlet().address(), name.as_str()).await?
    );

    client.shutdown(Duration::from_secs(5)).await;
    server.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
