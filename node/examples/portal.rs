//! A portal: a TCP service beside one node appears as a local port beside another, through a secure channel.
//!
//! The *outlet* connects to the service, the *inlet* is the local port. Programs on both sides speak plain TCP and know
//! nothing of it. The path between the two is rebuilt whenever it breaks.
//!
//! Prints what a client of the local port got from the service.

use std::net::SocketAddr;
use std::time::Duration;

use sealway::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Some service, made long before anybody thought of encryption.
async fn serve(service: TcpListener) -> std::io::Result<()> {
    loop {
        let (mut socket, _) = service.accept().await?;
        let mut name = String::new();
        socket.read_to_string(&mut name).await?;
        let answer = format!("good morning, {name}");
        socket.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let target = service.local_addr()?.to_string();
    tokio::spawn(serve(service));

    let client = Node::builder().ephemeral_identity().start();
    let client_is = client.identifier().ok_or("the client has no identity")?;

    let server = Node::builder().ephemeral_identity().start();
    let access = Access::trust(Trust::Identifier(client_is));
    let exposure = Exposure::local().to_channels(access.clone(), "greeter");
    server.outlet("greeter", &target, exposure)?;
    // The inlet asks the other end's echo for signs of life.
    let exposure = Exposure::local().to_channels(access.clone(), "echo");
    server.start_service(Service::Echo, exposure)?;
    server.secure_channel_listener("sealway_xx1", ListenerOptions::new(access))?;
    let listening = server.listen("127.0.0.1:0").await?;
    let server_is = server.identifier().ok_or("the server has no identity")?;

    let at: SocketAddr = listening.address.parse()?;
    let to: MultiAddr = format!(
        "/ip4/{}/tcp/{}/secure/sealway_xx1/service/greeter",
        at.ip(),
        at.port()
    )
    .parse()?;
    let options = PathOptions::expect(Trust::Identifier(server_is));
    let inlet = client.inlet("127.0.0.1:0", &to, options).await?;

    let mut socket = TcpStream::connect(inlet.address()).await?;
    socket.write_all(b"world").await?;
    socket.shutdown().await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    println!("{answer}");

    client.shutdown(Duration::from_secs(5)).await;
    server.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
