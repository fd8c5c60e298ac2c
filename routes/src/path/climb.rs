//! Whether a path could lead out of what is put before it.

use super::reading::hex_pair;

/// How often escapes may be nested before nobody decodes them any more.
const ROUNDS: usize = 3;

/// Whether any reading of `path` has a segment `..`: escapes decoded up to three times, backslashes as slashes, parameters
/// dropped or not, the rest behind a NUL cut off or not. A plain `%2f` is none. It is not counted how deep the path is: of
/// empty segments readers think differently.
pub fn may_climb(path: &str) -> bool {
    if !path.contains('%') && !path.contains("..") {
        return false;
    }
    let mut text = path.as_bytes().to_vec();
    for _ in 0..=ROUNDS {
        if has_dots(&text) {
            return true;
        }
        text = decoded(&text);
    }
    false
}

fn has_dots(text: &[u8]) -> bool {
    text.split(|byte| matches!(byte, b'/' | b'\\'))
        .any(|segment| matches!(segment, [b'.', b'.'] | [b'.', b'.', b';' | 0, ..]))
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, more @ ..] = rest {
        let escaped = (*byte == b'%').then(|| hex_pair(more)).flatten();
        out.push(escaped.unwrap_or(*byte));
        rest = if escaped.is_some() { &more[2..] } else { more };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Chance;
    use crate::path::Canonical;

    #[test]
    fn every_spelling_of_the_way_up_is_seen() {
        for path in [
            "/..",
            "/../x",
            "/a/../../x",
            "/a/..",
            "/%2e%2e/x",
            "/.%2E/x",
            "/..%2fx",
            "/a%2f..%2fx",
            "/a%252f%252e%252e%252fx",
            "/%25252e%25252e/x",
            "/..;/x",
            "/..;a=b/x",
            "/..%3bx/y",
            "/a;%2f../x",
            "/..\\x",
            "/..%5cx",
            "/..%00",
            "/..%00x/y",
        ] {
            assert!(may_climb(path), "{path}");
        }
        for path in [
            "/",
            "/a/b",
            "/@team%2fapp",
            "/a..b/..c/d..",
            "/...",
            "/./x",
            "/a%2fb%2F",
            "/%",
            "/%2",
            "/%zz",
            "/100%",
            "*",
            "",
        ] {
            assert!(!may_climb(path), "{path}");
        }
    }

    #[test]
    fn what_does_not_climb_reads_the_same_behind_a_prefix() {
        let mut chance = Chance(11);
        let parts = ["/", "a", "..", ".", "%2e", "%2F", "%5c", "\\", ";a", "%00", "%25", "%3b", ""];
        let mut stayed = 0;
        for _ in 0..30_000 {
            let path: String = (0..6).map(|_| chance.pick(&parts)).collect();
            let path = format!("/{path}");
            let whole = format!("/p/q{path}");
            let read = Canonical::read(whole.as_bytes()).path;
            let is_below = read == "/p/q" || read.starts_with("/p/q/");
            stayed += usize::from(!may_climb(&path));
            assert!(is_below || may_climb(&path), "{path} reads {read}");
        }
        assert!(stayed > 100);
    }
}
