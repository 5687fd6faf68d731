//! The body of a response that is not `Ok`.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::Method;
use crate::wire::DecodeError;
use crate::wire::cbor::{Kind, Reader, Writer};

/// Most causes of causes that are read; deeper ones are refused.
pub const MAX_CAUSES: usize = 8;

/// Longest text of an error in bytes that is read.
const MAX_TEXT: usize = 4_096;

/// Why a request failed.
///
/// ```cddl
/// error = {? 1: path: tstr, ? 2: method: 0..4, ? 3: message: tstr, ? 4: cause: error} / tstr
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// The resource that was asked for.
    pub path: Option<String>,
    /// What was to be done with it.
    pub method: Option<Method>,
    /// What went wrong, as the peer says it: to be escaped before it is shown.
    pub message: Option<String>,
    /// What led to it.
    pub cause: Option<Box<ErrorBody>>,
}

impl ErrorBody {
    /// The body with this message alone.
    #[must_use]
    pub fn message(message: impl Into<String>) -> Self {
        Self {
            message: Some(message.into()),
            ..Self::default()
        }
    }

    /// Reads a body: an error, or a text alone, which is the message.
    ///
    /// # Errors
    /// [`DecodeError`]; in particular [`DecodeError::TooDeep`].
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        if reader.peek()? == Kind::Text {
            return Ok(Self::message(reader.text_at_most(MAX_TEXT)?));
        }
        Self::read(&mut reader, MAX_CAUSES)
    }

    /// The body's bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::vec();
        let mut next = Some(self);
        // Causes are last in their maps, so that the whole is written without recursion.
        while let Some(error) = next {
            error.write(&mut writer);
            next = error.cause.as_deref();
        }
        writer.into_sink()
    }

    fn write(&self, writer: &mut Writer<Vec<u8>>) {
        let fields = [
            self.path.is_some(),
            self.method.is_some(),
            self.message.is_some(),
            self.cause.is_some(),
        ];
        writer.map(fields.into_iter().filter(|is_present| *is_present).count());
        if let Some(path) = &self.path {
            writer.unsigned(1).text(path);
        }
        if let Some(method) = self.method {
            writer.unsigned(2).unsigned(method.code().into());
        }
        if let Some(message) = &self.message {
            writer.unsigned(3).text(message);
        }
        if self.cause.is_some() {
            writer.unsigned(4);
        }
    }

    fn read(reader: &mut Reader<'_>, causes: usize) -> Result<Self, DecodeError> {
        let mut error = Self::default();
        let mut keys = reader.map()?;
        while keys.next(reader)? {
            let key = reader.u64()?;
            if reader.null()? {
                continue;
            }
            match key {
                1 => error.path = Some(reader.text_at_most(MAX_TEXT)?.to_owned()),
                2 => error.method = Method::from_code(reader.u64()?),
                3 => error.message = Some(reader.text_at_most(MAX_TEXT)?.to_owned()),
                4 => {
                    let causes = causes
                        .checked_sub(1)
                        .ok_or(DecodeError::TooDeep { max: MAX_CAUSES })?;
                    error.cause = Some(Box::new(Self::read(reader, causes)?));
                }
                _ => reader.skip()?,
            }
        }
        Ok(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(causes: usize) -> ErrorBody {
        (0..causes).fold(ErrorBody::message("root"), |cause, _| ErrorBody {
            path: Some("/p".into()),
            cause: Some(Box::new(cause)),
            ..ErrorBody::default()
        })
    }

    #[test]
    fn errors_come_back_with_their_causes() {
        for causes in 0..=MAX_CAUSES {
            let error = chain(causes);
            assert_eq!(ErrorBody::decode(&error.encode()), Ok(error));
        }
        assert_eq!(
            ErrorBody::decode(&chain(MAX_CAUSES + 1).encode()),
            Err(DecodeError::TooDeep { max: MAX_CAUSES })
        );
    }

    #[test]
    fn a_text_alone_is_the_message() {
        assert_eq!(ErrorBody::decode(b"\x62no"), Ok(ErrorBody::message("no")));
    }
}
