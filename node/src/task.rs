//! What every task of a node is wrapped in, and what ends it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// An end that many tasks wait for. It has come when somebody says so, or the value is dropped.
#[derive(Default)]
pub(crate) struct End {
    has_come: AtomicBool,
    told: Arc<Notify>,
}

impl End {
    /// Tells who waits.
    pub(crate) fn come(&self) {
        self.has_come.store(true, Ordering::SeqCst);
        self.told.notify_waiters();
    }

    pub(crate) fn has_come(&self) -> bool {
        self.has_come.load(Ordering::SeqCst)
    }

    /// Resolves when it comes; `None` if it has.
    pub(crate) fn waiting(&self) -> Option<OwnedNotified> {
        // It hears what is said from now on; what was said before is seen by looking afterwards.
        let told = Arc::clone(&self.told).notified_owned();
        (!self.has_come()).then_some(told)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.come();
    }
}

pin_project! {
    /// Runs `task` until it is over or `end` is; then `kept` is dropped, after the two.
    ///
    /// Not an async block, which keeps what it captures twice: as it was captured, and where it runs. A portal's connection is
    /// little more than its tasks.
    pub(crate) struct Until<T, E, K> {
        #[pin]
        task: T,
        #[pin]
        end: E,
        kept: K,
    }
}

impl<T, E, K> Until<T, E, K> {
    pub(crate) const fn new(task: T, end: E, kept: K) -> Self {
        Self { task, end, kept }
    }
}

impl<T: Future<Output = ()>, E: Future<Output = ()>, K> Future for Until<T, E, K> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        if this.task.poll(context).is_ready() {
            return Poll::Ready(());
        }
        this.end.poll(context)
    }
}
