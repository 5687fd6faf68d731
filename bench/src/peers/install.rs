//! Programs that cargo builds, once, into target/peers.

use crate::process::{cargo, run, tree, which};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const RATHOLE: &str = "0.5.0";
const DUMBPIPE: &str = "0.40.1";

/// rathole with its Noise transport. Its lock file names a version of `time` that no Rust since 1.80 compiles, so it is resolved anew.
pub(super) fn rathole() -> io::Result<(PathBuf, String)> {
    let features = ["--no-default-features", "--features", "server,client,noise"];
    let program = installed("rathole", RATHOLE, &features)?;
    Ok((program, format!("rathole {RATHOLE}")))
}

pub(super) fn dumbpipe() -> io::Result<(PathBuf, String)> {
    let program = installed("dumbpipe", DUMBPIPE, &["--locked"])?;
    let version = run(Command::new(&program).arg("--version"))?;
    Ok((program, version.trim().to_owned()))
}

/// The node of the reference's crates that the interoperability cells run against, optimised as the command is.
pub(super) fn ockam() -> io::Result<(PathBuf, String)> {
    let tree = tree().ok_or_else(no_tree)?;
    let lock = std::fs::read_to_string(tree.join("interop/Cargo.lock"))?;
    let version = version_of("ockam", &lock)
        .ok_or_else(|| io::Error::other("no ockam in interop/Cargo.lock"))?;
    let target = target(&tree);
    let program = target.join("build/release/reference-node");
    let mut build = cargo();
    build.args([
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--manifest-path",
    ]);
    build.arg(tree.join("interop/Cargo.toml"));
    build
        .env("CARGO_PROFILE_RELEASE_LTO", "thin")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "4");
    built(build, &target)?;
    Ok((program, format!("ockam crates {version}")))
}

/// The crate's program of that version, built if it is not there.
fn installed(name: &str, version: &str, options: &[&str]) -> io::Result<PathBuf> {
    let tree = tree().ok_or_else(no_tree)?;
    let target = target(&tree);
    let bin = target.join("bin");
    if let Some(program) = which(&[name], &[&bin]) {
        let said = run(Command::new(&program).arg("--version")).unwrap_or_default();
        if said.contains(version) {
            return Ok(program);
        }
    }
    let mut build = cargo();
    build
        .args(["install", "--quiet", "--version", version, "--root"])
        .arg(&target);
    build.args(options).arg(name);
    built(build, &target)?;
    Ok(bin.join(name))
}

/// Builds into `target`.
fn built(mut build: Command, target: &Path) -> io::Result<()> {
    let arguments: Vec<_> = build.get_args().map(OsStr::to_string_lossy).collect();
    let what = format!("cargo {}", arguments.join(" "));
    eprintln!("{what}");
    build
        .env("CARGO_TARGET_DIR", target.join("build"))
        .stdin(Stdio::null());
    match build.status()? {
        status if status.success() => Ok(()),
        status => Err(io::Error::other(format!("{what}: {status}"))),
    }
}

fn target(tree: &Path) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| tree.join("target")).join("peers")
}

fn no_tree() -> io::Error {
    io::Error::other("the tree that the bench was built from is gone")
}

/// A crate's version in a lock file.
fn version_of<'a>(name: &str, lock: &'a str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_lock_files() {
        let lock = "[[package]]\nname = \"ockam_core\"\nversion = \"1.2.3\"\n\n[[package]]\nname = \"ockam\"\nversion = \"0.150.0\"\n";
        assert_eq!(version_of("ockam", lock), Some("0.150.0"));
        assert_eq!(version_of("other", lock), None);
    }
}
