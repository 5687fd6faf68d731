//! What each figure must reach between two Sealway ends on their defaults, and what it should.

use super::Summary;

/// Which of a figure's two numbers is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// The value itself, in the figure's unit.
    Value,
    /// The value divided by its baseline of the same round.
    Ratio,
}

/// Which side of a bound is the good one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    pub(crate) fn met(self, by: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => by >= bound,
            Bound::AtMost(bound) => by <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bound::AtLeast(bound) => write!(f, ">= {bound}"),
            Bound::AtMost(bound) => write!(f, "<= {bound}"),
        }
    }
}

/// A goal for one figure.
pub(crate) struct Goal {
    pub(crate) figure: &'static str,
    /// What the figure is, for readers.
    pub(crate) what: &'static str,
    pub(crate) on: On,
    pub(crate) must: Bound,
    pub(crate) aim: Bound,
}

impl Goal {
    /// The number that is judged: the median of the rounds.
    pub(crate) fn judged(&self, summary: &Summary) -> Option<f64> {
        let span = match self.on {
            On::Value => Some(summary.value),
            On::Ratio => summary.ratio,
        };
        span.map(|span| span.median)
    }
}

/// The goal for a figure.
pub(crate) fn goal(figure: &str) -> Option<&'static Goal> {
    GOALS.iter().find(|goal| goal.figure == figure)
}

const fn at_least(figure: &'static str, what: &'static str, on: On, must: f64, aim: f64) -> Goal {
    Goal {
        figure,
        what,
        on,
        must: Bound::AtLeast(must),
        aim: Bound::AtLeast(aim),
    }
}

const fn at_most(figure: &'static str, what: &'static str, on: On, must: f64, aim: f64) -> Goal {
    Goal {
        figure,
        what,
        on,
        must: Bound::AtMost(must),
        aim: Bound::AtMost(aim),
    }
}

/// All goals. Ratios are to the plain chain of as many hops unless the text names another baseline.
#[rustfmt::skip]
pub(crate) const GOALS: &[Goal] = &[
    at_least("portal/up_x1", "portal, one stream up", On::Ratio, 0.7, 1.0),
    at_least("portal/down_x1", "portal, one stream down", On::Ratio, 0.7, 1.0),
    at_least("portal/up_x8", "portal, eight streams up", On::Ratio, 0.65, 0.9),
    at_least("portal/down_x8", "portal, eight streams down", On::Ratio, 0.65, 0.9),
    at_least("relay/up_x1", "through a relay, one stream up", On::Ratio, 0.65, 0.9),
    at_least("relay/down_x1", "through a relay, one stream down", On::Ratio, 0.65, 0.9),
    at_most("portal/up_x1_cpu", "processor time a GiB, one stream up", On::Ratio, 1.6, 1.2),
    at_most("portal/down_x1_cpu", "processor time a GiB, one stream down", On::Ratio, 1.6, 1.2),
    at_most("portal/up_x8_cpu", "processor time a GiB, eight streams up", On::Ratio, 1.6, 1.2),
    at_most("portal/down_x8_cpu", "processor time a GiB, eight streams down", On::Ratio, 1.6, 1.2),
    at_most("portal/ping_1B_p50", "round trip of 1 B, p50", On::Ratio, 1.1, 0.9),
    at_most("portal/ping_1B_p99", "round trip of 1 B, p99", On::Ratio, 1.2, 0.9),
    at_most("portal/ping_1KiB_p50", "round trip of 1 KiB, p50", On::Ratio, 1.1, 0.9),
    at_most("portal/ping_1KiB_p99", "round trip of 1 KiB, p99", On::Ratio, 1.2, 0.9),
    at_most("portal/ping_1B_beside_bulk_p50", "round trip of 1 B beside a stream at full speed, p50", On::Value, 500.0, 200.0),
    at_most("portal/ping_1B_beside_bulk_p99", "the same, p99", On::Value, 2000.0, 600.0),
    at_most("portal/ping_1KiB_beside_bulk_p50", "round trip of 1 KiB beside a stream at full speed, p50", On::Value, 500.0, 200.0),
    at_most("portal/ping_1KiB_beside_bulk_p99", "the same, p99", On::Value, 2000.0, 600.0),
    at_least("portal/bulk_beside_ping_1B", "that stream, against itself without round trips of 1 B", On::Ratio, 0.6, 0.6),
    at_least("portal/bulk_beside_ping_1KiB", "that stream, against itself without round trips of 1 KiB", On::Ratio, 0.6, 0.6),
    at_least("portal/connections_x1", "connections a second, one at a time", On::Ratio, 1.0, 1.2),
    at_least("portal/connections_x8", "connections a second, eight at a time", On::Ratio, 1.5, 2.2),
    at_most("portal/held_connection", "memory of an open connection, both processes", On::Value, 4.0, 2.0),
    at_least("age/throughput", "throughput after 10,000 connections, against none", On::Ratio, 0.97, 0.97),
    at_most("age/growth", "growth of memory by 10,000 connections", On::Value, 2.0, 2.0),
    at_least("handshake/hybrid", "hybrid handshakes in process, against the sum of their primitives", On::Ratio, 0.7, 0.85),
    at_least("handshake/classical", "classical handshakes in process, against the sum of their primitives", On::Ratio, 0.7, 0.85),
    at_most("channels/hybrid_x1_p50", "creation of a hybrid channel over TCP, p50", On::Value, 800.0, 500.0),
    at_least("channels/hybrid_x8", "creation of hybrid channels, eight in flight", On::Value, 2500.0, 2500.0),
    at_most("memory/channel_accepted", "memory of an idle channel, at the end that accepted it", On::Value, 4.0, 2.0),
    at_most("memory/channel_opened", "memory of an idle channel, at the end that opened it", On::Value, 4.0, 2.0),
    at_least("messages/local_100B", "messages from worker to worker", On::Value, 2e6, 5e6),
    at_least("messages/local_8_hops_100B", "messages through eight local hops", On::Value, 5e5, 1e6),
    at_least("messages/channel_100B_to_nats", "messages one way over a channel on TCP, against NATS over TLS", On::Ratio, 0.3, 0.6),
    at_most("echo/channel_p50", "echo over a channel, p50, against a direct TCP ping", On::Ratio, 1.3, 1.15),
    at_least("record/seal_64KiB", "sealing 64 KiB, against bare AES-256-GCM", On::Ratio, 0.9, 0.95),
    at_least("record/open_64KiB", "opening 64 KiB, against bare AES-256-GCM", On::Ratio, 0.9, 0.95),
    at_least("record/seal_16KiB", "sealing 16 KiB, against bare AES-256-GCM", On::Ratio, 0.9, 0.95),
    at_least("record/open_16KiB", "opening 16 KiB, against bare AES-256-GCM", On::Ratio, 0.9, 0.95),
    at_least("record/seal_1KiB", "sealing 1 KiB, against bare AES-256-GCM", On::Ratio, 0.6, 0.95),
    at_least("record/open_1KiB", "opening 1 KiB, against bare AES-256-GCM", On::Ratio, 0.6, 0.95),
    at_most("start/version", "`sealway --version`", On::Value, 5.0, 2.0),
    at_most("start/node_ready", "`sealway node` until ready, on a fresh home", On::Value, 60.0, 20.0),
    at_most("start/idle_node", "resident memory of an idle node", On::Value, 10.0, 6.0),
    at_most("start/stripped_binary", "stripped binary", On::Value, 15.0, 10.0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_one_goal_and_its_aim_is_no_easier() {
        for (index, one) in GOALS.iter().enumerate() {
            assert!(
                GOALS[index + 1..]
                    .iter()
                    .all(|other| other.figure != one.figure)
            );
            match (one.must, one.aim) {
                (Bound::AtLeast(must), Bound::AtLeast(aim)) => {
                    assert!(aim >= must, "{}", one.figure)
                }
                (Bound::AtMost(must), Bound::AtMost(aim)) => assert!(aim <= must, "{}", one.figure),
                _ => panic!("{}: must and aim look different ways", one.figure),
            }
        }
    }

    #[test]
    fn bounds_include_themselves() {
        assert!(Bound::AtLeast(0.7).met(0.7) && !Bound::AtLeast(0.7).met(0.699));
        assert!(Bound::AtMost(4.0).met(4.0) && !Bound::AtMost(4.0).met(4.01));
        assert!(!Bound::AtLeast(0.7).met(f64::NAN) && !Bound::AtMost(0.7).met(f64::NAN));
    }
}
