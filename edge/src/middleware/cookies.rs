//! Changes the attributes of cookies that servers set: `Secure`, `HttpOnly` and `SameSite` for servers that do not know they
//! are behind HTTPS, `Path` and `Domain` for servers that are mounted elsewhere than they believe. Names and values stay
//! byte for byte.
//!
//! ```toml
//! [middleware.mounted]
//! kind = "cookies"
//! secure = true                                # on HTTPS only; a cookie on plain HTTP is left alone
//! same_site = "lax"                            # where the server says nothing
//! path = { "/" = "/pgadmin" }                  # prefixes, the longest that fits
//! domain = { "internal.example" = "" }         # "" drops the attribute: the cookie is this host's alone
//! ```

use std::collections::BTreeMap;

use http::{HeaderValue, header};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use super::{BuildError, Building, Kind, Middleware, Reply};

/// The middleware.
#[derive(Debug, Default)]
pub struct Cookies {
    secure: bool,
    http_only: bool,
    same_site: Option<&'static str>,
    path: BTreeMap<String, String>,
    domain: BTreeMap<String, String>,
}

const SAME_SITE: [&str; 3] = ["lax", "strict", "none"];

impl Kind for Cookies {
    const NAME: &'static str = "cookies";
    const KEYS: &'static [Key] = &[
        Key::new("secure", Shape::Bool, "Whether cookies get `Secure`, on HTTPS.").default("false"),
        Key::new("http_only", Shape::Bool, "Whether cookies get `HttpOnly`: no script sees them.").default("false"),
        Key::new(
            "same_site",
            Shape::one_of(&SAME_SITE),
            "`SameSite` of cookies that have none; `none` needs `secure`.",
        ),
        Key::new("path", Shape::Map(&Shape::Text("a path")), "Prefixes of `Path` and what they become."),
        Key::new("domain", Shape::Map(&Shape::TEXT), "Values of `Domain` and what they become; `\"\"` drops it."),
    ];
    type Settings = Self;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let flag = |key| item.get(key).and_then(|item| item.as_bool()).unwrap_or(false);
        let word = item.get("same_site");
        let same_site = word.as_ref().and_then(|item| SAME_SITE.into_iter().find(|word| item.as_str() == Some(word)));
        let secure = flag("secure");
        if let Some(item) = word.filter(|_| same_site == Some("none") && !secure) {
            let fault = item.fault("browsers drop a cookie with `SameSite=None` that is not `Secure`");
            reading.faults.push(fault.hint("write secure = true too"));
        }
        let mut map = |key: &str, is_path: bool| {
            let mut pairs = BTreeMap::new();
            for (from, to) in item.get(key).iter().flat_map(Item::entries) {
                let Some(text) = to.as_str() else { continue };
                let is_good = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
                if !is_good(from) || !is_good(text) || (is_path && !(from.starts_with('/') && text.starts_with('/'))) {
                    let fault = to.fault(format!("`{from}` = `{text}` cannot be in a cookie"));
                    reading.faults.push(fault.hint("paths begin with `/`; nothing has spaces or `;`"));
                }
                let from = if is_path { from.to_owned() } else { from.trim_start_matches('.').to_ascii_lowercase() };
                pairs.insert(from, text.to_owned());
            }
            pairs
        };
        let (path, domain) = (map("path", true), map("domain", false));
        Some(Self { secure, http_only: flag("http_only"), same_site, path, domain })
    }

    fn build(settings: Self, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(settings)
    }
}

impl Middleware for Cookies {
    fn reply(&self, reply: &mut Reply<'_>) {
        let https = reply.to.scheme == "https";
        if !reply.from_server || !reply.headers().has(&header::SET_COOKIE) {
            return;
        }
        let mut headers = reply.headers();
        let values: Vec<HeaderValue> = headers.all(&header::SET_COOKIE).into_iter().cloned().collect();
        let changed = values.into_iter().map(|value| {
            let changed = self.cookie(value.as_bytes(), https);
            HeaderValue::from_bytes(&changed).unwrap_or(value)
        });
        headers.replace(header::SET_COOKIE, changed.collect::<Vec<_>>());
    }
}

impl Cookies {
    /// One `Set-Cookie` (RFC 6265 section 4.1.1) with its attributes changed. What it says may be bytes of any kind.
    fn cookie(&self, given: &[u8], https: bool) -> Vec<u8> {
        let mut parts = given.split(|byte| *byte == b';');
        let mut out = parts.next().unwrap_or_default().to_vec();
        let (mut secure, mut http_only, mut same_site) = (false, false, false);
        for part in parts {
            let equals = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
            let (name, value) = (part[..equals].trim_ascii(), part.get(equals + 1..).unwrap_or_default().trim_ascii());
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
            secure |= is("secure");
            http_only |= is("httponly");
            same_site |= is("samesite");
            if is("path") {
                out.extend_from_slice(b"; Path=");
                out.extend_from_slice(&self.path(value));
            } else if is("domain") {
                let domain = self.domain(value);
                if !domain.is_empty() {
                    out.extend_from_slice(b"; Domain=");
                    out.extend_from_slice(domain);
                }
            } else {
                out.push(b';');
                out.extend_from_slice(part);
            }
        }
        if self.secure && https && !secure {
            out.extend_from_slice(b"; Secure");
        }
        if self.http_only && !http_only {
            out.extend_from_slice(b"; HttpOnly");
        }
        if let Some(word) = self.same_site.filter(|_| !same_site) {
            out.extend_from_slice(format!("; SameSite={}{}", word[..1].to_ascii_uppercase(), &word[1..]).as_bytes());
        }
        out
    }

    fn path(&self, given: &[u8]) -> Vec<u8> {
        let fits = |from: &str| {
            let rest = given.strip_prefix(from.trim_end_matches('/').as_bytes())?;
            matches!(rest, [] | [b'/', ..]).then_some(rest)
        };
        let longest = self.path.iter().filter_map(|(from, to)| Some((from.len(), fits(from)?, to)));
        match longest.max_by_key(|(length, ..)| *length) {
            Some((_, rest, to)) => {
                let moved = [to.trim_end_matches('/').as_bytes(), rest].concat();
                if moved.is_empty() { b"/".to_vec() } else { moved }
            }
            None => given.to_vec(),
        }
    }

    fn domain<'a>(&'a self, given: &'a [u8]) -> &'a [u8] {
        let plain = String::from_utf8_lossy(given).trim_start_matches('.').to_ascii_lowercase();
        self.domain.get(&plain).map_or(given, String::as_bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Done;
    use super::super::testing::{faults, get, made, made_as, reply};
    use super::*;

    fn cookie(settings: &str, given: &str) -> String {
        let (_, fields) =
            reply(&made("cookies", settings), &get("/"), &mut Done::default(), 200, &[("set-cookie", given)]);
        fields["set-cookie"].to_str().expect("text").to_owned()
    }

    #[test]
    fn attributes_are_added_where_they_are_missing() {
        let all = "secure = true\nhttp_only = true\nsame_site = \"lax\"";
        assert_eq!(cookie(all, "a=b=c"), "a=b=c; Secure; HttpOnly; SameSite=Lax");
        let whole = "a=\"x\"; Max-Age=5; secure; HTTPONLY; SameSite=None";
        assert_eq!(cookie(all, whole), whole);
        assert_eq!(cookie("", "a=b; Path=/x"), "a=b; Path=/x");
    }

    #[test]
    fn paths_and_domains_move() {
        let settings = "path = { \"/\" = \"/app\", \"/api\" = \"/\" }\ndomain = { \"old.example\" = \"new.example\", \"in\" = \"\" }";
        for (given, wanted) in [
            ("a=b; Path=/", "a=b; Path=/app/"),
            ("a=b; path=/x", "a=b; Path=/app/x"),
            ("a=b; path=/api", "a=b; Path=/"),
            ("a=b; path=/api/v1; Domain=.OLD.example", "a=b; Path=/v1; Domain=new.example"),
            ("a=b; path=/apis; Domain=in; Secure", "a=b; Path=/app/apis; Secure"),
            ("a=b; Domain=other", "a=b; Domain=other"),
        ] {
            assert_eq!(cookie(settings, given), wanted, "{given}");
        }
    }

    #[test]
    fn a_value_of_other_bytes_is_protected_too() {
        let settings = "secure = true\npath = { \"/\" = \"/app\" }";
        for (given, wanted) in [
            ("name=J\u{fc}rgen; Path=/\u{e9}", "name=J\u{fc}rgen; Path=/app/\u{e9}; Secure"),
            ("\u{fc}=1; \u{e9}=x; domain=\u{e9}", "\u{fc}=1; \u{e9}=x; Domain=\u{e9}; Secure"),
        ] {
            let middleware = made("cookies", settings);
            let (_, fields) = reply(&middleware, &get("/"), &mut Done::default(), 200, &[("set-cookie", given)]);
            assert_eq!(fields["set-cookie"].as_bytes(), wanted.as_bytes(), "{given}");
        }
        let latin1 = made_cookie(settings, b"a=\xe9; Path=/");
        assert_eq!(latin1, b"a=\xe9; Path=/app/; Secure");
    }

    fn made_cookie(settings: &str, given: &[u8]) -> Vec<u8> {
        made_as::<Cookies>(Path::new("/"), settings).cookie(given, true)
    }

    #[test]
    fn no_browser_keeps_a_cookie_for_other_sites_that_is_not_secure() {
        let found = faults("cookies", "same_site = \"none\"");
        assert!(found.len() == 1 && found[0].contains("Secure"), "{found:?}");
        assert!(faults("cookies", "same_site = \"none\"\nsecure = true").is_empty());
        assert!(faults("cookies", "same_site = \"lax\"").is_empty());
    }

    #[test]
    fn several_cookies_stay_several() {
        let given = [("set-cookie", "a=1"), ("set-cookie", "b=2; Secure")];
        let (_, fields) = reply(&made("cookies", "secure = true"), &get("/"), &mut Done::default(), 200, &given);
        assert_eq!(fields.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1; Secure", "b=2; Secure"]);
    }
}
