//! Counters for everything that was dropped, refused or closed, by reason.
//!
//! Nothing is dropped silently: each place that gives a message up counts it here first.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($variant:ident $name:literal $doc:literal,)*) => {
        /// Why something was dropped, refused or closed, and how much went well.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Count { $(#[doc = $doc] $variant,)* }

        impl Count {
            const ALL: &'static [Count] = &[$(Count::$variant,)*];

            /// The counter's name, as `status` shows it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Count::$variant => $name,)* }
            }
        }
    };
}

counters! {
    MessagesReceived "messages_received" "Routing messages that arrived over a transport.",
    MessagesSent "messages_sent" "Routing messages that were handed to a transport.",
    Heartbeats "heartbeats" "Messages with an empty onward route (reference, section 1.3, rule 5).",
    Undecodable "undecodable" "Routing messages that could not be decoded; their connection was closed.",
    UnknownAddress "unknown_address" "Messages to an address where nobody is.",
    NotExposed "not_exposed" "Messages to an address that is not exposed to their origin.",
    ForeignDial "foreign_dial" "Messages from outside whose route names an address to connect to.",
    TooManyHops "too_many_hops" "Messages with more than 16 return hops, or passed on more than 64 times in here.",
    MailboxFull "mailbox_full" "Messages from outside whose worker's mailbox was full.",
    UndecodablePayload "undecodable_payload" "Messages whose payload the worker could not decode.",
    WorkerErrors "worker_errors" "Messages that a worker failed to handle.",
    TransportGone "transport_gone" "Messages to a connection that is closed.",
    EgressStalled "egress_stalled" "Connections closed because they took nothing for too long.",
    ConnectionsOpened "connections_opened" "Transport connections opened or accepted.",
    ConnectionsClosed "connections_closed" "Transport connections that ended.",
    ConnectionsRefused "connections_refused" "Transport connections refused because there were too many.",
    BadVersion "bad_version" "Connections whose first byte was not the protocol version.",
    OversizedFrame "oversized_frame" "Connections that announced a frame above 16 MiB, and messages that would need one.",
    ChannelsOpened "channels_opened" "Secure channels that completed their handshake.",
    ChannelsClosed "channels_closed" "Secure channels that ended.",
    ChannelsEvicted "channels_evicted" "Secure channels ended because there were too many, and most from where they came from.",
    ChannelsLost "channels_lost" "Secure channels given up because the other end fell silent.",
    HandshakesRefused "handshakes_refused" "Handshake messages that failed verification.",
    HandshakesExpired "handshakes_expired" "Handshakes that were not finished in time.",
    HandshakesEvicted "handshakes_evicted" "Half-finished handshakes given up because there were too many.",
    PeersRefused "peers_refused" "Authenticated peers that may reach nothing here.",
    HistoriesRefused "histories_refused" "Histories that an open channel refreshed, and that did not continue the known one.",
    FramesRefused "frames_refused" "Channel messages that were forged, damaged or too far off.",
    FramesReplayed "frames_replayed" "Channel messages that had been received before.",
    ChannelGaps "channel_gaps" "Channels under a byte stream that lost a message.",
    RelayForwarded "relay_forwarded" "Messages that a relay passed on.",
    GrantsEvicted "grants_evicted" "Ways from one connection to another that a relay closed because the first had asked for too many.",
    RelayRefused "relay_refused" "Registrations that a relay refused.",
    RelayRegistered "relay_registered" "Registrations that a relay accepted.",
    SessionsBroken "sessions_broken" "Portal sessions, with their channels, that a breach of the protocol ended.",
    TicketsRedeemed "tickets_redeemed" "Tickets that were redeemed here by somebody new.",
    RedemptionsRefused "redemptions_refused" "Redemptions that were refused: spent, expired or unknown tickets.",
    StreamsOpened "streams_opened" "Portal connections that were established.",
    StreamsFinished "streams_finished" "Portal connections that ended in order.",
    StreamsReset "streams_reset" "Portal connections that were reset.",
    StreamsRefused "streams_refused" "Portal connections whose target could not be reached.",
    StreamBytesReceived "stream_bytes_received" "Bytes that portals got from the other end for their local sockets.",
    StreamBytesSent "stream_bytes_sent" "Bytes that portals read from their local sockets for the other end.",
}

/// The counters of one node.
#[derive(Debug)]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    pub(crate) fn add(&self, count: Count, n: u64) {
        if let Some(counter) = self.0.get(count as usize) {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(crate) fn one(&self, count: Count) {
        self.add(count, 1);
    }

    /// The present value of one counter.
    #[must_use]
    pub fn get(&self, count: Count) -> u64 {
        self.0
            .get(count as usize)
            .map_or(0, |counter| counter.load(Ordering::Relaxed))
    }

    /// Every counter that is not zero, by name.
    #[must_use]
    pub fn snapshot(&self) -> Vec<(&'static str, u64)> {
        Count::ALL
            .iter()
            .map(|count| (count.name(), self.get(*count)))
            .filter(|(_, value)| *value > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_names_what_was_counted() {
        let counters = Counters::default();
        counters.one(Count::ForeignDial);
        counters.add(Count::MessagesSent, 3);
        assert_eq!(
            counters.snapshot(),
            [("messages_sent", 3), ("foreign_dial", 1)]
        );
    }
}
