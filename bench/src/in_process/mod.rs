//! Figures of the library in this process, with the least that the machine could do as the baseline.

pub(crate) mod channels;
pub(crate) mod echo;
pub(crate) mod handshake;
pub(crate) mod memory;
pub(crate) mod messages;
pub(crate) mod nats;
pub(crate) mod pair;
pub(crate) mod record;
mod timing;
mod tls;

use std::error::Error;
use std::io;

/// What a measurement in a task gives.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn failed(error: &(dyn Error + Send + Sync)) -> io::Error {
    io::Error::other(error.to_string())
}

/// Runs it where the runtime's tasks run: what `block_on` polls itself is woken more slowly.
async fn in_task<T: Send + 'static>(
    measurement: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(measurement).await?
}
