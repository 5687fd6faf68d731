//! A request over a secure channel on TCP to an echo in another process, against a direct TCP round trip of as many bytes to another process.

use super::pair::way_to;
use super::{Result, failed, in_task};
use crate::process::Process;
use crate::report::Report;
use crate::tunnels::load::{self, Percentiles, Target};
use sealway::Node;
use sealway::channel::ChannelOptions;
use sealway::core::channel::{Suite, Trust};
use sealway::core::wire::Frame;
use std::io;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// Bytes of a request.
const PAYLOAD: [u8; 100] = [0x33; 100];
/// How often each of the two has its turn, on connections of its own: where the scheduler puts two threads that wake each other decides
/// between 20 and 200 us, and it decides anew each time.
const TURNS: u32 = 10;
const PATIENCE: Duration = Duration::from_secs(10);
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Measures each of the two for `duration`, in turns. Starts processes: for the main thread.
pub(crate) fn measure(report: &mut Report, runtime: &Runtime, duration: Duration) {
    match both(runtime, duration) {
        Ok((ours, direct)) => {
            report.add("echo/channel_p50", "us", ours.p50_us, Some(direct.p50_us));
            report.add("echo/channel_p99", "us", ours.p99_us, Some(direct.p99_us));
        }
        Err(error) => report.failed("echo", &error),
    }
}

fn both(runtime: &Runtime, duration: Duration) -> io::Result<(Percentiles, Percentiles)> {
    let service = Process::start_own(&["serve"])?;
    let address = service.line()?.parse().map_err(io::Error::other)?;
    let direct = Target {
        address,
        processes: Vec::new(),
    };
    let far = Process::start_own(&["echo-node"])?;
    let far_address = far.line()?;
    let len = u32::try_from(PAYLOAD.len()).map_err(io::Error::other)?;
    let turn = duration / TURNS;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        theirs.extend(load::round_trips(&direct, len, turn)?);
        let requests = runtime.block_on(in_task(requests(far_address.clone(), turn)));
        ours.extend(requests.map_err(|error| failed(&*error))?);
    }
    Ok((Percentiles::of(ours)?, Percentiles::of(theirs)?))
}

async fn requests(address: String, duration: Duration) -> Result<Vec<Duration>> {
    let near = Node::builder().ephemeral_identity().start();
    let to = way_to(&near, &address, Suite::Hybrid).await?;
    let channel = near
        .secure_channel(to, ChannelOptions::expect(Trust::Everyone))
        .await?;
    let route = channel.to("echo");
    let mut times = Vec::new();
    for (lasts, counts) in [(duration / 5, false), (duration, true)] {
        let began = Instant::now();
        while began.elapsed() < lasts {
            let asked = Instant::now();
            let payload = Frame::from_slice(&PAYLOAD);
            let answer: Frame = near.request(route.clone(), payload, PATIENCE).await?;
            if counts {
                times.push(asked.elapsed());
            }
            if answer.as_slice() != PAYLOAD {
                return Err("another answer".into());
            }
        }
    }
    near.shutdown(SHUTDOWN).await;
    Ok(times)
}
