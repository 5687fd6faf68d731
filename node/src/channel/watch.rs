//! Authenticated liveness, and the deadlines of gaps: one task for all channels of a node.
//!
//! A channel that has been silent is asked whether its peer still lives: a small message to the peer's `echo` through the
//! channel itself, soon if byte streams depend on it, else after a minute. Whether a peer answers at all is asked ahead of the first
//! stream, whose data then come behind the answer: a peer that dies in the middle of it is found silent. Only a peer that has answered before, here or in the
//! channel that this one replaces, can be found silent, and only while our own path is free: what is held back by a slow
//! reader is not dead.
//! A peer that never answers may have no `echo`: that nothing ever came from it is a reason to ask sooner, and no more. If it
//! also leaves a stream without an answer, it knows nothing of the channel: message 3 was lost.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use sealway_core::wire::{Address, Frame, Route};
use tokio::time::Instant;

use super::{ChannelShared, CloseReason, hops};
use crate::counters::Count;
use crate::exposure::Exposure;
use crate::message::Message;
use crate::node::{Shared, lock};
use crate::router::{Endpoint, Flushes, Hop, Router, Step, Target, Undelivered};

/// How often the channels are looked at.
const INTERVAL: Duration = Duration::from_millis(500);
/// After this much silence the peer is asked, if somebody depends on the channel.
const ASK_AFTER: Duration = Duration::from_secs(4);
/// After this much silence it is asked if nobody does.
const ASK_IDLE_AFTER: Duration = Duration::from_secs(60);
/// A channel that nobody depends on, and whose peer never answers, ends after this much silence: its peer may be gone since long.
const FORGET_AFTER: Duration = Duration::from_secs(3_600);
/// Between two questions.
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// The same for a channel that nothing has come through yet: message 3 may be lost, and the peer not know of the channel.
const ASK_UNCONFIRMED: Duration = Duration::from_secs(2);
/// Unanswered questions after which a channel is lost.
const MISSES: u32 = 3;
/// A message that is missing in the sequence must come within this time.
const GAP_DEADLINE: Duration = Duration::from_secs(2);

/// What is known about whether the peer answers.
#[derive(Debug, Default)]
pub(crate) struct Liveness {
    /// Whether somebody depends on the channel, even if no stream runs over it now.
    pub(crate) wanted: bool,
    /// Whether the peer has answered a question before.
    answers: bool,
    /// Whether it had in the channel that this one replaces.
    expected: bool,
    /// When a peer that has not answered yet was asked last.
    probed: Option<Instant>,
    asked: Option<Instant>,
    misses: u32,
}

impl Liveness {
    /// The peer has answered a question.
    pub(crate) fn answers(&mut self) {
        self.answers = true;
    }

    /// Whether the peer has answered a question in this channel.
    pub(crate) fn has_answered(&self) -> bool {
        self.answers
    }

    /// The peer has answered in the channel that this one replaces.
    pub(crate) fn expect(&mut self) {
        self.expected = true;
    }
}

/// Where answers arrive: what matters is that they came, and their channel knows that.
struct AnswerHop {
    node: Weak<Shared>,
}

impl Hop for AnswerHop {
    fn step(&self, _router: &Router, message: Message, _flushes: &mut Flushes) -> Step {
        if let (Some(node), Some(source)) = (self.node.upgrade(), message.origin.source())
            && let Some(channel) = lock(&node.channels).get(source)
        {
            lock(&channel.liveness).answers();
        }
        Step::Done
    }
}

/// Starts the task.
pub(crate) fn start(node: &Arc<Shared>) {
    let answers = node.fresh_address();
    node.answers.get_or_init(|| answers.clone());
    let hop = AnswerHop {
        node: Arc::downgrade(node),
    };
    let endpoint = Endpoint {
        exposure: Exposure::anyone(),
        target: Target::Hop(Arc::new(hop)),
    };
    node.router.insert(answers, endpoint);
    let weak = Arc::downgrade(node);
    node.spawn(async move {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(node) = weak.upgrade() else { return };
            let channels: Vec<_> = lock(&node.channels).values().cloned().collect();
            for channel in channels {
                look_for_gaps(&node, &channel);
                look_for_life(&node, &channel);
                if channel.retired.load(Ordering::Acquire) && channel.streams() == 0 {
                    channel.close(&node, CloseReason::Local, true);
                }
            }
        }
    });
}

/// A gap that was not filled in time is told, and what was held behind it goes on.
fn look_for_gaps(node: &Arc<Shared>, channel: &ChannelShared) {
    let released = {
        let mut ordered = lock(&channel.in_order);
        if ordered
            .since
            .is_none_or(|since| since.elapsed() <= GAP_DEADLINE)
        {
            return;
        }
        // Told before the lock is released: nothing behind the gap may reach a stream that has not seen it.
        hops::gap(node, channel);
        ordered.give_up()
    };
    let mut flushes = Flushes::default();
    for message in released {
        if let Err(Undelivered::Full(held, _)) = node.router.deliver(message, &mut flushes) {
            // The streams are reset anyway, and nobody here may wait.
            node.router
                .counters
                .add(Count::MailboxFull, held.len() as u64);
        }
    }
    flushes.run();
}

fn look_for_life(node: &Arc<Shared>, channel: &ChannelShared) {
    let silence = channel.silence(node);
    let mut liveness = lock(&channel.liveness);
    let idle = !liveness.wanted && channel.streams() == 0;
    if idle && !liveness.answers && silence > FORGET_AFTER {
        drop(liveness);
        channel.close(node, CloseReason::Silent, true);
        return;
    }
    // An initiator knows that its message 3 has arrived once anything authentic comes back.
    let confirmed = channel.confirmed.load(Ordering::Relaxed);
    let (after, again) = match (idle, confirmed) {
        (true, _) => (ASK_IDLE_AFTER, ASK_AGAIN),
        (false, true) => (ASK_AFTER, ASK_AGAIN),
        (false, false) => (ASK_UNCONFIRMED, ASK_UNCONFIRMED),
    };
    if silence < after {
        liveness.misses = 0;
        liveness.asked = None;
        drop(liveness);
        if !idle {
            probe(node, channel);
        }
        return;
    }
    if liveness.asked.is_some_and(|asked| asked.elapsed() < again) {
        return;
    }
    let free = channel
        .first_hop()
        .is_none_or(|first| node.router.backlog(&first) == 0);
    if liveness.asked.is_some() && free {
        liveness.misses += 1;
    }
    if liveness.misses >= MISSES && (liveness.answers || liveness.expected) {
        drop(liveness);
        node.router.counters.one(Count::ChannelsLost);
        channel.close(node, CloseReason::Silent, true);
        return;
    }
    liveness.asked = Some(Instant::now());
    drop(liveness);
    ask(node, channel);
}

/// Finds out whether a peer answers at all while it lives: a busy one that dies could else never be found silent.
pub(crate) fn probe(node: &Shared, channel: &ChannelShared) {
    let mut liveness = lock(&channel.liveness);
    let recently = |at: Instant| at.elapsed() <= ASK_AGAIN;
    if liveness.answers || liveness.probed.is_some_and(recently) {
        return;
    }
    liveness.probed = Some(Instant::now());
    drop(liveness);
    ask(node, channel);
}

/// Sends the reference's liveness question (reference, section 7.1): a CBOR integer to `echo`, echoed as it is.
///
/// In a portal's session it is a Ping, which every peer that speaks it answers.
fn ask(node: &Shared, channel: &ChannelShared) {
    if let Some(session) = node.portals.session(&channel.origin.channel) {
        return session.ask();
    }
    let Some(answers) = node.answers.get() else {
        return;
    };
    let onward: Route = [channel.origin.channel.clone(), Address::local("echo")]
        .into_iter()
        .collect();
    let mut flushes = Flushes::default();
    let question = Message::new(
        onward,
        crate::node::route_to(answers),
        Frame::from_slice(&[0]),
    );
    node.send_now(question, &mut flushes);
    flushes.run();
}
