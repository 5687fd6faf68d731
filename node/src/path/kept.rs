//! Paths that are built again whenever they end.

use std::sync::Arc;
use std::time::Duration;

use sealway_core::wire::MultiAddr;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Path, PathError, PathOptions};
use crate::channel::{Channel, CloseReason};
use crate::event::Event;
use crate::node::Node;

/// After this time a path gets new keys: an implicit rekey never heals a stolen key (protocols.md section 5).
const MAX_AGE: Duration = Duration::from_secs(3_600);
/// If that fails, it is tried again after this time: the old path goes on meanwhile.
const RENEW_AGAIN: Duration = Duration::from_secs(30);
/// The first wait before a path is built again.
const BACK_OFF_MIN: Duration = Duration::from_millis(100);
/// The longest wait.
const BACK_OFF_MAX: Duration = Duration::from_secs(5);

/// Waits between attempts: doubling, with half of each at random so that many do not come at once. What came to stand and fell
/// again before the longest wait was over counts as one more failure.
pub(crate) struct BackOff(Duration);

impl BackOff {
    pub(crate) const fn new() -> Self {
        Self(BACK_OFF_MIN)
    }

    /// What stood since `began` has been lost. Whether it stood for long, so that the waits begin anew.
    pub(crate) fn lost(&mut self, began: Instant) -> bool {
        let stood = began.elapsed() >= BACK_OFF_MAX;
        if stood {
            *self = Self::new();
        }
        stood
    }

    pub(crate) async fn wait(&mut self) {
        let half = self.0 / 2;
        let random = getrandom::u32().unwrap_or(0);
        let jitter = half.mul_f64(f64::from(random) / f64::from(u32::MAX));
        self.0 = (self.0 * 2).min(BACK_OFF_MAX);
        tokio::time::sleep(half + jitter).await;
    }
}

/// A path that is rebuilt whenever it ends, until dropped.
pub(crate) struct KeptPath {
    current: watch::Receiver<Option<Arc<Path>>>,
    /// Why the first instance ended, once it has.
    first_end: watch::Receiver<Option<CloseReason>>,
    /// Ends the task when dropped.
    stop: Option<watch::Sender<()>>,
}

impl KeptPath {
    /// Keeps up a path of which one instance stands already. What becomes of it is told as events, in which it is called `what`.
    pub(crate) fn start(
        node: &Node,
        to: Arc<[MultiAddr]>,
        options: PathOptions,
        first: Path,
        what: String,
    ) -> Self {
        let options = options.held_to(&first);
        let (tell_end, first_end) = watch::channel(None);
        let first_ended = {
            let first = first.clone();
            async move {
                let end = first.ended().await;
                drop(first);
                tell_end.send_replace(Some(end));
                std::future::pending::<()>().await
            }
        };
        let (publish, current) = watch::channel(Some(Arc::new(first)));
        let keeper = Keeper {
            node: node.clone(),
            to,
            options,
            what: Some(what),
        };
        let stop = keeper.spawn(publish, first_ended);
        Self {
            current,
            first_end,
            stop: Some(stop),
        }
    }

    /// Builds and keeps up a path beside one that stands: `options` are [held to](PathOptions::held_to) that one. It is
    /// told of in the log alone, since what goes there can go by the other.
    pub(crate) fn beside(node: &Node, to: Arc<[MultiAddr]>, options: PathOptions) -> Self {
        let (publish, current) = watch::channel(None);
        let (_, first_end) = watch::channel(None);
        let keeper = Keeper {
            node: node.clone(),
            to,
            options,
            what: None,
        };
        let stop = keeper.spawn(publish, std::future::pending());
        Self {
            current,
            first_end,
            stop: Some(stop),
        }
    }

    /// Resolves when the peer has closed the first instance because we may reach nothing there; never if it ended for another
    /// reason, or was served: later instances are tried again.
    pub(crate) async fn refused(&self) {
        let mut end = self.first_end.clone();
        let refused = |end: &Option<CloseReason>| *end == Some(CloseReason::Refused);
        if end.wait_for(refused).await.is_err() {
            std::future::pending().await
        }
    }

    /// Resolves when the path stands.
    pub(crate) async fn stands(&self) {
        let mut current = self.current.clone();
        if current.wait_for(Option::is_some).await.is_err() {
            std::future::pending().await
        }
    }

    /// The path that stands now, if any.
    pub(crate) fn now(&self) -> Option<Arc<Path>> {
        self.current.borrow().clone()
    }
}

impl Drop for KeptPath {
    fn drop(&mut self) {
        // First, so that the end of the path is not taken for a loss.
        drop(self.stop.take());
        if let Some(path) = self.now() {
            path.close();
        }
    }
}

/// What keeps a path up.
struct Keeper {
    node: Node,
    to: Arc<[MultiAddr]>,
    options: PathOptions,
    /// What the path is called in events; none are told without.
    what: Option<String>,
}

impl Keeper {
    /// Keeps up what is published, until the sender that is returned is dropped.
    fn spawn(
        self,
        publish: watch::Sender<Option<Arc<Path>>>,
        beside: impl Future<Output = ()> + Send + 'static,
    ) -> watch::Sender<()> {
        let (stop, mut stopped) = watch::channel(());
        let shared = Arc::clone(self.node.shared());
        shared.spawn(async move {
            tokio::select! {
                biased;
                // Only the sender's end is waited for: it is dropped with its `KeptPath`.
                _ = async { while stopped.changed().await.is_ok() {} } => {}
                () = self.keep(publish) => {}
                () = beside => {}
            }
        });
        stop
    }

    async fn keep(&self, publish: watch::Sender<Option<Arc<Path>>>) {
        let mut back_off = BackOff::new();
        let mut refusals = Refusals::default();
        let mut answered = false;
        loop {
            let standing = publish.borrow().clone();
            let Some(path) = standing else {
                let built = match self.build(&mut refusals).await {
                    Some(path) => path,
                    None => self.rebuild(&mut back_off, &mut refusals).await,
                };
                publish.send_replace(Some(Arc::new(built)));
                continue;
            };
            let began = Instant::now();
            // It is the same peer each time. One that has stopped to answer is found silent once.
            if answered && let Some(channel) = path.channel() {
                channel.expect_answers();
            }
            let next = tokio::select! {
                reason = path.ended() => {
                    publish.send_replace(None);
                    path.close();
                    self.tell(|what| Event::Lost { what, why: reason.to_string() });
                    None
                }
                // A path without channels has no keys to renew.
                fresh = self.renewed(), if path.channel().is_some() => Some(fresh),
            };
            answered = path.channel().is_some_and(Channel::has_answered);
            let next = match next {
                // Streams over the old path go on to their end.
                Some(fresh) => {
                    publish.send_replace(Some(Arc::new(fresh)));
                    path.retire(&self.node);
                    continue;
                }
                #[cfg(sealway_weaken)]
                None if sealway_core::weaken::off(sealway_core::weaken::Check::Recovery) => {
                    return std::future::pending().await;
                }
                None => {
                    if back_off.lost(began) {
                        refusals = Refusals::default();
                    }
                    self.rebuild(&mut back_off, &mut refusals).await
                }
            };
            publish.send_replace(Some(Arc::new(next)));
            self.tell(|what| Event::Restored { what });
        }
    }

    /// The path that replaces one whose keys have become old, built beside it.
    async fn renewed(&self) -> Path {
        tokio::time::sleep(MAX_AGE).await;
        let mut refusals = Refusals::default();
        loop {
            if let Some(fresh) = self.build(&mut refusals).await {
                return fresh;
            }
            tokio::time::sleep(RENEW_AGAIN).await;
        }
    }

    /// Builds the path for as long as it takes. Whatever answers, it is tried again: who stands in the way now may be gone the
    /// next time.
    async fn rebuild(&self, back_off: &mut BackOff, refusals: &mut Refusals) -> Path {
        loop {
            back_off.wait().await;
            if let Some(path) = self.build(refusals).await {
                return path;
            }
        }
    }

    /// One attempt to build the path.
    async fn build(&self, refusals: &mut Refusals) -> Option<Path> {
        // Kept out of a future that waits for an hour, of which this would be nearly all.
        match Box::pin(self.node.live_path(&self.to, &self.options)).await {
            Ok(path) => Some(path),
            Err(error) => {
                self.failed(&error, refusals);
                None
            }
        }
    }

    fn failed(&self, error: &PathError, refusals: &mut Refusals) {
        // A weaker protocol is our refusal.
        let is_refusal = error.is_refusal() || matches!(error, PathError::NotNative(_));
        match &self.what {
            Some(what) if is_refusal => refusals.tell(&self.node, format!("{what}: {error}")),
            what => tracing::debug!(what, %error, "not built yet"),
        }
    }

    fn tell(&self, event: impl FnOnce(String) -> Event) {
        match &self.what {
            Some(what) => self.node.shared().emit(event(what.clone())),
            None => tracing::debug!(event = ?event("a path beside the first".to_owned())),
        }
    }
}

/// Tells of refusals, each once in a row: who stands in the way for an hour is met some seven hundred times.
#[derive(Default)]
pub(crate) struct Refusals {
    told: Option<String>,
}

impl Refusals {
    pub(crate) fn tell(&mut self, node: &Node, why: String) {
        if self.told.as_ref() != Some(&why) {
            self.told = Some(why.clone());
            node.shared().emit(Event::Refused { why });
        }
    }
}
