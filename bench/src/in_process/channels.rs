//! Channels opened over loopback TCP, between two nodes of this process: their times, and their rate against what the primitives of their
//! handshakes allow on one core.

use super::pair::Pair;
use super::{Result, failed, handshake, in_task};
use crate::report::Report;
use crate::tunnels::load::Percentiles;
use sealway::channel::ChannelOptions;
use sealway::core::channel::{Suite, Trust};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Both suites, one and eight in flight, `duration` each.
pub(crate) fn measure(report: &mut Report, runtime: &Runtime, duration: Duration) {
    for (suite, name) in [(Suite::Hybrid, "hybrid"), (Suite::Classical, "classical")] {
        let bare = match handshake::bare_seconds(suite, duration / 2) {
            Ok(seconds) => seconds,
            Err(error) => return report.failed("channels", &error),
        };
        for at_once in [1, 8] {
            let name = format!("channels/{name}_x{at_once}");
            match runtime.block_on(in_task(opened(suite, at_once, duration))) {
                Ok(opened) => {
                    report.add(&name, "1/s", opened.rate, Some(bare.recip()));
                    report.add(&format!("{name}_p50"), "us", opened.times.p50_us, None);
                    report.add(&format!("{name}_p99"), "us", opened.times.p99_us, None);
                }
                Err(error) => report.failed(&name, &failed(&*error)),
            }
        }
    }
}

/// How channels were opened.
struct Opened {
    /// A second.
    rate: f64,
    /// From the first message to the initiator's leave to send.
    times: Percentiles,
}

/// Channels opened (and closed) over one connection, `at_once` in flight.
async fn opened(suite: Suite, at_once: usize, duration: Duration) -> Result<Opened> {
    let pair = Pair::start(suite).await?;
    let began = Instant::now();
    let mut opening = JoinSet::new();
    for _ in 0..at_once {
        let (near, to) = (pair.near.clone(), pair.to.clone());
        opening.spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < duration {
                let asked = Instant::now();
                let options = ChannelOptions::expect(Trust::Everyone);
                let channel = near.secure_channel(to.clone(), options).await?;
                times.push(asked.elapsed());
                channel.close();
            }
            Result::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(opened) = opening.join_next().await {
        times.extend(opened??);
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    pair.shutdown().await;
    Ok(Opened {
        rate,
        times: Percentiles::of(times)?,
    })
}
