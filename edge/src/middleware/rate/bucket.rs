//! Token buckets as arithmetic: how many tokens a bucket has follows from the moment at which it will be full again, so one
//! number is a bucket. Time is an argument.

use std::hash::{BuildHasher as _, Hash, RandomState};
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

/// How fast tokens come back and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Law {
    /// Nanoseconds until the next token.
    each: u64,
    /// The tokens of a full bucket.
    burst: u64,
}

/// What a bucket says to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may pass.
    Pass {
        /// Tokens that are left.
        left: u64,
        /// Until the bucket is full again.
        full_in: Duration,
    },
    /// It may not.
    Refuse {
        /// Until there is a token.
        wait: Duration,
    },
}

impl Law {
    /// `count` tokens in each `period`, and `burst` of them in a full bucket.
    pub(super) fn new(count: u64, period: Duration, burst: u64) -> Self {
        let each = nanoseconds(period) / count.max(1);
        Self { each: each.max(1), burst: burst.max(1) }
    }

    /// The tokens of a full bucket.
    pub(super) fn burst(&self) -> u64 {
        self.burst
    }

    /// The time in which an empty bucket becomes full.
    pub(super) fn window(&self) -> Duration {
        Duration::from_nanos(self.each.saturating_mul(self.burst))
    }

    /// Takes one token from the bucket that is full at `full_at`.
    fn take(&self, full_at: &mut u64, now: u64) -> Verdict {
        let room = self.each.saturating_mul(self.burst);
        let after = (*full_at).max(now).saturating_add(self.each);
        let missing = after - now;
        if let Some(wait) = missing.checked_sub(room).filter(|wait| *wait > 0) {
            return Verdict::Refuse { wait: Duration::from_nanos(wait) };
        }
        *full_at = after;
        Verdict::Pass { left: (room - missing) / self.each, full_in: Duration::from_nanos(missing) }
    }
}

/// Many buckets of one law. It has a bound: the bucket that was not asked for longest is forgotten, which makes it a full
/// one.
#[derive(Debug)]
pub(super) struct Buckets {
    /// Keyed by chance, so that nobody can choose names that meet in one bucket.
    names: RandomState,
    /// Parts with a lock each: requests of different clients rarely wait for one another.
    parts: Vec<Mutex<LruCache<u64, u64>>>,
}

const PARTS: usize = 64;

impl Buckets {
    /// At most about `most` buckets.
    pub(super) fn new(most: usize) -> Self {
        let each = NonZeroUsize::new(most.div_ceil(PARTS)).unwrap_or(NonZeroUsize::MIN);
        let part = || Mutex::new(LruCache::sparse(each));
        Self { names: RandomState::new(), parts: std::iter::repeat_with(part).take(PARTS).collect() }
    }

    /// Takes one token from the bucket of `name`. `now` runs from any fixed moment on.
    pub(super) fn take(&self, law: &Law, name: impl Hash, now: Duration) -> Verdict {
        let name = self.names.hash_one(name);
        let part = &self.parts[(name >> 32) as usize % PARTS];
        let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
        law.take(part.get_or_insert_mut(name, || 0), nanoseconds(now))
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.parts.iter().map(|part| part.lock().unwrap().len()).sum()
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const START: Duration = Duration::from_secs(1_000);

    fn passes(buckets: &Buckets, law: &Law, name: &str, now: Duration) -> bool {
        matches!(buckets.take(law, name, now), Verdict::Pass { .. })
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_refills_with_time() {
        let (buckets, law) = (Buckets::new(100), Law::new(10, SECOND, 3));
        for left in [2, 1, 0] {
            let Verdict::Pass { left: found, .. } = buckets.take(&law, "a", START) else { panic!("refused") };
            assert_eq!(found, left);
        }
        let wait = Duration::from_millis(100);
        assert_eq!(buckets.take(&law, "a", START), Verdict::Refuse { wait });
        assert!(passes(&buckets, &law, "b", START), "another's bucket is another");
        assert!(!passes(&buckets, &law, "a", START + wait - Duration::from_nanos(1)));
        assert!(passes(&buckets, &law, "a", START + wait), "a refused request takes nothing");
        assert!(!passes(&buckets, &law, "a", START + wait));
        let later = START + 3600 * SECOND;
        let granted = (0..10).filter(|_| passes(&buckets, &law, "a", later)).count();
        assert_eq!(granted, 3, "a bucket never holds more than its burst");
    }

    #[test]
    fn over_a_long_time_the_rate_is_kept_exactly() {
        let (buckets, law) = (Buckets::new(100), Law::new(50, SECOND, 5));
        let asked = (0..10_000).map(|n| START + Duration::from_millis(n));
        let granted = asked.filter(|now| passes(&buckets, &law, "a", *now)).count();
        assert_eq!(granted, 5 + 50 * 10 - 1, "the burst, and a token for each 20 ms behind it");
    }

    #[test]
    fn the_least_recently_used_bucket_is_forgotten() {
        let (buckets, law) = (Buckets::new(640), Law::new(1, SECOND, 1));
        assert!(passes(&buckets, &law, "kept", START));
        for n in 0..100_000 {
            assert!(passes(&buckets, &law, &n.to_string(), START));
            assert!(!passes(&buckets, &law, "kept", START), "it is asked for all the time");
        }
        assert!(buckets.len() <= 640, "{}", buckets.len());
    }

    #[test]
    fn numbers_at_the_edge_of_what_can_be_written_overflow_nowhere() {
        let law = Law::new(1, Duration::from_secs(86_400), u64::MAX);
        let buckets = Buckets::new(0);
        assert!(passes(&buckets, &law, "a", Duration::MAX));
        assert!(passes(&buckets, &Law::new(u64::MAX, SECOND, 1), "b", START));
    }
}
