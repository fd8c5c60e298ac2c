//! Something that a provider publishes: asked for when it is needed, by one request at a time, and kept while the
//! provider cannot be asked.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A value that is asked for again now and then.
#[derive(Debug)]
pub(super) struct Cached<T> {
    slot: Mutex<Slot<T>>,
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Slot<T> {
    good: Option<(Instant, Arc<T>)>,
    failed: Option<Instant>,
}

/// From when on a value is new enough.
#[derive(Debug, Clone, Copy)]
pub(super) enum Since {
    /// No older than this.
    Last(Duration),
    /// Asked for at this moment or later.
    Moment(Instant),
}

impl Since {
    /// What is asked for from here on.
    pub(super) fn now() -> Self {
        Self::Moment(Instant::now())
    }

    fn is_before(self, at: Instant) -> bool {
        match self {
            Self::Last(age) => at.elapsed() <= age,
            Self::Moment(since) => at >= since,
        }
    }
}

/// The provider cannot be asked, or gives no answer that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Down;

/// After a failure nobody asks again for this long: a provider that is starting is not run over.
const PAUSE: Duration = Duration::from_secs(2);
/// The same where the last value does: whoever asks a provider that hangs is held up.
const LONG_PAUSE: Duration = Duration::from_secs(60);

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self { slot: Mutex::new(Slot { good: None, failed: None }), asking: tokio::sync::Mutex::default() }
    }
}

impl<T> Cached<T> {
    /// The last good value, if it is from `since` or later.
    pub(super) fn get(&self, since: Since) -> Option<Arc<T>> {
        self.slot().good.as_ref().filter(|(at, _)| since.is_before(*at)).map(|(_, value)| Arc::clone(value))
    }

    /// The last good value, however old.
    pub(super) fn last(&self) -> Option<Arc<T>> {
        self.slot().good.as_ref().map(|(_, value)| Arc::clone(value))
    }

    /// A value from `since` or later, asked for by `ask` if there is none. `told` hears how it went.
    pub(super) async fn ask<E: Display>(
        &self,
        since: Since,
        ask: impl Future<Output = Result<T, E>>,
        told: impl FnOnce(Result<(), &E>),
    ) -> Result<Arc<T>, Down> {
        // Whoever goes away while asking leaves the turn to the next.
        let _turn = self.asking.lock().await;
        self.ask_in_turn(since, PAUSE, ask, told).await
    }

    /// As [`Self::ask`], or the last value, however old, while somebody else asks and after a failure: there is no
    /// queue behind a provider that hangs.
    pub(super) async fn ask_or_last<E: Display>(
        &self,
        since: Since,
        ask: impl Future<Output = Result<T, E>>,
        told: impl FnOnce(Result<(), &E>),
    ) -> Result<Arc<T>, Down> {
        let Some(last) = self.last() else { return self.ask(since, ask, told).await };
        let Ok(_turn) = self.asking.try_lock() else { return Ok(last) };
        Ok(self.ask_in_turn(since, LONG_PAUSE, ask, told).await.unwrap_or(last))
    }

    async fn ask_in_turn<E: Display>(
        &self,
        since: Since,
        pause: Duration,
        ask: impl Future<Output = Result<T, E>>,
        told: impl FnOnce(Result<(), &E>),
    ) -> Result<Arc<T>, Down> {
        if let Some(value) = self.get(since) {
            return Ok(value);
        }
        if self.slot().failed.is_some_and(|at| at.elapsed() < pause) {
            return Err(Down);
        }
        // Of the moment before: what was published since then may be newer.
        let asked = Instant::now();
        let outcome = ask.await;
        told(outcome.as_ref().map(|_| ()));
        let mut slot = self.slot();
        match outcome {
            Ok(value) => {
                let value = Arc::new(value);
                *slot = Slot { good: Some((asked, Arc::clone(&value))), failed: None };
                Ok(value)
            }
            Err(_) => {
                slot.failed = Some(Instant::now());
                Err(Down)
            }
        }
    }

    fn slot(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures_util::FutureExt as _;

    use super::*;

    async fn ask(cached: &Cached<u32>, since: Since, answer: Result<u32, &'static str>) -> Result<u32, Down> {
        cached.ask(since, async { answer }, |_| ()).await.map(|value| *value)
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_is_used_until_a_newer_one_is_wanted() {
        const MINUTE: Since = Since::Last(Duration::from_secs(60));
        let (cached, start) = (Cached::default(), Since::now());
        assert_eq!(cached.get(start), None);
        assert_eq!(ask(&cached, start, Ok(1)).await, Ok(1));
        assert_eq!(ask(&cached, start, Ok(2)).await, Ok(1), "it is there already");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(ask(&cached, MINUTE, Ok(3)).await, Ok(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(ask(&cached, MINUTE, Ok(3)).await, Ok(3));
        assert_eq!(ask(&cached, Since::now(), Ok(4)).await, Ok(3), "of this very moment");
    }

    #[tokio::test(start_paused = true)]
    async fn a_provider_that_fails_is_left_alone_and_its_last_word_kept() {
        let cached = Cached::default();
        assert_eq!(ask(&cached, Since::now(), Ok(1)).await, Ok(1));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(ask(&cached, Since::now(), Err("down")).await, Err(Down));
        assert_eq!(ask(&cached, Since::now(), Ok(2)).await, Err(Down), "too soon");
        assert_eq!(cached.last().as_deref(), Some(&1));
        tokio::time::advance(PAUSE).await;
        assert_eq!(ask(&cached, Since::now(), Ok(2)).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_value_does_while_somebody_else_asks_and_long_after_a_failure() {
        let (cached, asked) = (Cached::<u32>::default(), Cell::new(0));
        assert_eq!(ask(&cached, Since::now(), Ok(1)).await, Ok(1));
        tokio::time::advance(LONG_PAUSE).await;
        let since = Since::now();
        let or_last = || {
            let hangs = async {
                asked.set(asked.get() + 1);
                tokio::time::sleep(Duration::from_secs(10)).await;
                Err("too slow")
            };
            cached.ask_or_last(since, hangs, |_| ())
        };
        let mut first = std::pin::pin!(or_last());
        assert!(first.as_mut().now_or_never().is_none());
        for _ in 0..3 {
            assert_eq!(or_last().now_or_never().expect("at once").as_deref(), Ok(&1));
        }
        assert_eq!(first.await.as_deref(), Ok(&1));
        tokio::time::advance(LONG_PAUSE - Duration::from_secs(1)).await;
        assert_eq!(or_last().now_or_never().expect("at once").as_deref(), Ok(&1));
        assert_eq!(asked.get(), 1, "it is left alone");
        assert_eq!(ask(&cached, since, Ok(2)).await, Ok(2), "but not by those whom the last value does not help");
    }

    #[tokio::test(start_paused = true)]
    async fn many_that_need_it_ask_once() {
        let (cached, asked) = (Cached::<u32>::default(), Cell::new(0));
        let since = Since::now();
        let one = || {
            let slow = async {
                asked.set(asked.get() + 1);
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, &str>(7)
            };
            cached.ask(since, slow, |_| ())
        };
        let all = futures_util::future::join_all((0..10).map(|_| one())).await;
        assert!(all.iter().all(|value| value.as_deref() == Ok(&7)));
        assert_eq!(asked.get(), 1);
    }
}
