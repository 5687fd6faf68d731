//! Routing messages: what a transport frame holds (reference, section 1.4).

use core::ops::Range;

use super::cbor::{self, Reader, Sink, Writer};
use super::{Address, AddressType, DecodeError, Frame, MAX_ADDRESS, Route};

/// Most hops in a route that is read; a route with more is refused before anything is allocated.
pub const MAX_ONWARD_HOPS: usize = 64;

/// Most return hops of a message that a node passes on: it ends loops.
///
/// Decoding accepts up to [`MAX_ONWARD_HOPS`]; the node refuses what exceeds this.
pub const MAX_RETURN_HOPS: usize = 16;

/// A routing message, with its payload left where it is.
///
/// ```cddl
/// message = [onward: [* address], return: [* address], payload: bstr, ? tracing: tstr / null]
/// address = [type: uint .size 1, value: bstr]
/// ```
///
/// The tracing context is skipped when read and never written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingMessage {
    /// Where the message still has to go; empty in a heartbeat.
    pub onward: Route,
    /// Where a reply goes.
    pub return_route: Route,
    /// Where in the input the payload stands.
    pub payload: Range<usize>,
}

impl RoutingMessage {
    /// Reads a message, as lenient as the reference: containers of indefinite length, long
    /// integers, additional elements and bytes behind the message are accepted.
    ///
    /// # Errors
    /// [`DecodeError`]; in particular [`DecodeError::TooManyHops`].
    pub fn decode(input: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(input);
        let mut fields = reader.array()?;
        fields.expect(&mut reader, "onward_route")?;
        let onward = read_route(&mut reader)?;
        fields.expect(&mut reader, "return_route")?;
        let return_route = read_route(&mut reader)?;
        fields.expect(&mut reader, "payload")?;
        let length = reader.bytes()?.len();
        let end = reader.position();
        fields.skip_rest(&mut reader)?;
        Ok(Self {
            onward,
            return_route,
            payload: end - length..end,
        })
    }
}

/// Reads a route in its CBOR form.
///
/// # Errors
/// [`DecodeError::TooManyHops`] before anything is allocated, and the errors of the encoding.
pub(crate) fn read_route(reader: &mut Reader<'_>) -> Result<Route, DecodeError> {
    let mut items = reader.array()?;
    let too_many = |hops| DecodeError::TooManyHops {
        hops,
        max: MAX_ONWARD_HOPS,
    };
    if let Some(hops) = items.count()
        && hops > MAX_ONWARD_HOPS as u64
    {
        return Err(too_many(hops));
    }
    let mut seen = 0;
    let mut failed = None;
    let hops = core::iter::from_fn(|| match items.next(reader) {
        Ok(false) => None,
        Ok(true) if seen == MAX_ONWARD_HOPS => {
            failed = Some(too_many(seen as u64 + 1));
            None
        }
        Ok(true) => {
            seen += 1;
            read_address(reader)
                .map_err(|error| failed = Some(error))
                .ok()
        }
        Err(error) => {
            failed = Some(error);
            None
        }
    });
    let route = hops.collect();
    failed.map_or(Ok(route), Err)
}

fn read_address(reader: &mut Reader<'_>) -> Result<Address, DecodeError> {
    let mut fields = reader.array()?;
    fields.expect(reader, "address type")?;
    let kind = AddressType(reader.u8()?);
    fields.expect(reader, "address value")?;
    let value = reader.bytes_at_most(MAX_ADDRESS)?;
    fields.skip_rest(reader)?;
    Ok(Address::new(kind, value))
}

/// Bytes that `route` takes in its CBOR form.
pub(crate) fn route_len(route: &Route) -> usize {
    let addresses: usize = route
        .iter()
        .map(|address| {
            let length = address.value().len();
            1 + cbor::head_len(address.kind().0.into()) + cbor::head_len(length as u64) + length
        })
        .sum();
    cbor::head_len(route.len() as u64) + addresses
}

/// Writes `route` in its CBOR form.
pub(crate) fn write_route<S: Sink>(writer: &mut Writer<S>, route: &Route) {
    writer.array(route.len());
    for address in route.iter() {
        writer
            .array(2)
            .unsigned(address.kind().0.into())
            .bytes(address.value());
    }
}

/// Bytes that stand before the payload of a message with these routes.
#[must_use]
pub fn routing_prefix_len(onward: &Route, return_route: &Route, payload_len: usize) -> usize {
    1 + route_len(onward) + route_len(return_route) + cbor::head_len(payload_len as u64)
}

/// Writes what stands before the payload: `83 | onward | return | head of the payload`.
///
/// `out` is [`routing_prefix_len`] bytes long.
pub fn write_routing_prefix(
    onward: &Route,
    return_route: &Route,
    payload_len: usize,
    out: &mut [u8],
) {
    let mut writer = Writer::new(out);
    writer.array(3);
    write_route(&mut writer, onward);
    write_route(&mut writer, return_route);
    writer.bytes_head(payload_len);
    debug_assert!(
        writer.into_sink().is_empty(),
        "the length was computed before"
    );
}

/// Turns the frame's content, a payload, into a routing message, in place.
pub fn encode_routing(frame: &mut Frame, onward: &Route, return_route: &Route) {
    let payload_len = frame.len();
    let prefix = frame.prepend(routing_prefix_len(onward, return_route, payload_len));
    write_routing_prefix(onward, return_route, payload_len, prefix);
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use alloc::vec::Vec;

    fn route(text: &str) -> Route {
        text.parse().expect("a route")
    }

    #[test]
    fn encoded_messages_decode_to_the_same() {
        let mut frame = Frame::from_slice(b"payload");
        encode_routing(&mut frame, &route("1#h:1 => a"), &route("b"));
        let message = RoutingMessage::decode(frame.as_slice()).expect("a message");
        assert_eq!(message.onward, route("1#h:1 => a"));
        assert_eq!(message.return_route, route("b"));
        frame.narrow(message.payload);
        assert_eq!(frame.as_slice(), b"payload");
    }

    #[test]
    fn lenient_forms_are_read() {
        // [_ [_ [_ 0 (in two bytes), 'a', 9]], [], 'p', null, {1: 2}] and two bytes more
        let input = [
            0x9f, 0x9f, 0x9f, 0x18, 0, 0x41, b'a', 9, 0xff, 0xff, 0x80, 0x58, 1, b'p', 0xf6, 0xa1,
            1, 2, 0xff, 1, 2,
        ];
        let message = RoutingMessage::decode(&input).expect("a message");
        assert_eq!(message.onward, route("a"));
        assert!(message.return_route.is_empty());
        assert_eq!(input.get(message.payload), Some(&b"p"[..]));
    }

    #[test]
    fn routes_of_a_million_hops_are_refused() {
        let definite = [&[0x83, 0x9a, 0, 0x0f, 0x42, 0x40][..], &[0x80; 1_000_000]].concat();
        assert_eq!(
            RoutingMessage::decode(&definite),
            Err(DecodeError::TooManyHops {
                hops: 1_000_000,
                max: MAX_ONWARD_HOPS
            })
        );
        let hops: Vec<u8> = [0x82, 0, 0x41, b'a'].repeat(1_000_000);
        let indefinite = [&[0x83, 0x9f][..], &hops].concat();
        assert_eq!(
            RoutingMessage::decode(&indefinite),
            Err(DecodeError::TooManyHops {
                hops: 65,
                max: MAX_ONWARD_HOPS
            })
        );
    }

    #[test]
    fn addresses_beyond_the_limit_are_refused() {
        let mut input = vec![0x83, 0x81, 0x82, 0, 0x59, 0x04, 0x01];
        input.extend([b'a'; 1_025]);
        input.extend([0x80, 0x40]);
        assert!(matches!(
            RoutingMessage::decode(&input),
            Err(DecodeError::TooLong { .. })
        ));
    }
}
