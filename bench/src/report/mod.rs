//! Figures: collected over the rounds, judged, printed, drawn.

pub(crate) mod floors;
pub(crate) mod goals;
pub(crate) mod plots;
mod statistics;
mod svg;
mod tables;

pub(crate) use tables::Form;

use statistics::Span;
use std::collections::BTreeMap;
use std::io;

/// One measured value and, where there is one, its baseline of the same round.
#[derive(Clone, Copy)]
struct Sample {
    value: f64,
    baseline: Option<f64>,
}

/// What the rounds say of one figure.
pub(crate) struct Summary {
    pub(crate) value: Span,
    /// Median of the baselines.
    baseline: Option<f64>,
    /// Of the rounds' ratios: only what was measured in the same round can be compared on a busy machine.
    pub(crate) ratio: Option<Span>,
}

/// All samples of all rounds, by name, in the order in which the names came first.
#[derive(Default)]
pub(crate) struct Report {
    names: Vec<(String, &'static str)>,
    samples: BTreeMap<String, Vec<Sample>>,
    missing: Vec<(String, String)>,
    notes: Vec<String>,
    errors: usize,
}

impl Report {
    /// Records a value in `unit` with the baseline measured in the same round.
    pub(crate) fn add(
        &mut self,
        name: &str,
        unit: &'static str,
        value: f64,
        baseline: Option<f64>,
    ) {
        if !self.samples.contains_key(name) {
            self.names.push((name.to_owned(), unit));
        }
        self.samples
            .entry(name.to_owned())
            .or_default()
            .push(Sample { value, baseline });
    }

    /// Notes a figure that could not be measured; the run goes on and fails at its end.
    pub(crate) fn failed(&mut self, what: &str, error: &io::Error) {
        self.errors += 1;
        eprintln!("{what}: {error}");
    }

    /// Notes what is not there to be measured; that is no failure. Each is told once.
    pub(crate) fn missing(&mut self, what: &str, reason: &str) {
        if self.missing.iter().all(|(known, _)| known != what) {
            eprintln!("{what}: {reason}");
            self.missing.push((what.to_owned(), reason.to_owned()));
        }
    }

    /// Something to know about the run, for the head of its tables.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The number of figures that could not be measured.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// What the rounds say of a figure; none if it was not measured.
    pub(crate) fn summary(&self, name: &str) -> Option<Summary> {
        let samples = self.samples.get(name)?;
        let ratio = |sample: &Sample| {
            let baseline = sample.baseline.filter(|baseline| *baseline > 0.0)?;
            Some(sample.value / baseline)
        };
        let baselines = samples.iter().filter_map(|sample| sample.baseline);
        Some(Summary {
            value: Span::of(samples.iter().map(|sample| sample.value))?,
            baseline: Span::of(baselines).map(|span| span.median),
            ratio: Span::of(samples.iter().filter_map(ratio)),
        })
    }

    /// Every figure with its unit and summary, in order.
    fn summaries(&self) -> impl Iterator<Item = (&str, &'static str, Summary)> {
        self.names
            .iter()
            .filter_map(|(name, unit)| Some((name.as_str(), *unit, self.summary(name)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_a_round() {
        let mut report = Report::default();
        // The machine is twice as fast in each round: the ratio is the same in all.
        for speed in [1.0, 2.0, 4.0] {
            report.add("ours", "GB/s", speed * 0.5, Some(speed));
        }
        report.add("alone", "KiB", 3.0, None);
        let ours = report.summary("ours").unwrap();
        let half = Span {
            median: 0.5,
            min: 0.5,
            max: 0.5,
        };
        assert_eq!(ours.ratio, Some(half));
        assert_eq!((ours.value.median, ours.baseline), (1.0, Some(2.0)));
        assert_eq!(report.summary("alone").unwrap().ratio, None);
        assert!(report.summary("other").is_none());
        let names: Vec<_> = report
            .summaries()
            .map(|(name, ..)| name.to_owned())
            .collect();
        assert_eq!(names, ["ours", "alone"]);
    }
}
