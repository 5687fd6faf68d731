//! The home directory: what it creates, and what it refuses, by name and with a remedy.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod store_common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use sealway::home::{Home, HomeError};
use sealway::store::StoreFault;
use store_common::{child, is_root, mode, run, run_on_tmpfs, run_unprivileged, spawn, tell, told};
use tempfile::tempdir;

/// Opens a home that must be refused; the refusal is one line and has a remedy of one line.
fn refusal(path: impl AsRef<Path>) -> HomeError {
    let error = Home::open(path).unwrap_err();
    for line in [error.to_string(), error.hint()] {
        assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
    }
    error
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn child_entry() {
    let Some((case, directory)) = store_common::case() else {
        return;
    };
    match case.as_str() {
        "open_umask_0" => open_umask_0(&directory),
        "open" => drop(Home::open(directory.join("home")).unwrap()),
        "open_and_tell" => {
            let home = Home::open(directory.join("home")).unwrap();
            home.clock().persist().wait().unwrap();
            tell("open");
        }
        "permissions" => permissions(&directory),
        "full_from_the_start" => full_from_the_start(&directory),
        "fills_up" => fills_up(&directory),
        "read_only" => read_only(&directory),
        other => panic!("no case {other}"),
    }
}

#[test]
fn a_new_home_is_private_whatever_the_umask() {
    let directory = tempdir().unwrap();
    run(child("open_umask_0", directory.path()));
}

fn open_umask_0(directory: &Path) {
    rustix::process::umask(rustix::fs::Mode::empty());
    let path = directory.join("missing/parents/home");
    let home = Home::open(&path).unwrap();
    home.clock().persist().wait().unwrap();
    for made in ["missing", "missing/parents", "missing/parents/home"] {
        assert_eq!(mode(&directory.join(made)), 0o700, "{made}");
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).unwrap() {
        let entry = entry.unwrap();
        names.push(entry.file_name().into_string().unwrap());
        assert_eq!(mode(&entry.path()), 0o600, "{names:?}");
    }
    names.sort();
    assert_eq!(names, ["state.db", "state.db-shm", "state.db-wal"]);
}

#[test]
fn modes_are_given_at_creation_and_never_mended() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace here");
        return;
    }
    let directory = tempdir().unwrap();
    let trace = directory.path().join("trace");
    let inner = child("open_umask_0", directory.path());
    let mut command = Command::new("strace");
    command
        .args(["-f", "-o"])
        .arg(&trace)
        .args([
            "-e",
            "trace=openat,open,creat,mkdir,mkdirat,chmod,fchmod,fchmodat",
        ])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (key, value) in inner.get_envs() {
        command.env(key, value.unwrap());
    }
    run(command);
    let trace = fs::read_to_string(trace).unwrap();
    let below = directory.path().join("missing").display().to_string();
    let ours: Vec<_> = trace.lines().filter(|line| line.contains(&below)).collect();
    let created: Vec<_> = ours
        .iter()
        .filter(|line| line.contains("O_CREAT") || line.contains("mkdir"))
        .collect();
    assert!(created.len() >= 5, "{trace}");
    for line in created {
        assert!(line.contains(", 0600") || line.contains(", 0700"), "{line}");
    }
    let mended: Vec<_> = trace
        .lines()
        .filter(|line| line.contains("chmod"))
        .collect();
    assert!(mended.is_empty(), "{mended:?}");
}

#[test]
fn a_home_that_is_something_else_is_refused() {
    let directory = tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::write(at("file"), "x").unwrap();
    assert!(matches!(refusal(at("file")), HomeError::NotADirectory { path } if path == at("file")));
    let below = refusal(at("file/home"));
    assert!(matches!(below, HomeError::NotADirectory { path } if path == at("file")));
    assert_eq!(fs::read(at("file")).unwrap(), b"x");

    symlink(at("nowhere"), at("dangling")).unwrap();
    refusal(at("dangling"));
    refusal("");
    refusal(at("nul\0"));
    refusal(at(&"n".repeat(300)));

    fs::create_dir(at("home")).unwrap();
    set_mode(&at("home"), 0o700);
    fs::create_dir(at("home/state.db")).unwrap();
    assert!(matches!(refusal(at("home")), HomeError::NotAFile { .. }));
    fs::remove_dir(at("home/state.db")).unwrap();
    // A link that leads out of the home would have us write there.
    fs::write(at("elsewhere"), "").unwrap();
    symlink(at("elsewhere"), at("home/state.db")).unwrap();
    assert!(matches!(refusal(at("home")), HomeError::NotAFile { .. }));
    fs::remove_file(at("home/state.db")).unwrap();
    assert!(
        Command::new("mkfifo")
            .args(["-m", "600"])
            .arg(at("home/state.db"))
            .status()
            .unwrap()
            .success()
    );
    assert!(matches!(refusal(at("home")), HomeError::NotAFile { .. }));
}

#[test]
fn a_link_to_a_home_is_followed() {
    let directory = tempdir().unwrap();
    symlink(directory.path().join("real"), directory.path().join("link")).unwrap();
    let real = Home::open(directory.path().join("real")).unwrap();
    let link = Home::open(directory.path().join("link")).unwrap();
    assert_eq!(real.path(), link.path());
}

#[test]
fn a_home_of_another_user_is_refused() {
    let directory = tempdir().unwrap();
    let path = if is_root() {
        std::os::unix::fs::chown(directory.path(), Some(65534), None).unwrap();
        directory.path()
    } else {
        Path::new("/")
    };
    assert!(matches!(refusal(path), HomeError::OtherOwner { .. }));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_home_that_others_can_enter_is_refused() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("home");
    drop(Home::open(&path).unwrap());
    for open in [0o750, 0o701, 0o1777] {
        set_mode(&path, open);
        let error = refusal(&path);
        assert!(matches!(error, HomeError::OpenToOthers { mode, .. } if mode == open));
    }
    set_mode(&path, 0o700);
    set_mode(&path.join("state.db"), 0o640);
    assert!(matches!(
        refusal(&path),
        HomeError::OpenToOthers { mode: 0o640, .. }
    ));
    // The remedy that we name is one.
    let hint = refusal(&path).hint();
    let remedy = hint.split_once(": ").unwrap().1;
    assert!(
        Command::new("sh")
            .args(["-c", remedy])
            .status()
            .unwrap()
            .success()
    );
    Home::open(&path).unwrap();
}

#[test]
fn missing_permissions_are_named() {
    run_unprivileged("permissions");
}

fn permissions(directory: &Path) {
    let path = directory.join("home");
    drop(Home::open(&path).unwrap());
    let state = path.join("state.db");
    for (closed, mode) in [
        (&state, 0o400),
        (&state, 0),
        (&path, 0o500),
        (&path, 0),
        (&path, 0o300),
    ] {
        let before = store_common::mode(closed);
        set_mode(closed, mode);
        let error = refusal(&path);
        assert!(
            matches!(error, HomeError::NoPermission { .. }),
            "{mode:o}: {error}"
        );
        set_mode(closed, before);
    }
    set_mode(directory, 0o500);
    let error = refusal(directory.join("new/home"));
    assert!(
        matches!(&error, HomeError::NoPermission { path } if path == directory),
        "{error}"
    );
    set_mode(directory, 0o700);
    assert!(!directory.join("new").exists());
    Home::open(&path).unwrap();
}

#[test]
fn a_full_disk_is_named_and_nothing_is_half_made() {
    run_on_tmpfs("full_from_the_start", "16k");
}

fn full_from_the_start(directory: &Path) {
    let path = directory.join("home");
    let error = refusal(&path);
    assert!(matches!(error, HomeError::NoSpace { .. }), "{error}");
    let remount = |size: &str| {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,size={size}")])
            .arg(directory)
            .status();
        assert!(status.unwrap().success());
    };
    remount("4m");
    Home::open(&path).unwrap().clock().persist().wait().unwrap();
}

#[test]
fn a_disk_that_fills_up_loses_nothing_acknowledged_and_heals() {
    run_on_tmpfs("fills_up", "1m");
}

fn fills_up(directory: &Path) {
    let path = directory.join("home");
    let home = Home::open(&path).unwrap();
    home.clock().persist().wait().unwrap();
    let mut seen = home.clock().now();
    let ballast = directory.join("ballast");
    let error = fs::write(&ballast, vec![0; 2 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    // Each write advances the stored time, so each needs room in the log.
    let fault = loop {
        let next = home.clock().observe(seen.plus(60));
        match home.clock().persist().wait() {
            Ok(()) => seen = next,
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, StoreFault::NoSpace);
    // Reading goes on; what was acknowledged is there for the next process too.
    drop(home);
    fs::remove_file(&ballast).unwrap();
    let home = Home::open(&path).unwrap();
    assert!(home.clock().now() >= seen);
    home.clock().persist().wait().unwrap();
}

#[test]
fn a_read_only_disk_is_named() {
    run_on_tmpfs("read_only", "4m");
}

fn read_only(directory: &Path) {
    let path = directory.join("home");
    drop(Home::open(&path).unwrap());
    let status = Command::new("mount")
        .args(["-o", "remount,ro"])
        .arg(directory)
        .status();
    assert!(status.unwrap().success());
    for path in [path, directory.join("other")] {
        let error = refusal(&path);
        assert!(matches!(error, HomeError::ReadOnly { .. }), "{error}");
    }
}

fn sqlite(path: &Path, sql: &str) {
    rusqlite::Connection::open(path)
        .unwrap()
        .execute_batch(sql)
        .unwrap();
}

#[test]
fn a_home_of_a_newer_program_is_refused_and_untouched() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("home");
    drop(Home::open(&path).unwrap());
    let state = path.join("state.db");
    sqlite(&state, "PRAGMA user_version = 99");
    let before = fs::read(&state).unwrap();
    let error = refusal(&path);
    assert!(
        matches!(error, HomeError::NewerSchema { found: 99, .. }),
        "{error}"
    );
    assert_eq!(fs::read(&state).unwrap(), before);
}

#[test]
fn a_database_of_another_program_is_refused_and_untouched() {
    let directory = tempdir().unwrap();
    set_mode(directory.path(), 0o700);
    let state = directory.path().join("state.db");
    sqlite(&state, "CREATE TABLE bookmarks (url TEXT)");
    set_mode(&state, 0o600);
    let before = fs::read(&state).unwrap();
    assert!(matches!(
        refusal(directory.path()),
        HomeError::Foreign { .. }
    ));
    assert_eq!(fs::read(&state).unwrap(), before);
}

#[test]
fn a_damaged_state_file_is_named_and_untouched() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("home");
    drop(Home::open(&path).unwrap());
    let state = path.join("state.db");
    let good = fs::read(&state).unwrap();
    let garbage = |at: std::ops::Range<usize>| {
        let mut bad = good.clone();
        bad[at].fill(0xa5);
        bad
    };
    let cases = [
        ("garbage", vec![0xa5; 5000]),
        ("text", b"hello".to_vec()),
        ("header cut", good[..99].to_vec()),
        ("first page cut", good[..100].to_vec()),
        ("half", good[..good.len() / 2].to_vec()),
        ("magic", garbage(0..16)),
        ("page size", garbage(16..18)),
        ("schema", garbage(100..4096)),
    ];
    for (name, bad) in cases {
        fs::write(&state, &bad).unwrap();
        let error = refusal(&path);
        assert!(
            matches!(error, HomeError::Damaged { .. }),
            "{name}: {error}"
        );
        assert_eq!(fs::read(&state).unwrap(), bad, "{name}");
    }
    fs::write(&state, &good).unwrap();
    Home::open(&path).unwrap();
}

#[test]
fn a_home_that_was_left_half_made_is_completed() {
    let directory = tempdir().unwrap();
    let path = directory.path().join("home");
    fs::create_dir(&path).unwrap();
    set_mode(&path, 0o700);
    drop(Home::open(&path).unwrap());
    fs::remove_file(path.join("state.db")).unwrap();
    fs::write(path.join("state.db"), "").unwrap();
    set_mode(&path.join("state.db"), 0o600);
    Home::open(&path).unwrap().clock().persist().wait().unwrap();
}

#[test]
fn many_processes_open_a_new_home_at_once() {
    let directory = tempdir().unwrap();
    let children: Vec<_> = (0..8)
        .map(|_| spawn("open_and_tell", directory.path()))
        .collect();
    for mut child in children {
        let words: Vec<_> = told(child.stdout.take().unwrap()).collect();
        assert_eq!(words, ["open"]);
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_process_killed_while_it_makes_a_home_leaves_one_that_opens() {
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: there is no strace here");
        return;
    }
    // The n-th write, sync or file creation of the process is its last.
    let mut kills = 0;
    for nth in 1..200 {
        let directory = tempdir().unwrap();
        let inner = child("open", directory.path());
        let mut command = Command::new("strace");
        command
            .args(["-f", "-qq", "-o", "/dev/null", "-P"])
            .arg(directory.path().join("home"))
            .arg("-P")
            .arg(directory.path().join("home/state.db"))
            .arg("-P")
            .arg(directory.path().join("home/state.db-wal"))
            .arg("-P")
            .arg(directory.path().join("home/state.db-shm"))
            .arg("-P")
            .arg(directory.path().join("home/state.db-journal"))
            .args(["-e", "trace=all", "-e"])
            .arg(format!("inject=all:signal=KILL:when={nth}"))
            .arg(inner.get_program())
            .args(inner.get_args())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        for (key, value) in inner.get_envs() {
            command.env(key, value.unwrap());
        }
        if command.status().unwrap().success() {
            break;
        }
        kills += 1;
        let home = Home::open(directory.path().join("home")).unwrap();
        home.clock().persist().wait().unwrap();
    }
    println!("killed at {kills} different system calls");
    assert!(kills > 20, "only {kills} kills");
}
