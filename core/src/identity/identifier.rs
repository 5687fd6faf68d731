//! Identifiers and change hashes (reference, section 3.2).

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// The name of an identity: the hash of its first change.
///
/// In CBOR a byte string of 32 bytes, in text `I` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identifier([u8; 32]);

/// SHA-256 of a change's data; in text 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeHash([u8; 32]);

/// The text is not an identifier or change hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseIdentifierError {
    /// An identifier starts with `I`.
    #[error("identifier does not start with I")]
    Prefix,
    /// There must be 64 hex digits.
    #[error("{got} hex digits instead of 64")]
    Length {
        /// Bytes of text found in their place.
        got: usize,
    },
    /// Another character than a hex digit.
    #[error("not a hex digit")]
    Digit,
}

impl Identifier {
    /// The identifier with these 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl ChangeHash {
    /// The hash with these 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Accepts what the reference accepts: surrounding white space, upper-case digits.
impl FromStr for Identifier {
    type Err = ParseIdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text
            .trim()
            .strip_prefix('I')
            .ok_or(ParseIdentifierError::Prefix)?;
        parse_hex(digits).map(Self)
    }
}

impl FromStr for ChangeHash {
    type Err = ParseIdentifierError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex(text.trim()).map(Self)
    }
}

fn parse_hex(digits: &str) -> Result<[u8; 32], ParseIdentifierError> {
    let got = digits.len();
    if got != 64 {
        return Err(ParseIdentifierError::Length { got });
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        for digit in pair {
            *byte = *byte << 4 | hex_digit(*digit)?;
        }
    }
    Ok(bytes)
}

const fn hex_digit(digit: u8) -> Result<u8, ParseIdentifierError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(ParseIdentifierError::Digit),
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("I")?;
        write_hex(f, &self.0)
    }
}

impl fmt::Display for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ChangeHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    const TEXT: &str = "I85b4ce4ac16fffd202c3723c847240b2f099413b4a35b43a4ca5acc2454e23d4";

    #[test]
    fn text_form_round_trips() {
        let identifier: Identifier = TEXT.parse().unwrap();
        assert_eq!(identifier.to_string(), TEXT);
        assert_eq!(identifier.as_bytes()[0], 0x85);
    }

    #[test]
    fn white_space_and_upper_case_digits_are_accepted() {
        let upper = TEXT.replace("ce", "CE");
        assert_eq!(
            alloc::format!(" {upper}\n").parse(),
            TEXT.parse::<Identifier>()
        );
    }

    #[test]
    fn other_texts_are_refused() {
        for (text, error) in [
            ("", ParseIdentifierError::Prefix),
            (TEXT.trim_start_matches('I'), ParseIdentifierError::Prefix),
            ("I85", ParseIdentifierError::Length { got: 2 }),
            (&TEXT.replace("ce", "cg"), ParseIdentifierError::Digit),
            (&TEXT.replace("ce", "é"), ParseIdentifierError::Digit),
        ] {
            assert_eq!(text.parse::<Identifier>(), Err(error), "{text}");
        }
    }
}
