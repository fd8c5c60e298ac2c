//! What one request carries from phase to phase: the world it sees, what it asks for, and what became of it so far.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use http::HeaderValue;

use super::asked::Asked;
use crate::conn::body_watch::BodyWatch;
use crate::conn::control::StreamFault;
use crate::conn::facts::ConnFacts;
use crate::middleware::Done;
use crate::snapshot::{Site, Snapshot};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{InFlight, Metrics, Refusal, RouteMetrics};
use crate::upstream::{Active, Address, Pick, Tried};

/// Between two requests of an HTTP/1 connection.
pub const KEEPALIVE_SECONDS: u64 = 75;

/// One request on its way.
pub struct Cx {
    /// The snapshot that the request sees from its first phase to its last.
    pub snapshot: Arc<Snapshot>,
    /// Whether the edge is stopping.
    pub draining: Arc<AtomicBool>,
    /// When its head had been read.
    pub began: Instant,
    /// The connection it came on; none before the first phase.
    pub conn: Option<Arc<ConnFacts>>,
    /// The watch over its body, on HTTP/2.
    pub body: Option<Arc<BodyWatch>>,
    /// Who asked, as far as trusted proxies tell; known from the first phase on.
    pub client: Option<IpAddr>,
    /// `http` or `https`, as the client spoke it as far as trusted proxies tell; known from the first phase on.
    pub scheme: &'static str,
    /// Whether a body is still to come when its head has been read.
    pub has_body: bool,
    /// Its name in logs.
    pub id: String,
    /// What it asks for.
    pub asked: Asked,
    /// The route that took it.
    pub site: Option<Arc<Site>>,
    /// Counts it as in flight.
    pub in_flight: Option<InFlight>,
    /// Why it was refused, if it was.
    pub refusal: Option<Refusal>,
    /// Whether the connection ends with this request, so that its answer says so.
    pub last: bool,
    /// Servers that were tried.
    pub tried: Tried,
    /// The server that is being tried, and since when.
    pub pick: Option<(Pick, Instant)>,
    /// The server that answered.
    pub server: Option<Pick>,
    /// What the middlewares have done.
    pub done: Done,
    /// Address of the last server that was tried.
    pub upstream: Option<Address>,
    /// Counts the request on that server.
    pub active: Option<Active>,
    /// The `Set-Cookie` by which the client comes back to that server.
    pub sticky: Option<HeaderValue>,
    /// When it was picked.
    pub asked_at: Option<Instant>,
    /// How many servers were picked.
    pub attempts: u32,
    /// When that server was connected.
    pub connected: Option<Instant>,
    /// When the head of its answer came.
    pub answered: Option<Instant>,
    /// Body bytes that came from the client.
    pub request_bytes: u64,
    /// Body bytes of the server's answer.
    pub response_bytes: u64,
    /// Tells of the request if it is dropped where it stands; none once its end was told.
    pub unfinished: Option<Unfinished>,
}

/// What tells of a request that is dropped where it stands.
pub struct Unfinished {
    /// Counts.
    pub metrics: Metrics,
    /// Writes its line.
    pub access_log: AccessLog,
    /// Tells.
    pub tell: fn(&mut Cx, &Metrics, &AccessLog, StreamFault),
}

impl Drop for Cx {
    fn drop(&mut self) {
        let Some(Unfinished { metrics, access_log, tell }) = self.unfinished.take() else { return };
        if let Some(fault) = self.body.as_ref().and_then(|watch| watch.to_tell()) {
            tell(self, &metrics, &access_log, fault);
        }
    }
}

impl Cx {
    /// A request that sees `snapshot`, on an edge that stops when `draining` is set.
    pub fn new(snapshot: Arc<Snapshot>, draining: Arc<AtomicBool>) -> Self {
        Self {
            snapshot,
            draining,
            began: Instant::now(),
            conn: None,
            body: None,
            client: None,
            scheme: "https",
            has_body: false,
            id: String::new(),
            asked: Asked::default(),
            site: None,
            in_flight: None,
            refusal: None,
            last: false,
            tried: Tried::default(),
            pick: None,
            server: None,
            done: Done::default(),
            upstream: None,
            active: None,
            sticky: None,
            asked_at: None,
            attempts: 0,
            connected: None,
            answered: None,
            request_bytes: 0,
            response_bytes: 0,
            unfinished: None,
        }
    }

    /// How many seconds its connection may wait for the next request; none if there is to be no next one.
    pub fn keepalive(&self) -> Option<u64> {
        (!self.draining.load(Relaxed)).then_some(KEEPALIVE_SECONDS)
    }

    /// The most bytes that its body may have; none is no limit.
    pub fn body_limit(&self) -> Option<u64> {
        let of_route = self.site.as_ref().and_then(|site| site.route.limits.body);
        [self.done.body_limit, of_route].into_iter().flatten().min()
    }

    /// What the request is counted under.
    pub fn metrics(&self) -> &RouteMetrics {
        self.site.as_ref().map_or(&self.snapshot.unrouted, |site| &site.metrics)
    }

    /// The name of its route, or an empty one.
    pub fn route(&self) -> &str {
        self.site.as_ref().map_or("", |site| &site.route.name)
    }
}
