//! One successful load, whole and unchanging: the routes, what each of them serves with, and where plain HTTP leads.
//!
//! A request takes it once and keeps it to its end; a reload publishes another one. Nothing here reads a file.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use routes::check::Rejected;
use routes::route::Route;
use routes::table::Table;

use crate::conn::h1_head::HeadLimits;
use crate::middleware::{Middleware, OwnCookies};
use crate::telemetry::RouteMetrics;
use crate::upstream::Pool;

mod settings;
mod streams;
mod unit;

pub use settings::{stream_settings, upstream_settings};
pub use streams::StreamSites;
pub use unit::Unit;

/// One route with everything that serves it.
#[derive(Debug)]
pub struct Site {
    /// The route as it was checked.
    pub route: Arc<Route>,
    /// What sees its requests before that, in this order.
    pub steps: Arc<[Arc<dyn Middleware>]>,
    /// What answers.
    pub serve: Serve,
    /// The files beside the route's own that were read for it: they may change although the route does not.
    pub files: Arc<[PathBuf]>,
    /// Of what stood in them, if there are any.
    pub files_digest: Option<u64>,
    /// What it counts.
    pub metrics: RouteMetrics,
}

/// What answers the requests of a route.
#[derive(Debug, Clone)]
pub enum Serve {
    /// Servers.
    Upstream(Pool),
    /// The files below this folder, which is absolute.
    Files(PathBuf),
    /// The edge itself, as the route's target says.
    Itself,
}

/// A load of all route files.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts the loads that were published; 1 is the first.
    pub generation: u64,
    /// Finds the route of a request.
    pub table: Table,
    /// What serves connections and datagrams below HTTP.
    pub streams: StreamSites,
    sites: HashMap<String, Arc<Site>>,
    /// Entrypoints of plain HTTP and the port of HTTPS to which they lead.
    redirects: HashMap<String, u16>,
    /// Cookies of logins at any route: browsers send them to all routes of a host.
    pub own_cookies: OwnCookies,
    /// Counts what no route takes.
    pub unrouted: RouteMetrics,
    /// The largest head that some route allows: what a connection takes before it is known for whom. Each route holds its
    /// requests to its own limits behind that.
    pub heads: HeadLimits,
}

impl Snapshot {
    /// Puts a load together.
    pub fn new(
        generation: u64,
        table: Table,
        units: &[Unit],
        closed: &[Rejected],
        redirects: HashMap<String, u16>,
        unrouted: RouteMetrics,
    ) -> Self {
        let sites = units.iter().filter_map(|unit| match unit {
            Unit::Http(site) => Some((site.route.name.clone(), Arc::clone(site))),
            Unit::Tcp(_) | Unit::Udp(_) => None,
        });
        let sites: HashMap<_, _> = sites.collect();
        let steps = sites.values().flat_map(|site: &Arc<Site>| site.steps.iter());
        let own_cookies = OwnCookies::of(steps.filter_map(|step| step.cookies()));
        let heads = sites.values().fold(HeadLimits::default(), largest);
        let streams = StreamSites::of(units, closed);
        Self { generation, table, streams, sites, redirects, own_cookies, unrouted, heads }
    }

    /// What serves `route`.
    pub fn site(&self, route: &Route) -> Option<&Arc<Site>> {
        self.sites.get(&route.name)
    }

    /// All sites, in no order.
    pub fn sites(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.sites.values()
    }

    /// The site of this name.
    pub fn named(&self, name: &str) -> Option<&Arc<Site>> {
        self.sites.get(name)
    }

    /// All that serves, of every kind, in no order.
    pub fn units(&self) -> impl Iterator<Item = Unit> {
        let http = self.sites.values().cloned().map(Unit::Http);
        let tcp = self.streams.all_tcp().cloned().map(Unit::Tcp);
        http.chain(tcp).chain(self.streams.all_udp().cloned().map(Unit::Udp))
    }

    /// What serves under this name, of whatever kind.
    pub fn unit(&self, name: &str) -> Option<Unit> {
        self.sites.get(name).cloned().map(Unit::Http).or_else(|| self.streams.named(name))
    }

    /// Whether a route of requests has exactly this host. Looks at all of them: not for each connection.
    pub fn has_route_of(&self, name: &str) -> bool {
        self.table.hosts().any(|(host, _)| !host.is_wildcard() && host.matches(name))
    }

    /// Whether the TLS of a name ends here, for requests or for streams.
    pub fn serves(&self, name: &str) -> bool {
        self.table.serves(name) || self.table.serves_any() || self.streams.table.serves(name)
    }

    /// The port of HTTPS to which requests on this entrypoint are sent, if they are.
    pub fn redirect_port(&self, entrypoint: &str) -> Option<u16> {
        self.redirects.get(entrypoint).copied()
    }
}

fn largest(heads: HeadLimits, site: &Arc<Site>) -> HeadLimits {
    let limits = &site.route.limits;
    HeadLimits {
        head_bytes: heads.head_bytes.max(usize::try_from(limits.headers).unwrap_or(usize::MAX)),
        fields: heads.fields.max(limits.fields as usize),
        line_bytes: heads.line_bytes,
    }
}

impl Site {
    /// Whether the other does the same under the same name, wherever it stands.
    pub fn same_as(&self, other: &Self) -> bool {
        self.files_digest == other.files_digest && self.route.same_as(&other.route)
    }

    /// The servers, if it has any.
    pub fn pool(&self) -> Option<&Pool> {
        match &self.serve {
            Serve::Upstream(pool) => Some(pool),
            Serve::Files(_) | Serve::Itself => None,
        }
    }
}

/// The snapshot that new requests take.
#[derive(Debug)]
pub struct Live {
    current: ArcSwap<Snapshot>,
}

impl Live {
    /// Begins with `snapshot`.
    pub fn new(snapshot: Snapshot) -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::from_pointee(snapshot) })
    }

    /// Take it once per request or decision.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Makes `snapshot` the one that new requests take; the old one lives until its last request ends.
    pub fn publish(&self, snapshot: Snapshot) {
        self.current.store(Arc::new(snapshot));
    }
}
