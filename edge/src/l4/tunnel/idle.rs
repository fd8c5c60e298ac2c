//! Ends what has been idle for too long, by a timer that is set four times in that span and not at every read.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

pub(super) struct Idle {
    tick: Duration,
    sleep: Pin<Box<Sleep>>,
    /// Ticks in a row in which nothing moved.
    quiet: u32,
}

/// Ticks without a move that make up the whole span.
const TICKS: u32 = 4;

impl Idle {
    pub(super) fn new(span: Duration) -> Self {
        let tick = (span / TICKS).max(Duration::from_millis(1));
        Self { tick, sleep: Box::pin(tokio::time::sleep(tick)), quiet: 0 }
    }

    /// Ready when nothing moved for the span. `moved` is asked once a tick.
    pub(super) fn poll(&mut self, context: &mut Context<'_>, mut moved: impl FnMut() -> bool) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(context));
            self.quiet = if moved() { 0 } else { self.quiet + 1 };
            if self.quiet >= TICKS {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(Instant::now() + self.tick);
        }
    }
}
