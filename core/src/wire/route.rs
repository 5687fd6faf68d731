//! Routes: ordered lists of addresses (reference, section 1.2).

use core::fmt;
use core::str::FromStr;

use smallvec::SmallVec;

use super::{Address, MAX_ONWARD_HOPS, ParseError};

/// Hops that a route holds without an allocation.
const INLINE: usize = 4;

/// The hops of a message, first one first.
///
/// Stored last hop first, so that taking or adding a hop at the front costs the same for every
/// length. On the wire: CBOR `[* address]`, BARE a count and the addresses.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Route {
    reversed: SmallVec<[Address; INLINE]>,
}

impl Route {
    /// A route without hops.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The hop that a message goes to next.
    #[must_use]
    pub fn first(&self) -> Option<&Address> {
        self.reversed.last()
    }

    /// The hop that a message goes to in the end.
    #[must_use]
    pub fn last(&self) -> Option<&Address> {
        self.reversed.first()
    }

    /// Takes the first hop.
    pub fn pop_front(&mut self) -> Option<Address> {
        self.reversed.pop()
    }

    /// Takes the last hop.
    pub fn pop_back(&mut self) -> Option<Address> {
        (!self.reversed.is_empty()).then(|| self.reversed.remove(0))
    }

    /// Adds a hop before all others.
    pub fn push_front(&mut self, address: Address) {
        self.reversed.push(address);
    }

    /// Adds a hop after all others; moves the others.
    pub fn push_back(&mut self, address: Address) {
        self.reversed.insert(0, address);
    }

    /// Puts the hops of `before` before all others, in their order.
    pub fn prepend(&mut self, before: &Self) {
        self.reversed.extend(before.reversed.iter().cloned());
    }

    /// The hops, first one first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Address> + ExactSizeIterator {
        self.reversed.iter().rev()
    }

    /// Number of hops.
    #[must_use]
    pub fn len(&self) -> usize {
        self.reversed.len()
    }

    /// Whether there is no hop; a message that arrives so is a heartbeat (reference, section 1.3).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.reversed.is_empty()
    }
}

impl FromIterator<Address> for Route {
    fn from_iter<I: IntoIterator<Item = Address>>(addresses: I) -> Self {
        let mut reversed: SmallVec<[Address; INLINE]> = addresses.into_iter().collect();
        reversed.reverse();
        Self { reversed }
    }
}

impl Extend<Address> for Route {
    /// Adds hops after all others.
    fn extend<I: IntoIterator<Item = Address>>(&mut self, addresses: I) {
        self.reversed.reverse();
        self.reversed.extend(addresses);
        self.reversed.reverse();
    }
}

impl From<Address> for Route {
    fn from(address: Address) -> Self {
        let mut route = Self::new();
        route.push_front(address);
        route
    }
}

impl From<&str> for Route {
    /// A route of one local address; text such as `0#hop => 0#echo` is parsed with [`str::parse`].
    fn from(address: &str) -> Self {
        Address::from(address).into()
    }
}

impl<A: Into<Address>, const N: usize> From<[A; N]> for Route {
    fn from(addresses: [A; N]) -> Self {
        addresses.into_iter().map(Into::into).collect()
    }
}

impl fmt::Display for Route {
    /// Addresses joined by ` => `.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, address) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(" => ")?;
            }
            address.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Route({self})")
    }
}

impl FromStr for Route {
    type Err = ParseError;

    /// Addresses joined by `=>`, with or without spaces around it.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        if text.trim().is_empty() {
            return Err(ParseError::EmptyRoute);
        }
        let hops = text.split("=>").count();
        if hops > MAX_ONWARD_HOPS {
            return Err(ParseError::TooManyHops {
                hops,
                max: MAX_ONWARD_HOPS,
            });
        }
        text.split("=>").map(|hop| hop.trim().parse()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn hops_keep_their_order() {
        let mut route = Route::from(["b", "c"]);
        route.push_front("a".into());
        route.push_back("d".into());
        assert_eq!(route.to_string(), "0#a => 0#b => 0#c => 0#d");
        let before: Route = "x => y".parse().expect("a route");
        route.prepend(&before);
        assert_eq!(route.len(), 6);
        assert_eq!(route.pop_front(), Some("x".into()));
        assert_eq!(route.first(), Some(&"y".into()));
        assert_eq!(route.pop_back(), Some("d".into()));
        route.extend(["e".into()]);
        assert_eq!(route.to_string(), "0#y => 0#a => 0#b => 0#c => 0#e");
    }
}
