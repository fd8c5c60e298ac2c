//! What serves one `[[udp]]` route: its sockets, each with the relay behind it, and its servers.
//!
//! A socket outlives the loads that change its route: clients keep their sessions, and nothing is bound twice.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use routes::stream::Udp;
use tokio_util::sync::CancellationToken;

use super::udp::{Counts, Handle, Limits, Listener, Outcome, Relay, RelayStatus, Servers, Settings, Sum, Way};
use crate::tasks::Tasks;
use crate::telemetry::{self, Metrics, OpenStream, UdpMetrics, events};
use crate::upstream::{self, Active, Means, Pick, Pool, Tried};

/// One `[[udp]]` route with everything that serves it.
#[derive(Debug)]
pub struct UdpSite {
    /// The route as it was checked.
    pub route: Arc<Udp>,
    /// Its servers.
    pub pool: Pool,
    relays: Vec<Arc<Running>>,
}

/// Why a `[[udp]]` route cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Its servers cannot be used.
    #[error(transparent)]
    Upstream(#[from] upstream::BuildError),
    /// An address cannot be listened on.
    #[error("{address} cannot be listened on: {}", words(.source, *.address))]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// What a site is built from besides its route.
pub struct Around<'a> {
    /// What pools are built with.
    pub means: &'a Means,
    /// Of the pool.
    pub settings: upstream::Settings,
    /// The sites of before, whose sockets stay open if their addresses stay.
    pub before: Vec<Arc<UdpSite>>,
    /// What everything counts.
    pub metrics: &'a Metrics,
    /// Runs the relays.
    pub tasks: &'a Tasks,
    /// How long sessions may go on when a relay ends.
    pub grace: Duration,
}

impl UdpSite {
    /// Builds it; sockets that are new receive at once. Blocks shortly.
    ///
    /// # Errors
    /// See [`BuildError`]; what serves is left as it is then.
    pub fn build(route: &Arc<Udp>, around: Around<'_>) -> Result<Self, BuildError> {
        let counters = around.metrics.route(&route.name);
        let same = around.before.iter().find(|site| site.route.name == route.name);
        let pool = Pool::build(around.settings.clone(), around.means, &counters, same.map(|site| &site.pool))?;
        let metrics = around.metrics.udp(&route.name);
        let current = Arc::new(Current::new(route, &pool, &metrics, around.metrics));
        let settings = settings(route);
        let mut relays = Vec::new();
        for address in &route.listen {
            let mut earlier = around.before.iter().flat_map(|site| &site.relays);
            let relay = match earlier.find(|relay| relay.asked == *address && !relay.stop.is_cancelled()) {
                Some(relay) => Arc::clone(relay),
                None => Arc::new(
                    start(*address, settings, &current, &around)
                        .map_err(|source| BuildError::Bind { address: *address, source })?,
                ),
            };
            relays.push(relay);
        }
        for relay in &relays {
            relay.current.store(Arc::clone(&current));
            relay.handle.set(settings);
        }
        Ok(Self { route: Arc::clone(route), pool, relays })
    }

    /// The same site for a route that only stands elsewhere now.
    #[must_use]
    pub fn moved(&self, route: &Arc<Udp>) -> Self {
        Self { route: Arc::clone(route), pool: self.pool.clone(), relays: self.relays.clone() }
    }

    /// The addresses in use, with the real ports.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.relays.iter().map(|relay| relay.address)
    }

    /// Its open sessions.
    pub fn sessions(&self) -> Vec<RelayStatus> {
        self.relays.iter().flat_map(|relay| relay.handle.status()).collect()
    }

    /// Ends the sockets that none of `next` has: their routes are gone.
    pub fn retire<'s>(&self, next: impl Iterator<Item = &'s Arc<Self>> + Clone) {
        for relay in &self.relays {
            let stays = next.clone().flat_map(|site| &site.relays).any(|other| Arc::ptr_eq(relay, other));
            if !stays {
                relay.stop.cancel();
            }
        }
    }
}

/// A socket with the relay behind it. Ends with the last site that has it.
struct Running {
    /// As written; the port may be 0.
    asked: SocketAddr,
    address: SocketAddr,
    current: Arc<ArcSwap<Current>>,
    handle: Handle<OfRoute, OfRoute>,
    stop: CancellationToken,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Running").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What the relays of a route ask and count with; another one takes its place when the route changes.
struct Current {
    route: Arc<Udp>,
    pool: Pool,
    metrics: UdpMetrics,
    all_metrics: Metrics,
    forwarded: [prometheus::IntCounter; 2],
}

impl Current {
    fn new(route: &Arc<Udp>, pool: &Pool, metrics: &UdpMetrics, all_metrics: &Metrics) -> Self {
        let forwarded = [Way::ToServer, Way::ToClient].map(|way| metrics.datagrams(direction(way), "forwarded"));
        let (metrics, all_metrics) = (metrics.clone(), all_metrics.clone());
        Self { route: Arc::clone(route), pool: pool.clone(), metrics, all_metrics, forwarded }
    }
}

fn start(address: SocketAddr, settings: Settings, current: &Arc<Current>, around: &Around<'_>) -> io::Result<Running> {
    let listener = Listener::bind(address)?;
    let (bound, name) = (listener.address(), format!("udp {} {}", current.route.name, listener.address()));
    let swap = Arc::new(ArcSwap::from(Arc::clone(current)));
    let of_route = || OfRoute(Arc::clone(&swap));
    let rule = Arc::clone(&swap);
    let admits = move |client: IpAddr| rule.load().route.ip.admits(client);
    let _inside = around.tasks.enter();
    let relay = Relay::new(listener, settings, of_route(), of_route(), admits)?;
    tracing::info!(route = current.route.name, address = %bound, "listening for datagrams");
    let (handle, grace) = (relay.handle(), around.grace);
    let removed = CancellationToken::new();
    let watch = removed.clone();
    around.tasks.spawn(name, move |stop| async move {
        // A route that is gone frees its address at once; an edge that stops lets sessions come to their end.
        let _ = watch.run_until_cancelled(relay.run(stop, grace)).await;
    });
    Ok(Running { asked: address, address: bound, current: swap, handle, stop: removed })
}

fn settings(route: &Udp) -> Settings {
    let limits = &route.limits;
    Settings {
        idle: route.idle,
        limits: Limits {
            sessions: limits.sessions,
            client_sessions: limits.client_sessions,
            client_rate: limits.client_rate,
        },
    }
}

/// Asks and counts as the route of now says.
struct OfRoute(Arc<ArcSwap<Current>>);

impl Servers for OfRoute {
    type Token = (Pick, Active);

    fn pick(&self, client: IpAddr) -> Option<(SocketAddr, Self::Token)> {
        let current = self.0.load();
        let wish = current.pool.wish(&HeaderMap::new(), Some(client));
        let pick = current.pool.pick(&Tried::default(), wish)?;
        let address = pick.address().inet()?;
        let active = pick.begin();
        Some((address, (pick, active)))
    }

    fn failed(&self, (pick, _): &Self::Token) {
        let current = self.0.load();
        let error = "the port is closed, or there is no way to it";
        pick.done(telemetry::Outcome::ConnectFailed, None, Some(error));
        let (route, upstream, address) = (&*current.route.name, pick.server(), pick.address());
        events::UpstreamConnectFailed { route, upstream, address, error }.emit(&current.all_metrics);
    }
}

impl Counts for OfRoute {
    type Open = OpenStream;

    fn opened(&self) -> OpenStream {
        self.0.load().metrics.begin()
    }

    fn passed(&self, way: Way, outcome: Outcome, sum: Sum) {
        let current = self.0.load();
        match outcome {
            Outcome::Forwarded => current.forwarded[usize::from(way == Way::ToClient)].inc_by(sum.datagrams),
            other => current.metrics.datagrams(direction(way), other.label()).inc_by(sum.datagrams),
        }
    }
}

fn direction(way: Way) -> &'static str {
    match way {
        Way::ToServer => "received",
        Way::ToClient => "sent",
    }
}

fn words(error: &io::Error, address: SocketAddr) -> String {
    let port = address.port();
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "port {port} is taken; see who has it with `ss -lunp 'sport = :{port}'`, stop that, or change `listen`"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("port {port} needs root or CAP_NET_BIND_SERVICE; use a port from 1024 on")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no interface with {}; change `listen`", address.ip())
        }
        _ => error.to_string(),
    }
}
