//! What is inside a record (reference, section 4.6).
//!
//! ```cddl
//! Padded  = [Message, padding: bstr]                      ; padding empty when sent, ignored when read
//! Message = [0, [[onward: Route, return: Route, payload: bstr]]]
//!         / [1, [[history: [1* Change], credentials: [* any]]]]
//!         / [2, []]
//! ```
//!
//! A payload stays where it is: the prefix grows into the frame's headroom, the empty padding behind.

use alloc::vec::Vec;
use core::ops::Range;

use super::party::read_credentials;
use super::session::RECORD_OVERHEAD;
use crate::identity::MAX_HISTORY_LEN;
use crate::wire::cbor::{Items, Reader, Writer};
use crate::wire::{self, DecodeError, Frame, Route};

/// `82 82 00 81`: padded message, variant 0, its one field.
const PAYLOAD_HEAD: [u8; 4] = [0x82, 0x82, 0x00, 0x81];
/// An empty byte string.
const EMPTY_PADDING: [u8; 1] = [0x40];
/// The whole of a Close message.
const CLOSE: [u8; 5] = [0x82, 0x82, 0x02, 0x80, 0x40];

/// A decrypted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plaintext {
    /// A message for a worker behind the channel.
    Payload {
        /// Where it is to go.
        onward: Route,
        /// Where replies go.
        return_route: Route,
        /// Where in the plaintext its payload stands.
        payload: Range<usize>,
    },
    /// The peer presents its history and credentials anew.
    RefreshCredentials {
        /// Where in the plaintext the encoded history stands.
        history: Range<usize>,
        /// The credentials, encoded and not verified.
        credentials: Vec<Vec<u8>>,
    },
    /// The peer ends the channel.
    Close,
}

/// Reads a plaintext, as lenient as the reference: additional elements, padding of any content, bytes
/// behind the message are accepted.
///
/// # Errors
/// [`DecodeError`]; in particular [`DecodeError::TooManyHops`], [`DecodeError::Unknown`].
pub fn decode(plaintext: &[u8]) -> Result<Plaintext, DecodeError> {
    let mut reader = Reader::new(plaintext);
    let mut padded = reader.array()?;
    padded.expect(&mut reader, "message")?;
    let mut outer = reader.array()?;
    outer.expect(&mut reader, "variant")?;
    let variant = reader.u64()?;
    outer.expect(&mut reader, "fields")?;
    let mut fields = reader.array()?;
    let message = match variant {
        0 => read_payload(&mut reader, &mut fields)?,
        1 => read_refresh(&mut reader, &mut fields)?,
        2 => Plaintext::Close,
        value => {
            let what = "channel message";
            return Err(DecodeError::Unknown { what, value });
        }
    };
    fields.skip_rest(&mut reader)?;
    outer.skip_rest(&mut reader)?;
    padded.expect(&mut reader, "padding")?;
    reader.bytes()?;
    padded.skip_rest(&mut reader)?;
    Ok(message)
}

fn read_payload(reader: &mut Reader<'_>, fields: &mut Items) -> Result<Plaintext, DecodeError> {
    fields.expect(reader, "payload message")?;
    let mut message = reader.array()?;
    message.expect(reader, "onward_route")?;
    let onward = wire::read_route(reader)?;
    message.expect(reader, "return_route")?;
    let return_route = wire::read_route(reader)?;
    message.expect(reader, "payload")?;
    let len = reader.bytes()?.len();
    let end = reader.position();
    message.skip_rest(reader)?;
    Ok(Plaintext::Payload {
        onward,
        return_route,
        payload: end - len..end,
    })
}

fn read_refresh(reader: &mut Reader<'_>, fields: &mut Items) -> Result<Plaintext, DecodeError> {
    fields.expect(reader, "refresh message")?;
    let mut message = reader.array()?;
    message.expect(reader, "change_history")?;
    let start = reader.position();
    reader.skip()?;
    let history = start..reader.position();
    if history.len() > MAX_HISTORY_LEN {
        return Err(DecodeError::TooLong {
            length: history.len() as u64,
            max: MAX_HISTORY_LEN,
        });
    }
    message.expect(reader, "credentials")?;
    let credentials = read_credentials(reader)?;
    message.skip_rest(reader)?;
    Ok(Plaintext::RefreshCredentials {
        history,
        credentials,
    })
}

/// Turns the frame's content, a payload, into a Payload message, in place.
pub fn encode_payload(frame: &mut Frame, onward: &Route, return_route: &Route) {
    let payload_len = frame.len();
    let prefix_len = wire::routing_prefix_len(onward, return_route, payload_len);
    let prefix = frame.prepend(PAYLOAD_HEAD.len() + prefix_len);
    if let Some((head, routing)) = prefix.split_first_chunk_mut() {
        *head = PAYLOAD_HEAD;
        wire::write_routing_prefix(onward, return_route, payload_len, routing);
    }
    frame.append(&EMPTY_PADDING);
}

/// Bytes by which [`encode_payload`] and sealing together lengthen a payload of `payload_len` bytes.
#[must_use]
pub fn payload_overhead(onward: &Route, return_route: &Route, payload_len: usize) -> usize {
    PAYLOAD_HEAD.len()
        + wire::routing_prefix_len(onward, return_route, payload_len)
        + EMPTY_PADDING.len()
        + RECORD_OVERHEAD
}

/// A Close message, to be sealed.
#[must_use]
pub fn encode_close() -> Frame {
    Frame::from_slice(&CLOSE)
}

/// A RefreshCredentials message, to be sealed: an exported history and encoded credentials.
#[must_use]
pub fn encode_refresh(history: &[u8], credentials: &[Vec<u8>]) -> Frame {
    let mut writer = Writer::vec();
    writer.array(2).array(2).unsigned(1).array(1).array(2);
    writer.encoded(history).array(credentials.len());
    for credential in credentials {
        writer.encoded(credential);
    }
    writer.encoded(&EMPTY_PADDING);
    Frame::from_slice(&writer.into_sink())
}
