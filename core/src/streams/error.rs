//! What ends a session, and what the caller may not do.

use super::frame::StreamId;
use crate::wire::DecodeError;

/// What the peer did that it may not. The session is over: the caller closes the channel and carries out
/// [`Session::lost`](super::Session::lost).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// A message is not what docs/wire.md says.
    #[error("malformed portal message: {0}")]
    Malformed(#[from] DecodeError),
    /// Data beyond the stream's credit.
    #[error("stream {stream} sent up to {got}, where its credit ends at {limit}")]
    StreamCreditExceeded {
        /// Which stream.
        stream: StreamId,
        /// Where the data ends.
        got: u64,
        /// Where it had to end.
        limit: u64,
    },
    /// Data beyond the credit of all streams together.
    #[error("all streams sent {got} bytes, where their credit ends at {limit}")]
    ChannelCreditExceeded {
        /// Bytes received, with these.
        got: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// More Opens than were allowed.
    #[error("{got} streams were opened, where {limit} are allowed")]
    TooManyStreams {
        /// Opens received, with this one.
        got: u64,
        /// Opens allowed.
        limit: u64,
    },
    /// A responder opened a stream, and was not asked to.
    #[error("the responder opened stream {stream} unasked")]
    Unasked {
        /// Which stream.
        stream: StreamId,
    },
    /// An Open with an id that was used before, or passed over.
    #[error("stream {stream} was opened after {highest}")]
    IdReused {
        /// Which stream.
        stream: StreamId,
        /// The highest id that the peer has opened.
        highest: StreamId,
    },
    /// An Open with an id that only this end may use.
    #[error("stream {stream} is not the peer's to open")]
    WrongParity {
        /// Which stream.
        stream: StreamId,
    },
    /// A frame for a stream that was never opened.
    #[error("stream {stream} was never opened")]
    UnknownStream {
        /// Which stream.
        stream: StreamId,
    },
    /// Data, Credit or Fin of a stream whose Accept has not come.
    #[error("stream {stream} was not accepted yet")]
    NotAccepted {
        /// Which stream.
        stream: StreamId,
    },
    /// An Accept for a stream that is the peer's own, or is accepted.
    #[error("stream {stream} had no acceptance to come")]
    UnexpectedAccept {
        /// Which stream.
        stream: StreamId,
    },
    /// Data that does not follow the data before it.
    #[error("stream {stream} went on at {got} instead of {expected}")]
    WrongOffset {
        /// Which stream.
        stream: StreamId,
        /// Where the data begins.
        got: u64,
        /// Where it had to begin.
        expected: u64,
    },
    /// A Fin whose offset is not what the stream carried.
    #[error("stream {stream} ended at {got} after {received} bytes")]
    WrongFinalOffset {
        /// Which stream.
        stream: StreamId,
        /// What the Fin says.
        got: u64,
        /// What came.
        received: u64,
    },
    /// Data or a Fin behind a Fin.
    #[error("stream {stream} went on after its end")]
    AfterFin {
        /// Which stream.
        stream: StreamId,
    },
    /// An acknowledgement of what was not sent, or less than one before.
    #[error("stream {stream} acknowledged {got} of {sent} bytes")]
    WrongAcknowledgement {
        /// Which stream.
        stream: StreamId,
        /// What was acknowledged.
        got: u64,
        /// What was sent.
        sent: u64,
    },
    /// A credit that takes back what was given, or changes nothing.
    #[error("a credit of {got} follows one of {before}")]
    CreditNotRaised {
        /// The credit.
        got: u64,
        /// The one before.
        before: u64,
    },
    /// A credit that would bind more of the sender's memory than it declares.
    #[error("stream {stream} has a window of {got} bytes, where {max} are allowed")]
    WindowTooLarge {
        /// Which stream.
        stream: StreamId,
        /// Limit less acknowledged.
        got: u64,
        /// The most it may be.
        max: u64,
    },
    /// A Pong that answers no Ping.
    #[error("an answer to no question: {number}")]
    UnexpectedPong {
        /// Its number.
        number: u64,
    },
}

/// Why a stream is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The resource's name is empty or too long.
    #[error("name of a resource has {len} bytes, where 1 to {max} are allowed")]
    Resource {
        /// Its length in bytes.
        len: usize,
        /// The most it may have.
        max: usize,
    },
    /// This end has as many streams as it may.
    #[error("{max} streams are open")]
    TooMany {
        /// The limit of this end.
        max: usize,
    },
    /// The initiator has not asked this end, the responder, for streams.
    #[error("a responder opens no streams unless it is asked to")]
    Unasked,
    /// The session is over.
    #[error("the session is over")]
    Over,
}

/// Why data was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The stream ended since its turn came: the data has nowhere to go.
    #[error("the stream has ended")]
    Closed,
    /// It is not this stream's turn, or its turn is for less.
    #[error("{len} bytes, where {max} may be sent now")]
    NotNow {
        /// Length of the data.
        len: usize,
        /// What the turn is for.
        max: usize,
    },
}
