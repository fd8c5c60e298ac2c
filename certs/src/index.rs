//! The immutable map from a name to the certificate that is served for it. Made whole, replaced whole.
//! It decides which of several certificates of one name is the best; it does not decide which certificates exist.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;
use std::sync::Arc;
use std::time::SystemTime;

use crate::entry::{Entry, Issuer};
use crate::name;

/// Names to certificates: exact, by one-label wildcard, and a default for clients that name nobody.
#[derive(Debug, Default)]
pub struct Index {
    exact: HashMap<Box<str>, Ranked>,
    wild: HashMap<Box<str>, Ranked>,
    default: Option<Arc<Entry>>,
    entries: Box<[Arc<Entry>]>,
}

impl Index {
    /// Builds the map. Of several certificates for a name the best at `now` wins: a good one of a public authority
    /// before a local one, that before one that is over; among equals an operator's files, then the one made last.
    /// `default_name` is looked up among them for clients without SNI.
    pub fn build(entries: impl IntoIterator<Item = Arc<Entry>>, default_name: Option<&str>, now: SystemTime) -> Self {
        let mut index = Self { entries: entries.into_iter().collect(), ..Self::default() };
        index.exact.reserve(index.entries.len());
        for entry in &index.entries {
            let ranked = Ranked { rank: Rank::of(entry, now), entry: entry.clone() };
            for name in entry.names() {
                match name.strip_prefix("*.") {
                    Some(parent) => keep_best(&mut index.wild, parent, &ranked),
                    None => keep_best(&mut index.exact, name, &ranked),
                }
            }
        }
        index.default = default_name.and_then(|name| index.lookup(name).cloned());
        index
    }

    /// The certificate for a name: its own, or that of a wildcard when it has none or only a less trusted one.
    #[must_use]
    pub fn lookup(&self, name: &str) -> Option<&Arc<Entry>> {
        let name = name::canonical(name);
        let exact = self.exact.get(name.as_ref());
        let wild = || self.wild.get(name::parent(&name)?);
        let best = match exact {
            Some(exact) if exact.rank.trust == Trust::Public => exact,
            Some(exact) => wild().filter(|wild| wild.rank.trust > exact.rank.trust).unwrap_or(exact),
            None => wild()?,
        };
        Some(&best.entry)
    }

    /// The certificate for clients that send no name.
    #[must_use]
    pub fn default_entry(&self) -> Option<&Arc<Entry>> {
        self.default.as_ref()
    }

    /// All certificates, the ones that lose against a better one for the same name too.
    #[must_use]
    pub fn entries(&self) -> &[Arc<Entry>] {
        &self.entries
    }
}

#[derive(Debug, Clone)]
struct Ranked {
    rank: Rank,
    entry: Arc<Entry>,
}

/// How much a client will like a certificate; the greater one is served.
/// A good one of a public authority comes before our local authority's, and that before one that is over.
/// Among equals an operator's own files win, then the one made last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    trust: Trust,
    by_operator: bool,
    not_before: SystemTime,
    not_after: SystemTime,
    // Ties are broken by content, so that two servers with the same certificates serve the same one.
    serial: Reverse<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Trust {
    OverInternal,
    OverPublic,
    Internal,
    Public,
}

impl Rank {
    pub(crate) fn of(entry: &Entry, now: SystemTime) -> Self {
        let validity = entry.validity();
        let internal = entry.issuer() == Issuer::Internal;
        Self {
            // One that has not begun yet counts as good: it is our clock that is behind, and clients have their own.
            trust: match (now <= validity.not_after, internal) {
                (true, false) => Trust::Public,
                (true, true) => Trust::Internal,
                (false, false) => Trust::OverPublic,
                (false, true) => Trust::OverInternal,
            },
            by_operator: entry.issuer() == Issuer::Files,
            not_before: validity.not_before,
            not_after: validity.not_after,
            serial: Reverse(entry.fingerprint().head()),
        }
    }

    /// Whether clients would refuse `self` where they accept `other`.
    pub(crate) fn is_worse_trusted_than(self, other: Self) -> bool {
        self.trust < other.trust
    }
}

fn keep_best(map: &mut HashMap<Box<str>, Ranked>, name: &str, candidate: &Ranked) {
    match map.entry(name.into()) {
        Place::Vacant(place) => {
            place.insert(candidate.clone());
        }
        Place::Occupied(mut place) if place.get().rank < candidate.rank => {
            place.insert(candidate.clone());
        }
        Place::Occupied(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, entry, validity};

    fn index(entries: Vec<Entry>, now: u64) -> Index {
        Index::build(entries.into_iter().map(Arc::new), None, at(now))
    }

    fn issuer(index: &Index, name: &str) -> Option<Issuer> {
        index.lookup(name).map(|entry| entry.issuer())
    }

    #[test]
    fn exact_names_come_before_wildcards_and_unknown_names_give_none() {
        let index = index(
            vec![
                entry(&["*.a.test"], Issuer::Acme, validity(10, 99)),
                entry(&["x.a.test"], Issuer::Files, validity(10, 99)),
            ],
            50,
        );
        assert_eq!(issuer(&index, "X.a.test."), Some(Issuer::Files));
        assert_eq!(issuer(&index, "y.a.test"), Some(Issuer::Acme));
        assert_eq!(issuer(&index, "y.y.a.test"), None);
        assert_eq!(issuer(&index, "a.test"), None);
        assert_eq!(issuer(&index, ""), None);
    }

    #[test]
    fn a_good_public_certificate_is_served_before_the_local_one_and_that_before_one_that_is_over() {
        let both = || {
            vec![
                entry(&["a.test"], Issuer::Internal, validity(20, 200)),
                entry(&["a.test"], Issuer::Acme, validity(10, 100)),
            ]
        };
        assert_eq!(issuer(&index(both(), 50), "a.test"), Some(Issuer::Acme));
        assert_eq!(issuer(&index(both(), 150), "a.test"), Some(Issuer::Internal));
        assert_eq!(issuer(&index(both(), 250), "a.test"), Some(Issuer::Acme));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_bring_the_local_certificate_up() {
        let entries = vec![
            entry(&["a.test"], Issuer::Internal, validity(10, 200)),
            entry(&["a.test"], Issuer::Acme, validity(50, 200)),
        ];
        assert_eq!(issuer(&index(entries, 20), "a.test"), Some(Issuer::Acme));
    }

    #[test]
    fn a_public_wildcard_is_served_before_a_local_exact_certificate() {
        let index = index(
            vec![
                entry(&["x.a.test"], Issuer::Internal, validity(10, 99)),
                entry(&["*.a.test"], Issuer::Files, validity(10, 99)),
            ],
            50,
        );
        assert_eq!(issuer(&index, "x.a.test"), Some(Issuer::Files));
    }

    #[test]
    fn of_two_equals_the_later_one_is_served_whatever_their_order() {
        let old = Arc::new(entry(&["a.test"], Issuer::Acme, validity(10, 99)));
        let new = Arc::new(entry(&["a.test"], Issuer::Acme, validity(20, 90)));
        for order in [[&old, &new], [&new, &old]] {
            let index = Index::build(order.map(Arc::clone), None, at(50));
            assert!(Arc::ptr_eq(index.lookup("a.test").unwrap(), &new));
        }
    }

    #[test]
    fn the_default_is_the_certificate_of_the_default_name() {
        let one = Arc::new(entry(&["a.test"], Issuer::Files, validity(10, 99)));
        let index = Index::build([one.clone()], Some("a.test"), at(50));
        assert!(Arc::ptr_eq(index.default_entry().unwrap(), &one));
        assert!(Index::build([one], Some("b.test"), at(50)).default_entry().is_none());
    }
}
