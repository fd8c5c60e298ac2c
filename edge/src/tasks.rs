//! Owner of every background task: each has a name, a stop and somebody who waits for it.
//!
//! This is not a scheduler: it does not restart what ended. A task that must come back after a
//! failure loops by itself.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;
use std::{any::Any, pin::pin};

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Handle to a set of tasks that share a runtime and a stop. Clones are the same set.
#[derive(Clone, Debug)]
pub struct Tasks {
    set: Arc<Set>,
}

impl Tasks {
    /// An empty set whose tasks run on `runtime`.
    pub fn new(runtime: Handle) -> Self {
        let set = Set {
            runtime,
            stop: CancellationToken::new(),
            running: Mutex::default(),
            ended: Notify::new(),
            next: AtomicU64::new(0),
            panics: AtomicU64::new(0),
        };
        Self { set: Arc::new(set) }
    }

    /// Starts a task.
    ///
    /// `make` gets the token that tells the task to end: that of the whole set, or the returned one,
    /// with which the caller may end this task alone. A panic ends this task only, and is logged and
    /// counted.
    pub fn spawn<Made, Work>(&self, name: impl Into<Arc<str>>, make: Made) -> CancellationToken
    where
        Made: FnOnce(CancellationToken) -> Work + Send + 'static,
        Work: Future<Output = ()> + Send + 'static,
    {
        let stop = self.set.stop.child_token();
        let token = stop.clone();
        let name: Arc<str> = name.into();
        self.set.runtime.spawn(self.watched(name, async move { make(token).await }));
        stop
    }

    /// Work that the caller drives himself, as a part of a task: it stands under a name of its own, and a panic ends it
    /// alone, is logged and counted.
    pub fn watched<Name, Work>(&self, name: Name, work: Work) -> impl Future<Output = ()> + Send + use<Name, Work>
    where
        Name: Into<Arc<str>>,
        Work: Future<Output = ()> + Send + 'static,
    {
        let entry = Entry::new(&self.set, name.into());
        async move {
            if let Err(panic) = caught(work).await {
                entry.report(&*panic);
            }
        }
    }

    /// Inside of the runtime of the tasks, for making what needs one.
    pub fn enter(&self) -> tokio::runtime::EnterGuard<'_> {
        self.set.runtime.enter()
    }

    /// An empty set on the same runtime, with a stop of its own.
    pub fn another(&self) -> Self {
        Self::new(self.set.runtime.clone())
    }

    /// Tells every task to end, and every later one too.
    pub fn stop(&self) {
        self.set.stop.cancel();
    }

    /// Whether [`Tasks::stop`] was called.
    pub fn is_stopping(&self) -> bool {
        self.set.stop.is_cancelled()
    }

    /// How many tasks run now.
    pub fn running(&self) -> usize {
        self.set.running().len()
    }

    /// How many tasks ended by a panic since the start.
    pub fn panics(&self) -> u64 {
        self.set.panics.load(Ordering::Relaxed)
    }

    /// Stops all tasks and waits for them at most `grace`.
    ///
    /// # Errors
    /// [`StillRunning`] names what had not ended by then. Those tasks go on: the caller decides
    /// whether to leave anyway.
    pub async fn drain(&self, grace: Duration) -> Result<(), StillRunning> {
        self.stop();
        let ended = tokio::time::timeout(grace, self.set.wait_until_empty()).await;
        ended.map_err(|_| StillRunning { names: self.set.names() })
    }
}

/// Tasks that had not ended when the grace was over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("still running after the grace: {}", names.join(", "))]
pub struct StillRunning {
    /// Their names, sorted; several of one name are one entry, such as `connection x12`.
    pub names: Vec<String>,
}

#[derive(Debug)]
struct Set {
    runtime: Handle,
    stop: CancellationToken,
    running: Mutex<BTreeMap<u64, Arc<str>>>,
    ended: Notify,
    next: AtomicU64,
    panics: AtomicU64,
}

impl Set {
    fn running(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<str>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn wait_until_empty(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            // Armed before the look, or an end between look and wait would be missed.
            ended.as_mut().enable();
            if self.running().is_empty() {
                return;
            }
            ended.await;
        }
    }

    fn names(&self) -> Vec<String> {
        let mut counts = BTreeMap::<Arc<str>, usize>::new();
        for name in self.running().values() {
            *counts.entry(Arc::clone(name)).or_default() += 1;
        }
        let entry = |(name, count): (Arc<str>, usize)| match count {
            1 => name.to_string(),
            _ => format!("{name} x{count}"),
        };
        counts.into_iter().map(entry).collect()
    }
}

/// A running task's place in the set. Leaves it by drop, so also when the runtime drops the task.
struct Entry {
    set: Arc<Set>,
    id: u64,
    name: Arc<str>,
}

impl Entry {
    fn new(set: &Arc<Set>, name: Arc<str>) -> Self {
        let id = set.next.fetch_add(1, Ordering::Relaxed);
        set.running().insert(id, Arc::clone(&name));
        let set = Arc::clone(set);
        Self { set, id, name }
    }

    fn report(&self, panic: &(dyn Any + Send)) {
        self.set.panics.fetch_add(1, Ordering::Relaxed);
        let (task, why) = (&*self.name, panic_text(panic));
        tracing::error!(task, why, "a task panicked; the others go on");
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.set.running().remove(&self.id);
        self.set.ended.notify_waiters();
    }
}

/// Runs `work` to its end or to its panic.
async fn caught(work: impl Future<Output = ()>) -> Result<(), Box<dyn Any + Send>> {
    let mut work = pin!(work);
    // Nothing of a task that panicked is looked at again, so no broken invariant can be seen.
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn tasks() -> Tasks {
        Tasks::new(Handle::current())
    }

    #[tokio::test]
    async fn drain_stops_every_task_and_returns_when_all_have_ended() {
        let tasks = tasks();
        for _ in 0..3 {
            tasks.spawn("waits", |stop| async move { stop.cancelled().await });
        }
        assert_eq!(tasks.running(), 3);
        assert_eq!(tasks.drain(LONG).await, Ok(()));
        assert_eq!(tasks.running(), 0);
        assert!(tasks.is_stopping());
    }

    #[tokio::test]
    async fn drain_names_the_tasks_that_did_not_stop() {
        let tasks = tasks();
        tasks.spawn("deaf", |_| std::future::pending());
        tasks.spawn("connection", |_| std::future::pending());
        tasks.spawn(format!("connec{}", "tion"), |_| std::future::pending());
        let left = tasks.drain(Duration::ZERO).await.expect_err("two are deaf");
        assert_eq!(left.names, ["connection x2", "deaf"]);
        assert_eq!(left.to_string(), "still running after the grace: connection x2, deaf");
    }

    #[tokio::test]
    async fn a_panicking_task_is_counted_and_harms_no_other() {
        let tasks = tasks();
        tasks.spawn("good", |stop| async move { stop.cancelled().await });
        tasks.spawn("bad", |_| async { panic!("on purpose") });
        tasks.spawn("bad before its first await", |_| {
            assert!(Handle::try_current().is_err(), "on purpose");
            async {}
        });
        while tasks.running() > 1 {
            tokio::task::yield_now().await;
        }
        assert_eq!(tasks.panics(), 2);
        assert_eq!(tasks.drain(LONG).await, Ok(()));
    }

    #[tokio::test]
    async fn the_returned_token_ends_one_task_alone() {
        let tasks = tasks();
        let one = tasks.spawn("one", |stop| async move { stop.cancelled().await });
        tasks.spawn("two", |stop| async move { stop.cancelled().await });
        one.cancel();
        while tasks.running() > 1 {
            tokio::task::yield_now().await;
        }
        assert!(!tasks.is_stopping());
        assert_eq!(tasks.drain(LONG).await, Ok(()));
    }

    #[test]
    fn a_task_that_the_runtime_drops_leaves_the_set() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let tasks = Tasks::new(runtime.handle().clone());
        tasks.spawn("dropped", |_| std::future::pending());
        drop(runtime);
        assert_eq!(tasks.running(), 0);
    }
}
