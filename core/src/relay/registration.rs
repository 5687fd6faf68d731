//! What a client asks a relay for.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::crypto::sha256;
use crate::identity::Identifier;
use crate::wire::DecodeError;
use crate::wire::bare::{self, Reader};

/// Longest alias, or service of a native name, in bytes.
pub const MAX_ALIAS: usize = 128;

/// What the text of a registration for a native name starts with. No alias holds a slash, so that
/// the two cannot be confused; a reference relay would confirm the text itself, which the client
/// does not accept.
pub const NATIVE_PREFIX: &str = "sealway/relay/1/";

/// The text of a registration for an ephemeral name.
const EPHEMERAL: &str = "register";

/// A registration: the payload is a BARE string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Registration {
    /// `register`: any name, for as long as the connection lasts.
    Ephemeral,
    /// An alias, which belongs to the identity that asked for it first.
    Alias(String),
    /// [`NATIVE_PREFIX`] and a service: the name is [`native_name`] of the registering identity, so
    /// that nobody else can have it.
    Native {
        /// The service.
        service: String,
    },
}

/// Why a name cannot be an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AliasError {
    /// Nothing, or more than [`MAX_ALIAS`] bytes.
    #[error("a relay name has 1 to {max} bytes, not {length}", max = MAX_ALIAS)]
    Length {
        /// Its length in bytes.
        length: usize,
    },
    /// A character that would not survive an address, a multiaddr or a terminal.
    #[error("a relay name holds letters, digits and -._:@+~ only")]
    Character,
    /// 64 hexadecimal digits: these are native names.
    #[error("64 hexadecimal digits are reserved for native relay names")]
    Reserved,
}

/// Whether `name` may be an alias.
///
/// # Errors
/// [`AliasError`].
pub fn check_alias(name: &str) -> Result<(), AliasError> {
    if name.is_empty() || name.len() > MAX_ALIAS {
        return Err(AliasError::Length { length: name.len() });
    }
    let is_allowed = |c: char| c.is_alphanumeric() || "-._:@+~".contains(c);
    if !name.chars().all(is_allowed) {
        return Err(AliasError::Character);
    }
    if name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(AliasError::Reserved);
    }
    Ok(())
}

/// `SHA-256("sealway/relay/1" || identifier || service)` in lower-case hex.
#[must_use]
pub fn native_name(identifier: &Identifier, service: &str) -> String {
    let digest = sha256(&[
        b"sealway/relay/1",
        identifier.as_bytes(),
        service.as_bytes(),
    ]);
    let mut name = String::with_capacity(64);
    for byte in digest {
        // Writing to a string cannot fail.
        let _ = write!(name, "{byte:02x}");
    }
    name
}

impl Registration {
    /// Reads a registration's payload.
    ///
    /// # Errors
    /// [`DecodeError`] if it is no BARE string. Whether an alias is allowed is decided by
    /// [`Table::register`](super::Table::register).
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let length = reader.data_at_most(NATIVE_PREFIX.len() + MAX_ALIAS)?.len();
        let end = reader.position();
        let text = payload.get(end - length..end).unwrap_or_default();
        let text = core::str::from_utf8(text).map_err(|_| DecodeError::InvalidUtf8 {
            position: end - length,
        })?;
        Ok(match (text, text.strip_prefix(NATIVE_PREFIX)) {
            (EPHEMERAL, _) => Self::Ephemeral,
            (_, Some(service)) => Self::Native {
                service: service.to_owned(),
            },
            (alias, None) => Self::Alias(alias.to_owned()),
        })
    }

    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Ephemeral => bare::string_payload(EPHEMERAL),
            Self::Alias(alias) => bare::string_payload(alias),
            Self::Native { service } => {
                let mut text = String::from(NATIVE_PREFIX);
                text.push_str(service);
                bare::string_payload(&text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registrations_come_back() {
        for registration in [
            Registration::Ephemeral,
            Registration::Alias("my_alias".into()),
            Registration::Native {
                service: "db".into(),
            },
        ] {
            assert_eq!(
                Registration::decode(&registration.encode()),
                Ok(registration)
            );
        }
    }

    #[test]
    fn names_that_steer_or_confuse_are_refused() {
        for name in ["", "a/b", "a b", "a\nb", "a#b", "a=>b", "\u{202e}x", "../x"] {
            assert!(check_alias(name).is_err(), "{name:?}");
        }
        assert!(check_alias(&"a".repeat(129)).is_err());
        assert_eq!(check_alias(&"a0".repeat(32)), Err(AliasError::Reserved));
        for name in ["alice", "consumer_topic-1_0", "a.b:c@d", "héé"] {
            assert_eq!(check_alias(name), Ok(()), "{name:?}");
        }
    }

    #[test]
    fn native_names_differ_by_identity_and_service() {
        let (a, b) = (
            Identifier::from_bytes([1; 32]),
            Identifier::from_bytes([2; 32]),
        );
        assert_eq!(native_name(&a, "db").len(), 64);
        assert_ne!(native_name(&a, "db"), native_name(&b, "db"));
        assert_ne!(native_name(&a, "db"), native_name(&a, "web"));
        // printf 'sealway/relay/1' + 32 bytes of 01 + 'db' | sha256sum
        assert_eq!(
            native_name(&a, "db"),
            "db4e557c3f240c2d870ddd3748d2f3defabb3cd0698e2c37bf77dc3370091f37"
        );
    }

    #[test]
    fn oversized_registrations_are_refused() {
        assert!(Registration::decode(&bare::string_payload(&"a".repeat(200))).is_err());
        assert!(Registration::decode(&[2, 0xff, 0xff]).is_err());
        assert!(Registration::decode(&[]).is_err());
    }
}
