//! Horizontal bars as SVG: a card of its own colours, light or dark as the reader's screen is, with every value written out.

use std::fmt::Write as _;

/// One bar.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    /// Written behind the bar.
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// Whose bar it is, which tells its colour.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What an unprotected path costs.
    Plain,
    Ours,
    Other,
}

impl Kind {
    fn class(self) -> &'static str {
        match self {
            Kind::Plain => "plain",
            Kind::Ours => "ours",
            Kind::Other => "other",
        }
    }
}

/// How long a bar is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// As its value.
    Linear,
    /// As its value's logarithm: each line is ten times the one before.
    Logarithmic,
}

const WIDTH: f64 = 760.0;
const LABELS: f64 = 190.0;
/// Kept free behind the longest bar, for its text.
const TEXTS: f64 = 110.0;
const MARGIN: f64 = 20.0;
const HEAD: f64 = 66.0;
const ROW: f64 = 26.0;
const THICKNESS: f64 = 16.0;

const STYLE: &str = "\
.card{fill:#ffffff;stroke:#d0d7de}\
.title{font-weight:600;font-size:15px}\
.note{font-size:12px;fill:#59636e}\
text{font-family:-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;font-size:13px;fill:#1f2328}\
.line{stroke:#d0d7de}\
.ours{fill:#0969da}.plain{fill:#8c959f}.other{fill:#bf8700}\
@media(prefers-color-scheme:dark){\
.card{fill:#0d1117;stroke:#3d444d}\
text{fill:#f0f6fc}.note{fill:#9198a1}\
.line{stroke:#3d444d}\
.ours{fill:#4493f8}.plain{fill:#9198a1}.other{fill:#d29922}}";

/// A picture of the bars under a title and a line that says how to read them.
pub(super) fn bars(title: &str, note: &str, bars: &[Bar], scale: Scale) -> String {
    let height = HEAD + ROW * f64::from(u32::try_from(bars.len()).unwrap_or(u32::MAX)) + MARGIN;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{}\">\n<style>{STYLE}</style>\n",
        escaped(title),
    );
    let _ = writeln!(
        out,
        "<rect class=\"card\" x=\"0.5\" y=\"0.5\" width=\"{}\" height=\"{}\" rx=\"6\"/>",
        WIDTH - 1.0,
        height - 1.0
    );
    let _ = writeln!(
        out,
        "<text class=\"title\" x=\"{MARGIN}\" y=\"28\">{}</text>",
        escaped(title)
    );
    let _ = writeln!(
        out,
        "<text class=\"note\" x=\"{MARGIN}\" y=\"48\">{}</text>",
        escaped(note)
    );
    let length = Length::of(bars, scale);
    for tens in length.tens() {
        let x = LABELS + length.of_value(tens);
        let _ = writeln!(
            out,
            "<line class=\"line\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{HEAD}\" y2=\"{}\"/>",
            height - MARGIN
        );
    }
    let mut y = HEAD;
    for bar in bars {
        let (middle, top) = (y + ROW / 2.0 + 4.5, y + (ROW - THICKNESS) / 2.0);
        let long = length.of_value(bar.value);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text><rect class=\"{}\" x=\"{LABELS}\" y=\"{top}\" width=\"{long:.1}\" height=\"{THICKNESS}\" rx=\"2\"/><text x=\"{:.1}\" y=\"{middle}\">{}</text>",
            LABELS - 8.0,
            escaped(&bar.label),
            bar.kind.class(),
            LABELS + long + 6.0,
            escaped(&bar.text),
        );
        y += ROW;
    }
    out + "</svg>\n"
}

/// From values to lengths.
struct Length {
    scale: Scale,
    /// The value of no length, where that is logarithmic.
    least: f64,
    greatest: f64,
}

impl Length {
    fn of(bars: &[Bar], scale: Scale) -> Self {
        let values = || {
            bars.iter()
                .map(|bar| bar.value)
                .filter(|value| *value > 0.0)
        };
        let greatest = values().fold(f64::MIN_POSITIVE, f64::max);
        let least = values().fold(greatest, f64::min);
        Length {
            scale,
            // A power of ten below all, so that even the least has a bar.
            least: 10_f64.powf((least.log10() - 0.1).floor()),
            greatest,
        }
    }

    fn of_value(&self, value: f64) -> f64 {
        let share = match self.scale {
            Scale::Linear => value / self.greatest,
            Scale::Logarithmic => {
                (value / self.least).log10() / (self.greatest / self.least).log10()
            }
        };
        let room = WIDTH - LABELS - TEXTS - MARGIN;
        // Not a number has no length.
        if share > 0.0 {
            share.min(1.0) * room
        } else {
            0.0
        }
    }

    /// The powers of ten on a logarithmic scale, and nothing where bars begin on any other.
    fn tens(&self) -> Vec<f64> {
        let mut tens = vec![];
        if self.scale == Scale::Logarithmic {
            let mut ten = self.least;
            while ten <= self.greatest * 1.000_001 {
                tens.push(ten);
                ten *= 10.0;
            }
        }
        tens
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, value: f64) -> Bar {
        Bar {
            label: label.to_owned(),
            value,
            text: format!("{value}"),
            kind: Kind::Ours,
        }
    }

    /// The widths of the bars in order.
    fn widths(svg: &str) -> Vec<f64> {
        let bars = svg.lines().filter(|line| line.contains("rx=\"2\""));
        let width = |line: &str| {
            line.split_once("width=\"")?
                .1
                .split_once('"')?
                .0
                .parse()
                .ok()
        };
        bars.filter_map(width).collect()
    }

    #[test]
    fn lengths_are_as_the_values() {
        let svg = bars(
            "t",
            "n",
            &[bar("one", 1.0), bar("two", 2.0), bar("none", 0.0)],
            Scale::Linear,
        );
        let [one, two, none] = widths(&svg)[..] else {
            panic!("{svg}")
        };
        assert!((two - 2.0 * one).abs() < 0.2 && one > 100.0);
        assert_eq!(none, 0.0);
    }

    #[test]
    fn logarithmic_lengths_are_as_the_digits() {
        let all = [bar("a", 0.1), bar("b", 1.0), bar("c", 10.0)];
        let svg = bars("t", "n", &all, Scale::Logarithmic);
        let [a, b, c] = widths(&svg)[..] else {
            panic!("{svg}")
        };
        assert!(a > 0.0 && ((b - a) - (c - b)).abs() < 0.2);
        assert_eq!(svg.matches("class=\"line\"").count(), 4, "0.01, 0.1, 1, 10");
    }

    #[test]
    fn text_stays_text() {
        let svg = bars("a<b & \"c\"", "n", &[bar("<x>", 1.0)], Scale::Linear);
        assert!(svg.contains("a&lt;b &amp; &quot;c&quot;") && svg.contains("&lt;x&gt;"));
        assert!(!svg.contains("<x>"));
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }

    #[test]
    fn no_bars_are_no_failure() {
        assert!(bars("t", "n", &[], Scale::Logarithmic).ends_with("</svg>\n"));
    }
}
