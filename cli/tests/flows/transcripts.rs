//! Whole transcripts of the command, kept beside the tests. A line `$ sealway …` is run; what follows is what it printed, `! ` marks
//! stderr, and `[exit N]` an exit code other than 0. What differs from run to run is replaced before comparing.
//!
//! `SEALWAY_TRANSCRIPTS=write` writes them anew.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::support::{run, sealway};

/// Runs the commands of a transcript in a directory of their own; the transcript as it is now.
fn played(script: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut names = HashMap::new();
    let mut out = String::new();
    for line in script.lines().filter(|line| line.starts_with("$ sealway")) {
        let arguments = line.split(' ').skip(2).filter(|word| !word.is_empty());
        let ran = run(sealway(directory.path()).args(arguments));
        let _ = writeln!(out, "{line}");
        for printed in ran.stdout.lines() {
            let _ = writeln!(out, "{}", settled(printed, &mut names));
        }
        for said in ran.stderr.lines() {
            let _ = writeln!(out, "! {}", settled(said, &mut names));
        }
        if ran.code != Some(0) {
            let _ = writeln!(out, "[exit {}]", ran.code.unwrap_or(-1));
        }
        out.push('\n');
    }
    out
}

/// The line with identifiers by number, long hex digits and times replaced.
fn settled(line: &str, names: &mut HashMap<String, usize>) -> String {
    let mut out = String::new();
    let mut rest = line;
    while !rest.is_empty() {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_hexdigit).count();
        let cut = if rest.starts_with('I') && digits(&rest[1..]) == 64 {
            let next = names.len() + 1;
            let number = *names.entry(rest[..65].to_owned()).or_insert(next);
            let _ = write!(out, "<IDENTIFIER {number}>");
            65
        } else if digits(rest) > 64 {
            out.push_str("<HEX>");
            digits(rest)
        } else if let Some(after) = rest
            .strip_prefix("\"created\":")
            .or_else(|| rest.strip_prefix("\"added\":"))
        {
            let key = rest.len() - after.len();
            let _ = write!(out, "{}<TIME>", &rest[..key]);
            key + after.bytes().take_while(u8::is_ascii_digit).count()
        } else {
            let first = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..first]);
            first
        };
        rest = &rest[cut..];
    }
    out
}

#[test]
fn transcripts_are_as_they_were() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let write = std::env::var_os("SEALWAY_TRANSCRIPTS").is_some_and(|value| value == "write");
    let mut files: Vec<_> = fs::read_dir(&directory)
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    assert!(files.len() >= 3, "{files:?}");
    for file in files {
        let kept = fs::read_to_string(&file).unwrap();
        let now = played(&kept);
        if write {
            fs::write(&file, &now).unwrap();
        } else {
            assert_eq!(now, kept, "{} is not as it was", file.display());
        }
    }
}
