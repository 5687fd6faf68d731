//! The table of results.

use crate::CellError;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::Instant;

/// Runs one cell of the table and fails the test when `body` fails; `body` says on success what was seen.
///
/// With `INTEROP_TABLE` in the environment a row is appended to that file, whatever the outcome: cell, direction,
/// result, detail, separated by tabs.
///
/// # Panics
/// When `body` fails: this is an assertion.
pub fn cell(name: &str, direction: &str, body: impl FnOnce() -> Result<String, CellError>) {
    let begun = Instant::now();
    let outcome = body();
    let seconds = begun.elapsed().as_secs_f64();
    let (result, detail) = match &outcome {
        Ok(detail) => ("ok", format!("{detail} ({seconds:.1} s)")),
        Err(error) => ("FAILED", error.to_string().replace(['\n', '\t'], " ")),
    };
    let row = format!("{name}\t{direction}\t{result}\t{detail}\n");
    if let Err(error) = record(&row) {
        panic!("cannot write the table: {error}");
    }
    assert!(outcome.is_ok(), "{name} ({direction}): {detail}");
}

fn record(row: &str) -> std::io::Result<()> {
    let Some(table) = std::env::var_os("INTEROP_TABLE") else {
        return Ok(());
    };
    let mut file = OpenOptions::new().create(true).append(true).open(table)?;
    file.write_all(row.as_bytes())
}
