//! The cookies of logins: their names, their bounds and how they are told from everybody else's.

use std::time::Duration;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

use crate::middleware::own_cookies::{CookieNames, LOGIN};

/// The names of one middleware's cookies.
#[derive(Debug, Clone)]
pub(super) struct Jar {
    names: CookieNames,
    domain: Option<String>,
}

/// What browsers keep in one cookie, less its name and its attributes.
const PIECE: usize = 3800;
/// More would fill the head of each request.
const PIECES: usize = 4;
/// Letters that tell the cookies of logins in flight apart.
pub(super) const TAG: usize = 16;

impl Jar {
    /// Cookies named after `name`, for one host alone or for all below `domain`.
    pub(super) fn new(name: &str, domain: Option<String>) -> Self {
        // The browser holds a cookie to what its name promises: only over TLS, and of no other host.
        let prefix = if domain.is_some() { "__Secure-" } else { "__Host-" };
        let names = CookieNames { session: format!("{prefix}{name}"), login: format!("__Host-{name}{LOGIN}") };
        Self { names, domain }
    }

    /// The names of all of them.
    pub(super) fn names(&self) -> &CookieNames {
        &self.names
    }

    /// The name that a session is sealed under.
    pub(super) fn session_name(&self) -> &str {
        &self.names.session
    }

    /// The name of a login in flight.
    pub(super) fn login_name(&self, tag: &str) -> String {
        format!("{}{tag}", self.names.login)
    }

    /// The sealed session of a request. None if there is none or a piece of it is missing.
    pub(super) fn session(&self, headers: &HeaderMap) -> Option<String> {
        let (count, first) = value(headers, &self.names.session)?.split_once('.')?;
        let count = count.parse::<usize>().ok().filter(|count| (1..=PIECES).contains(count))?;
        let rest = (1..count).map(|index| value(headers, &self.piece(index)));
        [Some(first)].into_iter().chain(rest).collect()
    }

    /// Whether the request has anything that looks like a session.
    pub(super) fn has_session(&self, headers: &HeaderMap) -> bool {
        value(headers, &self.names.session).is_some()
    }

    /// The sealed login in flight of this tag.
    pub(super) fn login<'h>(&self, headers: &'h HeaderMap, tag: &str) -> Option<&'h str> {
        value(headers, &self.login_name(tag))
    }

    /// The tag in the name of a login in flight.
    pub(super) fn login_tag<'n>(&self, name: &'n str) -> Option<&'n str> {
        name.strip_prefix(&self.names.login)
    }

    /// The names of all logins in flight.
    pub(super) fn logins<'h>(&self, headers: &'h HeaderMap) -> impl Iterator<Item = &'h str> {
        crumbs(headers).filter_map(|(name, _)| name).filter(|name| name.starts_with(&self.names.login))
    }

    /// Has the browser keep a session. None if it is too long for cookies.
    pub(super) fn keep(&self, headers: &HeaderMap, sealed: &str, left: Duration) -> Option<Vec<HeaderValue>> {
        let pieces: Vec<&str> =
            sealed.as_bytes().chunks(PIECE).map(|piece| std::str::from_utf8(piece).unwrap_or_default()).collect();
        if pieces.len() > PIECES {
            return None;
        }
        let first = format!("{}.{}", pieces.len(), pieces.first()?);
        let domain = self.domain.as_deref();
        let mut cookies = vec![cookie(&self.names.session, &first, left, domain)];
        cookies.extend((1..).zip(&pieces[1..]).map(|(index, piece)| cookie(&self.piece(index), piece, left, domain)));
        cookies.extend(self.surplus(headers, pieces.len()));
        cookies.into_iter().collect()
    }

    /// Has the browser forget its session.
    pub(super) fn forget(&self, headers: &HeaderMap) -> Vec<HeaderValue> {
        let first = cookie(&self.names.session, "", Duration::ZERO, self.domain.as_deref());
        first.into_iter().chain(self.surplus(headers, 1).flatten()).collect()
    }

    /// Has the browser keep a login in flight, for its own host alone: it comes back there.
    pub(super) fn keep_login(&self, tag: &str, sealed: &str, left: Duration) -> Option<HeaderValue> {
        cookie(&self.login_name(tag), sealed, left, None)
    }

    /// Has the browser forget a login in flight.
    pub(super) fn forget_login(name: &str) -> Option<HeaderValue> {
        cookie(name, "", Duration::ZERO, None)
    }

    fn piece(&self, index: usize) -> String {
        format!("{}.{index}", self.names.session)
    }

    /// Pieces of an earlier, longer session.
    fn surplus(&self, headers: &HeaderMap, from: usize) -> impl Iterator<Item = Option<HeaderValue>> {
        let names = (from.max(1)..PIECES).map(|index| self.piece(index));
        let there = names.filter(|name| value(headers, name).is_some());
        there.map(|name| cookie(&name, "", Duration::ZERO, self.domain.as_deref()))
    }
}

fn cookie(name: &str, value: &str, left: Duration, domain: Option<&str>) -> Option<HeaderValue> {
    let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
    let left = left.as_secs();
    HeaderValue::try_from(format!("{name}={value}; Path=/; Max-Age={left}; Secure; HttpOnly; SameSite=Lax{domain}"))
        .ok()
}

fn value<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    crumbs(headers).find(|(found, _)| *found == Some(name))?.1
}

/// Name and value of each cookie, in every field: HTTP/2 clients send many. What is not text has neither.
fn crumbs(headers: &HeaderMap) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
    headers.get_all(COOKIE).iter().flat_map(|field| field.as_bytes().split(|byte| *byte == b';')).map(split)
}

fn split(crumb: &[u8]) -> (Option<&str>, Option<&str>) {
    let crumb = crumb.trim_ascii();
    let equals = crumb.iter().position(|byte| *byte == b'=').unwrap_or(crumb.len());
    let text = |bytes| std::str::from_utf8(bytes).ok();
    (text(crumb[..equals].trim_ascii_end()), crumb.get(equals + 1..).and_then(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|value| (COOKIE, HeaderValue::from_str(value).expect("a value"))).collect()
    }

    fn jar() -> Jar {
        Jar::new("edge", None)
    }

    /// What a browser sends back.
    fn kept(cookies: &[HeaderValue]) -> Vec<String> {
        let texts = cookies.iter().map(|cookie| cookie.to_str().expect("text"));
        texts.map(|text| text.split_once(';').expect("attributes").0.to_owned()).collect()
    }

    #[test]
    fn a_cookie_is_for_one_host_alone_unless_a_domain_is_named() {
        let set = jar().keep(&HeaderMap::new(), "abc", HOUR).expect("short");
        assert_eq!(set, ["__Host-edge=1.abc; Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax"]);
        let set = Jar::new("edge", Some("example.test".into())).keep(&HeaderMap::new(), "abc", HOUR).expect("short");
        let attributes = "Path=/; Max-Age=3600; Secure; HttpOnly; SameSite=Lax; Domain=example.test";
        assert_eq!(set, [format!("__Secure-edge=1.abc; {attributes}")]);
    }

    #[test]
    fn a_long_session_is_cut_and_put_together_and_a_longer_one_refused() {
        for length in [1, PIECE, PIECE + 1, PIECES * PIECE] {
            let sealed: String = (0..length).map(|index| char::from(b'a' + (index % 26) as u8)).collect();
            let set = jar().keep(&HeaderMap::new(), &sealed, HOUR).expect("fits");
            assert!(set.iter().all(|cookie| cookie.len() < 4096));
            let pieces = kept(&set);
            let one = headers(&[&pieces.join("; ")]);
            assert_eq!(jar().session(&one).as_ref(), Some(&sealed));
            let crumbs: Vec<&str> = pieces.iter().rev().map(String::as_str).collect();
            assert_eq!(jar().session(&headers(&crumbs)).as_ref(), Some(&sealed), "as crumbs, in any order");
            if pieces.len() > 1 {
                assert_eq!(jar().session(&headers(&crumbs[1..])), None, "a piece is missing");
                let again = jar().keep(&one, "short", HOUR).expect("fits");
                assert_eq!(again.len(), pieces.len(), "the others are forgotten");
                assert_eq!(jar().forget(&one).len(), pieces.len());
            }
        }
        assert_eq!(jar().keep(&HeaderMap::new(), &"a".repeat(PIECES * PIECE + 1), HOUR), None);
    }

    #[test]
    fn odd_cookies_are_no_session() {
        for odd in [
            "__Host-edge",
            "__Host-edge=",
            "__Host-edge=abc",
            "__Host-edge=0.a",
            "__Host-edge=5.a",
            "__Host-edge=-1.a",
            "=",
            ";;",
            "__host-edge=1.a",
            "x__Host-edge=1.a",
        ] {
            assert_eq!(jar().session(&headers(&[odd])), None, "{odd}");
        }
        assert_eq!(jar().session(&headers(&["a=b;__Host-edge=1.x;c"])).as_deref(), Some("x"));
    }
}
