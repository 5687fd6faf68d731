//! Why handshakes and records are refused.

use core::fmt;

use thiserror::Error;

use super::party::MAX_CREDENTIALS;
use crate::identity::{AttestationError, Identifier, IdentityError};
use crate::noise::NoiseError;
use crate::wire::DecodeError;

/// Why a handshake message was refused. All but [`HandshakeError::Untrusted`] are the peer's fault
/// or an attacker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The message does not belong to this handshake.
    #[error(transparent)]
    Noise(#[from] NoiseError),
    /// Message 1 is of another suite than ours; nothing is negotiated.
    #[error("message 1 is of suite {got:#06x}, not the hybrid 0x0001")]
    WrongSuite {
        /// What stands where the suite's number belongs.
        got: u16,
    },
    /// Message 1 lacks a key or carries more than keys.
    #[error("message 1 has {got} bytes, not {expected}")]
    Message1Length {
        /// Its length in bytes.
        got: usize,
        /// The suite's.
        expected: usize,
    },
    /// The payload is not an identity with its attestation and credentials.
    #[error("handshake payload: {0}")]
    Payload(#[from] DecodeError),
    /// The peer's history was refused.
    #[error("peer's identity: {0}")]
    Identity(#[from] IdentityError),
    /// The peer's attestation was refused.
    #[error("peer's attestation: {0}")]
    Attestation(#[from] AttestationError),
    /// The attestation is of another key than the one the handshake used, or for another purpose: a
    /// classical attestation does not fit the hybrid suite, nor the other way round.
    #[error("peer's attestation is not of the handshake's key in the handshake's suite")]
    WrongKey,
    /// The trust given does not admit the peer.
    #[error("{0} is not trusted")]
    Untrusted(Identifier),
}

/// A refused message, and the state it was refused in, which it did not change: the real message
/// can still come.
pub struct Failed<S> {
    /// The state to go on with.
    pub state: S,
    /// Why the message was refused.
    pub error: HandshakeError,
}

impl<S> fmt::Debug for Failed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failed").field(&self.error).finish()
    }
}

impl<S> fmt::Display for Failed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<S> core::error::Error for Failed<S> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Why the local side cannot present itself: a fault of the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PartyError {
    /// The attestation is not of this identity under its latest change.
    #[error(transparent)]
    Attestation(#[from] AttestationError),
    /// The attestation is of another key, or of one that is not for channels.
    #[error("attestation is of another key than the static key")]
    WrongKey,
    /// More credentials than a peer accepts.
    #[error("{got} credentials exceed {MAX_CREDENTIALS}")]
    TooManyCredentials {
        /// How many.
        got: usize,
    },
    /// What would be presented does not fit a handshake message.
    #[error("identity and credentials of {got} bytes exceed {max}")]
    TooLong {
        /// Length in bytes.
        got: usize,
        /// The limit.
        max: usize,
    },
}

/// Why a record was refused, or could not be sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// All nonces of this direction are used: a new handshake is needed.
    #[error("channel has used all its nonces")]
    Exhausted,
    /// Too short for nonce and tag.
    #[error("record of {got} bytes is truncated")]
    Truncated {
        /// Length in bytes.
        got: usize,
    },
    /// This nonce was accepted before.
    #[error("message {nonce} was received before")]
    Replayed {
        /// The nonce.
        nonce: u64,
    },
    /// Behind the window: it may be a replay.
    #[error("message {nonce} is too far behind {highest}")]
    Stale {
        /// The nonce.
        nonce: u64,
        /// The highest nonce accepted.
        highest: u64,
    },
    /// Ahead of the window: if it is genuine, the channel is dead in this direction.
    #[error("message {nonce} is too far ahead of {highest}")]
    TooFarAhead {
        /// The nonce.
        nonce: u64,
        /// The highest nonce accepted.
        highest: u64,
    },
    /// Too many forged far jumps in this second to try another.
    #[error("message {nonce} not tried: too many forged messages in this second")]
    FarJumpsPaused {
        /// The nonce.
        nonce: u64,
    },
    /// The tag does not verify.
    #[error("message {nonce} failed authentication")]
    Forged {
        /// The nonce it claims.
        nonce: u64,
    },
}
