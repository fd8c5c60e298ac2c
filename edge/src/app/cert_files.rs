//! Serves certificates that others keep in files, and takes a new one as soon as its files are whole.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use certs::files::{Change, FilePair, Files};
use certs::{Batch, RealDisk, Store};

use crate::tasks::Tasks;
use crate::telemetry::{Metrics, events};

/// How often files are looked at. Reading two small files costs less than to notice every way of replacing one.
const EVERY: Duration = Duration::from_secs(2);
/// How often the live certificates are ranked again: they begin and end by themselves.
const RANK: Duration = Duration::from_secs(60);

/// Loads all pairs now, and again when they change.
pub(super) fn start(pairs: Vec<FilePair>, store: &Arc<Store>, metrics: &Metrics, tasks: &Tasks) {
    if !pairs.is_empty() {
        let mut files = Files::new(pairs);
        poll(&mut files, store, metrics);
        let (files, store, metrics) = (Arc::new(Mutex::new(files)), Arc::clone(store), metrics.clone());
        tasks.spawn("certificate files", |stop| async move {
            while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
                let (files, store, metrics) = (Arc::clone(&files), Arc::clone(&store), metrics.clone());
                let look = move || poll(&mut files.lock().unwrap_or_else(PoisonError::into_inner), &store, &metrics);
                if let Err(error) = tokio::task::spawn_blocking(look).await {
                    tracing::error!(%error, "looking at certificate files failed; it is tried again");
                }
            }
        });
    }
    let store = Arc::clone(store);
    tasks.spawn("certificate dates", |stop| async move {
        while stop.run_until_cancelled(tokio::time::sleep(RANK)).await.is_some() {
            store.refresh(SystemTime::now());
        }
    });
}

fn poll(files: &mut Files, store: &Store, metrics: &Metrics) {
    let mut batch = Batch::default();
    for change in files.poll(&RealDisk) {
        match change {
            Change::Loaded(entry) => {
                for name in entry.names() {
                    let not_after = entry.validity().not_after;
                    events::CertificateInstalled { name, issuer: "files", not_after, renew_at: None }.emit(metrics);
                }
                batch = batch.put(entry);
            }
            Change::Kept { serving: true, why } => {
                tracing::warn!(%why, "a new certificate is not taken; the one before is served");
            }
            Change::Kept { serving: false, why } => tracing::error!(%why, "a certificate cannot be served"),
        }
    }
    if !batch.is_empty() {
        for entry in store.publish(batch, SystemTime::now()) {
            tracing::warn!(source = entry.source(), "a new certificate is worse than the one before, which stays");
        }
    }
}
