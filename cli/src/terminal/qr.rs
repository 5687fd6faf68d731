//! A text as a QR code (ISO/IEC 18004) on a terminal, two rows of modules to a line.

use std::io::{self, IsTerminal as _};

use qrcode::{Color, EcLevel, QrCode};

use super::{columns, is_dumb};
use crate::output::Output;

/// Light modules that a code needs around it, for cameras to find it (ISO/IEC 18004, 6.3.8).
const QUIET: usize = 4;
/// Black on white: a code that is not darker than what is around it is not read by every camera.
const BLACK_ON_WHITE: &str = "\u{1b}[30;107m";
/// The terminal's own colours.
const OWN: &str = "\u{1b}[0m";

/// Shows `text` as a QR code on stderr, if somebody looks at it (stdout and stderr are a terminal, in colours, and neither JSON nor
/// quiet was asked for), and the terminal is wide enough.
pub(crate) fn show(text: &str, output: Output) {
    let looked_at = output.in_colour() && io::stderr().is_terminal();
    if !looked_at || is_dumb() {
        return;
    }
    if let Some(lines) = drawn(text, columns(io::stderr())) {
        for line in lines {
            output.note(&format!("{BLACK_ON_WHITE}{line}{OWN}"));
        }
    }
}

/// The code's lines in half blocks, where a block is dark; none if it is wider than `columns`, or the text is too long for any.
fn drawn(text: &str, columns: usize) -> Option<Vec<String>> {
    // The lowest level: a terminal has no scratches, and the code is smallest.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let modules = code.width();
    let width = modules + 2 * QUIET;
    if width > columns {
        return None;
    }
    let dark = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < modules);
        matches!((inside(x), inside(y)), (Some(x), Some(y)) if code[(x, y)] == Color::Dark)
    };
    let line = |y: usize| {
        let block = |x| match (dark(x, y), dark(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        };
        (0..width).map(block).collect()
    };
    Some((0..width).step_by(2).map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads what is drawn, as a camera would: by another implementation.
    fn read(lines: &[String]) -> Option<String> {
        let rows: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
        let dark = |x: usize, y: usize| {
            let block = rows.get(y / 2).and_then(|row| row.get(x));
            matches!(
                (block, y % 2),
                (Some('█'), _) | (Some('▀'), 0) | (Some('▄'), 1)
            )
        };
        // Four pixels to a module.
        let (width, height) = (rows.first()?.len() * 4, rows.len() * 8);
        let luma = |x: usize, y: usize| if dark(x / 4, y / 4) { 0 } else { 255 };
        let mut image = rqrr::PreparedImage::prepare_from_greyscale(width, height, luma);
        let grids = image.detect_grids();
        grids.first()?.decode().ok().map(|(_, text)| text)
    }

    #[test]
    fn what_is_drawn_is_read_back_by_another_implementation() {
        for text in ["sealway", &"sw1-7q3f".repeat(20), &"abcdefgh".repeat(50)] {
            let lines = drawn(text, 200).expect("there is room");
            assert_eq!(read(&lines).as_deref(), Some(text));
            // A drawing with its darkest places gone is read no more: the reader does look.
            let spoilt: Vec<_> = lines.iter().map(|line| line.replace('█', " ")).collect();
            assert_ne!(read(&spoilt).as_deref(), Some(text));
        }
    }

    #[test]
    fn a_code_that_does_not_fit_is_not_drawn() {
        let text = "sw1-7q3f".repeat(20);
        let width = drawn(&text, 200).expect("there is room")[0].chars().count();
        assert!(drawn(&text, width).is_some());
        assert_eq!(drawn(&text, width - 1), None);
        assert_eq!(
            drawn(&"x".repeat(8_000), 10_000),
            None,
            "no code holds that"
        );
    }
}
