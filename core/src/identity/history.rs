//! Change histories: reading, verifying, comparing (reference, sections 3.1 to 3.3).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use super::codec::{self, DataType};
use super::{ChangeHash, Identifier, IdentityError};
use crate::UnixSeconds;
use crate::crypto::{Signature, VerifyingKey};
use crate::wire::DecodeError;
use crate::wire::cbor::Reader;

/// Most changes that a history may have. The reference has no limit; 32 rotations outlast the ten
/// years that a key is valid by far, and bound what a stranger's history costs to verify.
pub const MAX_CHANGES: usize = 32;
/// Longest history in bytes: 32 changes with P-256 keys take about 9 KiB.
pub const MAX_HISTORY_LEN: usize = 16 * 1024;

/// The period in which a key may attest others, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// `attestations_valid_from`.
    pub from: UnixSeconds,
    /// `attestations_valid_until`.
    pub until: UnixSeconds,
}

/// One verified change of a history.
///
/// ```cddl
/// Change       = [data: bstr .cbor VersionedData, signature: Signature, ? previous: Signature / null]
/// ChangeData   = [previous: bstr .size 32 / null, key: PublicKey, revoke_all_purpose_keys: bool,
///                 valid_from: uint, valid_until: uint]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub(super) hash: ChangeHash,
    pub(super) key: VerifyingKey,
    pub(super) revoke_all_purpose_keys: bool,
    pub(super) validity: Validity,
}

impl Change {
    /// SHA-256 of the change's data.
    #[must_use]
    pub const fn hash(&self) -> ChangeHash {
        self.hash
    }

    /// The primary key from this change on.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// Whether the holder declared all earlier purpose keys void. The reference never consults it:
    /// attestations of earlier keys are refused anyhow.
    #[must_use]
    pub const fn revokes_all_purpose_keys(&self) -> bool {
        self.revoke_all_purpose_keys
    }

    /// When this key may attest others.
    #[must_use]
    pub const fn validity(&self) -> Validity {
        self.validity
    }
}

/// How one history of an identity stands to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evolution {
    /// The same changes.
    Same,
    /// All the known changes and more.
    Newer,
    /// Only the first of the known changes: a rotation is hidden or not known to the sender.
    Older,
    /// Changes differ, or it is another identity: a key was used for two histories.
    Diverged,
}

/// An identity whose whole history was verified. Cheap to clone.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    export: Vec<u8>,
    /// Where in `export` the changes stand, without the array around them.
    items: Range<usize>,
    first: Change,
    /// The changes after the first.
    later: Vec<Change>,
}

impl Identity {
    /// Verifies the history in `bytes` and keeps them. Bytes behind the history are ignored, as the
    /// reference does, and not kept.
    ///
    /// An `expected` identifier is compared before any signature is verified.
    ///
    /// # Errors
    /// Any [`IdentityError`].
    pub fn import(bytes: &[u8], expected: Option<&Identifier>) -> Result<Self, IdentityError> {
        let unverified = UnverifiedIdentity::decode(bytes)?;
        let found = unverified.identifier();
        if let Some(&expected) = expected.filter(|expected| **expected != found) {
            return Err(IdentityError::WrongIdentifier { expected, found });
        }
        unverified.verify()
    }

    /// The history as it was received or made.
    #[must_use]
    pub fn export(&self) -> &[u8] {
        &self.inner.export
    }

    /// The hash of the first change, which names the identity.
    #[must_use]
    pub fn identifier(&self) -> Identifier {
        Identifier::from_bytes(*self.inner.first.hash.as_bytes())
    }

    /// The changes, oldest first.
    pub fn changes(&self) -> impl DoubleEndedIterator<Item = &Change> {
        core::iter::once(&self.inner.first).chain(&self.inner.later)
    }

    /// The change that is in force.
    #[must_use]
    pub fn latest_change(&self) -> &Change {
        self.inner.later.last().unwrap_or(&self.inner.first)
    }

    /// The primary key that is in force.
    #[must_use]
    pub fn latest_key(&self) -> &VerifyingKey {
        self.latest_change().key()
    }

    /// Number of changes, at least 1.
    #[must_use]
    pub fn change_count(&self) -> usize {
        1 + self.inner.later.len()
    }

    /// From when the first key was valid.
    #[must_use]
    pub fn created_at(&self) -> UnixSeconds {
        self.inner.first.validity.from
    }

    /// How this history stands to the one that is `known`.
    #[must_use]
    pub fn compare(&self, known: &Self) -> Evolution {
        let differs = |(mine, theirs): (&Change, &Change)| mine.hash != theirs.hash;
        if self.changes().zip(known.changes()).any(differs) {
            return Evolution::Diverged;
        }
        match self.change_count().cmp(&known.change_count()) {
            core::cmp::Ordering::Less => Evolution::Older,
            core::cmp::Ordering::Equal => Evolution::Same,
            core::cmp::Ordering::Greater => Evolution::Newer,
        }
    }

    /// The encoded changes, one after the other.
    pub(super) fn items(&self) -> &[u8] {
        let items = self.inner.items.clone();
        self.inner.export.get(items).unwrap_or_default()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Identity({}, {} changes)",
            self.identifier(),
            self.change_count()
        )
    }
}

/// A history that was read but not verified: all it says is who it claims to be about. That is
/// enough to turn strangers away before their signatures cost anything.
#[derive(Debug)]
pub struct UnverifiedIdentity<'a> {
    bytes: &'a [u8],
    items: Range<usize>,
    first: UnverifiedChange<'a>,
    later: Vec<UnverifiedChange<'a>>,
}

#[derive(Debug)]
struct UnverifiedChange<'a> {
    change: Change,
    data: &'a [u8],
    previous: Option<[u8; 32]>,
    signature: Signature,
    previous_signature: Option<Signature>,
}

impl<'a> UnverifiedIdentity<'a> {
    /// Reads a history, at most [`MAX_CHANGES`] changes and [`MAX_HISTORY_LEN`] bytes.
    ///
    /// # Errors
    /// [`IdentityError::Data`], [`IdentityError::Empty`], [`IdentityError::TooManyChanges`],
    /// [`IdentityError::TooLong`].
    pub fn decode(bytes: &'a [u8]) -> Result<Self, IdentityError> {
        Self::read(&mut Reader::new(bytes))
    }

    /// Reads a history that stands inside another item.
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, IdentityError> {
        let start = reader.position();
        let mut items = reader.array()?;
        if items
            .count()
            .is_some_and(|count| count > MAX_CHANGES as u64)
        {
            return Err(IdentityError::TooManyChanges);
        }
        let first_item = reader.position();
        let mut last_item_end = first_item;
        let (mut first, mut later) = (None, Vec::new());
        while items.next(reader)? {
            if later.len() + 1 >= MAX_CHANGES {
                return Err(IdentityError::TooManyChanges);
            }
            let change = UnverifiedChange::read(reader)?;
            last_item_end = reader.position();
            let got = last_item_end - start;
            if got > MAX_HISTORY_LEN {
                return Err(IdentityError::TooLong { got });
            }
            match first {
                None => first = Some(change),
                Some(_) => later.push(change),
            }
        }
        Ok(Self {
            bytes: reader.since(start),
            items: first_item - start..last_item_end - start,
            first: first.ok_or(IdentityError::Empty)?,
            later,
        })
    }

    /// Who the history claims to be about: true if it verifies.
    #[must_use]
    pub const fn identifier(&self) -> Identifier {
        Identifier::from_bytes(*self.first.change.hash.as_bytes())
    }

    /// Verifies the order of the changes, then every signature.
    ///
    /// # Errors
    /// Any [`IdentityError`].
    pub fn verify(self) -> Result<Identity, IdentityError> {
        if self.first.previous.is_some() {
            return Err(IdentityError::WrongPrevious { change: 0 });
        }
        self.first.check_period(0)?;
        let pairs = || {
            core::iter::once(&self.first)
                .chain(&self.later)
                .zip(&self.later)
        };
        for (index, (before, change)) in pairs().enumerate() {
            change.check_order(index + 1, before)?;
        }
        self.first.verify(0, None)?;
        for (index, (before, change)) in pairs().enumerate() {
            change.verify(index + 1, Some(before))?;
        }
        Ok(Identity {
            inner: Arc::new(Inner {
                export: self.bytes.to_vec(),
                items: self.items,
                first: self.first.change,
                later: self.later.into_iter().map(|later| later.change).collect(),
            }),
        })
    }
}

impl<'a> UnverifiedChange<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, IdentityError> {
        let mut fields = reader.array()?;
        fields.expect(reader, "change data")?;
        let data = reader.bytes_at_most(MAX_HISTORY_LEN)?;
        fields.expect(reader, "signature")?;
        let signature = codec::read_signature(reader)?;
        let previous_signature = if fields.next_present(reader)? {
            Some(codec::read_signature(reader)?)
        } else {
            None
        };
        fields.skip_rest(reader)?;
        let (previous, change) = read_change_data(data)?;
        Ok(Self {
            change,
            data,
            previous,
            signature,
            previous_signature,
        })
    }

    fn check_period(&self, index: usize) -> Result<(), IdentityError> {
        let Validity { from, until } = self.change.validity;
        if from > until {
            return Err(IdentityError::WrongPeriod { change: index });
        }
        Ok(())
    }

    fn check_order(&self, index: usize, before: &Self) -> Result<(), IdentityError> {
        if self.previous.as_ref() != Some(before.change.hash.as_bytes()) {
            return Err(IdentityError::WrongPrevious { change: index });
        }
        self.check_period(index)?;
        let from = self.change.validity.from;
        if from < before.change.validity.from {
            return Err(IdentityError::WrongPeriod { change: index });
        }
        // The reference lets an expired key, perhaps an old stolen one, name its successor.
        if from > before.change.validity.until {
            return Err(IdentityError::KeyExpired { change: index });
        }
        Ok(())
    }

    fn verify(&self, index: usize, before: Option<&Self>) -> Result<(), IdentityError> {
        let digest = codec::digest(self.data);
        let check = |key: &VerifyingKey, signature: &Signature| {
            key.verify(&digest, signature)
                .map_err(|error| IdentityError::Signature {
                    change: index,
                    error,
                })
        };
        check(&self.change.key, &self.signature)?;
        if let Some(before) = before {
            let previous = self
                .previous_signature
                .as_ref()
                .ok_or(IdentityError::MissingPreviousSignature { change: index })?;
            check(&before.change.key, previous)?;
        }
        Ok(())
    }
}

fn read_change_data(wrapped: &[u8]) -> Result<(Option<[u8; 32]>, Change), IdentityError> {
    let data = codec::unwrap(wrapped, DataType::Change)?;
    let mut reader = Reader::new(data);
    let mut fields = reader.array()?;
    fields.expect(&mut reader, "previous_change")?;
    let previous = match reader.null()? {
        true => None,
        false => Some(reader.byte_array()?),
    };
    fields.expect(&mut reader, "primary_public_key")?;
    let key = codec::read_verifying_key(&mut reader)?;
    fields.expect(&mut reader, "revoke_all_purpose_keys")?;
    let revoke_all_purpose_keys = reader.bool()?;
    let mut time = |name| -> Result<UnixSeconds, DecodeError> {
        fields.expect(&mut reader, name)?;
        reader.u64().map(UnixSeconds)
    };
    let validity = Validity {
        from: time("attestations_valid_from")?,
        until: time("attestations_valid_until")?,
    };
    fields.skip_rest(&mut reader)?;
    let change = Change {
        hash: ChangeHash::from_bytes(codec::digest(wrapped)),
        key,
        revoke_all_purpose_keys,
        validity,
    };
    Ok((previous, change))
}
