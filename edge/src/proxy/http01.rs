//! Answers ACME HTTP-01 validations (RFC 8555 section 8.3) before any route, redirect or login can get in their way.
//!
//! Only tokens that are held in memory for that very host are answered. No file is read, and nothing else under the
//! path is taken: a token that is not ours goes on to the routes, where a backend may run an ACME client of its own.

/// The path under which a CA looks for a token.
const PREFIX: &str = "/.well-known/acme-challenge/";

/// The token of a request target, if it is a well-formed one under the challenge path (RFC 8555 section 8.3: base64url).
pub fn token(path: &str) -> Option<&str> {
    let token = path.strip_prefix(PREFIX)?;
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (matches!(token.len(), 1..=128) && token.bytes().all(is_base64url)).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_token_is_one() {
        assert_eq!(token("/.well-known/acme-challenge/abc-_9"), Some("abc-_9"));
        let long = format!("{PREFIX}{}", "a".repeat(129));
        for path in ["/.well-known/acme-challenge/", "/.well-known/acme-challenge/../x", "/x", &long] {
            assert_eq!(token(path), None, "{path}");
        }
    }
}
