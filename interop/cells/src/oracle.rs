//! The reference as a child process that is told what to do in JSON lines.

use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long any answer may take; commands that wait have deadlines of their own below it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why a command to the reference gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum OracleError {
    /// The program is not there or did not start.
    #[error("cannot start {}: {source} (interop/run builds it first)", program.display())]
    Start {
        /// The program that was to be started.
        program: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The reference answered that it failed.
    #[error("{op}: {error}")]
    Refused {
        /// The operation that was told.
        op: String,
        /// The reference's words.
        error: String,
    },
    /// No answer came, or the process is gone.
    #[error("{op}: no answer from the reference; its standard error: {stderr:?}")]
    Silent {
        /// The operation that was told.
        op: String,
        /// What the process wrote to standard error so far.
        stderr: String,
    },
    /// The answer lacks a field that this operation's answers have.
    #[error("the answer has no {field:?}: {answer}")]
    MissingField {
        /// The field's name.
        field: String,
        /// The whole answer.
        answer: Value,
    },
    /// The command could not be written.
    #[error("standard input of the reference: {0}")]
    Io(#[from] io::Error),
}

type Waiting = Arc<Mutex<HashMap<u64, Sender<Value>>>>;

/// One reference node. Dropping it ends the process.
#[derive(Debug)]
pub struct Oracle {
    child: Child,
    stdin: Mutex<ChildStdin>,
    waiting: Waiting,
    stderr: Arc<Mutex<String>>,
    next_id: AtomicU64,
}

/// A command whose answer has not been read yet.
#[derive(Debug)]
pub struct Pending {
    op: String,
    answer: Receiver<Value>,
    stderr: Arc<Mutex<String>>,
}

impl Oracle {
    /// Starts a node with no identity, no listener, nothing reachable.
    ///
    /// # Errors
    /// [`OracleError::Start`] when the program `reference-node` has not been built.
    pub fn start() -> Result<Self, OracleError> {
        let program = program();
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| OracleError::Start { program, source })?;
        let missing = || io::Error::other("no pipe to the child");
        let stdin = child.stdin.take().ok_or_else(missing)?;
        let stdout = child.stdout.take().ok_or_else(missing)?;
        let stderr_pipe = child.stderr.take().ok_or_else(missing)?;
        let waiting = Waiting::default();
        let stderr = Arc::new(Mutex::new(String::new()));
        thread::spawn({
            let waiting = waiting.clone();
            move || hand_out(BufReader::new(stdout), &waiting)
        });
        thread::spawn({
            let stderr = stderr.clone();
            move || collect(stderr_pipe, &stderr)
        });
        Ok(Self {
            child,
            stdin: Mutex::new(stdin),
            waiting,
            stderr,
            next_id: AtomicU64::new(1),
        })
    }

    /// Tells the node to do `op` with `fields` (an object) and returns its answer.
    ///
    /// # Errors
    /// [`OracleError::Refused`] when the reference failed, [`OracleError::Silent`] when it is gone or stuck.
    pub fn call(&self, op: &str, fields: Value) -> Result<Value, OracleError> {
        self.begin(op, fields)?.wait()
    }

    /// As [`Oracle::call`], for the one string field of the answer that is wanted.
    ///
    /// # Errors
    /// Those of [`Oracle::call`]; [`OracleError::MissingField`].
    pub fn call_for(&self, op: &str, fields: Value, field: &str) -> Result<String, OracleError> {
        let answer = self.call(op, fields)?;
        match &answer[field] {
            Value::String(text) => Ok(text.clone()),
            Value::Null => Err(OracleError::MissingField {
                field: field.to_owned(),
                answer,
            }),
            other => Ok(other.to_string()),
        }
    }

    /// Tells the node to do `op`; its answer is read later.
    ///
    /// # Errors
    /// [`OracleError::Io`] when the process no longer reads.
    pub fn begin(&self, op: &str, fields: Value) -> Result<Pending, OracleError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut command = match fields {
            Value::Object(fields) => fields,
            _ => Map::new(),
        };
        command.insert("id".to_owned(), json!(id));
        command.insert("op".to_owned(), json!(op));
        let (sender, answer) = channel();
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, sender);
        let line = format!("{}\n", Value::Object(command));
        let mut stdin = self.stdin.lock().unwrap_or_else(PoisonError::into_inner);
        stdin.write_all(line.as_bytes())?;
        stdin.flush()?;
        Ok(Pending {
            op: op.to_owned(),
            answer,
            stderr: self.stderr.clone(),
        })
    }
}

impl Pending {
    /// The answer.
    ///
    /// # Errors
    /// Those of [`Oracle::call`].
    pub fn wait(self) -> Result<Value, OracleError> {
        let Ok(answer) = self.answer.recv_timeout(PATIENCE) else {
            let stderr = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
            return Err(OracleError::Silent {
                op: self.op,
                stderr: stderr.clone(),
            });
        };
        if answer["ok"] == json!(true) {
            return Ok(answer);
        }
        Err(OracleError::Refused {
            op: self.op,
            error: answer["error"].as_str().unwrap_or_default().to_owned(),
        })
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // Both fail only when the process has already ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `REFERENCE_NODE`, or where the workspace beside this package puts it.
fn program() -> PathBuf {
    std::env::var_os("REFERENCE_NODE").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../target/debug/reference-node"
            ))
        },
        PathBuf::from,
    )
}

/// Gives each answer to who waits for it. When the process ends nobody is left waiting.
fn hand_out(lines: impl BufRead, waiting: &Waiting) {
    for line in lines.lines().map_while(Result::ok) {
        let Ok(answer) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let Some(id) = answer["id"].as_u64() else {
            continue;
        };
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = waiting.remove(&id) {
            // Whoever asked may have given up.
            let _ = sender.send(answer);
        }
    }
    waiting
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}

fn collect(mut pipe: impl Read, into: &Mutex<String>) {
    let mut chunk = [0; 4096];
    while let Ok(got @ 1..) = pipe.read(&mut chunk) {
        let text = String::from_utf8_lossy(chunk.get(..got).unwrap_or_default());
        into.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_str(&text);
    }
}
