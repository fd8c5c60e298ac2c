//! How many connections are let in: in all, per client, and how fast one client may open new ones.
//!
//! Pure counting with the clock as an argument. Which connection is closed to make room is the choice of `listen::open`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::conn::client_key::ClientKey;

/// What `[limits]` says; 0 stands for no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapLimits {
    /// Open connections of one client.
    pub client_connections: usize,
    /// New connections per second of one client; a burst of one second's worth is let through.
    pub client_handshakes_per_second: u32,
    /// Open connections in all.
    pub connections: usize,
}

/// Which cap a new connection met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CapFault {
    /// [`CapLimits::client_connections`].
    #[error("the client has too many connections open")]
    ClientConnections,
    /// [`CapLimits::client_handshakes_per_second`].
    #[error("the client opens connections too fast")]
    ClientRate,
    /// [`CapLimits::connections`].
    #[error("too many connections are open in all")]
    Connections,
}

/// Counts connections; clones of the `Arc` share the counts.
#[derive(Debug)]
pub struct Caps {
    limits: CapLimits,
    open: AtomicUsize,
    clients: Mutex<Clients>,
}

#[derive(Debug)]
struct Clients {
    known: HashMap<ClientKey, Client>,
    sweep_at: usize,
}

#[derive(Debug)]
struct Client {
    open: usize,
    tokens: f64,
    filled: Instant,
}

/// Place of one open connection; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    caps: Arc<Caps>,
    client: Option<ClientKey>,
}

/// Clients without an open connection are forgotten when so many are known.
const SWEEP_AT: usize = 4096;

impl Caps {
    /// Nothing open yet.
    pub fn new(limits: CapLimits) -> Arc<Self> {
        let clients = Clients { known: HashMap::new(), sweep_at: SWEEP_AT };
        Arc::new(Self { limits, open: AtomicUsize::new(0), clients: Mutex::new(clients) })
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// Lets one more connection in, whose client is not known yet.
    ///
    /// # Errors
    /// [`CapFault::Connections`].
    pub fn admit(self: &Arc<Self>) -> Result<Permit, CapFault> {
        if self.limits.connections > 0 && self.open() >= self.limits.connections {
            return Err(CapFault::Connections);
        }
        self.open.fetch_add(1, Relaxed);
        Ok(Permit { caps: Arc::clone(self), client: None })
    }

    fn count_client(&self, key: ClientKey, now: Instant) -> Result<(), CapFault> {
        let limits = &self.limits;
        let rate = f64::from(limits.client_handshakes_per_second);
        let mut clients = self.lock();
        if clients.known.len() >= clients.sweep_at {
            clients.known.retain(|_, client| client.open > 0 || (rate > 0.0 && client.tokens_at(now, rate) < rate));
            // Twice what is left: so that not every accept walks over clients that stay.
            clients.sweep_at = (clients.known.len() * 2).max(SWEEP_AT);
        }
        let client = clients.known.entry(key).or_insert(Client { open: 0, tokens: rate, filled: now });
        if rate > 0.0 {
            client.tokens = client.tokens_at(now, rate);
            client.filled = now;
            if client.tokens < 1.0 {
                return Err(CapFault::ClientRate);
            }
            client.tokens -= 1.0;
        }
        if limits.client_connections > 0 && client.open >= limits.client_connections {
            return Err(CapFault::ClientConnections);
        }
        client.open += 1;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Counts the connection for its client.
    ///
    /// # Errors
    /// The cap of one client that is met: rate, then connections.
    pub fn of(&mut self, client: IpAddr, now: Instant) -> Result<(), CapFault> {
        let key = ClientKey::from(client);
        self.caps.count_client(key, now)?;
        self.client = Some(key);
        Ok(())
    }
}

impl Client {
    fn tokens_at(&self, now: Instant, rate: f64) -> f64 {
        (self.tokens + now.saturating_duration_since(self.filled).as_secs_f64() * rate).min(rate)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.caps.open.fetch_sub(1, Relaxed);
        let Some(key) = self.client else { return };
        if let Some(client) = self.caps.lock().known.get_mut(&key) {
            client.open = client.open.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMITS: CapLimits = CapLimits { client_connections: 3, client_handshakes_per_second: 5, connections: 10 };

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn admit(caps: &Arc<Caps>, address: IpAddr, now: Instant) -> Result<Permit, CapFault> {
        let mut permit = caps.admit()?;
        permit.of(address, now)?;
        Ok(permit)
    }

    fn admit_all(caps: &Arc<Caps>, address: &str, now: Instant, count: usize) -> Result<Vec<Permit>, CapFault> {
        (0..count).map(|_| admit(caps, ip(address), now)).collect()
    }

    #[test]
    fn a_client_has_its_own_number_of_connections() {
        let (caps, now) = (Caps::new(LIMITS), Instant::now());
        let held = admit_all(&caps, "192.0.2.1", now, 3).expect("three fit");
        assert_eq!(admit(&caps, ip("192.0.2.1"), now).err(), Some(CapFault::ClientConnections));
        assert!(admit(&caps, ip("192.0.2.2"), now).is_ok(), "another client is not harmed");
        drop(held);
        assert!(admit(&caps, ip("192.0.2.1"), now + Duration::from_secs(1)).is_ok());
    }

    #[test]
    fn a_slash_64_is_one_client_and_a_mapped_address_is_its_ipv4() {
        let (caps, now) = (Caps::new(LIMITS), Instant::now());
        let _held = admit_all(&caps, "2001:db8::1", now, 3).expect("three fit");
        assert_eq!(admit(&caps, ip("2001:db8::ffff:2"), now).err(), Some(CapFault::ClientConnections));
        assert!(admit(&caps, ip("2001:db8:0:1::1"), now).is_ok());
        assert_eq!(ClientKey::from(ip("::ffff:192.0.2.1")), ClientKey::from(ip("192.0.2.1")));
    }

    #[test]
    fn new_connections_per_second_are_bounded_and_come_back_with_time() {
        let (caps, now) = (Caps::new(LIMITS), Instant::now());
        for _ in 0..5 {
            drop(admit(&caps, ip("192.0.2.1"), now).expect("within the burst"));
        }
        assert_eq!(admit(&caps, ip("192.0.2.1"), now).err(), Some(CapFault::ClientRate));
        assert!(admit(&caps, ip("192.0.2.1"), now + Duration::from_millis(200)).is_ok());
    }

    #[test]
    fn the_total_is_bounded_and_zero_means_no_limit() {
        let (caps, now) = (Caps::new(LIMITS), Instant::now());
        let held: Vec<_> =
            (0..10).map(|last| admit(&caps, ip(&format!("192.0.2.{last}")), now).expect("fits")).collect();
        assert_eq!(admit(&caps, ip("192.0.2.99"), now).err(), Some(CapFault::Connections));
        drop(held);
        assert_eq!(caps.open(), 0);
        let open = Caps::new(CapLimits { client_connections: 0, client_handshakes_per_second: 0, connections: 0 });
        assert_eq!(admit_all(&open, "192.0.2.1", now, 10_000).expect("no limit").len(), 10_000);
    }

    #[test]
    fn clients_that_left_are_forgotten() {
        for rate in [0, 5] {
            let (caps, mut now) =
                (Caps::new(CapLimits { client_handshakes_per_second: rate, ..LIMITS }), Instant::now());
            for number in 0..100_000u32 {
                let _ = admit(&caps, IpAddr::from(number.to_be_bytes()), now);
                now += Duration::from_millis(2);
            }
            assert!(caps.lock().known.len() <= 2 * SWEEP_AT, "{}", caps.lock().known.len());
        }
    }
}
