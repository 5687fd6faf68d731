//! Cases, how they are judged, and the table of them.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crate::support::{Ran, run, sealway};

/// No bad input keeps anybody waiting longer.
const PROMPT: Duration = Duration::from_secs(8);
/// An identifier that nobody has.
pub(crate) const NOBODY: &str = "I0000000000000000000000000000000000000000000000000000000000000000";

/// One bad input.
#[derive(Clone)]
pub(crate) struct Case {
    /// What is wrong.
    pub(crate) what: &'static str,
    /// The arguments.
    pub(crate) arguments: Vec<String>,
    /// The exit code that is due.
    pub(crate) code: i32,
    /// A part of the line that names the cause.
    pub(crate) cause: &'static str,
    /// Something may have succeeded, and been printed, before.
    pub(crate) may_print: bool,
}

/// A case: what is wrong, the exit code, a part of the cause, the arguments.
pub(crate) fn case(what: &'static str, code: i32, cause: &'static str, arguments: &[&str]) -> Case {
    Case {
        what,
        arguments: arguments.iter().map(|a| (*a).to_owned()).collect(),
        code,
        cause,
        may_print: false,
    }
}

/// The rows of all tests of this binary so far.
static ROWS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs a case in `directory`, judges it and adds it to the table.
pub(crate) fn check(directory: &Path, case: &Case) -> Ran {
    let ran = run(sealway(directory).args(&case.arguments));
    judge(case, &ran);
    note(case, &ran);
    ran
}

/// Adds a row to the table, and writes the table if it is asked for.
fn note(case: &Case, ran: &Ran) {
    let line: Vec<String> = case
        .arguments
        .iter()
        .map(|argument| shortened(argument))
        .collect();
    let said: Vec<String> = ran.stderr.lines().map(shortened_line).collect();
    let row = format!(
        "| {} | `sealway {}` | {} | {} | {} ms |",
        case.what,
        line.join(" ").replace('|', "\\|"),
        ran.code.unwrap_or(-1),
        said.join("<br>").replace('|', "\\|"),
        ran.took.as_millis()
    );
    let mut rows = ROWS.lock().unwrap();
    rows.push(row);
    if let Some(path) = std::env::var_os("SEALWAY_TABLE") {
        let head = "| what | command | exit | what it said | took |\n|---|---|---|---|---|\n";
        fs::write(path, format!("{head}{}\n", rows.join("\n"))).unwrap();
    }
}

fn shortened_line(line: &str) -> String {
    if line.len() > 300 {
        line.chars().take(300).chain(['…']).collect()
    } else {
        line.to_owned()
    }
}

fn shortened(argument: &str) -> String {
    let plain: String = argument.chars().flat_map(char::escape_default).collect();
    if plain.len() > 60 {
        format!("{}…", &plain[..60])
    } else {
        plain
    }
}

/// Checks what every bad input must leave.
pub(crate) fn judge(case: &Case, ran: &Ran) {
    let what = case.what;
    assert_eq!(ran.code, Some(case.code), "{what}: {ran:?}");
    assert!(
        case.may_print || ran.stdout.is_empty(),
        "{what}: something on stdout: {ran:?}"
    );
    let lines: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(
        lines.len(),
        2,
        "{what}: one line of cause, one of remedy: {ran:?}"
    );
    assert!(
        lines[0].starts_with("error: ") && lines[0].contains(case.cause),
        "{what}: {ran:?}"
    );
    assert!(
        lines[1].starts_with("hint: ") && lines[1].len() > 12,
        "{what}: {ran:?}"
    );
    let control = ran.stderr.chars().any(|c| c.is_control() && c != '\n');
    assert!(
        !control && !ran.stderr.contains("panicked"),
        "{what}: {ran:?}"
    );
    assert!(ran.took < PROMPT, "{what}: took {:?}", ran.took);
}

/// Everything below a directory: kinds, modes, contents.
pub(crate) fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut todo = vec![directory.to_owned()];
    while let Some(path) = todo.pop() {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let content = if metadata.is_file() {
            fs::read(&path).unwrap_or_default()
        } else {
            Vec::new()
        };
        if metadata.is_dir() {
            todo.extend(
                fs::read_dir(&path)
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|entry| entry.path()),
            );
        }
        found.insert(path, (metadata.mode(), content));
    }
    found
}
