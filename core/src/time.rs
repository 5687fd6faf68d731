//! The clocks of the protocols. Both are given by the caller.

/// Seconds since the Unix epoch, as they stand in signed objects (reference, section 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u64);

impl UnixSeconds {
    /// This time plus `seconds`; stays at the largest time there is instead of wrapping.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}

/// Milliseconds of a monotonic clock with an arbitrary start, for deadlines and rates. Never signed
/// and never sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub u64);
