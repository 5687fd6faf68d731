//! From a stored identity to what it presents in handshakes.

use std::sync::Arc;

use sealway_core::channel::{LocalParty, PartyError, Suite};
use sealway_core::identity::Identifier;

use crate::home::Home;
use crate::store::{ChannelKey, IdentityStoreError, Name};

/// What an identity presents in handshakes: a party for each suite that it has a key for. A key serves one suite, so a
/// node without a party for a suite neither opens nor accepts channels of it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Parties {
    identifier: Identifier,
    classical: Option<Arc<LocalParty>>,
    hybrid: Option<Arc<LocalParty>>,
}

/// The parties are not of one identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the parties of a node are of one identity, not of {0} and {1}")]
pub struct MixedIdentities(pub Identifier, pub Identifier);

impl Parties {
    /// These with the one for its suite replaced by `party`.
    ///
    /// # Errors
    /// [`MixedIdentities`] if it is another identity's.
    pub fn with(mut self, party: Arc<LocalParty>) -> Result<Self, MixedIdentities> {
        if *party.identifier() != self.identifier {
            return Err(MixedIdentities(self.identifier, *party.identifier()));
        }
        match party.suite() {
            Suite::Classical => self.classical = Some(party),
            Suite::Hybrid => self.hybrid = Some(party),
        }
        Ok(self)
    }

    /// The identity.
    #[must_use]
    pub const fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// The party for handshakes of this suite, if there is one.
    #[must_use]
    pub const fn of(&self, suite: Suite) -> Option<&Arc<LocalParty>> {
        match suite {
            Suite::Classical => self.classical.as_ref(),
            Suite::Hybrid => self.hybrid.as_ref(),
        }
    }
}

impl From<Arc<LocalParty>> for Parties {
    /// For channels of the party's suite alone.
    fn from(party: Arc<LocalParty>) -> Self {
        let (identifier, suite) = (*party.identifier(), party.suite());
        let party = Some(party);
        let (classical, hybrid) = match suite {
            Suite::Classical => (party, None),
            Suite::Hybrid => (None, party),
        };
        Self {
            identifier,
            classical,
            hybrid,
        }
    }
}

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

/// Loads what the identity of this name, or the default one, presents in handshakes: its history, a static key for each
/// suite with an attestation under its latest change (made if it is missing, outdated or ends within 30 days), and
/// `credentials`, each an encoded `CredentialAndPurposeKey`.
///
/// A node loads it again when it hears that identities have changed.
///
/// # Errors
/// Any [`PartyLoadError`].
pub async fn load_parties(
    home: &Home,
    name: Option<&Name>,
    credentials: &[Vec<u8>],
) -> Result<Parties, PartyLoadError> {
    let keys = home.channel_keys().load(name, home.clock().now()).await?;
    parties(keys, credentials)
}

/// [`load_parties`] on a plain thread.
///
/// # Errors
/// Any [`PartyLoadError`].
pub fn load_parties_blocking(
    home: &Home,
    name: Option<&Name>,
    credentials: &[Vec<u8>],
) -> Result<Parties, PartyLoadError> {
    let keys = home.channel_keys().load(name, home.clock().now()).wait()?;
    parties(keys, credentials)
}

fn parties(keys: [ChannelKey; 2], credentials: &[Vec<u8>]) -> Result<Parties, PartyLoadError> {
    let party = |key: ChannelKey| {
        LocalParty::new(&key.identity, &key.attestation, key.secret, credentials).map(Arc::new)
    };
    let [classical, hybrid] = keys;
    let identifier = classical.identity.identifier();
    Ok(Parties {
        identifier,
        classical: Some(party(classical)?),
        hybrid: Some(party(hybrid)?),
    })
}
