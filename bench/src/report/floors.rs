//! What a smoke run holds every change to: floors so generous that a busy machine of two cores stays above them, and that a change
//! which halves a figure does not. Judged is the best round, since noise only ever makes things slower.

use super::goals::{Bound, On};
use super::{Report, Summary};

/// The worst that a figure's best round may be.
struct Floor {
    figure: &'static str,
    on: On,
    bound: Bound,
}

const fn ratio_at_least(figure: &'static str, bound: f64) -> Floor {
    Floor {
        figure,
        on: On::Ratio,
        bound: Bound::AtLeast(bound),
    }
}

const fn ratio_at_most(figure: &'static str, bound: f64) -> Floor {
    Floor {
        figure,
        on: On::Ratio,
        bound: Bound::AtMost(bound),
    }
}

const fn value_at_most(figure: &'static str, bound: f64) -> Floor {
    Floor {
        figure,
        on: On::Value,
        bound: Bound::AtMost(bound),
    }
}

/// About twice as bad as measured on two cores without load; on figures whose ratios hold still there. What goes by time or memory alone
/// has more room, for slower machines.
const FLOORS: &[Floor] = &[
    ratio_at_least("portal/up_x1", 0.25),
    ratio_at_least("portal/up_x8", 0.25),
    ratio_at_least("portal/down_x1", 0.23),
    ratio_at_least("portal/down_x8", 0.23),
    ratio_at_least("relay/up_x1", 0.26),
    ratio_at_least("relay/down_x1", 0.25),
    ratio_at_least("relay/up_x8", 0.22),
    ratio_at_most("portal/up_x1_cpu", 4.0),
    ratio_at_most("portal/up_x8_cpu", 4.0),
    ratio_at_most("relay/up_x1_cpu", 3.8),
    ratio_at_most("portal/ping_1B_p50", 3.5),
    ratio_at_most("portal/ping_1KiB_p50", 3.5),
    value_at_most("portal/ping_1B_beside_bulk_p50", 5000.0),
    value_at_most("portal/ping_1KiB_beside_bulk_p50", 5000.0),
    ratio_at_least("portal/bulk_beside_ping_1B", 0.35),
    ratio_at_least("portal/connections_x1", 0.5),
    ratio_at_least("portal/connections_x8", 0.8),
    value_at_most("portal/held_connection", 24.0),
    ratio_at_least("age/throughput", 0.5),
    value_at_most("age/growth", 4.0),
    ratio_at_least("record/seal_1KiB", 0.5),
    ratio_at_least("record/open_1KiB", 0.5),
    ratio_at_least("record/seal_16KiB", 0.5),
    ratio_at_least("record/open_16KiB", 0.5),
    ratio_at_least("record/seal_64KiB", 0.5),
    ratio_at_least("record/open_64KiB", 0.5),
    ratio_at_least("handshake/classical", 0.47),
    ratio_at_least("handshake/hybrid", 0.27),
    ratio_at_least("messages/local_100B", 0.15),
    ratio_at_least("messages/local_8_hops_100B", 0.055),
    ratio_at_least("messages/channel_100B", 0.06),
    ratio_at_least("channels/hybrid_x1", 0.24),
    ratio_at_least("channels/hybrid_x8", 0.45),
    ratio_at_least("channels/classical_x8", 0.6),
    value_at_most("memory/channel_accepted", 7.0),
    value_at_most("memory/channel_opened", 7.0),
    value_at_most("start/version", 15.0),
    value_at_most("start/node_ready", 120.0),
    value_at_most("start/idle_node", 21.0),
];

/// A figure below its floor, or one that has a floor and was not measured.
#[derive(Debug, PartialEq)]
pub(crate) struct Broken(String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The figures that do not hold.
pub(crate) fn broken(report: &Report) -> Vec<Broken> {
    broken_of(FLOORS, report)
}

fn broken_of(floors: &[Floor], report: &Report) -> Vec<Broken> {
    let judge = |floor: &Floor| {
        let Some(best) = report
            .summary(floor.figure)
            .and_then(|summary| floor.best(&summary))
        else {
            let figure = floor.figure;
            return Some(Broken(format!(
                "{figure}: has a floor and was not measured"
            )));
        };
        (!floor.bound.met(best)).then(|| floor.breach(best))
    };
    floors.iter().filter_map(judge).collect()
}

impl Floor {
    /// The best of the rounds.
    fn best(&self, summary: &Summary) -> Option<f64> {
        let span = match self.on {
            On::Value => summary.value,
            On::Ratio => summary.ratio?,
        };
        Some(match self.bound {
            Bound::AtLeast(_) => span.max,
            Bound::AtMost(_) => span.min,
        })
    }

    fn breach(&self, best: f64) -> Broken {
        let what = match self.on {
            On::Value => "value",
            On::Ratio => "ratio to its baseline",
        };
        let Floor { figure, bound, .. } = self;
        Broken(format!(
            "{figure}: {what} {best:.3} in its best round, the floor is {bound}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::goals;

    const FLOORS_OF_TEST: [Floor; 3] = [
        ratio_at_least("fast", 0.5),
        ratio_at_most("cheap", 2.0),
        value_at_most("small", 10.0),
    ];

    fn report(fast: f64, cheap: f64, small: f64) -> Report {
        let mut report = Report::default();
        // A bad round beside a good one is noise.
        for (fast, cheap, small) in [(fast, cheap, small), (fast / 3.0, cheap * 3.0, small * 3.0)] {
            report.add("fast", "GB/s", fast * 7.0, Some(7.0));
            report.add("cheap", "s/GiB", cheap * 3.0, Some(3.0));
            report.add("small", "KiB", small, None);
        }
        report
    }

    #[test]
    fn what_holds_is_not_named() {
        assert_eq!(broken_of(&FLOORS_OF_TEST, &report(0.9, 1.1, 5.0)), []);
    }

    #[test]
    fn a_halved_figure_is_named_with_its_value_and_its_floor() {
        let named = |report: &Report| -> Vec<String> {
            let broken = broken_of(&FLOORS_OF_TEST, report);
            broken.iter().map(ToString::to_string).collect()
        };
        let halved = named(&report(0.45, 1.1, 5.0));
        assert_eq!(
            halved,
            ["fast: ratio to its baseline 0.450 in its best round, the floor is >= 0.5"]
        );
        let doubled = named(&report(0.9, 2.2, 5.0));
        assert_eq!(
            doubled,
            ["cheap: ratio to its baseline 2.200 in its best round, the floor is <= 2"]
        );
        let grown = named(&report(0.9, 1.1, 10.5));
        assert_eq!(
            grown,
            ["small: value 10.500 in its best round, the floor is <= 10"]
        );
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        let broken = broken_of(&FLOORS_OF_TEST, &Report::default());
        assert_eq!(broken.len(), 3);
        assert!(
            broken[0]
                .to_string()
                .contains("fast: has a floor and was not measured")
        );
    }

    #[test]
    fn a_floor_is_easier_than_the_goal_of_its_figure() {
        for floor in FLOORS {
            let Some(goal) = goals::goal(floor.figure).filter(|goal| goal.on == floor.on) else {
                continue;
            };
            match (floor.bound, goal.must) {
                (Bound::AtLeast(floor), Bound::AtLeast(must)) => assert!(floor < must),
                (Bound::AtMost(floor), Bound::AtMost(must)) => assert!(floor > must),
                _ => panic!("{}: floor and goal look different ways", floor.figure),
            }
        }
    }
}
