//! Laws of the wire: what was encoded decodes to the same, and no input makes a decoder panic.

use proptest::prelude::*;
use sealway_core::wire::legacy::{self, TransportMessage, Version};
use sealway_core::wire::tcp::{self, Deframer};
use sealway_core::wire::{
    Address, AddressType, Frame, MAX_ONWARD_HOPS, MultiAddr, Protocol, Route, RoutingMessage, bare,
    cbor, encode_routing,
};

fn addresses() -> impl Strategy<Value = Address> {
    let value = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        prop::collection::vec(any::<u8>(), 200..300),
    ];
    (any::<u8>(), value).prop_map(|(kind, value)| Address::new(AddressType(kind), value))
}

fn routes() -> impl Strategy<Value = Route> {
    prop_oneof![
        8 => prop::collection::vec(addresses(), 0..6),
        1 => prop::collection::vec(addresses(), 0..=MAX_ONWARD_HOPS),
    ]
    .prop_map(Route::from_iter)
}

fn protocols() -> impl Strategy<Value = Protocol> {
    let name = "[^/\\p{C}\\p{Z}]{0,30}";
    prop_oneof![
        any::<[u8; 4]>().prop_map(|octets| Protocol::Ip4(octets.into())),
        any::<[u8; 16]>().prop_map(|octets| Protocol::Ip6(octets.into())),
        any::<u16>().prop_map(Protocol::Tcp),
        any::<u16>().prop_map(Protocol::Udp),
        name.prop_map(Protocol::DnsAddr),
        name.prop_map(Protocol::Service),
        name.prop_map(Protocol::Node),
        name.prop_map(Protocol::Secure),
        name.prop_map(Protocol::Worker),
        ".{0,30}".prop_map(Protocol::Unix),
    ]
}

/// Bytes near the grammar: random items often get far enough into a decoder to matter.
fn almost_cbor() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        4 => prop::sample::select(vec![
            0x80, 0x81, 0x82, 0x83, 0x84, 0x9f, 0xff, 0xa0, 0xa1, 0xbf, 0x40, 0x41, 0x44, 0x5f,
            0x58, 0x5b, 0x9b, 0xbb, 0x60, 0x61, 0x00, 0x01, 0x18, 0x1b, 0xf4, 0xf6, 0xc1, 0xfb,
        ]),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn routing_messages_come_back(onward in routes(), back in routes(), payload: Vec<u8>) {
        let mut frame = Frame::from_slice(&payload);
        encode_routing(&mut frame, &onward, &back);
        let message = RoutingMessage::decode(frame.as_slice()).expect("our own message");
        prop_assert_eq!(message.onward, onward);
        prop_assert_eq!(message.return_route, back);
        frame.narrow(message.payload);
        prop_assert_eq!(frame.as_slice(), &payload[..]);
    }

    #[test]
    fn transport_messages_come_back(
        onward in routes(), back in routes(), payload: Vec<u8>, second: bool,
    ) {
        let version = if second { Version::V2 } else { Version::V1 };
        let mut frame = Frame::from_slice(&payload);
        legacy::encode(&mut frame, version, &onward, &back);
        let message = TransportMessage::decode(frame.as_slice()).expect("our own message");
        prop_assert_eq!(message.version, version);
        prop_assert_eq!(message.onward, onward);
        prop_assert_eq!(message.return_route, back);
        prop_assert_eq!(&frame.as_slice()[message.payload], &payload[..]);
    }

    #[test]
    fn prefixes_of_messages_are_refused(onward in routes(), back in routes(), cut: usize) {
        let mut frame = Frame::from_slice(b"payload");
        encode_routing(&mut frame, &onward, &back);
        let whole = frame.as_slice();
        prop_assert!(RoutingMessage::decode(&whole[..cut % whole.len()]).is_err());
    }

    #[test]
    fn multiaddrs_come_back(parts in prop::collection::vec(protocols(), 0..8)) {
        let address: MultiAddr = parts.into_iter().collect();
        prop_assert_eq!(&MultiAddr::decode(&address.encode()).expect("our own binary"), &address);
        prop_assert_eq!(&address.to_string().parse::<MultiAddr>().expect("our own text"), &address);
    }

    #[test]
    fn addresses_of_text_come_back(kind: u8, value in "[ -\"$-\\[\\]-~]{0,60}") {
        let address = Address::new(AddressType(kind), &value);
        prop_assert_eq!(address.to_string().parse::<Address>().expect("our own text"), address);
    }

    #[test]
    fn uints_come_back(value: u64) {
        let mut out = Vec::new();
        bare::write_uint(&mut out, value);
        prop_assert_eq!(out.len(), bare::uint_len(value));
        prop_assert_eq!(bare::Reader::new(&out).uint(), Ok(value));
    }

    #[test]
    fn a_frame_is_what_was_written_around_its_content(
        content: Vec<u8>, before in prop::collection::vec(any::<u8>(), 0..700), after: Vec<u8>,
    ) {
        let mut frame = Frame::from_slice(&content);
        for byte in before.iter().rev() {
            frame.prepend(1).copy_from_slice(&[*byte]);
        }
        frame.append(&after);
        prop_assert_eq!(frame.as_slice(), &[&before[..], &content, &after].concat()[..]);
        frame.narrow(before.len()..before.len() + content.len());
        prop_assert_eq!(frame.as_slice(), &content[..]);
    }

    #[test]
    fn frames_survive_every_cut_of_the_stream(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        cuts in prop::collection::vec(1_usize..200, 1..40),
    ) {
        let mut stream = vec![tcp::VERSION];
        for body in &bodies {
            let mut frame = Frame::from_slice(body);
            tcp::encode_frame(&mut frame).expect("small");
            stream.extend(frame.as_slice());
        }
        let mut deframer = Deframer::new();
        let mut received = Vec::new();
        let mut rest = &stream[..];
        for cut in cuts.iter().cycle() {
            let (part, behind) = rest.split_at((*cut).min(rest.len()));
            deframer.room().extend_from_slice(part);
            while let Some(frame) = deframer.next_frame().expect("valid") {
                received.push(frame.as_slice().to_vec());
            }
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(received, bodies);
        prop_assert!(deframer.is_at_boundary());
    }

    #[test]
    fn decoding_never_panics(input in prop_oneof![
        almost_cbor(),
        prop::collection::vec(any::<u8>(), 0..300),
    ]) {
        let _ = RoutingMessage::decode(&input);
        let _ = TransportMessage::decode(&input);
        let _ = MultiAddr::decode(&input);
        let _ = cbor::Reader::new(&input).skip();
        let mut deframer = Deframer::new();
        deframer.feed(&input);
        while let Ok(Some(_)) = deframer.next_frame() {}
    }

    #[test]
    fn parsing_text_never_panics(text in ".{0,80}") {
        let _ = text.parse::<Address>();
        let _ = text.parse::<Route>();
        let _ = text.parse::<MultiAddr>();
    }

    #[test]
    fn skipping_agrees_with_minicbor(input in almost_cbor()) {
        let mut ours = cbor::Reader::new(&input);
        let mut theirs = minicbor::Decoder::new(&input);
        if ours.skip().is_ok() {
            prop_assert!(theirs.skip().is_ok());
            prop_assert_eq!(ours.position(), theirs.position());
        }
    }
}
