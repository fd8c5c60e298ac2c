//! One server of a pool: its addresses with a peer for each, and what happened on it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use pingora::upstreams::peer::HttpPeer;

use crate::telemetry::{Outcome, RouteMetrics, UpstreamMetrics};
use crate::upstream::dns::{Dns, Watched};
use crate::upstream::peer::Template;
use crate::upstream::settings::{Host, Scheme, Server};

/// How long an address that could not be reached is the last resort. Short, because nothing but a
/// request finds out that it is back.
const SHUNNED_MILLIS: u64 = 10_000;

/// One server as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// As written: `scheme://host:port`.
    pub server: String,
    /// Its share of the requests; 0 is none.
    pub weight: u16,
    /// Where it can be reached; empty while its name is not known.
    pub addresses: Vec<AddressStatus>,
    /// Tries since the pool was made.
    pub requests: u64,
    /// The last try that failed.
    pub last_error: Option<LastError>,
    /// Why the last look-up of its name failed.
    pub dns_error: Option<String>,
}

/// One address as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressStatus {
    /// Address and port.
    pub address: SocketAddr,
    /// Whether it could not be reached a moment ago.
    pub failing: bool,
}

/// A failure and when it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// When.
    pub at: SystemTime,
    /// What.
    pub text: String,
}

pub(super) struct Member {
    pub(super) metrics: UpstreamMetrics,
    pub(super) authority: String,
    weight: u16,
    port: u16,
    template: Template,
    source: Source,
    known: ArcSwap<Addresses>,
    next: AtomicUsize,
    requests: AtomicU64,
    last_error: Mutex<Option<LastError>>,
}

enum Source {
    Fixed,
    Name(Arc<Watched>),
}

/// The peers for the addresses that a name had.
struct Addresses {
    /// Compared by pointer: the resolution keeps the allocation while nothing changes.
    of: Arc<[IpAddr]>,
    list: Vec<Arc<Known>>,
}

/// One address with its peer.
pub(super) struct Known {
    pub(super) address: SocketAddr,
    pub(super) peer: HttpPeer,
    /// In milliseconds of the pool's clock; 0 for an address in good standing.
    shunned_until: AtomicU64,
}

impl Member {
    pub(super) fn new(server: &Server, template: Template, dns: &Dns, route: &RouteMetrics) -> Self {
        let (source, of): (_, Arc<[IpAddr]>) = match &server.host {
            Host::Ip(ip) => (Source::Fixed, [*ip].into()),
            Host::Name(name) => (Source::Name(dns.watch(name)), [].into()),
        };
        let list = of.iter().map(|ip| Known::new(SocketAddr::new(*ip, server.port), &template)).collect();
        Self {
            metrics: route.upstream(&server.to_string()),
            authority: authority(server),
            weight: server.weight,
            port: server.port,
            template,
            source,
            known: ArcSwap::from_pointee(Addresses { of, list }),
            next: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            last_error: Mutex::new(None),
        }
    }

    /// Whether any address is usable.
    pub(super) fn has(&self, usable: impl Fn(&Known) -> bool) -> bool {
        self.addresses().list.iter().any(|known| usable(known))
    }

    /// The usable address whose turn it is.
    pub(super) fn next(&self, usable: impl Fn(&Known) -> bool) -> Option<Arc<Known>> {
        let addresses = self.addresses();
        let count = addresses.list.len();
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let in_turn = (0..count).map(|step| &addresses.list[start.wrapping_add(step) % count]);
        in_turn.into_iter().find(|known| usable(known)).cloned()
    }

    pub(super) async fn resolved(&self) {
        if let Source::Name(watched) = &self.source {
            watched.known().await;
        }
    }

    pub(super) fn count(&self, outcome: Outcome, error: Option<&str>, at: SystemTime) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        // A client that leaves tells nothing about the server.
        if matches!(outcome, Outcome::Answered | Outcome::ClientClosed) {
            return;
        }
        let text = error.unwrap_or(outcome.label()).to_owned();
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(LastError { at, text });
    }

    pub(super) fn status(&self, now: u64) -> ServerStatus {
        let status = |known: &Arc<Known>| AddressStatus { address: known.address, failing: !known.is_fresh(now) };
        let dns_error = match &self.source {
            Source::Fixed => None,
            Source::Name(watched) => watched.current().error.clone(),
        };
        ServerStatus {
            server: self.metrics.server().to_owned(),
            weight: self.weight,
            addresses: self.addresses().list.iter().map(status).collect(),
            requests: self.requests.load(Ordering::Relaxed),
            last_error: self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            dns_error,
        }
    }

    /// The addresses of now. When the name has new ones, whoever comes first makes their peers; two
    /// at once make them twice, which is harmless.
    fn addresses(&self) -> Arc<Addresses> {
        let known = self.known.load_full();
        let Source::Name(watched) = &self.source else { return known };
        let of = Arc::clone(&watched.current().addresses);
        if Arc::ptr_eq(&of, &known.of) {
            return known;
        }
        let keep = |ip: &IpAddr| {
            let address = SocketAddr::new(*ip, self.port);
            let before = known.list.iter().find(|known| known.address == address);
            before.cloned().unwrap_or_else(|| Known::new(address, &self.template))
        };
        let list = of.iter().map(keep).collect();
        let fresh = Arc::new(Addresses { of, list });
        self.known.store(Arc::clone(&fresh));
        fresh
    }
}

impl Known {
    fn new(address: SocketAddr, template: &Template) -> Arc<Self> {
        let shunned_until = AtomicU64::new(0);
        Arc::new(Self { address, peer: template.peer(address), shunned_until })
    }

    pub(super) fn is_fresh(&self, now: u64) -> bool {
        self.shunned_until.load(Ordering::Relaxed) <= now
    }

    pub(super) fn mark(&self, reached: bool, now: u64) {
        let until = if reached { 0 } else { now + SHUNNED_MILLIS };
        // Read first: all cores write here otherwise, for the same 0.
        if self.shunned_until.load(Ordering::Relaxed) != until {
            self.shunned_until.store(until, Ordering::Relaxed);
        }
    }
}

fn authority(server: &Server) -> String {
    let own_port = match server.scheme {
        Scheme::Http | Scheme::H2c => 80,
        Scheme::Https => 443,
    };
    match server.port {
        port if port == own_port => server.host.to_string(),
        port => format!("{}:{port}", server.host),
    }
}
