//! Memory of channels that are open and idle: resident memory of two processes, one that opens them over one connection and one that accepts
//! them, between a few channels and very many.

use super::pair::way_to;
use super::{Result, failed};
use crate::cost::resident_kib;
use crate::process::Process;
use crate::report::Report;
use sealway::Node;
use sealway::channel::{Channel, ChannelOptions};
use sealway::core::channel::{Suite, Trust};
use std::io;
use tokio::task::JoinSet;

/// Channels after which a process has what it allocates once.
const FIRST: usize = 200;
/// Handshakes in flight.
const AT_ONCE: usize = 8;

/// Measures `count` channels at both ends. Starts processes: for the main thread.
pub(crate) fn measure(report: &mut Report, count: usize) {
    match grown(count) {
        Ok([opened, accepted]) => {
            report.add("memory/channel_accepted", "KiB", accepted, None);
            report.add("memory/channel_opened", "KiB", opened, None);
        }
        Err(error) => report.failed("memory", &error),
    }
}

/// KiB a channel at the opening and the accepting end.
fn grown(count: usize) -> io::Result<[f64; 2]> {
    let far = Process::start_own(&["echo-node"])?;
    let near = Process::start_own(&["hold-channels", &far.line()?, &count.to_string()])?;
    let ends = [near.id(), far.id()];
    let look = || -> io::Result<[f64; 2]> {
        let _ready = near.line()?;
        Ok([resident_kib(&ends[..1])?, resident_kib(&ends[1..])?])
    };
    let (before, after) = (look()?, look()?);
    Ok([0, 1].map(|end| (after[end] - before[end]) / count as f64))
}

/// The opening end: opens the first channels and says so, opens `count` more and says so, and keeps all until it is killed.
pub(crate) fn hold(address: &str, count: usize) -> io::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let held = async {
        let node = Node::builder().ephemeral_identity().start();
        let to = way_to(&node, address, Suite::Hybrid).await?;
        let mut held: Vec<Channel> = Vec::with_capacity(FIRST + count);
        for wanted in [FIRST, count] {
            let mut opening = JoinSet::new();
            for lane in 0..AT_ONCE {
                let (node, to) = (node.clone(), to.clone());
                opening.spawn(async move {
                    let mut opened = Vec::new();
                    for _ in (lane..wanted).step_by(AT_ONCE) {
                        let options = ChannelOptions::expect(Trust::Everyone);
                        opened.push(node.secure_channel(to.clone(), options).await?);
                    }
                    Result::Ok(opened)
                });
            }
            while let Some(opened) = opening.join_next().await {
                held.extend(opened??);
            }
            println!("{} are open", held.len());
        }
        std::future::pending().await
    };
    let held: Result<()> = runtime.block_on(held);
    held.map_err(|error| failed(&*error))
}
