//! Which stream a connection belongs to: by its entrypoint, the name of its SNI, and for Postgres its database and user.
//! Built once from checked streams, then only read; finding the candidates of a name in lower case allocates nothing.
//!
//! Order of precedence: exact host, wildcard, no host; then database and user, database, user, neither.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::{Mode, SessionRule, Stream, Tcp};
use crate::host::{Host, Names, parent};
use crate::route::Issuer;

/// All streams of connections, ready to be found.
#[derive(Debug, Default)]
pub struct StreamTable {
    entrypoints: HashMap<String, Streams>,
    /// Hosts whose TLS ends at the edge, and whether a stream chose the issuer.
    certificates: BTreeMap<Host, (Issuer, bool)>,
    names: Names,
    /// Hosts of rejected streams that nothing serves, on whatever entrypoint they would have been.
    closed: HashSet<Host>,
}

/// The streams of one entrypoint.
#[derive(Debug)]
pub struct Streams {
    exact: Places,
    /// By the name without `*.`.
    wildcard: Places,
    /// Those without hosts.
    bare: Vec<Arc<Tcp>>,
    /// Those with hosts, if they all have the same.
    alike: Vec<Arc<Tcp>>,
    /// Whose certificate a client gets that names none, where the streams that it may be for have no host.
    certificate_host: Option<Host>,
    /// Sessions of rejected streams, by host, none for those without.
    closed: HashMap<Option<Host>, Vec<SessionRule>>,
}

type Places = HashMap<Box<str>, Vec<Arc<Tcp>>>;

/// The streams that a connection may be for when its SNI is known and nothing else.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'t> {
    /// Those that ask for more first.
    streams: &'t [Arc<Tcp>],
    certificate_host: Option<&'t Host>,
    /// Sessions that none of them gets.
    closed: &'t [SessionRule],
}

impl StreamTable {
    /// A table of these; those of datagrams are found by their sockets and are passed over.
    pub fn build(streams: &[Arc<Stream>]) -> Self {
        let mut by_entrypoint: HashMap<String, Vec<&Arc<Tcp>>> = HashMap::new();
        let mut table = Self::default();
        for stream in streams {
            let Stream::Tcp(tcp) = &**stream else { continue };
            table.add_certificates(tcp);
            for entrypoint in &tcp.entrypoints {
                by_entrypoint.entry(entrypoint.clone()).or_default().push(tcp);
            }
        }
        let hosts = || by_entrypoint.values().flatten().flat_map(|tcp| &tcp.hosts);
        let exact = hosts().filter(|host| !host.is_wildcard()).map(Host::to_string);
        let wildcard = hosts().filter_map(|host| match host {
            Host::Wildcard(suffix) => Some(suffix),
            Host::Exact(_) => None,
        });
        table.names = Names::new(exact, wildcard);
        table.entrypoints = by_entrypoint.into_iter().map(|(name, streams)| (name, Streams::build(&streams))).collect();
        table
    }

    fn add_certificates(&mut self, tcp: &Tcp) {
        let Some(issuer) = tcp.tls.issuer else { return };
        for host in &tcp.hosts {
            if tcp.tls.chosen || !self.certificates.contains_key(host) {
                self.certificates.insert(host.clone(), (issuer, tcp.tls.chosen));
            }
        }
    }

    /// Closes what a rejected stream would serve, if no earlier version of it serves: its clients are for nobody, not for a
    /// wider stream, whose server would be shown passwords that are not for it. Streams that serve keep their hosts, without the
    /// sessions that the rejected one asks for more closely than they do.
    pub fn close(&mut self, hosts: &[Host], sessions: &SessionRule) {
        self.closed.extend(hosts.iter().cloned());
        for streams in self.entrypoints.values_mut() {
            for host in hosts {
                match host {
                    Host::Exact(name) => streams.exact.entry(name.clone()).or_default(),
                    Host::Wildcard(suffix) => streams.wildcard.entry(suffix.clone()).or_default(),
                };
            }
            if sessions.rank() > 0 {
                let places = hosts.iter().cloned().map(Some).chain(hosts.is_empty().then_some(None));
                places.for_each(|place| streams.closed.entry(place).or_default().push(sessions.clone()));
            }
        }
    }

    /// Whether any stream is closed.
    pub fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Whether this name, in canonical form, is that of a rejected stream: a wider route of requests must not have its clients.
    pub fn is_closed(&self, name: &str) -> bool {
        let has = |host: Host| self.closed.contains(&host);
        has(Host::Exact(name.into())) || parent(name).is_some_and(|suffix| has(Host::Wildcard(suffix.into())))
    }

    /// The streams of an entrypoint, if it has any.
    pub fn entrypoint(&self, name: &str) -> Option<&Streams> {
        self.entrypoints.get(name)
    }

    /// The hosts that need certificates, each once, with the issuer that one of its streams chose or else the default.
    pub fn hosts(&self) -> impl Iterator<Item = (&Host, Issuer)> {
        self.certificates.iter().map(|(host, (issuer, _))| (host, *issuer))
    }

    /// The issuer that a stream chose for this host: it comes before the default of a route with the same host.
    pub fn chosen_issuer(&self, host: &Host) -> Option<Issuer> {
        self.certificates.get(host).filter(|(_, chosen)| *chosen).map(|(issuer, _)| *issuer)
    }

    /// Whether the TLS of this name, in canonical form, ends at the edge in some stream, on whatever entrypoint.
    pub fn serves(&self, name: &str) -> bool {
        let has = |host: Host| self.certificates.contains_key(&host);
        has(Host::Exact(name.into())) || parent(name).is_some_and(|suffix| has(Host::Wildcard(suffix.into())))
    }

    /// The host that was most likely meant, if one is near. As with routes, ask only when the answer is shown to somebody.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        self.names.nearest(name)
    }
}

impl Streams {
    fn build(streams: &[&Arc<Tcp>]) -> Self {
        let mut sorted: Vec<Arc<Tcp>> = streams.iter().map(|tcp| Arc::clone(tcp)).collect();
        sorted.sort_by_key(|tcp| Reverse(tcp.rank()));
        let (mut exact, mut wildcard): (Places, Places) = Default::default();
        for tcp in &sorted {
            for host in &tcp.hosts {
                let place = match host {
                    Host::Exact(name) => exact.entry(name.clone()),
                    Host::Wildcard(suffix) => wildcard.entry(suffix.clone()),
                };
                place.or_default().push(Arc::clone(tcp));
            }
        }
        let certificate_host = certificate_host(&sorted).cloned();
        let (bare, named): (Vec<_>, Vec<_>) = sorted.into_iter().partition(|tcp| tcp.hosts.is_empty());
        let is_alike = named.windows(2).all(|pair| same_hosts(&pair[0], &pair[1]));
        let alike = if is_alike { named } else { Vec::new() };
        Self { exact, wildcard, bare, alike, certificate_host, closed: HashMap::new() }
    }

    /// Those that a client may be for which asks for this name, or for none. A client without SNI is for the streams
    /// without hosts, and where there are none, for those that all have the same hosts: then nothing else can be meant.
    pub fn by_sni(&self, sni: Option<&str>) -> Candidates<'_> {
        let name = sni.map(canonical);
        let named = name.as_deref().and_then(|name| self.named(name));
        let streams = match (named, sni) {
            (Some(named), _) => named,
            (None, None) if self.bare.is_empty() => &self.alike,
            (None, _) => &self.bare,
        };
        let host = certificate_host(streams).or(self.certificate_host.as_ref());
        let closed = self.closed_for(streams, name.as_deref().filter(|_| named.is_some()));
        Candidates { streams, certificate_host: host, closed }
    }

    /// Of the host by which these streams were found, or of their own where no name was given.
    fn closed_for(&self, streams: &[Arc<Tcp>], name: Option<&str>) -> &[SessionRule] {
        let of = |host: Option<Host>| self.closed.get(&host).map(Vec::as_slice);
        let by_name = |name: &str| {
            let wildcard = || of(Some(Host::Wildcard(parent(name)?.into())));
            of(Some(Host::Exact(name.into()))).or_else(wildcard)
        };
        if self.closed.is_empty() {
            return &[];
        }
        match name {
            Some(name) => by_name(name).unwrap_or_default(),
            None => of(streams.first().and_then(|tcp| tcp.hosts.first().cloned())).unwrap_or_default(),
        }
    }

    fn named(&self, name: &str) -> Option<&[Arc<Tcp>]> {
        let wildcard = || self.wildcard.get(parent(name)?);
        self.exact.get(name).or_else(wildcard).map(Vec::as_slice)
    }

    /// Whether some of them are chosen by name: then a ClientHello is to be waited for.
    pub fn has_names(&self) -> bool {
        !self.exact.is_empty() || !self.wildcard.is_empty()
    }

    /// The one that takes what no other does: without host, database and user.
    pub fn default(&self) -> Option<&Arc<Tcp>> {
        self.bare.last().filter(|tcp| tcp.rank() == 0)
    }

    /// All of them, each once, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tcp>> {
        let named = self.exact.iter().map(|(name, streams)| (Host::Exact(name.clone()), streams));
        let named =
            named.chain(self.wildcard.iter().map(|(suffix, streams)| (Host::Wildcard(suffix.clone()), streams)));
        // One of several hosts stands for each.
        let once = named.flat_map(|(host, streams)| streams.iter().filter(move |tcp| tcp.hosts.first() == Some(&host)));
        once.chain(&self.bare)
    }
}

impl<'t> Candidates<'t> {
    /// The one whose TLS passes untouched; then it is the only one, for nothing but the name can be known.
    pub fn passthrough(&self) -> Option<&'t Arc<Tcp>> {
        self.streams.iter().find(|tcp| tcp.mode == Mode::Passthrough)
    }

    /// The host whose certificate a client gets that asks for no name.
    pub fn certificate_host(&self) -> Option<&'t Host> {
        self.certificate_host
    }

    /// The one for this database and user: one that asks for both comes before one that asks for the database, the user,
    /// or neither.
    pub fn choose(&self, database: &str, user: &str) -> Option<&'t Arc<Tcp>> {
        let found = self.streams.iter().find(|tcp| tcp.takes(database, user))?;
        let is_closed = |rule: &SessionRule| rule.takes(database, user) && rule.rank() > found.rank();
        (!self.closed.iter().any(is_closed)).then_some(found)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// All of them, those that ask for more first.
    pub fn iter(&self) -> impl Iterator<Item = &'t Arc<Tcp>> + use<'t> {
        self.streams.iter()
    }
}

/// The first host of those whose TLS ends at the edge, one name before a wildcard.
fn certificate_host(streams: &[Arc<Tcp>]) -> Option<&Host> {
    let hosts = || streams.iter().filter(|tcp| tcp.mode.ends_tls()).flat_map(|tcp| &tcp.hosts);
    hosts().find(|host| !host.is_wildcard()).or_else(|| hosts().next())
}

fn same_hosts(a: &Tcp, b: &Tcp) -> bool {
    a.hosts.len() == b.hosts.len() && a.hosts.iter().all(|host| b.hosts.contains(host))
}

/// A name of SNI as hosts are kept.
fn canonical(name: &str) -> Cow<'_, str> {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

#[cfg(test)]
mod tests;
