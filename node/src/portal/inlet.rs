//! Inlets: the end of a portal that clients connect to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealway_core::wire::MultiAddr;
use tokio::net::{TcpListener, TcpStream};

use super::paths::{Paths, Place};
use super::{Ended, native, reference};
use crate::channel::Channel;
use crate::event::Event;
use crate::node::Node;
use crate::path::{Path, PathError, PathOptions};
use crate::transport::socket::prepare_tcp;
use crate::transport::{Listening, TransportError, tcp};

/// A client waits this long for a path that is being rebuilt.
const PATIENCE: Duration = Duration::from_secs(15);
/// Connections that one inlet has open at a time.
const MAX_STREAMS: usize = 8_192;

/// Why an inlet could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InletError {
    /// It cannot listen there.
    #[error(transparent)]
    Listen(#[from] TransportError),
    /// The path to the outlet cannot be built.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// A local port behind which a remote service is.
#[derive(Clone)]
pub struct Inlet {
    inner: Arc<Inner>,
}

struct Inner {
    listening: Listening,
    paths: Paths,
    streams: AtomicUsize,
}

impl Inlet {
    /// The bound address.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.inner.listening.address
    }

    /// The path that stands now, or the first of several.
    #[must_use]
    pub fn path(&self) -> Option<Arc<Path>> {
        self.inner.paths.first()
    }

    /// All paths that stand now: see [`PathOptions::channels`].
    #[must_use]
    pub fn paths(&self) -> Vec<Arc<Path>> {
        self.inner.paths.standing()
    }

    /// Resolves if the other end closes the first path because it admits us to nothing, however long ago; a path that
    /// was rebuilt and is refused then (the trust may come back) is tried again.
    pub async fn refused(&self) {
        self.inner.paths.refused().await;
    }

    /// Connections that are open.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.inner.streams.load(Ordering::Acquire)
    }

    /// Stops accepting connections. Those that were accepted go on as long as their path.
    pub fn close(&self) {
        self.inner.listening.close();
    }
}

/// A port that is taken, and that nobody accepts connections at yet.
pub(crate) struct Bound {
    listener: TcpListener,
    address: String,
}

impl Bound {
    pub(crate) async fn at(listen: &str) -> Result<Self, TransportError> {
        let (listener, bound) = tcp::bind(listen.strip_prefix("tcp:").unwrap_or(listen)).await?;
        Ok(Self {
            listener,
            address: bound.to_string(),
        })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}

impl Node {
    /// Opens a local port at `listen` (`HOST:PORT`): each connection to it becomes one from the outlet at `to` to its
    /// service. The path is built before this returns, and rebuilt whenever it breaks.
    ///
    /// Should this machine vanish, the outlet's end finds out by asking this node's `echo`: offer it to the peer, see
    /// [`Node::start_service`].
    ///
    /// # Errors
    /// [`InletError`].
    pub async fn inlet(
        &self,
        listen: &str,
        to: &MultiAddr,
        options: PathOptions,
    ) -> Result<Inlet, InletError> {
        let bound = Bound::at(listen).await?;
        Ok(self
            .inlet_by(bound, std::slice::from_ref(to), options)
            .await?)
    }

    /// As [`Node::inlet`], by whichever way stands first, at a port that is taken already.
    pub(crate) async fn inlet_by(
        &self,
        Bound { listener, address }: Bound,
        ways: &[MultiAddr],
        options: PathOptions,
    ) -> Result<Inlet, PathError> {
        let options = PathOptions {
            ordered: true,
            ..options
        };
        let first = self.live_path(ways, &options).await?;
        let suite = first.channel().map(Channel::suite);
        let is_native = first.is_native();
        let inner = Arc::new(Inner {
            listening: Listening::new("tcp", address.clone()),
            paths: Paths::start(self, ways, options, first, &address),
            streams: AtomicUsize::new(0),
        });
        let inlet = Inlet {
            inner: Arc::clone(&inner),
        };
        let node = self.clone();
        self.shared().spawn(async move {
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = inner.listening.stopped() => return,
                };
                match accepted {
                    Ok((socket, _)) => accept(&node, &inner, socket),
                    Err(error) => tcp::accept_failed(node.shared(), &error).await,
                }
            }
        });
        self.shared().emit(Event::Ready {
            address,
            suite,
            is_native,
        });
        Ok(inlet)
    }
}

fn accept(node: &Node, inner: &Arc<Inner>, socket: TcpStream) {
    super::reset_unless_finished(&socket);
    if prepare_tcp(&socket).is_err() {
        return;
    }
    let connection = Connection::new(inner);
    if inner.streams.load(Ordering::Acquire) > MAX_STREAMS {
        Ended::Reset(format!("{MAX_STREAMS} connections are open")).count(node.shared());
    } else if let Some(place) = inner.paths.place_now(node) {
        carry(node, connection, place, socket);
    } else {
        let node = node.clone();
        node.clone().shared().spawn(async move {
            match connection.0.paths.place(&node, PATIENCE).await {
                Some(place) => carry(&node, connection, place, socket),
                None => Ended::Reset("there is no path to the outlet".into()).count(node.shared()),
            }
        });
    }
}

/// One connection among those that are open, until dropped.
struct Connection(Arc<Inner>);

impl Connection {
    fn new(inner: &Arc<Inner>) -> Self {
        inner.streams.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(inner))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Carries a connection to its end, in a task of its own.
fn carry(node: &Node, connection: Connection, place: Place, socket: TcpStream) {
    let shared = Arc::clone(node.shared());
    let path = &place.path;
    let (Some(session), Some(resource)) = (path.session(), native::resource(path.route())) else {
        return node.shared().spawn(async move {
            let address = &connection.0.listening.address;
            let path = Arc::clone(&place.path);
            reference::carry(&shared, address, path, socket)
                .await
                .count(&shared);
        });
    };
    match native::open(session, resource, socket) {
        Ok(opened) => node.shared().spawn(async move {
            let _place = place;
            let address = &connection.0.listening.address;
            opened.carry(&shared, address).await.count(&shared);
        }),
        Err(ended) => ended.count(&shared),
    }
}
