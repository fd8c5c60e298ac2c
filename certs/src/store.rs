//! The certificates that are live now. Writers come in turn and publish a whole new [`Index`]; readers take what is
//! published and never wait. It keeps nothing on disk: that is the vault's work, done before.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;

use crate::entry::{Entry, Issuer};
use crate::index::{Index, Rank};

/// What a certificate is replaced by: another one of the same issuer and source.
type Key = (Issuer, Box<str>);

/// Changes that become visible together. Making an index costs a walk over all certificates: batch them.
#[derive(Debug, Default)]
pub struct Batch {
    put: Vec<Arc<Entry>>,
    remove: Vec<Key>,
    default_name: Option<Option<Box<str>>>,
}

impl Batch {
    /// Adds a certificate, or replaces the one of the same issuer and source.
    #[must_use]
    pub fn put(mut self, entry: Arc<Entry>) -> Self {
        self.put.push(entry);
        self
    }

    /// Takes the certificate of this issuer and source away.
    #[must_use]
    pub fn remove(mut self, issuer: Issuer, source: &str) -> Self {
        self.remove.push((issuer, source.into()));
        self
    }

    /// Sets the name whose certificate is served to clients that name nobody.
    #[must_use]
    pub fn default_name(mut self, name: Option<&str>) -> Self {
        self.default_name = Some(name.map(Into::into));
        self
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.put.is_empty() && self.remove.is_empty() && self.default_name.is_none()
    }
}

/// The live certificates.
#[derive(Debug, Default)]
pub struct Store {
    live: ArcSwap<Index>,
    writer: Mutex<Writer>,
}

#[derive(Debug, Default)]
struct Writer {
    entries: BTreeMap<Key, Arc<Entry>>,
    default_name: Option<Box<str>>,
}

impl Store {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is live now. Take it once per decision.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Index> {
        self.live.load_full()
    }

    /// Publishes a batch. A certificate that would replace a better trusted one of its own source (an expired one
    /// over a good one) is not taken; those are given back.
    pub fn publish(&self, batch: Batch, now: SystemTime) -> Vec<Arc<Entry>> {
        let mut writer = self.writer();
        for key in &batch.remove {
            writer.entries.remove(key);
        }
        if let Some(name) = batch.default_name {
            writer.default_name = name;
        }
        let refused = batch.put.into_iter().filter_map(|entry| writer.put(entry, now).err()).collect();
        self.swap(&writer, now);
        refused
    }

    /// [`Store::publish`] of one certificate.
    ///
    /// # Errors
    /// Gives the certificate back when the live one of its source is better trusted.
    pub fn put(&self, entry: Arc<Entry>, now: SystemTime) -> Result<(), Arc<Entry>> {
        match self.publish(Batch::default().put(entry), now).pop() {
            Some(refused) => Err(refused),
            None => Ok(()),
        }
    }

    /// [`Store::publish`] of one removal.
    pub fn remove(&self, issuer: Issuer, source: &str, now: SystemTime) {
        self.publish(Batch::default().remove(issuer, source), now);
    }

    /// Ranks everything again: certificates begin and end without anybody touching them. Once a minute is enough.
    pub fn refresh(&self, now: SystemTime) {
        self.swap(&self.writer(), now);
    }

    fn swap(&self, writer: &Writer, now: SystemTime) {
        let entries = writer.entries.values().cloned();
        let index = Index::build(entries, writer.default_name.as_deref(), now);
        self.live.store(Arc::new(index));
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        // A writer that panicked left a map that is whole at every step.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn put(&mut self, entry: Arc<Entry>, now: SystemTime) -> Result<(), Arc<Entry>> {
        let key = (entry.issuer(), entry.source().into());
        if let Some(old) = self.entries.get(&key)
            && Rank::of(&entry, now).is_worse_trusted_than(Rank::of(old, now))
        {
            return Err(entry);
        }
        self.entries.insert(key, entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, entry, pair, validity};

    #[test]
    fn a_later_certificate_of_the_same_source_takes_the_place_of_the_first() {
        let store = Store::new();
        let old = Arc::new(entry(&["a.test"], Issuer::Acme, validity(10, 90)));
        let new = Arc::new(entry(&["a.test"], Issuer::Acme, validity(40, 130)));
        store.put(old, at(50)).unwrap();
        store.put(new.clone(), at(50)).unwrap();
        let index = store.snapshot();
        assert_eq!(index.entries().len(), 1);
        assert!(Arc::ptr_eq(index.lookup("a.test").unwrap(), &new));
    }

    #[test]
    fn the_last_good_certificate_is_not_given_up_for_an_expired_one() {
        let store = Store::new();
        let good = Arc::new(entry(&["a.test"], Issuer::Acme, validity(10, 90)));
        let over = Arc::new(entry(&["a.test"], Issuer::Acme, validity(10, 40)));
        store.put(good.clone(), at(50)).unwrap();
        assert!(store.put(over, at(50)).is_err());
        assert!(Arc::ptr_eq(store.snapshot().lookup("a.test").unwrap(), &good));
    }

    #[test]
    fn refresh_lets_the_local_certificate_step_in_when_the_public_one_ends() {
        let store = Store::new();
        let batch = Batch::default()
            .put(Arc::new(entry(&["a.test"], Issuer::Acme, validity(10, 60))))
            .put(Arc::new(entry(&["a.test"], Issuer::Internal, validity(10, 90))));
        store.publish(batch, at(50));
        let issuer = || store.snapshot().lookup("a.test").unwrap().issuer();
        assert_eq!(issuer(), Issuer::Acme);
        store.refresh(at(70));
        assert_eq!(issuer(), Issuer::Internal);
    }

    #[test]
    fn removing_a_certificate_uncovers_the_next_best() {
        let store = Store::new();
        let batch = Batch::default()
            .put(Arc::new(entry(&["a.test"], Issuer::Files, validity(10, 90))))
            .put(Arc::new(entry(&["a.test"], Issuer::Acme, validity(10, 90))))
            .default_name(Some("a.test"));
        store.publish(batch, at(50));
        assert_eq!(store.snapshot().default_entry().unwrap().issuer(), Issuer::Files);
        store.remove(Issuer::Files, "a.test", at(50));
        assert_eq!(store.snapshot().default_entry().unwrap().issuer(), Issuer::Acme);
        store.remove(Issuer::Acme, "a.test", at(50));
        assert!(store.snapshot().lookup("a.test").is_none());
    }

    #[test]
    fn ten_thousand_certificates_are_all_found_by_their_names_and_by_no_other() {
        // One key and certificate text of many names each: parsing is not what is tested here.
        let names: Vec<String> = (0..10_000).map(|n| format!("h{n}.example.test")).collect();
        let mut batch = Batch::default();
        for chunk in names.chunks(10) {
            let of: Vec<&str> = chunk.iter().map(String::as_str).collect();
            let text = pair(&of);
            for name in chunk {
                let entry = Entry::from_pem(&text, Issuer::Acme, name).unwrap();
                batch = batch.put(Arc::new(entry));
            }
        }
        let store = Store::new();
        assert!(store.publish(batch, at(2_000)).is_empty());
        let index = store.snapshot();
        assert_eq!(index.entries().len(), 10_000);
        for name in &names {
            assert!(index.lookup(name).unwrap().covers(name));
        }
        assert!(index.lookup("h10000.example.test").is_none());
        assert!(index.lookup("example.test").is_none());
    }
}
