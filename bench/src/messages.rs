//! The node library in this process: messages from worker to worker against a bare tokio queue, through a secure channel
//! over TCP, and channels opened a second against what the primitives of their handshakes allow on one core.

use crate::handshake;
use crate::load::Percentiles;
use crate::report::Report;
use sealway::channel::{ChannelOptions, ListenerOptions};
use sealway::core::channel::{Suite, Trust};
use sealway::core::wire::{Address, Frame, Route};
use sealway::{Access, Context, Delivery, Exposure, Message, Node, Worker, WorkerError};
use std::error::Error;
use std::io;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Payload of the one-way messages in bytes.
const PAYLOAD: [u8; 100] = [0x33; 100];
/// Messages that the bare queue holds: about as many as a mailbox of 1 MiB.
const QUEUE: usize = 2900;
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Measures for `duration` each.
pub(crate) fn measure(report: &mut Report, duration: Duration) -> io::Result<()> {
    let runtime = Runtime::new()?;
    let mut add = |name: &str, measured: Result<(f64, Option<f64>)>| match measured {
        Ok((value, baseline)) => report.add(name, "1/s", value, baseline),
        Err(error) => report.failed(name, &io::Error::other(error.to_string())),
    };
    add(
        "messages/local_100B",
        runtime.block_on(in_task(local(duration))),
    );
    add(
        "messages/channel_over_tcp_100B",
        runtime.block_on(in_task(through_a_channel(duration))),
    );
    for at_once in [1, 8] {
        let [classical, hybrid] =
            Suite::ALL.map(|suite| runtime.block_on(in_task(channels(suite, at_once, duration))));
        let baseline = handshake::bare_seconds(duration).map(|seconds| 1.0 / seconds);
        let classical = classical.and_then(|classical| Ok((classical, baseline?)));
        let (rates, times) = match (classical, hybrid) {
            (Ok((classical, bare)), Ok(hybrid)) => (
                [(classical.rate, bare), (hybrid.rate, classical.rate)],
                [classical.times, hybrid.times],
            ),
            (Err(error), _) | (_, Err(error)) => {
                report.failed(&format!("channels x{at_once}"), &failed(error));
                continue;
            }
        };
        let [classical, hybrid] = rates;
        for (name, (rate, baseline)) in [("created", classical), ("hybrid_created", hybrid)] {
            let name = format!("channels/{name}_x{at_once}");
            report.add(&name, "1/s", rate, Some(baseline));
        }
        let [classical, hybrid] = times;
        for (name, time, baseline) in [
            ("p50", hybrid.p50_us, classical.p50_us),
            ("p99", hybrid.p99_us, classical.p99_us),
        ] {
            let name = format!("channels/hybrid_creation_x{at_once}_{name}");
            report.add(&name, "us", time, Some(baseline));
        }
    }
    Ok(())
}

fn failed(error: Box<dyn Error + Send + Sync>) -> io::Error {
    io::Error::other(error.to_string())
}

/// Runs it where the runtime's tasks run: what `block_on` polls itself is woken more slowly.
async fn in_task<T: Send + 'static>(
    measurement: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    tokio::spawn(measurement).await?
}

/// Counts messages to a last one, which is empty.
struct Counting {
    count: u64,
    done: Option<oneshot::Sender<u64>>,
}

impl Worker for Counting {
    type Message = Frame;

    async fn handle(
        &mut self,
        _context: &mut Context,
        message: Delivery<Frame>,
    ) -> std::result::Result<(), WorkerError> {
        if message.payload.is_empty() {
            self.done.take().map(|done| done.send(self.count));
        } else {
            self.count += 1;
        }
        Ok(())
    }
}

/// Sends along `route` for `duration` and waits until `counted` tells how many arrived. Returns messages a second.
async fn one_way(
    node: &Node,
    route: &Route,
    counted: oneshot::Receiver<u64>,
    duration: Duration,
) -> Result<f64> {
    let began = Instant::now();
    let mut sent = 0_u64;
    while began.elapsed() < duration {
        for _ in 0..64 {
            node.send(Message::new(
                route.clone(),
                Route::new(),
                Frame::from_slice(&PAYLOAD),
            ))
            .await?;
        }
        sent += 64;
    }
    node.send(Message::new(
        route.clone(),
        Route::new(),
        Frame::with_capacity(0),
    ))
    .await?;
    let received = tokio::time::timeout(Duration::from_secs(30), counted).await??;
    if received != sent {
        return Err(format!("{received} of {sent} messages arrived").into());
    }
    Ok(sent as f64 / began.elapsed().as_secs_f64())
}

/// A worker that counts, and where it tells.
fn counting(node: &Node, exposure: Exposure) -> Result<oneshot::Receiver<u64>> {
    let (done, counted) = oneshot::channel();
    node.start_worker(
        "count",
        Counting {
            count: 0,
            done: Some(done),
        },
        exposure,
    )?;
    Ok(counted)
}

async fn local(duration: Duration) -> Result<(f64, Option<f64>)> {
    let node = Node::builder().start();
    let counted = counting(&node, Exposure::local())?;
    let route = [Address::local("count")].into_iter().collect();
    let rate = one_way(&node, &route, counted, duration).await?;
    node.shutdown(SHUTDOWN).await;
    Ok((rate, Some(bare_queue(duration).await?)))
}

/// The same frames through a bounded queue of tokio's, with a task that counts.
async fn bare_queue(duration: Duration) -> Result<f64> {
    let (sender, mut receiver) = mpsc::channel::<Frame>(QUEUE);
    let counting = tokio::spawn(async move {
        let mut count = 0_u64;
        while let Some(frame) = receiver.recv().await {
            count += u64::from(!frame.is_empty());
        }
        count
    });
    let began = Instant::now();
    while began.elapsed() < duration {
        for _ in 0..64 {
            sender.send(Frame::from_slice(&PAYLOAD)).await?;
        }
    }
    drop(sender);
    let count = counting.await?;
    Ok(count as f64 / began.elapsed().as_secs_f64())
}

/// Two nodes, a TCP connection between them over loopback, a listener for channels at the second.
async fn pair(suite: Suite) -> Result<(Node, Node, Route)> {
    let (near, far) = (
        Node::builder().ephemeral_identity().start(),
        Node::builder().ephemeral_identity().start(),
    );
    for suite in Suite::ALL {
        let options = ListenerOptions::new(Access::trust(Trust::Everyone));
        far.secure_channel_listener(suite.listener(), options)?;
    }
    let listening = far.listen("tcp:127.0.0.1:0").await?;
    let link = near.connect(&listening.address).await?;
    let to = [link.address().clone(), Address::local(suite.listener())]
        .into_iter()
        .collect();
    Ok((near, far, to))
}

async fn through_a_channel(duration: Duration) -> Result<(f64, Option<f64>)> {
    let (near, far, to) = pair(Suite::Classical).await?;
    let counted = counting(
        &far,
        Exposure::local().to_channels(Access::trust(Trust::Everyone), "count"),
    )?;
    let channel = near
        .secure_channel(to, ChannelOptions::expect(Trust::Everyone))
        .await?;
    let route = [channel.address().clone(), Address::local("count")]
        .into_iter()
        .collect();
    let rate = one_way(&near, &route, counted, duration).await?;
    near.shutdown(SHUTDOWN).await;
    far.shutdown(SHUTDOWN).await;
    Ok((rate, None))
}

/// How channels were opened.
struct Opened {
    /// A second.
    rate: f64,
    /// From the first message to the initiator's leave to send.
    times: Percentiles,
}

/// Channels opened (and closed) over one connection, `at_once` in flight.
async fn channels(suite: Suite, at_once: usize, duration: Duration) -> Result<Opened> {
    let (near, far, to) = pair(suite).await?;
    let began = Instant::now();
    let mut opening = JoinSet::new();
    for _ in 0..at_once {
        let (near, to) = (near.clone(), to.clone());
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
    near.shutdown(SHUTDOWN).await;
    far.shutdown(SHUTDOWN).await;
    Ok(Opened {
        rate,
        times: Percentiles::of(times)?,
    })
}
