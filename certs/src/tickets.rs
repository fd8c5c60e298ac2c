//! Session tickets under keys that change: a stolen key opens half a day, not all of the past.
//! Time and randomness come from the caller and there is no thread: keys turn when a ticket is made or opened.
//! It does not know who shares keys with whom; it only keeps scopes apart.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use rustls::server::ProducesTickets;

/// How long one key makes tickets.
pub const EPOCH: Duration = Duration::from_secs(6 * 60 * 60);

const ID: usize = 16;
const NONCE: usize = 12;
const TAG: usize = 16;

/// The wall clock, as an argument.
pub type Now = dyn Fn() -> SystemTime + Send + Sync;
/// Fills a buffer with random bytes, or says that it cannot.
pub type Fill = dyn Fn(&mut [u8]) -> Result<(), NoRandomness> + Send + Sync;

/// The source of randomness failed. No key and no ticket is made then; connections go on without resumption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no randomness, so no session ticket can be made")]
pub struct NoRandomness;

/// The keys of all tickets of this process. Three live at a time: the current one makes and opens tickets; the one
/// before and the one after it only open them. The next key is made an epoch ahead, so that servers which share keys
/// never meet a ticket that they cannot open. A key is gone after three epochs.
pub struct Keys {
    ring: ArcSwap<Ring>,
    turning: Mutex<()>,
    now: Box<Now>,
    fill: Box<Fill>,
}

impl Keys {
    /// Keys on this clock and this randomness.
    ///
    /// # Errors
    /// [`NoRandomness`] when the first keys cannot be made.
    pub fn new(now: Box<Now>, fill: Box<Fill>) -> Result<Arc<Self>, NoRandomness> {
        let ring = Ring::default().turned(epoch(now()), &*fill)?;
        Ok(Arc::new(Self { ring: ArcSwap::from_pointee(ring), turning: Mutex::new(()), now, fill }))
    }

    /// Keys on the system's clock and randomness.
    ///
    /// # Errors
    /// [`NoRandomness`] when the first keys cannot be made.
    pub fn system() -> Result<Arc<Self>, NoRandomness> {
        let fill = |bytes: &mut [u8]| aws_lc_rs::rand::fill(bytes).map_err(|_| NoRandomness);
        Self::new(Box::new(SystemTime::now), Box::new(fill))
    }

    /// What rustls asks for tickets. A ticket made under one scope (listener, client verifier, policy) cannot be used
    /// under another: rustls itself checks only name, suite and extended master secret, not which configuration made it.
    #[must_use]
    pub fn scoped(self: &Arc<Self>, scope: &str) -> Arc<dyn ProducesTickets> {
        Arc::new(Tickets { keys: self.clone(), scope: scope.as_bytes().into() })
    }

    /// The ring of this moment. If the keys cannot be turned for want of randomness the old ring serves on.
    fn ring(&self) -> Arc<Ring> {
        let epoch = epoch((self.now)());
        let ring = self.ring.load_full();
        if ring.epoch == epoch {
            return ring;
        }
        let _turn = self.turning.lock().unwrap_or_else(PoisonError::into_inner);
        let ring = self.ring.load_full();
        if ring.epoch == epoch {
            return ring;
        }
        match ring.turned(epoch, &*self.fill) {
            Ok(turned) => {
                let turned = Arc::new(turned);
                self.ring.store(turned.clone());
                turned
            }
            Err(NoRandomness) => ring,
        }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

fn epoch(now: SystemTime) -> u64 {
    let since = now.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs() / EPOCH.as_secs()
}

/// The keys that may be used in one epoch.
#[derive(Default)]
struct Ring {
    epoch: u64,
    keys: Vec<Arc<Key>>,
}

impl Ring {
    fn turned(&self, epoch: u64, fill: &Fill) -> Result<Self, NoRandomness> {
        let live = epoch.saturating_sub(1)..=epoch.saturating_add(1);
        let keys = live
            .map(|of| match self.of(of) {
                Some(key) => Ok(key.clone()),
                None => Key::random(of, fill).map(Arc::new),
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { epoch, keys })
    }

    fn of(&self, epoch: u64) -> Option<&Arc<Key>> {
        self.keys.iter().find(|key| key.epoch == epoch)
    }

    fn named(&self, id: &[u8]) -> Option<&Arc<Key>> {
        self.keys.iter().find(|key| key.id == id)
    }
}

struct Key {
    epoch: u64,
    id: [u8; ID],
    // SIV: random nonces wear out AES-GCM at 2^32 tickets of a key, and a repeated one here tells nothing but equality.
    aead: LessSafeKey,
}

impl Key {
    fn random(epoch: u64, fill: &Fill) -> Result<Self, NoRandomness> {
        let mut id = [0; ID];
        let mut secret = [0; 32];
        fill(&mut id)?;
        fill(&mut secret)?;
        let aead = UnboundKey::new(&AES_256_GCM_SIV, &secret).map_err(|_| NoRandomness)?;
        Ok(Self { epoch, id, aead: LessSafeKey::new(aead) })
    }
}

/// Tickets of one scope: key id, nonce, sealed state with its tag.
struct Tickets {
    keys: Arc<Keys>,
    scope: Box<[u8]>,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// Seconds. A ticket made at the very end of an epoch is still opened for one more.
    fn lifetime(&self) -> u32 {
        u32::try_from(EPOCH.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let ring = self.keys.ring();
        let key = ring.of(ring.epoch)?;
        let mut nonce = [0; NONCE];
        (self.keys.fill)(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(plain.len() + TAG);
        sealed.extend_from_slice(plain);
        let unique = Nonce::assume_unique_for_key(nonce);
        key.aead.seal_in_place_append_tag(unique, Aad::from(&*self.scope), &mut sealed).ok()?;
        Some([&key.id[..], &nonce[..], &sealed[..]].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = ticket.split_at_checked(ID)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE)?;
        let ring = self.keys.ring();
        let key = ring.named(id)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut sealed = sealed.to_vec();
        let length = key.aead.open_in_place(nonce, Aad::from(&*self.scope), &mut sealed).ok()?.len();
        sealed.truncate(length);
        Some(sealed)
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::testing::at;

    /// Keys on a clock that the test turns, and on bytes that count up.
    fn keys() -> (Arc<Keys>, Arc<AtomicU64>) {
        let clock = Arc::new(AtomicU64::new(100 * EPOCH.as_secs()));
        let read = clock.clone();
        let count = AtomicU64::new(0);
        let fill = move |bytes: &mut [u8]| {
            let n = count.fetch_add(1, Ordering::Relaxed).to_le_bytes();
            bytes.iter_mut().zip(n.iter().cycle()).for_each(|(byte, n)| *byte = *n);
            Ok(())
        };
        let now = move || at(read.load(Ordering::Relaxed));
        (Keys::new(Box::new(now), Box::new(fill)).unwrap(), clock)
    }

    fn pass(clock: &AtomicU64, seconds: u64) {
        clock.fetch_add(seconds, Ordering::Relaxed);
    }

    #[test]
    fn a_ticket_is_opened_in_its_epoch_and_the_next_and_not_after() {
        let (keys, clock) = keys();
        let tickets = keys.scoped("https");
        let ticket = tickets.encrypt(b"state").unwrap();
        for _ in 0..2 {
            assert_eq!(tickets.decrypt(&ticket).as_deref(), Some(&b"state"[..]));
            pass(&clock, EPOCH.as_secs());
        }
        assert_eq!(tickets.decrypt(&ticket), None);
    }

    #[test]
    fn the_key_of_the_next_epoch_is_there_before_it_is_used() {
        let (keys, clock) = keys();
        let before: Vec<_> = keys.ring().keys.iter().map(|key| key.id).collect();
        pass(&clock, EPOCH.as_secs());
        let ring = keys.ring();
        assert_eq!(ring.of(ring.epoch).unwrap().id, before[2]);
        assert_eq!(ring.keys.len(), 3);
    }

    #[test]
    fn a_clock_that_jumps_days_either_way_leaves_three_fresh_keys() {
        let (keys, clock) = keys();
        let ticket = keys.scoped("https").encrypt(b"state").unwrap();
        pass(&clock, 40 * EPOCH.as_secs());
        assert_eq!(keys.scoped("https").decrypt(&ticket), None);
        clock.store(0, Ordering::Relaxed);
        let ticket = keys.scoped("https").encrypt(b"state").unwrap();
        assert!(keys.scoped("https").decrypt(&ticket).is_some());
    }

    #[test]
    fn a_ticket_of_another_scope_is_refused() {
        let (keys, _) = keys();
        let ticket = keys.scoped("https").encrypt(b"state").unwrap();
        assert_eq!(keys.scoped("https-mtls").decrypt(&ticket), None);
    }

    #[test]
    fn every_prefix_and_every_changed_byte_of_a_ticket_is_refused() {
        let (keys, _) = keys();
        let tickets = keys.scoped("https");
        let ticket = tickets.encrypt(b"state").unwrap();
        for cut in 0..ticket.len() {
            assert_eq!(tickets.decrypt(&ticket[..cut]), None, "cut at {cut}");
            let mut changed = ticket.clone();
            changed[cut] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "changed at {cut}");
        }
        let longer = [&ticket[..], b"x"].concat();
        assert_eq!(tickets.decrypt(&longer), None);
    }

    #[test]
    fn without_randomness_no_ticket_is_made_and_nothing_panics() {
        let fill = |_: &mut [u8]| Err(NoRandomness);
        let none = Keys::new(Box::new(|| at(0)), Box::new(fill));
        assert_eq!(none.err(), Some(NoRandomness));
    }
}
