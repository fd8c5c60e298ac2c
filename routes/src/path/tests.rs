//! Readings that attacks are made of, patterns, and loops over prefixes and random paths.

use super::*;

fn read(raw: &str) -> (String, Vec<Ambiguity>) {
    let canonical = Canonical::read(raw.as_bytes());
    (canonical.path.into_owned(), canonical.ambiguities.iter().collect())
}

#[test]
fn harmless_paths_have_one_reading_without_reasons() {
    for (raw, path) in [
        ("/", "/"),
        ("", "/"),
        ("*", "*"),
        ("/api/v2", "/api/v2"),
        ("/api/", "/api/"),
        ("//api///v2//", "/api/v2/"),
        ("/%61dmin", "/admin"),
        ("/a%7Eb%2d", "/a~b-"),
        ("/a%20b%c3%a9", "/a%20b%C3%A9"),
        ("/café", "/caf%C3%A9"),
        ("/100%25", "/100%25"),
        ("/%252e%252e/", "/%252e%252e/"),
        ("/.well-known/acme", "/.well-known/acme"),
        ("/...", "/..."),
        ("/..a/b..", "/..a/b.."),
        ("/admin;x=1/users;y", "/admin/users"),
        ("/;x/admin", "/admin"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
    ] {
        assert_eq!(read(raw), (path.to_owned(), vec![]), "{raw}");
    }
}

#[test]
fn paths_that_readers_can_take_for_two_are_ambiguous_with_the_reason() {
    use Ambiguity::*;
    for (raw, path, reason) in [
        ("/a%2fb", "/a%2Fb", EncodedSlash),
        ("/a%2Fb", "/a%2Fb", EncodedSlash),
        ("/a%5cb", "/a%5Cb", EncodedBackslash),
        ("/a\\b", "/a%5Cb", Backslash),
        ("/a%00", "/a%00", Nul),
        ("/a\0", "/a%00", Nul),
        ("/a/../b", "/b", DotSegment),
        ("/../../b", "/b", DotSegment),
        ("/a/..", "/", DotSegment),
        ("/a/b/..", "/a/", DotSegment),
        ("/a/./b", "/a/b", DotSegment),
        ("/a/.", "/a/", DotSegment),
        ("/a/%2e%2E/b", "/b", DotSegment),
        ("/a/.%2e/b", "/b", DotSegment),
        ("/a/..;/b", "/b", DotParameter),
        ("/a/..;x=1/b", "/b", DotParameter),
        ("/a/%2e%2e;/b", "/b", DotParameter),
        ("/a/..%3bx/b", "/a/..%3Bx/b", DotParameter),
        ("/a%", "/a%25", BadEscape),
        ("/a%2", "/a%252", BadEscape),
        ("/a%zz", "/a%25zz", BadEscape),
        ("/%c0%af", "/%C0%AF", NotUtf8),
        ("/%ff", "/%FF", NotUtf8),
        ("a/b", "/a/b", NoSlash),
    ] {
        assert_eq!(read(raw), (path.to_owned(), vec![reason]), "{raw}");
    }
    assert_eq!(read("/a\\..%2f%zz").1, [EncodedSlash, Backslash, BadEscape]);
    assert_eq!(Canonical::read(b"/\xc3").ambiguities.to_string(), "bytes that are not UTF-8");
}

#[test]
fn a_canonical_path_is_borrowed() {
    for raw in ["/", "/api/v2/x-y_z~", "/a/.hidden/../"].iter().take(2) {
        assert!(matches!(Canonical::read(raw.as_bytes()).path, Cow::Borrowed(_)), "{raw}");
    }
}

#[test]
fn reading_a_reading_changes_nothing_for_every_prefix_and_every_swap() {
    let texts = ["/a/%2e%2e;x/b%2f\\%00//.;/..%3b%c0%af/é%zz%", "*/..//%", "/%41%/./../%2", "/a;b;c/;/d"];
    for text in texts {
        for cut in 0..=text.len() {
            let (head, tail) = text.as_bytes().split_at(cut);
            for piece in [head, tail, &[tail, head].concat()] {
                stable(piece);
            }
        }
    }
}

#[test]
fn random_bytes_are_read_without_panic_into_a_stable_path() {
    let alphabet = b"/./%2eE5cCfF;\\\0a\xc3\xa9?*";
    let mut state = 7_u64;
    for _ in 0..20_000 {
        let mut raw = Vec::new();
        for _ in 0..12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            raw.push(alphabet[(state >> 33) as usize % alphabet.len()]);
        }
        stable(&raw);
    }
}

fn stable(raw: &[u8]) {
    let once = Canonical::read(raw);
    assert!(once.path.starts_with('/') || once.path == "*", "{:?}", once.path);
    assert!(!once.path.contains("//") && !once.path.contains(';') && once.path.is_ascii(), "{:?}", once.path);
    let twice = Canonical::read(once.path.as_bytes());
    assert_eq!(twice.path, once.path, "{:?}", raw.escape_ascii().to_string());
    assert!(!twice.ambiguities.contains(Ambiguity::DotSegment), "{:?}", raw.escape_ascii().to_string());
}

#[test]
fn patterns_match_on_segment_borders() {
    for (pattern, path, expected) in [
        ("/", "/", true),
        ("/", "/a", true),
        ("/", "*", false),
        ("/api", "/api", true),
        ("/api", "/api/x", true),
        ("/api", "/apis", false),
        ("/api/", "/api", false),
        ("/api/", "/api/", true),
        ("/api/", "/api/x", true),
        ("/%61pi", "/api", true),
        ("/café", "/caf%C3%A9/x", true),
        ("=/api", "/api", true),
        ("=/api", "/api/", false),
        ("~^/v[0-9]+/$", "/v12/", true),
        ("~^/v[0-9]+/$", "/v/", false),
        ("~x", "/axb", true),
    ] {
        let pattern = PathPattern::parse(pattern).unwrap();
        assert_eq!(pattern.matches(path), expected, "{pattern} {path}");
    }
}

#[test]
fn a_pattern_that_cannot_be_meant_says_why() {
    for (text, error) in [
        ("", PathError::Start),
        ("api", PathError::Start),
        ("=api", PathError::Start),
        ("/a?b", PathError::NotPath('?')),
        ("/a;b", PathError::NotPath(';')),
        ("/a/../b", PathError::Ambiguous(Ambiguity::DotSegment)),
        ("=/a%2fb", PathError::Ambiguous(Ambiguity::EncodedSlash)),
        ("/a%", PathError::Ambiguous(Ambiguity::BadEscape)),
        ("~(", PathError::Regex("unclosed group".into())),
    ] {
        assert_eq!(PathPattern::parse(text), Err(error), "{text}");
    }
    assert_eq!(PathPattern::parse(&"/a".repeat(100)), Err(PathError::TooLong));
    assert!(matches!(PathPattern::parse("~(a{1000}){1000}"), Err(PathError::Regex(_))), "a bomb is refused");
    assert!(PathPattern::parse("~/x").unwrap().is_unanchored());
    assert!(!PathPattern::parse("~^/x").unwrap().is_unanchored());
}
