//! What was encoded decodes to the same, and no input makes a decoder panic.

use proptest::prelude::*;
use sealway_core::UnixSeconds;
use sealway_core::control::{ErrorBody, Method, Request, Response, Status};
use sealway_core::identity::Identifier;
use sealway_core::portal::{self, Message};
use sealway_core::relay::{Limits, Registrant, Registration, Table};
use sealway_core::wire::{Address, Frame, Route};

fn registrations() -> impl Strategy<Value = Registration> {
    let name = "[a-z0-9._-]{0,20}";
    prop_oneof![
        Just(Registration::Ephemeral),
        name.prop_filter("the other form", |name| name != "register")
            .prop_map(Registration::Alias),
        name.prop_map(|service| Registration::Native { service }),
    ]
}

fn registrants() -> impl Strategy<Value = Registrant> {
    prop_oneof![
        (0_u8..4).prop_map(|n| Registrant::Identity(Identifier::from_bytes([n; 32]))),
        (0_u64..3).prop_map(Registrant::Connection),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn portal_payloads_come_back(content: Vec<u8>, counter: Option<u16>) {
        let mut frame = Frame::from_slice(&content);
        portal::encode_payload(&mut frame, counter);
        prop_assert!(frame.len() <= content.len() + portal::PAYLOAD_OVERHEAD);
        let Ok(Message::Payload { data, counter: found }) = Message::decode(frame.as_slice()) else {
            panic!("our own payload");
        };
        prop_assert_eq!(found, counter);
        frame.narrow(data);
        prop_assert_eq!(frame.as_slice(), &content[..]);
    }

    #[test]
    fn registrations_come_back(registration in registrations()) {
        prop_assert_eq!(Registration::decode(&registration.encode()), Ok(registration));
    }

    #[test]
    fn requests_come_back(id: u32, path in ".{0,40}", method in 0_u64..6, body: Option<Vec<u8>>) {
        let method = Method::from_code(method);
        let request = Request { id, path, method, has_body: body.is_some() };
        let payload = request.encode(body.as_deref());
        prop_assert_eq!(Request::decode(&payload), Ok((request, body.as_deref())));
    }

    #[test]
    fn responses_come_back(id: u32, re: u32, status in 199_u64..502, body: Option<Vec<u8>>) {
        let status = Status::from_code(status);
        let response = Response { id, re, status, has_body: body.is_some() };
        let payload = response.encode(body.as_deref());
        prop_assert_eq!(Response::decode(&payload), Ok((response, body.as_deref())));
    }

    #[test]
    fn decoding_never_panics(input in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Message::decode(&input);
        let _ = Registration::decode(&input);
        let _ = Request::decode(&input);
        let _ = Response::decode(&input);
        let _ = ErrorBody::decode(&input);
    }

    /// Whoever registers, in whatever order: an address leads to its registrant alone, an alias
    /// that is kept is served to nobody but its owner, and the bounds hold.
    #[test]
    fn relay_names_belong_to_one_identity(
        calls in prop::collection::vec((registrants(), "[ab]{1,2}", 0_u64..40, any::<bool>()), 0..60),
    ) {
        let limits = Limits {
            live: 5, live_per_registrant: 3, live_per_source: 5, names: 4, names_per_identity: 2, names_per_source: 4,
            name_lifetime: 50,
        };
        let mut table = Table::new(limits, []);
        let mut owners: Vec<(String, Identifier, u64)> = Vec::new();
        let mut now = 0;
        for (who, alias, passed, removes) in calls {
            now += passed;
            let registration = Registration::Alias(alias.clone());
            let route = Route::from([Address::from("hop")]);
            let registered = table.register(&registration, who, 1, route, UnixSeconds(now), [0; 16]);
            let owner = owners.iter().position(|(name, ..)| *name == alias);
            match (registered, who) {
                (Ok(registered), Registrant::Identity(identifier)) => {
                    if let Some((_, earlier, expires)) = owner.map(|at| owners.swap_remove(at)) {
                        prop_assert!(earlier == identifier || expires <= now);
                    }
                    owners.push((alias, identifier, now + limits.name_lifetime));
                    if removes {
                        table.remove(&registered.address);
                    }
                }
                (Ok(_), Registrant::Connection(_)) => panic!("an alias without an identity"),
                (Err(_), _) => {}
            }
            prop_assert!(table.len() <= limits.live);
        }
    }
}
