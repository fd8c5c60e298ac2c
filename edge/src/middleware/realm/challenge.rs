//! `WWW-Authenticate` (RFC 9110 section 11.6.1): several challenges in one field, with parameters that may be quoted.
//! Everything but the realms of `Bearer` stays byte for byte.

/// The field with every `realm` of a `Bearer` challenge changed for which there is another; none if there is none.
pub(super) fn with_realms(text: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let mut scan = Scan { text, at: 0 };
    let (mut out, mut copied, mut is_bearer, mut any) = (String::new(), 0, false, false);
    while scan.at < text.len() {
        scan.skip(|byte| matches!(byte, b' ' | b'\t' | b','));
        let start = scan.at;
        scan.skip(is_token);
        let token = &text[start..scan.at];
        if token.is_empty() {
            // Nothing that the grammar knows: one byte on, so that the end is reached.
            scan.at += text[scan.at..].chars().next().map_or(1, char::len_utf8);
            continue;
        }
        let behind = scan.at;
        scan.skip(|byte| matches!(byte, b' ' | b'\t'));
        if !scan.eat(b'=') {
            is_bearer = token.eq_ignore_ascii_case("bearer");
            scan.at = behind;
            continue;
        }
        scan.skip(|byte| matches!(byte, b' ' | b'\t'));
        let (from, to) = scan.value();
        let wanted = is_bearer && token.eq_ignore_ascii_case("realm");
        if let Some(moved) = text.get(from..to).filter(|_| wanted).and_then(&change) {
            out.push_str(&text[copied..from]);
            out.push_str(&moved);
            (copied, any) = (to, true);
        }
    }
    any.then(|| out + &text[copied..])
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&byte)
}

struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl Scan<'_> {
    fn skip(&mut self, passes: impl Fn(u8) -> bool) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().position(|byte| !passes(*byte)).unwrap_or(rest.len());
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_there = self.text.as_bytes().get(self.at) == Some(&byte);
        self.at += usize::from(is_there);
        is_there
    }

    /// The bounds of a value without its quotes; stands behind it afterwards.
    fn value(&mut self) -> (usize, usize) {
        if !self.eat(b'"') {
            let from = self.at;
            self.skip(|byte| !matches!(byte, b',' | b' ' | b'\t'));
            return (from, self.at);
        }
        let from = self.at;
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() && bytes[self.at] != b'"' {
            self.at += if bytes[self.at] == b'\\' { 2 } else { 1 };
        }
        let to = self.at.min(bytes.len());
        self.at = (to + 1).min(bytes.len());
        (from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(realm: &str) -> Option<String> {
        realm.starts_with("http://bad").then(|| realm.replacen("http://bad", "https://good", 1))
    }

    #[test]
    fn only_realms_of_bearer_challenges_change() {
        for (text, wanted) in [
            (
                r#"Bearer realm="http://bad/v2/token",service="reg",scope="repository:a/b:pull,push""#,
                Some(r#"Bearer realm="https://good/v2/token",service="reg",scope="repository:a/b:pull,push""#),
            ),
            (
                r#"bearer  service = "x" , realm = "http://bad:80/t?a=b""#,
                Some(r#"bearer  service = "x" , realm = "https://good:80/t?a=b""#),
            ),
            (r#"Basic realm="http://bad/""#, None),
            (
                r#"Basic realm="http://bad/", Bearer realm="http://bad/", Digest realm="http://bad/""#,
                Some(r#"Basic realm="http://bad/", Bearer realm="https://good/", Digest realm="http://bad/""#),
            ),
            (
                r#"Negotiate abc==, Bearer realm="http://bad/t""#,
                Some(r#"Negotiate abc==, Bearer realm="https://good/t""#),
            ),
            (r#"Bearer realm=http://bad/t, x=1"#, Some(r#"Bearer realm=https://good/t, x=1"#)),
            (r#"Bearer error="a \" realm=\"http://bad\"", realm="http://ok/""#, None),
            (r#"Bearer realm="http://bad/"#, Some(r#"Bearer realm="https://good/"#)),
            ("", None),
        ] {
            assert_eq!(with_realms(text, change).as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn no_prefix_and_no_damage_makes_it_panic_or_loop() {
        let text = r#"Negotiate a==, Bearer realm="http://bad/ü\"x", service=y, Basic realm="z""#;
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            with_realms(&text[..end], change);
            for noise in ["\"", "=", ",", "\\", "ü", " "] {
                with_realms(&format!("{}{noise}{}", &text[..end], &text[end..]), change);
            }
        }
    }
}
