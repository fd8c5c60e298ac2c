//! Where slow hashes are computed: off the threads that serve, a few at a time in the whole process, with a bounded queue.
//!
//! A flood of logins must not take the processors of everybody else. The places are those of the process because its
//! processors are.

use std::sync::OnceLock;
use std::thread::available_parallelism;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::super::passwords::Hash;

/// How many hashes may be computed at once, and how many logins may wait for that.
pub(super) struct Hashing {
    running: Semaphore,
    queue: Semaphore,
}

/// A place in which one hash is computed.
pub(super) struct Place {
    running: SemaphorePermit<'static>,
}

const QUEUE: usize = 128;
const PATIENCE: Duration = Duration::from_secs(10);

static HASHING: OnceLock<Hashing> = OnceLock::new();

impl Hashing {
    /// A place, once there is one. None when too many wait already, or it takes too long.
    pub(super) async fn place() -> Option<Place> {
        let hashing = HASHING.get_or_init(|| {
            let half = available_parallelism().map_or(1, |count| count.get() / 2);
            Self { running: Semaphore::new(half.max(1)), queue: Semaphore::new(QUEUE) }
        });
        let _waits = hashing.queue.try_acquire().ok()?;
        let running = tokio::time::timeout(PATIENCE, hashing.running.acquire()).await.ok()?.ok()?;
        Some(Place { running })
    }
}

impl Place {
    /// Whether it is the hash of this password. The place is taken until that is known, even if nobody waits for it any
    /// more.
    pub(super) async fn check(self, hash: Hash, password: Vec<u8>) -> bool {
        let check = tokio::task::spawn_blocking(move || {
            let fits = hash.fits(&password);
            drop(self.running);
            fits
        });
        // A panic in there is no right login.
        check.await.unwrap_or(false)
    }
}
