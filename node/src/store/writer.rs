//! The one writer of this process: a thread that gathers requests into a transaction.
//!
//! Requests that wait while a transaction reaches the disk share the next one (group commit), and
//! each is acknowledged after the commit that holds it, never before. A request that fails leaves
//! nothing behind and does not disturb the others of its group; a commit that fails fails them all.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::clock::WallClock;
use super::fault::{StoreFault, name_full_disk};

/// Requests that wait for the writer; at most some 10 MiB, as the largest request is a history of
/// 32 changes. A request beyond is refused with [`StoreFault::Overloaded`].
const QUEUE: usize = 1024;

/// Requests that share one transaction. More would let the first of them wait too long.
const GROUP: usize = 256;

/// What a request wants done once its transaction is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Nothing.
    Nothing,
    /// Deleted secrets are to leave the write-ahead log too.
    TruncateLog,
}

/// The answer to a request of the store: a future, or [`Pending::wait`] for a plain thread.
///
/// The request goes on when this is dropped: what was asked is done, only nobody hears of it.
#[must_use = "the answer says whether it was stored"]
#[derive(Debug)]
pub struct Pending<T, E> {
    state: State<T, E>,
}

#[derive(Debug)]
enum State<T, E> {
    Waiting(oneshot::Receiver<Result<T, E>>),
    Ready(Option<Result<T, E>>),
}

impl<T, E: From<StoreFault>> Pending<T, E> {
    /// An answer that is known without asking.
    pub(crate) const fn ready(answer: Result<T, E>) -> Self {
        Self {
            state: State::Ready(Some(answer)),
        }
    }

    /// Waits on this thread, inside or outside of a runtime.
    ///
    /// # Errors
    /// What the request says.
    pub fn wait(mut self) -> Result<T, E> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(answer) => return answer,
                Poll::Pending => thread::park(),
            }
        }
    }
}

// Nothing in it is pinned in place.
impl<T, E> Unpin for Pending<T, E> {}

impl<T, E: From<StoreFault>> Future for Pending<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Waiting(answer) => Pin::new(answer)
                .poll(context)
                .map(|answer| answer.unwrap_or_else(|_| Err(StoreFault::Closed.into()))),
            State::Ready(answer) => Poll::Ready(
                answer
                    .take()
                    .unwrap_or_else(|| Err(StoreFault::Closed.into())),
            ),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A request, with its types forgotten.
trait Job: Send {
    /// Does it inside the transaction; false if nothing of it may stay.
    fn run(&mut self, transaction: &Connection) -> bool;
    /// What is to follow its commit.
    fn after(&self) -> After;
    /// Tells who asked, once the transaction has ended.
    fn acknowledge(self: Box<Self>, ended: Result<(), StoreFault>);
}

struct Request<F, T, E> {
    work: Option<F>,
    result: Option<Result<T, E>>,
    after: After,
    answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Request<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send,
    E: From<StoreFault> + Send,
{
    fn run(&mut self, transaction: &Connection) -> bool {
        self.result = self.work.take().map(|work| work(transaction));
        matches!(self.result, Some(Ok(_)))
    }

    fn after(&self) -> After {
        match self.result {
            Some(Ok(_)) => self.after,
            _ => After::Nothing,
        }
    }

    fn acknowledge(self: Box<Self>, ended: Result<(), StoreFault>) {
        let closed = || Err(StoreFault::Closed.into());
        let answer = match ended {
            Ok(()) => self.result.unwrap_or_else(closed),
            Err(fault) => Err(fault.into()),
        };
        // Who asked may have gone; what was stored stays stored.
        drop(self.answer.send(answer));
    }
}

/// The thread and the way to it. Dropped, it finishes what waits, and closes the file.
#[derive(Debug)]
pub(crate) struct Writer {
    requests: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    commits: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread on a connection that is its own.
    pub(crate) fn start(connection: Connection, clock: Arc<WallClock>) -> Result<Self, StoreFault> {
        let (requests, incoming) = mpsc::channel(QUEUE);
        let commits = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&commits);
        let thread = thread::Builder::new()
            .name("sealway-store".to_owned())
            .spawn(move || write_all(connection, incoming, &clock, &counter))
            .map_err(|error| StoreFault::Io {
                detail: format!("no thread for the writer: {error}"),
            })?;
        Ok(Self {
            requests: Some(requests),
            thread: Some(thread),
            commits,
        })
    }

    /// How many transactions were committed.
    pub(crate) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Has `work` done inside a transaction, together with other requests.
    pub(crate) fn submit<F, T, E>(&self, after: After, work: F) -> Pending<T, E>
    where
        F: FnOnce(&Connection) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreFault> + Send + 'static,
    {
        let (answer, waiting) = oneshot::channel();
        let job = Box::new(Request {
            work: Some(work),
            result: None,
            after,
            answer,
        });
        match self
            .requests
            .as_ref()
            .map(|requests| requests.try_send(job))
        {
            Some(Ok(())) => Pending {
                state: State::Waiting(waiting),
            },
            Some(Err(mpsc::error::TrySendError::Full(_))) => {
                Pending::ready(Err(StoreFault::Overloaded { waiting: QUEUE }.into()))
            }
            _ => Pending::ready(Err(StoreFault::Closed.into())),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != thread::current().id()
        {
            // A panic of the writer was reported by its thread already.
            drop(thread.join());
        }
    }
}

fn write_all(
    mut connection: Connection,
    mut incoming: mpsc::Receiver<Box<dyn Job>>,
    clock: &WallClock,
    commits: &AtomicU64,
) {
    let mut group: Vec<Box<dyn Job>> = Vec::with_capacity(GROUP);
    while let Some(first) = incoming.blocking_recv() {
        group.push(first);
        let ended = write_group(&mut connection, &mut incoming, &mut group, clock)
            .map_err(|fault| name_full_disk(fault, connection.path()));
        match &ended {
            Ok(()) => drop(commits.fetch_add(1, Ordering::Relaxed)),
            Err(fault) => {
                tracing::warn!(requests = group.len(), %fault, "nothing of a group was stored");
            }
        }
        let after = group
            .iter()
            .map(|job| job.after())
            .find(|after| *after != After::Nothing);
        if ended.is_ok() && after == Some(After::TruncateLog) {
            truncate_log(&connection);
        }
        for job in group.drain(..) {
            job.acknowledge(ended.clone());
        }
    }
}

/// Runs the job in `group` and those that wait, and commits.
fn write_group(
    connection: &mut Connection,
    incoming: &mut mpsc::Receiver<Box<dyn Job>>,
    group: &mut Vec<Box<dyn Job>>,
    clock: &WallClock,
) -> Result<(), StoreFault> {
    let transaction = Transaction::new(connection, TransactionBehavior::Immediate)?;
    let mut next = 0;
    while let Some(job) = group.get_mut(next) {
        run_alone(&transaction, job.as_mut())?;
        next += 1;
        if next < GROUP
            && let Ok(job) = incoming.try_recv()
        {
            group.push(job);
        }
    }
    let written = clock.write_if_due(&transaction)?;
    transaction.commit()?;
    clock.was_stored(written);
    Ok(())
}

/// Runs one job so that its failure undoes it alone.
fn run_alone(transaction: &Connection, job: &mut dyn Job) -> Result<(), StoreFault> {
    transaction
        .prepare_cached("SAVEPOINT request")?
        .execute([])?;
    if !job.run(transaction) {
        // A failing disk makes SQLite roll the whole transaction back: nobody's request is in it.
        if transaction.is_autocommit() {
            return Err(StoreFault::Io {
                detail: "the transaction was rolled back".to_owned(),
            });
        }
        transaction
            .prepare_cached("ROLLBACK TO request")?
            .execute([])?;
    }
    transaction.prepare_cached("RELEASE request")?.execute([])?;
    Ok(())
}

/// Empties the write-ahead log into the file, whose free pages are overwritten (`secure_delete`).
///
/// Another process that reads just now keeps the log in use; its next checkpoint does the same.
fn truncate_log(connection: &Connection) {
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0));
    match busy {
        Ok(0i64) => {}
        Ok(_) => tracing::debug!("the write-ahead log is in use and was not emptied"),
        Err(error) => tracing::debug!(%error, "the write-ahead log was not emptied"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Home;
    use std::sync::mpsc as std_mpsc;

    fn put(home: &Home, key: i64) -> Pending<(), StoreFault> {
        home.write(After::Nothing, move |transaction| {
            transaction.execute("INSERT INTO settings VALUES (?1, 'x')", [key.to_string()])?;
            Ok(())
        })
    }

    fn count(home: &Home) -> i64 {
        home.read()
            .query_row(
                "SELECT count(*) FROM settings WHERE value = 'x'",
                [],
                |row| row.get(0),
            )
            .unwrap()
    }

    /// Keeps the writer inside a request until the sender is used.
    fn hold(home: &Home) -> (std_mpsc::Sender<()>, Pending<(), StoreFault>) {
        let (release, held) = std_mpsc::channel();
        let (inside, began) = std_mpsc::channel();
        let pending = home.write(After::Nothing, move |_| {
            inside.send(()).unwrap();
            held.recv().unwrap();
            Ok(())
        });
        began.recv().unwrap();
        (release, pending)
    }

    #[test]
    fn requests_that_wait_share_a_commit_and_are_acknowledged_after_it() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path().join("home")).unwrap();
        let before = home.commits();
        let (release, held) = hold(&home);
        let mut pending: Vec<_> = (0..GROUP as i64 - 1).map(|key| put(&home, key)).collect();
        let mut context = Context::from_waker(Waker::noop());
        for one in &mut pending {
            assert!(Pin::new(one).poll(&mut context).is_pending());
        }
        assert_eq!(count(&home), 0);
        release.send(()).unwrap();
        held.wait().unwrap();
        for one in pending {
            one.wait().unwrap();
        }
        assert_eq!(count(&home), GROUP as i64 - 1);
        assert_eq!(home.commits() - before, 1);
    }

    #[test]
    fn a_request_that_fails_leaves_its_group_alone() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path().join("home")).unwrap();
        let (release, held) = hold(&home);
        let good = put(&home, 1);
        let half: Pending<(), StoreFault> = home.write(After::Nothing, |transaction| {
            transaction.execute("INSERT INTO settings VALUES ('half', 'x')", [])?;
            transaction.execute("INSERT INTO settings VALUES ('1', 'x')", [])?;
            Ok(())
        });
        let after = put(&home, 2);
        release.send(()).unwrap();
        held.wait().unwrap();
        good.wait().unwrap();
        half.wait().unwrap_err();
        after.wait().unwrap();
        assert_eq!(count(&home), 2, "nothing of the failed one is left");
    }

    #[test]
    fn requests_beyond_the_bound_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path().join("home")).unwrap();
        let (release, held) = hold(&home);
        let waiting: Vec<_> = (0..QUEUE as i64).map(|key| put(&home, key)).collect();
        let refused = put(&home, -1).wait().unwrap_err();
        assert_eq!(refused, StoreFault::Overloaded { waiting: QUEUE });
        release.send(()).unwrap();
        held.wait().unwrap();
        for one in waiting {
            one.wait().unwrap();
        }
        assert_eq!(count(&home), QUEUE as i64);
    }

    #[test]
    fn what_nobody_waits_for_is_stored_before_the_store_closes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("home");
        let home = Home::open(&path).unwrap();
        for key in 0..100 {
            drop(put(&home, key));
        }
        drop(home);
        assert_eq!(count(&Home::open(&path).unwrap()), 100);
    }

    #[tokio::test]
    async fn an_answer_can_be_awaited_and_waited_for_inside_a_runtime() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::open(directory.path().join("home")).unwrap();
        put(&home, 1).await.unwrap();
        put(&home, 2).wait().unwrap();
        assert_eq!(count(&home), 2);
    }
}
