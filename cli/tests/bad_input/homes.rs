//! Homes that cannot be used.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{run, sealway};
use crate::table::{NOBODY, case, check, snapshot};

/// A home as a bad day left it, and what is to be said about it.
struct BadHome {
    what: &'static str,
    path: PathBuf,
    cause: &'static str,
}

fn state_file(directory: &Path, name: &str) -> PathBuf {
    let home = directory.join(name);
    let made = run(sealway(directory)
        .args(["identity", "create", "--home"])
        .arg(&home));
    assert_eq!(made.code, Some(0), "{made:?}");
    home.join("state.db")
}

fn private_dir(path: &Path) {
    fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}

fn bad_homes(directory: &Path) -> Vec<BadHome> {
    let mut homes = Vec::new();
    let mut add = |what, path: PathBuf, cause| homes.push(BadHome { what, path, cause });

    let file = directory.join("file");
    fs::write(&file, "not a directory").unwrap();
    add("a home that is a file", file.clone(), "not a directory");
    add("a home below a file", file.join("home"), "not a directory");
    add(
        "a home that is a device",
        "/dev/null".into(),
        "not a directory",
    );
    add(
        "a home where nothing can be made",
        "/proc/sealway-home".into(),
        "cannot use the home",
    );
    add(
        "a home with a name too long",
        directory.join("x".repeat(300)),
        "cannot use the home",
    );
    let link = directory.join("loop");
    std::os::unix::fs::symlink(&link, &link).unwrap();
    add(
        "a home that is a link to itself",
        link,
        "cannot use the home",
    );

    let open = state_file(directory, "open");
    fs::set_permissions(open.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    add(
        "a home that others can read",
        open.parent().unwrap().to_owned(),
        "open to other users",
    );
    let readable = state_file(directory, "readable");
    fs::set_permissions(&readable, fs::Permissions::from_mode(0o644)).unwrap();
    add(
        "a state file that others can read",
        readable.parent().unwrap().to_owned(),
        "open to other users",
    );

    let taken = directory.join("taken");
    private_dir(&taken);
    private_dir(&taken.join("state.db"));
    add(
        "a state file that is a directory",
        taken,
        "not a regular file",
    );
    let text = directory.join("text");
    private_dir(&text);
    write_private(
        &text.join("state.db"),
        b"hello, this is no database at all, not even nearly",
    );
    add("a state file that is a text", text, "state.db");

    let cut = state_file(directory, "cut");
    let whole = fs::read(&cut).unwrap();
    write_private(&cut, &whole[..whole.len() / 2]);
    add(
        "a state file that was cut",
        cut.parent().unwrap().to_owned(),
        "damaged",
    );
    let rotten = state_file(directory, "rotten");
    let mut bytes = fs::read(&rotten).unwrap();
    bytes[100..].fill(0x5a);
    write_private(&rotten, &bytes);
    add(
        "a state file that has rotted",
        rotten.parent().unwrap().to_owned(),
        "damaged",
    );

    let newer = state_file(directory, "newer");
    let database = rusqlite::Connection::open(&newer).unwrap();
    database.pragma_update(None, "user_version", 9_999).unwrap();
    database.close().unwrap();
    add(
        "a home from a newer version",
        newer.parent().unwrap().to_owned(),
        "schema 9999",
    );
    let foreign = directory.join("foreign");
    private_dir(&foreign);
    write_private(&foreign.join("state.db"), b"");
    let database = rusqlite::Connection::open(foreign.join("state.db")).unwrap();
    database
        .execute_batch("CREATE TABLE bookmarks (url TEXT)")
        .unwrap();
    database.close().unwrap();
    add(
        "another program's database",
        foreign,
        "not written by sealway",
    );
    homes
}

fn write_private(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Mounts a small file system; none if this user cannot.
struct Mounted(PathBuf);

impl Mounted {
    fn new(path: &Path, options: &str) -> Option<Self> {
        fs::create_dir(path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !mounted {
            println!("left out: this user cannot mount a tmpfs with {options}");
        }
        mounted.then(|| Self(path.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_home_that_cannot_be_used_is_named_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let mut homes = bad_homes(directory.path());
    let read_only = Mounted::new(&directory.path().join("ro"), "ro,mode=0700");
    if let Some(mount) = &read_only {
        homes.push(BadHome {
            what: "a home that is read-only",
            path: mount.0.clone(),
            cause: "read-only",
        });
        homes.push(BadHome {
            what: "a home below what is read-only",
            path: mount.0.join("h"),
            cause: "read-only",
        });
    }
    let full = Mounted::new(&directory.path().join("full"), "size=256k,mode=0700");
    if let Some(mount) = &full {
        // Fill it to the last byte.
        let _ = fs::write(mount.0.join("filler"), vec![0; 1 << 20]);
        homes.push(BadHome {
            what: "a home on a full disk",
            path: mount.0.join("home"),
            cause: "no space",
        });
    }
    let others = directory.path().join("others");
    private_dir(&others);
    if std::os::unix::fs::chown(&others, Some(65_534), Some(65_534)).is_ok() {
        homes.push(BadHome {
            what: "another user's home",
            path: others,
            cause: "belongs to user 65534",
        });
    } else {
        println!("left out: this user cannot give a directory to another");
    }
    for home in &homes {
        let before = snapshot(&home.path);
        let path = home.path.to_str().unwrap();
        for arguments in [
            &["identity", "list"][..],
            &["identity", "create", "x"],
            &["peer", "add", "p", NOBODY],
        ] {
            let arguments = [arguments, &["--home", path]].concat();
            let case = case(home.what, 1, home.cause, &arguments);
            check(directory.path(), &case);
        }
        // What a full disk stopped is completed later; everything else is left as it was.
        let begun = full
            .as_ref()
            .is_some_and(|mount| home.path.starts_with(&mount.0));
        if home.path.starts_with(directory.path()) && !begun {
            assert_eq!(snapshot(&home.path), before, "{} was changed", home.what);
        }
    }
    if let Some(mount) = &full {
        fs::remove_file(mount.0.join("filler")).unwrap();
        let home = mount.0.join("home");
        let ran = run(sealway(directory.path())
            .args(["identity", "list", "--home"])
            .arg(&home));
        assert_eq!(ran.code, Some(0), "once there is space again: {ran:?}");
    }
    println!("bad homes: {}, three commands each", homes.len());
}
