//! Which identities may be at the other end (reference, section 4.3, step 3).

use alloc::vec::Vec;

use crate::identity::Identifier;

/// A condition on the peer's identifier, checked before any of its signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Any identity that proves itself. The name is the warning.
    Everyone,
    /// This one.
    Identifier(Identifier),
    /// One of these; nobody if there are none.
    AnyOf(Vec<Identifier>),
    /// All conditions hold; nobody if there are none.
    And(Vec<Trust>),
    /// At least one condition holds; nobody if there are none.
    Or(Vec<Trust>),
}

impl Trust {
    /// Whether the holder of `identifier` is let in.
    #[must_use]
    pub fn admits(&self, identifier: &Identifier) -> bool {
        #[cfg(sealway_weaken)]
        if crate::weaken::off(crate::weaken::Check::Trust) {
            return true;
        }
        match self {
            Self::Everyone => true,
            Self::Identifier(one) => one == identifier,
            Self::AnyOf(several) => several.contains(identifier),
            Self::And(all) => !all.is_empty() && all.iter().all(|t| t.admits(identifier)),
            Self::Or(any) => any.iter().any(|t| t.admits(identifier)),
        }
    }
}
