//! One server of a pool: its addresses with a peer for each, and what happened on it.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use pingora::upstreams::peer::HttpPeer;

use crate::telemetry::{Outcome, RouteMetrics, UpstreamMetrics};
use crate::upstream::address::Address;
use crate::upstream::dns::{Dns, Watched};
use crate::upstream::health::{Change, Tally};
use crate::upstream::peer::Template;
use crate::upstream::settings::{Host, Place, Scheme, Server};
use crate::upstream::standing::Standing;

/// How long an address that could not be reached is the last resort. Short, because nothing but a
/// request finds out that it is back.
const SHUNNED_MILLIS: u64 = 10_000;

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
    pub(super) weight: u16,
    pub(super) backup: bool,
    pub(super) standing: Standing,
    template: Template,
    source: Source,
    known: ArcSwap<Addresses>,
    next: AtomicUsize,
    active: AtomicUsize,
    requests: AtomicU64,
    last_error: Mutex<Option<LastError>>,
}

enum Source {
    Fixed,
    Name { watched: Arc<Watched>, port: u16 },
}

/// The peers for the addresses that a name had.
struct Addresses {
    /// Compared by pointer: the resolution keeps the allocation while nothing changes.
    of: Arc<[IpAddr]>,
    list: Vec<Arc<Known>>,
}

/// One address with its peer.
pub(super) struct Known {
    pub(super) address: Address,
    pub(super) peer: HttpPeer,
    /// In milliseconds of the pool's clock; 0 for an address in good standing.
    shunned_until: AtomicU64,
    /// Whether its checks fail.
    down: AtomicBool,
    tally: Mutex<Tally>,
}

impl Member {
    pub(super) fn new(server: &Server, template: Template, dns: &Dns, route: &RouteMetrics) -> Self {
        let none = || Arc::<[IpAddr]>::from([]);
        let known = |address: Address| vec![Known::new(address, &template)];
        let (source, of, list) = match &server.place {
            Place::Net { host: Host::Ip(ip), port } => {
                (Source::Fixed, [*ip].into(), known(SocketAddr::new(*ip, *port).into()))
            }
            Place::Net { host: Host::Name(name), port } => {
                (Source::Name { watched: dns.watch(name), port: *port }, none(), Vec::new())
            }
            Place::Unix(path) => (Source::Fixed, none(), known(path.into())),
        };
        Self {
            metrics: route.upstream(&server.to_string()),
            authority: authority(server),
            weight: server.weight,
            backup: server.backup,
            standing: Standing::default(),
            template,
            source,
            known: ArcSwap::from_pointee(Addresses { of, list }),
            next: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            last_error: Mutex::new(None),
        }
    }

    /// Goes on with what another pool knows of the same server; what its checks said, only if there are checks here too.
    pub(super) fn learn(&self, before: &Self, checked: bool) {
        self.standing.learn(&before.standing);
        let earlier = before.known();
        for known in self.known() {
            if let Some(earlier) = earlier.iter().find(|earlier| earlier.address == known.address) {
                known.learn(earlier, checked);
            }
        }
    }

    /// Whether any address is usable.
    pub(super) fn has(&self, usable: impl Fn(&Known) -> bool) -> bool {
        self.with_addresses(|addresses| addresses.list.iter().any(|known| usable(known)))
    }

    /// The usable address whose turn it is.
    pub(super) fn next(&self, usable: impl Fn(&Known) -> bool) -> Option<Arc<Known>> {
        self.with_addresses(|addresses| {
            let count = addresses.list.len();
            let start = if count > 1 { self.next.fetch_add(1, Ordering::Relaxed) } else { 0 };
            let in_turn = (0..count).map(|step| &addresses.list[start.wrapping_add(step) % count]);
            in_turn.into_iter().find(|known| usable(known)).cloned()
        })
    }

    /// All its addresses as of now.
    pub(super) fn known(&self) -> Vec<Arc<Known>> {
        self.with_addresses(|addresses| addresses.list.clone())
    }

    /// Whether its checks let any address be used; one that has no address yet is not down.
    pub(super) fn is_up(&self) -> bool {
        self.with_addresses(|addresses| {
            addresses.list.is_empty() || addresses.list.iter().any(|known| !known.is_down())
        })
    }

    pub(super) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Requests under way.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Tries so far.
    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) async fn resolved(&self) {
        if let Source::Name { watched, .. } = &self.source {
            watched.known().await;
        }
    }

    pub(super) fn count(&self, outcome: Outcome, error: Option<&str>, at: SystemTime) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        // A client that leaves, or is refused, tells nothing about the server.
        if matches!(outcome, Outcome::Answered | Outcome::ClientClosed | Outcome::GivenUp) {
            return;
        }
        self.failed(error.unwrap_or(outcome.label()).to_owned(), at);
    }

    /// Notes what went wrong last.
    pub(super) fn failed(&self, text: String, at: SystemTime) {
        let mut last = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(LastError { at, text });
    }

    pub(super) fn last_error(&self) -> Option<LastError> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn dns_error(&self) -> Option<String> {
        match &self.source {
            Source::Fixed => None,
            Source::Name { watched, .. } => watched.current().error.clone(),
        }
    }

    /// Looks at the addresses of now. When the name has new ones, whoever comes first makes their peers; two
    /// at once make them twice, which is harmless.
    fn with_addresses<T>(&self, look: impl FnOnce(&Addresses) -> T) -> T {
        let known = self.known.load();
        let Source::Name { watched, port } = &self.source else { return look(&known) };
        let Some(of) = watched.addresses_other_than(&known.of) else { return look(&known) };
        let keep = |ip: &IpAddr| {
            let address = SocketAddr::new(*ip, *port).into();
            let before = known.list.iter().find(|known| known.address == address);
            before.cloned().unwrap_or_else(|| Known::new(address, &self.template))
        };
        let list = of.iter().map(keep).collect();
        let fresh = Arc::new(Addresses { of, list });
        self.known.store(Arc::clone(&fresh));
        look(&fresh)
    }
}

impl Known {
    fn new(address: Address, template: &Template) -> Arc<Self> {
        let peer = template.peer(&address);
        let (shunned_until, down, tally) = (AtomicU64::new(0), AtomicBool::new(false), Mutex::default());
        Arc::new(Self { address, peer, shunned_until, down, tally })
    }

    /// Whether nothing speaks against it.
    pub(super) fn is_fresh(&self, now: u64) -> bool {
        self.shunned_until.load(Ordering::Relaxed) <= now && !self.is_down()
    }

    /// Whether its checks fail.
    pub(super) fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    /// Notes how a check ended.
    pub(super) fn checked(&self, good: bool, up_after: u32, down_after: u32) -> Option<Change> {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let change = tally.note(good, up_after, down_after)?;
        self.down.store(change == Change::Down, Ordering::Relaxed);
        if change == Change::Up {
            // What requests found out before is history.
            self.shunned_until.store(0, Ordering::Relaxed);
        }
        Some(change)
    }

    fn learn(&self, before: &Self, checked: bool) {
        self.shunned_until.store(before.shunned_until.load(Ordering::Relaxed), Ordering::Relaxed);
        if checked {
            let tally = *before.tally.lock().unwrap_or_else(PoisonError::into_inner);
            *self.tally.lock().unwrap_or_else(PoisonError::into_inner) = tally;
            self.down.store(before.is_down(), Ordering::Relaxed);
        }
    }

    /// Nobody checks it any more: it counts as up.
    pub(super) fn unwatched(&self) {
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner) = Tally::default();
        self.down.store(false, Ordering::Relaxed);
    }

    pub(super) fn mark(&self, reached: bool, now: u64) {
        let until = if reached { 0 } else { now + SHUNNED_MILLIS };
        // Read first: all cores write here otherwise, for the same 0.
        if self.shunned_until.load(Ordering::Relaxed) != until {
            self.shunned_until.store(until, Ordering::Relaxed);
        }
    }
}

/// The `Host` of the server itself; a socket has no name, and most programs take this one.
fn authority(server: &Server) -> String {
    let Place::Net { host, port } = &server.place else { return "localhost".to_owned() };
    let own_port = match server.scheme {
        Scheme::Http | Scheme::H2c => Some(80),
        Scheme::Https => Some(443),
        Scheme::Tcp | Scheme::Udp => None,
    };
    if own_port == Some(*port) { host.to_string() } else { format!("{host}:{port}") }
}
