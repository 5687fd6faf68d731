//! Paths: from a multiaddr to connections and channels, once or kept up.

mod kept;

use std::sync::Arc;
use std::time::Duration;

use sealway_core::channel::{Suite, Trust};
use sealway_core::identity::{ChangeHash, Identifier};
use sealway_core::wire::{Address, MultiAddr, Protocol, Route};
use tokio::task::JoinSet;

use crate::channel::{Channel, ChannelOptions, CloseReason, OpenError};
use crate::node::Node;
use crate::portal::PortalProtocol;
use crate::portal::native::{self, Session};
use crate::transport::{Link, TransportError};
pub(crate) use kept::{BackOff, KeptPath, Refusals};

/// Why a path could not be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// The multiaddr has a part that leads nowhere here.
    #[error("{part} cannot be part of a route here: {why}")]
    Unusable {
        /// The part.
        part: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The first hop cannot be reached.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// A secure hop cannot be had.
    #[error("no channel with /secure/{listener}: {error}")]
    Channel {
        /// The listener's address.
        listener: String,
        /// The suite that was spoken to it.
        suite: Suite,
        /// Why not.
        error: OpenError,
    },
    /// The far end has closed the channel because we may reach nothing there.
    #[error("{0} admits us to nothing")]
    Refused(Identifier),
    /// The far end does not answer in Sealway's portal protocol, which it was to speak.
    #[error("{0} does not speak Sealway's portal protocol here")]
    NotNative(Identifier),
}

impl PathError {
    /// Whether trying again later may help.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            PathError::Transport(
                TransportError::BadAddress { .. } | TransportError::Unknown(_),
            )
            | PathError::Unusable { .. }
            | PathError::Refused(_) => false,
            PathError::Transport(_) | PathError::NotNative(_) => true,
            PathError::Channel { error, .. } => {
                matches!(
                    error,
                    OpenError::Deadline { .. } | OpenError::Send(_) | OpenError::ShutDown
                )
            }
        }
    }

    /// Whether the other end, or we, refused for want of trust.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            PathError::Refused(_) => true,
            PathError::Channel { error, .. } => error.is_refusal(),
            PathError::Transport(_) | PathError::NotNative(_) | PathError::Unusable { .. } => false,
        }
    }
}

/// A path that stands: connections, channels, and the route through them.
///
/// The first connection and all channels were opened for it. [`Path::close`] closes them.
#[derive(Clone, Debug)]
pub struct Path {
    route: Route,
    link: Option<Link>,
    channels: Vec<Channel>,
    /// The session in the last channel, if byte streams go that way.
    session: Option<Arc<Session>>,
}

impl Path {
    /// The route: its first hop is the last channel, or the connection if there is none.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The last secure hop, if there is one.
    #[must_use]
    pub fn channel(&self) -> Option<&Channel> {
        self.channels.last()
    }

    /// The authenticated identity at the last secure hop.
    #[must_use]
    pub fn peer(&self) -> Option<&Identifier> {
        self.channel().map(Channel::peer)
    }

    /// Whether portals through this path speak Sealway's protocol, and not the reference's.
    #[must_use]
    pub fn is_native(&self) -> bool {
        self.session.is_some()
    }

    /// Connections of portals that are open over this path and speak Sealway's protocol.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.session().map_or(0, |session| session.streams())
    }

    pub(crate) fn session(&self) -> Option<&Arc<Session>> {
        self.session.as_ref()
    }

    /// Resolves with the reason when any part of the path has ended.
    pub async fn ended(&self) -> CloseReason {
        let link = async {
            match &self.link {
                Some(link) => link.closed().await,
                None => std::future::pending().await,
            }
        };
        let channel = async {
            match self.channel() {
                Some(channel) => channel.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            reason = channel => reason,
            () = link => CloseReason::Carrier,
        }
    }

    /// Closes channels and connection.
    pub fn close(&self) {
        for channel in self.channels.iter().rev() {
            channel.close();
        }
        if let Some(link) = &self.link {
            link.close();
        }
    }

    /// Lets what runs over the path go on to its end, then closes it: its carriers and its connection as well, but only
    /// after the last channel, which they carry.
    fn retire(self: Arc<Self>, node: &Node) {
        let Some(last) = self.channels.last() else {
            return self.close();
        };
        last.retire();
        node.shared().spawn({
            let last = last.clone();
            async move {
                last.closed().await;
                self.close();
            }
        });
    }
}

/// Whom and how to reach.
#[derive(Clone, Debug)]
pub struct PathOptions {
    /// Whom to accept at the last secure hop. Those before it are carriers: anybody.
    pub expect: Trust,
    /// The suite of its channels; `None` is what a listener of each name speaks ([`Suite::spoken_at`]). A path is rebuilt in the
    /// same.
    pub suite: Option<Suite>,
    /// The path will carry byte streams.
    pub ordered: bool,
    /// What comes back through the last channel reaches nothing but channel listeners.
    pub confined: bool,
    /// The change that the last peer's history must hold: see [`ChannelOptions::minimum_change`].
    pub minimum_change: Option<ChangeHash>,
    /// Each handshake must be finished within this time.
    pub deadline: Duration,
    /// What portals speak through the path.
    pub portal: PortalProtocol,
    /// Most channels, each on a connection of its own, that an inlet spreads its connections over: 1 to
    /// [`PathOptions::MAX_CHANNELS`], which is the default. The first stands before the inlet does, a second is opened at once, and another
    /// when each that stands has connections, so that the next one finds it. With peers that do not speak Sealway's portal protocol there is one.
    pub channels: usize,
}

impl PathOptions {
    /// Most channels of one inlet.
    pub const MAX_CHANNELS: usize = 4;

    /// Accepts whom `expect` admits.
    #[must_use]
    pub fn expect(expect: Trust) -> Self {
        let ChannelOptions {
            expect,
            suite,
            minimum_change,
            deadline,
            confined,
            ordered,
        } = ChannelOptions::expect(expect);
        Self {
            expect,
            suite,
            minimum_change,
            ordered,
            confined,
            deadline,
            portal: PortalProtocol::default(),
            channels: Self::MAX_CHANNELS,
        }
    }

    /// Whoever was met first is whom later paths must reach, however many would have been welcome; and what it was found to speak it
    /// is held to: an outlet that is late or a Hello that is kept away is an attempt that failed.
    pub(crate) fn held_to(self, first: &Path) -> Self {
        Self {
            expect: first
                .peer()
                .map_or(self.expect, |peer| Trust::Identifier(*peer)),
            portal: if first.is_native() {
                PortalProtocol::Native
            } else {
                self.portal
            },
            ..self
        }
    }
}

/// A path that is closed again unless it comes to stand.
struct Building {
    path: Path,
    stands: bool,
}

impl Building {
    fn finish(mut self) -> Path {
        self.stands = true;
        self.path.clone()
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if !self.stands {
            self.path.close();
        }
    }
}

/// One step of a path.
enum Part {
    Connect(String),
    Address(Address),
    Secure(Address),
}

/// Reads the multiaddr's steps: at most one connection, which comes first.
fn parts(to: &MultiAddr) -> Result<Vec<Part>, PathError> {
    let unusable = |part: &dyn std::fmt::Display, why| PathError::Unusable {
        part: part.to_string(),
        why,
    };
    let mut parts = Vec::new();
    let mut host: Option<String> = None;
    for protocol in to.protocols() {
        let connects = match protocol {
            Protocol::Ip4(ip) => {
                host = Some(ip.to_string());
                continue;
            }
            Protocol::Ip6(ip) => {
                host = Some(format!("[{ip}]"));
                continue;
            }
            Protocol::DnsAddr(name) => {
                host = Some(name.to_string());
                continue;
            }
            Protocol::Tcp(port) => {
                let host = host
                    .take()
                    .ok_or_else(|| unusable(&protocol, "no host stands before it"))?;
                Some(format!("tcp:{host}:{port}"))
            }
            Protocol::Unix(path) => Some(format!("unix:{path}")),
            Protocol::Service(name) | Protocol::Worker(name) => {
                parts.push(Part::Address(Address::local(name)));
                None
            }
            Protocol::Secure(name) => {
                parts.push(Part::Secure(Address::local(name)));
                None
            }
            _ => return Err(unusable(&protocol, "no name service knows it")),
        };
        if let Some(address) = connects {
            if !parts.is_empty() {
                return Err(unusable(
                    &address,
                    "a route has one connection, and begins with it",
                ));
            }
            parts.push(Part::Connect(address));
        }
    }
    match host {
        Some(host) => Err(unusable(&host, "no /tcp/PORT follows it")),
        None => Ok(parts),
    }
}

impl Node {
    /// Builds the path of a multiaddr: opens its connection, then a channel for each `/secure/…`.
    ///
    /// # Errors
    /// [`PathError`]; what had been opened is closed again, also if nobody waits for the end.
    pub async fn path(&self, to: &MultiAddr, options: &PathOptions) -> Result<Path, PathError> {
        Ok(self.build(to, options).await?.finish())
    }

    async fn build(&self, to: &MultiAddr, options: &PathOptions) -> Result<Building, PathError> {
        let parts = parts(to)?;
        let mut building = Building {
            path: Path {
                route: Route::new(),
                link: None,
                channels: Vec::new(),
                session: None,
            },
            stands: false,
        };
        self.walk(&mut building.path, &parts, options).await?;
        Ok(building)
    }

    /// A path that somebody depends on: its peer is asked for signs of life from the start, and may refuse. Of several ways
    /// the one that stands first.
    pub(crate) async fn live_path(
        &self,
        ways: &[MultiAddr],
        options: &PathOptions,
    ) -> Result<Path, PathError> {
        let attempt = |node: Self, way, options| async move { node.live(&way, &options).await };
        first_of(self, ways, options, attempt).await
    }

    /// As [`Node::path`], by whichever way stands first.
    pub(crate) async fn path_by(
        &self,
        ways: &[MultiAddr],
        options: &PathOptions,
    ) -> Result<Path, PathError> {
        let attempt = |node: Self, way, options| async move { node.build(&way, &options).await };
        first_of(self, ways, options, attempt).await
    }

    async fn live(&self, to: &MultiAddr, options: &PathOptions) -> Result<Building, PathError> {
        let mut building = self.build(to, options).await?;
        let path = &mut building.path;
        if let Some(channel) = path.channel().filter(|_| options.ordered).cloned() {
            let leads_to_outlet = native::resource(&path.route).is_some();
            if leads_to_outlet && options.portal != PortalProtocol::Reference {
                path.session = native::greet(&channel).await;
            } else {
                channel.depend().await;
            }
            if channel.close_reason() == Some(CloseReason::Refused) {
                return Err(PathError::Refused(*channel.peer()));
            }
            if options.portal == PortalProtocol::Native && path.session.is_none() {
                return Err(PathError::NotNative(*channel.peer()));
            }
        }
        Ok(building)
    }

    async fn walk(
        &self,
        path: &mut Path,
        parts: &[Part],
        options: &PathOptions,
    ) -> Result<(), PathError> {
        let last = parts
            .iter()
            .rposition(|part| matches!(part, Part::Secure(_)));
        for (index, part) in parts.iter().enumerate() {
            match part {
                Part::Connect(address) => {
                    let link = self.connect(address).await?;
                    path.route.push_back(link.address().clone());
                    path.link = Some(link);
                }
                Part::Address(address) => path.route.push_back(address.clone()),
                Part::Secure(listener) => {
                    let is_last = Some(index) == last;
                    let options = ChannelOptions {
                        expect: if is_last {
                            options.expect.clone()
                        } else {
                            Trust::Everyone
                        },
                        suite: options.suite,
                        minimum_change: options.minimum_change.filter(|_| is_last),
                        deadline: options.deadline,
                        confined: is_last && options.confined,
                        ordered: is_last && options.ordered,
                    };
                    let suite = options.suite.unwrap_or_else(|| Suite::spoken_at(listener));
                    let mut route = std::mem::take(&mut path.route);
                    route.push_back(listener.clone());
                    let channel = self.secure_channel(route, options).await.map_err(|error| {
                        PathError::Channel {
                            listener: String::from_utf8_lossy(listener.value()).into_owned(),
                            suite,
                            error,
                        }
                    })?;
                    path.route.push_back(channel.address().clone());
                    path.channels.push(channel);
                }
            }
        }
        Ok(())
    }
}

/// Of several ways the next is tried after this time, while the one before goes on (after RFC 8305, section 5).
const TURN: Duration = Duration::from_millis(250);

/// The first of several ways that comes to stand; what the others have opened is closed again.
async fn first_of<F>(
    node: &Node,
    ways: &[MultiAddr],
    options: &PathOptions,
    attempt: impl Fn(Node, MultiAddr, PathOptions) -> F + Copy + Send + 'static,
) -> Result<Path, PathError>
where
    F: Future<Output = Result<Building, PathError>> + Send + 'static,
{
    if let [way] = ways {
        let building = attempt(node.clone(), way.clone(), options.clone()).await?;
        return Ok(building.finish());
    }
    let mut attempts = JoinSet::new();
    for (way, turn) in ways.iter().cloned().zip(0..) {
        let (node, options) = (node.clone(), options.clone());
        attempts.spawn(async move {
            tokio::time::sleep(TURN * turn).await;
            attempt(node, way, options).await
        });
    }
    let mut told: Option<PathError> = None;
    while let Some(ended) = attempts.join_next().await {
        match ended {
            Ok(Ok(building)) => return Ok(building.finish()),
            // A refusal says more than that nobody is somewhere else.
            Ok(Err(error)) => match &told {
                Some(told) if told.is_refusal() || !error.is_refusal() => {}
                _ => told = Some(error),
            },
            Err(panicked) => tracing::error!(%panicked, "an attempt to build a path"),
        }
    }
    let none = PathError::Unusable {
        part: "nothing".to_owned(),
        why: "there is no way",
    };
    Err(told.unwrap_or(none))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> PathError {
        let to: MultiAddr = text.parse().expect("a multiaddr");
        parts(&to).err().expect("no path")
    }

    #[test]
    fn paths_that_lead_nowhere_are_named() {
        for text in [
            "/project/default",
            "/node/n1",
            "/ip4/127.0.0.1",
            "/tcp/80",
            "/service/a/ip4/127.0.0.1/tcp/1",
        ] {
            assert!(
                matches!(refused(text), PathError::Unusable { .. }),
                "{text}"
            );
        }
    }
}
