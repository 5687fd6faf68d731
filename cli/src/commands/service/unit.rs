//! The text of a unit (systemd.service(5), systemd.exec(5)).

use std::path::Path;

use super::wrapped::{Wrapped, is_temporary};
use super::{Scope, USER};
use crate::error::{CliError, Result};

/// How the first line of each of our units begins.
pub(super) const OURS: &str = "# Written by `sealway service install`";

/// Directories that `ProtectHome=tmpfs` empties.
const HIDDEN: [&str; 3] = ["/home", "/root", "/run/user"];

/// What holds for every service of ours.
const CONFINED: &str = "\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
UMask=0077
# Keys are in its memory: none of it is ever written to a disk.
LimitCORE=0
LimitNOFILE=65536
";

/// What only the system's manager can do: the user's may take no capability away.
const CONFINED_BY_SYSTEM: &str = "\
PrivateTmp=yes
PrivateDevices=yes
DevicePolicy=closed
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
ProcSubset=pid
ProtectHome=tmpfs
KeyringMode=private
RemoveIPC=yes
";

/// As whom a service runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// As the user whose manager keeps it.
    Own,
    /// As the user that is there for services of ours, in a home that systemd makes.
    Ours,
    /// As the user whom the home belongs to.
    Owner(String),
}

/// A unit to be written.
pub(super) struct Unit<'a> {
    pub(super) name: &'a str,
    pub(super) scope: Scope,
    pub(super) binary: &'a Path,
    pub(super) home: &'a Path,
    pub(super) account: &'a Account,
    pub(super) wrapped: &'a Wrapped,
}

impl Unit<'_> {
    /// Its text.
    ///
    /// # Errors
    /// A path or an argument that a unit cannot hold.
    pub(super) fn text(&self) -> Result<String> {
        let command = self.wrapped.command;
        let mut text = format!(
            "{OURS} (sealway {}); `sealway service uninstall {}` removes it.\n[Unit]\nDescription=Sealway {command} ({})\n",
            env!("CARGO_PKG_VERSION"),
            self.name,
            self.name,
        );
        if self.scope == Scope::System {
            text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
        }
        text.push_str("# However long the other end is away: it is tried again.\nStartLimitIntervalSec=0\n\n[Service]\n");
        text.push_str(&self.running()?);
        text.push('\n');
        text.push_str(&self.confinement()?);
        let target = match self.scope {
            Scope::User => "default.target",
            Scope::System => "multi-user.target",
        };
        text.push_str(&format!("\n[Install]\nWantedBy={target}\n"));
        Ok(text)
    }

    /// What is run, and when it is run again.
    fn running(&self) -> Result<String> {
        let home = in_unit(self.home)?;
        // The colon: no $VARIABLE in the line is replaced. Inside the quotes, if the path needs some.
        let mut line = in_unit(self.binary)?;
        line.insert(usize::from(line.starts_with('"')), ':');
        line.push_str(&format!(" --home {home}"));
        for argument in &self.wrapped.arguments {
            line.push(' ');
            line.push_str(&quoted(argument)?);
        }
        let mut text = format!(
            "Type=exec\n\
             ExecStart={line}\n\
             ExecReload=/bin/kill -HUP $MAINPID\n\
             Restart=on-failure\n\
             RestartSec=5\n\
             # Exit code 2 is wrong usage: again would be wrong again.\n\
             RestartPreventExitStatus=2\n\
             TimeoutStopSec=15\n"
        );
        match self.account {
            Account::Own => {
                // Other processes of this user have their sockets there too.
                text.push_str("RuntimeDirectory=sealway\nRuntimeDirectoryMode=0700\nRuntimeDirectoryPreserve=yes\n");
            }
            Account::Ours => {
                text.push_str(&format!(
                    "User={USER}\nStateDirectory=sealway\nStateDirectoryMode=0700\n"
                ));
            }
            Account::Owner(user) => text.push_str(&format!("User={user}\n")),
        }
        Ok(text)
    }

    /// What it may do and see.
    fn confinement(&self) -> Result<String> {
        let mut text = CONFINED.to_owned();
        let mut writable = Vec::new();
        match self.scope {
            Scope::User => {
                text.push_str("ProtectHome=read-only\n");
                if !is_temporary(self.binary) && !is_temporary(self.home) {
                    text.push_str("PrivateTmp=yes\n");
                }
                writable.push(in_unit(self.home)?);
            }
            Scope::System => {
                text.push_str(CONFINED_BY_SYSTEM);
                let bound = |path: &Path| {
                    is_temporary(path) || HIDDEN.iter().any(|at| path.starts_with(at))
                };
                if bound(self.binary) {
                    text.push_str(&format!("BindReadOnlyPaths={}\n", in_unit(self.binary)?));
                }
                match self.account {
                    Account::Ours => {}
                    _ if bound(self.home) => {
                        text.push_str(&format!("BindPaths={}\n", in_unit(self.home)?));
                    }
                    _ => writable.push(in_unit(self.home)?),
                }
                let capability = if self.wrapped.low_port {
                    "CAP_NET_BIND_SERVICE"
                } else {
                    ""
                };
                text.push_str(&format!(
                    "CapabilityBoundingSet={capability}\nAmbientCapabilities={capability}\n"
                ));
            }
        }
        for directory in &self.wrapped.socket_directories {
            writable.push(in_unit(directory)?);
        }
        if !writable.is_empty() {
            text.push_str(&format!("ReadWritePaths={}\n", writable.join(" ")));
        }
        Ok(text)
    }
}

/// A path as a unit holds it.
fn in_unit(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| !text.contains(['$', ':']));
    text.map_or_else(
        || {
            Err(
                CliError::failed(format!("{} cannot stand in a unit", path.display()))
                    .hint("choose a path in UTF-8 without $ and : in it"),
            )
        },
        quoted,
    )
}

/// A word as it stands in a unit (systemd.syntax(7), systemd.unit(5) "specifiers").
fn quoted(word: &str) -> Result<String> {
    if word.contains(char::is_control) {
        return Err(CliError::usage(format!(
            "{word:?} cannot stand in a unit: it has more than one line"
        ))
        .hint("leave control characters out"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=,:@[]".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return Ok(word.to_owned());
    }
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out.push_str("%%"),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(scope: Scope, account: Account, home: &str, words: &[&str]) -> Result<String> {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Unit {
            name: "sealway-node",
            scope,
            binary: Path::new("/usr/local/bin/sealway"),
            home: Path::new(home),
            account: &account,
            wrapped: &Wrapped::read(&words)?,
        }
        .text()
    }

    fn line<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
        let value = |line: &'a str| line.strip_prefix(key)?.strip_prefix('=');
        unit.lines().filter_map(value).collect()
    }

    #[test]
    fn a_service_of_the_system_sees_its_state_and_nothing_of_the_homes() {
        let words = ["node", "--listen", "0.0.0.0:4100", "--trust", "everyone"];
        let unit = unit(Scope::System, Account::Ours, "/var/lib/sealway", &words).unwrap();
        assert!(unit.starts_with(OURS), "{unit}");
        assert_eq!(
            line(&unit, "ExecStart"),
            [
                ":/usr/local/bin/sealway --home /var/lib/sealway node --listen 0.0.0.0:4100 --trust everyone"
            ]
        );
        for (key, value) in [
            ("User", "sealway"),
            ("StateDirectory", "sealway"),
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "tmpfs"),
            ("PrivateTmp", "yes"),
            ("MemoryDenyWriteExecute", "yes"),
            ("CapabilityBoundingSet", ""),
            ("Restart", "on-failure"),
            ("WantedBy", "multi-user.target"),
        ] {
            assert_eq!(line(&unit, key), [value], "{key}");
        }
        assert_eq!(line(&unit, "SystemCallFilter").len(), 2);
        assert!(line(&unit, "ReadWritePaths").is_empty());
    }

    #[test]
    fn no_word_of_a_command_is_read_as_anything_but_itself() {
        let mut words = vec!["node", "--listen", "127.0.0.1:0", "--log"];
        words.push("[span{field=\"$HOME %h\"}]=info");
        let unit = unit(Scope::User, Account::Own, "/home/b ob/50%", &words).unwrap();
        assert_eq!(
            line(&unit, "ExecStart"),
            [
                r#":/usr/local/bin/sealway --home "/home/b ob/50%%" node --listen 127.0.0.1:0 --log "[span{field=\"$HOME %%h\"}]=info""#
            ]
        );
        assert_eq!(line(&unit, "ReadWritePaths"), [r#""/home/b ob/50%%""#]);
    }

    #[test]
    fn a_port_for_the_privileged_needs_one_capability_and_no_other() {
        let low = ["relay", "--listen", "0.0.0.0:443"];
        let unit = unit(Scope::System, Account::Ours, "/var/lib/sealway", &low).unwrap();
        for key in ["CapabilityBoundingSet", "AmbientCapabilities"] {
            assert_eq!(line(&unit, key), ["CAP_NET_BIND_SERVICE"]);
        }
    }

    #[test]
    fn a_service_of_tickets_holds_none_and_makes_none() {
        let read = |words: &[&str]| unit(Scope::User, Account::Own, "/home/bob/state", words);
        let refused = |words: &[&str]| read(words).unwrap_err().to_string();
        assert!(refused(&["expose", "5432"]).contains("a ticket"));
        assert!(refused(&["connect", "@ticket"]).contains("by name"));
        assert!(refused(&["connect", "-"]).contains("by name"));
        read(&["expose", "5432", "--no-ticket"]).unwrap();
        for (port, capability) in [("1024", ""), ("543", "CAP_NET_BIND_SERVICE")] {
            let words = ["connect", "5432", "--port", port];
            let unit = unit(Scope::System, Account::Ours, "/var/lib/sealway", &words).unwrap();
            assert_eq!(line(&unit, "AmbientCapabilities").concat(), capability);
        }
    }

    #[test]
    fn a_home_of_a_user_is_all_that_a_service_sees_of_the_homes() {
        let words = ["node", "--listen", "unix:/run/files/s"];
        let owner = Account::Owner("bob".to_owned());
        let home = "/home/bob/.local/share/sealway";
        let unit = unit(Scope::System, owner, home, &words).unwrap();
        assert_eq!(line(&unit, "User"), ["bob"]);
        assert_eq!(line(&unit, "BindPaths"), [home]);
        assert_eq!(line(&unit, "ReadWritePaths"), ["/run/files"]);
        assert!(line(&unit, "StateDirectory").is_empty());
    }

    #[test]
    fn a_service_of_a_user_asks_for_nothing_that_its_manager_cannot_do() {
        let words = ["relay", "--listen", "[::]:4100"];
        let unit = unit(Scope::User, Account::Own, "/home/bob/state", &words).unwrap();
        for key in [
            "User",
            "CapabilityBoundingSet",
            "PrivateDevices",
            "ProtectClock",
        ] {
            assert!(line(&unit, key).is_empty(), "{key}");
        }
        assert_eq!(line(&unit, "ProtectHome"), ["read-only"]);
        assert_eq!(line(&unit, "ReadWritePaths"), ["/home/bob/state"]);
        assert_eq!(line(&unit, "WantedBy"), ["default.target"]);
    }

    #[test]
    fn no_word_of_a_unit_can_become_more_than_a_word() {
        assert_eq!(quoted("a=127.0.0.1:80").unwrap(), "a=127.0.0.1:80");
        assert_eq!(quoted("").unwrap(), "\"\"");
        assert_eq!(quoted("a b").unwrap(), "\"a b\"");
        assert_eq!(quoted("100%h\\\"").unwrap(), "\"100%%h\\\\\\\"\"");
        assert_eq!(quoted(";").unwrap(), "\";\"");
        assert!(quoted("a\n[Service]\nUser=root").is_err());
        assert!(in_unit(Path::new("/a\nb")).is_err());
        assert!(in_unit(Path::new("/a:b")).is_err());
        assert_eq!(in_unit(Path::new("/a b/%h")).unwrap(), "\"/a b/%%h\"");
    }
}
