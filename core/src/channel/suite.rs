//! Which handshake a channel begins with (docs/wire.md, "Hybrid handshake").

use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use thiserror::Error;

use super::HandshakeError;
use crate::crypto::DhPublic;
use crate::identity::PurposeKey;
use crate::noise::{MAX_MESSAGE, Message, Pattern, Protocol};
use crate::wire::Address;

/// Where the reference's listeners are (reference, section 7.5).
const CLASSICAL_LISTENER: &str = "api";
/// Where ours are.
const HYBRID_LISTENER: &str = "sealway_xx1";
/// The label of the prologue, and its version.
const LABEL: &[u8] = b"sealway/channel/1";

/// A handshake and the keys that it mixes. Greater is stronger: what a floor of `a` admits, it admits
/// from `a` up.
///
/// A side chooses it before the first byte, by the static key that it presents (see
/// [`LocalParty`](super::LocalParty)), and never negotiates: a peer of another suite is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Suite {
    /// The reference's: XX with X25519.
    Classical,
    /// XXhfs with X25519 and ML-KEM-768: recorded sessions stay secret if either holds.
    Hybrid,
}

/// No suite has this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no such suite; there are `hybrid` and `ockam`")]
pub struct UnknownSuite;

impl Suite {
    /// All suites, the weakest first.
    pub const ALL: [Self; 2] = [Self::Classical, Self::Hybrid];

    /// Its number on the wire: 0, or 1. The hybrid one's stands in front of its message 1 and in its
    /// prologue.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Classical => 0,
            Self::Hybrid => 1,
        }
    }

    /// The suite with this number, if it is known here.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.number() == number)
    }

    /// The name that people write.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Classical => "ockam",
            Self::Hybrid => "hybrid",
        }
    }

    /// The address of the listener that speaks it, unless said otherwise: `api`, or `sealway_xx1`.
    #[must_use]
    pub const fn listener(self) -> &'static str {
        match self {
            Self::Classical => CLASSICAL_LISTENER,
            Self::Hybrid => HYBRID_LISTENER,
        }
    }

    /// What a listener at `address` speaks unless said otherwise, here and at the peer: at `api` the
    /// reference's, at any other the strongest. Nobody is asked, so nobody can weaken it.
    #[must_use]
    pub fn spoken_at(address: &Address) -> Self {
        if *address == Address::local(CLASSICAL_LISTENER) {
            Self::Classical
        } else {
            Self::Hybrid
        }
    }

    /// Whether this suite is not weaker than `floor`.
    #[must_use]
    pub fn at_least(self, floor: Self) -> bool {
        self >= floor
    }

    /// The purpose for which `static_key` must be attested.
    #[must_use]
    pub const fn purpose(self, static_key: DhPublic) -> PurposeKey {
        match self {
            Self::Classical => PurposeKey::SecureChannel(static_key),
            Self::Hybrid => PurposeKey::HybridStatic(static_key),
        }
    }

    /// The suite in which a key of this purpose can be used, if there is one.
    pub(super) const fn of(purpose: &PurposeKey) -> Option<Self> {
        match purpose {
            PurposeKey::SecureChannel(_) => Some(Self::Classical),
            PurposeKey::HybridStatic(_) => Some(Self::Hybrid),
            PurposeKey::CredentialSigning(_) => None,
        }
    }

    /// `lp(label) || suite || lp(listener)`; the reference's is empty.
    pub(super) fn prologue(self, listener: &Address) -> Vec<u8> {
        let mut prologue = Vec::new();
        if self == Self::Hybrid {
            push_lp(&mut prologue, LABEL);
            prologue.extend_from_slice(&self.number().to_be_bytes());
            push_lp(&mut prologue, listener.value());
        }
        prologue
    }

    pub(super) const fn protocol(self, prologue: &[u8]) -> Protocol<'_> {
        match self {
            Self::Classical => Protocol::OCKAM,
            Self::Hybrid => Protocol::hybrid(prologue),
        }
    }

    /// Longest payload of messages 2 and 3: message 2 adds the more to it.
    pub(super) fn max_payload(self) -> usize {
        MAX_MESSAGE - self.protocol(&[]).pattern.overhead(Message::Two)
    }

    /// Puts what stands in front of Noise's message 1 there.
    pub(super) fn frame_message1(self, noise: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Classical => noise,
            Self::Hybrid => [self.number().to_be_bytes().as_slice(), &noise].concat(),
        }
    }

    /// Noise's message 1 out of what arrived. The reference's may have any length.
    pub(super) fn unframe_message1(self, message1: &[u8]) -> Result<&[u8], HandshakeError> {
        if self == Self::Classical {
            return Ok(message1);
        }
        let expected = self.number().to_be_bytes().len() + Pattern::XxHfs.overhead(Message::One);
        let got = message1.len();
        let length = HandshakeError::Message1Length { got, expected };
        let (suite, noise) = message1.split_first_chunk().ok_or(length)?;
        let suite = u16::from_be_bytes(*suite);
        if suite != self.number() {
            return Err(HandshakeError::WrongSuite { got: suite });
        }
        if got == expected {
            Ok(noise)
        } else {
            Err(length)
        }
    }
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Suite {
    type Err = UnknownSuite;

    fn from_str(name: &str) -> Result<Self, UnknownSuite> {
        let suite = Self::ALL.into_iter().find(|suite| suite.name() == name);
        suite.ok_or(UnknownSuite)
    }
}

/// Appends the length as 4 bytes, big-endian, and the bytes.
fn push_lp(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("labels and addresses are short");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_floor_admits_what_is_not_weaker() {
        use Suite::{Classical, Hybrid};
        assert!(Hybrid.at_least(Hybrid) && Hybrid.at_least(Classical));
        assert!(Classical.at_least(Classical) && !Classical.at_least(Hybrid));
        assert!(Suite::ALL.is_sorted());
    }

    #[test]
    fn only_the_references_listener_speaks_the_weaker_suite_unasked() {
        for suite in Suite::ALL {
            assert_eq!(Suite::spoken_at(&Address::local(suite.listener())), suite);
        }
        for other in ["", "api2", "Api", "sealway_xx2", "ockam"] {
            assert_eq!(Suite::spoken_at(&Address::local(other)), Suite::Hybrid);
        }
    }

    #[test]
    fn names_and_numbers_are_read_as_they_are_written() {
        for suite in Suite::ALL {
            assert_eq!(suite.to_string().parse(), Ok(suite));
            assert_eq!(Suite::from_number(suite.number()), Some(suite));
        }
        assert_eq!(Suite::from_number(2), None);
        for unknown in ["", "Ockam", "classical", "hybrid "] {
            assert_eq!(unknown.parse::<Suite>(), Err(UnknownSuite));
        }
    }

    #[test]
    fn a_key_serves_the_suite_of_its_purpose_alone() {
        let key = DhPublic([7; 32]);
        for suite in Suite::ALL {
            assert_eq!(Suite::of(&suite.purpose(key)), Some(suite));
        }
    }
}
