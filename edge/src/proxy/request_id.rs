//! Names one request, so that an answer, a log line and a backend's log can be laid side by side.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Whether a client's own id may be kept: something that can stand in any log without harm.
pub(super) fn is_well_formed(id: &[u8]) -> bool {
    (1..=128).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:~+/=".contains(byte))
}

/// A new id: 32 hex digits, unique in this process and unlikely to meet another's.
pub(super) fn next() -> String {
    static SEED: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Relaxed);
    // Hashing hides how many requests there were.
    format!("{:016x}{:016x}", SEED.hash_one((count, 0)), SEED.hash_one((count, 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_and_are_well_formed() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| next()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 32 && is_well_formed(id.as_bytes())));
    }

    #[test]
    fn what_could_break_a_log_is_not_kept() {
        for id in [&b""[..], b"a b", b"a\"b", b"\xff", b"a\x1b[0m", &[b'a'; 129]] {
            assert!(!is_well_formed(id), "{}", id.escape_ascii());
        }
        assert!(is_well_formed(b"9f86d081-884c:7d65"));
    }
}
