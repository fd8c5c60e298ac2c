//! How much a server is trusted with: nothing while it is left alone, a share that grows when it comes back, all of it
//! otherwise.
//!
//! Times are milliseconds of the caller's clock. Nothing here knows a server or a request.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::settings::Eject;

/// A share in thousandths.
pub(super) const WHOLE: u64 = 1000;
/// The share with which a server comes back.
const FIRST_SHARE: u64 = 100;

/// What requests and checks have shown of one server.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Failures since the last success.
    failures: AtomicU32,
    /// How often in a row it was left alone.
    ejections: AtomicU32,
    /// It is left alone before this moment.
    back_at: AtomicU64,
    /// Its share grows from `back_at` to this moment. 0, or long ago, for nearly every server.
    full_at: AtomicU64,
}

impl Standing {
    /// Its share of what its weight gives it.
    pub(super) fn share(&self, now: u64) -> u64 {
        let full_at = self.full_at.load(Relaxed);
        if full_at <= now {
            return WHOLE;
        }
        let back_at = self.back_at.load(Relaxed);
        if now < back_at {
            return 0;
        }
        let (passed, whole) = (now - back_at, (full_at - back_at).max(1));
        FIRST_SHARE + (WHOLE - FIRST_SHARE) * passed / whole
    }

    /// How long it is still left alone, if it is.
    pub(super) fn left_alone(&self, now: u64) -> Option<Duration> {
        let left = self.back_at.load(Relaxed).checked_sub(now).filter(|left| *left > 0)?;
        Some(Duration::from_millis(left))
    }

    /// A request was answered.
    pub(super) fn succeeded(&self, now: u64) {
        // Read first: all cores write here otherwise, for the same 0.
        if self.failures.load(Relaxed) != 0 {
            self.failures.store(0, Relaxed);
        }
        if self.ejections.load(Relaxed) != 0 && self.full_at.load(Relaxed) <= now {
            self.ejections.store(0, Relaxed);
        }
    }

    /// A request failed. Whether that makes one too many: then it is to be left alone, if others can do its work.
    pub(super) fn failed(&self, eject: &Eject, now: u64) -> bool {
        let failures = self.failures.fetch_add(1, Relaxed).saturating_add(1);
        // Who fails again while it comes back needs no second proof.
        let on_probation = self.ejections.load(Relaxed) > 0 && self.full_at.load(Relaxed) > now;
        self.left_alone(now).is_none() && (on_probation || failures >= eject.after)
    }

    /// Leaves it alone from now on: for how long. It comes back with a share that grows for at least `slow_start`.
    pub(super) fn eject(&self, eject: &Eject, slow_start: Duration, now: u64) -> Duration {
        let times = self.ejections.fetch_add(1, Relaxed);
        let time = eject.time.saturating_mul(1 << times.min(16)).min(eject.max);
        let back_at = now.saturating_add(millis(time));
        self.back_at.store(back_at, Relaxed);
        self.full_at.store(back_at.saturating_add(millis(slow_start.max(eject.time))), Relaxed);
        self.failures.store(0, Relaxed);
        time
    }

    /// A check found it up again: what requests showed before is history.
    pub(super) fn came_up(&self, slow_start: Duration, now: u64) {
        self.failures.store(0, Relaxed);
        self.ejections.store(0, Relaxed);
        self.back_at.store(now, Relaxed);
        self.full_at.store(now.saturating_add(millis(slow_start)), Relaxed);
    }

    /// Takes over what another one shows by the same clock.
    pub(super) fn learn(&self, before: &Self) {
        self.failures.store(before.failures.load(Relaxed), Relaxed);
        self.ejections.store(before.ejections.load(Relaxed), Relaxed);
        self.back_at.store(before.back_at.load(Relaxed), Relaxed);
        self.full_at.store(before.full_at.load(Relaxed), Relaxed);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EJECT: Eject = Eject { after: 3, time: Duration::from_secs(10), max: Duration::from_secs(35) };
    const NONE: Duration = Duration::ZERO;

    #[test]
    fn failures_in_a_row_are_one_too_many_and_a_success_begins_anew() {
        let standing = Standing::default();
        assert!(!standing.failed(&EJECT, 0) && !standing.failed(&EJECT, 1));
        standing.succeeded(2);
        assert!(!standing.failed(&EJECT, 3) && !standing.failed(&EJECT, 4));
        assert!(standing.failed(&EJECT, 5));
        assert_eq!(standing.share(5), WHOLE, "who decides is somebody else");
    }

    #[test]
    fn who_is_left_alone_comes_back_with_a_share_that_grows() {
        let standing = Standing::default();
        assert_eq!(standing.eject(&EJECT, NONE, 1_000), Duration::from_secs(10));
        assert_eq!((standing.share(1_000), standing.share(10_999)), (0, 0));
        assert_eq!(standing.left_alone(2_000), Some(Duration::from_secs(9)));
        assert_eq!([11_000, 16_000, 20_999, 21_000].map(|now| standing.share(now)), [100, 550, 999, WHOLE]);
        assert_eq!(standing.left_alone(11_000), None);
    }

    #[test]
    fn one_failure_on_the_way_back_is_enough_and_the_time_grows_to_its_limit() {
        let standing = Standing::default();
        let mut now = 0;
        for seconds in [10, 20, 35, 35] {
            let time = standing.eject(&EJECT, NONE, now);
            assert_eq!(time.as_secs(), seconds);
            assert!(!standing.failed(&EJECT, now + 1), "requests under way tell nothing new");
            now += millis(time) + 1;
            standing.succeeded(now);
            assert!(standing.failed(&EJECT, now));
        }
        now += 100_000;
        standing.succeeded(now);
        assert!(!standing.failed(&EJECT, now));
        assert_eq!(standing.eject(&EJECT, NONE, now).as_secs(), 10, "it stood the test");
    }

    #[test]
    fn who_came_up_starts_slowly_if_asked_to() {
        let standing = Standing::default();
        standing.came_up(Duration::from_secs(30), 1_000);
        assert_eq!([1_000, 16_000, 31_000].map(|now| standing.share(now)), [100, 550, WHOLE]);
        standing.came_up(NONE, 50_000);
        assert_eq!(standing.share(50_000), WHOLE);
    }

    #[test]
    fn coming_up_ends_being_left_alone() {
        let standing = Standing::default();
        standing.eject(&EJECT, NONE, 0);
        standing.came_up(NONE, 1_000);
        assert_eq!((standing.share(1_000), standing.left_alone(1_000)), (WHOLE, None));
    }
}
