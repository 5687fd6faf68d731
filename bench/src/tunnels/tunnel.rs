//! A tunnel to the service: plain chains, the portal, the portal through a relay. Each hop is a process.

use super::homes::Homes;
use super::load::Target;
use crate::cost::with_descendants;
use crate::process::Process;
use std::io;

/// What a portal speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Sealway's protocol over a hybrid channel, as two Sealway ends speak by default.
    Native,
    /// The same over one channel, however many connections there are.
    OneChannel,
    /// The reference's protocol and channel, as Sealway speaks them with its nodes.
    Reference,
}

impl Kind {
    /// The listener whose suite it speaks.
    fn listener(self) -> &'static str {
        match self {
            Kind::Native | Kind::OneChannel => "sealway_xx1",
            Kind::Reference => "api",
        }
    }
}

/// A running tunnel to the service.
pub(crate) struct Tunnel {
    pub(crate) name: &'static str,
    /// The plain chain with as many hops, whose figures of the same round are the baseline; none for a plain chain.
    pub(crate) baseline: Option<&'static str>,
    pub(crate) target: Target,
    /// What each of its own processes is, and its id.
    pub(crate) roles: Vec<(&'static str, u32)>,
    _processes: Vec<Process>,
}

impl Tunnel {
    /// What is reached at `address` by way of the processes, each with what it is.
    pub(crate) fn new(
        name: &'static str,
        baseline: Option<&'static str>,
        address: &str,
        processes: Vec<(&'static str, Process)>,
    ) -> io::Result<Self> {
        let address = address
            .parse()
            .map_err(|e| io::Error::other(format!("{name}: {address}: {e}")))?;
        let roles: Vec<_> = processes
            .iter()
            .map(|(role, process)| (*role, process.id()))
            .collect();
        let ids: Vec<u32> = roles.iter().map(|(_, id)| *id).collect();
        let target = Target {
            address,
            processes: with_descendants(&ids),
        };
        let processes = processes.into_iter().map(|(_, process)| process).collect();
        Ok(Tunnel {
            name,
            baseline,
            target,
            roles,
            _processes: processes,
        })
    }

    /// Looks again which processes it has: some programs have one for each client.
    pub(crate) fn refresh(&mut self) {
        let ids: Vec<u32> = self.roles.iter().map(|(_, id)| *id).collect();
        self.target.processes = with_descendants(&ids);
    }

    /// `hops` plain TCP forwarders in a row.
    pub(crate) fn plain(name: &'static str, hops: usize, service: &str) -> io::Result<Self> {
        let mut address = service.to_owned();
        let mut processes = Vec::new();
        for role in ["hop1", "hop2", "hop3"].iter().take(hops) {
            let process = Process::start_own(&["forward", &address])?;
            address = process.line()?;
            processes.push((*role, process));
        }
        Self::new(name, None, &address, processes)
    }

    /// Inlet and outlet, each a process, in between secure channels, each over a TCP connection.
    pub(crate) fn direct(
        name: &'static str,
        kind: Kind,
        homes: &Homes,
        service: &str,
    ) -> io::Result<Self> {
        Self::direct_of(name, name, kind, homes, service)
    }

    /// The same with homes whose names begin with `home`.
    pub(crate) fn direct_of(
        name: &'static str,
        home: &str,
        kind: Kind,
        homes: &Homes,
        service: &str,
    ) -> io::Result<Self> {
        let node_home = format!("{home}-node");
        let (node_id, trusted) = (homes.identity(&node_home)?, homes.trusted(home, kind)?);
        let outlet = format!("bench={service}");
        let node = homes.start(
            &node_home,
            &[
                "node",
                "--listen",
                "127.0.0.1:0",
                "--outlet",
                &outlet,
                "--trust",
                &trusted,
            ],
        )?;
        let node_address = node.address("listening")?;
        let port = port_of(&node_address)?;
        let listener = kind.listener();
        let to = format!("/ip4/127.0.0.1/tcp/{port}/secure/{listener}/service/bench");
        let (inlet, address) = homes.inlet(home, kind, &to, &node_id)?;
        let processes = vec![("inlet", inlet), ("outlet", node)];
        Self::new(name, Some("plain2"), &address, processes)
    }

    /// The same through a relay process.
    pub(crate) fn relayed(
        name: &'static str,
        kind: Kind,
        homes: &Homes,
        service: &str,
    ) -> io::Result<Self> {
        let node_home = format!("{name}-node");
        let (node_id, trusted) = (homes.identity(&node_home)?, homes.trusted(name, kind)?);
        let relay_home = format!("{name}-relay");
        let relay = homes.start(&relay_home, &["relay", "--listen", "127.0.0.1:0"])?;
        let relay_address = relay.address("listening")?;
        let port = port_of(&relay_address)?;
        let outlet = format!("bench={service}");
        let node = homes.start(
            &node_home,
            &[
                "node",
                "--via",
                &relay_address,
                "--alias",
                "bench",
                "--outlet",
                &outlet,
                "--trust",
                &trusted,
            ],
        )?;
        node.event("ready")?;
        let listener = kind.listener();
        let to = format!(
            "/ip4/127.0.0.1/tcp/{port}/service/forward_to_bench/secure/{listener}/service/bench"
        );
        let (inlet, address) = homes.inlet(name, kind, &to, &node_id)?;
        let processes = vec![("inlet", inlet), ("relay", relay), ("outlet", node)];
        Self::new(name, Some("plain3"), &address, processes)
    }
}

fn port_of(address: &str) -> io::Result<&str> {
    address
        .rsplit_once(':')
        .map(|(_, port)| port)
        .ok_or_else(|| io::Error::other(format!("no port in {address}")))
}
