//! Which certificate a name is served with: a trusted one if there is one, else one of the local authority until there is.
//!
//! Names are ours if a live route has them. Certificates of the local authority are made when first asked for, so that a
//! start with ten thousand names makes none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

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
}

/// Leafs of the local authority that are kept. Wildcard routes let clients invent names; those are made again.
const KEPT: usize = 10_000;

impl Chooser {
    /// Chooses among `store` and `local`; `default` is the name whose certificate clients without a known name get.
    pub fn new(live: Arc<Live>, store: Arc<Store>, local: LocalCa, default: Option<String>) -> Arc<Self> {
        Arc::new(Self { live, store, local, default, made: Mutex::default() })
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
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = made.get(name).filter(|entry| !local_ca::due(entry.validity(), now)) {
            return Some(Arc::clone(entry));
        }
        if made.len() >= KEPT {
            made.clear();
        }
        match self.local.issue(name, now) {
            Ok(entry) => {
                let entry = Arc::new(entry);
                made.insert(name.into(), Arc::clone(&entry));
                Some(entry)
            }
            Err(error) => {
                tracing::debug!(name, %error, "no certificate of the local authority");
                None
            }
        }
    }
}

impl Certificates for Chooser {
    fn choose(&self, sni: Option<&str>) -> Choice {
        let snapshot = self.live.current();
        let table = &snapshot.table;
        match (sni, &self.default) {
            (Some(name), _) if table.serves(name) || table.serves_any() => self.serve(name),
            (_, Some(default)) => self.serve(default),
            (Some(name), None) => Choice::UnknownName { nearest: table.nearest(name).map(str::to_owned) },
            (None, None) => Choice::NoName,
        }
    }
}

impl std::fmt::Debug for Chooser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chooser").field("default", &self.default).finish_non_exhaustive()
    }
}
