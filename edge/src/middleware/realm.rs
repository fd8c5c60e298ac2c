//! Repairs addresses in answers that mean this place but say another: the `realm` of `WWW-Authenticate: Bearer`, by which
//! container clients find the token service, and `Location`, `Content-Location` and `Link`. Scheme, host and port become those of the
//! request; path, query and every other parameter stay byte for byte.
//!
//! ```toml
//! [[route]]
//! host = "git.example.com"
//! upstream = "http://127.0.0.1:32166"
//! use = [{ kind = "realm", hosts = ["gitea.internal", "10.0.0.7:3000"] }]
//! ```
//!
//! An address means this place if its host is the one of the request, whatever its scheme and port, if it is the server's
//! own host and port, or if it is among `hosts` (`"*"` is any, for realms only: a redirect to a store elsewhere must stay
//! one). Relative addresses and `Basic` challenges are left alone.

use http::{HeaderName, HeaderValue, header};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use super::{BuildError, Building, Kind, Middleware, Reply};

mod challenge;

/// The middleware.
#[derive(Debug)]
pub struct Realm {
    hosts: Vec<String>,
}

impl Kind for Realm {
    const NAME: &'static str = "realm";
    const KEYS: &'static [Key] = &[Key::new(
        "hosts",
        Shape::OneOrMany(&Shape::Text("a host, with or without a port")),
        "More names that mean this place; `\"*\"` is any in realms.",
    )
    .default("[]")];
    type Settings = Vec<String>;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Vec<String>> {
        let mut hosts = Vec::new();
        for given in item.get("hosts").map(|list| list.one_or_many()).unwrap_or_default() {
            let Some(text) = given.as_str() else { continue };
            if text.is_empty() || text.contains(['/', ' ', '@', '?', '#']) {
                let fault = given.fault(format!("`{text}` is not a host"));
                reading.faults.push(fault.hint("write a host without scheme and path: \"git.internal:3000\""));
            }
            hosts.push(text.to_ascii_lowercase());
        }
        Some(hosts)
    }

    fn build(hosts: Vec<String>, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(Self { hosts })
    }
}

impl Middleware for Realm {
    fn reply(&self, reply: &mut Reply<'_>) {
        if !reply.from_server {
            return;
        }
        let place = Place::of(self, reply);
        if reply.status == http::StatusCode::UNAUTHORIZED {
            place.rewrite(reply, &header::WWW_AUTHENTICATE, |text| {
                challenge::with_realms(text, |realm| place.moved(realm, true))
            });
        }
        for name in [header::LOCATION, header::CONTENT_LOCATION] {
            place.rewrite(reply, &name, |text| place.moved(text, false));
        }
        place.rewrite(reply, &header::LINK, |text| links(text, |target| place.moved(target, false)));
    }
}

/// Where the client believes to be, and what else is called so.
struct Place {
    origin: String,
    host: String,
    server: Option<String>,
    others: Vec<String>,
}

impl Place {
    fn of(realm: &Realm, reply: &Reply<'_>) -> Self {
        Self {
            origin: format!("{}://{}", reply.to.scheme, reply.to.authority),
            host: reply.to.host.to_owned(),
            server: reply.server.map(str::to_ascii_lowercase),
            others: realm.hosts.clone(),
        }
    }

    /// The address at this place; none if it is another place, or right already.
    fn moved(&self, url: &str, is_realm: bool) -> Option<String> {
        let (scheme, rest) = url.split_once("://")?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = authority.to_ascii_lowercase();
        let any = is_realm && self.others.iter().any(|other| other == "*");
        if authority.contains('@') || !(any || self.is_ours(&authority)) {
            return None;
        }
        Some(format!("{}{path}", self.origin)).filter(|moved| moved != url)
    }

    fn is_ours(&self, authority: &str) -> bool {
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        host.trim_end_matches('.') == self.host
            || self.server.as_deref() == Some(authority)
            || self.others.iter().any(|other| other == authority || other == host)
    }

    /// Rewrites every value of a field for which there is another.
    fn rewrite(&self, reply: &mut Reply<'_>, name: &HeaderName, change: impl Fn(&str) -> Option<String>) {
        let mut headers = reply.headers();
        let values: Vec<HeaderValue> = headers.all(name).into_iter().cloned().collect();
        let changed: Vec<Option<HeaderValue>> =
            values.iter().map(|value| HeaderValue::from_str(&change(value.to_str().ok()?)?).ok()).collect();
        if changed.iter().any(Option::is_some) {
            headers.replace(name.clone(), changed.into_iter().zip(values).map(|(new, old)| new.unwrap_or(old)));
        }
    }
}

/// A `Link` field (RFC 8288) with every target changed for which there is another; none if there is none.
fn links(text: &str, change: impl Fn(&str) -> Option<String>) -> Option<String> {
    let (mut out, mut rest, mut any, mut quoted) = (String::new(), text, false, false);
    while let Some(at) = rest.find(['<', '"', '\\']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        match from.as_bytes()[0] {
            b'"' => quoted = !quoted,
            b'<' if !quoted => {
                let Some(end) = from.find('>') else { break };
                let moved = change(&from[1..end]);
                any |= moved.is_some();
                out.push('<');
                out.push_str(moved.as_deref().unwrap_or(&from[1..end]));
                rest = &from[end..];
                continue;
            }
            b'\\' if quoted => {
                let length = 1 + from[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&from[..length]);
                rest = &from[length..];
                continue;
            }
            _ => {}
        }
        out.push_str(&from[..1]);
        rest = &from[1..];
    }
    any.then(|| out + rest)
}

#[cfg(test)]
mod tests;
