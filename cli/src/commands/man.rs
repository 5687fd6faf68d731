//! `sealway man`: the manual, a page for each command, from the same description that `--help` prints.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};
use serde_json::json;

use crate::args::{Cli, ManArgs};
use crate::error::{CliError, Result};
use crate::output::Output;

/// Examples by command.
const EXAMPLES: &[(&str, &[&str])] = &[
    ("sealway demo", &["sealway demo", "sealway demo --json"]),
    (
        "sealway node",
        &[
            "sealway node --listen 0.0.0.0:4100 --service echo --trust everyone",
            "sealway node --via relay.example.com:4100 --alias bob --outlet web=127.0.0.1:8080",
        ],
    ),
    (
        "sealway inlet",
        &[
            "sealway inlet --listen 127.0.0.1:8081 --to /dnsaddr/relay.example.com/tcp/4100/service/forward_to_bob/secure/sealway_xx1/service/web",
        ],
    ),
    ("sealway relay", &["sealway relay --listen 0.0.0.0:4100"]),
    (
        "sealway call",
        &["sealway call /ip4/10.0.0.7/tcp/4100/secure/sealway_xx1/service/echo hello --timeout 5s"],
    ),
    (
        "sealway ping",
        &[
            "sealway ping /dnsaddr/relay.example.com/tcp/4100/service/forward_to_bob/secure/sealway_xx1 --count 3",
        ],
    ),
    (
        "sealway identity",
        &[
            "sealway identity create",
            "sealway identity rotate --compromised",
            "sealway identity export --secret --output identity.backup",
            "sealway identity import identity.backup",
        ],
    ),
    (
        "sealway peer",
        &[
            "sealway peer add bob bob.history",
            "sealway peer list",
            "sealway peer remove bob",
        ],
    ),
    ("sealway status", &["sealway status --json"]),
    (
        "sealway service install",
        &[
            "sealway service install --print -- relay --listen 0.0.0.0:4100",
            "sealway service install --user --now -- node --via relay.example.com:4100 --outlet web=127.0.0.1:8080",
        ],
    ),
    (
        "sealway service uninstall",
        &["sealway service uninstall --now sealway-relay"],
    ),
    ("sealway service show", &["sealway service show"]),
    ("sealway completions", &["sealway completions bash"]),
    (
        "sealway man",
        &["sealway man", "sealway man /usr/local/share/man/man1"],
    ),
];

/// Prints the page of `sealway`, or writes every page into a directory.
///
/// # Errors
/// The system's.
pub(crate) fn run(args: &ManArgs, output: Output) -> Result<()> {
    let pages =
        pages().map_err(|error| CliError::failed(format!("cannot make the manual: {error}")))?;
    let Some(directory) = &args.directory else {
        let page = pages
            .into_iter()
            .next()
            .map(|page| page.text)
            .unwrap_or_default();
        if output.json() {
            let text = String::from_utf8_lossy(&page);
            return output.result("", &json!({ "page": text }));
        }
        return output.bytes(&page);
    };
    fs::create_dir_all(directory).map_err(|error| unusable(directory, &error))?;
    for page in &pages {
        let path = directory.join(&page.file);
        File::create(&path)
            .and_then(|mut file| file.write_all(&page.text))
            .map_err(|error| unusable(&path, &error))?;
    }
    let files: Vec<_> = pages.iter().map(|page| page.file.as_str()).collect();
    output.result(
        &files.join("\n"),
        &json!({"directory": directory, "pages": files}),
    )
}

fn unusable(path: &Path, error: &io::Error) -> CliError {
    CliError::failed(format!("{}: {error}", path.display()))
        .hint("choose a directory where you may write, such as ~/.local/share/man/man1")
}

/// A page of the manual.
struct Page {
    /// `sealway-identity-create.1`.
    file: String,
    text: Vec<u8>,
}

/// All pages, that of `sealway` first.
fn pages() -> io::Result<Vec<Page>> {
    let mut pages = Vec::new();
    let mut root = Cli::command();
    root.build();
    add(&root, "sealway", &mut pages)?;
    Ok(pages)
}

/// Adds the page of `command`, whose words are `path`, and those of its own commands.
fn add(command: &Command, path: &str, pages: &mut Vec<Page>) -> io::Result<()> {
    let name = path.replace(' ', "-");
    // The page is named as its file, and shows how the command is called.
    let shown = command.clone().display_name(name.clone()).bin_name(path);
    let mut text = Vec::new();
    let man = Man::new(shown).title(name.to_uppercase()).section("1");
    man.render(&mut text)?;
    if let Some((_, examples)) = EXAMPLES.iter().find(|(of, _)| *of == path) {
        let mut section = Roff::new();
        section.control("SH", ["EXAMPLES"]);
        for example in *examples {
            section.control("PP", []);
            section.text([bold(*example)]);
        }
        section.to_writer(&mut text)?;
    }
    exit_codes(&mut text)?;
    pages.push(Page {
        file: format!("{name}.1"),
        text,
    });
    for inner in command
        .get_subcommands()
        .filter(|inner| !inner.is_hide_set())
    {
        add(inner, &format!("{path} {}", inner.get_name()), pages)?;
    }
    Ok(())
}

fn exit_codes(text: &mut Vec<u8>) -> io::Result<()> {
    let mut section = Roff::new();
    section.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in [
        ("0", "done"),
        ("1", "failed"),
        ("2", "wrong usage"),
        ("3", "refused by policy or authentication"),
        ("4", "unreachable or timed out"),
    ] {
        section.control("TP", []);
        section.text([bold(code)]);
        section.text([roman(meaning)]);
    }
    section.to_writer(text)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn paths(command: &Command, path: &str, into: &mut Vec<String>) {
        into.push(path.to_owned());
        for inner in command
            .get_subcommands()
            .filter(|inner| !inner.is_hide_set())
        {
            paths(inner, &format!("{path} {}", inner.get_name()), into);
        }
    }

    /// What a page says, without its markup.
    fn said(page: &Page) -> String {
        let text = String::from_utf8(page.text.clone()).expect("UTF-8");
        ["\\fB", "\\fR", "\\fI", "\\", "\""]
            .iter()
            .fold(text, |text, mark| text.replace(mark, ""))
    }

    #[test]
    fn every_command_has_a_page_that_says_how_it_is_called() {
        let pages = pages().expect("pages");
        let mut all = Vec::new();
        paths(&Cli::command(), "sealway", &mut all);
        assert_eq!(pages.len(), all.len());
        assert!(all.len() > 20, "{}", all.len());
        for path in all {
            let file = format!("{}.1", path.replace(' ', "-"));
            let page = pages.iter().find(|page| page.file == file).expect(&file);
            let said = said(page);
            for part in [
                ".SH NAME",
                ".SH SYNOPSIS",
                ".SH EXIT STATUS",
                &format!("{path} "),
            ] {
                assert!(said.contains(part), "{file} lacks {part}:\n{said}");
            }
        }
    }

    #[test]
    fn every_example_is_of_a_command_that_is_there_and_can_be_run() {
        let pages = pages().expect("pages");
        for (path, examples) in EXAMPLES {
            let file = format!("{}.1", path.replace(' ', "-"));
            let page = pages.iter().find(|page| page.file == file).expect(&file);
            for example in *examples {
                assert!(
                    said(page).contains(example),
                    "{file} does not show {example}"
                );
                assert!(example.starts_with(path), "{example} stands under {path}");
                let cli = Cli::try_parse_from(example.split(' '))
                    .unwrap_or_else(|error| panic!("{example}: {error}"));
                cli.check()
                    .unwrap_or_else(|error| panic!("{example}: {error}"));
            }
        }
    }
}
