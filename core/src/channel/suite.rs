//! Which handshake a channel begins with.

use core::fmt;

/// A handshake and the keys that it mixes. Greater is stronger: what a floor of `a` admits, it admits from `a` up.
///
/// Chosen by whoever opens the channel, never negotiated (protocols, section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Suite {
    /// The reference's: XX with X25519.
    Classical,
    /// XX with X25519 and ML-KEM-768: recorded sessions stay secret if either holds.
    Hybrid,
}

impl Suite {
    /// Its number on the wire: 0, or 1.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Classical => 0,
            Self::Hybrid => 1,
        }
    }

    /// The suite with this number, if it is known here.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Classical),
            1 => Some(Self::Hybrid),
            _ => None,
        }
    }
}

/// `ockam` or `hybrid`: as people write it.
impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Classical => "ockam",
            Self::Hybrid => "hybrid",
        })
    }
}
