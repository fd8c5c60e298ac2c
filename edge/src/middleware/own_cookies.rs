//! The cookies that logins of the edge live in. Whoever has one is logged in, so no server sees any: neither one of the route
//! that set it nor one of another route, to which browsers send it just as well.

use std::collections::HashSet;

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// What the cookies of one middleware are called.
#[derive(Debug, Clone)]
pub struct CookieNames {
    /// Of a session; further pieces of it have `.` and a number behind that.
    pub session: String,
    /// How the name of each login in flight begins. It ends with `-login-`.
    pub login: String,
}

/// What stands between the name of a middleware's cookies and the tag of a login in flight.
pub(super) const LOGIN: &str = "-login-";

/// The cookies of all middlewares of one load.
#[derive(Debug, Default)]
pub struct OwnCookies {
    sessions: HashSet<String>,
    logins: HashSet<String>,
}

impl OwnCookies {
    /// Those of these names.
    pub fn of<'a>(all: impl IntoIterator<Item = &'a CookieNames>) -> Self {
        let mut own = Self::default();
        for CookieNames { session, login } in all {
            own.sessions.insert(session.clone());
            own.logins.insert(login.clone());
        }
        own
    }

    /// What a server may see in `Cookie`, the others byte for byte. None if that is all that there is.
    pub fn hide(&self, headers: &HeaderMap) -> Option<Vec<HeaderValue>> {
        let fields = headers.get_all(COOKIE);
        let has_ours = |field: &HeaderValue| crumbs(field).any(|crumb| self.has(crumb));
        if self.sessions.is_empty() || !fields.iter().any(has_ours) {
            return None;
        }
        Some(fields.iter().filter_map(|field| self.without_ours(field)).collect())
    }

    fn without_ours(&self, field: &HeaderValue) -> Option<HeaderValue> {
        let others: Vec<&[u8]> = crumbs(field).filter(|crumb| !self.has(crumb)).collect();
        if others.len() == crumbs(field).count() {
            return Some(field.clone());
        }
        HeaderValue::from_bytes(others.join(&b';').trim_ascii()).ok().filter(|value| !value.is_empty())
    }

    fn has(&self, crumb: &[u8]) -> bool {
        let name = crumb.split(|byte| *byte == b'=').next().unwrap_or_default();
        let Ok(name) = std::str::from_utf8(name.trim_ascii()) else { return false };
        let session = name.split_once('.').map_or(name, |(session, _)| session);
        let login = name.rfind(LOGIN).map(|at| &name[..at + LOGIN.len()]);
        self.sessions.contains(session) || login.is_some_and(|login| self.logins.contains(login))
    }
}

fn crumbs(field: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    field.as_bytes().split(|byte| *byte == b';')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(name: &str) -> CookieNames {
        CookieNames { session: format!("__Host-{name}"), login: format!("__Host-{name}{LOGIN}") }
    }

    fn headers(cookies: &[&str]) -> HeaderMap {
        cookies.iter().map(|value| (COOKIE, HeaderValue::from_str(value).expect("a value"))).collect()
    }

    #[test]
    fn a_server_sees_every_cookie_but_those_of_logins() {
        let own = OwnCookies::of([&names("edge"), &names("other")]);
        let seen = |cookies: &[&str]| own.hide(&headers(cookies)).expect("some are ours");
        assert_eq!(seen(&["a=1; __Host-edge=1.x; b=\"2\";c"]), ["a=1; b=\"2\";c"]);
        assert_eq!(seen(&["__Host-edge=1.x; a=1", "__Host-edge.1=y", "__Host-edge-login-abc=z", "d"]), ["a=1", "d"]);
        assert_eq!(seen(&["__Host-other=1.x; a=\u{e9}; __Host-edge = 1.x;__Host-edge"]), ["a=\u{e9}"]);
        assert!(seen(&["__Host-edge=1.x"]).is_empty());
        for others in [&["a=1;; b", "__Host-edged=1", "__Host-edge-x=1", "x-login-y=1", "\u{e9}=1"][..], &[]] {
            assert_eq!(own.hide(&headers(others)), None, "{others:?}");
        }
        assert_eq!(OwnCookies::default().hide(&headers(&["__Host-edge=1.x"])), None);
    }
}
