//! Multiaddrs: how people and files name a route (reference, section 7.4).

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::net::{Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use super::bare::{self, Reader};
use super::{DecodeError, MAX_ADDRESS, MAX_ONWARD_HOPS, ParseError, steers};

/// Most parts that a multiaddr is read with; a route has no more hops either.
pub const MAX_PROTOCOLS: usize = MAX_ONWARD_HOPS;

/// One part of a multiaddr.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// `ip4` (4): an IPv4 address.
    Ip4(Ipv4Addr),
    /// `tcp` (6): a TCP port.
    Tcp(u16),
    /// `ip6` (41): an IPv6 address.
    Ip6(Ipv6Addr),
    /// `dnsaddr` (56): a host name.
    DnsAddr(String),
    /// `udp` (273, releases from 0.150 on): a UDP port.
    Udp(u16),
    /// `service` (62526): a worker by its address.
    Service(String),
    /// `node` (72526): a node by its name.
    Node(String),
    /// `project` (82526): a project by its name.
    Project(String),
    /// `space` (92526): a space by its name.
    Space(String),
    /// `secure` (99526): a secure channel to this listener at the end of the parts before.
    Secure(String),
    /// `worker` (102526): a worker by its address.
    Worker(String),
    /// `unix` (102600, ours): path of a Unix domain socket; percent-encoded in text, where `/`
    /// separates the parts.
    Unix(String),
}

impl Protocol {
    /// The number in the binary form.
    #[must_use]
    pub const fn code(&self) -> u64 {
        match self {
            Self::Ip4(_) => 4,
            Self::Tcp(_) => 6,
            Self::Ip6(_) => 41,
            Self::DnsAddr(_) => 56,
            Self::Udp(_) => 273,
            Self::Service(_) => 62_526,
            Self::Node(_) => 72_526,
            Self::Project(_) => 82_526,
            Self::Space(_) => 92_526,
            Self::Secure(_) => 99_526,
            Self::Worker(_) => 102_526,
            Self::Unix(_) => 102_600,
        }
    }

    /// The name in the text form.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ip4(_) => "ip4",
            Self::Tcp(_) => "tcp",
            Self::Ip6(_) => "ip6",
            Self::DnsAddr(_) => "dnsaddr",
            Self::Udp(_) => "udp",
            Self::Service(_) => "service",
            Self::Node(_) => "node",
            Self::Project(_) => "project",
            Self::Space(_) => "space",
            Self::Secure(_) => "secure",
            Self::Worker(_) => "worker",
            Self::Unix(_) => "unix",
        }
    }

    /// The value in the binary form, without the length that stands before text.
    fn value(&self) -> Value<'_> {
        match self {
            Self::Ip4(address) => Value::Ip4(address.octets()),
            Self::Ip6(address) => Value::Ip6(address.octets()),
            Self::Tcp(port) | Self::Udp(port) => Value::Port(port.to_be_bytes()),
            Self::DnsAddr(text)
            | Self::Service(text)
            | Self::Node(text)
            | Self::Project(text)
            | Self::Space(text)
            | Self::Secure(text)
            | Self::Worker(text)
            | Self::Unix(text) => Value::Text(text),
        }
    }

    fn parse(name: &str, value: &str) -> Result<Self, ParseError> {
        let invalid = |protocol| ParseError::InvalidValue { protocol };
        let too_long = |length| ParseError::AddressTooLong {
            length,
            max: MAX_ADDRESS,
        };
        // A path is measured without its escapes, of up to three characters a byte: what was read can
        // be printed and read again.
        let escaped = if name == "unix" { 3 } else { 1 };
        if value.len() > escaped * MAX_ADDRESS {
            return Err(too_long(value.len()));
        }
        if value.contains(steers) {
            return Err(ParseError::ControlCharacter);
        }
        let text = || value.to_owned();
        Ok(match name {
            "ip4" => Self::Ip4(value.parse().map_err(|_| invalid("ip4"))?),
            "ip6" => Self::Ip6(value.parse().map_err(|_| invalid("ip6"))?),
            "tcp" => Self::Tcp(value.parse().map_err(|_| invalid("tcp"))?),
            "udp" => Self::Udp(value.parse().map_err(|_| invalid("udp"))?),
            "dnsaddr" => Self::DnsAddr(text()),
            "service" => Self::Service(text()),
            "node" => Self::Node(text()),
            "project" => Self::Project(text()),
            "space" => Self::Space(text()),
            "secure" => Self::Secure(text()),
            "worker" => Self::Worker(text()),
            "unix" => {
                let path = percent_decoded(value).ok_or(invalid("unix"))?;
                if path.len() > MAX_ADDRESS {
                    return Err(too_long(path.len()));
                }
                Self::Unix(path)
            }
            _ => return Err(ParseError::UnknownProtocol(shortened(name))),
        })
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let code = reader.uint()?;
        Ok(match code {
            4 => Self::Ip4(Ipv4Addr::from(reader.array::<4>()?)),
            41 => Self::Ip6(Ipv6Addr::from(reader.array::<16>()?)),
            6 => Self::Tcp(u16::from_be_bytes(reader.array()?)),
            273 => Self::Udp(u16::from_be_bytes(reader.array()?)),
            56 => Self::DnsAddr(read_name(reader)?),
            62_526 => Self::Service(read_name(reader)?),
            72_526 => Self::Node(read_name(reader)?),
            82_526 => Self::Project(read_name(reader)?),
            92_526 => Self::Space(read_name(reader)?),
            99_526 => Self::Secure(read_name(reader)?),
            102_526 => Self::Worker(read_name(reader)?),
            102_600 => Self::Unix(read_text(reader)?.to_owned()),
            value => {
                return Err(DecodeError::Unknown {
                    what: "multiaddr protocol",
                    value,
                });
            }
        })
    }
}

enum Value<'a> {
    Ip4([u8; 4]),
    Ip6([u8; 16]),
    Port([u8; 2]),
    Text(&'a str),
}

impl fmt::Display for Protocol {
    /// Control characters of a name, which are never read, are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}/", self.name())?;
        match self {
            Self::Ip4(address) => address.fmt(f),
            Self::Ip6(address) => address.fmt(f),
            Self::Tcp(port) | Self::Udp(port) => port.fmt(f),
            Self::Unix(path) => write_percent_encoded(f, path),
            _ => match self.value() {
                Value::Text(text) => write_without_controls(f, text),
                _ => Ok(()),
            },
        }
    }
}

/// A route as people write it: `/ip4/10.0.0.7/tcp/4100/secure/api/service/echo`.
///
/// Binary: for each part a `uint` code and the value: 4 or 16 bytes, a big-endian port, or a `uint`
/// length and UTF-8. In CBOR a byte string of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MultiAddr {
    protocols: Vec<Protocol>,
}

impl MultiAddr {
    /// A multiaddr without parts.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            protocols: Vec::new(),
        }
    }

    /// The parts, in order.
    #[must_use]
    pub fn protocols(&self) -> &[Protocol] {
        &self.protocols
    }

    /// Adds a part at the end.
    pub fn push(&mut self, protocol: Protocol) {
        self.protocols.push(protocol);
    }

    /// Whether there are no parts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.protocols.is_empty()
    }

    /// Reads the binary form, which takes all of `input`.
    ///
    /// # Errors
    /// [`DecodeError`]: unknown codes, short values, text that is not UTF-8, names that hold a `/`
    /// (their text form would name another route) or a control character, more than [`MAX_PROTOCOLS`] parts.
    pub fn decode(input: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(input);
        let mut protocols = Vec::new();
        while !reader.remaining().is_empty() {
            if protocols.len() == MAX_PROTOCOLS {
                return Err(DecodeError::TooManyHops {
                    hops: MAX_PROTOCOLS as u64 + 1,
                    max: MAX_PROTOCOLS,
                });
            }
            protocols.push(Protocol::read(&mut reader)?);
        }
        Ok(Self { protocols })
    }

    /// The binary form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for protocol in &self.protocols {
            bare::write_uint(&mut out, protocol.code());
            match protocol.value() {
                Value::Ip4(octets) => out.extend(octets),
                Value::Ip6(octets) => out.extend(octets),
                Value::Port(port) => out.extend(port),
                Value::Text(text) => bare::write_string(&mut out, text),
            }
        }
        out
    }
}

impl FromIterator<Protocol> for MultiAddr {
    fn from_iter<I: IntoIterator<Item = Protocol>>(protocols: I) -> Self {
        Self {
            protocols: protocols.into_iter().collect(),
        }
    }
}

impl fmt::Display for MultiAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.protocols.iter().try_for_each(|part| part.fmt(f))
    }
}

impl FromStr for MultiAddr {
    type Err = ParseError;

    /// The leading slash is optional, a missing last value is empty.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.is_empty() {
            return Ok(Self::new());
        }
        let mut parts = text.strip_prefix('/').unwrap_or(text).split('/');
        let mut protocols = Vec::new();
        while let Some(name) = parts.next() {
            if protocols.len() == MAX_PROTOCOLS {
                return Err(ParseError::TooManyHops {
                    hops: MAX_PROTOCOLS + 1,
                    max: MAX_PROTOCOLS,
                });
            }
            protocols.push(Protocol::parse(name, parts.next().unwrap_or_default())?);
        }
        Ok(Self { protocols })
    }
}

fn read_text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let position = reader.position();
    let bytes = reader.data_at_most(MAX_ADDRESS)?;
    core::str::from_utf8(bytes).map_err(|_| DecodeError::InvalidUtf8 { position })
}

fn read_name(reader: &mut Reader<'_>) -> Result<String, DecodeError> {
    let position = reader.position();
    let name = read_text(reader)?;
    if name.contains(|c: char| c == '/' || steers(c)) {
        return Err(DecodeError::OutOfRange { position });
    }
    Ok(name.to_owned())
}

/// So that a name cannot steer the terminal that shows it.
fn write_without_controls(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for character in text.chars() {
        if steers(character) {
            write!(f, "{}", character.escape_unicode())?;
        } else {
            f.write_char(character)?;
        }
    }
    Ok(())
}

/// Everything but letters, digits and `-._~` as `%XX`.
fn write_percent_encoded(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                f.write_char(char::from(byte))?;
            }
            _ => write!(f, "%{byte:02X}")?,
        }
    }
    Ok(())
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let high = char::from(rest.next()?).to_digit(16)?;
            let low = char::from(rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A name as it may stand in an error: short, and without what steers a terminal.
fn shortened(name: &str) -> String {
    name.chars().take(32).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn the_longest_path_is_read_again_as_it_is_printed() {
        let mut address = MultiAddr::default();
        address.push(Protocol::Unix(" ".repeat(MAX_ADDRESS)));
        assert_eq!(address.to_string().parse(), Ok(address.clone()));
        address.push(Protocol::Unix(" ".repeat(MAX_ADDRESS + 1)));
        assert!(address.to_string().parse::<MultiAddr>().is_err());
    }

    #[test]
    fn unix_paths_are_percent_encoded_in_text_only() {
        let address: MultiAddr = "/unix/%2Frun%2Fa%20b.sock/secure/api"
            .parse()
            .expect("valid");
        assert_eq!(
            address.protocols().first(),
            Some(&Protocol::Unix("/run/a b.sock".into()))
        );
        assert_eq!(address.to_string(), "/unix/%2Frun%2Fa%20b.sock/secure/api");
        assert_eq!(MultiAddr::decode(&address.encode()), Ok(address));
        for broken in ["/unix/%2", "/unix/%zz", "/unix/%ff"] {
            assert!(broken.parse::<MultiAddr>().is_err(), "{broken}");
        }
    }

    #[test]
    fn control_characters_in_names_are_refused_and_never_shown() {
        for name in [
            "\u{1b}[2J",
            "a\r\nb",
            "\u{7f}",
            "\u{9b}1m",
            "a\u{202e}b",
            "\u{2028}",
        ] {
            let named = [
                Protocol::DnsAddr(name.into()),
                Protocol::Service(name.into()),
                Protocol::Node(name.into()),
                Protocol::Project(name.into()),
                Protocol::Space(name.into()),
                Protocol::Secure(name.into()),
                Protocol::Worker(name.into()),
            ];
            for part in named {
                let text = alloc::format!("/{}/{name}", part.name());
                let address: MultiAddr = [part].into_iter().collect();
                assert!(!address.to_string().contains(steers));
                assert!(MultiAddr::decode(&address.encode()).is_err());
                assert_eq!(text.parse::<MultiAddr>(), Err(ParseError::ControlCharacter));
            }
            let path: MultiAddr = [Protocol::Unix(name.into())].into_iter().collect();
            assert!(!path.to_string().contains(steers));
            assert_eq!(path.to_string().parse(), Ok(path));
        }
    }

    #[test]
    fn names_with_a_slash_are_refused_in_binary() {
        let smuggled: MultiAddr = [Protocol::Service("a/secure/b".into())]
            .into_iter()
            .collect();
        assert!(MultiAddr::decode(&smuggled.encode()).is_err());
    }

    #[test]
    fn unknown_protocols_are_named_in_the_error() {
        assert_eq!(
            "/qu\u{1b}ic/1".parse::<MultiAddr>(),
            Err(ParseError::UnknownProtocol("qu\\u{1b}ic".into()))
        );
    }
}
