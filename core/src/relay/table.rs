//! The side that relays: who has which name, and where it leads.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::ADDRESS_PREFIX;
use super::registration::{AliasError, Registration, check_alias, native_name};
use crate::UnixSeconds;
use crate::identity::Identifier;
use crate::wire::{Address, MAX_ONWARD_HOPS, Route, bare};

/// Bounds of a relay's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Addresses that are served at one time.
    pub live: usize,
    /// Addresses that one identity, or one connection without an identity, is served with.
    pub live_per_registrant: usize,
    /// Addresses that registrants from one source are served with.
    pub live_per_source: usize,
    /// Aliases that are kept for their owners, in use or not.
    pub names: usize,
    /// Aliases that are kept for one identity.
    pub names_per_identity: usize,
    /// Aliases that one source has taken since the table was made.
    pub names_per_source: usize,
    /// For how many seconds an alias is kept after it was last registered.
    pub name_lifetime: u64,
}

impl Default for Limits {
    /// 16,384 addresses, 64 a registrant, 4,096 a source; 65,536 aliases, 32 an identity, 16,384 a source; 30 days.
    fn default() -> Self {
        Self {
            live: 16_384,
            live_per_registrant: 64,
            live_per_source: 4_096,
            names: 65_536,
            names_per_identity: 32,
            names_per_source: 16_384,
            name_lifetime: 30 * 24 * 3_600,
        }
    }
}

/// Who registers, as far as this node has proved it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registrant {
    /// The identity at the other end of the channel that the registration came by.
    Identity(Identifier),
    /// Nobody known, on this connection (a number of the caller's): ephemeral names only.
    Connection(u64),
}

/// An alias and its owner, as it is persisted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameRecord {
    /// The alias.
    pub alias: String,
    /// Who registered it first.
    pub owner: Identifier,
    /// When others may have it.
    pub expires: UnixSeconds,
}

/// A registration that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The relay's address, from which the confirmation is sent: its return route.
    pub address: Address,
    /// The confirmation's payload: the full address, as Rust relays send it.
    pub confirmation: Vec<u8>,
    /// What to persist before the confirmation is sent.
    pub persist: Option<NameRecord>,
    /// Whether an earlier registration of the same registrant was replaced.
    pub has_replaced: bool,
}

/// Why a registration is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// An alias or native name without a channel that proves an identity.
    #[error("a relay name needs a secure channel")]
    NoIdentity,
    /// The name belongs to another identity.
    #[error("the relay name belongs to another identity")]
    NotOwner,
    /// The name cannot be an alias.
    #[error(transparent)]
    Alias(#[from] AliasError),
    /// The registrant has as many names as it may.
    #[error("{count} relay names are all that one registrant may have")]
    Quota {
        /// The limit.
        count: usize,
    },
    /// Registrants from where this one comes have as many names as they may.
    #[error("{count} relay names are all that one source may have")]
    SourceQuota {
        /// The limit.
        count: usize,
    },
    /// The relay has as many names as it keeps.
    #[error("the relay is full")]
    Full,
    /// The registration's return route is empty or too long.
    #[error("the return route of the registration has {hops} hops")]
    Route {
        /// Its hops.
        hops: usize,
    },
}

#[derive(Debug)]
struct Entry {
    registrant: Registrant,
    source: u64,
    route: Route,
}

/// A kept alias.
#[derive(Debug)]
struct Name {
    owner: Identifier,
    expires: UnixSeconds,
    /// Where it was taken from, unless that was before the table was made.
    source: Option<u64>,
}

/// The addresses that a relay serves, and the aliases that it keeps for their owners.
///
/// The caller persists [`NameRecord`]s, sends confirmations, and removes what its connections and
/// channels no longer reach.
#[derive(Debug)]
pub struct Table {
    limits: Limits,
    live: BTreeMap<Address, Entry>,
    names: BTreeMap<String, Name>,
}

impl Table {
    /// A table that serves nothing yet, with the aliases that were persisted.
    pub fn new(limits: Limits, names: impl IntoIterator<Item = NameRecord>) -> Self {
        let names = names
            .into_iter()
            .map(|record| {
                let name = Name {
                    owner: record.owner,
                    expires: record.expires,
                    source: None,
                };
                (record.alias, name)
            })
            .collect();
        Self {
            limits,
            live: BTreeMap::new(),
            names,
        }
    }

    /// Serves a registration: `route` is where messages to the address go from now on, see
    /// [`data_route`]; `ephemeral` names are `random` in hex. `source` is a number of the caller's for where the registrant
    /// comes from, such as its host: identities and connections cost nothing, hosts do.
    ///
    /// The same registrant replaces its earlier route; a native name and an alias are bound to the
    /// identity of `registrant`.
    ///
    /// # Errors
    /// [`Refusal`]; the table is left as it was.
    pub fn register(
        &mut self,
        registration: &Registration,
        registrant: Registrant,
        source: u64,
        route: Route,
        now: UnixSeconds,
        random: [u8; 16],
    ) -> Result<Registered, Refusal> {
        let hops = route.len();
        if hops == 0 || hops > MAX_ONWARD_HOPS / 2 {
            return Err(Refusal::Route { hops });
        }
        let mut persist = None;
        let name = match (registration, registrant) {
            (Registration::Ephemeral, _) => hex(&random),
            (_, Registrant::Connection(_)) => return Err(Refusal::NoIdentity),
            (Registration::Native { service }, Registrant::Identity(identifier)) => {
                check_alias(service)?;
                native_name(&identifier, service)
            }
            (Registration::Alias(alias), Registrant::Identity(identifier)) => {
                persist = Some(self.own(alias, identifier, source, now)?);
                alias.clone()
            }
        };
        let address = Address::local(alloc::format!("{ADDRESS_PREFIX}{name}"));
        let has_replaced = self.check_room(&address, registrant, source)?;
        if let Some(record) = &persist {
            let known = self.names.get(&record.alias);
            let source = match known {
                Some(name) if name.owner == record.owner => name.source,
                _ => Some(source),
            };
            let name = Name {
                owner: record.owner,
                expires: record.expires,
                source,
            };
            self.names.insert(record.alias.clone(), name);
        }
        self.live.insert(
            address.clone(),
            Entry {
                registrant,
                source,
                route,
            },
        );
        Ok(Registered {
            confirmation: bare::string_payload(&alloc::format!("{ADDRESS_PREFIX}{name}")),
            address,
            persist,
            has_replaced,
        })
    }

    /// Where messages to `address` go.
    #[must_use]
    pub fn route(&self, address: &Address) -> Option<&Route> {
        self.live.get(address).map(|entry| &entry.route)
    }

    /// Stops serving `address`; an alias stays its owner's.
    pub fn remove(&mut self, address: &Address) -> bool {
        self.live.remove(address).is_some()
    }

    /// Stops serving every address whose route starts with `hop`, a connection or channel that is
    /// gone, and gives these addresses.
    pub fn remove_behind(&mut self, hop: &Address) -> Vec<Address> {
        let mut gone = Vec::new();
        self.live.retain(|address, entry| {
            let stays = entry.route.first() != Some(hop);
            if !stays {
                gone.push(address.clone());
            }
            stays
        });
        gone
    }

    /// Frees the aliases that have expired and are not in use, and gives them.
    pub fn expire(&mut self, now: UnixSeconds) -> Vec<String> {
        let live = &self.live;
        let mut free = Vec::new();
        self.names.retain(|alias, name| {
            let stays = name.expires > now || live.contains_key(&alias_address(alias));
            if !stays {
                free.push(alias.clone());
            }
            stays
        });
        free
    }

    /// Number of addresses that are served.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether no address is served.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether `alias` may be, or stay, the identity's; gives the record that says so.
    fn own(
        &self,
        alias: &str,
        identifier: Identifier,
        source: u64,
        now: UnixSeconds,
    ) -> Result<NameRecord, Refusal> {
        check_alias(alias)?;
        let is_served = self.live.contains_key(&alias_address(alias));
        match self.names.get(alias) {
            Some(name) if name.owner == identifier => {}
            Some(name) if name.expires > now || is_served => return Err(Refusal::NotOwner),
            Some(_) => self.check_name_quotas(&identifier, source)?,
            None if self.names.len() >= self.limits.names => return Err(Refusal::Full),
            None => self.check_name_quotas(&identifier, source)?,
        }
        Ok(NameRecord {
            alias: alias.into(),
            owner: identifier,
            expires: now.plus(self.limits.name_lifetime),
        })
    }

    fn check_name_quotas(&self, identifier: &Identifier, source: u64) -> Result<(), Refusal> {
        let owned = |name: &&Name| name.owner == *identifier;
        let count = self.limits.names_per_identity;
        if self.names.values().filter(owned).count() >= count {
            return Err(Refusal::Quota { count });
        }
        let taken = |name: &&Name| name.source == Some(source);
        let count = self.limits.names_per_source;
        if self.names.values().filter(taken).count() >= count {
            return Err(Refusal::SourceQuota { count });
        }
        Ok(())
    }

    /// Whether `address` is the registrant's already; what it takes anew, there must be room for.
    fn check_room(
        &self,
        address: &Address,
        registrant: Registrant,
        source: u64,
    ) -> Result<bool, Refusal> {
        let known = self.live.get(address);
        if known.is_some_and(|entry| entry.registrant != registrant) {
            return Err(Refusal::NotOwner);
        }
        if known.is_none() {
            if self.live.len() >= self.limits.live {
                return Err(Refusal::Full);
            }
            let own = |entry: &&Entry| entry.registrant == registrant;
            let count = self.limits.live_per_registrant;
            if self.live.values().filter(own).count() >= count {
                return Err(Refusal::Quota { count });
            }
        }
        // An address that comes from elsewhere now needs room there as a new one would.
        if known.is_none_or(|entry| entry.source != source) {
            let near = |entry: &&Entry| entry.source == source;
            let count = self.limits.live_per_source;
            if self.live.values().filter(near).count() >= count {
                return Err(Refusal::SourceQuota { count });
            }
        }
        Ok(known.is_some())
    }
}

/// Where a relay sends data, from the return route of the registration: without its last hop, the
/// registering worker, as Rust relays do.
#[must_use]
pub fn data_route(registration_return_route: &Route) -> Route {
    let mut route = registration_return_route.clone();
    if route.len() > 1 {
        route.pop_back();
    }
    route
}

/// Turns the onward route of a message to a relay's address into the one it leaves with. The
/// return route stays untouched (reference, section 7.1).
pub fn forward(onward: &mut Route, saved: &Route) {
    onward.pop_front();
    onward.prepend(saved);
}

fn alias_address(alias: &str) -> Address {
    Address::local(alloc::format!("{ADDRESS_PREFIX}{alias}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|byte| alloc::format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_000);
    const A: Registrant = Registrant::Identity(Identifier::from_bytes([1; 32]));
    const HOST: u64 = 1;
    const B: Registrant = Registrant::Identity(Identifier::from_bytes([2; 32]));

    fn route(text: &str) -> Route {
        text.parse().expect("a route")
    }

    fn table() -> Table {
        Table::new(
            Limits {
                live: 4,
                live_per_registrant: 3,
                live_per_source: 4,
                names: 3,
                names_per_identity: 2,
                names_per_source: 3,
                name_lifetime: 100,
            },
            [],
        )
    }

    fn alias(table: &mut Table, who: Registrant, alias: &str, now: u64) -> Result<bool, Refusal> {
        let registration = Registration::Alias(alias.into());
        table
            .register(
                &registration,
                who,
                HOST,
                route("c1"),
                UnixSeconds(now),
                [0; 16],
            )
            .map(|registered| registered.has_replaced)
    }

    #[test]
    fn registrations_are_confirmed_with_the_full_address() {
        let registration = Registration::Alias("bob".into());
        let registered = table()
            .register(&registration, A, HOST, route("c1"), NOW, [0; 16])
            .expect("free");
        assert_eq!(registered.address, "forward_to_bob".into());
        assert_eq!(registered.confirmation, b"\x0eforward_to_bob");
        let record = registered.persist.expect("an alias is persisted");
        assert_eq!(record.expires, UnixSeconds(1_100));
    }

    #[test]
    fn an_alias_stays_its_first_owners() {
        let mut table = table();
        assert_eq!(alias(&mut table, A, "bob", 0), Ok(false));
        assert_eq!(alias(&mut table, B, "bob", 0), Err(Refusal::NotOwner));
        assert_eq!(alias(&mut table, A, "bob", 0), Ok(true));
        assert_eq!(table.remove_behind(&"c1".into()), ["forward_to_bob".into()]);
        assert_eq!(alias(&mut table, B, "bob", 99), Err(Refusal::NotOwner));
        assert_eq!(alias(&mut table, B, "bob", 100), Ok(false));
        assert_eq!(alias(&mut table, A, "bob", 100), Err(Refusal::NotOwner));
    }

    #[test]
    fn an_alias_in_use_does_not_expire() {
        let mut table = table();
        assert_eq!(alias(&mut table, A, "bob", 0), Ok(false));
        assert!(table.expire(UnixSeconds(500)).is_empty());
        assert_eq!(alias(&mut table, B, "bob", 500), Err(Refusal::NotOwner));
        assert!(table.remove(&"forward_to_bob".into()));
        assert_eq!(table.expire(UnixSeconds(500)), ["bob"]);
    }

    #[test]
    fn persisted_aliases_survive_a_restart() {
        let mut first = table();
        let registration = Registration::Alias("bob".into());
        let registered = first.register(&registration, A, HOST, route("c1"), NOW, [0; 16]);
        let record = registered.expect("free").persist;
        let mut second = Table::new(Limits::default(), record);
        assert_eq!(alias(&mut second, B, "bob", NOW.0), Err(Refusal::NotOwner));
        assert_eq!(alias(&mut second, A, "bob", NOW.0), Ok(false));
    }

    #[test]
    fn names_need_an_identity_and_ephemeral_ones_do_not() {
        let mut table = table();
        let stranger = Registrant::Connection(7);
        assert_eq!(
            alias(&mut table, stranger, "bob", 0),
            Err(Refusal::NoIdentity)
        );
        let registered = table
            .register(
                &Registration::Ephemeral,
                stranger,
                HOST,
                route("c1"),
                NOW,
                [0xab; 16],
            )
            .expect("ephemeral");
        assert_eq!(
            registered.address,
            Address::local(alloc::format!("forward_to_{}", "ab".repeat(16)))
        );
        assert_eq!(registered.persist, None);
    }

    #[test]
    fn a_native_name_is_the_registrants_own() {
        let mut table = table();
        let registration = Registration::Native {
            service: "db".into(),
        };
        let mut address = |who| {
            let registered = table.register(&registration, who, HOST, route("c1"), NOW, [0; 16]);
            registered.expect("free").address
        };
        let (a, b) = (address(A), address(B));
        assert_ne!(a, b);
        let digits = alloc::string::ToString::to_string(&a).replace("0#forward_to_", "");
        let squat = Registration::Alias(digits);
        assert!(matches!(
            table.register(&squat, B, HOST, route("c2"), NOW, [0; 16]),
            Err(Refusal::Alias(AliasError::Reserved))
        ));
    }

    #[test]
    fn quotas_hold_and_a_refusal_changes_nothing() {
        let mut table = table();
        assert_eq!(alias(&mut table, A, "a1", 0), Ok(false));
        assert_eq!(alias(&mut table, A, "a2", 0), Ok(false));
        assert_eq!(
            alias(&mut table, A, "a3", 0),
            Err(Refusal::Quota { count: 2 })
        );
        assert_eq!(alias(&mut table, B, "b1", 0), Ok(false));
        assert_eq!(alias(&mut table, B, "b2", 0), Err(Refusal::Full));
        let mut ephemeral = |who, byte| {
            let registration = Registration::Ephemeral;
            table.register(&registration, who, HOST, route("c1"), NOW, [byte; 16])
        };
        assert!(ephemeral(A, 1).is_ok());
        assert_eq!(ephemeral(A, 2).err(), Some(Refusal::Full));
        assert_eq!(table.len(), 4);
    }

    #[test]
    fn one_source_cannot_take_the_table_with_many_identities() {
        let limits = Limits {
            live_per_source: 3,
            names_per_source: 2,
            ..Limits::default()
        };
        let mut table = Table::new(limits, []);
        let mut register = |registration: &Registration, who: u8, source: u64| {
            let registrant = Registrant::Identity(Identifier::from_bytes([who; 32]));
            table.register(
                registration,
                registrant,
                source,
                route("c1"),
                NOW,
                [who; 16],
            )
        };
        let alias = |name: &str| Registration::Alias(name.into());
        assert!(register(&alias("a"), 1, HOST).is_ok());
        assert!(register(&alias("b"), 2, HOST).is_ok());
        let refused = register(&alias("c"), 3, HOST).err();
        assert_eq!(refused, Some(Refusal::SourceQuota { count: 2 }));
        assert!(register(&Registration::Ephemeral, 4, HOST).is_ok());
        let refused = register(&Registration::Ephemeral, 5, HOST).err();
        assert_eq!(refused, Some(Refusal::SourceQuota { count: 3 }));
        // Who has a name keeps it, and others get theirs.
        assert!(register(&alias("a"), 1, HOST).is_ok());
        assert!(register(&alias("c"), 3, HOST + 1).is_ok());
        // An address that comes from elsewhere now takes room there.
        let refused = register(&alias("c"), 3, HOST).err();
        assert_eq!(refused, Some(Refusal::SourceQuota { count: 3 }));
    }

    #[test]
    fn routes_that_lead_nowhere_or_too_far_are_refused() {
        let long: Route = (0..33).map(|_| Address::from("x")).collect();
        for bad in [Route::new(), long] {
            let hops = bad.len();
            let refused = table().register(&Registration::Ephemeral, A, HOST, bad, NOW, [0; 16]);
            assert_eq!(refused.err(), Some(Refusal::Route { hops }));
        }
    }

    #[test]
    fn a_relayed_message_goes_on_by_the_saved_route() {
        let saved = data_route(&route("channel => main"));
        let mut onward = route("forward_to_bob => api => echo");
        forward(&mut onward, &saved);
        assert_eq!(onward, route("channel => api => echo"));
        assert_eq!(data_route(&route("main")), route("main"));
    }
}
