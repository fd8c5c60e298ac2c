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
        Key::new("same_site", Shape::one_of(&SAME_SITE), "`SameSite` of cookies that have none."),
        Key::new("path", Shape::Map(&Shape::Text("a path")), "Prefixes of `Path` and what they become."),
        Key::new("domain", Shape::Map(&Shape::TEXT), "Values of `Domain` and what they become; `\"\"` drops it."),
    ];
    type Settings = Self;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Self> {
        let flag = |key| item.get(key).and_then(|item| item.as_bool()).unwrap_or(false);
        let word = item.get("same_site");
        let same_site = word.and_then(|item| SAME_SITE.into_iter().find(|word| item.as_str() == Some(word)));
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
        Some(Self { secure: flag("secure"), http_only: flag("http_only"), same_site, path, domain })
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
            let changed = value.to_str().ok().map(|text| self.cookie(text, https));
            changed.and_then(|text| HeaderValue::from_str(&text).ok()).unwrap_or(value)
        });
        headers.replace(header::SET_COOKIE, changed.collect::<Vec<_>>());
    }
}

impl Cookies {
    /// One `Set-Cookie` (RFC 6265 section 4.1.1) with its attributes changed.
    fn cookie(&self, text: &str, https: bool) -> String {
        let mut parts = text.split(';');
        let mut out = parts.next().unwrap_or_default().to_owned();
        let (mut secure, mut http_only, mut same_site) = (false, false, false);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = (name.trim(), value.trim());
            let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
            secure |= is("secure");
            http_only |= is("httponly");
            same_site |= is("samesite");
            if is("path") {
                out.push_str(&format!("; Path={}", self.path(value)));
            } else if is("domain") {
                let domain = self.domain(value);
                if !domain.is_empty() {
                    out.push_str(&format!("; Domain={domain}"));
                }
            } else {
                out.push(';');
                out.push_str(part);
            }
        }
        if self.secure && https && !secure {
            out.push_str("; Secure");
        }
        if self.http_only && !http_only {
            out.push_str("; HttpOnly");
        }
        if let Some(word) = self.same_site.filter(|_| !same_site) {
            out.push_str(&format!("; SameSite={}{}", word[..1].to_ascii_uppercase(), &word[1..]));
        }
        out
    }

    fn path(&self, given: &str) -> String {
        let fits = |from: &str| {
            let rest = given.strip_prefix(from.trim_end_matches('/'))?;
            (rest.is_empty() || rest.starts_with('/')).then_some(rest)
        };
        let longest = self.path.iter().filter_map(|(from, to)| Some((from.len(), fits(from)?, to)));
        match longest.max_by_key(|(length, ..)| *length) {
            Some((_, rest, to)) => {
                let moved = format!("{}{rest}", to.trim_end_matches('/'));
                if moved.is_empty() { "/".to_owned() } else { moved }
            }
            None => given.to_owned(),
        }
    }

    fn domain<'a>(&'a self, given: &'a str) -> &'a str {
        let plain = given.trim_start_matches('.').to_ascii_lowercase();
        self.domain.get(&plain).map_or(given, String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Done;
    use super::super::testing::{get, made, reply};

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
    fn several_cookies_stay_several() {
        let given = [("set-cookie", "a=1"), ("set-cookie", "b=2; Secure")];
        let (_, fields) = reply(&made("cookies", "secure = true"), &get("/"), &mut Done::default(), 200, &given);
        assert_eq!(fields.get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1; Secure", "b=2; Secure"]);
    }
}
