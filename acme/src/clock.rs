//! Time as an argument: the wall clock in the program, any other in tests.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;

/// A clock that can be read and waited for.
#[async_trait]
pub trait Clock: Send + Sync {
    /// This moment.
    fn now(&self) -> SystemTime;

    /// Returns at that moment or before it: the caller looks at the clock again.
    async fn sleep_until(&self, moment: SystemTime);
}

/// The clock of the system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// Sleeping counts seconds of this machine being awake and the wall clock may be set: look again now and then.
const NAP: Duration = Duration::from_secs(10 * 60);

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    async fn sleep_until(&self, moment: SystemTime) {
        let wait = moment.duration_since(self.now()).unwrap_or_default();
        tokio::time::sleep(wait.min(NAP)).await;
    }
}
