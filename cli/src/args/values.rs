//! What a single argument may say: addresses, durations, outlets, names.
//!
//! Every parser refuses what can be refused without a socket or a file, so that a typing error is
//! exit code 2 and never half a start.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sealway_core::identity::Identifier;

/// Longest DNS name in bytes (RFC 1035, 2.3.4).
const MAX_HOST: usize = 253;
/// Longest label of a DNS name in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;
/// Longest path of a Unix socket in bytes: `sun_path` less its closing zero (unix(7)).
const MAX_UNIX_PATH: usize = 107;
/// Longest name of a service, an outlet, an alias or an identity in bytes.
pub(crate) const MAX_NAME: usize = 64;
/// Longest duration that an argument may ask for.
const MAX_DURATION: Duration = Duration::from_secs(366 * 24 * 3600);

/// An address to listen at or to connect to: `HOST:PORT`, `tcp:HOST:PORT` or `unix:PATH`.
///
/// Displays in the canonical form with its scheme, which is what the node takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Addr {
    /// A TCP endpoint.
    Tcp(HostPort),
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Addr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix_path(path).map(Addr::Unix);
        }
        let rest = text.strip_prefix("tcp:").unwrap_or(text);
        if let Some((scheme, _)) = rest.split_once("://") {
            return Err(format!(
                "an address has no scheme like {scheme}://, its forms are HOST:PORT, tcp:HOST:PORT and unix:PATH"
            ));
        }
        rest.parse().map(Addr::Tcp)
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Addr::Tcp(endpoint) => write!(f, "tcp:{endpoint}"),
            Addr::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads an address that something is to be connected to: like [`Addr`], but port 0 is refused.
pub(crate) fn remote_addr(text: &str) -> Result<Addr, String> {
    let address: Addr = text.parse()?;
    match &address {
        Addr::Tcp(endpoint) if endpoint.port == 0 => {
            Err("port 0 cannot be connected to".to_owned())
        }
        _ => Ok(address),
    }
}

/// Reads an address of TCP: like [`Addr`], but Unix sockets are refused.
pub(crate) fn tcp_addr(text: &str) -> Result<Addr, String> {
    match text.parse()? {
        Addr::Unix(_) => Err("an inlet listens at a TCP port, not at a Unix socket".to_owned()),
        address => Ok(address),
    }
}

/// As [`remote_addr`], of TCP: a ticket leads to nothing else.
pub(crate) fn remote_tcp_addr(text: &str) -> Result<Addr, String> {
    match remote_addr(text)? {
        Addr::Unix(_) => Err("a ticket leads to a relay by TCP, not by a Unix socket".to_owned()),
        address => Ok(address),
    }
}

/// Reads a service: `HOST:PORT`, or the port of a service of this machine.
pub(crate) fn target(text: &str) -> Result<HostPort, String> {
    let target = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        HostPort {
            host: "127.0.0.1".to_owned(),
            port: parse_port(text)?,
        }
    } else {
        text.parse()?
    };
    match target.port {
        0 => Err("port 0 cannot be connected to".to_owned()),
        _ => Ok(target),
    }
}

/// An argument that may be a secret: it is wiped, and absent from `Debug`.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) zeroize::Zeroizing<String>);

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned().into()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

fn unix_path(path: &str) -> Result<PathBuf, String> {
    match path.len() {
        0 => Err("the path of the socket is missing".to_owned()),
        n if n > MAX_UNIX_PATH => Err(format!(
            "a socket path of {n} bytes exceeds {MAX_UNIX_PATH}"
        )),
        _ if path.contains('\0') => Err("a socket path cannot hold a zero byte".to_owned()),
        _ if path.starts_with('@') => {
            Err("abstract socket names have no owner, use a path".to_owned())
        }
        _ => Ok(PathBuf::from(path)),
    }
}

/// `HOST:PORT`: a host name, an IPv4 address, or an IPv6 address in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPort {
    /// The host without brackets.
    pub(crate) host: String,
    /// The port; 0 asks a listener for a free one.
    pub(crate) port: u16,
}

impl FromStr for HostPort {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(format!("the form is HOST:PORT, without {scheme}://"));
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']').ok_or("the closing ] is missing")?;
                host.parse::<std::net::Ipv6Addr>()
                    .map_err(|_| "what stands in brackets is not an IPv6 address".to_owned())?;
                (host, rest.strip_prefix(':'))
            }
            None => match text.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => {
                    return Err("an IPv6 address stands in brackets: [::1]:4100".to_owned());
                }
                Some((host, port)) => (checked_host(host)?, Some(port)),
                None => (text, None),
            },
        };
        let port = port.ok_or("the port is missing, the form is HOST:PORT")?;
        Ok(Self {
            host: host.to_owned(),
            port: parse_port(port)?,
        })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    if text.is_empty() {
        return Err("the port is missing, the form is HOST:PORT".to_owned());
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is not a port number"));
    }
    text.parse()
        .map_err(|_| format!("port {text} is beyond 65535"))
}

fn checked_host(host: &str) -> Result<&str, String> {
    if host.is_empty() {
        return Err("the host is missing, the form is HOST:PORT".to_owned());
    }
    if host.len() > MAX_HOST {
        return Err(format!(
            "a host name of {} bytes exceeds {MAX_HOST}",
            host.len()
        ));
    }
    let numeric = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if numeric && host.parse::<std::net::Ipv4Addr>().is_err() {
        return Err(format!("{host} is not an IPv4 address"));
    }
    for label in host.split('.') {
        let legal = label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if label.is_empty() || !legal || label.starts_with('-') || label.ends_with('-') {
            return Err(format!("{host:?} is not a host name"));
        }
        if label.len() > MAX_LABEL {
            return Err(format!(
                "a host name's label of {} bytes exceeds {MAX_LABEL}",
                label.len()
            ));
        }
    }
    Ok(host)
}

/// Checks the name of a service, an outlet, an alias or an identity: 1 to 64 letters, digits, `.`, `_`, `-`,
/// not starting with `.` or `-`.
pub(crate) fn name(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.is_empty() {
        return Err("a name cannot be empty".to_owned());
    }
    if text.len() > MAX_NAME {
        return Err(format!("a name of {} bytes exceeds {MAX_NAME}", text.len()));
    }
    if let Some(bad) = text.chars().find(|c| !u8::try_from(*c).is_ok_and(legal)) {
        return Err(format!(
            "a name holds letters, digits, '.', '_' and '-', not {bad:?}"
        ));
    }
    if text.starts_with(['.', '-']) {
        return Err("a name cannot start with '.' or '-'".to_owned());
    }
    Ok(text.to_owned())
}

/// `NAME=HOST:PORT`: an outlet and the TCP service behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outlet {
    /// The address of the outlet inside the node.
    pub(crate) name: String,
    /// The service.
    pub(crate) target: HostPort,
}

impl FromStr for Outlet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (label, target) = text.split_once('=').ok_or("the form is NAME=HOST:PORT")?;
        let label = service_name(label)?;
        let target: HostPort = target.parse()?;
        if target.port == 0 {
            return Err("port 0 cannot be connected to".to_owned());
        }
        Ok(Self {
            name: label,
            target,
        })
    }
}

/// Addresses that a node fills itself, which no outlet may take.
const RESERVED: [&str; 9] = [
    "api",
    "sealway_xx1",
    "echo",
    "hop",
    "uppercase",
    "forwarding_service",
    "static_forwarding_service",
    "portal",
    "sealway",
];

fn service_name(text: &str) -> Result<String, String> {
    let checked = name(text)?;
    if RESERVED.contains(&text) || text.starts_with("forward_to_") {
        return Err(format!("the node keeps the name {text} for itself"));
    }
    Ok(checked)
}

fn identifier(text: &str) -> Result<Identifier, String> {
    text.parse()
        .map_err(|_| "an identifier is the letter I and 64 hex digits".to_owned())
}

/// Whom a node lets reach its services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trusted {
    /// Whoever proves an identity.
    Everyone,
    /// One identity.
    Identifier(Identifier),
}

impl FromStr for Trusted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "everyone" {
            return Ok(Self::Everyone);
        }
        identifier(text)
            .map(Self::Identifier)
            .map_err(|why| format!("{why}, or the word everyone"))
    }
}

/// Whom a caller means to reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Whoever is there.
    Anyone,
    /// One identity.
    Identifier(Identifier),
}

impl FromStr for Expect {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "anyone" {
            return Ok(Self::Anyone);
        }
        identifier(text)
            .map(Self::Identifier)
            .map_err(|why| format!("{why}, or the word anyone"))
    }
}

/// Reads a duration: a whole number and its unit, `500ms`, `10s`, `5m`, `2h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    const FORM: &str = "a duration is a whole number and a unit: 500ms, 10s, 5m, 2h, 7d";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(FORM.to_owned());
    }
    let milliseconds_per_unit: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "" => return Err(format!("the unit is missing, {FORM}")),
        _ => return Err(FORM.to_owned()),
    };
    let limit = "a duration cannot exceed 366d";
    let number: u64 = number.parse().map_err(|_| limit.to_owned())?;
    let milliseconds = number
        .checked_mul(milliseconds_per_unit)
        .ok_or_else(|| limit.to_owned())?;
    match Duration::from_millis(milliseconds) {
        Duration::ZERO => Err("a duration of nothing lets nothing happen".to_owned()),
        duration if duration > MAX_DURATION => Err(limit.to_owned()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_their_three_forms() {
        let shown = |text: &str| text.parse::<Addr>().map(|a| a.to_string());
        assert_eq!(shown("127.0.0.1:4100").unwrap(), "tcp:127.0.0.1:4100");
        assert_eq!(
            shown("tcp:relay.example.com:0").unwrap(),
            "tcp:relay.example.com:0"
        );
        assert_eq!(shown("[::1]:4100").unwrap(), "tcp:[::1]:4100");
        assert_eq!(shown("unix:/run/a.sock").unwrap(), "unix:/run/a.sock");
    }

    #[test]
    fn addresses_that_cannot_exist_are_refused() {
        let long = format!("{}:1", "a".repeat(64));
        let longer = format!("{}:1", ["abcdefgh"; 32].join("."));
        let path = format!("unix:/{}", "a".repeat(107));
        for text in [
            "",
            ":",
            "host",
            "host:",
            ":1",
            "host:x",
            "host:+1",
            "host:65536",
            "host: 1",
            "::1:80",
            "[::1]",
            "[::1]80",
            "[::1",
            "[zz]:1",
            "-a:1",
            "a-:1",
            "a..b:1",
            ".:1",
            "a b:1",
            "1.2.3:1",
            "256.0.0.1:1",
            "http://a:1",
            "tcp://a:1",
            "unix:",
            "unix:@a",
            "a\n:1",
            "ä:1",
            &long,
            &longer,
            &path,
        ] {
            assert!(text.parse::<Addr>().is_err(), "{text:?} was taken");
        }
        assert!(remote_addr("a:0").is_err());
    }

    #[test]
    fn durations_have_a_unit_and_a_bound() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7_200)));
        for text in [
            "",
            "5",
            "s",
            "-1s",
            "1.5s",
            "0s",
            "1w",
            "367d",
            "99999999999999999999s",
            "1 s",
        ] {
            assert!(duration(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn names_are_not_paths_and_hold_no_control_characters() {
        assert!(name("build-1.example_com").is_ok());
        for text in [
            "",
            ".",
            "..",
            "-a",
            "a/b",
            "../a",
            "a\0b",
            "a\nb",
            "\u{1b}[31m",
            "é",
            &"a".repeat(65),
        ] {
            assert!(name(text).is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn outlets_name_a_service_and_no_address_of_the_node() {
        let outlet: Outlet = "files=localhost:8080".parse().unwrap();
        assert_eq!((outlet.name.as_str(), outlet.target.port), ("files", 8080));
        for text in [
            "files",
            "=a:1",
            "files=",
            "files=a:0",
            "api=a:1",
            "sealway_xx1=a:1",
            "echo=a:1",
            "forward_to_x=a:1",
            "a/b=a:1",
        ] {
            assert!(text.parse::<Outlet>().is_err(), "{text:?} was taken");
        }
    }
}
