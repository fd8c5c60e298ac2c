//! What the two sides of one connection tell each other: the byte stream below the HTTP engine and the request logic above it.
//!
//! Lock-free but for the waker of an idle connection.

use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::Notify;

use super::h1_guard::H1Fault;
use super::h2_guard::H2Fault;
use super::pace::{MinRate, PaceFault};

/// Why the stream of a connection ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// What an HTTP/1 client sent.
    #[error(transparent)]
    H1(#[from] H1Fault),
    /// What an HTTP/2 client sent.
    #[error(transparent)]
    H2(#[from] H2Fault),
    /// An HTTP/2 stream whose head no route could be found for: the engine has answered or reset it.
    #[error("an HTTP/2 request is malformed")]
    MalformedStream,
    /// The head of a request was begun and not ended in time.
    #[error("the request head was not complete in time")]
    HeadTimeout,
    /// The client sent a body too slowly.
    #[error("the request body stalled: {0}")]
    SlowRequest(PaceFault),
    /// The client took the answer too slowly.
    #[error("the client does not take the answer: {0}")]
    SlowResponse(PaceFault),
    /// The server behind the route did not begin its answer in time; told here because only the stream has a clock then.
    #[error("the server did not begin its answer in time")]
    NoAnswer,
    /// Neither side of a tunnel said anything for too long.
    #[error("the tunnel was idle for too long")]
    IdleTunnel,
}

/// Shared by the stream and the request logic of one connection.
#[derive(Debug, Default)]
pub struct Control {
    min_rate: MinRate,
    next_request: AtomicBool,
    tunnel: AtomicBool,
    shed: AtomicBool,
    /// Milliseconds since the process's epoch at which the connection fell idle, plus one; 0 while it is busy.
    idle_since: AtomicU64,
    idle_waker: Mutex<Option<Waker>>,
    fault: OnceLock<StreamFault>,
    faulted: Notify,
    /// Milliseconds that the answer may take to begin once the request is complete; 0 while none is awaited.
    answer_within: AtomicU64,
    received: AtomicU64,
    taken: AtomicU64,
}

impl Control {
    /// The least rate that the route of the present request asks of its client. HTTP/1 only.
    pub fn min_rate(&self) -> &MinRate {
        &self.min_rate
    }

    /// The engine is about to read the next request.
    pub fn expect_request(&self) {
        self.min_rate.forget();
        self.next_request.store(true, Release);
    }

    pub(super) fn take_expected(&self) -> bool {
        self.next_request.load(Relaxed) && self.next_request.swap(false, Acquire)
    }

    /// The upstream answered 101.
    pub fn open_tunnel(&self) {
        self.tunnel.store(true, Release);
    }

    /// Whether the connection is a tunnel by now.
    pub fn is_tunnel(&self) -> bool {
        self.tunnel.load(Acquire)
    }

    /// A server has the request: its answer must begin so long after the request is complete. HTTP/1 only.
    pub fn await_answer(&self, within: Duration) {
        self.answer_within.store(u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1), Release);
    }

    /// The answer began, or is no longer awaited.
    pub fn answer_began(&self) {
        self.answer_within.store(0, Release);
    }

    pub(super) fn answer_within(&self) -> Option<Duration> {
        match self.answer_within.load(Acquire) {
            0 => None,
            millis => Some(Duration::from_millis(millis)),
        }
    }

    /// So many bytes of bodies came in all, on HTTP/2.
    pub(super) fn received(&self, total: u64) {
        self.received.store(total, Relaxed);
    }

    /// So many bytes of a body were taken by the request logic.
    pub fn took(&self, bytes: usize) {
        self.taken.fetch_add(bytes as u64, Relaxed);
    }

    /// Whether bytes of bodies came that nobody has taken yet.
    pub fn has_backlog(&self) -> bool {
        self.received.load(Relaxed) > self.taken.load(Relaxed)
    }

    /// Marks the connection idle since `millis` of whatever clock the caller compares with.
    pub fn set_idle(&self, millis: u64) {
        self.idle_since.store(millis + 1, Relaxed);
    }

    /// Marks the connection busy.
    pub fn set_busy(&self) {
        self.idle_since.store(0, Relaxed);
    }

    /// Since when the connection is idle, if it is.
    pub fn idle_since(&self) -> Option<u64> {
        self.idle_since.load(Relaxed).checked_sub(1)
    }

    /// Asks an idle connection to end; one that has begun a request meanwhile goes on.
    pub fn shed(&self) {
        self.shed.store(true, Release);
        if let Some(waker) = self.lock_waker().take() {
            waker.wake();
        }
    }

    /// Whether [`Control::shed`] was called; wakes `context` when it will be.
    pub fn poll_shed(&self, context: &Context<'_>) -> bool {
        if self.shed.load(Acquire) {
            return true;
        }
        let mut waker = self.lock_waker();
        if !waker.as_ref().is_some_and(|known| known.will_wake(context.waker())) {
            *waker = Some(context.waker().clone());
        }
        drop(waker);
        self.shed.load(Acquire)
    }

    pub(super) fn set_fault(&self, fault: StreamFault) {
        // The first one is the cause; what follows is its echo.
        if self.fault.set(fault).is_ok() {
            self.faulted.notify_one();
        }
    }

    /// Waits until the stream fails; for one waiter.
    pub async fn faulted(&self) {
        self.faulted.notified().await;
    }

    /// Why the stream failed, if it did.
    pub fn fault(&self) -> Option<StreamFault> {
        self.fault.get().copied()
    }

    fn lock_waker(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.idle_waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_expected_once() {
        let control = Control::default();
        assert!(!control.take_expected());
        control.expect_request();
        assert!(control.take_expected() && !control.take_expected());
    }

    #[test]
    fn idle_time_is_kept_even_at_zero() {
        let control = Control::default();
        assert_eq!(control.idle_since(), None);
        control.set_idle(0);
        assert_eq!(control.idle_since(), Some(0));
        control.set_busy();
        assert_eq!(control.idle_since(), None);
    }

    #[test]
    fn the_first_fault_stays() {
        let control = Control::default();
        control.set_fault(StreamFault::HeadTimeout);
        control.set_fault(StreamFault::IdleTunnel);
        assert_eq!(control.fault(), Some(StreamFault::HeadTimeout));
    }

    #[test]
    fn shedding_wakes_the_one_who_waits() {
        let control = Control::default();
        let context = Context::from_waker(Waker::noop());
        assert!(!control.poll_shed(&context));
        control.shed();
        assert!(control.poll_shed(&context));
    }
}
