//! Lets a few log lines a minute through and counts the others.
//!
//! For lines that matter to an operator but that a stranger can cause at will.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const WINDOW: Duration = Duration::from_secs(60);
const LINES_PER_WINDOW: u32 = 5;

#[derive(Debug, Default)]
pub(super) struct Throttle {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    since: Option<Instant>,
    said: u32,
    suppressed: u64,
}

impl Throttle {
    /// Whether a line may be written at `now`; if so, how many were suppressed since the last one.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = |since: Instant| now.saturating_duration_since(since) < WINDOW;
        if !state.since.is_some_and(fresh) {
            state.since = Some(now);
            state.said = 0;
        }
        if state.said == LINES_PER_WINDOW {
            state.suppressed += 1;
            return None;
        }
        state.said += 1;
        Some(std::mem::take(&mut state.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_lines_and_a_count() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let lines = (0..100).filter_map(|_| throttle.admit(start)).count();
        assert_eq!(lines, 5);
        assert_eq!(throttle.admit(start + WINDOW), Some(95));
        assert_eq!(throttle.admit(start + WINDOW), Some(0));
    }

    #[test]
    fn a_clock_that_goes_back_is_harmless() {
        let (throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.admit(start + WINDOW), Some(0));
        assert_eq!(throttle.admit(start), Some(0));
    }
}
