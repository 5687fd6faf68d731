//! Routes as multiaddrs, checked as far as can be without a connection.

use std::fmt;
use std::str::FromStr;

use sealway_core::channel::Suite;
use sealway_core::wire::{Address, MultiAddr, Protocol};

/// A route that begins with one connection and goes on with names:
/// `/ip4/10.0.0.7/tcp/4100/service/forward_to_alice/secure/sealway_xx1/service/echo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route(MultiAddr);

/// A [`Route`] that ends at a service or an outlet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceRoute(Route);

impl Route {
    /// The route.
    pub(crate) fn multiaddr(&self) -> &MultiAddr {
        &self.0
    }

    /// Where it begins: `HOST:PORT`, or a socket's path.
    pub(crate) fn entry(&self) -> String {
        match self.0.protocols() {
            [Protocol::Ip4(ip), Protocol::Tcp(port), ..] => format!("{ip}:{port}"),
            [Protocol::Ip6(ip), Protocol::Tcp(port), ..] => format!("[{ip}]:{port}"),
            [Protocol::DnsAddr(host), Protocol::Tcp(port), ..] => format!("{host}:{port}"),
            [Protocol::Unix(path), ..] => path.clone(),
            // No other beginning is a route's.
            _ => self.to_string(),
        }
    }

    /// The service that it ends at.
    pub(crate) fn target(&self) -> Option<&str> {
        match self.0.protocols().last() {
            Some(Protocol::Service(name) | Protocol::Worker(name)) => Some(name),
            _ => None,
        }
    }

    /// Whether a secure channel is part of it.
    pub(crate) fn is_secure(&self) -> bool {
        self.0
            .protocols()
            .iter()
            .any(|part| matches!(part, Protocol::Secure(_)))
    }

    /// The first listener on it whose name says another suite than this one. Names that say nothing are for who names the suite.
    pub(crate) fn speaks_otherwise(&self, suite: Suite) -> Option<&str> {
        self.0.protocols().iter().find_map(|part| match part {
            Protocol::Secure(name) => {
                let other = |other: &Suite| *other != suite && other.listener() == &**name;
                Suite::ALL.iter().any(other).then_some(&**name)
            }
            _ => None,
        })
    }

    /// What its last channel speaks, if it has one.
    pub(crate) fn suite(&self, asked: Option<Suite>) -> Option<Suite> {
        let mut secure = self
            .0
            .protocols()
            .iter()
            .rev()
            .filter_map(|part| match part {
                Protocol::Secure(name) => Some(Address::local(&**name)),
                _ => None,
            });
        let listener = secure.next()?;
        Some(asked.unwrap_or_else(|| Suite::spoken_at(&listener)))
    }
}

impl ServiceRoute {
    /// The route.
    pub(crate) fn route(&self) -> &Route {
        &self.0
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Route {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let address: MultiAddr = text.parse().map_err(|error| format!("{error}"))?;
        let rest = match address.protocols() {
            [] => return Err("a route begins with an address: /ip4/10.0.0.7/tcp/4100/…".to_owned()),
            [Protocol::Unix(path), rest @ ..] if !path.is_empty() => rest,
            [Protocol::DnsAddr(host), Protocol::Tcp(port), rest @ ..] => {
                let _: super::values::HostPort = format!("{host}:{port}").parse()?;
                nonzero(*port)?;
                rest
            }
            [
                Protocol::Ip4(_) | Protocol::Ip6(_),
                Protocol::Tcp(port),
                rest @ ..,
            ] => {
                nonzero(*port)?;
                rest
            }
            [
                Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::DnsAddr(_),
                ..,
            ] => {
                return Err("behind the host the port is missing: /tcp/4100".to_owned());
            }
            [other, ..] => {
                return Err(format!(
                    "a route begins with an address (ip4, ip6, dnsaddr, unix), not with {}",
                    other.name()
                ));
            }
        };
        for part in rest {
            match part {
                Protocol::Service(name) | Protocol::Secure(name) | Protocol::Worker(name) => {
                    if name.is_empty() {
                        return Err(format!("the name behind /{} is missing", part.name()));
                    }
                }
                _ => {
                    return Err(format!(
                        "after the address come service, secure and worker, not {}",
                        part.name()
                    ));
                }
            }
        }
        Ok(Self(address))
    }
}

impl FromStr for ServiceRoute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let route: Route = text.parse()?;
        match route.0.protocols().last() {
            Some(Protocol::Service(_) | Protocol::Worker(_)) => Ok(Self(route)),
            _ => Err("the route ends before a service: …/service/NAME".to_owned()),
        }
    }
}

fn nonzero(port: u16) -> Result<(), String> {
    if port == 0 {
        return Err("port 0 cannot be connected to".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_begins_with_one_address_and_ends_at_a_service() {
        let far = "/ip4/10.0.0.7/tcp/4100/service/forward_to_alice/secure/api/service/echo";
        let route: ServiceRoute = far.parse().unwrap();
        assert!(route.route().is_secure());
        assert_eq!(route.route().to_string(), far);
        assert_eq!(route.route().entry(), "10.0.0.7:4100");
        assert!(
            "/dnsaddr/localhost/tcp/1/service/echo"
                .parse::<ServiceRoute>()
                .is_ok()
        );
        assert!(
            "/unix/%2Frun%2Fa.sock/service/echo"
                .parse::<ServiceRoute>()
                .is_ok()
        );
        assert!("/ip6/::1/tcp/1/secure/api".parse::<Route>().is_ok());
    }

    #[test]
    fn routes_that_lead_nowhere_are_refused() {
        let loops = format!("/ip4/10.0.0.1/tcp/1{}", "/service/hop".repeat(1_000));
        for text in [
            "",
            "/",
            "echo",
            "/service/echo",
            "/ip4/10.0.0.1",
            "/ip4/10.0.0.1/service/echo",
            "/ip4/300.0.0.1/tcp/1",
            "/ip4/10.0.0.1/tcp/65536",
            "/ip4/10.0.0.1/tcp/0/service/echo",
            "/ip4/10.0.0.1/tcp/x",
            "/ip4/10.0.0.1/udp/1/service/echo",
            "/ip4/10.0.0.1/tcp/1//",
            "/ip4/10.0.0.1/tcp/1/service",
            "/ip4/10.0.0.1/tcp/1/service/a/ip4/10.0.0.2/tcp/2",
            "/project/p/service/echo",
            "/node/n",
            "/unix//service/a",
            "/dnsaddr/a b/tcp/1/service/a",
            "/nonsense/1",
            "/ip4/10.0.0.1/tcp/1/secure/api",
            &loops,
        ] {
            assert!(text.parse::<ServiceRoute>().is_err(), "{text:?} was taken");
        }
    }
}
