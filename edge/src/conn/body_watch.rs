//! Whether the body of one HTTP/2 request comes along: its stream has no socket of its own whose pace could be taken.
//!
//! The request logic reports, a watcher beside the request looks from time to time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::control::StreamFault;
use super::pace::{MinRate, Pace, PaceLimits};

/// Shared by a request and its watcher.
#[derive(Debug, Default)]
pub struct BodyWatch {
    turn: AtomicU8,
    bytes: AtomicU64,
    /// Milliseconds that the answer may take to begin behind the body.
    answer_within: AtomicU64,
    min_rate: MinRate,
    cut_by: OnceLock<StreamFault>,
    told: AtomicBool,
}

/// Whose turn it is: nobody's that is watched, the client's to send, the server's to begin its answer.
const NOBODY: u8 = 0;
const CLIENT: u8 = 1;
const SERVER: u8 = 2;

impl BodyWatch {
    /// A body is to come, and the request cannot go on without it.
    pub fn expect(&self) {
        self.turn.store(CLIENT, Relaxed);
    }

    /// Once the body has come, the answer is to begin within so long.
    pub fn await_answer(&self, within: Duration) {
        self.answer_within.store(u64::try_from(within.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }

    /// There is no body: the answer is to begin within so long from now on.
    pub fn await_answer_now(&self, within: Duration) {
        self.await_answer(within);
        let _ = self.turn.compare_exchange(NOBODY, SERVER, Relaxed, Relaxed);
    }

    /// The least rate that its route asks for.
    pub fn min_rate(&self) -> &MinRate {
        &self.min_rate
    }

    /// So many bytes of it came.
    pub fn came(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// The body ended: it is the server's turn.
    pub fn ended(&self) {
        // Only from the client's turn: an answer may have begun before the body ended.
        let _ = self.turn.compare_exchange(CLIENT, SERVER, Relaxed, Relaxed);
    }

    /// The answer began: from here on silence is no stall (a gRPC stream may be quiet for hours).
    pub fn settle(&self) {
        self.turn.store(NOBODY, Relaxed);
    }

    /// The request is dropped where it stands, for this.
    pub fn cut(&self, fault: StreamFault) {
        let _ = self.cut_by.set(fault);
    }

    /// Why the request is dropped where it stands, if it is. Whoever asks tells of it.
    pub fn to_tell(&self) -> Option<StreamFault> {
        let fault = self.cut_by.get().copied()?;
        self.told.store(true, Relaxed);
        Some(fault)
    }

    /// Whether somebody told why.
    pub fn is_told(&self) -> bool {
        self.told.load(Relaxed)
    }

    /// Waits until client or server misses a limit; never returns while they keep up. `backlog` tells whether the client
    /// has sent what the server has not taken yet: then the silence is not the client's.
    pub async fn stalled(&self, limits: &PaceLimits, backlog: impl Fn() -> bool) -> StreamFault {
        let (mut pace, mut seen) = (Pace::default(), 0);
        let (mut excused, mut server_since) = (Duration::ZERO, None);
        loop {
            let now = tokio::time::Instant::now().into_std();
            let bytes = self.bytes.load(Relaxed);
            let turn = self.turn.load(Relaxed);
            let is_excused = backlog() && excused < limits.idle * EXCUSES;
            if bytes != seen || turn != CLIENT || is_excused {
                pace.moved(usize::try_from(bytes - seen).unwrap_or(usize::MAX), now);
                excused = if bytes == seen && is_excused { excused + LOOK } else { Duration::ZERO };
                seen = bytes;
            }
            if turn == SERVER && self.is_late(*server_since.get_or_insert(now), now) {
                return StreamFault::NoAnswer;
            }
            let next = match turn {
                CLIENT if !is_excused => pace.waiting(now, &self.min_rate.within(limits)),
                _ => Ok(now + LOOK),
            };
            match next {
                Ok(due) => sleep_until(due.min(now + LOOK)).await,
                Err(fault) => return StreamFault::SlowRequest(fault),
            }
        }
    }

    fn is_late(&self, since: Instant, now: Instant) -> bool {
        let within = self.answer_within.load(Relaxed);
        within > 0 && now.duration_since(since) >= Duration::from_millis(within)
    }
}

/// How many idle limits a server may leave a client waiting with its body half sent: the server's own limits end it first.
const EXCUSES: u32 = 10;
/// How often a watcher looks.
const LOOK: Duration = Duration::from_secs(1);

async fn sleep_until(due: Instant) {
    tokio::time::sleep_until(tokio::time::Instant::from_std(due)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::pace::PaceFault;

    const SLOW: fn(PaceFault) -> Option<StreamFault> = |fault| Some(StreamFault::SlowRequest(fault));

    async fn watch(limit: Duration, gap: u64, bytes: usize) -> Option<StreamFault> {
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
            fault = watch.stalled(&limits, || false) => Some(fault),
            () = sending => None,
            () = tokio::time::sleep(limit) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_body_and_a_trickle_stall_and_an_honest_one_does_not() {
        let hour = Duration::from_secs(3_600);
        assert_eq!(watch(hour, 100, 1).await, SLOW(PaceFault::Idle));
        assert_eq!(watch(hour, 3, 1).await, SLOW(PaceFault::TooSlow));
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
                fault = watch.stalled(&limits, || false) => Some(fault),
                () = sending => None,
                () = tokio::time::sleep(hour) => None,
            }
        };
        assert_eq!(ask(Some(1)).await, SLOW(PaceFault::TooSlow));
        assert_eq!(ask(None).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_settled_request_may_be_silent() {
        let watch = BodyWatch::default();
        watch.expect();
        watch.settle();
        let quiet =
            tokio::time::timeout(Duration::from_secs(7_200), watch.stalled(&PaceLimits::default(), || false)).await;
        assert!(quiet.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_take_the_body_is_not_the_clients_fault_for_a_while() {
        let watch = BodyWatch::default();
        watch.expect();
        let (limits, began) = (PaceLimits::default(), tokio::time::Instant::now());
        let fault = watch.stalled(&limits, || true).await;
        assert_eq!(fault, StreamFault::SlowRequest(PaceFault::Idle));
        assert!((300..400).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_body_the_answer_must_begin_too() {
        let watch = BodyWatch::default();
        watch.await_answer_now(Duration::from_secs(60));
        let began = tokio::time::Instant::now();
        assert_eq!(watch.stalled(&PaceLimits::default(), || false).await, StreamFault::NoAnswer);
        assert!((60..63).contains(&began.elapsed().as_secs()));
    }

    #[tokio::test(start_paused = true)]
    async fn behind_the_body_the_answer_must_begin() {
        let watch = BodyWatch::default();
        watch.expect();
        watch.await_answer(Duration::from_secs(60));
        watch.ended();
        let began = tokio::time::Instant::now();
        assert_eq!(watch.stalled(&PaceLimits::default(), || false).await, StreamFault::NoAnswer);
        assert!((60..63).contains(&began.elapsed().as_secs()));
        watch.settle();
        watch.ended();
        let quiet =
            tokio::time::timeout(Duration::from_secs(7_200), watch.stalled(&PaceLimits::default(), || false)).await;
        assert!(quiet.is_err(), "an answer that began before the body ended is an answer");
    }
}
