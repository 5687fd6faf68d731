//! The paths of an inlet, and which connection goes over which.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealway_core::wire::MultiAddr;

use crate::node::{Node, lock};
use crate::path::{KeptPath, Path, PathOptions};

/// The paths of an inlet, each with a connection and a channel of its own. A connection goes over one of them; what becomes of
/// another does not touch it.
///
/// There are two from the start, if there may be, and then one more than have connections: who comes while a stream runs at full speed
/// finds a path that is free, and waits neither for a handshake nor behind that stream.
pub(super) struct Paths {
    ways: Arc<[MultiAddr]>,
    /// [Held to](PathOptions::held_to) the first path.
    options: PathOptions,
    /// How many there may be: 1 for a path of the reference's portal.
    most: usize,
    /// The first is the one that stood before the inlet did. Bound: [`PathOptions::MAX_CHANNELS`].
    kept: Mutex<Vec<Arc<Carrier>>>,
}

/// A path, and the connections that go over it.
struct Carrier {
    path: KeptPath,
    connections: AtomicUsize,
}

impl Carrier {
    fn new(path: KeptPath) -> Arc<Self> {
        Arc::new(Self {
            path,
            connections: AtomicUsize::new(0),
        })
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }
}

/// A connection's place on a path, until dropped.
pub(super) struct Place {
    pub(super) path: Arc<Path>,
    carrier: Arc<Carrier>,
}

impl Place {
    fn new(path: Arc<Path>, carrier: &Arc<Carrier>) -> Self {
        carrier.connections.fetch_add(1, Ordering::AcqRel);
        Self {
            path,
            carrier: Arc::clone(carrier),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.carrier.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Paths {
    /// Of an inlet at `address`, of which one path stands already.
    pub(super) fn start(
        node: &Node,
        ways: &[MultiAddr],
        options: PathOptions,
        first: Path,
        address: &str,
    ) -> Self {
        let options = options.held_to(&first);
        let most = match first.is_native() {
            true => options.channels.min(PathOptions::MAX_CHANNELS),
            false => 1,
        };
        let ways: Arc<[MultiAddr]> = ways.into();
        let what = format!("path of the inlet at {address}");
        let first = KeptPath::start(node, Arc::clone(&ways), options.clone(), first, what);
        let paths = Self {
            ways,
            options,
            most,
            kept: Mutex::new(vec![Carrier::new(first)]),
        };
        paths.open_another(node, &mut lock(&paths.kept));
        paths
    }

    /// Opens a path beside those that are `kept`, if there may be one more.
    fn open_another(&self, node: &Node, kept: &mut Vec<Arc<Carrier>>) {
        if kept.len() < self.most {
            let (ways, options) = (Arc::clone(&self.ways), self.options.clone());
            kept.push(Carrier::new(KeptPath::beside(node, ways, options)));
        }
    }

    /// The first, if it stands now.
    pub(super) fn first(&self) -> Option<Arc<Path>> {
        self.all().first().and_then(|first| first.path.now())
    }

    /// Those that stand now.
    pub(super) fn standing(&self) -> Vec<Arc<Path>> {
        let all = self.all();
        all.iter().filter_map(|kept| kept.path.now()).collect()
    }

    /// As [`KeptPath::refused`], of the first.
    pub(super) async fn refused(&self) {
        match self.all().first() {
            Some(first) => first.path.refused().await,
            None => std::future::pending().await,
        }
    }

    /// A place on the path with the fewest connections of those that stand, or on the first that comes to stand within `patience`.
    pub(super) async fn place(&self, node: &Node, patience: Duration) -> Option<Place> {
        if let Some(place) = self.place_now(node) {
            return Some(place);
        }
        let standing = async {
            loop {
                self.any().await;
                if let Some(place) = self.place_now(node) {
                    return place;
                }
            }
        };
        // Kept out of the connection's future, as it is rarely needed.
        let standing = Box::pin(tokio::time::timeout(patience, standing));
        standing.await.ok()
    }

    pub(super) fn place_now(&self, node: &Node) -> Option<Place> {
        let mut kept = lock(&self.kept);
        let standing = kept
            .iter()
            .filter_map(|carrier| Some((carrier, carrier.path.now()?)));
        let (carrier, path) = standing.min_by_key(|(carrier, _)| carrier.connections())?;
        let place = Place::new(path, carrier);
        let are_in_use =
            |carrier: &Arc<Carrier>| carrier.connections() > 0 && carrier.path.now().is_some();
        if kept.iter().all(are_in_use) {
            self.open_another(node, &mut kept);
        }
        Some(place)
    }

    fn all(&self) -> Vec<Arc<Carrier>> {
        lock(&self.kept).clone()
    }

    /// Resolves when one stands.
    async fn any(&self) {
        let all = self.all();
        let stands = |index: usize| {
            let kept = all.get(index);
            async move {
                match kept {
                    Some(kept) => kept.path.stands().await,
                    None => std::future::pending().await,
                }
            }
        };
        const { assert!(PathOptions::MAX_CHANNELS == 4) };
        tokio::select! {
            () = stands(0) => {}
            () = stands(1) => {}
            () = stands(2) => {}
            () = stands(3) => {}
        }
    }
}
