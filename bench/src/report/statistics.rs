//! Medians and spans of rounds.

/// Middle, least and greatest of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Span {
    /// None of no values, or if one is not a number.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        if values.iter().any(|value| value.is_nan()) {
            return None;
        }
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = match values.len() % 2 {
            1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        };
        Some(Span { median, min, max })
    }
}

/// `value` with four significant digits: more would be noise.
pub(crate) fn significant(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // Through text, so that the shortest decimal is printed.
    format!("{value:.3e}").parse().unwrap_or(value)
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
    fn a_span_has_its_middle_and_its_ends() {
        let span = |median, min, max| Some(Span { median, min, max });
        assert_eq!(Span::of([3.0, 1.0, 2.0]), span(2.0, 1.0, 3.0));
        assert_eq!(Span::of([4.0, 1.0, 3.0, 2.0]), span(2.5, 1.0, 4.0));
        assert_eq!(Span::of([5.0]), span(5.0, 5.0, 5.0));
        assert_eq!(Span::of([]), None);
        assert_eq!(Span::of([1.0, f64::NAN]), None, "a figure that is none");
    }
}
