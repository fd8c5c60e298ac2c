//! A brake on guessing passwords: how many different wrong logins each client has tried of late.
//!
//! The same wrong login again is not counted again: a program with an old password locks nobody out, who guesses does
//! not repeat itself. A client is a /32 or a /64.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::conn::client_key::ClientKey;

/// Counts wrong logins.
#[derive(Debug)]
pub(crate) struct Brake {
    most: usize,
    window: Duration,
    clients: Mutex<HashMap<ClientKey, Tries>>,
    /// Nobody has tried anything wrong: nothing is to be looked up.
    is_empty: AtomicBool,
}

#[derive(Debug)]
struct Tries {
    since: Instant,
    wrong: Vec<u64>,
}

/// What is known of a login before it is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing.
    Nothing,
    /// This client tried it already, and it was wrong.
    Wrong,
    /// This client has tried too many.
    Braked {
        /// How long it has to wait.
        wait: Duration,
    },
}

/// Clients that are remembered: about a MiB.
const CLIENTS: usize = 10_000;

impl Brake {
    /// Lets a client try so many wrong logins in a window; 0 is no brake.
    pub(crate) fn new(most: usize, window: Duration) -> Self {
        Self { most, window, clients: Mutex::default(), is_empty: AtomicBool::new(true) }
    }

    /// What is known of this login (a number that stands for it) from this client.
    pub(crate) fn known(&self, client: IpAddr, login: u64, now: Instant) -> Known {
        if self.is_empty.load(Ordering::Acquire) {
            return Known::Nothing;
        }
        let clients = self.clients();
        let Some(tries) = clients.get(&ClientKey::from(client)).filter(|tries| now < tries.since + self.window) else {
            return Known::Nothing;
        };
        if tries.wrong.len() >= self.most {
            return Known::Braked { wait: (tries.since + self.window).saturating_duration_since(now) };
        }
        if tries.wrong.contains(&login) { Known::Wrong } else { Known::Nothing }
    }

    /// Notes that this login was wrong.
    pub(crate) fn wrong(&self, client: IpAddr, login: u64, now: Instant) {
        if self.most == 0 {
            return;
        }
        let mut clients = self.clients();
        let client = ClientKey::from(client);
        if clients.len() >= CLIENTS && !clients.contains_key(&client) {
            clients.retain(|_, tries| now < tries.since + self.window);
            let oldest = clients.iter().min_by_key(|(_, tries)| tries.since).map(|(client, _)| *client);
            if let Some(oldest) = oldest.filter(|_| clients.len() >= CLIENTS) {
                clients.remove(&oldest);
            }
        }
        let tries = clients.entry(client).or_insert_with(|| Tries { since: now, wrong: Vec::new() });
        if now >= tries.since + self.window {
            *tries = Tries { since: now, wrong: Vec::new() };
        }
        if !tries.wrong.contains(&login) && tries.wrong.len() < self.most {
            tries.wrong.push(login);
        }
        self.is_empty.store(false, Ordering::Release);
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<ClientKey, Tries>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn client(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn who_guesses_is_braked_until_the_window_ends() {
        let (brake, start) = (Brake::new(3, WINDOW), Instant::now());
        let guesser = client("192.0.2.7");
        for login in 0..3 {
            assert_eq!(brake.known(guesser, login, start), Known::Nothing);
            brake.wrong(guesser, login, start);
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(brake.known(guesser, 99, later), Known::Braked { wait: Duration::from_secs(40) });
        assert_eq!(brake.known(client("192.0.2.8"), 99, later), Known::Nothing);
        assert_eq!(brake.known(guesser, 99, start + WINDOW), Known::Nothing);
        brake.wrong(guesser, 1, start + WINDOW);
        assert_eq!(brake.known(guesser, 1, start + WINDOW), Known::Wrong);
        assert_eq!(brake.known(guesser, 2, start + WINDOW), Known::Nothing);
    }

    #[test]
    fn one_old_password_again_and_again_locks_nobody_out() {
        let (brake, start) = (Brake::new(3, WINDOW), Instant::now());
        for _ in 0..100 {
            brake.wrong(client("192.0.2.7"), 1, start);
        }
        assert_eq!(brake.known(client("192.0.2.7"), 1, start), Known::Wrong);
        assert_eq!(brake.known(client("192.0.2.7"), 2, start), Known::Nothing);
    }

    #[test]
    fn a_client_is_a_whole_network_of_its_own() {
        let (brake, start) = (Brake::new(1, WINDOW), Instant::now());
        brake.wrong(client("2001:db8::1"), 1, start);
        assert!(matches!(brake.known(client("2001:db8::ffff:1"), 2, start), Known::Braked { .. }));
        assert_eq!(brake.known(client("2001:db8:0:1::1"), 2, start), Known::Nothing);
        brake.wrong(client("::ffff:192.0.2.7"), 1, start);
        assert!(matches!(brake.known(client("192.0.2.7"), 2, start), Known::Braked { .. }));
    }

    #[test]
    fn a_flood_of_clients_is_forgotten_from_its_oldest() {
        let (brake, start) = (Brake::new(1, WINDOW), Instant::now());
        let nth = |n: u32| IpAddr::V4(n.into());
        for n in 0..=CLIENTS as u32 {
            brake.wrong(nth(n), 1, start + Duration::from_micros(n.into()));
        }
        assert_eq!(brake.clients().len(), CLIENTS);
        assert_eq!(brake.known(nth(0), 2, start), Known::Nothing);
        assert!(matches!(brake.known(nth(CLIENTS as u32), 2, start), Known::Braked { .. }));
        let none = Brake::new(0, WINDOW);
        none.wrong(nth(1), 1, start);
        assert_eq!(none.known(nth(1), 1, start), Known::Nothing);
    }
}
