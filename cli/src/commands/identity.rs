//! `sealway identity …`: identities and their keys.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sealway::control::Changed;
use sealway::home::Home;
use sealway::store::{Backup, BackupError, IdentityStoreError, Name, StoreFault, StoredIdentity};
use sealway_core::crypto::KeyType;
use sealway_core::identity::Rotation;
use serde_json::{Value, json};

use super::{hex, name_of, status, tell_others, wait_for};
use crate::args::{Global, IdentityCommand, KeyKind};
use crate::error::{CliError, Result};
use crate::home;
use crate::output::Output;

/// Longest file that is read as a backup, in bytes.
const MAX_BACKUP: u64 = 1 << 20;

impl From<IdentityStoreError> for CliError {
    fn from(error: IdentityStoreError) -> Self {
        CliError::failed(&error).hint(error.hint())
    }
}

impl From<StoreFault> for CliError {
    fn from(fault: StoreFault) -> Self {
        CliError::failed(&fault).hint(fault.hint())
    }
}

impl From<KeyKind> for KeyType {
    fn from(kind: KeyKind) -> Self {
        match kind {
            KeyKind::Ed25519 => KeyType::Ed25519,
            KeyKind::P256 => KeyType::P256,
        }
    }
}

/// Carries out `sealway identity …`.
pub(crate) fn run(command: IdentityCommand, global: &Global, output: Output) -> Result<()> {
    let home = || home::open(global);
    match command {
        IdentityCommand::Create { name, key } => {
            let home = home()?;
            let made = home
                .identities()
                .create(&name_of(&name)?, key.into(), home.clock().now())
                .wait()?;
            print_identifier(&made, output)
        }
        IdentityCommand::List => list(&home()?, output),
        IdentityCommand::Show { name } => show(&home()?, name.as_deref(), output),
        IdentityCommand::Rotate {
            name,
            key,
            compromised,
        } => rotate(&home()?, name.as_deref(), key, compromised, output),
        IdentityCommand::Export {
            name,
            secret,
            output: file,
        } => export(&home()?, name.as_deref(), secret, file.as_deref(), output),
        IdentityCommand::Import { file, name } => import(&file, name.as_deref(), global, output),
        IdentityCommand::Delete { name } => {
            let home = home()?;
            let name = name_of(&name)?;
            refuse_if_in_use(&home, &name)?;
            home.identities().delete(&name).wait()?;
            tell_others(&home, Changed::Identities, output)?;
            output.note(&format!("deleted {name} and its keys"));
            output.result("", &json!({"deleted": name.as_str()}))
        }
    }
}

/// A running process goes on under its identity: without the key on the disk it could neither rotate nor start again.
fn refuse_if_in_use(home: &Home, name: &Name) -> Result<()> {
    // One that is missing or damaged, no process has loaded.
    let Ok(stored) = home.identities().get(Some(name)) else {
        return Ok(());
    };
    let identifier = stored.identity.identifier().to_string();
    let processes = wait_for(async { Ok(status::ask_all(home).await) })?;
    let user = processes
        .iter()
        .find(|process| process["identifier"] == identifier.as_str());
    let Some(pid) = user.and_then(|process| process["pid"].as_u64()) else {
        return Ok(());
    };
    Err(
        CliError::failed(format!("the identity {name} is in use by process {pid}"))
            .hint(format!("end it (kill {pid}), then delete the identity")),
    )
}

fn chosen(name: Option<&str>) -> Result<Option<Name>> {
    name.map(name_of).transpose()
}

fn described(stored: &StoredIdentity) -> Value {
    json!({
        "name": stored.name.as_str(),
        "identifier": stored.identity.identifier().to_string(),
        "key": kind(stored),
        "changes": stored.identity.change_count(),
        "created": stored.created.0,
        "default": stored.is_default,
    })
}

fn kind(stored: &StoredIdentity) -> &'static str {
    match stored.key_type() {
        KeyType::Ed25519 => "ed25519",
        KeyType::P256 => "p256",
    }
}

/// Prints the identifier alone, for scripts, or everything as JSON.
fn print_identifier(stored: &StoredIdentity, output: Output) -> Result<()> {
    output.result(
        &stored.identity.identifier().to_string(),
        &described(stored),
    )
}

fn list(home: &Home, output: Output) -> Result<()> {
    let mut lines = String::new();
    let mut values = Vec::new();
    let mut damaged = None;
    for entry in home.identities().list()? {
        match entry {
            Ok(stored) => {
                let mark = if stored.is_default { "  (default)" } else { "" };
                let identifier = stored.identity.identifier();
                let _ = writeln!(
                    lines,
                    "{:<16}  {identifier}  {}{mark}",
                    stored.name.as_str(),
                    kind(&stored)
                );
                values.push(described(&stored));
            }
            Err(error) => damaged = Some(error),
        }
    }
    output.result(lines.trim_end(), &Value::Array(values))?;
    damaged.map_or(Ok(()), |error| Err(error.into()))
}

fn show(home: &Home, name: Option<&str>, output: Output) -> Result<()> {
    let stored = home.identities().get(chosen(name)?.as_ref())?;
    let mut value = described(&stored);
    value["history"] = Value::String(hex(stored.identity.export()));
    let human = format!(
        "name        {}\nidentifier  {}\nkey         {}\nchanges     {}\ndefault     {}",
        stored.name,
        stored.identity.identifier(),
        kind(&stored),
        stored.identity.change_count(),
        if stored.is_default { "yes" } else { "no" },
    );
    output.result(&human, &value)
}

fn rotate(
    home: &Home,
    name: Option<&str>,
    key: Option<KeyKind>,
    compromised: bool,
    output: Output,
) -> Result<()> {
    let rotation = Rotation {
        revoke_all_purpose_keys: compromised,
    };
    let name = chosen(name)?;
    let kind = match key {
        Some(kind) => kind.into(),
        None => home.identities().get(name.as_ref())?.key_type(),
    };
    let now = home.clock().now();
    let rotating = home.identities().rotate(name.as_ref(), kind, rotation, now);
    let stored = rotating.wait()?;
    tell_others(home, Changed::Identities, output)?;
    output.note(&format!(
        "{} has a new key; its identifier stays, peers learn it when they meet it",
        stored.name
    ));
    print_identifier(&stored, output)
}

fn export(
    home: &Home,
    name: Option<&str>,
    secret: bool,
    file: Option<&Path>,
    output: Output,
) -> Result<()> {
    let name = chosen(name)?;
    let stored = home.identities().get(name.as_ref())?;
    let mut value = described(&stored);
    let Some(file) = file else {
        let history = hex(stored.identity.export());
        value["history"] = Value::String(history.clone());
        return output.result(&history, &value);
    };
    if secret {
        let backup = home.identities().back_up(name.as_ref())?;
        write_new(file, backup.to_text().as_bytes())?;
        output
            .note("whoever has this file is this identity: keep it where nobody else can read it");
    } else {
        write_new(file, hex(stored.identity.export()).as_bytes())?;
    }
    value["file"] = Value::String(file.display().to_string());
    output.result("", &value)
}

/// Writes a file that did not exist, with mode 0600 from the start; on failure nothing of it stays.
fn write_new(path: &Path, content: &[u8]) -> Result<()> {
    let refused = |error: io::Error| {
        let cause = CliError::failed(format!("cannot write {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::AlreadyExists => {
                cause.hint("give the name of a file that does not exist")
            }
            _ => cause.hint("give a file in a directory where you can write"),
        }
    };
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(refused)?;
    let written = file
        .write_all(content)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.sync_all());
    written.map_err(|error| {
        // It is ours: we have just created it.
        let _ = fs::remove_file(path);
        refused(error)
    })
}

fn import(file: &Path, name: Option<&str>, global: &Global, output: Output) -> Result<()> {
    // The backup first: a bad one leaves no home behind.
    let text = read_text(file, MAX_BACKUP)?;
    let mut backup = Backup::from_text(&text).map_err(|error| not_a_backup(file, &error))?;
    if let Some(name) = name {
        backup.name = name_of(name)?;
    }
    let home = home::open(global)?;
    let stored = home
        .identities()
        .import(backup, home.clock().now())
        .wait()?;
    tell_others(&home, Changed::Identities, output)?;
    print_identifier(&stored, output)
}

fn not_a_backup(file: &Path, error: &BackupError) -> CliError {
    let cause = CliError::failed(format!("cannot import {}: {error}", file.display()));
    match error {
        BackupError::Prefix => {
            cause.hint("import what `sealway identity export --secret` wrote; to trust somebody else: sealway peer add")
        }
        _ => cause.hint("copy the file again from where it was made; it must arrive whole"),
    }
}

/// Reads a file of text, of at most `max` bytes.
///
/// # Errors
/// It cannot be read, is no file, is longer, or no text.
pub(super) fn read_text(path: &Path, max: u64) -> Result<zeroize::Zeroizing<String>> {
    let refused = |why: &str| {
        CliError::failed(format!("cannot read {}: {why}", path.display()))
            .hint("give a file that exists, that you can read, and that was made by sealway")
    };
    let metadata = fs::metadata(path).map_err(|error| refused(&error.to_string()))?;
    if !metadata.is_file() {
        return Err(refused("it is not a regular file"));
    }
    if metadata.len() > max {
        return Err(refused(&format!("{} bytes exceed {max}", metadata.len())));
    }
    // Of the final size at once: a growing string would leave copies of what it held behind.
    let capacity = usize::try_from(metadata.len()).unwrap_or_default() + 1;
    let mut text = zeroize::Zeroizing::new(String::with_capacity(capacity));
    let file = File::open(path).map_err(|error| refused(&error.to_string()))?;
    file.take(max)
        .read_to_string(&mut text)
        .map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => refused("it is not text"),
            _ => refused(&error.to_string()),
        })?;
    Ok(text)
}
