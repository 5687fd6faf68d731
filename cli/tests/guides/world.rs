//! Where sessions are played: a directory for each person, ports that are free, a private web server.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::session::Step;
use super::support::{DEADLINE, run_within};

/// The relay's host in the documents.
const HOST: &str = "relay.example.com";
/// Commands of ours that stay.
const STAYS: [&str; 5] = ["relay", "node", "inlet", "expose", "connect"];
/// The port of the private web server in the documents.
const WEB: &str = "8080";
/// Other ports in the documents.
const PORTS: [&str; 5] = ["4100", "8081", "15432", "5432", "4200"];

/// A command that stays.
struct Standing {
    who: String,
    child: Child,
    printed: Receiver<String>,
}

impl Drop for Standing {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Everything that a document's sessions share.
pub(crate) struct World {
    directory: TempDir,
    /// What stands in the document, and what it is in this run.
    known: Vec<(String, String)>,
    /// `NAME=value` lines, by person.
    variables: HashMap<String, String>,
    standing: Vec<Standing>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut known = vec![(HOST.to_owned(), "localhost".to_owned())];
        for port in PORTS {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            known.push((
                port.to_owned(),
                free.local_addr().unwrap().port().to_string(),
            ));
        }
        known.push((WEB.to_owned(), web_server().to_string()));
        Self {
            directory: tempfile::tempdir().unwrap(),
            known,
            variables: HashMap::new(),
            standing: Vec::new(),
        }
    }

    /// Runs a step; what differs from the document.
    pub(crate) fn perform(&mut self, step: &Step) -> Result<(), String> {
        let command = self.here(&step.command);
        let words: Vec<&str> = command.split_whitespace().collect();
        if words == ["^C"] {
            return self.interrupt(&step.who);
        }
        if let [assignment] = words[..]
            && assignment.contains('=')
        {
            let variables = self.variables.entry(step.who.clone()).or_default();
            let _ = writeln!(variables, "{assignment}");
            return Ok(());
        }
        if let ["curl", url] = words[..] {
            return self.compare(step, &fetch(url)?);
        }
        let stays = words.first() == Some(&"sealway")
            && STAYS.contains(words.get(1).unwrap_or(&""))
            && !is_refused(step);
        let printed = match stays {
            true => self.stay(step, &command)?,
            false => self.finish(step, &command)?,
        };
        self.learn(&step.shown, &printed);
        self.compare(step, &printed)
    }

    fn shell(&self, who: &str, command: &str) -> Command {
        let home = self.directory.path().join(who);
        std::fs::create_dir_all(&home).unwrap();
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_sealway"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!(
            "{}:{path}",
            binary.parent().unwrap_or(Path::new("/")).display()
        );
        let variables = self.variables.get(who).map_or("", String::as_str);
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{variables}{command}")])
            .env_clear()
            .env("PATH", path)
            .env("HOME", &home)
            .env("COLUMNS", "200")
            .current_dir(&home)
            .stdin(Stdio::null());
        shell
    }

    /// Ends what a person has running, in order.
    fn interrupt(&mut self, who: &str) -> Result<(), String> {
        let (ended, stay): (Vec<_>, _) = self
            .standing
            .drain(..)
            .partition(|standing| standing.who == who);
        self.standing = stay;
        for mut standing in ended {
            let id = i32::try_from(standing.child.id())
                .ok()
                .and_then(Pid::from_raw);
            kill_process(id.unwrap(), Signal::INT).map_err(|error| error.to_string())?;
            let status = standing.child.wait().map_err(|error| error.to_string())?;
            if !status.success() {
                return Err(format!("^C ended it with {status}"));
            }
        }
        Ok(())
    }

    /// A command that ends: its lines, stderr's behind stdout's.
    fn finish(&self, step: &Step, command: &str) -> Result<Vec<String>, String> {
        let ran = run_within(&mut self.shell(&step.who, command), 3 * DEADLINE);
        if (ran.code != Some(0)) != is_refused(step) {
            return Err(format!("{ran:?}"));
        }
        let lines = ran.stdout.lines().chain(ran.stderr.lines());
        Ok(lines.map(str::to_owned).collect())
    }

    /// A command that stays: as many of its lines as are shown, and one at least.
    fn stay(&mut self, step: &Step, command: &str) -> Result<Vec<String>, String> {
        let mut child = self
            .shell(&step.who, &format!("exec {command}"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, printed) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        self.standing.push(Standing {
            who: step.who.clone(),
            child,
            printed,
        });
        let standing = self.standing.last().unwrap();
        let mut lines = Vec::new();
        for _ in 0..step.shown.len().max(1) {
            let line = standing.printed.recv_timeout(DEADLINE);
            lines.push(line.map_err(|_| format!("it printed {lines:?} and nothing more"))?);
        }
        Ok(lines)
    }

    /// Takes note of the identifiers and tickets that this run has where the document shows its own.
    fn learn(&mut self, shown: &[String], printed: &[String]) {
        for (shown, printed) in shown.iter().zip(printed) {
            for (shown, printed) in words(shown).zip(words(printed)) {
                let is_new = is_secretly_random(shown) && is_secretly_random(printed);
                if is_new && self.known.iter().all(|(known, _)| known != shown) {
                    self.known.push((shown.to_owned(), printed.to_owned()));
                }
            }
        }
    }

    /// Where nothing is shown, the document leaves it out.
    fn compare(&self, step: &Step, printed: &[String]) -> Result<(), String> {
        if step.shown.is_empty() {
            return Ok(());
        }
        let printed: Vec<String> = printed.iter().map(|line| settled(line)).collect();
        let shown: Vec<String> = step
            .shown
            .iter()
            .map(|line| settled(&self.here(line)))
            .collect();
        if matches(&shown, &printed) {
            return Ok(());
        }
        Err(format!("shown:   {shown:#?}\nprinted: {printed:#?}"))
    }

    /// The text with this run's names.
    fn here(&self, text: &str) -> String {
        let text = text.replace(HOST, "localhost");
        words(&text)
            .map(|word| {
                let known = self.known.iter().find(|(shown, _)| shown == word);
                known.map_or(word, |(_, here)| here)
            })
            .collect()
    }
}

/// Whether the document shows that the command fails.
fn is_refused(step: &Step) -> bool {
    step.shown.iter().any(|line| line.starts_with("error:"))
}

/// Runs of letters and digits, and what is between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?.is_ascii_alphanumeric();
        let end = rest.find(|c: char| c.is_ascii_alphanumeric() != first);
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        Some(word)
    })
}

/// An identifier, or a ticket.
fn is_secretly_random(word: &str) -> bool {
    word.len() >= 60
}

/// The line with times replaced.
fn settled(line: &str) -> String {
    let mut out = String::new();
    let mut words: Vec<&str> = line.split(' ').filter(|word| !word.is_empty()).collect();
    for at in 1..words.len() {
        let is_unit = ["ms", "s", "us"].contains(&words[at]);
        if is_unit && words[at - 1].parse::<f64>().is_ok() {
            words[at - 1] = "T";
            words[at] = "";
        }
    }
    for word in words {
        let _ = write!(out, "{word} ");
    }
    out.trim_end().to_owned()
}

/// Whether the printed lines are the shown ones, as far as they are shown.
fn matches(shown: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else {
        return printed.is_empty();
    };
    if first == "…" {
        return (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..]));
    }
    let Some((line, behind)) = printed.split_first() else {
        return false;
    };
    let is_same = match first.strip_suffix('…') {
        Some(beginning) => line.starts_with(beginning.trim_end()),
        None => line == first,
    };
    is_same && matches(rest, behind)
}

/// What `curl URL` prints, also where there is no curl.
fn fetch(url: &str) -> Result<Vec<String>, String> {
    let (authority, _) = url
        .strip_prefix("http://")
        .and_then(|rest| rest.split_once('/'))
        .ok_or("no URL")?;
    let mut answer = String::new();
    let mut exchange = || {
        let mut socket = TcpStream::connect(authority)?;
        socket.set_read_timeout(Some(DEADLINE))?;
        socket.write_all(
            format!("GET / HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n").as_bytes(),
        )?;
        socket.read_to_string(&mut answer)
    };
    exchange().map_err(|error| format!("{url}: {error}"))?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    Ok(body.lines().map(str::to_owned).collect())
}

/// Answers every request with one line; its port.
fn web_server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte).is_ok_and(|n| n == 1) {
                    head.push(byte[0]);
                }
                let body = "hello from behind the relay\n";
                let _ = write!(
                    socket,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            });
        }
    });
    port
}

#[test]
fn other_lines_than_those_shown_are_noticed() {
    let lines = |text: &str| text.lines().map(settled).collect::<Vec<_>>();
    let shown = lines("a  1.5 ms\n…\nend…");
    assert!(matches(&shown, &lines("a 22 ms\nx\ny\nend of it")));
    assert!(matches(&shown, &lines("a 22 ms\nend")));
    assert!(!matches(&shown, &lines("b 22 ms\nend")));
    assert!(!matches(&shown, &lines("a 22 ms\nx")));
    assert!(!matches(&shown, &lines("a 22 ms\nend\nmore")));
    assert!(!matches(&[], &lines("something")));
    let known: Vec<&str> = words("tcp/4100, x").collect();
    assert_eq!(known, ["tcp", "/", "4100", ", ", "x"]);
}
