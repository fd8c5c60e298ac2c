//! What of a request has a say in which server it gets: its client, a header, or the cookie that the edge gave it.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::net::IpAddr;

use aws_lc_rs::hmac;
use http::{HeaderMap, HeaderValue, header};

use super::settings::{Choice, Server};

/// Makes cookie values of servers. It is kept over restarts, so that clients come back to their servers.
#[derive(Clone)]
pub struct StickyKey {
    key: hmac::Key,
}

impl StickyKey {
    /// Length of the secret in bytes.
    pub const LENGTH: usize = 32;

    /// From a secret.
    pub fn new(secret: &[u8; Self::LENGTH]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret) }
    }

    /// Stands for a server and tells nobody which it is.
    fn name_of(&self, server: &Server) -> String {
        let tag = hmac::sign(&self.key, server.to_string().as_bytes());
        data_encoding::HEXLOWER.encode(&tag.as_ref()[..8])
    }
}

impl std::fmt::Debug for StickyKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("StickyKey").finish_non_exhaustive()
    }
}

/// What a request wishes for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wish {
    /// Any server.
    #[default]
    Any,
    /// Always the same for this key.
    Key(u64),
    /// The one at this position.
    Server(usize),
}

impl Wish {
    pub(super) fn key(self) -> Option<u64> {
        match self {
            Self::Key(key) => Some(key),
            Self::Any | Self::Server(_) => None,
        }
    }
}

/// Reads wishes, for one upstream.
#[derive(Debug)]
pub(super) struct Wishes {
    choice: Choice,
    /// The cookie value of each server, if there is a cookie.
    names: Box<[String]>,
}

impl Wishes {
    pub(super) fn new(choice: &Choice, servers: &[Server], key: &StickyKey) -> Self {
        let names = match choice {
            Choice::Sticky(_) => servers.iter().map(|server| key.name_of(server)).collect(),
            _ => Box::default(),
        };
        Self { choice: choice.clone(), names }
    }

    pub(super) fn read(&self, headers: &HeaderMap<HeaderValue>, client: Option<IpAddr>) -> Wish {
        match &self.choice {
            Choice::Turns | Choice::LeastRequests | Choice::RandomTwo => Wish::Any,
            Choice::HashClient => client.map_or(Wish::Any, |client| Wish::Key(hashed(&client.to_canonical()))),
            Choice::HashHeader(name) => headers.get(name).map_or(Wish::Any, |it| Wish::Key(hashed(it.as_bytes()))),
            Choice::Sticky(name) => {
                let known = |value| self.names.iter().position(|name| name.as_bytes() == value);
                cookies(headers, name).find_map(known).map_or(Wish::Any, Wish::Server)
            }
        }
    }

    /// The `Set-Cookie` that tells a client which server it had, unless it knows already.
    pub(super) fn cookie(&self, wish: Wish, server: usize, secure: bool) -> Option<HeaderValue> {
        let (Choice::Sticky(cookie), Some(name)) = (&self.choice, self.names.get(server)) else { return None };
        if wish == Wish::Server(server) {
            return None;
        }
        let secure = if secure { "; Secure" } else { "" };
        HeaderValue::try_from(format!("{cookie}={name}; Path=/; HttpOnly; SameSite=Lax{secure}")).ok()
    }
}

/// The same in every process of the same build, so that clients keep their servers over restarts.
pub(super) fn hashed(value: &(impl std::hash::Hash + ?Sized)) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(value)
}

/// The values of all cookies of that name.
fn cookies<'h>(headers: &'h HeaderMap<HeaderValue>, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let crumbs = headers.get_all(header::COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    crumbs.filter_map(move |crumb| crumb.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::settings::Scheme;

    fn servers() -> Vec<Server> {
        [1, 2].map(|port| Server::net(Scheme::Http, "10.0.0.7".into(), port)).into()
    }

    fn wishes(choice: Choice) -> Wishes {
        Wishes::new(&choice, &servers(), &StickyKey::new(&[7; 32]))
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let field =
            |(name, value): &(&'static str, &str)| (name.parse().expect("a name"), value.parse().expect("a value"));
        fields.iter().map(field).collect()
    }

    #[test]
    fn a_cookie_brings_back_to_its_server_among_other_cookies() {
        let wishes = wishes(Choice::Sticky("SRV".to_owned()));
        let set = wishes.cookie(Wish::Any, 1, true).expect("a new client");
        let set = set.to_str().expect("text");
        let (pair, rest) = set.split_once("; ").expect("attributes");
        assert_eq!(rest, "Path=/; HttpOnly; SameSite=Lax; Secure");
        assert!(!set.contains("10.0") && pair.len() == "SRV=".len() + 16, "{set}");
        for cookie in
            [pair.to_owned(), format!("a=b;{pair}; c=d"), format!("SRV=old; {pair}"), format!("XSRV=1; {pair}")]
        {
            assert_eq!(wishes.read(&headers(&[("cookie", &cookie)]), None), Wish::Server(1), "{cookie}");
        }
        assert_eq!(wishes.cookie(Wish::Server(1), 1, true), None, "it knows");
        let other = wishes.cookie(Wish::Server(1), 0, false).expect("it has another one now");
        assert!(other.to_str().is_ok_and(|text| text.ends_with("; SameSite=Lax")), "in clear there is no Secure");
    }

    #[test]
    fn a_cookie_of_nobody_is_no_wish() {
        let wishes = wishes(Choice::Sticky("SRV".to_owned()));
        let long = format!("SRV={}", "a".repeat(4000));
        for cookie in ["", "SRV", "SRV=", "SRV=0000000000000000", "srv=x", ";;;=;", long.as_str()] {
            assert_eq!(wishes.read(&headers(&[("cookie", cookie)]), None), Wish::Any);
        }
    }

    #[test]
    fn the_same_value_gives_the_same_key() {
        let client = |text: &str| wishes(Choice::HashClient).read(&HeaderMap::new(), text.parse().ok());
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        let by_header = wishes(Choice::HashHeader(http::HeaderName::from_static("x-user")));
        let of = |value| by_header.read(&headers(&[("x-user", value)]), None);
        assert!(of("a") == of("a") && of("a") != of("b"));
        assert_eq!(by_header.read(&HeaderMap::new(), None), Wish::Any);
    }

    #[test]
    fn what_is_not_sticky_sets_no_cookie() {
        assert_eq!(wishes(Choice::Turns).cookie(Wish::Any, 0, true), None);
    }
}
