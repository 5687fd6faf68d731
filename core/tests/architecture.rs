//! The arrows between the rooms of this crate, read from its `use` lines: each room uses only what stands below it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms directly below it; what these may use, it may use too.
const BELOW: &[(&str, &[&str])] = &[
    ("ticket", &["relay"]),
    ("portal", &["channel"]),
    ("streams", &["channel"]),
    ("relay", &["channel"]),
    ("control", &["channel"]),
    ("channel", &["identity", "noise"]),
    ("identity", &["crypto", "wire"]),
    ("noise", &["crypto", "wire"]),
    ("crypto", &[]),
    ("wire", &[]),
];

/// What every room may use: the clocks (`time`, at the crate's root), and the switches of the weakened build.
const EVERYWHERE: &[&str] = &["Tick", "UnixSeconds", "weaken"];

fn may_use(room: &str, other: &str) -> bool {
    room == other
        || EVERYWHERE.contains(&other)
        || BELOW
            .iter()
            .any(|(name, below)| *name == room && below.iter().any(|next| may_use(next, other)))
}

/// The Rust files under `directory`.
fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The lines of a file that are built into the crate: no comments, and not the tests at its foot.
fn code(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).expect("readable");
    let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    shipped
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(str::to_owned)
        .collect()
}

/// The first names of all paths in `line` that begin at the crate's root.
fn from_root(line: &str) -> impl Iterator<Item = &str> {
    line.split("crate::").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// What breaks the arrows in these lines of a room.
fn wrong(room: &str, lines: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for line in lines {
        // Rooms are named from the root and one at a time, so that this test can read it.
        if line.contains("super::super") || line.contains("crate::{") {
            wrong.push(format!("{room}: {line}"));
        }
        for name in from_root(line).filter(|name| !may_use(room, name)) {
            wrong.push(format!("{room} uses {name}: {line}"));
        }
        // Which processor this is asks no operating system.
        let line = &line.replace("std::arch::is_x86_feature_detected!", "");
        if line.contains("std::") || line.contains("extern crate") {
            wrong.push(format!("{room} wants more than core and alloc: {line}"));
        }
    }
    wrong
}

#[test]
fn arrows_between_rooms_point_down_only() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut lines: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).expect("it lies there");
        let first = inside.iter().next().and_then(|name| name.to_str());
        let room = first.expect("UTF-8").trim_end_matches(".rs").to_owned();
        lines.entry(room).or_default().extend(code(&path));
    }
    lines.remove("lib");
    for plain in ["time", "weaken"] {
        let code = lines.remove(plain).expect("it is there");
        assert!(code.iter().all(|line| from_root(line).next().is_none()));
    }
    let rooms: Vec<_> = lines.keys().map(String::as_str).collect();
    let mut drawn: Vec<_> = BELOW.iter().map(|(room, _)| *room).collect();
    drawn.sort_unstable();
    assert_eq!(rooms, drawn, "every room has its place in the picture");
    let wrong: Vec<_> = lines
        .iter()
        .flat_map(|(room, code)| wrong(room, code))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_arrow_that_points_up_is_seen() {
    for (room, line) in [
        ("wire", "use crate::identity::Identifier;"),
        ("noise", "use crate::identity::Identity;"),
        ("channel", "    let x = crate::portal::PING;"),
        ("crypto", "use std::time::Instant;"),
        ("crypto", "use std::arch::x86_64::__cpuid;"),
        ("crypto", "use super::super::wire::Route;"),
        ("identity", "use crate::{channel, wire};"),
    ] {
        assert!(!wrong(room, &[line.to_owned()]).is_empty(), "{line}");
    }
    for (room, line) in [
        ("portal", "use crate::wire::Route;"),
        (
            "crypto",
            "if std::arch::is_x86_feature_detected!(\"vaes\") {",
        ),
    ] {
        assert!(wrong(room, &[line.to_owned()]).is_empty(), "{line}");
    }
}
