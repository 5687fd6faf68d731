//! Identities, peers and files that are not there, not whole, or not what they should be.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use crate::support::{Ran, run, sealway};
use crate::table::{Case, NOBODY, case, check, snapshot};

/// Runs a command that has to succeed.
fn done(directory: &Path, arguments: &[&str]) -> Ran {
    let ran = run(sealway(directory).args(arguments));
    assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
    ran
}

/// A directory with files that are no backups, and a home at `home` with identities and a peer.
fn prepare(directory: &Path) {
    let home = |arguments: &[&str]| done(directory, &[&["--home", "home"], arguments].concat());
    home(&["identity", "create", "alice"]);
    home(&["identity", "create", "bob", "--key", "p256"]);
    home(&["peer", "add", "carol", NOBODY]);
    home(&[
        "identity",
        "export",
        "bob",
        "--secret",
        "--output",
        "bob.backup",
    ]);
    home(&["identity", "export", "bob", "--output", "bob.history"]);
    let backup = fs::read_to_string(directory.join("bob.backup")).unwrap();
    let write = |name: &str, content: &[u8]| fs::write(directory.join(name), content).unwrap();
    write("cut", &backup.as_bytes()[..backup.len() / 2]);
    write("empty", b"");
    write("binary", &[0xff, 0xfe, 0, 1, 2, 3]);
    write("prose", b"dear diary, today I lost my keys");
    let (start, end) = backup.trim().split_at(backup.trim().len() - 40);
    let flipped: String = end
        .chars()
        .map(|digit| if digit == '0' { '1' } else { '0' })
        .collect();
    write("altered", format!("{start}{flipped}").as_bytes());
    write(
        "newer",
        backup.replace("identity-1:", "identity-2:").as_bytes(),
    );
    write("large", &vec![b'a'; 2 << 20]);
    fs::create_dir(directory.join("folder")).unwrap();
}

fn identity_cases() -> Vec<Case> {
    let missing = "no identity named nobody";
    vec![
        case(
            "showing an identity that is not there",
            1,
            missing,
            &["identity", "show", "nobody"],
        ),
        case(
            "rotating an identity that is not there",
            1,
            missing,
            &["identity", "rotate", "nobody"],
        ),
        case(
            "deleting an identity that is not there",
            1,
            missing,
            &["identity", "delete", "nobody"],
        ),
        case(
            "exporting an identity that is not there",
            1,
            missing,
            &["identity", "export", "nobody"],
        ),
        case(
            "a name that is taken",
            1,
            "alice already",
            &["identity", "create", "alice"],
        ),
        case(
            "exporting over a file",
            1,
            "exists",
            &["identity", "export", "alice", "--output", "prose"],
        ),
        case(
            "exporting into no directory",
            1,
            "No such file",
            &["identity", "export", "--output", "no/such/file"],
        ),
        case(
            "exporting onto a directory",
            1,
            "exists",
            &["identity", "export", "--output", "folder"],
        ),
        case(
            "backing up onto a full disk",
            1,
            "exists",
            &["identity", "export", "--secret", "--output", "/dev/full"],
        ),
        case(
            "importing a file that is not there",
            1,
            "No such file",
            &["identity", "import", "nowhere"],
        ),
        case(
            "importing a directory",
            1,
            "not a regular file",
            &["identity", "import", "folder"],
        ),
        case(
            "importing an endless file",
            1,
            "not a regular file",
            &["identity", "import", "/dev/zero"],
        ),
        case(
            "importing an empty file",
            1,
            "does not start with",
            &["identity", "import", "empty"],
        ),
        case(
            "importing what is not text",
            1,
            "not text",
            &["identity", "import", "binary"],
        ),
        case(
            "importing prose",
            1,
            "does not start with",
            &["identity", "import", "prose"],
        ),
        case(
            "importing a history without a key",
            1,
            "does not start with",
            &["identity", "import", "bob.history"],
        ),
        case(
            "importing half a backup",
            1,
            "",
            &["identity", "import", "cut", "--name", "x"],
        ),
        case(
            "importing an altered backup",
            1,
            "",
            &["identity", "import", "altered", "--name", "x"],
        ),
        case(
            "importing a newer kind of backup",
            1,
            "does not start with",
            &["identity", "import", "newer"],
        ),
        case(
            "importing 2 MB",
            1,
            "exceed",
            &["identity", "import", "large"],
        ),
        case(
            "importing what is here already",
            1,
            "here already",
            &["identity", "import", "bob.backup", "--name", "bobby"],
        ),
        case(
            "importing under a name that is taken",
            1,
            "already",
            &["identity", "import", "bob.backup"],
        ),
    ]
}

fn peer_cases() -> Vec<Case> {
    let other = "I1111111111111111111111111111111111111111111111111111111111111111";
    vec![
        case(
            "trusting a word",
            2,
            "neither",
            &["peer", "add", "dave", "dave"],
        ),
        case(
            "trusting nothing",
            2,
            "neither",
            &["peer", "add", "dave", ""],
        ),
        case(
            "trusting half an identifier",
            2,
            "neither",
            &["peer", "add", "dave", &NOBODY[..20]],
        ),
        case(
            "trusting a history that is none",
            1,
            "does not verify",
            &["peer", "add", "dave", &"00".repeat(100)],
        ),
        case(
            "trusting prose",
            1,
            "holds neither",
            &["peer", "add", "dave", "prose"],
        ),
        case(
            "trusting a directory",
            1,
            "not a regular file",
            &["peer", "add", "dave", "folder"],
        ),
        case(
            "trusting a backup",
            1,
            "holds neither",
            &["peer", "add", "dave", "bob.backup"],
        ),
        case(
            "a peer's name that is taken",
            1,
            "carol belongs to",
            &["peer", "add", "carol", other],
        ),
        case(
            "a peer's name that is a path",
            2,
            "not '/'",
            &["peer", "add", "a/b", NOBODY],
        ),
        case(
            "removing a peer that is not there",
            1,
            "no peer",
            &["peer", "remove", "nobody"],
        ),
        case(
            "removing a peer named by an escape sequence",
            1,
            "no peer",
            &["peer", "remove", "\u{1b}[31mred"],
        ),
    ]
}

#[test]
fn what_is_not_there_or_not_whole_is_named_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    prepare(path);
    let listed = || done(path, &["--home", "home", "--json", "identity", "list"]).stdout;
    let trusted = || done(path, &["--home", "home", "--json", "peer", "list"]).stdout;
    let (identities, peers) = (listed(), trusted());
    let files = |path: &Path| {
        snapshot(path)
            .into_keys()
            .filter(|file| !file.starts_with(path.join("home")))
            .count()
    };
    let count = files(path);
    let cases: Vec<Case> = identity_cases().into_iter().chain(peer_cases()).collect();
    for mut case in cases {
        case.arguments
            .extend(["--home".to_owned(), "home".to_owned()]);
        check(path, &case);
    }
    assert_eq!(
        (listed(), trusted()),
        (identities, peers),
        "something was half done"
    );
    assert_eq!(files(path), count, "a file was left behind");
}

#[test]
fn an_empty_home_has_no_identity_to_show() {
    let directory = tempfile::tempdir().unwrap();
    for command in ["show", "rotate", "export"] {
        let case = case(
            "no identity yet",
            1,
            "no identity yet",
            &["identity", command],
        );
        check(directory.path(), &case);
    }
}

#[test]
fn a_backup_is_refused_before_a_home_is_made() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("prose"), "no backup").unwrap();
    let case = case(
        "a backup that is none, in a new home",
        1,
        "does not start",
        &["identity", "import", "prose"],
    );
    check(directory.path(), &case);
    assert_eq!(snapshot(directory.path()).len(), 2);
}

#[test]
fn a_full_disk_behind_stdout_is_said() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["completions", "bash"][..],
        &["--help"],
        &["identity", "list", "--json"],
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = sealway(directory.path())
            .args(arguments)
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("standard output"), "{said}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let directory = tempfile::tempdir().unwrap();
    for arguments in [
        &["completions", "bash"][..],
        &["--help"],
        &["identity", "list", "--json"],
    ] {
        let mut reader = std::process::Command::new("true")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pipe = reader.stdin.take().unwrap();
        reader.wait().unwrap();
        let output = sealway(directory.path())
            .args(arguments)
            .stdout(pipe)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}
