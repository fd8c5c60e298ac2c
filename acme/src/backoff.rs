//! How long to wait after a failed order, and the note of it that survives a restart: a crash loop must not use up an
//! authority's limits. The waiting itself is the manager's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use certs::disk::{PRIVATE, read_if_there};
use certs::{Disk, DiskError, SetId, write_atomic};
use serde::{Deserialize, Serialize};

use crate::schedule::Spread;

const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest `Retry-After` that is believed: limits of authorities go by the week.
const LONGEST_ASKED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A failed order, as the note keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// A word for a metric.
    pub kind: &'static str,
    /// What went wrong and what to do, for the operator.
    pub sentence: String,
    /// What the authority asked for.
    pub retry_after: Option<Duration>,
}

/// What is remembered of the failures since the last success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// For the reader of the file.
    pub name: String,
    /// How many in a row.
    pub failures: u32,
    /// The last one, in seconds since 1970.
    pub last: u64,
    /// The next attempt, in seconds since 1970.
    pub next: u64,
    /// [`Failure::kind`] of the last one.
    pub kind: String,
    /// [`Failure::sentence`] of the last one.
    pub sentence: String,
}

impl Retry {
    /// The note after another failure. `left` is how long the certificate that is served stays good.
    #[must_use]
    pub fn after(
        before: Option<&Self>,
        name: &str,
        failure: &Failure,
        now: SystemTime,
        left: Option<Duration>,
        spread: Spread,
    ) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let wait = wait(failures, failure.retry_after, left, spread);
        let now = seconds(now);
        Self {
            name: name.into(),
            failures,
            last: now,
            next: now.saturating_add(wait.as_secs()),
            kind: failure.kind.into(),
            sentence: failure.sentence.clone(),
        }
    }

    /// The moment of the next attempt.
    #[must_use]
    pub fn next_try(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.next)).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Whether the note can be of use: one from a clock that ran far ahead must not stop orders for years.
    fn is_plausible(&self, now: SystemTime) -> bool {
        self.next <= seconds(now).saturating_add(2 * LONGEST_ASKED.as_secs())
    }
}

/// What the authority asked for wins. Else one minute, doubled with each failure up to a day, a tenth more or less;
/// and never more than an eighth of the time that is left, so that a short-lived certificate gets its tries.
fn wait(failures: u32, asked: Option<Duration>, left: Option<Duration>, spread: Spread) -> Duration {
    if let Some(asked) = asked {
        return asked.clamp(FIRST, LONGEST_ASKED);
    }
    let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(20)).min(LONGEST);
    let moved = doubled.mul_f64(0.9 + 0.2 * spread.fraction());
    match left {
        Some(left) if !left.is_zero() => moved.min((left / 8).max(FIRST)),
        _ => moved,
    }
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The notes on disk: one file per set in the folder of the authority, `retry/<set-id>.json`.
#[derive(Debug, Clone)]
pub struct Notes {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Notes {
    /// Notes in this folder, which is made when the first is written.
    #[must_use]
    pub fn new(folder: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { folder, disk }
    }

    /// The note of a set. One that cannot be read or understood counts as none: the price is one attempt.
    #[must_use]
    pub fn read(&self, set: &SetId, now: SystemTime) -> Option<Retry> {
        let bytes = read_if_there(&*self.disk, &self.path(set)).ok()??;
        let retry: Retry = serde_json::from_slice(&bytes).ok()?;
        retry.is_plausible(now).then_some(retry)
    }

    /// Writes the note of a set.
    ///
    /// # Errors
    /// [`DiskError`]; the note before is then still there.
    pub fn write(&self, set: &SetId, retry: &Retry) -> Result<(), DiskError> {
        // Serializing strings and numbers into memory cannot fail; an empty note would read as none.
        let text = serde_json::to_vec_pretty(retry).unwrap_or_default();
        write_atomic(&*self.disk, &self.path(set), &text, PRIVATE)
    }

    /// Forgets the note of a set. One that stays is overwritten by the next, or delays one order after a restart.
    pub fn clear(&self, set: &SetId) {
        let _ = self.disk.remove(&self.path(set));
    }

    fn path(&self, set: &SetId) -> PathBuf {
        self.folder.join(format!("{set}.json"))
    }
}

#[cfg(test)]
mod tests {
    use certs::RealDisk;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn set() -> SetId {
        SetId::of(&["a.test".to_owned()], "", "p256")
    }

    fn failure(retry_after: Option<u64>) -> Failure {
        Failure {
            kind: "unreachable",
            sentence: "the authority cannot be reached".into(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    fn waits(left: Option<u64>, times: usize) -> Vec<u64> {
        let mut before = None;
        let mut waits = Vec::new();
        for n in 0..times {
            let spread = Spread::of(&set(), n as u32);
            let left = left.map(Duration::from_secs);
            let retry = Retry::after(before.as_ref(), "a.test", &failure(None), at(1_000), left, spread);
            waits.push(retry.next - 1_000);
            before = Some(retry);
        }
        waits
    }

    #[test]
    fn the_wait_doubles_from_a_minute_to_a_day_and_is_moved_by_a_tenth() {
        let waits = waits(None, 40);
        for (n, wait) in waits.iter().enumerate() {
            let base = (60.0 * 2_f64.powi(n as i32)).min(86_400.0);
            assert!((*wait as f64) >= base * 0.89 && (*wait as f64) <= base * 1.1, "{n}: {wait}");
        }
    }

    #[test]
    fn a_certificate_with_little_time_left_is_tried_at_eighths_of_it_but_not_twice_a_minute() {
        assert!(waits(Some(80 * 3_600), 40).iter().all(|wait| *wait <= 10 * 3_600));
        assert!(waits(Some(30), 40).iter().all(|wait| *wait <= 60));
        assert!(waits(Some(0), 40).iter().any(|wait| *wait > 3_600));
    }

    #[test]
    fn what_the_authority_asks_for_wins_within_reason() {
        let next = |asked| Retry::after(None, "a.test", &failure(Some(asked)), at(0), None, Spread::of(&set(), 0)).next;
        assert_eq!(next(122_400), 122_400);
        assert_eq!(next(1), 60);
        assert_eq!(next(u64::MAX), 7 * 86_400);
    }

    #[test]
    fn a_note_survives_in_its_file_until_it_is_cleared() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().join("pebble/retry"), Arc::new(RealDisk));
        assert_eq!(notes.read(&set(), at(0)), None);
        let retry = Retry::after(None, "a.test", &failure(None), at(1_000), None, Spread::of(&set(), 0));
        notes.write(&set(), &retry).unwrap();
        assert_eq!(notes.read(&set(), at(1_000)), Some(retry));
        notes.clear(&set());
        assert_eq!(notes.read(&set(), at(1_000)), None);
    }

    #[test]
    fn a_damaged_note_or_one_from_a_clock_far_ahead_counts_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::new(folder.path().to_owned(), Arc::new(RealDisk));
        let retry = Retry::after(None, "a.test", &failure(None), at(4_000_000_000), None, Spread::of(&set(), 0));
        notes.write(&set(), &retry).unwrap();
        assert_eq!(notes.read(&set(), at(1_000)), None);
        let text = serde_json::to_string_pretty(&retry).unwrap();
        for cut in 0..text.len() {
            std::fs::write(notes.path(&set()), &text[..cut]).unwrap();
            assert_eq!(notes.read(&set(), at(4_000_000_000)), None);
        }
    }
}
