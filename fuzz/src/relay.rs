//! A relay's table beside a simple model of what it promises.

use std::collections::BTreeMap;

use sealway_core::UnixSeconds;
use sealway_core::identity::Identifier;
use sealway_core::relay::{
    Limits, NameRecord, Refusal, Registrant, Registration, Table, accept_confirmation,
};
use sealway_core::wire::{Address, Route};

use crate::input::Input;

/// Most steps of one run.
const MAX_STEPS: usize = 128;

/// Small, so that every bound is met.
const LIMITS: Limits = Limits {
    live: 6,
    live_per_registrant: 3,
    live_per_source: 4,
    names: 5,
    names_per_identity: 2,
    names_per_source: 3,
    name_lifetime: 100,
};

struct Model {
    table: Table,
    live: BTreeMap<Address, (Registrant, u64, Route)>,
    names: BTreeMap<String, (Identifier, UnixSeconds)>,
    now: u64,
    drawn: u8,
}

/// A relay's table. What must hold: an address is served for one registrant only, an alias is kept
/// for its owner until it expires unused, the bounds are kept, and what is refused changes nothing.
pub fn relay_table(data: &[u8]) {
    let mut input = Input(data);
    let restored = input
        .byte()
        .is_some_and(|byte| byte % 2 == 1)
        .then(|| NameRecord {
            alias: "n0".into(),
            owner: identity(0),
            expires: UnixSeconds(50),
        });
    let names = restored
        .iter()
        .map(|name| (name.alias.clone(), (name.owner, name.expires)));
    let mut model = Model {
        live: BTreeMap::new(),
        names: names.collect(),
        table: Table::new(LIMITS, restored),
        now: 0,
        drawn: 0,
    };
    for _ in 0..MAX_STEPS {
        if model.step(&mut input).is_none() {
            break;
        }
        model.check();
    }
}

fn identity(number: u8) -> Identifier {
    Identifier::from_bytes([number; 32])
}

fn hop(number: u8) -> Address {
    Address::local([b'h', number])
}

impl Model {
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 8 {
            0..=3 => self.register(input)?,
            4 => {
                let at = input.index(self.live.len())?;
                let address = self.live.keys().nth(at)?.clone();
                assert!(self.table.remove(&address));
                assert!(!self.table.remove(&address));
                self.live.remove(&address);
            }
            5 => {
                let gone = hop(input.byte()? % 4);
                let mut removed = self.table.remove_behind(&gone);
                removed.sort();
                let behind = |route: &Route| route.first() == Some(&gone);
                let mine = self.live.iter().filter(|(_, (_, _, route))| behind(route));
                let mine: Vec<_> = mine.map(|(address, _)| address.clone()).collect();
                assert_eq!(removed, mine);
                self.live.retain(|_, (_, _, route)| !behind(route));
            }
            6 => {
                for alias in self.table.expire(UnixSeconds(self.now)) {
                    assert!(!self.is_kept(&alias), "{alias} is its owner's still");
                    assert!(self.names.remove(&alias).is_some());
                }
            }
            _ => self.now += u64::from(input.byte()?),
        }
        Some(())
    }

    /// Whether nobody but its owner may have `alias`.
    fn is_kept(&self, alias: &str) -> bool {
        let served = self.live.contains_key(&alias_address(alias));
        let expires = self.names.get(alias).map(|(_, expires)| *expires);
        expires.is_some_and(|expires| served || expires > UnixSeconds(self.now))
    }

    fn register(&mut self, input: &mut Input<'_>) -> Option<()> {
        let kind = input.byte()?;
        let registration = match kind % 8 {
            0 => Registration::Ephemeral,
            1 => Registration::Native {
                service: format!("s{}", kind / 8 % 3),
            },
            2 => Registration::decode(input.bytes()?).unwrap_or(Registration::Ephemeral),
            _ => Registration::Alias(format!("n{}", kind / 8 % 8)),
        };
        let who = input.byte()?;
        let registrant = match who % 4 {
            3 => Registrant::Connection(u64::from(who / 4 % 2)),
            number => Registrant::Identity(identity(number)),
        };
        let source = u64::from(who / 8 % 3);
        let hops = usize::from(input.byte()?);
        let hops = if hops < 240 { hops % 4 } else { hops - 200 };
        let route: Route = (0..hops).map(|at| hop(who / 16 + (at as u8))).collect();
        self.drawn = self.drawn.wrapping_add(1);
        let random = [self.drawn; 16];
        let now = UnixSeconds(self.now);
        match self.table.register(
            &registration,
            registrant,
            source,
            route.clone(),
            now,
            random,
        ) {
            Ok(registered) => {
                let owner = match registrant {
                    Registrant::Identity(identifier) => identifier,
                    Registrant::Connection(_) => {
                        assert_eq!(registration, Registration::Ephemeral);
                        identity(99)
                    }
                };
                let back: Route = registered.address.clone().into();
                let payload = &registered.confirmation;
                let accepted = accept_confirmation(&registration, &owner, payload, &back);
                assert_eq!(accepted.as_ref(), Ok(&registered.address));
                if let Registration::Alias(alias) = &registration {
                    let other = self.names.get(alias).is_some_and(|(of, _)| *of != owner);
                    assert!(!(other && self.is_kept(alias)), "{alias} was another's");
                    let expires = UnixSeconds(self.now + LIMITS.name_lifetime);
                    let alias = alias.clone();
                    let record = NameRecord {
                        alias: alias.clone(),
                        owner,
                        expires,
                    };
                    assert_eq!(registered.persist, Some(record));
                    self.names.insert(alias, (owner, expires));
                } else {
                    assert_eq!(registered.persist, None);
                }
                let before = self
                    .live
                    .insert(registered.address, (registrant, source, route));
                assert_eq!(registered.has_replaced, before.is_some());
                assert!(before.is_none_or(|(of, _, _)| of == registrant));
            }
            Err(Refusal::Route { hops }) => assert!(hops == 0 || hops > 32),
            Err(_) => {}
        }
        Some(())
    }

    fn check(&self) {
        assert_eq!(self.table.len(), self.live.len());
        assert!(self.live.len() <= LIMITS.live);
        assert!(self.names.len() <= LIMITS.names);
        for (address, (registrant, source, route)) in &self.live {
            assert_eq!(self.table.route(address), Some(route));
            let of = |(other, _, _): &&(Registrant, u64, Route)| other == registrant;
            assert!(self.live.values().filter(of).count() <= LIMITS.live_per_registrant);
            let near = |(_, other, _): &&(Registrant, u64, Route)| other == source;
            assert!(self.live.values().filter(near).count() <= LIMITS.live_per_source);
        }
        for (owner, _) in self.names.values() {
            let of = self.names.values().filter(|(other, _)| other == owner);
            assert!(of.count() <= LIMITS.names_per_identity);
        }
    }
}

fn alias_address(alias: &str) -> Address {
    Address::local(format!("forward_to_{alias}"))
}
