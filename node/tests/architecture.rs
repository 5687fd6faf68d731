//! What the boundaries between the crates forbid, read from the sources.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
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

/// What only the command may do: print, read the environment, end the process.
const OF_THE_COMMAND: [&str; 6] = [
    "print!(",
    "println!(",
    "dbg!(",
    "env::var",
    "env::args",
    "process::exit",
];

/// The lines that are built into the crate and do what only the command may do.
fn overreaching(text: &str) -> Vec<&str> {
    let shipped = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    shipped
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .filter(|line| OF_THE_COMMAND.iter().any(|word| line.contains(word)))
        .collect()
}

#[test]
fn the_library_neither_prints_nor_reads_the_environment() {
    let files = sources(&root().join("node/src"));
    assert!(files.len() > 30, "found {} files", files.len());
    for path in files {
        let text = fs::read_to_string(&path).expect("readable");
        let lines = overreaching(&text);
        assert!(lines.is_empty(), "{}: {lines:?}", path.display());
    }
    assert_eq!(overreaching("    eprintln!(\"oops\");").len(), 1);
}

/// The names under `[features]` of a manifest.
fn features(manifest: &str) -> Vec<&str> {
    let mut lines = manifest.lines().skip_while(|line| *line != "[features]");
    lines.next();
    lines
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name.trim())
        .collect()
}

#[test]
fn the_one_feature_is_the_choice_of_the_crypto_backend() {
    for (package, expected) in [
        ("core", &["default", "aws-lc"][..]),
        ("node", &[]),
        ("cli", &[]),
    ] {
        let path = root().join(package).join("Cargo.toml");
        let manifest = fs::read_to_string(path).expect("readable");
        assert_eq!(features(&manifest), expected, "{package}");
        // An optional dependency without `dep:` would be a feature too.
        let optional = manifest
            .lines()
            .filter(|line| line.contains("optional = true"));
        for line in optional {
            let name = line.split([' ', '=', '.']).next().unwrap_or("");
            assert!(manifest.contains(&format!("\"dep:{name}\"")), "{name}");
        }
    }
}

#[test]
fn arrows_between_crates_point_down_only() {
    for (package, above) in [
        ("core", &["sealway.workspace", "sealway-cli", "tokio"][..]),
        ("node", &["sealway-cli", "clap"]),
    ] {
        let path = root().join(package).join("Cargo.toml");
        let manifest = fs::read_to_string(path).expect("readable");
        for name in above {
            assert!(!manifest.contains(name), "{package} depends on {name}");
        }
    }
}
