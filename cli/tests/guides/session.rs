//! Sessions in documents.

/// A command of a session, and what is shown below it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// Whose terminal it is.
    pub(crate) who: String,
    /// The command, on one line.
    pub(crate) command: String,
    /// What the document shows that it prints.
    pub(crate) shown: Vec<String>,
}

/// The steps of the sessions under the heading, up to the next one of its level.
pub(crate) fn sessions(document: &str, heading: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let (mut inside, mut open, mut goes_on) = (false, false, false);
    for line in document.lines() {
        if line.starts_with("## ") || line.starts_with("# ") {
            inside = line.trim_start_matches('#').trim() == heading;
        }
        if !inside {
            continue;
        }
        let text = line.strip_prefix("    ").unwrap_or(line);
        if goes_on {
            let step = steps.last_mut().unwrap();
            goes_on = append(&mut step.command, text);
        } else if let Some((who, command)) = prompt(text) {
            let mut step = Step {
                who: who.to_owned(),
                command: String::new(),
                shown: Vec::new(),
            };
            goes_on = append(&mut step.command, command);
            steps.push(step);
            open = true;
        } else if text.is_empty() || text.starts_with("```") {
            open = false;
        } else if open {
            steps.last_mut().unwrap().shown.push(text.to_owned());
        }
    }
    steps
}

/// Adds a line to a command; whether it goes on in the next one.
fn append(command: &mut String, line: &str) -> bool {
    let part = line.trim().trim_end_matches('\\').trim_end();
    if !command.is_empty() {
        command.push(' ');
    }
    command.push_str(part);
    line.trim_end().ends_with('\\')
}

/// `alice$ command`.
fn prompt(line: &str) -> Option<(&str, &str)> {
    let (who, command) = line.split_once('$')?;
    let command = command.strip_prefix(' ')?;
    let is_name = !who.is_empty() && who.bytes().all(|byte| byte.is_ascii_lowercase());
    is_name.then_some((who, command.trim_start()))
}

#[test]
fn a_session_is_read_as_people_read_it() {
    let text = "# A\n    x$ not here\n## B\nText $ 5\n\n    a$ one \\\n        two\n    out 1\n    bob$   three\n\n    no output\n\
        ```console\na$ four\nout 2\n```\nbehind\n## C\n    x$ nor here\n";
    let step = |who: &str, command: &str, shown: &[&str]| Step {
        who: who.to_owned(),
        command: command.to_owned(),
        shown: shown.iter().map(|&line| line.to_owned()).collect(),
    };
    let expected = [
        step("a", "one two", &["out 1"]),
        step("bob", "three", &[]),
        step("a", "four", &["out 2"]),
    ];
    assert_eq!(sessions(text, "B"), expected);
}
