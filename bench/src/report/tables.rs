//! A report as a table for a terminal, as Markdown for the documents, as JSON lines for programs.

use super::goals::{GOALS, Goal, On, goal};
use super::statistics::{Span, significant};
use super::{Report, Summary};
use serde_json::json;
use std::fmt::Write as _;

const NONE: &str = "-";

/// How a report is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Terminal,
    Markdown,
    Json,
}

impl Report {
    /// The whole report.
    pub(crate) fn text(&self, form: Form) -> String {
        match form {
            Form::Terminal => self.terminal(),
            Form::Markdown => self.markdown(),
            Form::Json => self.json_lines(),
        }
    }

    fn json_lines(&self) -> String {
        let mut out = String::new();
        for (name, unit, summary) in self.summaries() {
            let goal = goal(name);
            let line = json!({
                "name": name,
                "unit": unit,
                "value": significant(summary.value.median),
                "min": significant(summary.value.min),
                "max": significant(summary.value.max),
                "baseline": summary.baseline.map(significant),
                "ratio": summary.ratio.map(|ratio| significant(ratio.median)),
                "ratio_min": summary.ratio.map(|ratio| significant(ratio.min)),
                "ratio_max": summary.ratio.map(|ratio| significant(ratio.max)),
                "must": goal.map(|goal| goal.must.to_string()),
                "aim": goal.map(|goal| goal.aim.to_string()),
                "of": goal.map(|goal| if goal.on == On::Ratio { "ratio" } else { "value" }),
                "met": goal.and_then(|goal| met(goal, &summary)),
            });
            let _ = writeln!(out, "{line}");
        }
        for (what, reason) in &self.missing {
            let _ = writeln!(out, "{}", json!({"name": what, "missing": reason}));
        }
        out
    }

    fn terminal(&self) -> String {
        let mut out = self
            .notes
            .iter()
            .fold(String::new(), |out, note| out + note + "\n");
        let head = [
            "figure", "median", "min", "max", "unit", "baseline", "ratio", "min", "max", "must",
            "aim", "met",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(
            self.summaries()
                .map(|(name, unit, summary)| row(name, unit, &summary)),
        );
        out += &columns(&rows);
        for (what, reason) in &self.missing {
            let _ = writeln!(out, "{what}: not measured: {reason}");
        }
        let (met, judged) = self.verdict();
        let _ = writeln!(out, "{met} of {judged} musts met");
        out
    }

    /// The goals that are met, of those whose figures were measured.
    fn verdict(&self) -> (usize, usize) {
        let verdicts = GOALS
            .iter()
            .filter_map(|goal| met(goal, &self.summary(goal.figure)?));
        verdicts.fold((0, 0), |(good, all), met| {
            (good + usize::from(met), all + 1)
        })
    }

    fn markdown(&self) -> String {
        let mut out = self
            .notes
            .iter()
            .fold(String::new(), |out, note| out + note + "  \n");
        out += "\n### Goals\n\n| figure | must | aim | measured: median (min - max) | baseline | ratio: median (min - max) | met |\n|---|---|---|---|---|---|---|\n";
        for goal in GOALS {
            let Some((unit, summary)) = self.unit(goal.figure).zip(self.summary(goal.figure))
            else {
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | not measured | | | |",
                    goal.what, goal.must, goal.aim
                );
                continue;
            };
            let unit_of_goal = if goal.on == On::Ratio { "x" } else { unit };
            let _ = writeln!(
                out,
                "| {} | {} {unit_of_goal} | {} {unit_of_goal} | {} {unit} | {} | {} | {} |",
                goal.what,
                goal.must,
                goal.aim,
                spanned(Some(summary.value), number),
                summary.baseline.map_or_else(|| NONE.to_owned(), number),
                spanned(summary.ratio, two_digits),
                verdict_mark(met(goal, &summary)),
            );
        }
        let (met, judged) = self.verdict();
        let _ = writeln!(out, "\n{met} of {judged} musts met.");
        out += &self.side_by_side();
        out += "\n### Everything else\n\n| figure | median (min - max) | unit | baseline | ratio: median (min - max) |\n|---|---|---|---|---|\n";
        for (name, unit, summary) in self.summaries() {
            if goal(name).is_some() || self.is_tunnels(name) {
                continue;
            }
            let _ = writeln!(
                out,
                "| `{name}` | {} | {unit} | {} | {} |",
                spanned(Some(summary.value), number),
                summary.baseline.map_or_else(|| NONE.to_owned(), number),
                spanned(summary.ratio, two_digits),
            );
        }
        for (what, reason) in &self.missing {
            let _ = writeln!(out, "\n{what}: not measured: {reason}");
        }
        out
    }

    fn unit(&self, name: &str) -> Option<&'static str> {
        self.names
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, unit)| *unit)
    }

    /// The tunnels that were measured, in the order in which they came.
    fn tunnels(&self) -> Vec<&str> {
        let points = self
            .names
            .iter()
            .filter_map(|(name, _)| name.strip_suffix("/up_x1"));
        let mut tunnels: Vec<&str> = points.collect();
        // The rounds begin with another one each time.
        tunnels.sort_by_key(|tunnel| super::plots::rank(tunnel));
        tunnels
    }

    /// Whether the figure stands in the table of tunnels side by side.
    fn is_tunnels(&self, name: &str) -> bool {
        name.split_once('/')
            .is_some_and(|(tunnel, _)| self.tunnels().contains(&tunnel))
    }

    /// A column for each tunnel, a row for each point: medians, with the ratio to the plain chain of as many hops.
    fn side_by_side(&self) -> String {
        let tunnels = self.tunnels();
        if tunnels.is_empty() {
            return String::new();
        }
        let mut points: Vec<(&str, &str)> = Vec::new();
        for (name, unit) in &self.names {
            if let Some((tunnel, point)) = name.split_once('/')
                && tunnels.contains(&tunnel)
                && points.iter().all(|(known, _)| *known != point)
            {
                points.push((point, unit));
            }
        }
        let mut out = format!(
            "\n### Tunnels side by side\n\nMedians; in brackets the ratio to the plain chain of as many hops (for `bulk_beside_*`, to the same tunnel's stream alone), the median of the rounds' ratios.\n\n| | {} |\n|---|{}\n",
            tunnels.join(" | "),
            "---|".repeat(tunnels.len()),
        );
        for (point, unit) in points {
            let _ = write!(out, "| {point}, {unit} |");
            for tunnel in &tunnels {
                let _ = match self.summary(&format!("{tunnel}/{point}")) {
                    Some(Summary {
                        value,
                        ratio: Some(ratio),
                        ..
                    }) => {
                        write!(out, " {} ({:.2}) |", number(value.median), ratio.median)
                    }
                    Some(Summary { value, .. }) => write!(out, " {} |", number(value.median)),
                    None => write!(out, " |"),
                };
            }
            out.push('\n');
        }
        out
    }
}

/// Whether the must is met; none if the figure has no ratio to judge.
fn met(goal: &Goal, summary: &Summary) -> Option<bool> {
    goal.judged(summary).map(|judged| goal.must.met(judged))
}

fn verdict_mark(met: Option<bool>) -> &'static str {
    match met {
        Some(true) => "yes",
        Some(false) => "**no**",
        None => NONE,
    }
}

fn row(name: &str, unit: &str, summary: &Summary) -> [String; 12] {
    let goal = goal(name);
    let ratio = |of: fn(Span) -> f64| {
        summary
            .ratio
            .map_or_else(|| NONE.to_owned(), |ratio| two_digits(of(ratio)))
    };
    let bound = |text: Option<String>| match (text, goal) {
        (Some(text), Some(goal)) if goal.on == On::Ratio => format!("{text} x"),
        (Some(text), _) => text,
        _ => NONE.to_owned(),
    };
    [
        name.to_owned(),
        number(summary.value.median),
        number(summary.value.min),
        number(summary.value.max),
        unit.to_owned(),
        summary.baseline.map_or_else(|| NONE.to_owned(), number),
        ratio(|ratio| ratio.median),
        ratio(|ratio| ratio.min),
        ratio(|ratio| ratio.max),
        bound(goal.map(|goal| goal.must.to_string())),
        bound(goal.map(|goal| goal.aim.to_string())),
        match goal.and_then(|goal| met(goal, summary)) {
            Some(true) => "yes".to_owned(),
            Some(false) => "NO".to_owned(),
            None => NONE.to_owned(),
        },
    ]
}

/// Rows with columns as wide as their widest cell.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = format!("{:<1$}", row[0], widths[0]);
        for (cell, width) in row.iter().zip(&widths).skip(1) {
            let _ = write!(line, "  {cell:>width$}");
        }
        out += line.trim_end();
        out.push('\n');
    }
    out
}

/// A number for readers: three digits, thousands apart.
pub(super) fn number(value: f64) -> String {
    let rounded: f64 = format!("{value:.2e}").parse().unwrap_or(value);
    if rounded.abs() < 1000.0 {
        return rounded.to_string();
    }
    let digits = format!("{value:.0}");
    let (sign, digits) = digits
        .strip_prefix('-')
        .map_or(("", digits.as_str()), |rest| ("-", rest));
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    format!("{sign}{out}")
}

fn two_digits(value: f64) -> String {
    format!("{value:.2}")
}

fn spanned(span: Option<Span>, text: fn(f64) -> String) -> String {
    span.map_or_else(
        || NONE.to_owned(),
        |span| {
            format!(
                "{} ({} - {})",
                text(span.median),
                text(span.min),
                text(span.max)
            )
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::default();
        for (ours, plain) in [(0.8, 1.0), (0.6, 1.0), (0.5, 1.0)] {
            report.add("plain2/up_x1", "GB/s", plain, None);
            report.add("portal/up_x1", "GB/s", ours, Some(plain));
        }
        report.add("start/version", "ms", 1.25, None);
        report.add("new/figure", "1/s", 1_234_567.0, None);
        report.missing("nats", "nats-server is not installed");
        report
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(number(0.012_345), "0.0123");
        assert_eq!(number(999.4), "999");
        assert_eq!(number(1_234_567.0), "1,234,567");
        assert_eq!(number(-123_456.0), "-123,456");
        assert_eq!(number(1000.0), "1,000");
    }

    #[test]
    fn a_missed_must_is_told_in_every_form() {
        let report = report();
        let terminal = report.text(Form::Terminal);
        let line = terminal
            .lines()
            .find(|line| line.starts_with("portal/up_x1"))
            .unwrap();
        let cells: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(
            cells,
            [
                "portal/up_x1",
                "0.6",
                "0.5",
                "0.8",
                "GB/s",
                "1",
                "0.60",
                "0.50",
                "0.80",
                ">=",
                "0.7",
                "x",
                ">=",
                "1",
                "x",
                "NO"
            ]
        );
        assert!(terminal.contains("1 of 2 musts met"));
        assert!(terminal.contains("nats: not measured: nats-server is not installed"));

        let markdown = report.text(Form::Markdown);
        assert!(markdown.contains(
            "| portal, one stream up | >= 0.7 x | >= 1 x | 0.6 (0.5 - 0.8) GB/s | 1 | 0.60 (0.50 - 0.80) | **no** |"
        ));
        assert!(markdown.contains("| up_x1, GB/s | 1 | 0.6 (0.60) |"));
        assert!(
            markdown.contains("| `new/figure` | 1,234,567 (1,234,567 - 1,234,567) | 1/s | - | - |")
        );

        let lines = report.text(Form::Json);
        let lines: Vec<serde_json::Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let portal = lines
            .iter()
            .find(|line| line["name"] == "portal/up_x1")
            .unwrap();
        assert_eq!(portal["met"], false);
        assert_eq!(portal["ratio_max"], 0.8);
        assert_eq!(
            lines.last().unwrap()["missing"],
            "nats-server is not installed"
        );
    }
}
