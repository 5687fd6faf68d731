//! `sealway service …`: a command of ours as a unit of systemd.

mod place;
mod systemctl;
mod unit;
mod wrapped;

use std::path::PathBuf;

use serde_json::json;

use crate::args::{
    Global, ServiceCommand, ServiceInstallArgs, ServiceScope, ServiceUninstallArgs, ServiceUnitArgs,
};
use crate::error::{CliError, Result};
use crate::home;
use crate::output::Output;
use place::{Found, Place};
use unit::{Account, Unit};
use wrapped::Wrapped;

/// The user that services of the system run as, unless a home says otherwise.
const USER: &str = "sealway";
/// The home of services of the system (`StateDirectory=` below `/var/lib`).
const SYSTEM_HOME: &str = "/var/lib/sealway";

/// Which of systemd's managers keeps a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// The user's: as long as the user has a session, or lingers.
    User,
    /// The system's: from start to end of the machine.
    System,
}

impl Scope {
    /// As asked for; else the system's for root, and the user's for everybody else.
    fn of(asked: &ServiceScope) -> Self {
        match (asked.user, asked.system) {
            (true, _) => Self::User,
            (_, true) => Self::System,
            _ if rustix::process::geteuid().is_root() => Self::System,
            _ => Self::User,
        }
    }

    /// What follows `systemctl` on a command line.
    fn flag(self) -> &'static str {
        match self {
            Self::User => " --user",
            Self::System => "",
        }
    }

    /// Refuses what only root may do.
    fn check_permitted(self) -> Result<()> {
        if self == Self::System && !rustix::process::geteuid().is_root() {
            return Err(
                CliError::failed("only root may change the services of the system")
                    .hint("run it with sudo, or give --user for a service of your own"),
            );
        }
        Ok(())
    }
}

/// Carries out `sealway service …`.
pub(crate) fn run(command: &ServiceCommand, global: &Global, output: Output) -> Result<()> {
    if !cfg!(target_os = "linux") {
        return Err(
            CliError::failed("services are kept by systemd, which is on Linux only")
                .hint("let this system's own service manager run the command"),
        );
    }
    match command {
        ServiceCommand::Install(args) => install(args, global, output),
        ServiceCommand::Uninstall(args) => uninstall(args, output),
        ServiceCommand::Show(args) => show(args, output),
    }
}

fn install(args: &ServiceInstallArgs, global: &Global, output: Output) -> Result<()> {
    let wrapped = Wrapped::read(&args.command)?;
    let scope = Scope::of(&args.scope);
    let name = match &args.name {
        Some(name) => name.clone(),
        None => format!("sealway-{}", wrapped.command),
    };
    let binary = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot find this program's file: {error}")))?;
    let (home, account) = whose(scope, global)?;
    let unit = Unit {
        name: &name,
        scope,
        binary: &binary,
        home: &home,
        account: &account,
        wrapped: &wrapped,
    };
    let unit = unit.text()?;
    if args.print {
        return output.result(unit.trim_end(), &json!({ "unit": unit }));
    }
    scope.check_permitted()?;
    if args.now {
        systemctl::check_present()?;
    }
    let place = Place::of(scope, &name)?;
    place.check_free()?;
    prepare(&account, global)?;
    place.write(&unit)?;
    let next = place.next_after_install();
    if args.now {
        systemctl::run(scope, &["daemon-reload"])?;
        systemctl::run(scope, &["enable", &place.unit()])?;
        // Not `enable --now`: a service that runs is to take up its new unit.
        systemctl::run(scope, &["restart", &place.unit()])?;
    } else {
        output.note(&format!("next: {}", next[0]));
    }
    for more in &next[1..] {
        output.note(&format!("also: {more}"));
    }
    output.result(
        &place.path().display().to_string(),
        &json!({"unit": place.unit(), "path": place.path(), "started": args.now, "next": next}),
    )
}

/// The home of a service, and as whom it runs.
fn whose(scope: Scope, global: &Global) -> Result<(PathBuf, Account)> {
    let path = match (scope, &global.home) {
        (Scope::System, None) => return Ok((SYSTEM_HOME.into(), Account::Ours)),
        _ => home::path(global)?,
    };
    let path = std::path::absolute(&path)
        .map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    let account = match scope {
        Scope::User => Account::Own,
        Scope::System => Account::Owner(place::owner(&path)?),
    };
    Ok((path, account))
}

/// Makes sure of what a service finds when it starts: its home, or the user that it gets one as.
fn prepare(account: &Account, global: &Global) -> Result<()> {
    match account {
        Account::Own => home::open(global).map(|_| ()),
        Account::Ours if !place::is_user(USER) => Err(CliError::failed(format!(
            "there is no user {USER} for the service to run as"
        ))
        .hint(format!(
            "make it: useradd --system --no-create-home --home-dir {SYSTEM_HOME} --shell /usr/sbin/nologin {USER}; \
             or give --home one that belongs to a user"
        ))),
        Account::Ours | Account::Owner(_) => Ok(()),
    }
}

fn uninstall(args: &ServiceUninstallArgs, output: Output) -> Result<()> {
    let scope = Scope::of(&args.unit.scope);
    scope.check_permitted()?;
    let place = chosen(scope, &args.unit)?;
    if args.now {
        systemctl::check_present()?;
        systemctl::run(scope, &["disable", "--now", &place.unit()])?;
    } else if place.is_enabled() {
        return Err(
            CliError::failed(format!("{} is enabled", place.unit())).hint(format!(
                "first: systemctl{} disable --now {}; or give --now",
                scope.flag(),
                place.unit()
            )),
        );
    }
    place.remove()?;
    if args.now {
        systemctl::run(scope, &["daemon-reload"])?;
    } else {
        output.note(&format!("next: systemctl{} daemon-reload", scope.flag()));
    }
    output.note("the home and its identity stay");
    output.result("", &json!({"removed": place.path()}))
}

fn show(args: &ServiceUnitArgs, output: Output) -> Result<()> {
    let place = chosen(Scope::of(&args.scope), args)?;
    let unit = place.read()?;
    output.result(
        unit.trim_end(),
        &json!({"unit": place.unit(), "path": place.path(), "text": unit}),
    )
}

/// The unit of that name, or the only one of ours; it is there and ours.
fn chosen(scope: Scope, args: &ServiceUnitArgs) -> Result<Place> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => match place::ours(scope)?.as_slice() {
            [one] => one.clone(),
            [] => {
                return Err(CliError::failed("no service is installed here")
                    .hint("install one: sealway service install -- node --listen ADDR"));
            }
            several => {
                return Err(CliError::usage(format!(
                    "there are several services: {}",
                    several.join(", ")
                ))
                .hint("name one of them"));
            }
        },
    };
    let place = Place::of(scope, &name)?;
    match place.found()? {
        Found::Ours => Ok(place),
        Found::Nothing => Err(
            CliError::failed(format!("there is no {}", place.path().display())).hint(
                match place::ours(scope)?.as_slice() {
                    [] => "install it: sealway service install -- COMMAND".to_owned(),
                    names => format!("there are: {}", names.join(", ")),
                },
            ),
        ),
        Found::Foreign => Err(place.foreign()),
    }
}
