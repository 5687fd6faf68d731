//! An inlet that speaks the reference's portal protocol to a Sealway end: with the command two Sealway ends speak their own.

use sealway::core::channel::Trust;
use sealway::core::identity::Identifier;
use sealway::core::wire::MultiAddr;
use sealway::portal::PortalProtocol;
use sealway::{Access, Exposure, Node, PathOptions, Service};
use std::error::Error;
use std::io;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The way to the outlet
    #[arg(long)]
    to: MultiAddr,
    /// Who must stand there
    #[arg(long)]
    expect: Identifier,
}

/// Listens at a free loopback port, prints it, and runs until it is killed.
pub(crate) fn run(args: &Args) -> io::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    runtime
        .block_on(serve(args))
        .map_err(|error| io::Error::other(error.to_string()))
}

async fn serve(args: &Args) -> Result<(), Box<dyn Error>> {
    let node = Node::builder().ephemeral_identity().start();
    let expect = Trust::Identifier(args.expect);
    // As the command does: the outlet's node asks whether we still live.
    let echo = Exposure::local().to_channels(Access::trust(expect.clone()), "echo");
    node.start_service(Service::Echo, echo)?;
    let options = PathOptions {
        portal: PortalProtocol::Reference,
        ..PathOptions::expect(expect)
    };
    let inlet = node.inlet("127.0.0.1:0", &args.to, options).await?;
    println!("{}", inlet.address());
    std::future::pending().await
}
