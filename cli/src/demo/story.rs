//! How the demo tells what it sees, to people; with `--json` only the checks are told, at the end.

use serde_json::{Value, json};

use super::checks::Observed;
use crate::error::{CliError, Result};
use crate::output::{Output, shown};

/// The names of the checks, in the order they are told.
pub(super) const CHECKS: [&str; 8] = [
    "file_fetched",
    "relay_saw_no_plaintext",
    "hybrid_suite_used",
    "tampered_frame_refused",
    "replayed_frame_refused",
    "stranger_refused",
    "spent_ticket_refused",
    "recovered_after_relay_restart",
];

/// One check and its outcome.
#[derive(Debug)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
}

/// The story so far.
#[derive(Debug)]
pub(super) struct Story {
    output: Output,
    checks: Vec<Check>,
    found_at_client: u64,
    closed: Option<CliError>,
    kept: Option<Value>,
}

impl Story {
    /// A story that has not begun.
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            checks: Vec::new(),
            found_at_client: 0,
            closed: None,
            kept: None,
        }
    }

    /// Begins a step.
    pub(super) fn step(&mut self, title: &str) {
        let title = self.output.bold(title);
        self.line(&format!("\n{title}"));
    }

    /// Says what was seen.
    pub(super) fn say(&mut self, text: &str) {
        self.line(&format!("  {}", shown(text)));
    }

    fn line(&mut self, text: &str) {
        if self.output.json() || self.output.quiet() {
            return;
        }
        if let Err(error) = self.output.line(text) {
            self.closed.get_or_insert(error);
        }
    }

    /// Notes how many pieces of the plaintext the search found where it must find them.
    pub(super) fn control(&mut self, hits: u64) {
        self.found_at_client = self.found_at_client.max(hits);
    }

    /// How many pieces of the plaintext the search found in what the client got.
    pub(super) fn found_at_client(&self) -> u64 {
        self.found_at_client
    }

    /// Notes a check's outcome; told again under the same name, it replaces the former.
    pub(super) fn check(&mut self, name: &'static str, observed: Observed) {
        let (ok, detail) = match observed {
            Ok(detail) => (true, detail),
            Err(detail) => (false, detail),
        };
        let mark = if ok {
            self.output.green("ok")
        } else {
            self.output.red("FAILED")
        };
        self.line(&format!("  {mark}  {name}: {}", shown(&detail)));
        self.settle(name, ok, detail);
    }

    /// Corrects the outcome of a check that was told before, without telling it again if it is as good.
    pub(super) fn settle_again(&mut self, name: &'static str, observed: Observed) {
        match observed {
            Ok(detail) => self.settle(name, true, detail),
            Err(detail) => self.check(name, Err(detail)),
        }
    }

    fn settle(&mut self, name: &'static str, ok: bool, detail: String) {
        match self.checks.iter_mut().find(|check| check.name == name) {
            Some(check) => {
                *check = Check {
                    name,
                    ok: ok && check.ok,
                    detail,
                }
            }
            None => self.checks.push(Check { name, ok, detail }),
        }
    }

    /// Notes what was left behind.
    pub(super) fn keep(&mut self, kept: Value) {
        self.kept = Some(kept);
    }

    /// Tells the end. What was not reached is not true.
    ///
    /// # Errors
    /// Not all checks are true, or stdout is gone.
    pub(super) fn end(mut self, unreached: &str) -> Result<()> {
        for name in CHECKS {
            if !self.checks.iter().any(|check| check.name == name) {
                self.check(name, Err(format!("not reached: {unreached}")));
            }
        }
        self.checks
            .sort_by_key(|check| CHECKS.iter().position(|name| *name == check.name));
        if let Some(error) = self.closed {
            return Err(error);
        }
        let good = self.checks.iter().filter(|check| check.ok).count();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| json!({"name": check.name, "ok": check.ok, "detail": check.detail}))
            .collect();
        let summary = format!("\n{good} of {} checks true", CHECKS.len());
        let mut told = json!({"ok": good == CHECKS.len(), "checks": checks});
        if let Some(kept) = self.kept {
            told["kept"] = kept;
        }
        self.output.result(&summary, &told)?;
        if good == CHECKS.len() {
            return Ok(());
        }
        let failed: Vec<&str> = self
            .checks
            .iter()
            .filter(|check| !check.ok)
            .map(|check| check.name)
            .collect();
        Err(CliError::failed(format!("not true: {}", failed.join(", ")))
            .hint("run it again with --keep and look at the logs in its directory"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_that_was_not_reached_is_not_true() {
        let mut story = Story::new(Output::new(true, true));
        for name in &CHECKS[1..] {
            story.check(name, Ok("seen".to_owned()));
        }
        let error = story.end("it did not start").unwrap_err();
        assert!(error.render(false).contains("file_fetched"));
    }

    #[test]
    fn a_check_that_failed_once_stays_failed() {
        let mut story = Story::new(Output::new(true, true));
        for name in CHECKS {
            story.check(name, Ok("seen".to_owned()));
        }
        story.settle_again(CHECKS[1], Err("found".to_owned()));
        story.settle_again(CHECKS[1], Ok("not found".to_owned()));
        assert!(story.end("").is_err());
    }
}
