//! When a certificate is to be renewed. Numbers in, a moment out: no clock, no disk, no network.

use std::time::{Duration, SystemTime};

use certs::{SetId, Validity};

/// Certificates that live shorter than this are renewed at half of their life: a third of six days would leave too
/// little time for an authority that is down.
const SHORT: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// What to do about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing before this moment.
    Idle {
        /// The moment to look again.
        until: SystemTime,
    },
    /// Order now.
    Due,
}

/// From the certificate that is there, if any, and the moment before which a failed order may not be repeated.
#[must_use]
pub fn next(validity: Option<Validity>, not_before: Option<SystemTime>, now: SystemTime, spread: Spread) -> Next {
    let renew_at = validity.map(|validity| renew_at(validity, spread));
    match renew_at.max(not_before) {
        Some(until) if until > now => Next::Idle { until },
        _ => Next::Due,
    }
}

/// When a third of the life is left (half of a short one), moved by up to a tenth of that either way, so that
/// certificates made together are not renewed together.
#[must_use]
pub fn renew_at(validity: Validity, spread: Spread) -> SystemTime {
    let lifetime = validity.lifetime();
    let window = if lifetime < SHORT { lifetime / 2 } else { lifetime / 3 };
    let before_end = window.mul_f64(0.9 + 0.2 * spread.0);
    validity.not_after.checked_sub(before_end).unwrap_or(validity.not_before)
}

/// A fraction in 0..1 that is the same for one certificate at every start and on every server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread(f64);

impl Spread {
    /// From the hash that names the set; `turn` gives another fraction for each attempt.
    #[must_use]
    pub fn of(set: &SetId, turn: u32) -> Self {
        let start = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(turn);
        let hash =
            set.as_str().bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        // FNV leaves its low bits best mixed; 32 of them are exact in a float.
        let mixed = u32::try_from((hash ^ (hash >> 32)) & 0xffff_ffff).unwrap_or_default();
        Self(f64::from(mixed) / (f64::from(u32::MAX) + 1.0))
    }

    /// The fraction.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    fn at(days: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(days * DAY)
    }

    fn life(days: u64) -> Validity {
        Validity { not_before: at(0), not_after: at(days) }
    }

    #[test]
    fn a_missing_certificate_is_due_unless_an_attempt_has_to_wait() {
        let middle = Spread(0.5);
        assert_eq!(next(None, None, at(1), middle), Next::Due);
        assert_eq!(next(None, Some(at(2)), at(1), middle), Next::Idle { until: at(2) });
        assert_eq!(next(None, Some(at(2)), at(2), middle), Next::Due);
    }

    #[test]
    fn a_long_life_is_renewed_at_a_third_and_a_short_one_at_half() {
        assert_eq!(renew_at(life(90), Spread(0.5)), at(60));
        assert_eq!(renew_at(life(6), Spread(0.5)), at(3));
        assert_eq!(next(Some(life(90)), None, at(59), Spread(0.5)), Next::Idle { until: at(60) });
        assert_eq!(next(Some(life(90)), None, at(60), Spread(0.5)), Next::Due);
    }

    #[test]
    fn the_spread_moves_the_moment_by_a_tenth_of_the_window_either_way() {
        assert_eq!(renew_at(life(90), Spread(0.0)), at(63));
        assert_eq!(renew_at(life(90), Spread(1.0)), at(57));
    }

    #[test]
    fn a_failed_renewal_waits_and_a_certificate_that_is_over_is_due() {
        assert_eq!(next(Some(life(90)), Some(at(70)), at(65), Spread(0.5)), Next::Idle { until: at(70) });
        assert_eq!(next(Some(life(90)), None, at(95), Spread(0.5)), Next::Due);
    }

    #[test]
    fn sets_are_spread_evenly_and_the_same_set_always_alike() {
        let mut tenths = [0; 10];
        for n in 0..1_000 {
            let set = SetId::of(&[format!("h{n}.test")], "", "p256");
            let fraction = Spread::of(&set, 0).fraction();
            assert_eq!(Spread::of(&set, 0).fraction(), fraction);
            assert_ne!(Spread::of(&set, 1).fraction(), fraction);
            tenths[(fraction * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (60..150).contains(count)), "{tenths:?}");
    }
}
