//! Who holds how much of something that is bounded, by where it came from.
//!
//! A source is named from the outside to the inside: the host, the connection, then the hops of the return route. Each hop is
//! attested only by those before it, so what a sender makes up lies within its own share. As long as there is room everybody
//! gets it. Where there is none, a newcomer displaces one of the source that holds the most, and is refused if that is its own:
//! a flood displaces itself.

use std::collections::HashMap;

use sealway_core::identity::Identifier;
use sealway_core::wire::{Address, Route};

use crate::message::Origin;
use crate::node::{Shared, lock};

/// Of so many, drawn at random, the caller gives up the one that is missed the least.
const DRAWN: usize = 8;
/// One identity holds at the most this part of the whole, from wherever it comes.
const PART_OF_AN_IDENTITY: usize = 4;

/// Where something came from, the outermost first.
pub(crate) type Source = Vec<Address>;

/// What is held by whom.
pub(crate) struct Shares {
    most: usize,
    root: Share,
    held: HashMap<Address, (Source, Option<Identifier>)>,
    by_identity: HashMap<Identifier, Vec<Address>>,
}

/// What comes from one source, with all that lies behind it.
#[derive(Default)]
struct Share {
    held: usize,
    /// What comes from this very place, and from none behind it.
    own: Vec<Address>,
    behind: HashMap<Address, Share>,
}

/// What a newcomer may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// There is room.
    Room,
    /// There is, once one of these is gone.
    InPlaceOf(Vec<Address>),
    /// Its own source holds the most already.
    Refused,
}

impl Shares {
    /// Room for `most`.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            root: Share::default(),
            held: HashMap::new(),
            by_identity: HashMap::new(),
        }
    }

    /// Whether one more may come from `source`, of `peer` if that is known already.
    pub(crate) fn admission(&self, source: &[Address], peer: Option<&Identifier>) -> Admission {
        let of_identity = peer.and_then(|peer| self.by_identity.get(peer));
        if let Some(own) = of_identity
            && own.len() >= (self.most / PART_OF_AN_IDENTITY).max(1)
        {
            return Admission::InPlaceOf(draws(own).cloned().collect());
        }
        if self.held.len() < self.most {
            return Admission::Room;
        }
        match self.root.most_crowded_but(source) {
            drawn if drawn.is_empty() => Admission::Refused,
            drawn => Admission::InPlaceOf(drawn),
        }
    }

    /// Enters `one`, which came from `source`.
    pub(crate) fn enter(&mut self, one: Address, source: Source, peer: Option<Identifier>) {
        let mut share = &mut self.root;
        share.held += 1;
        for hop in &source {
            share = share.behind.entry(hop.clone()).or_default();
            share.held += 1;
        }
        share.own.push(one.clone());
        if let Some(peer) = peer {
            self.by_identity.entry(peer).or_default().push(one.clone());
        }
        self.held.insert(one, (source, peer));
    }

    /// Takes `one` out; `false` if it is not in.
    pub(crate) fn leave(&mut self, one: &Address) -> bool {
        let Some((source, peer)) = self.held.remove(one) else {
            return false;
        };
        self.root.remove(one, &source);
        if let Some(peer) = peer
            && let Some(own) = self.by_identity.get_mut(&peer)
        {
            own.retain(|other| other != one);
            if own.is_empty() {
                self.by_identity.remove(&peer);
            }
        }
        true
    }
}

impl Share {
    fn remove(&mut self, one: &Address, source: &[Address]) {
        self.held -= 1;
        let Some((hop, rest)) = source.split_first() else {
            self.own.retain(|other| other != one);
            return;
        };
        if let Some(share) = self.behind.get_mut(hop) {
            share.remove(one, rest);
            if share.held == 0 {
                self.behind.remove(hop);
            }
        }
    }

    /// Some of whoever holds the most here; none if that is `source`.
    fn most_crowded_but(&self, source: &[Address]) -> Vec<Address> {
        let most = self.most();
        let (mine, further) = match source.split_first() {
            Some((hop, rest)) => {
                let share = self.behind.get(hop);
                (
                    share.map_or(0, |share| share.held),
                    share.map(|share| (share, rest)),
                )
            }
            None => (self.own.len(), None),
        };
        if mine < most {
            return self.draw();
        }
        further.map_or_else(Vec::new, |(share, rest)| share.most_crowded_but(rest))
    }

    /// How much the largest share in this one holds.
    fn most(&self) -> usize {
        let behind = self.behind.values().map(|share| share.held).max();
        behind.unwrap_or(0).max(self.own.len())
    }

    /// Some of whoever holds the most here: of several that hold as much, of each the same.
    fn draw(&self) -> Vec<Address> {
        let most = self.most();
        if self.own.len() == most {
            return draws(&self.own).cloned().collect();
        }
        let largest: Vec<_> = self
            .behind
            .values()
            .filter(|share| share.held == most)
            .collect();
        match largest.as_slice() {
            [one] => one.draw(),
            several => draws(several)
                .filter_map(|share| share.draw().pop())
                .collect(),
        }
    }
}

/// Some of `all`, at random, so that a flood cannot aim.
fn draws<T>(all: &[T]) -> impl Iterator<Item = &T> {
    (0..DRAWN).filter_map(|_| {
        let random = usize::try_from(getrandom::u32().unwrap_or(0)).unwrap_or(0);
        all.get(random.checked_rem(all.len())?)
    })
}

/// The source of a message of `origin` whose answers go along `return_route`.
pub(crate) fn source(node: &Shared, origin: &Origin, return_route: &Route) -> Source {
    let mut source = match origin {
        Origin::Local => Source::new(),
        Origin::Transport(origin) => vec![host(&origin.peer), origin.link.clone()],
        Origin::Channel(origin, _) => {
            let mut source = origin
                .carrier
                .as_ref()
                .map_or_else(Source::new, |carrier| below(node, carrier));
            source.push(origin.channel.clone());
            source
        }
    };
    // Neither the hop that it came by nor the sender's own address, of which it has as many as it likes.
    let between = return_route.len().saturating_sub(2);
    source.extend(return_route.iter().skip(1).take(between).cloned());
    source
}

/// The source of what comes by a connection or channel of this node.
fn below(node: &Shared, carrier: &Address) -> Source {
    if let Some(peer) = node.link_peer(carrier) {
        return vec![host(&peer), carrier.clone()];
    }
    let further = lock(&node.channels)
        .get(carrier)
        .and_then(|channel| channel.origin.carrier.clone());
    let mut source = further.map_or_else(Source::new, |further| below(node, &further));
    source.push(carrier.clone());
    source
}

/// The host of a connection: its IPv4 address, or the 64 bits of an IPv6 address that a site is given. What is no IP address
/// counts as a host of its own.
pub(crate) fn host(peer: &str) -> Address {
    use std::net::{IpAddr, SocketAddr};
    let Ok(peer_address) = peer.parse::<SocketAddr>() else {
        return Address::local(peer);
    };
    match peer_address.ip().to_canonical() {
        IpAddr::V4(ip) => Address::local(ip.octets()),
        IpAddr::V6(ip) => {
            let [a, b, c, d, e, f, g, h, ..] = ip.octets();
            Address::local([a, b, c, d, e, f, g, h])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(hops: &[&str]) -> Source {
        hops.iter().map(|hop| Address::local(*hop)).collect()
    }

    fn fill(shares: &mut Shares, from: usize, count: usize, hops: &[&str]) {
        for n in from..from + count {
            shares.enter(
                Address::local(format!("{}-{n}", hops.concat())),
                source(hops),
                None,
            );
        }
    }

    #[test]
    fn the_largest_share_makes_room_for_others_and_none_for_itself() {
        let mut shares = Shares::new(10);
        fill(&mut shares, 0, 2, &["honest", "c"]);
        // Two connections of one host.
        fill(&mut shares, 0, 5, &["flooder", "a"]);
        assert_eq!(
            shares.admission(&source(&["flooder", "b"]), None),
            Admission::Room
        );
        fill(&mut shares, 0, 3, &["flooder", "b"]);
        for newcomer in [&["new", "d"], &["honest", "c"]] {
            let Admission::InPlaceOf(drawn) = shares.admission(&source(newcomer), None) else {
                panic!("{newcomer:?} was refused");
            };
            let first = drawn.first().expect("drawn").to_string();
            assert!(first.contains("floodera-"), "{first}");
        }
        assert_eq!(
            shares.admission(&source(&["flooder", "a"]), None),
            Admission::Refused
        );
        // A third connection gets its part of what the host has, and nothing of the others.
        let Admission::InPlaceOf(drawn) = shares.admission(&source(&["flooder", "c"]), None) else {
            panic!("refused");
        };
        assert!(drawn.iter().all(|one| one.to_string().contains("flooder")));
    }

    #[test]
    fn hops_that_a_sender_makes_up_lie_in_its_own_share() {
        let mut shares = Shares::new(8);
        fill(&mut shares, 0, 1, &["relay", "link", "honest"]);
        for n in 0..7 {
            fill(
                &mut shares,
                n,
                1,
                &["relay", "link", "flooder", &n.to_string()],
            );
        }
        let newcomer = source(&["relay", "link", "other"]);
        let Admission::InPlaceOf(drawn) = shares.admission(&newcomer, None) else {
            panic!("refused");
        };
        assert!(drawn.iter().all(|one| one.to_string().contains("flooder")));
    }

    #[test]
    fn one_identity_gets_a_quarter_wherever_it_comes_from() {
        let mut shares = Shares::new(8);
        let peer = Identifier::from_bytes([1; 32]);
        for n in ["a", "b"] {
            assert_eq!(
                shares.admission(&source(&[n]), Some(&peer)),
                Admission::Room
            );
            shares.enter(Address::local(n), source(&[n]), Some(peer));
        }
        let Admission::InPlaceOf(drawn) = shares.admission(&source(&["c"]), Some(&peer)) else {
            panic!("it gets more than its part");
        };
        assert!(!drawn.is_empty());
        assert!(shares.leave(&Address::local("a")));
        assert_eq!(
            shares.admission(&source(&["c"]), Some(&peer)),
            Admission::Room
        );
    }

    #[test]
    fn what_left_leaves_nothing_behind() {
        let mut shares = Shares::new(4);
        fill(&mut shares, 0, 3, &["host", "link", "hop"]);
        for n in 0..3 {
            assert!(shares.leave(&Address::local(format!("hostlinkhop-{n}"))));
        }
        assert!(!shares.leave(&Address::local("hostlinkhop-0")));
        assert!(shares.held.is_empty() && shares.root.behind.is_empty());
        assert_eq!(shares.root.held, 0);
    }

    #[test]
    fn a_site_is_one_host() {
        assert_eq!(host("192.0.2.1:1"), host("192.0.2.1:2"));
        assert_eq!(host("192.0.2.1:1"), host("[::ffff:192.0.2.1]:1"));
        assert_ne!(host("192.0.2.1:1"), host("192.0.2.2:1"));
        assert_eq!(host("[2001:db8::1]:1"), host("[2001:db8::2]:1"));
        assert_ne!(host("[2001:db8::1]:1"), host("[2001:db8:0:1::1]:1"));
        assert_ne!(host("/run/a"), host("/run/b"));
    }
}
