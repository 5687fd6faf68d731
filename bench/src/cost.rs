//! What processes have used, as /proc tells: processor time, memory, context switches.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// Clock ticks a second in /proc/PID/stat (USER_HZ, fixed by Linux's interface).
const TICKS: f64 = 100.0;

/// Seconds of processor time (user and system) that the processes have used so far.
pub(crate) fn cpu_seconds(ids: &[u32]) -> io::Result<f64> {
    ids.iter().try_fold(0.0, |sum, id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
        // The name, in brackets, may hold anything; after it the 12th and 13th fields are utime and stime.
        let fields = stat
            .rsplit_once(')')
            .map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
        let ticks: Vec<u32> = fields
            .into_iter()
            .flatten()
            .filter_map(|field| field.parse().ok())
            .collect();
        match ticks[..] {
            [user, system] => Ok(sum + (f64::from(user) + f64::from(system)) / TICKS),
            _ => Err(not_understood(*id, "stat")),
        }
    })
}

/// Resident memory of the processes in KiB.
pub(crate) fn resident_kib(ids: &[u32]) -> io::Result<f64> {
    ids.iter().try_fold(0.0, |sum, id| {
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let kib = number(&status, "VmRSS:").ok_or_else(|| not_understood(*id, "status"))?;
        Ok(sum + kib)
    })
}

/// Context switches, of their own will or not, of all threads that a process has now.
pub(crate) fn switches(id: u32) -> io::Result<f64> {
    let mut sum = 0.0;
    for thread in fs::read_dir(format!("/proc/{id}/task"))? {
        // A thread may end while we look.
        let Ok(status) = fs::read_to_string(thread?.path().join("status")) else {
            continue;
        };
        let kinds = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"];
        for kind in kinds {
            sum += number(&status, kind).ok_or_else(|| not_understood(id, "task/*/status"))?;
        }
    }
    Ok(sum)
}

/// The processes and all that they have started and those in turn.
pub(crate) fn with_descendants(ids: &[u32]) -> Vec<u32> {
    let mut all: BTreeSet<u32> = BTreeSet::new();
    let mut to_visit = ids.to_vec();
    while let Some(id) = to_visit.pop() {
        if !all.insert(id) {
            continue;
        }
        let threads = fs::read_dir(format!("/proc/{id}/task"))
            .into_iter()
            .flatten();
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            to_visit.extend(
                children
                    .split_whitespace()
                    .filter_map(|id| id.parse::<u32>().ok()),
            );
        }
    }
    all.into_iter().collect()
}

/// The number in the line of `status` that begins with `name`.
fn number(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u32 = line.split_whitespace().next()?.parse().ok()?;
    Some(f64::from(number))
}

fn not_understood(id: u32, file: &str) -> io::Error {
    io::Error::other(format!("/proc/{id}/{file} is not understood"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    #[test]
    fn this_process_has_used_something() {
        let me = [std::process::id()];
        assert!(resident_kib(&me).unwrap() > 100.0);
        assert!(cpu_seconds(&me).unwrap() >= 0.0);
        assert!(switches(me[0]).unwrap() >= 1.0);
        assert!(resident_kib(&[u32::MAX]).is_err());
    }

    #[test]
    fn children_of_children_are_found() {
        let mut shell = Command::new("sh")
            .args(["-c", "sh -c 'echo $$; cat; :'; :"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let grandchild: u32 = line.trim().parse().unwrap();
        assert_ne!(grandchild, shell.id());
        let found = with_descendants(&[shell.id()]);
        assert!(found.contains(&shell.id()) && found.contains(&grandchild));
        drop(shell.stdin.take());
        shell.wait().unwrap();
        assert!(!with_descendants(&[std::process::id()]).contains(&grandchild));
    }
}
