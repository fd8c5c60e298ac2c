//! Looks upstream names up in the background, again and again, so that a request never waits for it.
//!
//! One refresher for each name, shared by all pools that use it, ended when the last of them is
//! dropped. A failed look-up keeps the last good addresses: a DNS server that is down must not take
//! a working upstream with it.

mod resolver;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::telemetry::events::{UpstreamResolved, UpstreamUnresolved};
use resolver::{Found, LookupError, Resolver};

pub use resolver::NameServers;

/// All names that are looked up. Clones share them.
#[derive(Clone)]
pub struct Dns {
    shared: Arc<Shared>,
}

struct Shared {
    resolver: Resolver,
    tasks: Tasks,
    metrics: Metrics,
    names: Mutex<HashMap<Arc<str>, Weak<Watched>>>,
}

impl Dns {
    /// Nothing is looked up yet. Refreshers run under `tasks`.
    pub fn new(servers: NameServers, tasks: Tasks, metrics: Metrics) -> Self {
        let (resolver, names) = (Resolver::new(servers), Mutex::default());
        Self { shared: Arc::new(Shared { resolver, tasks, metrics, names }) }
    }

    /// The name with its addresses, now and later. Host names are the same in any case.
    pub(super) fn watch(&self, name: &str) -> Arc<Watched> {
        let name: Arc<str> = name.to_ascii_lowercase().into();
        let mut names = self.shared.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = names.get(&name).and_then(Weak::upgrade) {
            return watched;
        }
        names.retain(|_, watched| watched.strong_count() > 0);
        let watched = Arc::new(Watched::new(&name));
        names.insert(Arc::clone(&name), Arc::downgrade(&watched));
        self.start(&watched);
        watched
    }

    fn start(&self, watched: &Arc<Watched>) {
        let (shared, weak) = (Arc::clone(&self.shared), Arc::downgrade(watched));
        let unused = watched.unused.clone();
        self.shared.tasks.spawn(format!("dns {}", watched.name), |stop| async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = unused.cancelled() => {}
                () = refresh(shared, weak) => {}
            }
        });
    }
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Dns").finish_non_exhaustive()
    }
}

/// One name that some pool uses.
#[derive(Debug)]
pub(super) struct Watched {
    name: Arc<str>,
    current: ArcSwap<Resolution>,
    /// Told after each look-up.
    looked_up: Notify,
    /// Cancelled by drop: nobody uses the name any more.
    unused: CancellationToken,
}

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resolution {
    /// Sorted, IPv4 first; those of the last look-up that succeeded.
    pub(super) addresses: Arc<[IpAddr]>,
    /// Why the last look-up failed.
    pub(super) error: Option<String>,
    /// Whether there was any look-up yet.
    pub(super) known: bool,
}

impl Watched {
    fn new(name: &Arc<str>) -> Self {
        let (name, unused) = (Arc::clone(name), CancellationToken::new());
        Self { name, current: ArcSwap::default(), looked_up: Notify::new(), unused }
    }

    /// What is known now.
    pub(super) fn current(&self) -> Arc<Resolution> {
        self.current.load_full()
    }

    /// The addresses of now, unless they are these: told apart by the allocation, which stays while nothing changes.
    pub(super) fn addresses_other_than(&self, known: &Arc<[IpAddr]>) -> Option<Arc<[IpAddr]>> {
        let current = self.current.load();
        (!Arc::ptr_eq(&current.addresses, known)).then(|| Arc::clone(&current.addresses))
    }

    /// Returns once the name was looked up, with success or not.
    pub(super) async fn known(&self) {
        loop {
            let mut looked_up = std::pin::pin!(self.looked_up.notified());
            // Armed before the look, or a look-up that ends between would be missed.
            looked_up.as_mut().enable();
            if self.current().known {
                return;
            }
            looked_up.await;
        }
    }

    fn apply(&self, outcome: &Result<Found, LookupError>, metrics: &Metrics) {
        let before = self.current();
        let after = before.after(outcome);
        let (name, kept) = (&*self.name, after.addresses.len());
        match &after.error {
            None => {
                let changed = after != *before;
                UpstreamResolved { name, addresses: &after.addresses, changed }.emit(metrics);
            }
            Some(error) => {
                let first = before.error.is_none();
                UpstreamUnresolved { name, error, kept, first }.emit(metrics);
            }
        }
        self.current.store(Arc::new(after));
        self.looked_up.notify_waiters();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.unused.cancel();
    }
}

impl Resolution {
    fn after(&self, outcome: &Result<Found, LookupError>) -> Self {
        match outcome {
            Ok(found) => {
                let mut addresses = found.addresses.clone();
                // DNS servers turn the answers round, which is no change; and a backend in clear
                // listens on IPv4 more often than on both.
                addresses.sort_unstable();
                addresses.dedup();
                // The same allocation stays while nothing changed, so users see that by pointer.
                let same = *addresses == *self.addresses;
                let addresses = if same { Arc::clone(&self.addresses) } else { addresses.into() };
                Self { addresses, error: None, known: true }
            }
            Err(error) => {
                let addresses = Arc::clone(&self.addresses);
                Self { addresses, error: Some(error.to_string()), known: true }
            }
        }
    }
}

async fn refresh(shared: Arc<Shared>, watched: Weak<Watched>) {
    let mut failures = 0;
    // The name is not held over an await, so that its last user can drop it.
    while let Some(name) = watched.upgrade().map(|watched| Arc::clone(&watched.name)) {
        let outcome = shared.resolver.look_up(&name).await;
        failures = if outcome.is_ok() { 0 } else { failures + 1 };
        let wait = wait_after(outcome.as_ref().map(|found| found.ttl).ok(), failures);
        let Some(watched) = watched.upgrade() else { return };
        watched.apply(&outcome, &shared.metrics);
        drop(watched);
        tokio::time::sleep(wait).await;
    }
}

const SHORTEST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long until the next look-up: the answer's TTL, or after failures twice as long each time.
fn wait_after(ttl: Option<Duration>, failures: u32) -> Duration {
    let backoff = || SHORTEST_WAIT.saturating_mul(1 << failures.saturating_sub(1).min(16));
    ttl.unwrap_or_else(backoff).clamp(SHORTEST_WAIT, LONGEST_WAIT)
}

#[cfg(test)]
pub(super) mod tests;
