//! Results on stdout, for people or as JSON; everything else on stderr.
//!
//! Names and texts that came from a peer pass [`shown`] before a terminal sees them.

use std::io::{self, IsTerminal as _, Write as _};

use sealway_core::wire::steers;
use serde_json::Value;

use crate::error::{CliError, Result};
use crate::terminal::beside;

/// How this run of the command speaks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    colour: bool,
    terminal: bool,
}

impl Output {
    /// `json`: one JSON value, or one per line for events. `quiet`: notes are left out.
    /// Colours: only on a terminal, and not if `NO_COLOR` is set to anything (no-color.org) or the terminal is dumb.
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let terminal = io::stdout().is_terminal();
        let colour = terminal && !json && !set("NO_COLOR") && !dumb;
        Self {
            json,
            quiet,
            colour,
            terminal,
        }
    }

    /// Whether results are JSON.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether somebody looks at stdout.
    pub(crate) fn on_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether colours are wanted: somebody looks at stdout, and means to read it.
    pub(crate) fn in_colour(&self) -> bool {
        self.colour
    }

    /// Whether notes are left out.
    pub(crate) fn quiet(&self) -> bool {
        self.quiet
    }

    /// Prints a command's result: `human` (without its last line feed) or `json`.
    ///
    /// # Errors
    /// stdout is gone or full.
    pub(crate) fn result(&self, human: &str, json: &Value) -> Result<()> {
        if self.json {
            return self.line(&json_line(json));
        }
        if human.is_empty() {
            Ok(())
        } else {
            self.line(human)
        }
    }

    /// Prints one event of a long-running command: `human` if somebody waits for it, `json` always.
    ///
    /// A reader of stdout that has gone ends no service: the event is dropped.
    ///
    /// # Errors
    /// stdout is full or broken.
    pub(crate) fn event(&self, human: Option<&str>, json: &Value) -> Result<()> {
        let written = match human {
            _ if self.json => self.line(&json_line(json)),
            Some(text) => self.line(text),
            None => Ok(()),
        };
        match written {
            Err(error) if error.kind() == crate::error::Kind::Closed => Ok(()),
            other => other,
        }
    }

    /// Says something on stderr that is no result, unless told to be quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            // Nobody reads stderr: nothing to do about it, and nothing depends on it.
            let _ = beside(|| writeln!(io::stderr(), "{text}"));
        }
    }

    /// Writes `text` and a line feed to stdout at once.
    ///
    /// # Errors
    /// stdout is gone or full.
    pub(crate) fn line(&self, text: &str) -> Result<()> {
        let write = || {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{text}").and_then(|()| stdout.flush())
        };
        // A reader that stands still holds up nothing but itself.
        let written = if self.terminal {
            beside(write)
        } else {
            write()
        };
        written.map_err(|error| CliError::stdout(&error))
    }

    /// Writes raw bytes to stdout.
    ///
    /// # Errors
    /// stdout is gone or full.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .map_err(|error| CliError::stdout(&error))
    }

    /// `text` in bold, where colours are wanted.
    pub(crate) fn bold(&self, text: &str) -> String {
        self.painted("1", text)
    }

    /// `text` in green, where colours are wanted.
    pub(crate) fn green(&self, text: &str) -> String {
        self.painted("32", text)
    }

    /// `text` in red, where colours are wanted.
    pub(crate) fn red(&self, text: &str) -> String {
        self.painted("31", text)
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// `text` with everything that could act on a terminal, or pose as another line, escaped: `\u{1b}`.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

/// One line of JSON in which no character can act on a terminal: they are written as `\uXXXX`, which changes no value.
pub(crate) fn json_line(value: &Value) -> String {
    let text = value.to_string();
    if !text.chars().any(steers) {
        return text;
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Outside of strings JSON is plain ASCII, so an unsafe character stands inside one.
        if steers(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_is_shown() {
        let hostile = "a\u{1b}]0;x\u{7}\r\n\u{9b}2J\u{202e}b\u{200b}\u{e0041}é";
        let text = shown(hostile);
        assert!(!text.chars().any(steers), "{text:?}");
        assert!(text.starts_with('a') && text.ends_with('é'));
        let line = json_line(&serde_json::json!({ "name": hostile }));
        assert!(!line.chars().any(steers), "{line:?}");
        let back: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(back["name"], hostile);
    }
}
