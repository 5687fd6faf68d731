//! What a command says when it cannot do what it was asked, and the exit code it leaves.
//!
//! A failure is one line on stderr, `error: WHAT: WHY`, and mostly a second, `hint: WHAT TO TRY`. With `--json`
//! it is one line too: `{"error":{"kind":…,"message":…,"hint":…,"exit_code":N}}`. stdout carries results only.

use std::fmt;
use std::io;

use crate::output::{self, shown};

/// What kind of failure it was: decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command could not be carried out.
    Failed,
    /// The command line makes no sense.
    Usage,
    /// A policy or an authentication said no.
    Refused,
    /// Nobody answered, or not in time.
    Unreachable,
    /// Whoever read stdout has gone: nothing is left to say.
    Closed,
}

impl Kind {
    /// The documented exit code.
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Kind::Closed => 0,
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Refused => 3,
            Kind::Unreachable => 4,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Closed => "closed",
            Kind::Failed => "failed",
            Kind::Usage => "usage",
            Kind::Refused => "refused",
            Kind::Unreachable => "unreachable",
        }
    }
}

/// A command's failure: what failed and why in one line, and what to try.
#[derive(Debug)]
pub(crate) struct CliError {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

/// What commands return.
pub(crate) type Result<T> = std::result::Result<T, CliError>;

impl CliError {
    /// A failure of `kind`; `message` says what failed and why.
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The command could not be carried out.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Kind::Failed, message)
    }

    /// The command line makes no sense.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The same failure as part of `what`.
    pub(crate) fn within(self, what: &str) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            ..self
        }
    }

    /// Adds what to try.
    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// A failure to write to stdout: a reader that has gone is no error.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Kind::Closed, "stdout was closed");
        }
        Self::failed(format!("cannot write to standard output: {error}"))
            .hint("free space or give another file, then run the command again")
    }

    /// What kind of failure it was.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// The text for stderr, ending in a line feed; empty if there is nothing to say.
    pub(crate) fn render(&self, json: bool) -> String {
        if self.kind == Kind::Closed {
            return String::new();
        }
        if json {
            let value = serde_json::json!({"error": {
                "kind": self.kind.name(),
                "message": self.message,
                "hint": self.hint,
                "exit_code": self.kind.exit_code(),
            }});
            return format!("{}\n", output::json_line(&value));
        }
        let mut text = format!("error: {}\n", shown(&self.message));
        if let Some(hint) = &self.hint {
            text.push_str(&format!("hint: {}\n", shown(hint)));
        }
        text
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_whatever_it_names() {
        let error =
            CliError::failed("no identity named a\nerror: b\u{1b}[2J").hint("list\u{2028}them");
        let text = error.render(false);
        assert_eq!(text.lines().count(), 2, "{text:?}");
        assert!(
            !text.contains('\u{1b}') && !text.contains('\u{2028}'),
            "{text:?}"
        );
        let value: serde_json::Value = serde_json::from_str(&error.render(true)).unwrap();
        assert_eq!(value["error"]["exit_code"], 1);
    }
}
