//! Why bytes or text were refused.

use alloc::string::String;

/// Why received bytes are not what they claim to be. All of these are the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends before the item does, or an item claims more than the input holds.
    #[error("input ends after {available} bytes where {needed} are needed")]
    Truncated {
        /// Bytes that the item claims from where it starts.
        needed: u64,
        /// Bytes that are left.
        available: usize,
    },
    /// Another kind of item stands here than the format demands.
    #[error("expected {expected} at byte {position}")]
    UnexpectedType {
        /// What the format demands.
        expected: &'static str,
        /// Where, in bytes from the start of the input.
        position: usize,
    },
    /// A byte that starts no item in the encoding (reserved length form, stray break).
    #[error("malformed item at byte {position}")]
    Malformed {
        /// Where, in bytes from the start of the input.
        position: usize,
    },
    /// An integer that does not fit its field.
    #[error("integer at byte {position} is out of range")]
    OutOfRange {
        /// Where, in bytes from the start of the input.
        position: usize,
    },
    /// Text that is not UTF-8.
    #[error("text at byte {position} is not UTF-8")]
    InvalidUtf8 {
        /// Where, in bytes from the start of the input.
        position: usize,
    },
    /// A mandatory field is absent.
    #[error("field {0} is missing")]
    MissingField(&'static str),
    /// Items nested deeper than [`cbor::MAX_DEPTH`](super::cbor::MAX_DEPTH).
    #[error("items nested deeper than {max}")]
    TooDeep {
        /// The limit.
        max: usize,
    },
    /// A route with more hops than this implementation follows.
    #[error("route of {hops} hops exceeds {max}")]
    TooManyHops {
        /// Hops that the route claims.
        hops: u64,
        /// The limit.
        max: usize,
    },
    /// A string, list or map longer than its field may be.
    #[error("length {length} exceeds {max}")]
    TooLong {
        /// Length that the item claims.
        length: u64,
        /// The limit.
        max: usize,
    },
    /// A transport frame longer than the protocol allows.
    #[error("frame of {length} bytes exceeds {max}")]
    FrameTooLarge {
        /// Length that the frame claims.
        length: u64,
        /// The limit.
        max: usize,
    },
    /// A protocol version that this implementation does not speak.
    #[error("protocol version {0} is not supported")]
    UnsupportedVersion(u8),
    /// A tag, code or variant that the protocol does not define.
    #[error("unknown {what} {value}")]
    Unknown {
        /// What kind of number it is.
        what: &'static str,
        /// The number that was read.
        value: u64,
    },
    /// Bytes follow where the format demands the end.
    #[error("{0} bytes follow the end")]
    TrailingBytes(usize),
}

/// A message too large for a transport frame: our limit, or the local sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frame of {length} bytes exceeds {max}")]
pub struct FrameTooLarge {
    /// Length of the frame's body in bytes.
    pub length: usize,
    /// The limit in bytes.
    pub max: usize,
}

/// Why a text is no address, route or multiaddr.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// More than one `#` in an address.
    #[error("an address has at most one `#`")]
    ManySeparators,
    /// The part before `#` is not a number from 0 to 255.
    #[error("the part before `#` is not a number from 0 to 255")]
    AddressType,
    /// An address value longer than [`MAX_ADDRESS`](super::MAX_ADDRESS).
    #[error("address of {length} bytes exceeds {max}")]
    AddressTooLong {
        /// Length of the value in bytes.
        length: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A multiaddr part that is not known; its name, shortened and escaped.
    #[error("unknown protocol `{0}` in a multiaddr")]
    UnknownProtocol(String),
    /// A multiaddr part whose value does not fit it.
    #[error("the value after `/{protocol}/` is not valid")]
    InvalidValue {
        /// Name of the part.
        protocol: &'static str,
    },
    /// A multiaddr part whose value holds a character that [`steers`](super::steers).
    #[error("a value in a multiaddr holds a control character")]
    ControlCharacter,
    /// An empty text, which names no route.
    #[error("an empty text names no route")]
    EmptyRoute,
    /// More hops than this implementation follows.
    #[error("route of {hops} hops exceeds {max}")]
    TooManyHops {
        /// Hops in the text.
        hops: usize,
        /// The limit.
        max: usize,
    },
}
