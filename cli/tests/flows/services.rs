//! Units of systemd for commands of ours. That systemd takes them is for tests/real/service.sh to see.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::support::{Ran, run, sealway};

const RELAY: [&str; 4] = ["--", "relay", "--listen", "127.0.0.1:4100"];

fn units(directory: &Path) -> PathBuf {
    directory.join(".config/systemd/user")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let name = |entry: fs::DirEntry| entry.file_name().to_str().unwrap().to_owned();
    let mut names: Vec<_> = entries.map(name).collect();
    names.sort();
    names
}

/// `sealway service COMMAND --user …`, with no programs to be found but those in `bin`.
fn service(directory: &Path, command: &str, more: &[&str]) -> Ran {
    run(sealway(directory)
        .env("PATH", directory.join("bin"))
        .args(["service", command, "--user"])
        .args(more))
}

fn refused(ran: &Ran, why: &str) {
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stderr.contains(why), "{ran:?}");
    assert!(ran.stderr.contains("\nhint: "), "{ran:?}");
}

#[test]
fn a_service_is_installed_shown_and_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let printed = service(path, "install", &[&["--print"], &RELAY[..]].concat());
    assert_eq!(names(path), [""; 0], "--print writes nothing");
    let installed = service(path, "install", &RELAY);
    assert_eq!(installed.code, Some(0), "{installed:?}");
    let unit = units(path).join("sealway-relay.service");
    assert_eq!(installed.stdout.trim(), unit.to_str().unwrap());
    let next = "systemctl --user enable sealway-relay.service";
    assert!(installed.stderr.contains(next), "{installed:?}");
    let text = fs::read_to_string(&unit).unwrap();
    assert_eq!(printed.stdout, text);
    assert_eq!(service(path, "show", &[]).stdout, text);
    assert_eq!(
        names(&units(path)),
        ["sealway-relay.service"],
        "nothing else is left"
    );
    assert_eq!(
        fs::metadata(&unit).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let home = path.join(".local/share/sealway");
    let line = format!(
        "ExecStart=:{} --home {} relay --listen 127.0.0.1:4100\n",
        env!("CARGO_BIN_EXE_sealway"),
        home.display()
    );
    assert!(text.contains(&line), "{text}");
    assert!(home.join("state.db").exists(), "the home is there");
    // Again, with other arguments: the unit is replaced.
    let other = [
        "--name",
        "sealway-relay",
        "--",
        "node",
        "--listen",
        "[::1]:1",
    ];
    assert_eq!(service(path, "install", &other).code, Some(0));
    assert!(
        service(path, "show", &[])
            .stdout
            .contains("node --listen [::1]:1\n")
    );
    let gone = service(path, "uninstall", &["sealway-relay"]);
    assert_eq!((gone.code, gone.stdout.as_str()), (Some(0), ""), "{gone:?}");
    assert_eq!(names(&units(path)), [""; 0]);
    assert!(home.join("state.db").exists(), "the home stays");
    refused(
        &service(path, "uninstall", &["sealway-relay"]),
        "there is no ",
    );
}

#[test]
fn what_somebody_else_wrote_is_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let unit = units(path).join("sealway-relay.service");
    fs::create_dir_all(units(path)).unwrap();
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").unwrap();
    refused(&service(path, "install", &RELAY), "not written by sealway");
    for command in ["show", "uninstall"] {
        let named = service(path, command, &["sealway-relay"]);
        refused(&named, "not written by sealway");
        refused(&service(path, command, &[]), "no service is installed");
    }
    assert_eq!(
        fs::read_to_string(&unit).unwrap(),
        "[Service]\nExecStart=/bin/true\n"
    );
    // A masked unit is a link to /dev/null: an operator does not want it to run.
    fs::remove_file(&unit).unwrap();
    symlink("/dev/null", &unit).unwrap();
    refused(&service(path, "install", &RELAY), "not written by sealway");
    assert_eq!(fs::read_link(&unit).unwrap(), Path::new("/dev/null"));
    assert!(!path.join(".local").exists(), "a refusal makes no home");
    let elsewhere = [&["--name", "mine"], &RELAY[..]].concat();
    assert_eq!(service(path, "install", &elsewhere).code, Some(0));
}

#[test]
fn a_unit_is_not_pulled_from_under_a_service_that_starts_with_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    assert_eq!(service(path, "install", &RELAY).code, Some(0));
    let wants = units(path).join("default.target.wants");
    fs::create_dir(&wants).unwrap();
    symlink(
        "../sealway-relay.service",
        wants.join("sealway-relay.service"),
    )
    .unwrap();
    refused(&service(path, "uninstall", &[]), "is enabled");
    assert!(units(path).join("sealway-relay.service").exists());
}

#[test]
fn a_home_that_a_service_could_not_use_is_refused_before_a_unit_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::create_dir(path.join("open")).unwrap();
    fs::set_permissions(path.join("open"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut homes = vec![("open", "open to other users")];
    fs::create_dir(path.join("others")).unwrap();
    fs::set_permissions(path.join("others"), fs::Permissions::from_mode(0o700)).unwrap();
    if std::os::unix::fs::chown(path.join("others"), Some(65_534), Some(65_534)).is_ok() {
        homes.push(("others", "belongs to user 65534"));
    } else {
        println!("left out: this user cannot give a directory to another");
    }
    for (home, why) in homes {
        let arguments = [&["--home", home], &RELAY[..]].concat();
        refused(&service(path, "install", &arguments), why);
    }
    assert_eq!(names(&units(path)), [""; 0]);
}

/// A `systemctl` that notes what it is told, and fails at `fails`.
fn stand_in(directory: &Path, fails: &str) {
    let bin = directory.join("bin");
    fs::create_dir_all(&bin).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$@\" >> {}\ncase \"$*\" in *{fails}*) echo 'it says no' >&2; exit 1;; esac\n",
        directory.join("told").display()
    );
    fs::write(bin.join("systemctl"), script).unwrap();
    fs::set_permissions(bin.join("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn now_starts_and_stops_it_by_systemctl_and_is_refused_without() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let install = [&["--now"], &RELAY[..]].concat();
    refused(&service(path, "install", &install), "no systemctl");
    assert_eq!(names(path), [""; 0], "nothing was written");
    stand_in(path, "nothing");
    assert_eq!(service(path, "install", &install).code, Some(0));
    assert_eq!(service(path, "uninstall", &["--now"]).code, Some(0));
    let told = fs::read_to_string(path.join("told")).unwrap();
    let told: Vec<_> = told.lines().filter(|line| *line != "--version").collect();
    assert_eq!(
        told,
        [
            "--user daemon-reload",
            "--user enable sealway-relay.service",
            "--user restart sealway-relay.service",
            "--user disable --now sealway-relay.service",
            "--user daemon-reload",
        ]
    );
    stand_in(path, "restart");
    let failed = service(path, "install", &install);
    refused(
        &failed,
        "systemctl --user restart sealway-relay.service: it says no",
    );
    assert_eq!(failed.stdout, "", "it is not told as done");
}

#[test]
fn only_root_changes_the_services_of_the_system() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    if !rustix::process::geteuid().is_root() {
        let arguments = [&["service", "install", "--system"], &RELAY[..]].concat();
        refused(&run(sealway(path).args(arguments)), "only root");
        return;
    }
    // Root tries as somebody else: nobody, by setpriv(1), in a world that nobody may look into.
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let binary = path.join("sealway");
    fs::copy(env!("CARGO_BIN_EXE_sealway"), &binary).unwrap();
    let ran = std::process::Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&binary)
        .args(["service", "install", "--system"])
        .args(RELAY)
        .env("HOME", path)
        .output()
        .expect("setpriv of util-linux");
    let ran = Ran {
        code: ran.status.code(),
        stdout: String::from_utf8(ran.stdout).unwrap(),
        stderr: String::from_utf8(ran.stderr).unwrap(),
        took: std::time::Duration::ZERO,
    };
    refused(&ran, "only root");
}
