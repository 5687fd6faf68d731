//! What the two sides present to each other (reference, section 4.3).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::{HandshakeError, PartyError, Suite, Trust};
use crate::UnixSeconds;
use crate::crypto::{DhPublic, DhSecret};
use crate::identity::{Attestation, Identifier, Identity, UnverifiedIdentity};
use crate::wire::DecodeError;
use crate::wire::cbor::{Reader, Writer};

/// Most credentials that a peer may present. The reference presents one at most.
pub const MAX_CREDENTIALS: usize = 8;

/// This side of a handshake: its identity, its static key, what it presents. Shared by all
/// handshakes of the identity in one suite, which is that of the static key's purpose.
pub struct LocalParty {
    identifier: Identifier,
    suite: Suite,
    pub(super) static_key: Arc<DhSecret>,
    pub(super) payload: Vec<u8>,
}

impl LocalParty {
    /// Puts together what `identity` presents. `credentials` are encoded
    /// `CredentialAndPurposeKey` items. The purpose for which `attestation` names the static key
    /// decides the [`Suite`].
    ///
    /// Signatures and expiry are not verified here: that is the peer's business, and the caller's
    /// when it renews the attestation.
    ///
    /// # Errors
    /// [`PartyError`] if the parts do not belong together or are too long.
    pub fn new(
        identity: &Identity,
        attestation: &Attestation,
        static_key: DhSecret,
        credentials: &[Vec<u8>],
    ) -> Result<Self, PartyError> {
        attestation.check_subject(identity)?;
        let claimed = attestation.claimed_key();
        let suite = Suite::of(claimed).ok_or(PartyError::WrongKey)?;
        if *claimed != suite.purpose(static_key.public()) {
            return Err(PartyError::WrongKey);
        }
        let got = credentials.len();
        if got > MAX_CREDENTIALS {
            return Err(PartyError::TooManyCredentials { got });
        }
        let mut writer = Writer::vec();
        writer
            .array(3)
            .encoded(identity.export())
            .encoded(attestation.as_bytes())
            .array(got);
        for credential in credentials {
            writer.encoded(credential);
        }
        let payload = writer.into_sink();
        let (got, max) = (payload.len(), suite.max_payload());
        if got > max {
            return Err(PartyError::TooLong { got, max });
        }
        Ok(Self {
            identifier: identity.identifier(),
            suite,
            static_key: Arc::new(static_key),
            payload,
        })
    }

    /// The identity that is presented.
    #[must_use]
    pub const fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// The suite of all its handshakes.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }
}

impl fmt::Debug for LocalParty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalParty({}, {}, ..)", self.identifier, self.suite)
    }
}

/// A peer that proved itself.
pub(super) struct Peer {
    pub(super) identity: Identity,
    pub(super) credentials: Vec<Vec<u8>>,
}

impl Peer {
    /// Reads and verifies the payload of message 2 or 3.
    ///
    /// ```cddl
    /// IdentityAndCredentials = [history: [1* Change], attestation: Attestation, credentials: [* any]]
    /// ```
    ///
    /// Trust comes before the signatures: a stranger costs no verification.
    pub(super) fn verify(
        payload: &[u8],
        suite: Suite,
        static_key: &DhPublic,
        now: UnixSeconds,
        trust: &Trust,
    ) -> Result<Self, HandshakeError> {
        let mut reader = Reader::new(payload);
        let mut fields = reader.array()?;
        fields.expect(&mut reader, "change_history")?;
        let unverified = UnverifiedIdentity::read(&mut reader)?;
        let identifier = unverified.identifier();
        if !trust.admits(&identifier) {
            return Err(HandshakeError::Untrusted(identifier));
        }
        fields.expect(&mut reader, "purpose_key_attestation")?;
        let attestation = Attestation::read(&mut reader)?;
        if *attestation.claimed_key() != suite.purpose(*static_key) {
            return Err(HandshakeError::WrongKey);
        }
        fields.expect(&mut reader, "credentials")?;
        let credentials = read_credentials(&mut reader)?;
        fields.skip_rest(&mut reader)?;
        let identity = unverified.verify()?;
        attestation.verify(&identity, now)?;
        Ok(Self {
            identity,
            credentials,
        })
    }
}

/// Reads an array of credentials, each kept as it was received.
pub(super) fn read_credentials(reader: &mut Reader<'_>) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut items = reader.array()?;
    let mut credentials = Vec::new();
    while items.next(reader)? {
        if credentials.len() == MAX_CREDENTIALS {
            let max = MAX_CREDENTIALS;
            let length = items.count().unwrap_or_default() + 1 + max as u64;
            return Err(DecodeError::TooLong { length, max });
        }
        let start = reader.position();
        reader.skip()?;
        credentials.push(reader.since(start).to_vec());
    }
    Ok(credentials)
}
