//! Messages one way: from worker to worker against a bare tokio queue, through eight local hops, and over a secure channel on TCP against
//! NATS over TLS.

use super::nats::Nats;
use super::pair::Pair;
use super::{Result, failed, in_task};
use crate::report::Report;
use crate::scratch::Scratch;
use sealway::channel::ChannelOptions;
use sealway::core::channel::{Suite, Trust};
use sealway::core::wire::{Address, Frame, Route};
use sealway::{Access, Context, Delivery, Exposure, Message, Node, Service, Worker, WorkerError};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// Payload of the messages.
pub(super) const PAYLOAD: [u8; 100] = [0x33; 100];
/// Messages that the bare queue holds: about as many as a mailbox of 1 MiB.
const QUEUE: usize = 2900;
/// Local hops in a row.
const HOPS: usize = 8;
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Measures for `duration` each. Starts a process: for the main thread.
pub(crate) fn measure(
    report: &mut Report,
    runtime: &Runtime,
    scratch: &Scratch,
    duration: Duration,
) {
    let bare = runtime.block_on(in_task(bare_queue(duration)));
    let bare = match bare {
        Ok(bare) => bare,
        Err(error) => return report.failed("messages", &failed(&*error)),
    };
    for (name, hops) in [
        ("messages/local_100B", 0),
        ("messages/local_8_hops_100B", HOPS),
    ] {
        match runtime.block_on(in_task(local(hops, duration))) {
            Ok(rate) => report.add(name, "1/s", rate, Some(bare)),
            Err(error) => report.failed(name, &failed(&*error)),
        }
    }
    let ours = match runtime.block_on(in_task(through_a_channel(Suite::Hybrid, duration))) {
        Ok(rate) => rate,
        Err(error) => return report.failed("messages/channel_100B", &failed(&*error)),
    };
    report.add("messages/channel_100B", "1/s", ours, Some(bare));
    let name = "messages/channel_100B_to_nats";
    match Nats::start(scratch) {
        Ok(Ok(nats)) => match nats.one_way(duration) {
            Ok(theirs) => report.add(name, "1/s", ours, Some(theirs)),
            Err(error) => report.failed(name, &error),
        },
        Ok(Err(missing)) => report.missing(name, &missing),
        Err(error) => report.failed(name, &error),
    }
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

/// From a task to a worker, through so many hops.
async fn local(hops: usize, duration: Duration) -> Result<f64> {
    let node = Node::builder().start();
    node.start_service(Service::Hop, Exposure::local())?;
    let counted = counting(&node, Exposure::local())?;
    let hops = std::iter::repeat_n(Address::local(Service::Hop.name()), hops);
    let route = hops.chain([Address::local("count")]).collect();
    let rate = one_way(&node, &route, counted, duration).await?;
    node.shutdown(SHUTDOWN).await;
    Ok(rate)
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

async fn through_a_channel(suite: Suite, duration: Duration) -> Result<f64> {
    let pair = Pair::start(suite).await?;
    let exposure = Exposure::local().to_channels(Access::trust(Trust::Everyone), "count");
    let counted = counting(&pair.far, exposure)?;
    let options = ChannelOptions::expect(Trust::Everyone);
    let channel = pair.near.secure_channel(pair.to.clone(), options).await?;
    let rate = one_way(&pair.near, &channel.to("count"), counted, duration).await?;
    pair.shutdown().await;
    Ok(rate)
}
