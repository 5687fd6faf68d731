//! Figures, and how they are printed.

use serde_json::json;
use std::collections::BTreeMap;
use std::io;

/// One measured value and, where there is one, its baseline of the same round.
#[derive(Clone, Copy)]
struct Sample {
    value: f64,
    baseline: Option<f64>,
}

/// All samples of all rounds, by name, in the order in which the names came first.
#[derive(Default)]
pub(crate) struct Report {
    names: Vec<(String, &'static str)>,
    samples: BTreeMap<String, Vec<Sample>>,
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

    /// The number of figures that could not be measured.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Prints every figure's medians: JSON lines, or a table. The ratio is the median of the rounds' ratios, since only
    /// what was measured in the same round can be compared on a busy machine.
    pub(crate) fn print(&self, as_json: bool) {
        if !as_json {
            println!("| figure | value | unit | baseline | ratio |\n|---|---|---|---|---|");
        }
        for (name, unit) in &self.names {
            let samples = self.samples.get(name).map_or(&[][..], Vec::as_slice);
            let value = median(samples.iter().map(|s| s.value));
            let baseline = median(samples.iter().filter_map(|s| s.baseline));
            let ratio = median(
                samples
                    .iter()
                    .filter_map(|s| s.baseline.filter(|b| *b > 0.0).map(|b| s.value / b)),
            );
            if as_json {
                let number = |v: Option<f64>| json!(v.map(significant));
                println!(
                    r#"{{"name":{},"value":{},"unit":{},"baseline":{},"ratio":{}}}"#,
                    json!(name),
                    number(value),
                    json!(unit),
                    number(baseline),
                    number(ratio)
                );
            } else {
                let [value, baseline] = [value, baseline]
                    .map(|v| v.map_or("-".to_owned(), |v| significant(v).to_string()));
                let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
                println!("| {name} | {value} | {unit} | {baseline} | {ratio} |");
            }
        }
    }
}

/// `value` with four significant digits: more would be noise.
fn significant(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // Through text, so that the shortest decimal is printed.
    format!("{value:.3e}").parse().unwrap_or(value)
}

/// The middle value, or none of none.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_are_kept() {
        assert_eq!(significant(1234.56), 1235.0);
        assert_eq!(significant(0.000_123_456), 0.000_123_5);
        assert_eq!(significant(0.0), 0.0);
    }

    #[test]
    fn median_is_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median(std::iter::empty()), None);
    }
}
