//! `Accept-Encoding` (RFC 9110 section 12.5.3): which coding a client likes best among ours.

/// A coding of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Br,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// As in `Content-Encoding`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Br => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The coding of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Zstd, Self::Br, Self::Gzip].into_iter().find(|coding| coding.name() == name)
    }
}

/// The first of `ours` among those that the client likes best; none if it likes the content best as it is.
pub(super) fn best(values: &[&str], ours: &[Coding]) -> Option<Coding> {
    let of = |name: &str| weight(values, name);
    let any = of("*").unwrap_or(0);
    // Whoever does not mention it takes it when nothing else is there.
    let identity = of("identity").unwrap_or(0);
    let mut found: Option<(u16, Coding)> = None;
    for coding in ours {
        let weight = of(coding.name()).unwrap_or(any);
        if weight > 0 && weight >= identity && found.is_none_or(|(best, _)| weight > best) {
            found = Some((weight, *coding));
        }
    }
    found.map(|(_, coding)| coding)
}

/// The weight of a coding in thousandths, if the client names it.
fn weight(values: &[&str], name: &str) -> Option<u16> {
    let entries = values.iter().flat_map(|value| value.split(','));
    let mut parts = entries.map(|entry| entry.split(';'));
    let mut named = parts.find(|parts| parts.clone().next().is_some_and(|own| is(own.trim(), name)))?.skip(1);
    let quality = named.find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    Some(quality.map_or(1000, thousandths))
}

fn is(given: &str, name: &str) -> bool {
    given.eq_ignore_ascii_case(name) || (name == "gzip" && given.eq_ignore_ascii_case("x-gzip"))
}

/// What is no weight is none: the content then goes as it is.
fn thousandths(text: &str) -> u16 {
    let number: f32 = text.parse().unwrap_or(0.0);
    if (0.0..=1.0).contains(&number) { (number * 1000.0) as u16 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Coding; 3] = [Coding::Zstd, Coding::Br, Coding::Gzip];

    #[test]
    fn the_client_weighs_and_we_choose_among_equals() {
        for (values, wanted) in [
            (vec![], None),
            (vec![""], None),
            (vec!["gzip"], Some(Coding::Gzip)),
            (vec!["X-GZip"], Some(Coding::Gzip)),
            (vec!["gzip, deflate, br, zstd"], Some(Coding::Zstd)),
            (vec!["gzip, deflate", "br"], Some(Coding::Br)),
            (vec!["zstd;q=0.5, br;q=0.9, gzip;q=0.8"], Some(Coding::Br)),
            (vec!["br;q=0, gzip"], Some(Coding::Gzip)),
            (vec!["*"], Some(Coding::Zstd)),
            (vec!["*;q=0.1, gzip"], Some(Coding::Gzip)),
            (vec!["zstd;q=0, *"], Some(Coding::Br)),
            (vec!["identity, gzip;q=0.5"], None),
            (vec!["identity;q=0.5, gzip"], Some(Coding::Gzip)),
            (vec!["gzip;q=2"], None),
            (vec!["gzip;q=-1"], None),
            (vec!["gzip;q=NaN"], None),
            (vec!["gzip;q=x, br ; Q = 0.001"], Some(Coding::Br)),
            (vec!["gzip;;;,,;=;q"], Some(Coding::Gzip)),
            (vec!["gzipped, brotli"], None),
        ] {
            assert_eq!(best(&values, &ALL), wanted, "{values:?}");
        }
        assert_eq!(best(&["zstd, gzip"], &[Coding::Gzip, Coding::Br]), Some(Coding::Gzip));
    }
}
