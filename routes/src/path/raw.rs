//! Raw paths against canonical prefixes: what is left behind a prefix, and whether any reader could take a path to be
//! below one.

use super::Canonical;
use super::reading::hex_pair;

/// What the client wrote behind `prefix`, which is canonical and has no slash at its end; empty if that is all of the
/// path. None if the path is not below it. Escapes of unreserved characters and repeated slashes are read as in the
/// canonical reading; dot segments are not resolved.
pub fn raw_rest<'p>(path: &'p str, prefix: &str) -> Option<&'p str> {
    let mut rest = path.as_bytes();
    for segment in prefix.split('/').skip(1) {
        rest = rest.strip_prefix(b"/")?;
        // Empty segments are none, and neither is one that is all parameter.
        loop {
            rest = match rest {
                [b'/', more @ ..] => more,
                [b';', ..] => behind_segment(rest),
                _ => break,
            };
        }
        for &wanted in segment.as_bytes() {
            let (byte, length) = match rest {
                [b'%', more @ ..] => (hex_pair(more)?, 3),
                [byte, ..] => (*byte, 1),
                [] => return None,
            };
            rest = if byte == wanted { &rest[length..] } else { return None };
        }
        if let [b';', ..] = rest {
            rest = behind_segment(rest);
        }
        if !matches!(rest, [] | [b'/', ..]) {
            return None;
        }
    }
    path.get(path.len() - rest.len()..)
}

fn behind_segment(rest: &[u8]) -> &[u8] {
    let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
    &rest[end..]
}

/// How often escapes may be nested before nobody decodes them any more.
const ROUNDS: usize = 3;

/// Whether any reading of `path` is one of `prefixes` or below it on a segment border: escapes decoded up to three
/// times, backslashes as slashes, parameters dropped before or after that or not at all, dot segments resolved or not, in
/// any case. `prefixes` are in lower case without a slash at their end; an empty one is every path.
///
/// What a `..` takes away is nobody's to foresee: the empty segment before it (RFC 3986, the URLs of browsers and Node) or
/// the name before that (POSIX, Go), and a name with `%2f` as one or as two. So a path with `..` is below a prefix too if it
/// has the names of that prefix in their order, with whatever between them.
pub fn any_reading_below(path: &str, prefixes: &[String]) -> bool {
    let is_plain = |byte: u8| !matches!(byte, 0 | b'%' | b';' | b'\\');
    if path.starts_with('/') && path.bytes().all(is_plain) && !path.contains("//") && !path.contains("/.") {
        return is_below(path.to_ascii_lowercase().trim_end_matches('/').as_bytes(), prefixes);
    }
    let canonical = Canonical::read(path.as_bytes()).path.to_ascii_lowercase();
    if is_below(canonical.trim_end_matches('/').as_bytes(), prefixes) {
        return true;
    }
    // First the one that keeps its parameters, then those that have dropped them in some round before.
    let mut texts = vec![path.as_bytes().to_ascii_lowercase()];
    for _ in 0..=ROUNDS {
        if texts.iter().any(|text| one_round(text, prefixes)) {
            return true;
        }
        match next_round(&texts) {
            next if next.is_empty() => break,
            next => texts = next,
        }
    }
    texts.first().is_some_and(|text| may_climb_below(text, prefixes))
}

/// All texts with their escapes decoded once, each also without the parameters that it had before: what is an escape in a
/// parameter would be a border of segments behind it.
fn next_round(texts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let has_parameters = |text: &&Vec<u8>| text.contains(&b';');
    let dropped = texts.iter().filter(has_parameters).map(|text| reading(text, true, false));
    let mut next: Vec<Vec<u8>> = texts.iter().filter_map(|text| decoded(text)).collect();
    next.extend(dropped.filter_map(|text| decoded(&text)));
    next
}

/// Whether a `..` of this decoded path may leave one of `prefixes` in front.
fn may_climb_below(text: &[u8], prefixes: &[String]) -> bool {
    let segments: Vec<&[u8]> = text.split(|byte| matches!(byte, b'/' | b'\\')).collect();
    // Some readers end a name at its parameters, some at a NUL.
    let is = |segment: &[u8], name: &[u8]| {
        segment.strip_prefix(name).is_some_and(|rest| matches!(rest, [] | [b';' | 0, ..]))
    };
    let in_order = |prefix: &String| {
        let mut left = segments.iter();
        let mut names = prefix.split('/').filter(|name| !name.is_empty());
        names.all(|name| left.any(|segment| is(segment, name.as_bytes())))
    };
    segments.iter().any(|segment| is(segment, b"..")) && prefixes.iter().any(in_order)
}

fn one_round(text: &[u8], prefixes: &[String]) -> bool {
    // Readers in C end at a NUL.
    let ended = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let all = [text, ended];
    let texts = if ended.len() == text.len() { &all[..1] } else { &all[..] };
    let ways = [(false, false), (false, true), (true, false), (true, true)];
    let below = |text: &[u8], (parameters, dots)| is_below(&reading(text, parameters, dots), prefixes);
    texts.iter().any(|text| ways.iter().any(|way| below(text, *way)))
}

fn is_below(reading: &[u8], prefixes: &[String]) -> bool {
    prefixes.iter().any(|prefix| {
        let rest = reading.strip_prefix(prefix.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
    })
}

/// The path with single slashes; without `;parameters` and with dot segments resolved if so wanted.
fn reading(text: &[u8], drop_parameters: bool, resolve_dots: bool) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in text.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name =
            if drop_parameters { segment.split(|byte| *byte == b';').next().unwrap_or_default() } else { segment };
        match name {
            b"" => {}
            b"." if resolve_dots => {}
            b".." if resolve_dots => drop(segments.pop()),
            name => segments.push(name),
        }
    }
    segments.iter().flat_map(|segment| [b"/".as_slice(), segment]).flatten().copied().collect()
}

/// All escapes decoded once; none if there are none.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let (mut rest, mut any) = (text, false);
    while let [byte, more @ ..] = rest {
        match (*byte == b'%').then(|| hex_pair(more)).flatten() {
            Some(value) => {
                out.push(value.to_ascii_lowercase());
                (rest, any) = (&more[2..], true);
            }
            None => {
                out.push(*byte);
                rest = more;
            }
        }
    }
    any.then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Chance;
    use crate::path::Canonical;

    #[test]
    fn what_is_behind_a_prefix_stays_as_it_was_written() {
        for (path, prefix, rest) in [
            ("/a/b/c%20d", "/a/b", Some("/c%20d")),
            ("/a/b", "/a/b", Some("")),
            ("//a///b//c", "/a/b", Some("//c")),
            ("/%61/b/", "/a/b", Some("/")),
            ("/a;x=1/b;y/c", "/a/b", Some("/c")),
            ("/a/bc", "/a/b", None),
            ("/a", "/a/b", None),
            ("/a/%6", "/a/b", None),
            ("", "/a", None),
        ] {
            assert_eq!(raw_rest(path, prefix), rest, "{path}");
        }
    }

    #[test]
    fn prefix_and_rest_read_as_the_whole_does() {
        let mut chance = Chance(5);
        let parts = ["/", "a", "b", "%61", ";x", "//", "%20", "c"];
        let mut found = 0;
        for _ in 0..20_000 {
            let path: String = (0..8).map(|_| chance.pick(&parts)).collect();
            let path = format!("/{path}");
            let canonical = Canonical::read(path.as_bytes());
            let is_below = canonical.path == "/a" || canonical.path.starts_with("/a/");
            let rest = raw_rest(&path, "/a");
            assert_eq!(rest.is_some(), is_below, "{path} reads {}", canonical.path);
            let Some(rest) = rest.filter(|rest| !rest.is_empty()) else { continue };
            found += 1;
            let whole = format!("/a{}", Canonical::read(rest.as_bytes()).path);
            assert_eq!(Canonical::read(whole.as_bytes()).path, canonical.path, "{path}");
        }
        assert!(found > 100);
    }

    #[test]
    fn whatever_the_canonical_reading_puts_below_a_prefix_is_found() {
        let mut chance = Chance(7);
        let parts = ["/", "admin", "x", "..", ".", "%2e", "%2F", "%5c", "\\", ";a", "%61dmin", "A", "%00", "%25"];
        let prefixes = ["/admin".to_owned()];
        let mut found = 0;
        for _ in 0..30_000 {
            let path: String = (0..6).map(|_| chance.pick(&parts)).collect();
            let canonical = Canonical::read(path.as_bytes()).path.to_ascii_lowercase();
            if canonical == "/admin" || canonical.starts_with("/admin/") {
                found += 1;
                assert!(any_reading_below(&path, &prefixes), "{path} reads {canonical}");
            }
        }
        assert!(found > 100);
        assert!(any_reading_below("/anything", &[String::new()]));
    }

    /// RFC 3986 section 5.2.4 on decoded text or before decoding, with `\` as a slash or not: as Node, Java and browsers do.
    fn strict_climb(text: &[u8], backslash: bool) -> Vec<u8> {
        let mut segments: Vec<&[u8]> = Vec::new();
        for segment in text.split(|byte| *byte == b'/' || (backslash && *byte == b'\\')).skip(1) {
            match segment {
                b"." | b"%2e" => {}
                b".." | b"%2e%2e" => drop(segments.pop()),
                other => segments.push(other),
            }
        }
        segments.iter().flat_map(|segment| [b"/".as_slice(), segment]).flatten().copied().collect()
    }

    #[test]
    fn a_climb_over_empty_segments_finds_no_way_around() {
        let mut chance = Chance(9);
        let parts = ["/", "//", "/..", "/%2e%2e", "/admin", "/%61dmin", "/x", "%2f", "/..%2f", "\\", "/."];
        let prefixes = ["/x/admin".to_owned()];
        let mut found = 0;
        for _ in 0..30_000 {
            let path: String = (0..7).map(|_| chance.pick(&parts)).collect();
            let path = format!("/{path}");
            for backslash in [false, true] {
                let once = decoded(path.as_bytes()).unwrap_or_else(|| path.clone().into_bytes());
                let before = strict_climb(path.as_bytes(), backslash);
                let before = decoded(&before).unwrap_or(before);
                for reading in [strict_climb(&once, backslash), strict_climb(&before, backslash), before] {
                    let merged = super::reading(&reading, false, false);
                    if is_below(&merged, &prefixes) {
                        found += 1;
                        assert!(any_reading_below(&path, &prefixes), "{path}");
                    }
                }
            }
        }
        assert!(found > 100);
        assert!(!any_reading_below("/b/a/../x", &["/admin".to_owned()]));
    }
    /// Parameters dropped, then so many rounds of escapes: as a server behind a proxy that takes parameters off.
    fn dropped_then_decoded(text: &[u8], rounds: usize) -> Vec<u8> {
        let mut text = reading(text, true, false);
        for _ in 0..rounds {
            text = decoded(&text).unwrap_or(text);
        }
        text
    }

    #[test]
    fn parameters_hide_nothing_whenever_they_are_dropped() {
        for (path, prefix) in
            [("/a;%2fb/..%2fadmin", "/admin"), ("/x;%2fz/admin%2fy", "/x/admin"), ("/x;%2fz/%2561dmin", "/x/admin")]
        {
            assert!(any_reading_below(path, &[prefix.to_owned()]), "{path}");
        }
        let mut chance = Chance(13);
        let parts = ["/", "x", "admin", "%61dmin", "%2561dmin", ";", "%2f", "%252f", "a", "..", "%3b"];
        let prefixes = ["/x/admin".to_owned()];
        let mut found = 0;
        for _ in 0..60_000 {
            let path: String = (0..7).map(|_| chance.pick(&parts)).collect();
            let path = format!("/x{path}");
            for (rounds, dots) in [(1, false), (2, false), (1, true), (2, true)] {
                let read = reading(&dropped_then_decoded(path.as_bytes(), rounds), true, dots);
                if is_below(&read, &prefixes) {
                    found += 1;
                    assert!(any_reading_below(&path, &prefixes), "{path}");
                }
            }
        }
        assert!(found > 100);
        assert!(!any_reading_below("/x;admin/y;%2fadmin", &prefixes));
    }
}
