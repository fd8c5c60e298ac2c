//! Whether the body of one HTTP/2 request comes along: its stream has no socket of its own whose pace could be taken.
//!
//! The request logic reports, a watcher beside the request looks from time to time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::pace::{MinRate, Pace, PaceFault, PaceLimits};

/// Shared by a request and its watcher.
#[derive(Debug, Default)]
pub struct BodyWatch {
    expecting: AtomicBool,
    bytes: AtomicU64,
    min_rate: MinRate,
}

impl BodyWatch {
    /// A body is to come, and the request cannot go on without it.
    pub fn expect(&self) {
        self.expecting.store(true, Relaxed);
    }

    /// The least rate that its route asks for.
    pub fn min_rate(&self) -> &MinRate {
        &self.min_rate
    }

    /// So many bytes of it came.
    pub fn came(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// The body ended, or the answer began: from here on silence is no stall (a gRPC stream may be quiet for hours).
    pub fn settle(&self) {
        self.expecting.store(false, Relaxed);
    }

    /// Waits until the client misses a limit; never returns while it keeps up.
    pub async fn stalled(&self, limits: &PaceLimits) -> PaceFault {
        let (mut pace, mut seen) = (Pace::default(), 0);
        loop {
            let now = tokio::time::Instant::now().into_std();
            let bytes = self.bytes.load(Relaxed);
            if bytes != seen || !self.expecting.load(Relaxed) {
                pace.moved(usize::try_from(bytes - seen).unwrap_or(usize::MAX), now);
                seen = bytes;
            }
            let next = if self.expecting.load(Relaxed) {
                pace.waiting(now, &self.min_rate.within(limits))
            } else {
                Ok(now + LOOK)
            };
            match next {
                Ok(due) => sleep_until(due.min(now + LOOK)).await,
                Err(fault) => return fault,
            }
        }
    }
}

/// How often a watcher looks.
const LOOK: Duration = Duration::from_secs(2);

async fn sleep_until(due: Instant) {
    tokio::time::sleep_until(tokio::time::Instant::from_std(due)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn watch(limit: Duration, gap: u64, bytes: usize) -> Option<PaceFault> {
        let watch = BodyWatch::default();
        watch.expect();
        let sending = async {
            loop {
                tokio::time::sleep(Duration::from_secs(gap)).await;
                watch.came(bytes);
            }
        };
        let limits = PaceLimits::default();
        tokio::select! {
            fault = watch.stalled(&limits) => Some(fault),
            () = sending => None,
            () = tokio::time::sleep(limit) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_and_a_trickle_stall_and_an_honest_one_does_not() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(watch(hour, 100, 1).await, Some(PaceFault::Idle));
        assert_eq!(watch(hour, 3, 1).await, Some(PaceFault::TooSlow));
        assert_eq!(watch(hour, 3, 3_000).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_that_a_route_asks_for_holds() {
        let hour = Duration::from_secs(3_600);
        let ask = |rate| async move {
            let watch = BodyWatch::default();
            watch.min_rate().set(rate);
            watch.expect();
            let sending = async {
                loop {
                    tokio::time::sleep(Duration::from_secs(3)).await;
                    watch.came(1);
                }
            };
            let limits = PaceLimits::default();
            tokio::select! {
                fault = watch.stalled(&limits) => Some(fault),
                () = sending => None,
                () = tokio::time::sleep(hour) => None,
            }
        };
        assert_eq!(ask(Some(1)).await, Some(PaceFault::TooSlow));
        assert_eq!(ask(None).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_settled_request_may_be_silent() {
        let watch = BodyWatch::default();
        watch.expect();
        watch.settle();
        let quiet = tokio::time::timeout(Duration::from_secs(7_200), watch.stalled(&PaceLimits::default())).await;
        assert!(quiet.is_err());
    }
}
