//! Redemption: the one thing that an identity which nobody has pinned may ask for.

use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::Secret;
use crate::UnixSeconds;
use crate::wire::DecodeError;
use crate::wire::cbor::{Reader, Writer};

/// Address of the worker that redeems tickets.
pub const REDEEM: &str = "redeem";

/// Longest message that [`REDEEM`] reads, in bytes.
pub const MAX_REQUEST: usize = 1_024;

const VERSION: u64 = 1;

/// `[1, secret: bstr .size 32]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The ticket's secret.
    pub secret: Secret,
}

/// What the exposer says: `[1, 0]` or `[1, why: 1..]`. What is granted, the ticket says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The redeemer is pinned for the ticket's resource.
    Granted,
    /// It is not.
    Refused(Refusal),
}

/// Why a redemption was refused. A wrong secret, a withdrawn ticket and one that never was look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// All its uses were taken by others.
    #[error("the ticket was already redeemed by somebody else")]
    AlreadyRedeemed,
    /// It was not redeemed in time.
    #[error("the ticket has expired")]
    Expired,
    /// No such ticket; or for a reason that this release does not know.
    #[error("the exposer knows no such ticket: it was withdrawn, or never made there")]
    Unknown,
}

/// What a ticket grants, as the exposer keeps it beside the hash of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many identities may redeem it.
    pub uses: u32,
    /// Until when.
    pub expires: UnixSeconds,
}

/// Who asks for a redemption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// Somebody who has not redeemed this ticket.
    New,
    /// Who has, and is still pinned for its resource.
    Pinned,
    /// Who has, and whose pin was taken back since.
    Unpinned,
}

/// Whether somebody may redeem a ticket that `taken` identities have redeemed.
///
/// For [`Asker::New`] the caller counts the use and writes the pin in the transaction in which it has asked. For [`Asker::Pinned`] it only
/// repeats the answer, which may have been lost, also after the expiry; it writes nothing. A pin that was taken back does not come back
/// by the ticket that had made it.
///
/// # Errors
/// [`Refusal`].
pub fn admit(terms: &Terms, taken: u32, asker: Asker, now: UnixSeconds) -> Result<(), Refusal> {
    let is_spent = taken >= terms.uses;
    #[cfg(sealway_weaken)]
    let is_spent = is_spent && !crate::weaken::off(crate::weaken::Check::TicketUses);
    match asker {
        Asker::Pinned => Ok(()),
        Asker::Unpinned => Err(Refusal::Unknown),
        Asker::New if is_spent => Err(Refusal::AlreadyRedeemed),
        Asker::New if now >= terms.expires => Err(Refusal::Expired),
        Asker::New => Ok(()),
    }
}

impl Request {
    /// The payload for [`REDEEM`]. Send it inside a channel whose peer was compared with the ticket. What it is copied to is not
    /// wiped: a frame that is sealed in place holds only the ciphertext afterwards.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(64));
        let mut writer = Writer::new(&mut *out);
        writer
            .array(2)
            .unsigned(VERSION)
            .bytes(self.secret.as_bytes());
        out
    }

    /// Reads a payload of at most [`MAX_REQUEST`] bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, items) = begin(payload)?;
        let secret = Secret::from_bytes(reader.byte_array()?);
        items.skip_rest(&mut reader)?;
        Ok(Self { secret })
    }
}

impl Answer {
    /// The payload of the answer.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let mut writer = Writer::vec();
        match self {
            Self::Granted => writer.array(2).unsigned(VERSION).unsigned(0),
            Self::Refused(why) => writer.array(2).unsigned(VERSION).unsigned(why.number()),
        };
        writer.into_sink()
    }

    /// Reads an answer.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let (mut reader, items) = begin(payload)?;
        let answer = match reader.u64()? {
            0 => Self::Granted,
            1 => Self::Refused(Refusal::AlreadyRedeemed),
            2 => Self::Refused(Refusal::Expired),
            _ => Self::Refused(Refusal::Unknown),
        };
        items.skip_rest(&mut reader)?;
        Ok(answer)
    }
}

impl Refusal {
    const fn number(self) -> u64 {
        match self {
            Self::AlreadyRedeemed => 1,
            Self::Expired => 2,
            Self::Unknown => 3,
        }
    }
}

/// Opens the array, reads the version, and stands before the second item.
fn begin(payload: &[u8]) -> Result<(Reader<'_>, crate::wire::cbor::Items), DecodeError> {
    if payload.len() > MAX_REQUEST {
        return Err(DecodeError::TooLong {
            length: payload.len() as u64,
            max: MAX_REQUEST,
        });
    }
    let mut reader = Reader::new(payload);
    let mut items = reader.array()?;
    items.expect(&mut reader, "version")?;
    match reader.u64()? {
        VERSION => {}
        value => {
            return Err(DecodeError::Unknown {
                what: "redemption version",
                value,
            });
        }
    }
    items.expect(&mut reader, "secret or status")?;
    Ok((reader, items))
}
