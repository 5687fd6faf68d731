//! The command lines in the documents are ones that this command takes.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser as _;

use super::Cli;

/// README and what lies in docs.
fn documents() -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![top.join("README.md")];
    for entry in fs::read_dir(top.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "md") {
            found.push(path);
        }
    }
    found
}

/// The commands of ours behind a prompt (`alice$`, `relay#`), each on one line.
fn commands(document: &str) -> Vec<String> {
    let joined = document.replace("\\\n", " ");
    let behind_prompt = |line: &str| {
        let at = line.find(['$', '#'])?;
        let (who, command) = line.trim_start().split_at_checked(at - leading(line))?;
        let is_name = !who.is_empty() && who.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let command = command.get(1..)?.trim_start();
        (is_name && command.starts_with("sealway ")).then(|| command.to_owned())
    };
    joined.lines().filter_map(behind_prompt).collect()
}

fn leading(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The words of a command, up to a comment. `$R` is the route that the documents call so.
fn words(command: &str) -> Vec<String> {
    let route = "/dnsaddr/relay.example.com/tcp/4100/service/forward_to_bob/secure/sealway_xx1";
    let command = command.replace("$R", route);
    let mut words = Vec::new();
    for (part, text) in command.split('"').enumerate() {
        if part % 2 == 1 {
            words.push(text.to_owned());
            continue;
        }
        for word in text.split_whitespace() {
            if word == "#" {
                return words;
            }
            words.push(word.to_owned());
        }
    }
    words
}

fn is_taken(command: &str) -> Result<(), String> {
    let cli = Cli::try_parse_from(words(command)).map_err(|error| error.to_string())?;
    cli.check().map_err(|error| error.to_string())
}

#[test]
fn every_command_line_in_the_documents_is_taken() {
    for path in documents() {
        let commands = commands(&fs::read_to_string(&path).unwrap());
        for command in &commands {
            if let Err(why) = is_taken(command) {
                panic!("{}: {command}\n{why}", path.display());
            }
        }
        println!("{}: {} command lines", path.display(), commands.len());
        let has_sessions = ["README.md", "ockam.md", "what-a-relay-sees.md"]
            .iter()
            .any(|name| path.ends_with(name));
        assert!(!has_sessions || commands.len() >= 5, "{}", path.display());
    }
}

#[test]
fn command_lines_are_found_as_people_read_them() {
    let text = "    alice$ sealway call $R/service/x \"a b\"  # c\n    relay# sealway relay \\\n      --listen 0.0.0.0:1\nx $ sealway y\n";
    let found = commands(text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(words(&found[0]).last().map(String::as_str), Some("a b"));
    assert_eq!(words(&found[1]).len(), 4);
    assert!(is_taken("sealway call --no-such-option").is_err());
    assert!(
        is_taken("sealway call /ip4/1.2.3.4/tcp/1/secure/api/service/x --suite hybrid").is_err()
    );
}
