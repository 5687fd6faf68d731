//! Negative controls: a build in which one check can be switched off, in a target directory of its own (architecture: "what must
//! stay true"). `SEALWAY_WEAKENED` names such a binary; without it, it is built here.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{CHECKS, told};
use crate::support::sealway_at;

/// What is switched off, and the check of the demo that must then be false.
const CONTROLS: [(&str, &str); 8] = [
    ("stream_integrity", "file_fetched"),
    ("encryption", "relay_saw_no_plaintext"),
    ("tag", "tampered_frame_refused"),
    ("replay_window", "replayed_frame_refused"),
    ("trust", "stranger_refused"),
    ("ticket_uses", "spent_ticket_refused"),
    ("suite", "hybrid_suite_used"),
    ("recovery", "recovered_after_relay_restart"),
];

/// The switch, as it stands in binaries that have one.
const SWITCH: &[u8] = b"SEALWAY_WEAKEN";

fn weakened() -> PathBuf {
    if let Some(binary) = std::env::var_os("SEALWAY_WEAKENED") {
        return binary.into();
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let ordinary = Path::new(env!("CARGO_BIN_EXE_sealway"));
    let target = ordinary.ancestors().nth(2).unwrap().join("weaken");
    fs::create_dir_all(&target).unwrap();
    // Only first-party crates are told: dependencies are the same in every build.
    let wrapper = target.join("rustc-weaken");
    fs::write(
        &wrapper,
        "#!/bin/sh\nrustc=$1\nshift\nexec \"$rustc\" \"$@\" --cfg sealway_weaken\n",
    )
    .unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "-p",
            "sealway-cli",
            "--target-dir",
        ])
        .arg(&target)
        .env("RUSTC_WORKSPACE_WRAPPER", &wrapper)
        .current_dir(workspace)
        .status()
        .unwrap();
    assert!(built.success(), "the weakened build failed");
    target.join("debug/sealway")
}

fn has_switch(binary: &Path) -> bool {
    fs::read(binary)
        .unwrap()
        .windows(SWITCH.len())
        .any(|window| window == SWITCH)
}

#[test]
fn each_check_is_false_without_what_it_checks() {
    assert!(
        !has_switch(Path::new(env!("CARGO_BIN_EXE_sealway"))),
        "the ordinary build can be weakened"
    );
    let binary = weakened();
    assert!(
        has_switch(&binary),
        "{} cannot be weakened",
        binary.display()
    );
    for (switched_off, check) in CONTROLS {
        assert!(CHECKS.contains(&check));
        let directory = tempfile::tempdir().unwrap();
        let mut command = sealway_at(&binary, directory.path());
        let (told, code) = told(
            command.env("SEALWAY_WEAKEN", switched_off),
            directory.path(),
        );
        let found = told["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|told| told["name"] == check)
            .unwrap();
        assert_eq!(found["ok"], false, "without {switched_off}: {told:#}");
        assert_eq!(
            (&told["ok"], code),
            (&false.into(), Some(1)),
            "without {switched_off}"
        );
        println!(
            "without {switched_off}: {check} is false: {}",
            found["detail"].as_str().unwrap_or_default()
        );
    }
}
