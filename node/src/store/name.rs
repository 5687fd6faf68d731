//! Names that people give to identities, peers and aliases.

use std::fmt;
use std::str::FromStr;

/// Longest name in bytes.
pub const MAX_NAME: usize = 64;

/// A name for something in the store: 1 to 64 of `A-Z a-z 0-9 . _ -`, not starting with `.` or `-`.
///
/// A name is never a path, an option or a piece of terminal control: what could be one is refused
/// here, once. Names that differ only in case are different names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

/// Why a text is not a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// There is nothing in it.
    #[error("a name needs at least one character")]
    Empty,
    /// It is longer than [`MAX_NAME`].
    #[error("a name of {got} bytes exceeds {MAX_NAME}")]
    TooLong {
        /// Its length in bytes.
        got: usize,
    },
    /// It starts with a character that would make it a hidden file or an option.
    #[error("a name cannot start with {found:?}")]
    BadStart {
        /// The first character.
        found: char,
    },
    /// It contains a path separator.
    #[error("a name cannot contain the path separator {found:?}")]
    PathSeparator {
        /// The separator.
        found: char,
    },
    /// It contains a control character.
    #[error("a name cannot contain the control character {found:?}")]
    Control {
        /// The character.
        found: char,
    },
    /// It contains another character that names do not have.
    #[error("a name cannot contain {found:?}")]
    BadCharacter {
        /// The character.
        found: char,
    },
}

impl NameError {
    /// What a name may be; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        "use 1 to 64 of the characters A-Z a-z 0-9 . _ - and start with a letter, a digit or _"
    }
}

impl Name {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > MAX_NAME {
            return Err(NameError::TooLong { got: text.len() });
        }
        for found in text.chars() {
            match found {
                'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => {}
                '/' | '\\' => return Err(NameError::PathSeparator { found }),
                c if c.is_control() => return Err(NameError::Control { found }),
                _ => return Err(NameError::BadCharacter { found }),
            }
        }
        match text.chars().next() {
            Some(found @ ('.' | '-')) => Err(NameError::BadStart { found }),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<&str> for Name {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        text.parse()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_accepted() {
        for text in [
            "a",
            "alice",
            "Alice-2",
            "_x",
            "a.b_c-d",
            "0",
            &"n".repeat(64),
        ] {
            assert_eq!(text.parse::<Name>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn what_could_be_a_path_an_option_or_a_control_is_refused() {
        let refused = |text: &str| text.parse::<Name>().unwrap_err();
        assert_eq!(refused(""), NameError::Empty);
        assert_eq!(refused(&"n".repeat(65)), NameError::TooLong { got: 65 });
        assert_eq!(refused(".."), NameError::BadStart { found: '.' });
        assert_eq!(refused("-rf"), NameError::BadStart { found: '-' });
        assert_eq!(refused("../a"), NameError::PathSeparator { found: '/' });
        assert_eq!(refused("a\\b"), NameError::PathSeparator { found: '\\' });
        assert_eq!(refused("a\0b"), NameError::Control { found: '\0' });
        assert_eq!(refused("a\x1b[2J"), NameError::Control { found: '\x1b' });
        assert_eq!(refused("a\u{9b}"), NameError::Control { found: '\u{9b}' });
        assert_eq!(refused("a b"), NameError::BadCharacter { found: ' ' });
        // Both normal forms of the same letter, and a bidirectional override.
        assert_eq!(
            refused("\u{e9}"),
            NameError::BadCharacter { found: '\u{e9}' }
        );
        assert_eq!(
            refused("e\u{301}"),
            NameError::BadCharacter { found: '\u{301}' }
        );
        assert_eq!(
            refused("a\u{202e}"),
            NameError::BadCharacter { found: '\u{202e}' }
        );
    }

    #[test]
    fn a_refusal_shows_no_control_character() {
        let shown = "a\x1b]0;x\x07".parse::<Name>().unwrap_err().to_string();
        assert!(!shown.chars().any(char::is_control), "{shown:?}");
    }
}
