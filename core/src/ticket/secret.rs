//! The secret in a ticket, and what the exposer keeps of it.

use core::fmt;

use rand_core::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::crypto::sha256;

/// 32 random bytes that make a ticket worth something. Wiped when dropped, absent from `Debug`, compared in constant time.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; 32]>);

/// What the exposer keeps: `SHA-256("sealway/ticket/secret/1" || secret)`. Whoever reads its state cannot redeem the ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SecretHash(pub [u8; 32]);

impl Secret {
    /// A new secret.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut secret = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *secret);
        Self(secret)
    }

    /// The secret with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Its 32 bytes: for the ticket's text and the redemption inside a channel, nowhere else.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the exposer keeps of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        SecretHash(sha256(&[b"sealway/ticket/secret/1", &*self.0]))
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
