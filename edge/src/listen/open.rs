//! The connections that are open now, so that idle ones can make room when all places are taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use crate::conn::facts::ConnFacts;

/// A table of open connections; each entry leaves with its [`OpenConn`].
#[derive(Debug)]
pub struct OpenConns {
    epoch: Instant,
    table: Mutex<HashMap<u64, Weak<ConnFacts>>>,
}

/// Keeps one connection in the table.
#[derive(Debug)]
pub struct OpenConn {
    table: Arc<OpenConns>,
    id: u64,
}

impl OpenConns {
    /// An empty table whose idle times count from `epoch`.
    pub fn new(epoch: Instant) -> Arc<Self> {
        Arc::new(Self { epoch, table: Mutex::default() })
    }

    /// Milliseconds since the epoch, the clock of [`crate::conn::control::Control::set_idle`].
    pub fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX)
    }

    /// Enters a connection.
    pub fn enter(self: &Arc<Self>, conn: &Arc<ConnFacts>) -> OpenConn {
        self.lock().insert(conn.id, Arc::downgrade(conn));
        OpenConn { table: Arc::clone(self), id: conn.id }
    }

    /// Asks the `count` connections that are idle for the longest to end; says how many there were.
    pub fn shed(&self, count: usize) -> usize {
        let mut idle: Vec<(u64, Arc<ConnFacts>)> = self
            .lock()
            .values()
            .filter_map(Weak::upgrade)
            .filter_map(|conn| Some((conn.control.idle_since()?, conn)))
            .collect();
        idle.sort_by_key(|(since, _)| *since);
        idle.truncate(count);
        for (_, conn) in &idle {
            conn.control.shed();
        }
        idle.len()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    /// How many there are, by the name of their entrypoint.
    pub fn by_entrypoint(&self) -> HashMap<Arc<str>, u64> {
        let mut counts = HashMap::new();
        for conn in self.lock().values().filter_map(Weak::upgrade) {
            *counts.entry(Arc::clone(&conn.entrypoint)).or_default() += 1;
        }
        counts
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Weak<ConnFacts>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for OpenConn {
    fn drop(&mut self) {
        self.table.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;

    #[test]
    fn the_longest_idle_go_first_and_busy_ones_stay() {
        let open = OpenConns::new(Instant::now());
        let conns: Vec<_> = (0..4).map(ConnFacts::of_a_test).collect();
        let _entries: Vec<_> = conns.iter().map(|conn| open.enter(conn)).collect();
        for (conn, since) in conns.iter().zip([30, 10, 20]) {
            conn.control.set_idle(since);
        }
        assert_eq!(open.shed(2), 2);
        let shed: Vec<_> =
            conns.iter().map(|conn| conn.control.poll_shed(&Context::from_waker(Waker::noop()))).collect();
        assert_eq!(shed, [false, true, true, false]);
    }

    #[test]
    fn an_entry_leaves_with_its_connection() {
        let open = OpenConns::new(Instant::now());
        let one = ConnFacts::of_a_test(1);
        let entry = open.enter(&one);
        assert_eq!(open.lock().len(), 1);
        drop(entry);
        assert_eq!(open.lock().len(), 0);
    }
}
