//! From a stored identity to the party that it is in handshakes.

use std::sync::Arc;

use sealway_core::channel::{LocalParty, PartyError};

use crate::home::Home;
use crate::store::{ChannelKey, IdentityStoreError, Name};

/// Why an identity cannot take part in handshakes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartyLoadError {
    /// The identity or its key cannot be had.
    #[error(transparent)]
    Identity(#[from] IdentityStoreError),
    /// What it presents does not fit together or is too long.
    #[error("the identity cannot be presented: {0}")]
    Party(#[from] PartyError),
}

impl PartyLoadError {
    /// The next step; one line.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Identity(error) => error.hint(),
            Self::Party(_) => "present fewer credentials",
        }
    }
}

/// Loads what the identity of this name, or the default one, presents in handshakes: its history, its
/// static key with an attestation under its latest change (made if it is missing, outdated or ends
/// within 30 days), and `credentials`, each an encoded `CredentialAndPurposeKey`.
///
/// A node loads it again when it hears that identities have changed.
///
/// # Errors
/// Any [`PartyLoadError`].
pub async fn load_party(
    home: &Home,
    name: Option<&Name>,
    credentials: &[Vec<u8>],
) -> Result<Arc<LocalParty>, PartyLoadError> {
    let key = home.channel_keys().load(name, home.clock().now()).await?;
    party(key, credentials)
}

/// [`load_party`] on a plain thread.
///
/// # Errors
/// Any [`PartyLoadError`].
pub fn load_party_blocking(
    home: &Home,
    name: Option<&Name>,
    credentials: &[Vec<u8>],
) -> Result<Arc<LocalParty>, PartyLoadError> {
    let key = home.channel_keys().load(name, home.clock().now()).wait()?;
    party(key, credentials)
}

fn party(key: ChannelKey, credentials: &[Vec<u8>]) -> Result<Arc<LocalParty>, PartyLoadError> {
    let party = LocalParty::new(&key.identity, &key.attestation, key.secret, credentials)?;
    Ok(Arc::new(party))
}
