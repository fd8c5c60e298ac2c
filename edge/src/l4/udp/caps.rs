//! How many sessions one client may have, and how fast it may open them. Pure counting with the clock as an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use crate::conn::client_key::ClientKey;

/// Clients with a session, and those that opened one a moment ago.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: HashMap<ClientKey, Client>,
}

#[derive(Debug)]
struct Client {
    open: u32,
    tokens: f64,
    filled: Instant,
}

/// A bucket of one second is full again after this, so that its owner need not be known any more.
const FULL: Duration = Duration::from_secs(1);

impl Clients {
    /// Counts one more session of `client`, unless that is one too many.
    pub(super) fn enter(&mut self, client: IpAddr, limits: &Limits, now: Instant) -> bool {
        if limits.client_sessions == 0 && limits.client_rate == 0 {
            return true;
        }
        let rate = f64::from(limits.client_rate);
        let fresh = Client { open: 0, tokens: rate, filled: now };
        let client = self.known.entry(client.into()).or_insert(fresh);
        if limits.client_sessions > 0 && client.open >= limits.client_sessions {
            return false;
        }
        if limits.client_rate > 0 {
            let gained = now.saturating_duration_since(client.filled).as_secs_f64() * rate;
            client.tokens = (client.tokens + gained).min(rate);
            client.filled = now;
            if client.tokens < 1.0 {
                return false;
            }
            client.tokens -= 1.0;
        }
        client.open += 1;
        true
    }

    /// A session of `client` has ended.
    pub(super) fn leave(&mut self, client: IpAddr) {
        if let Some(client) = self.known.get_mut(&client.into()) {
            client.open = client.open.saturating_sub(1);
        }
    }

    /// Forgets clients of which nothing needs to be known.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.known.retain(|_, client| client.open > 0 || now.saturating_duration_since(client.filled) < FULL);
    }

    #[cfg(test)]
    pub(super) fn known(&self) -> usize {
        self.known.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_client_has_its_own_number_of_sessions_and_a_64_is_one_client() {
        let (mut clients, now) = (Clients::default(), Instant::now());
        let limits = Limits { client_sessions: 2, ..Limits::default() };
        assert!(clients.enter(ip("2001:db8::1"), &limits, now) && clients.enter(ip("2001:db8::2"), &limits, now));
        assert!(!clients.enter(ip("2001:db8::3"), &limits, now));
        assert!(clients.enter(ip("2001:db8:0:1::1"), &limits, now), "another client is not harmed");
        clients.leave(ip("2001:db8::1"));
        assert!(clients.enter(ip("2001:db8::3"), &limits, now));
    }

    #[test]
    fn new_sessions_per_second_are_bounded_and_come_back_with_time() {
        let (mut clients, now) = (Clients::default(), Instant::now());
        let limits = Limits { client_rate: 4, ..Limits::default() };
        let burst = (0..10).filter(|_| clients.enter(ip("192.0.2.1"), &limits, now)).count();
        assert_eq!(burst, 4);
        assert!(clients.enter(ip("192.0.2.1"), &limits, now + Duration::from_millis(250)));
        assert!(!clients.enter(ip("192.0.2.1"), &limits, now + Duration::from_millis(250)));
    }

    #[test]
    fn a_client_without_sessions_is_forgotten_once_its_bucket_is_full() {
        let (mut clients, now) = (Clients::default(), Instant::now());
        let limits = Limits { client_rate: 4, client_sessions: 4, ..Limits::default() };
        assert!(clients.enter(ip("192.0.2.1"), &limits, now) && clients.enter(ip("192.0.2.2"), &limits, now));
        clients.leave(ip("192.0.2.1"));
        clients.sweep(now);
        assert_eq!(clients.known(), 2);
        clients.sweep(now + FULL);
        assert_eq!(clients.known(), 1);
    }
}
