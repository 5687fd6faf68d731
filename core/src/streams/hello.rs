//! The question whether a peer speaks the native portal, and in which version (docs/wire.md, "Native portal").

use super::VERSION;
use crate::wire::DecodeError;
use crate::wire::bare::{self, Reader};

/// The worker's address that [`Hello`] is sent to.
pub const HELLO_ADDRESS: &str = "sealway";

/// The form of a [`Hello`].
const FORM: u8 = 1;

/// What either end says before a session, as an initiator's question and as the responder's answer.
///
/// ```text
/// 01 || portal: uint || ...        what follows is ignored
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// In a question: the highest version of the native portal that the sender speaks. In the answer: the one that is
    /// spoken in this channel, not above the question's.
    pub portal: u64,
}

impl Hello {
    /// What this implementation asks.
    pub const OURS: Self = Self {
        portal: VERSION as u64,
    };

    /// Reads a question or an answer.
    ///
    /// # Errors
    /// [`DecodeError`]: cut short, of another form, or a number not in its shortest form.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(message);
        match reader.u8()? {
            FORM => Ok(Self {
                portal: reader.shortest_uint()?,
            }),
            other => Err(DecodeError::UnsupportedVersion(other)),
        }
    }

    /// The answer to this question; none if there is no version that both speak.
    #[must_use]
    pub fn answer(self) -> Option<Self> {
        let portal = self.portal.min(Self::OURS.portal);
        (portal > 0).then_some(Self { portal })
    }

    /// Whether this, as the answer to [`Hello::OURS`], names a version that we speak.
    #[must_use]
    pub fn is_ours(self) -> bool {
        self == Self::OURS
    }

    /// The bytes.
    #[must_use]
    pub fn encode(self) -> crate::wire::Frame {
        let (number, length) = bare::encode_uint(self.portal);
        let mut message = crate::wire::Frame::with_capacity(1 + length);
        message.append(&[FORM]);
        message.append(number.get(..length).unwrap_or_default());
        message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_settle_on_the_lower_version() {
        assert_eq!(Hello::OURS.encode().as_slice(), [1, 1]);
        for (asked, answered) in [(0, None), (1, Some(1)), (300, Some(1))] {
            let question = Hello { portal: asked }.encode();
            let read = Hello::decode(question.as_slice()).unwrap();
            let answer = read.answer();
            assert_eq!(answer.map(|hello| hello.portal), answered);
            assert!(answer.is_none_or(Hello::is_ours));
        }
    }

    #[test]
    fn what_a_later_release_adds_is_ignored() {
        assert_eq!(Hello::decode(&[1, 1, 2, 3]), Ok(Hello::OURS));
        assert!(Hello::decode(&[2, 1]).is_err() && Hello::decode(&[1]).is_err());
    }
}
