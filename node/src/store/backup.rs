//! An identity with its key, as a text to be kept as a secret.

use std::fmt;
use std::fmt::Write as _;

use sealway_core::crypto::{KeyType, SigningKey};
use sealway_core::identity::{Identity, IdentityError};
use zeroize::Zeroizing;

use super::name::Name;

/// What the text of a backup starts with; the digit is the format's version.
pub const BACKUP_PREFIX: &str = "sealway-identity-1:";

/// Longest backup text that is read, in bytes: the longest history in hex and some more.
const MAX_TEXT: usize = 1 << 20;

/// An identity with its key. Whoever has it is that identity.
///
/// As text: [`BACKUP_PREFIX`], then in lower-case hex `key type (1) || key (32) || name length (1) ||
/// name || history`, where the key type is 0 for Ed25519 and 1 for P-256.
pub struct Backup {
    /// Its name in the home that it came from, or is to have.
    pub name: Name,
    /// Its history.
    pub identity: Identity,
    /// The key of the history's latest change.
    pub key: SigningKey,
}

/// Why a text is no backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It starts in another way, or with a newer version.
    #[error("it does not start with {BACKUP_PREFIX}")]
    Prefix,
    /// It is too long, or is cut off, or contains something else than hex digits.
    #[error("it is cut off or garbled")]
    Garbled,
    /// The history in it does not verify.
    #[error("its history does not verify: {0}")]
    Identity(#[from] IdentityError),
    /// The key in it is not that of the history.
    #[error("its key does not fit its history")]
    WrongKey,
}

impl Backup {
    /// The text, one line without its end.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let name = self.name.as_str().as_bytes();
        let history = self.identity.export();
        // Of the final size at once: a growing string would leave copies of the key behind.
        let capacity = BACKUP_PREFIX.len() + 2 * (34 + name.len() + history.len());
        let mut text = Zeroizing::new(String::with_capacity(capacity));
        text.push_str(BACKUP_PREFIX);
        let name_len = u8::try_from(name.len()).expect("a name has at most 64 bytes");
        let key_type = match self.key.key_type() {
            KeyType::Ed25519 => 0,
            KeyType::P256 => 1,
        };
        let key = self.key.to_bytes();
        for part in [&[key_type], key.as_slice(), &[name_len], name, history] {
            for byte in part {
                write!(text, "{byte:02x}").expect("writing to a string does not fail");
            }
        }
        text
    }

    /// Reads a text that [`Backup::to_text`] made; white space around it is ignored.
    ///
    /// # Errors
    /// Any [`BackupError`].
    pub fn from_text(text: &str) -> Result<Self, BackupError> {
        let digits = text
            .trim()
            .strip_prefix(BACKUP_PREFIX)
            .ok_or(BackupError::Prefix)?;
        let bytes = from_hex(digits).ok_or(BackupError::Garbled)?;
        let (key_type, rest) = bytes.split_first().ok_or(BackupError::Garbled)?;
        let (key, rest) = rest.split_first_chunk::<32>().ok_or(BackupError::Garbled)?;
        let (&name_len, rest) = rest.split_first().ok_or(BackupError::Garbled)?;
        let (name, history) = rest
            .split_at_checked(usize::from(name_len))
            .ok_or(BackupError::Garbled)?;
        let name = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse().ok())
            .ok_or(BackupError::Garbled)?;
        let identity = Identity::import(history, None)?;
        let key_type = match key_type {
            0 => KeyType::Ed25519,
            1 => KeyType::P256,
            _ => return Err(BackupError::Garbled),
        };
        let key = SigningKey::from_bytes(key_type, key)
            .ok()
            .filter(|key| key.verifying_key() == *identity.latest_key())
            .ok_or(BackupError::WrongKey)?;
        Ok(Self {
            name,
            identity,
            key,
        })
    }
}

impl fmt::Debug for Backup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backup({}, {:?}, ..)", self.name, self.identity)
    }
}

fn from_hex(digits: &str) -> Option<Zeroizing<Vec<u8>>> {
    if digits.len() > MAX_TEXT || !digits.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len() / 2));
    for pair in digits.as_bytes().chunks_exact(2) {
        let [high, low] = pair else { return None };
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::rng;
    use sealway_core::UnixSeconds;

    fn backup(key_type: KeyType) -> Backup {
        let key = SigningKey::generate(key_type, &mut rng());
        let identity = Identity::create(&key, UnixSeconds(1_700_000_000));
        Backup {
            name: "alice".parse().unwrap(),
            identity,
            key,
        }
    }

    #[test]
    fn a_backup_read_back_is_the_same_identity_with_the_same_key() {
        for key_type in [KeyType::Ed25519, KeyType::P256] {
            let made = backup(key_type);
            let read = Backup::from_text(&format!(" {}\n", *made.to_text())).unwrap();
            assert_eq!(read.name, made.name);
            assert_eq!(read.identity.export(), made.identity.export());
            assert_eq!(*read.key.to_bytes(), *made.key.to_bytes());
        }
    }

    #[test]
    fn a_backup_that_is_cut_or_garbled_is_refused() {
        let text = backup(KeyType::Ed25519).to_text();
        for len in 0..text.len() {
            Backup::from_text(&text[..len]).unwrap_err();
        }
        assert_eq!(Backup::from_text("hello").unwrap_err(), BackupError::Prefix);
        let other = text.replace(":00", ":07");
        assert_eq!(Backup::from_text(&other).unwrap_err(), BackupError::Garbled);
        assert_eq!(
            Backup::from_text(&format!("{}x", *text)).unwrap_err(),
            BackupError::Garbled
        );
    }

    #[test]
    fn a_backup_with_another_key_is_refused() {
        let mut made = backup(KeyType::Ed25519);
        made.key = SigningKey::generate(KeyType::Ed25519, &mut rng());
        assert_eq!(
            Backup::from_text(&made.to_text()).unwrap_err(),
            BackupError::WrongKey
        );
    }

    #[test]
    fn a_backup_shows_no_key_in_debug() {
        let made = backup(KeyType::Ed25519);
        let shown = format!("{made:?}");
        assert!(!shown.contains(&hex::encode(made.key.to_bytes().as_slice())));
        assert!(shown.ends_with("..)"), "{shown}");
    }
}
