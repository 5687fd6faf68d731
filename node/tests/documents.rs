//! What the documents name exists: the tests behind the claims of SECURITY.md and docs/wire.md, the constants behind the
//! bounds of ARCHITECTURE.md.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether `source` holds a test of this name that is run: `#[test]` or `#[tokio::test]` among the attributes before it,
/// no `#[ignore]`.
fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let head = format!("fn {name}(");
    lines.iter().enumerate().any(|(at, line)| {
        let before = &lines[..at];
        let attributes: Vec<_> = before
            .iter()
            .rev()
            .take_while(|line| line.starts_with("#[") || line.starts_with("///"))
            .collect();
        let is_test =
            |line: &&&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        line.contains(&head)
            && attributes.iter().any(is_test)
            && !attributes.iter().any(|line| line.starts_with("#[ignore"))
    })
}

/// All Rust sources of the project's own crates.
fn sources() -> String {
    let mut all = String::new();
    let mut todo: Vec<PathBuf> = ["core", "node", "cli"].map(|dir| root().join(dir)).into();
    while let Some(directory) = todo.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the tree") {
            let path = entry.expect("an entry").path();
            if path.is_dir() && !path.ends_with("target") {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                all.push_str(&fs::read_to_string(&path).expect("a source"));
            }
        }
    }
    all
}

#[test]
fn every_test_that_security_names_exists() {
    let document = read("SECURITY.md");
    let named: Vec<(&str, &str)> = quoted(&document)
        .filter_map(|token| token.split_once(".rs::"))
        .collect();
    assert!(named.len() > 50, "only {} tests are named", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|(file, test)| !has_test(&read(&format!("{file}.rs")), test))
        .collect();
    assert!(missing.is_empty(), "named and not there: {missing:?}");
}

#[test]
fn every_claim_of_security_names_a_test() {
    let document = read("SECURITY.md");
    let claims: Vec<&str> = document
        .lines()
        .filter(|line| line.starts_with("| **"))
        .collect();
    assert!(claims.len() > 15, "only {} claims", claims.len());
    for claim in claims {
        assert!(claim.contains(".rs::"), "no test: {claim}");
    }
}

#[test]
fn every_test_that_the_wire_document_names_exists() {
    let (document, sources) = (read("docs/wire.md"), sources());
    // Names of three words and more are tests; shorter ones are fields and services.
    let is_name = |token: &&str| {
        token.matches('_').count() >= 3
            && token
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let named: Vec<&str> = quoted(&document).filter(is_name).collect();
    assert!(named.len() > 15, "only {} tests are named", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !has_test(&sources, name))
        .collect();
    assert!(missing.is_empty(), "named and not there: {missing:?}");
}

#[test]
fn every_bound_that_the_architecture_names_is_declared() {
    let (document, sources) = (read("ARCHITECTURE.md"), sources());
    let is_constant = |token: &&str| {
        token.len() > 3
            && token.contains('_')
            && token.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    let named: Vec<&str> = quoted(&document).filter(is_constant).collect();
    assert!(named.len() > 5, "only {} constants are named", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !sources.contains(&format!("const {name}:")))
        .collect();
    assert!(missing.is_empty(), "named and not declared: {missing:?}");
}

#[test]
fn a_test_that_is_missing_or_ignored_is_noticed() {
    let source =
        "#[test]\nfn there() {}\nfn helper() {}\n#[test]\n#[ignore = \"slow\"]\nfn ignored() {}\n";
    assert!(has_test(source, "there"));
    for name in ["helper", "ignored", "nowhere"] {
        assert!(!has_test(source, name), "{name}");
    }
}

/// The readme's code is an excerpt of a program that is run: its lines are there, in this order.
#[test]
fn the_code_of_the_readme_is_an_example_that_runs() {
    let document = read("README.md");
    let (_, code) = document
        .split_once("```rust\n")
        .expect("the readme shows code");
    let (code, _) = code.split_once("```").expect("the code ends");
    let example = read("node/examples/secure_channel_over_two_hops.rs");
    let mut lines = example.lines().map(str::trim);
    for wanted in code.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert!(
            lines.any(|line| line == wanted),
            "not in the example: {wanted}"
        );
    }
}

/// What the documents link to in the tree is there.
#[test]
fn every_link_leads_somewhere() {
    for path in [
        "README.md",
        "ARCHITECTURE.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/wire.md",
    ] {
        let document = read(path);
        let links = document
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://")) {
            let file = link.split('#').next().unwrap_or(link);
            let from = root().join(path);
            let target = from.parent().expect("a directory").join(file);
            assert!(file.is_empty() || target.exists(), "{path} links to {link}");
        }
    }
}
