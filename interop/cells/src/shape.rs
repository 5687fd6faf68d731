//! The kinds of identity that either side must accept from the other.

use crate::CellError;
use sealway_core::UnixSeconds;
use sealway_core::channel::LocalParty;
use sealway_core::crypto::{CryptoRng, DhSecret, KeyType, SigningKey};
use sealway_core::identity::{Attestation, Identity, PurposeKey, Rotation};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// An identity's history, as either side can make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One Ed25519 key.
    Ed25519,
    /// One P-256 key.
    P256,
    /// Three Ed25519 keys, one after the other.
    Ed25519Rotated,
    /// A P-256 key, then an Ed25519 key.
    P256RotatedToEd25519,
}

impl Shape {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Ed25519,
        Self::P256,
        Self::Ed25519Rotated,
        Self::P256RotatedToEd25519,
    ];

    /// The fields of `create_identity` that make the reference create one.
    #[must_use]
    pub fn fields(self) -> Value {
        match self {
            Self::Ed25519 => json!({"key": "ed25519"}),
            Self::P256 => json!({"key": "p256"}),
            Self::Ed25519Rotated => json!({"key": "ed25519", "rotations": 2}),
            Self::P256RotatedToEd25519 => {
                json!({"key": "p256", "rotations": 1, "rotate_to": "ed25519"})
            }
        }
    }

    /// The types of its keys, oldest first.
    #[must_use]
    pub const fn keys(self) -> &'static [KeyType] {
        match self {
            Self::Ed25519 => &[KeyType::Ed25519],
            Self::P256 => &[KeyType::P256],
            Self::Ed25519Rotated => &[KeyType::Ed25519, KeyType::Ed25519, KeyType::Ed25519],
            Self::P256RotatedToEd25519 => &[KeyType::P256, KeyType::Ed25519],
        }
    }

    /// Makes one with core; the key is the latest.
    ///
    /// # Errors
    /// Core's, which none of these should meet.
    pub fn identity(self) -> Result<(Identity, SigningKey), CellError> {
        let now = now()?;
        let mut keys = self.keys().iter();
        let first = keys.next().ok_or("a shape has a key")?;
        let mut key = SigningKey::generate(*first, &mut rng());
        let mut identity = Identity::create(&key, now);
        for next in keys {
            let new = SigningKey::generate(*next, &mut rng());
            identity = identity.rotate(&key, &new, now, Rotation::default())?;
            key = new;
        }
        Ok((identity, key))
    }

    /// Makes one with a channel key, without credentials.
    ///
    /// # Errors
    /// Core's, which none of these should meet.
    pub fn party(self) -> Result<Arc<LocalParty>, CellError> {
        let (identity, key) = self.identity()?;
        let secret = DhSecret::generate(&mut rng());
        let purpose = PurposeKey::SecureChannel(secret.public());
        let attestation = Attestation::issue(&key, &identity, purpose, now()?)?;
        let party = LocalParty::new(&identity, &attestation, secret, &[])?;
        Ok(Arc::new(party))
    }
}

/// The system's randomness.
pub fn rng() -> impl CryptoRng {
    getrandom::rand_core::UnwrapErr(getrandom::SysRng)
}

/// The system's clock.
///
/// # Errors
/// When it stands before 1970.
pub fn now() -> Result<UnixSeconds, CellError> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(UnixSeconds(since.as_secs()))
}
