//! Host names as certificates and clients spell them, in one spelling: lower case, no trailing dot.
//! Not a validator of DNS names: what a route may call a host is decided where routes are read.

use std::borrow::Cow;

/// The one spelling of a name: ASCII lower case, without the trailing dot of a fully qualified name.
/// Borrows when the name is in that spelling already, as it nearly always is.
#[must_use]
pub fn canonical(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

/// The part behind the first label, by which a one-label wildcard covers a name (RFC 6125, 6.4.3).
#[must_use]
pub fn parent(name: &str) -> Option<&str> {
    let (label, parent) = name.split_once('.')?;
    (!label.is_empty() && !parent.is_empty()).then_some(parent)
}

/// Whether a certificate name (exact, or `*.parent`) covers a host; both in canonical spelling.
#[must_use]
pub fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(of) => parent(host) == Some(of),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_and_trailing_dot_do_not_make_another_name() {
        assert_eq!(canonical("WWW.Example.COM."), "www.example.com");
        assert!(matches!(canonical("www.example.com"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_wildcard_covers_exactly_one_label() {
        assert!(covers("*.example.com", "a.example.com"));
        assert!(!covers("*.example.com", "a.b.example.com"));
        assert!(!covers("*.example.com", "example.com"));
        assert!(!covers("*.example.com", ".example.com"));
        assert!(!covers("*.com", "com"));
    }
}
