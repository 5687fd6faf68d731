//! Which ports a process listens on, from Linux's process file system (proc_pid_fd(5), proc_net(5)).

use std::collections::HashSet;
use std::fs;
use std::io;

/// The state LISTEN in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// How many TCP sockets of process `id` listen.
///
/// # Errors
/// The system has no such files, or does not show them.
pub(super) fn count(id: u32) -> io::Result<usize> {
    let mut sockets = HashSet::new();
    for entry in fs::read_dir(format!("/proc/{id}/fd"))? {
        let target = fs::read_link(entry?.path())?;
        let inode = target
            .to_str()
            .and_then(|text| text.strip_prefix("socket:["));
        if let Some(inode) = inode.and_then(|text| text.strip_suffix(']')) {
            sockets.insert(inode.to_owned());
        }
    }
    let mut listening = 0;
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{id}/net/{table}"))?;
        // Columns: sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
        listening += text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|columns| columns.get(3) == Some(&LISTEN))
            .filter(|columns| columns.get(9).is_some_and(|inode| sockets.contains(*inode)))
            .count();
    }
    Ok(listening)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_listening_socket_is_seen() {
        let before = super::count(std::process::id()).unwrap();
        let listeners: Vec<_> = (0..3)
            .map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap())
            .collect();
        // Other tests of this process may open and close listeners meanwhile: these three are there for sure.
        assert!(
            super::count(std::process::id()).unwrap() >= listeners.len(),
            "{before}"
        );
    }
}
