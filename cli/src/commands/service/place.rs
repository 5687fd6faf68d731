//! Where units lie, and whose those are that lie there already.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Scope;
use super::unit::OURS;
use crate::error::{CliError, Result};
use crate::home::absolute;

/// Where the system's administrator puts units (systemd.unit(5)).
const SYSTEM_UNITS: &str = "/etc/systemd/system";
/// Where packages put theirs.
const PACKAGED: [&str; 3] = ["/usr/local/lib/systemd", "/usr/lib/systemd", "/lib/systemd"];
/// Longest unit that is read.
const MAX_UNIT: u64 = 64 << 10;

/// Where a unit lies, or is to.
pub(super) struct Place {
    scope: Scope,
    name: String,
    directory: PathBuf,
}

/// What lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// A unit that we wrote.
    Ours,
    /// Something else.
    Foreign,
}

impl Place {
    /// That of the unit `NAME.service`.
    ///
    /// # Errors
    /// There is no home directory to keep a user's units in.
    pub(super) fn of(scope: Scope, name: &str) -> Result<Self> {
        Ok(Self {
            scope,
            name: name.trim_end_matches(".service").to_owned(),
            directory: units(scope)?,
        })
    }

    /// `NAME.service`.
    pub(super) fn unit(&self) -> String {
        format!("{}.service", self.name)
    }

    /// The whole path.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(self.unit())
    }

    /// What lies there.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn found(&self) -> Result<Found> {
        let path = self.path();
        // A link is not ours, wherever it leads: a masked unit is one to /dev/null.
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(unusable(&path, &error)),
            Ok(metadata) if !metadata.is_file() => Ok(Found::Foreign),
            Ok(_) if self.read()?.starts_with(OURS) => Ok(Found::Ours),
            Ok(_) => Ok(Found::Foreign),
        }
    }

    /// The text that lies there.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn read(&self) -> Result<String> {
        let path = self.path();
        let mut text = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(MAX_UNIT).read_to_end(&mut text))
            .map_err(|error| unusable(&path, &error))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Refuses to be written where somebody else's unit has the name.
    ///
    /// # Errors
    /// It has.
    pub(super) fn check_free(&self) -> Result<()> {
        if self.found()? == Found::Foreign {
            return Err(self.foreign());
        }
        let kind = match self.scope {
            Scope::User => "user",
            Scope::System => "system",
        };
        let packaged = PACKAGED.map(|at| Path::new(at).join(kind).join(self.unit()));
        match packaged.iter().find(|path| path.exists()) {
            Some(path) => Err(not_ours(path)),
            None => Ok(()),
        }
    }

    /// The refusal of what is not ours.
    pub(super) fn foreign(&self) -> CliError {
        not_ours(&self.path())
    }

    /// Writes the unit: whole, or not at all.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn write(&self, unit: &str) -> Result<()> {
        let path = self.path();
        let new = self
            .directory
            .join(format!(".{}.{}", self.unit(), std::process::id()));
        let written = fs::create_dir_all(&self.directory)
            .and_then(|()| write_new(&new, unit))
            .and_then(|()| fs::rename(&new, &path))
            .and_then(|()| File::open(&self.directory)?.sync_all());
        written.map_err(|error| {
            // It may not have come so far.
            let _ = fs::remove_file(&new);
            unusable(&path, &error)
        })
    }

    /// Removes the unit.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn remove(&self) -> Result<()> {
        fs::remove_file(self.path()).map_err(|error| unusable(&self.path(), &error))
    }

    /// Whether it is started with its target: a link in `TARGET.wants/` says so.
    pub(super) fn is_enabled(&self) -> bool {
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "wants"))
            .any(|wants| fs::symlink_metadata(wants.join(self.unit())).is_ok())
    }

    /// What is left to be done once it is written: the command that starts it, and what may be wanted besides.
    pub(super) fn next_after_install(&self) -> Vec<String> {
        let (flag, unit) = (self.scope.flag(), self.unit());
        let mut next = vec![format!(
            "systemctl{flag} daemon-reload && systemctl{flag} enable {unit} && systemctl{flag} restart {unit}"
        )];
        match self.scope {
            Scope::User => next
                .push("loginctl enable-linger (it runs while you are logged out, too)".to_owned()),
            Scope::System => {}
        }
        next
    }
}

/// The names of our units.
///
/// # Errors
/// There is no home directory to keep a user's units in.
pub(super) fn ours(scope: Scope) -> Result<Vec<String>> {
    let entries = fs::read_dir(units(scope)?).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| {
        let name = entry.file_name();
        Some(name.to_str()?.strip_suffix(".service")?.to_owned())
    });
    let mut ours: Vec<_> = names
        .filter(|name| {
            let place = Place::of(scope, name);
            place
                .and_then(|place| place.found())
                .is_ok_and(|found| found == Found::Ours)
        })
        .collect();
    ours.sort();
    Ok(ours)
}

fn units(scope: Scope) -> Result<PathBuf> {
    if scope == Scope::System {
        return Ok(SYSTEM_UNITS.into());
    }
    let configuration = absolute("XDG_CONFIG_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".config")))
        .ok_or_else(|| {
            CliError::failed("no directory for your units: HOME is not set").hint("set HOME")
        })?;
    Ok(configuration.join("systemd/user"))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn unusable(path: &Path, error: &io::Error) -> CliError {
    CliError::failed(format!("{}: {error}", path.display()))
        .hint("see who may write there, and whether the disk has room")
}

fn not_ours(path: &Path) -> CliError {
    CliError::failed(format!("{} was not written by sealway", path.display()))
        .hint("give the service another name: --name NAME")
}

/// Whether there is a user of that name (by whatever the system asks: nsswitch.conf(5)).
pub(super) fn is_user(name: &str) -> bool {
    id(&["-u", name]).is_some()
}

/// The name of the user that a directory belongs to, who is not root.
///
/// # Errors
/// There is no such directory, or it is root's.
pub(super) fn owner(home: &Path) -> Result<String> {
    let metadata = fs::metadata(home).map_err(|error| {
        CliError::failed(format!("{}: {error}", home.display())).hint(
            "a service of the system runs as the user whom its home belongs to: make it first, or leave --home out",
        )
    })?;
    if metadata.uid() == 0 {
        return Err(CliError::failed(format!(
            "{} belongs to root, and no service of ours runs as root",
            home.display()
        ))
        .hint("give it to a user: chown -R USER, or leave --home out"));
    }
    let number = metadata.uid().to_string();
    id(&["-nu", &number]).ok_or_else(|| {
        CliError::failed(format!(
            "{} belongs to user {number}, who has no name here",
            home.display()
        ))
        .hint("give it to a user: chown -R USER")
    })
}

/// Asks id(1), which knows every user that the system knows; none if it does not.
fn id(arguments: &[&str]) -> Option<String> {
    let ran = Command::new("id")
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(ran.stdout).ok()?;
    ran.status.success().then(|| text.trim().to_owned())
}
