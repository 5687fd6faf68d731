//! The older transport message in BARE (reference, section 1.5): WebSocket, Unix sockets and BLE of
//! the reference, UDP, pipes and streams of its Elixir form.

use core::ops::Range;

use super::bare::{self, Reader};
use super::{Address, AddressType, DecodeError, Frame, MAX_ADDRESS, MAX_ONWARD_HOPS, Route};

/// Fewest bytes of an address: its type and an empty value's length.
const MIN_ADDRESS_LEN: u64 = 2;

/// Which form is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Without the tracing context, and without the option that the reference appends to it all
    /// the same: Elixir nodes demand that nothing follows.
    V1,
    /// With the option of a tracing context, which is written as absent.
    V2,
}

/// A transport message, with its payload left where it is.
///
/// ```text
/// version: u8 | onward: route | return: route | payload: data | v2: tracing: optional<string>
/// route = count: uint, count * (type: u8, value: data)
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportMessage {
    /// 1 or 2, as it was read.
    pub version: Version,
    /// Where the message still has to go.
    pub onward: Route,
    /// Where a reply goes.
    pub return_route: Route,
    /// Where in the input the payload stands.
    pub payload: Range<usize>,
}

impl TransportMessage {
    /// Reads a message. What follows version 1 is ignored, as in the reference, which appends the
    /// tracing option of version 2 there.
    ///
    /// # Errors
    /// [`DecodeError`]; counts are checked before anything is allocated.
    pub fn decode(input: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(input);
        let version = match reader.u8()? {
            1 => Version::V1,
            2 => Version::V2,
            other => return Err(DecodeError::UnsupportedVersion(other)),
        };
        let onward = read_route(&mut reader)?;
        let return_route = read_route(&mut reader)?;
        let length = reader.data()?.len();
        let end = reader.position();
        if version == Version::V2 {
            skip_tracing(&mut reader)?;
        }
        Ok(Self {
            version,
            onward,
            return_route,
            payload: end - length..end,
        })
    }
}

/// Turns the frame's content, a payload, into a transport message, in place.
pub fn encode(frame: &mut Frame, version: Version, onward: &Route, return_route: &Route) {
    let (payload_len, payload_len_len) = bare::encode_uint(frame.len() as u64);
    let length = 1 + route_len(onward) + route_len(return_route) + payload_len_len;
    let mut prefix = alloc::vec::Vec::with_capacity(length);
    prefix.push(match version {
        Version::V1 => 1,
        Version::V2 => 2,
    });
    write_route(&mut prefix, onward);
    write_route(&mut prefix, return_route);
    prefix.extend(payload_len.iter().take(payload_len_len));
    frame.prepend(prefix.len()).copy_from_slice(&prefix);
    if version == Version::V2 {
        frame.append(&[0]);
    }
}

fn skip_tracing(reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let position = reader.position();
    match reader.u8()? {
        0 => Ok(()),
        1 => reader.string().map(|_| ()),
        _ => Err(DecodeError::Malformed { position }),
    }
}

fn read_route(reader: &mut Reader<'_>) -> Result<Route, DecodeError> {
    let hops = reader.uint()?;
    if hops > MAX_ONWARD_HOPS as u64 {
        return Err(DecodeError::TooManyHops {
            hops,
            max: MAX_ONWARD_HOPS,
        });
    }
    let needed = hops * MIN_ADDRESS_LEN;
    let available = reader.remaining().len();
    if needed > available as u64 {
        return Err(DecodeError::Truncated { needed, available });
    }
    (0..hops).map(|_| read_address(reader)).collect()
}

fn read_address(reader: &mut Reader<'_>) -> Result<Address, DecodeError> {
    let kind = AddressType(reader.u8()?);
    Ok(Address::new(kind, reader.data_at_most(MAX_ADDRESS)?))
}

fn route_len(route: &Route) -> usize {
    let addresses: usize = route
        .iter()
        .map(|address| {
            let length = address.value().len();
            1 + bare::uint_len(length as u64) + length
        })
        .sum();
    bare::uint_len(route.len() as u64) + addresses
}

fn write_route(out: &mut alloc::vec::Vec<u8>, route: &Route) {
    bare::write_uint(out, route.len() as u64);
    for address in route.iter() {
        out.push(address.kind().0);
        bare::write_data(out, address.value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(version: Version) -> Frame {
        let mut frame = Frame::from_slice(b"body");
        let onward = Route::from([Address::new(AddressType::UDP, "h:1"), "a".into()]);
        encode(&mut frame, version, &onward, &Route::from("b"));
        frame
    }

    #[test]
    fn both_versions_come_back() {
        for version in [Version::V1, Version::V2] {
            let frame = encoded(version);
            let message = TransportMessage::decode(frame.as_slice()).expect("a message");
            assert_eq!(message.version, version);
            assert_eq!(alloc::format!("{}", message.onward), "2#h:1 => 0#a");
            assert_eq!(alloc::format!("{}", message.return_route), "0#b");
            assert_eq!(frame.as_slice().get(message.payload), Some(&b"body"[..]));
        }
    }

    #[test]
    fn version_two_needs_its_option_and_version_one_ignores_what_follows() {
        let mut frame = encoded(Version::V2);
        frame.truncate(frame.len() - 1);
        assert!(TransportMessage::decode(frame.as_slice()).is_err());
        frame.append(&[2]);
        assert!(TransportMessage::decode(frame.as_slice()).is_err());
        let mut frame = encoded(Version::V1);
        frame.append(&[2, 3]);
        assert!(TransportMessage::decode(frame.as_slice()).is_ok());
    }

    #[test]
    fn other_versions_are_refused() {
        for version in [0, 3, 255] {
            assert_eq!(
                TransportMessage::decode(&[version, 0, 0, 0]),
                Err(DecodeError::UnsupportedVersion(version))
            );
        }
    }
}
