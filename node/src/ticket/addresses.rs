//! Where this machine can be reached, as far as it knows.

use std::net::{IpAddr, SocketAddr};

use sealway_core::ticket::MAX_REACHES;
use sealway_core::wire::{MultiAddr, Protocol};

/// The addresses that a listener bound to `bound` is reached at, the farthest-reaching first: what the operator asked for by
/// name, or the addresses of the machine's interfaces if it listens on all of them.
pub(super) fn reaching(asked: &str, bound: SocketAddr) -> Vec<MultiAddr> {
    let port = bound.port();
    let host = asked
        .strip_prefix("tcp:")
        .unwrap_or(asked)
        .rsplit_once(':')
        .map_or("", |(host, _)| host);
    if !bound.ip().is_unspecified() {
        let literal = host.trim_matches(['[', ']']).parse::<IpAddr>();
        let name = Protocol::DnsAddr(host.into());
        return vec![with_port(literal.map_or(name, |_| of_ip(bound.ip())), port)];
    }
    let mut addresses: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| is_usable(*ip) && (ip.is_ipv4() || bound.is_ipv6()))
        .collect();
    addresses.sort_by_key(|ip| rank(*ip));
    addresses.dedup();
    addresses.truncate(MAX_REACHES);
    addresses
        .into_iter()
        .map(|ip| with_port(of_ip(ip), port))
        .collect()
}

fn with_port(host: Protocol, port: u16) -> MultiAddr {
    let mut address = MultiAddr::new();
    address.push(host);
    address.push(Protocol::Tcp(port));
    address
}

fn of_ip(ip: IpAddr) -> Protocol {
    match ip {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    }
}

/// Link-local addresses mean something only together with an interface of the other machine's.
fn is_usable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
}

/// From everywhere, from the same network, from the same machine.
fn rank(ip: IpAddr) -> (u8, IpAddr) {
    let is_private = match ip {
        IpAddr::V4(ip) => ip.is_private(),
        IpAddr::V6(ip) => ip.is_unique_local(),
    };
    let rank = match (ip.is_loopback(), is_private) {
        (true, _) => 2,
        (_, true) => 1,
        _ => 0,
    };
    (rank, ip)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(asked: &str, bound: &str) -> Vec<String> {
        let bound = bound.parse().expect("an address");
        let reaching = reaching(asked, bound);
        reaching.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_address_that_was_asked_for_is_the_only_one() {
        assert_eq!(
            texts("tcp:127.0.0.1:0", "127.0.0.1:4100"),
            ["/ip4/127.0.0.1/tcp/4100"]
        );
        assert_eq!(texts("[::1]:0", "[::1]:4100"), ["/ip6/::1/tcp/4100"]);
        assert_eq!(
            texts("db.example:0", "192.0.2.7:4100"),
            ["/dnsaddr/db.example/tcp/4100"]
        );
    }

    #[test]
    fn a_listener_on_all_interfaces_is_reached_by_their_addresses_and_from_here_last() {
        let all = texts("0.0.0.0:0", "0.0.0.0:4100");
        let own = "/ip4/127.0.0.1/tcp/4100";
        assert_eq!(all.last().map(String::as_str), Some(own), "{all:?}");
        assert!(!all.iter().any(|one| one.contains("0.0.0.0")), "{all:?}");
    }

    #[test]
    fn what_reaches_farther_comes_first() {
        let mut ips = ["127.0.0.1", "10.0.0.7", "203.0.113.9", "::1", "fd00::1"]
            .map(|ip| ip.parse::<IpAddr>().expect("an address"));
        ips.sort_by_key(|ip| rank(*ip));
        let sorted = ips.map(|ip| ip.to_string());
        assert_eq!(
            sorted,
            ["203.0.113.9", "10.0.0.7", "fd00::1", "127.0.0.1", "::1"]
        );
    }
}
