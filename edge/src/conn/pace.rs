//! How long a peer may make us wait: an idle limit and a least rate, counted only over time spent waiting for it.
//!
//! A whole-request deadline would cut slow but honest uploads; this cuts only those who do not keep up a minimum. The
//! clock is an argument, so the rules are tested without waiting.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What is asked of a peer whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceLimits {
    /// Longest time without a byte.
    pub idle: Duration,
    /// Least bytes per second over any [`PaceLimits::window`] of waiting; 0 for none.
    pub bytes_per_second: u64,
    /// The window over which the rate is taken.
    pub window: Duration,
}

impl Default for PaceLimits {
    fn default() -> Self {
        Self { idle: Duration::from_secs(30), bytes_per_second: 500, window: Duration::from_secs(30) }
    }
}

/// The least rate that a route asks for, in place of the one of its connection.
#[derive(Debug, Default)]
pub struct MinRate {
    /// Bytes per second plus one; 0 while no route has said anything.
    said: AtomicU64,
}

impl MinRate {
    /// A route asks for so many bytes per second; none is no least rate.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        self.said.store(bytes_per_second.unwrap_or(0).saturating_add(1), Relaxed);
    }

    /// The limits of the connection hold again.
    pub fn forget(&self) {
        self.said.store(0, Relaxed);
    }

    /// `limits` with what the route asks for.
    pub fn within(&self, limits: &PaceLimits) -> PaceLimits {
        let said = self.said.load(Relaxed).checked_sub(1);
        PaceLimits { bytes_per_second: said.unwrap_or(limits.bytes_per_second), ..*limits }
    }
}

/// Which limit a peer missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaceFault {
    /// No byte for the whole idle limit.
    #[error("no byte came for too long")]
    Idle,
    /// Bytes, but fewer than the least rate.
    #[error("bytes came too slowly")]
    TooSlow,
}

/// Follows one direction of one connection.
#[derive(Debug, Default)]
pub struct Pace {
    silent_since: Option<Instant>,
    /// Since when the present wait counts for the window; later than `silent_since` if a window began in between.
    counted_from: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// It is the peer's turn and nothing came: returns when the next look is due.
    ///
    /// # Errors
    /// The limit that the peer missed.
    pub fn waiting(&mut self, now: Instant, limits: &PaceLimits) -> Result<Instant, PaceFault> {
        let silent_since = *self.silent_since.get_or_insert(now);
        let counted_from = *self.counted_from.get_or_insert(now);
        let idle_at = silent_since + limits.idle;
        if now >= idle_at {
            return Err(PaceFault::Idle);
        }
        if limits.bytes_per_second == 0 {
            return Ok(idle_at);
        }
        let window_at = counted_from + limits.window.saturating_sub(self.waited);
        if now < window_at {
            return Ok(idle_at.min(window_at));
        }
        if self.bytes < limits.bytes_per_second.saturating_mul(limits.window.as_secs()) {
            return Err(PaceFault::TooSlow);
        }
        (self.waited, self.bytes, self.counted_from) = (Duration::ZERO, 0, Some(now));
        Ok(idle_at.min(now + limits.window))
    }

    /// So many bytes moved.
    pub fn moved(&mut self, bytes: usize, now: Instant) {
        self.silent_since = None;
        if let Some(from) = self.counted_from.take() {
            self.waited += now.duration_since(from);
        }
        self.bytes += bytes as u64;
    }

    /// A new message begins: what was counted before does not matter to it.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: PaceLimits =
        PaceLimits { idle: Duration::from_secs(30), bytes_per_second: 500, window: Duration::from_secs(30) };

    /// Waits `gap` before each burst of `bytes`, for `bursts` bursts, looking once a second.
    fn run(gap: u64, bytes: usize, bursts: u32) -> Result<(), PaceFault> {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..bursts {
            for _ in 0..gap {
                pace.waiting(now, &LIMITS)?;
                now += Duration::from_secs(1);
            }
            pace.waiting(now, &LIMITS)?;
            pace.moved(bytes, now);
        }
        Ok(())
    }

    #[test]
    fn silence_ends_after_the_idle_limit() {
        assert_eq!(run(29, 100_000, 1), Ok(()));
        assert_eq!(run(30, 100_000, 1), Err(PaceFault::Idle));
    }

    #[test]
    fn a_trickle_ends_after_one_window_and_an_honest_rate_never_does() {
        assert_eq!(run(5, 1, 100), Err(PaceFault::TooSlow));
        assert_eq!(run(5, 499 * 5, 100), Err(PaceFault::TooSlow));
        assert_eq!(run(5, 700 * 5, 1_000), Ok(()));
    }

    #[test]
    fn time_that_is_not_the_peers_does_not_count() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..1_000 {
            // Our side is slow: the peer's byte is there at once whenever we ask.
            now += Duration::from_secs(20);
            assert!(pace.waiting(now, &LIMITS).is_ok());
            pace.moved(1, now);
        }
    }

    #[test]
    fn a_route_may_ask_for_another_rate_or_none_until_it_is_forgotten() {
        let rate = MinRate::default();
        assert_eq!(rate.within(&LIMITS), LIMITS);
        for (said, bytes_per_second) in [(Some(9), 9), (None, 0), (Some(u64::MAX), u64::MAX - 1)] {
            rate.set(said);
            assert_eq!(rate.within(&LIMITS), PaceLimits { bytes_per_second, ..LIMITS });
        }
        rate.forget();
        assert_eq!(rate.within(&LIMITS), LIMITS);
    }

    #[test]
    fn the_next_look_is_never_in_the_past() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let due = pace.waiting(now, &LIMITS).expect("just began");
        assert!(due > now && due <= now + LIMITS.idle);
    }
}
