//! Patterns and authorities, good and hostile.

use super::*;

#[test]
fn a_pattern_becomes_its_canonical_form() {
    for (text, canonical) in [
        ("mlflow.example.com", "mlflow.example.com"),
        ("MLflow.Example.COM.", "mlflow.example.com"),
        ("*.S3.example.com", "*.s3.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.BÜCHER.example", "*.xn--bcher-kva.example"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
        ("my_service.local", "my_service.local"),
        ("192.0.2.1", "192.0.2.1"),
        ("::1", "[::1]"),
        ("[2001:DB8:0::1]", "[2001:db8::1]"),
    ] {
        assert_eq!(Host::parse(text).map(|host| host.to_string()).as_deref(), Ok(canonical), "{text}");
    }
}

#[test]
fn a_pattern_that_is_no_host_says_why() {
    let port = |host: &str| HostError::Port { host: host.into() };
    for (text, error) in [
        ("", HostError::Empty),
        (".", HostError::Syntax),
        ("a..b", HostError::Syntax),
        ("-a.example", HostError::Syntax),
        ("a b", HostError::Syntax),
        ("a%41", HostError::Syntax),
        ("xn--u-ccb.example", HostError::Syntax),
        ("https://a.example", HostError::NotAName),
        ("a.example/x", HostError::NotAName),
        ("a.example:8443", port("a.example")),
        ("[::1]:8443", port("[::1]")),
        ("a:b:c", HostError::Syntax),
        ("*", HostError::Star),
        ("a*.example.com", HostError::Star),
        ("*.*.example.com", HostError::Star),
        ("*.192.0.2.1", HostError::Address),
        ("192.0.2.256", HostError::Address),
        ("127.1", HostError::Address),
        ("a.0x7f", HostError::Address),
    ] {
        assert_eq!(Host::parse(text), Err(error), "{text}");
    }
    assert_eq!(port("a.example").hint().as_deref(), Some("write \"a.example\""));
    assert!(Host::parse(&format!("{}.example", "a".repeat(64))).is_err());
    assert!(Host::parse(&"a.".repeat(128)).is_err());
}

#[test]
fn a_wildcard_stands_for_exactly_one_label() {
    let host = Host::parse("*.s3.example.com").unwrap();
    for (name, expected) in [
        ("bucket.s3.example.com", true),
        ("s3.example.com", false),
        ("a.b.s3.example.com", false),
        ("bucketxs3.example.com", false),
    ] {
        assert_eq!(host.matches(name), expected, "{name}");
    }
    assert!(host.is_wildcard() && !host.is_address());
    assert!(Host::parse("::1").unwrap().is_address() && Host::parse("10.0.0.1").unwrap().is_address());
}

#[test]
fn an_authority_is_read_into_canonical_host_and_port() {
    for (text, host, port) in [
        ("a.example", "a.example", None),
        ("a.example:8443", "a.example", Some(8443)),
        ("a.example:", "a.example", None),
        ("A.Example.:443", "a.example", Some(443)),
        ("a_b", "a_b", None),
        ("192.0.2.1:80", "192.0.2.1", Some(80)),
        ("[::1]", "[::1]", None),
        ("[0:0::1]:443", "[::1]", Some(443)),
    ] {
        let found = Authority::parse(text.as_bytes()).expect(text);
        assert_eq!((found.host.as_ref(), found.port), (host, port), "{text}");
    }
}

#[test]
fn a_canonical_authority_is_borrowed() {
    for text in ["a.example:8443", "a.example.", "[::1]:1", "192.0.2.1"] {
        assert!(matches!(Authority::parse(text.as_bytes()), Ok(Authority { host: Cow::Borrowed(_), .. })), "{text}");
    }
}

#[test]
fn a_hostile_authority_is_refused_with_its_reason() {
    for (bytes, error) in [
        (&b""[..], AuthorityError::Empty),
        (b".", AuthorityError::Empty),
        (b":443", AuthorityError::Empty),
        (b"user@a.example", AuthorityError::UserInfo),
        (b"a.example@evil.example", AuthorityError::UserInfo),
        (b"a example", AuthorityError::Byte),
        (b"a.example/", AuthorityError::Byte),
        (b"a\x00b", AuthorityError::Byte),
        (b"a%2eb", AuthorityError::Byte),
        (b"a,b", AuthorityError::Byte),
        (b"\xffa", AuthorityError::Byte),
        ("bücher.example".as_bytes(), AuthorityError::Byte),
        (b"a..b", AuthorityError::Name),
        (b"a.example..", AuthorityError::Name),
        (b".a", AuthorityError::Name),
        (b"-a.example", AuthorityError::Name),
        (b"a-.example", AuthorityError::Name),
        (b"a.example:99999", AuthorityError::Port),
        (b"a.example:+80", AuthorityError::Port),
        (b"a.example:080800", AuthorityError::Port),
        (b"a:b:1", AuthorityError::Port),
        (b"::1", AuthorityError::Port),
        (b"[::1", AuthorityError::Address),
        (b"[::1]x", AuthorityError::Address),
        (b"[fe80::1%25eth0]", AuthorityError::Address),
        (b"[127.0.0.1]", AuthorityError::Address),
        (b"0x7f.1", AuthorityError::Address),
        (b"2130706433", AuthorityError::Address),
        (b"127.0.0.01", AuthorityError::Address),
    ] {
        assert_eq!(
            Authority::parse(bytes).expect_err(&format!("{bytes:?}")),
            error,
            "{:?}",
            bytes.escape_ascii().to_string()
        );
    }
}

#[test]
fn every_prefix_and_every_pair_of_pieces_is_read_without_panic_and_reading_again_changes_nothing() {
    let texts =
        ["User@A.Example.:8443", "[2001:DB8::1%25x]:443", "*.xn--bcher-kva.example..", "\u{fc}\u{0}192.0.2.256:"];
    for text in texts.iter().map(|text| text.as_bytes()) {
        for cut in 0..=text.len() {
            let (head, tail) = text.split_at(cut);
            for piece in [head, tail, &[tail, head].concat()] {
                if let Ok(first) = Authority::parse(piece) {
                    let again = Authority::parse(first.host.as_bytes()).expect("canonical form is valid");
                    assert_eq!(again.host, first.host);
                }
            }
        }
    }
}
