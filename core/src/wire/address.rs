//! Addresses: a type and a value (reference, section 1.1).

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt::{self, Write as _};
use core::hash::{Hash, Hasher};
use core::num::NonZeroU8;
use core::str::FromStr;

use super::ParseError;

/// Values of up to this many bytes are stored inside the address, without an allocation.
const INLINE: usize = 14;

/// Longest address value in bytes that is read from a peer or from text.
///
/// Ours; the reference sets no limit of its own. The longest values in use are host names with a
/// port (at most 259 bytes) and relay names.
pub const MAX_ADDRESS: usize = 1_024;

/// What kind of thing an address names (reference, section 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressType(pub u8);

impl AddressType {
    /// A worker of the node that reads the address.
    pub const LOCAL: Self = Self(0);
    /// `host:port` of a TCP peer.
    pub const TCP: Self = Self(1);
    /// `ip:port` of a UDP peer.
    pub const UDP: Self = Self(2);
    /// `host:port` of a WebSocket peer.
    pub const WEBSOCKET: Self = Self(3);
    /// A Bluetooth Low Energy peer.
    pub const BLE: Self = Self(4);
    /// Path of a Unix domain socket.
    pub const UNIX: Self = Self(5);
}

/// Name of a worker, or of a peer of a transport: a type and up to any bytes.
///
/// Cheap to clone: values of up to 14 bytes are stored in place, longer ones are shared. On the
/// wire: CBOR `[type: uint, value: bstr]` (`82 00 44 6563686f` is the local worker `echo`), BARE
/// one byte type then length and value.
#[derive(Clone)]
pub struct Address(Repr);

#[derive(Clone)]
enum Repr {
    /// `length_plus_one` leaves a niche, so that the address stays at 16 bytes.
    Inline {
        length_plus_one: NonZeroU8,
        kind: AddressType,
        value: [u8; INLINE],
    },
    /// One pointer: a slice's length would cost another word.
    Shared(Arc<Long>),
}

struct Long {
    kind: AddressType,
    value: Box<[u8]>,
}

const _: () = assert!(size_of::<Address>() == 16);

impl Address {
    /// An address of type `kind` with the bytes of `value`.
    pub fn new(kind: AddressType, value: impl AsRef<[u8]>) -> Self {
        let bytes = value.as_ref();
        let mut value = [0; INLINE];
        let in_place = value.get_mut(..bytes.len());
        let length_plus_one = u8::try_from(bytes.len() + 1).ok().and_then(NonZeroU8::new);
        match (in_place, length_plus_one) {
            (Some(start), Some(length_plus_one)) => {
                start.copy_from_slice(bytes);
                Self(Repr::Inline {
                    length_plus_one,
                    kind,
                    value,
                })
            }
            _ => Self(Repr::Shared(Arc::new(Long {
                kind,
                value: bytes.into(),
            }))),
        }
    }

    /// A worker of the node that reads the address.
    pub fn local(value: impl AsRef<[u8]>) -> Self {
        Self::new(AddressType::LOCAL, value)
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> AddressType {
        match &self.0 {
            Repr::Inline { kind, .. } => *kind,
            Repr::Shared(long) => long.kind,
        }
    }

    /// The value: arbitrary bytes, mostly UTF-8.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline {
                length_plus_one,
                value,
                ..
            } => value
                .get(..usize::from(length_plus_one.get() - 1))
                .unwrap_or_default(),
            Repr::Shared(long) => &long.value,
        }
    }

    /// Whether this names a worker of the node that reads it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.kind() == AddressType::LOCAL
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind() && self.value() == other.value()
    }
}

impl Eq for Address {}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        (self.kind(), self.value()).cmp(&(other.kind(), other.value()))
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Two plain writes: the map behind the router hashes an address for every message.
        state.write(self.value());
        state.write_u8(self.kind().0);
    }
}

impl From<&str> for Address {
    fn from(value: &str) -> Self {
        Self::local(value)
    }
}

impl fmt::Display for Address {
    /// `type#value`; what is not printable is escaped, because peers choose the value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#", self.kind().0)?;
        write_escaped(f, self.value())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl FromStr for Address {
    type Err = ParseError;

    /// `type#value`, or a value alone, which is local.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (kind, value) = match text.split_once('#') {
            None => (AddressType::LOCAL, text),
            Some((_, value)) if value.contains('#') => return Err(ParseError::ManySeparators),
            Some((kind, value)) => {
                let kind = kind.parse().map_err(|_| ParseError::AddressType)?;
                (AddressType(kind), value)
            }
        };
        if value.len() > MAX_ADDRESS {
            return Err(ParseError::AddressTooLong {
                length: value.len(),
                max: MAX_ADDRESS,
            });
        }
        Ok(Self::new(kind, value))
    }
}

/// Writes bytes of a peer's choice so that they cannot steer a terminal: printable text as it is,
/// everything else escaped.
fn write_escaped(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' | '\'' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;

    #[test]
    fn values_of_every_length_come_back() {
        for length in 0..300 {
            let value = vec![b'a'; length];
            let address = Address::new(AddressType::TCP, &value);
            assert_eq!(address.value(), value);
            assert_eq!(address.kind(), AddressType::TCP);
            assert_eq!(address, address.clone());
        }
    }

    #[test]
    fn addresses_of_other_types_or_lengths_differ() {
        assert_ne!(Address::local("a"), Address::new(AddressType::TCP, "a"));
        assert_ne!(Address::local("a"), Address::local("a\0"));
        assert!(Address::local("a") < Address::local("b"));
    }

    #[test]
    fn control_characters_are_escaped() {
        let address = Address::local("a\u{1b}[2J\n\u{202e}b\"".as_bytes());
        assert_eq!(address.to_string(), "0#a\\u{1b}[2J\\n\\u{202e}b\"");
        assert_eq!(Address::local([0xff, b'a']).to_string(), "0#\\xffa");
    }
}
