//! Which certificate a name is served with: a trusted one if there is one, else one of the local authority until there is.
//!
//! Names are ours if a live route has them. Certificates of the local authority are made when first asked for, so that a
//! start with ten thousand names makes none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use certs::local_ca::{self, LocalCa};
use certs::{Entry, Store};

use super::tls::{Certificates, Choice};
use crate::snapshot::Live;

/// Chooses for every connection.
pub struct Chooser {
    live: Arc<Live>,
    store: Arc<Store>,
    local: LocalCa,
    default: Option<String>,
    made: Mutex<HashMap<Box<str>, Arc<Entry>>>,
    nearest_asked: Mutex<Option<Instant>>,
}

/// Leafs of the local authority that are kept. Wildcard routes let clients invent names; those are made again.
const KEPT: usize = 10_000;
/// How often a name is guessed, at the most.
const NEAREST_EVERY: Duration = Duration::from_millis(100);
/// Longer names than this are nobody's slip.
const LONGEST_GUESS: usize = 64;

impl Chooser {
    /// Chooses among `store` and `local`; `default` is the name whose certificate clients without a known name get.
    pub fn new(live: Arc<Live>, store: Arc<Store>, local: LocalCa, default: Option<String>) -> Arc<Self> {
        Arc::new(Self { live, store, local, default, made: Mutex::default(), nearest_asked: Mutex::default() })
    }

    /// The root that clients of the local authority are to trust, as PEM.
    pub fn root_pem(&self) -> &str {
        self.local.root_pem()
    }

    fn serve(&self, name: &str) -> Choice {
        let stored = self.store.snapshot().lookup(name).cloned();
        match stored.or_else(|| self.local(name, SystemTime::now())) {
            Some(entry) => Choice::Serve(entry),
            None => Choice::Unavailable,
        }
    }

    fn local(&self, name: &str, now: SystemTime) -> Option<Arc<Entry>> {
        if let Some(entry) = self.made().get(name).filter(|entry| !local_ca::due(entry.validity(), now)) {
            return Some(Arc::clone(entry));
        }
        // Signed outside of the lock: clients of a wildcard invent names, and the handshakes of others must not wait.
        let entry = match self.local.issue(name, now) {
            Ok(entry) => Arc::new(entry),
            Err(error) => {
                tracing::debug!(name, %error, "no certificate of the local authority");
                return None;
            }
        };
        let mut made = self.made();
        if made.len() >= KEPT {
            // Any few: to forget all would have all signed again at once.
            let some: Vec<_> = made.keys().take(KEPT / 10).cloned().collect();
            made.retain(|name, _| !some.contains(name));
        }
        made.insert(name.into(), Arc::clone(&entry));
        Some(entry)
    }

    fn made(&self) -> MutexGuard<'_, HashMap<Box<str>, Arc<Entry>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name that was most likely meant. Only now and then: it costs more than a handshake, and is told as rarely.
    fn nearest(&self, name: &str) -> Option<String> {
        let now = Instant::now();
        let mut asked = self.nearest_asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.is_some_and(|last| now.duration_since(last) < NEAREST_EVERY) || name.len() > LONGEST_GUESS {
            return None;
        }
        *asked = Some(now);
        drop(asked);
        let snapshot = self.live.current();
        let nearest = snapshot.table.nearest(name).or_else(|| snapshot.streams.table.nearest(name));
        nearest.map(str::to_owned)
    }
}

impl Certificates for Chooser {
    fn choose(&self, sni: Option<&str>) -> Choice {
        let snapshot = self.live.current();
        match (sni, &self.default) {
            (Some(name), _) if snapshot.serves(name) => self.serve(name),
            (_, Some(default)) => self.serve(default),
            (Some(name), None) => Choice::UnknownName { nearest: self.nearest(name) },
            (None, None) => Choice::NoName,
        }
    }
}

impl std::fmt::Debug for Chooser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chooser").field("default", &self.default).finish_non_exhaustive()
    }
}
