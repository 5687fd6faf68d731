//! The Noise Protocol Framework (revision 34): the patterns XX and XXhfs over X25519, ML-KEM-768,
//! AES-256-GCM, SHA-256.
//!
//! File names follow the specification's objects: [`SymmetricState`] mixes keys and hashes,
//! [`HandshakeState`] walks the token table of its [`Pattern`]. What the reference changes against
//! plain Noise is data, not code: the protocol name, an empty prologue, and which of the two final keys
//! belongs to which direction ([`Protocol`]; reference, sections 4.1 and 4.2).

mod handshake_state;
mod pattern;
mod symmetric_state;

pub use handshake_state::{Fresh, HandshakeState, Transport};
pub use pattern::{Message, Pattern, Role};
pub use symmetric_state::SymmetricState;
pub(crate) use symmetric_state::nonce;

use thiserror::Error;

/// Largest Noise handshake message in bytes (Noise rev 34, 3).
pub const MAX_MESSAGE: usize = 65_535;

/// Length of a DH public key in bytes.
pub(crate) const DH_LEN: usize = 32;
/// Length of an AEAD tag in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// What tells one use of the machinery from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocol<'p> {
    /// The protocol name, which starts `h` and `ck`.
    pub name: &'p str,
    /// The messages and what they carry.
    pub pattern: Pattern,
    /// The prologue both sides must agree on.
    pub prologue: &'p [u8],
    /// Which final key belongs to which direction.
    pub keys: KeyOrder,
}

/// Which of the two keys of `Split()` encrypts what the initiator sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyOrder {
    /// The first key, as Noise has it.
    InitiatorFirst,
    /// The second key, as the reference has it (reference, section 4.2).
    ResponderFirst,
}

impl<'p> Protocol<'p> {
    /// The reference's default suite, the only one its orchestrator and its Elixir nodes speak
    /// (reference, section 4.1).
    pub const OCKAM: Self = Self {
        name: "OCKAM_XX_25519_AES256_GCM_SHA256",
        pattern: Pattern::Xx,
        prologue: b"",
        keys: KeyOrder::ResponderFirst,
    };

    /// The hybrid suite, whose `prologue` binds the suite and the listener (docs/wire.md, "Hybrid
    /// handshake").
    #[must_use]
    pub const fn hybrid(prologue: &'p [u8]) -> Self {
        Self {
            name: "Sealway_XXhfs_25519+MLKEM768_AESGCM_SHA256",
            pattern: Pattern::XxHfs,
            prologue,
            keys: KeyOrder::InitiatorFirst,
        }
    }
}

/// Why a handshake message could not be written or read. No state changes on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NoiseError {
    /// The message is longer than Noise allows.
    #[error("handshake message of {got} bytes exceeds {MAX_MESSAGE}")]
    TooLong {
        /// Length of the message in bytes.
        got: usize,
    },
    /// The message ends before the pattern's keys and tags.
    #[error("handshake message of {got} bytes is truncated")]
    TooShort {
        /// Length of the message in bytes.
        got: usize,
    },
    /// An authentication tag did not verify.
    #[error("handshake message failed authentication")]
    Forged,
    /// A key agreement gave zero: the peer's public key is a low-order point.
    #[error("peer's public key is a low-order point")]
    LowOrderPoint,
    /// The peer's encapsulation key has a coefficient that is not below the modulus.
    #[error("peer's encapsulation key is not reduced modulo 3329")]
    InvalidEncapsulationKey,
    /// The pattern has no such message at this point, or it is the other side's turn.
    #[error("handshake message out of turn")]
    OutOfTurn,
}
