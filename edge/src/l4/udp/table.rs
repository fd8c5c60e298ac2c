//! The sessions of a relay: found by client and by key, counted against the caps, swept when idle.
//!
//! It knows no socket: what a session holds is a type argument.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::caps::Clients;

/// Where a session is. A key of a session that has ended finds nothing, even if its place was given away again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key(u64);

impl Key {
    fn new(place: usize, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | place as u64)
    }

    /// As the data of an event.
    pub(super) const fn number(self) -> u64 {
        self.0
    }

    /// From the data of an event.
    pub(super) const fn from_number(number: u64) -> Self {
        Self(number)
    }

    fn place(self) -> usize {
        (self.0 & u64::from(u32::MAX)) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Entry<L> {
    pub(super) client: SocketAddr,
    pub(super) since: Instant,
    pub(super) last: Instant,
    /// What the session holds.
    pub(super) link: L,
}

#[derive(Debug)]
struct Slot<L> {
    generation: u32,
    entry: Option<Entry<L>>,
}

/// All sessions of a relay.
#[derive(Debug)]
pub(super) struct Table<L> {
    by_client: HashMap<SocketAddr, Key>,
    slots: Vec<Slot<L>>,
    free: Vec<usize>,
    clients: Clients,
}

/// Sessions of a relay whose route names no limit: each holds a descriptor, and strangers open them.
pub(super) const MOST_SESSIONS: usize = 65_536;

impl<L> Table<L> {
    pub(super) fn new() -> Self {
        Self { by_client: HashMap::new(), slots: Vec::new(), free: Vec::new(), clients: Clients::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.by_client.len()
    }

    pub(super) fn find(&self, client: &SocketAddr) -> Option<Key> {
        self.by_client.get(client).copied()
    }

    pub(super) fn get(&mut self, key: Key) -> Option<&mut Entry<L>> {
        let slot = self.slots.get_mut(key.place())?;
        slot.entry.as_mut().filter(|_| slot.generation == key.generation())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry<L>> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref())
    }

    /// Whether `client` may open a session. If so, it is counted: [`Table::insert`] or [`Table::waive`] must follow.
    pub(super) fn admit(&mut self, client: SocketAddr, limits: &Limits, now: Instant) -> bool {
        let most = match limits.sessions {
            0 => MOST_SESSIONS,
            sessions => (sessions as usize).min(MOST_SESSIONS),
        };
        self.len() < most && self.clients.enter(client.ip(), limits, now)
    }

    /// The admitted session of `client` did not come about.
    pub(super) fn waive(&mut self, client: SocketAddr) {
        self.clients.leave(client.ip());
    }

    /// The key that the next session will have.
    pub(super) fn next_key(&self) -> Key {
        match self.free.last() {
            Some(&place) => Key::new(place, self.slots[place].generation),
            None => Key::new(self.slots.len(), 0),
        }
    }

    /// Enters an admitted session, at [`Table::next_key`].
    pub(super) fn insert(&mut self, client: SocketAddr, link: L, now: Instant) -> Key {
        let key = self.next_key();
        let entry = Entry { client, since: now, last: now, link };
        match self.free.pop() {
            Some(place) => self.slots[place].entry = Some(entry),
            None => self.slots.push(Slot { generation: 0, entry: Some(entry) }),
        }
        self.by_client.insert(client, key);
        key
    }

    pub(super) fn remove(&mut self, key: Key) -> Option<Entry<L>> {
        let slot = self.slots.get_mut(key.place()).filter(|slot| slot.generation == key.generation())?;
        let entry = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.place());
        self.by_client.remove(&entry.client);
        self.clients.leave(entry.client.ip());
        Some(entry)
    }

    /// Ends all sessions that are not to be kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&Entry<L>) -> bool) {
        for place in 0..self.slots.len() {
            let slot = &self.slots[place];
            if slot.entry.as_ref().is_some_and(|entry| !keep(entry)) {
                let key = Key::new(place, slot.generation);
                self.remove(key);
            }
        }
    }

    /// Ends the sessions on which nothing passed for `idle`.
    pub(super) fn sweep(&mut self, idle: Duration, now: Instant) {
        self.retain(|entry| now.saturating_duration_since(entry.last) < idle);
        self.clients.sweep(now);
        if self.by_client.is_empty() {
            // What a flood made large is given back. Generations start anew, and no key of before is in use between turns.
            (self.slots, self.free, self.by_client) = (Vec::new(), Vec::new(), HashMap::new());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn open(table: &mut Table<u16>, port: u16, limits: &Limits, now: Instant) -> Option<Key> {
        table.admit(client(port), limits, now).then(|| table.insert(client(port), port, now))
    }

    #[test]
    fn a_key_of_an_ended_session_finds_nothing() {
        let (mut table, now, limits) = (Table::new(), Instant::now(), Limits::default());
        let first = open(&mut table, 1, &limits, now).expect("no limits");
        table.remove(first);
        let second = open(&mut table, 2, &limits, now).expect("no limits");
        assert_eq!(first.place(), second.place());
        assert!(table.get(first).is_none() && table.remove(first).is_none());
        assert_eq!(table.get(second).map(|entry| entry.link), Some(2));
        assert_eq!(Key::from_number(second.number()), second);
    }

    #[test]
    fn the_total_is_bounded_with_and_without_a_limit() {
        let (mut table, now) = (Table::new(), Instant::now());
        let limits = Limits { sessions: 3, ..Limits::default() };
        assert_eq!((0..10).filter(|port| open(&mut table, *port, &limits, now).is_some()).count(), 3);
        for number in 0..MOST_SESSIONS as u32 + 10 {
            let client = SocketAddr::from((number.to_be_bytes(), 9));
            if table.admit(client, &Limits::default(), now) {
                table.insert(client, 0, now);
            }
        }
        assert_eq!(table.len(), MOST_SESSIONS);
    }

    #[test]
    fn a_session_that_did_not_come_about_takes_no_place_of_its_client() {
        let (mut table, now) = (Table::<u16>::new(), Instant::now());
        let limits = Limits { client_sessions: 1, ..Limits::default() };
        assert!(table.admit(client(1), &limits, now));
        table.waive(client(1));
        assert!(open(&mut table, 1, &limits, now).is_some() && open(&mut table, 2, &limits, now).is_none());
    }

    #[test]
    fn sessions_end_when_nothing_passed_for_the_idle_time() {
        let (mut table, now, limits) = (Table::new(), Instant::now(), Limits::default());
        let idle = Duration::from_secs(60);
        let (old, used) = (open(&mut table, 1, &limits, now), open(&mut table, 2, &limits, now));
        let (old, used) = (old.expect("no limits"), used.expect("no limits"));
        table.get(used).expect("open").last = now + Duration::from_secs(1);
        table.sweep(idle, now + Duration::from_secs(59));
        assert_eq!(table.len(), 2);
        table.sweep(idle, now + idle);
        assert!(table.get(old).is_none() && table.get(used).is_some());
        assert!(table.find(&client(1)).is_none() && table.find(&client(2)) == Some(used));
        table.sweep(idle, now + 2 * idle);
        assert_eq!((table.len(), table.slots.len()), (0, 0));
    }
}
