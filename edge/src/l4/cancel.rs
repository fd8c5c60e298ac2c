//! Which server holds the session that a CancelRequest names.
//!
//! A client that cancels comes on a connection of its own and says no more than what the server of the first one gave it:
//! a process and a key. So they are kept here while that session is open.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Sessions that are remembered unless the caller says otherwise.
pub const CAPACITY: usize = 65_536;

/// Targets by process and key. Clones are the same table.
#[derive(Debug)]
pub struct CancelTable<T> {
    inner: Arc<Mutex<Inner<T>>>,
}

impl<T> Clone for CancelTable<T> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// An entry of the table; it is taken out when this is dropped.
#[derive(Debug)]
#[must_use = "the entry goes when this is dropped"]
pub struct CancelEntry<T> {
    table: CancelTable<T>,
    id: u64,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    pid: u32,
    key: Box<[u8]>,
}

#[derive(Debug)]
struct Inner<T> {
    capacity: usize,
    /// The number of the next entry; they are in the order of their age.
    next: u64,
    by_id: BTreeMap<u64, Arc<Key>>,
    /// Several servers may have given out the same process and key.
    by_key: HashMap<Arc<Key>, Vec<(u64, T)>>,
}

impl<T> CancelTable<T> {
    /// An empty table for so many sessions. When it is full the oldest one is forgotten: it goes on, but cannot be
    /// cancelled any more.
    pub fn new(capacity: usize) -> Self {
        let inner = Inner { capacity: capacity.max(1), next: 0, by_id: BTreeMap::new(), by_key: HashMap::new() };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// Remembers where the session with this process and key is.
    pub fn enter(&self, pid: u32, key: &[u8], target: T) -> CancelEntry<T> {
        let mut inner = self.lock();
        while inner.by_id.len() >= inner.capacity {
            let Some(oldest) = inner.by_id.keys().next().copied() else { break };
            inner.forget(oldest);
        }
        let id = inner.next;
        inner.next += 1;
        let key = Arc::new(Key { pid, key: key.into() });
        inner.by_id.insert(id, Arc::clone(&key));
        inner.by_key.entry(key).or_default().push((id, target));
        drop(inner);
        CancelEntry { table: self.clone(), id }
    }

    /// How many sessions are remembered.
    pub fn len(&self) -> usize {
        self.lock().by_id.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone> CancelTable<T> {
    /// Where sessions with this process and key are: mostly one, and none if nobody gave them out.
    pub fn find(&self, pid: u32, key: &[u8]) -> Vec<T> {
        let wanted = Key { pid, key: key.into() };
        let inner = self.lock();
        let targets = inner.by_key.get(&wanted).map(Vec::as_slice).unwrap_or_default();
        targets.iter().map(|(_, target)| target.clone()).collect()
    }
}

impl<T> Inner<T> {
    fn forget(&mut self, id: u64) {
        let Some(key) = self.by_id.remove(&id) else { return };
        if let Some(targets) = self.by_key.get_mut(&key) {
            targets.retain(|(of, _)| *of != id);
            if targets.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }
}

impl<T> Drop for CancelEntry<T> {
    fn drop(&mut self) {
        self.table.lock().forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_process_and_key_until_it_ends() {
        let table = CancelTable::new(CAPACITY);
        let entry = table.enter(7, &[1, 2, 3, 4], "a");
        assert_eq!(table.find(7, &[1, 2, 3, 4]), ["a"]);
        assert!(table.find(7, &[1, 2, 3, 5]).is_empty());
        assert!(table.find(7, &[1, 2, 3, 4, 0]).is_empty());
        assert!(table.find(8, &[1, 2, 3, 4]).is_empty());
        drop(entry);
        assert!(table.is_empty() && table.find(7, &[1, 2, 3, 4]).is_empty());
        assert!(table.lock().by_key.is_empty());
    }

    #[test]
    fn servers_that_gave_out_the_same_key_are_all_found() {
        let table = CancelTable::new(CAPACITY);
        let first = table.enter(7, &[9; 32], "a");
        let second = table.enter(7, &[9; 32], "b");
        assert_eq!(table.find(7, &[9; 32]), ["a", "b"]);
        drop(first);
        assert_eq!(table.find(7, &[9; 32]), ["b"]);
        drop(second);
        assert!(table.find(7, &[9; 32]).is_empty());
    }

    #[test]
    fn a_full_table_forgets_the_oldest_and_its_end_later_takes_nothing_else_away() {
        let table = CancelTable::new(2);
        let oldest = table.enter(1, &[1; 4], "old");
        let _second = table.enter(2, &[2; 4], "second");
        let _third = table.enter(1, &[1; 4], "new");
        assert_eq!(table.len(), 2);
        assert_eq!(table.find(1, &[1; 4]), ["new"]);
        drop(oldest);
        assert_eq!((table.len(), table.find(1, &[1; 4])), (2, vec!["new"]));
    }

    #[test]
    fn threads_leave_nothing_behind() {
        let table = CancelTable::new(64);
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let table = table.clone();
                scope.spawn(move || {
                    for turn in 0..1000u32 {
                        let entry = table.enter(turn % 50, &[thread; 4], turn);
                        assert!(table.len() <= 64);
                        drop(entry);
                    }
                });
            }
        });
        assert!(table.is_empty() && table.lock().by_key.is_empty());
    }
}
