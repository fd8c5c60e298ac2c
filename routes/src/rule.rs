//! When a route answers: its hosts and conditions, and the judgement of one request against them.
//! Which of several that fit wins is decided by `table`; how they are written by `file`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::host::Host;
use crate::path::PathPattern;

mod query;

/// A request as matching sees it. Everything is borrowed; nothing is decoded but the path and the host.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The name of the entrypoint it came in by.
    pub entrypoint: &'a str,
    /// The canonical host ([`crate::host::Authority::host`]).
    pub host: &'a str,
    /// The canonical path ([`crate::path::Canonical::path`]).
    pub path: &'a str,
    /// The method as it was sent; methods are case-sensitive.
    pub method: &'a str,
    /// The raw query without its `?`; none and empty are the same here.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a dyn Headers,
    /// The client's address.
    pub client: IpAddr,
}

/// A look at headers without copying them.
pub trait Headers {
    /// Whether one of the values of the header `name` (lower case) passes the test. A repeated header has several.
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

/// Headers as pairs of name and value, for tests and for explaining.
impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.iter()
            .filter(|(known, _)| known.as_ref().eq_ignore_ascii_case(name))
            .any(|(_, value)| test(value.as_ref()))
    }
}

/// As a slice of pairs.
impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for Vec<(N, V)> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.as_slice().any(name, test)
    }
}

/// No headers at all.
impl Headers for () {
    fn any(&self, _: &str, _: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        false
    }
}

/// When a route answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The hosts it answers for; every host if empty.
    pub hosts: Vec<Host>,
    /// The entrypoints it is served on; never empty.
    pub entrypoints: Vec<String>,
    /// What else must hold.
    pub conditions: Conditions,
    /// What must not hold: a request that fits all of this is left to other routes.
    pub except: Option<Except>,
    /// Among routes that are otherwise equally near, the higher one wins.
    pub priority: i64,
}

/// Conditions that must all hold. An empty list is no condition; within a list one is enough.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Conditions {
    /// Path patterns.
    pub paths: Vec<PathPattern>,
    /// Methods, in upper case.
    pub methods: Vec<String>,
    /// Headers, by lower-case name in order of names.
    pub headers: Vec<(String, Wanted)>,
    /// Query parameters, in order of names.
    pub query: Vec<(String, Wanted)>,
    /// Networks of the client.
    pub client_ip: Vec<IpNet>,
}

/// What a header or query parameter must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// There, whatever its value.
    Present,
    /// One of these values, exactly. Sorted.
    AnyOf(Vec<String>),
}

/// The requests that a route leaves to others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Except {
    /// Hosts; no condition if empty.
    pub hosts: Vec<Host>,
    /// What else must hold for the exception.
    pub conditions: Conditions,
}

/// The first condition that a request does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch<'r> {
    /// It came in by another entrypoint.
    Entrypoint,
    /// Its host is none of the route's.
    Host,
    /// Its path fits no pattern.
    Path,
    /// Its method is none of the route's.
    Method,
    /// This header is missing or has another value.
    Header(&'r str, &'r Wanted),
    /// This query parameter is missing or has another value.
    Query(&'r str, &'r Wanted),
    /// The client is in none of the networks.
    ClientIp,
    /// It is an exception.
    Except,
}

impl Rule {
    /// The first condition that fails, host and path aside: they are found by the table.
    pub fn mismatch(&self, request: &Request<'_>) -> Option<Mismatch<'_>> {
        if !self.entrypoints.iter().any(|name| name == request.entrypoint) {
            return Some(Mismatch::Entrypoint);
        }
        let excepted = || self.except.as_ref().is_some_and(|except| except.covers(request));
        self.conditions.mismatch(request).or_else(|| excepted().then_some(Mismatch::Except))
    }

    /// The first condition that fails, host and path among them.
    pub fn full_mismatch(&self, request: &Request<'_>) -> Option<Mismatch<'_>> {
        if !self.hosts.is_empty() && !self.hosts.iter().any(|host| host.matches(request.host)) {
            return Some(Mismatch::Host);
        }
        if !self.conditions.fits_path(request.path) {
            return Some(Mismatch::Path);
        }
        self.mismatch(request)
    }

    /// How many conditions there are besides host, path and entrypoint: each header and query parameter counts, the
    /// methods, the networks and the exception count once each.
    pub fn weight(&self) -> usize {
        self.conditions.weight() + usize::from(self.except.is_some())
    }

    /// Whether anything about the answer depends on the path.
    pub fn depends_on_path(&self) -> bool {
        let excepted = self.except.as_ref().is_some_and(|except| !except.conditions.paths.is_empty());
        excepted || !self.conditions.paths.is_empty()
    }
}

impl Conditions {
    /// The first condition that fails, the path aside.
    fn mismatch(&self, request: &Request<'_>) -> Option<Mismatch<'_>> {
        if !self.methods.is_empty() && !self.methods.iter().any(|method| method == request.method) {
            return Some(Mismatch::Method);
        }
        for (name, wanted) in &self.headers {
            if !request.headers.any(name, &mut |value| wanted.fits(value.iter().copied())) {
                return Some(Mismatch::Header(name, wanted));
            }
        }
        for (name, wanted) in &self.query {
            if !query::any(request.query, name, |value| wanted.fits(value)) {
                return Some(Mismatch::Query(name, wanted));
            }
        }
        (!self.fits_client(request.client)).then_some(Mismatch::ClientIp)
    }

    fn fits_path(&self, path: &str) -> bool {
        self.paths.is_empty() || self.paths.iter().any(|pattern| pattern.matches(path))
    }

    fn fits_client(&self, client: IpAddr) -> bool {
        // A client of a dual-stack socket shows as ::ffff:a.b.c.d and is the IPv4 client it was.
        let client = client.to_canonical();
        self.client_ip.is_empty() || self.client_ip.iter().any(|net| net.contains(&client))
    }

    fn weight(&self) -> usize {
        let lists = [!self.methods.is_empty(), !self.client_ip.is_empty()];
        self.headers.len() + self.query.len() + lists.into_iter().filter(|given| *given).count()
    }
}

impl Except {
    fn covers(&self, request: &Request<'_>) -> bool {
        let fits_host = self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(request.host));
        fits_host && self.conditions.fits_path(request.path) && self.conditions.mismatch(request).is_none()
    }

    /// Whether it has no condition: it would cover every request.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Wanted {
    fn fits(&self, value: impl Iterator<Item = u8> + Clone) -> bool {
        match self {
            Self::Present => true,
            Self::AnyOf(values) => values.iter().any(|wanted| wanted.bytes().eq(value.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
