//! The connections of `[[tcp]]` routes that are open now, for those who look: who, where to, since when and how much.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::tunnel::Counts;

/// One open connection.
#[derive(Clone, Debug)]
pub struct Session {
    /// Name of the route.
    pub route: Arc<str>,
    /// Who connected.
    pub client: SocketAddr,
    /// The server as configured.
    pub server: Arc<str>,
    /// What a Postgres client asked for; empty for others.
    pub database: Box<str>,
    /// Whom a Postgres client named; empty for others.
    pub user: Box<str>,
    /// When it began.
    pub since: SystemTime,
    /// What has passed so far.
    pub counts: Arc<Counts>,
}

/// All open connections, in the order in which they began.
#[derive(Debug, Default)]
pub struct Sessions {
    open: Mutex<BTreeMap<u64, Session>>,
    next: AtomicU64,
}

impl Sessions {
    /// None open yet.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Enters a connection, which stays until the guard is dropped.
    pub fn enter(self: &Arc<Self>, session: Session) -> Entered {
        let id = self.next.fetch_add(1, Relaxed);
        self.lock().insert(id, session);
        Entered { sessions: Arc::clone(self), id }
    }

    /// The oldest `count` of them.
    pub fn oldest(&self, count: usize) -> Vec<Session> {
        self.lock().values().take(count).cloned().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps one connection among the open ones.
#[derive(Debug)]
pub struct Entered {
    sessions: Arc<Sessions>,
    id: u64,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.sessions.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_come_first_and_leave_with_their_guard() {
        let sessions = Sessions::new();
        let session = |database: &str| Session {
            route: "db".into(),
            client: ([192, 0, 2, 1], 1).into(),
            server: "tcp://10.0.0.1:5432".into(),
            database: database.into(),
            user: "ada".into(),
            since: SystemTime::UNIX_EPOCH,
            counts: Arc::default(),
        };
        let first = sessions.enter(session("a"));
        let _second = sessions.enter(session("b"));
        let _third = sessions.enter(session("c"));
        drop(first);
        let names: Vec<_> = sessions.oldest(1).iter().map(|session| session.database.to_string()).collect();
        assert_eq!((names.as_slice(), sessions.count()), (&["b".to_owned()][..], 2));
    }
}
