//! Every number that Prometheus can read, in a registry of its own.
//!
//! Only events and the route handles write here; logic does not name a metric.

mod families;
mod mirrored;
mod process;
mod register;
mod retry;
mod route;
mod stream;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use prometheus::{Registry, TextEncoder};

use families as f;
use register::{counter, forget, gauge, histogram, reading};
use route::RouteFamilies;
use stream::StreamFamilies;

use super::refusal::Refusal;
use super::throttle::Throttle;
use crate::tasks::Tasks;

pub use families::{FAMILIES, Family, Kind, reference};
pub use mirrored::Mirrored;
pub use retry::Retry;
pub use route::{InFlight, Outcome, RouteMetrics, Served, UpstreamMetrics};
pub use stream::{OpenStream, TcpMetrics, UdpMetrics};

/// What was built, for `edge_build_info`.
#[derive(Clone, Copy, Debug)]
pub struct BuildInfo {
    /// Such as `0.1.0`.
    pub version: &'static str,
    /// Short commit, or empty if unknown.
    pub commit: &'static str,
}

/// All metrics of one edge. Clones are the same metrics.
#[derive(Clone)]
pub struct Metrics {
    all: Arc<All>,
}

struct All {
    registry: Registry,
    route: Arc<RouteFamilies>,
    stream: Arc<StreamFamilies>,
    panics: Arc<Mutex<Vec<Tasks>>>,
    other: Other,
    throttles: Throttles,
}

/// Limits on log lines that somebody else can cause at will.
#[derive(Default)]
pub(super) struct Throttles {
    pub(super) unknown_name: Throttle,
    pub(super) cap: Throttle,
    pub(super) connect_failed: Throttle,
    pub(super) access_log: Throttle,
}

/// The families without a `route` label.
pub(super) struct Other {
    pub(super) connections_open: IntGaugeVec,
    pub(super) connections: IntCounterVec,
    pub(super) handshakes: IntCounterVec,
    pub(super) handshake_duration: Histogram,
    pub(super) dns_lookups: IntCounterVec,
    pub(super) not_after: IntGaugeVec,
    pub(super) renew_at: IntGaugeVec,
    pub(super) acme_orders: IntCounterVec,
    pub(super) acme_last_error: IntGaugeVec,
    pub(super) routes: IntGaugeVec,
    pub(super) generation: IntGauge,
    pub(super) reloads: IntCounterVec,
    pub(super) last_success: IntGauge,
    pub(super) access_log_dropped: IntCounter,
}

impl Metrics {
    /// All families, empty.
    pub fn new(build: BuildInfo) -> Self {
        let registry = Registry::new();
        let info = gauge(&f::BUILD_INFO, &registry);
        info.with_label_values(&[build.version, build.commit]).set(1);
        let panics = Arc::<Mutex<Vec<Tasks>>>::default();
        let collectors: [Box<dyn Collector>; 2] =
            [Box::new(process::Process::new()), Box::new(Panics::new(Arc::clone(&panics)))];
        for collector in collectors {
            let known = registry.register(collector);
            known.expect("FAMILIES holds distinct families");
        }
        let route = Arc::new(RouteFamilies::new(&registry));
        let stream = Arc::new(StreamFamilies::new(&registry));
        let other = Other::new(&registry);
        Self { all: Arc::new(All { registry, route, stream, panics, other, throttles: Throttles::default() }) }
    }

    /// What one route counts. Make it once for a route and snapshot.
    pub fn route(&self, name: &str) -> RouteMetrics {
        RouteMetrics::new(Arc::clone(&self.all.route), name)
    }

    /// What one `[[tcp]]` route counts. Make it once for a route and snapshot; the empty name is for what has no route.
    pub fn tcp(&self, route: &str) -> TcpMetrics {
        TcpMetrics::new(Arc::clone(&self.all.stream), route)
    }

    /// What one `[[udp]]` route counts. Make it once for a route and snapshot.
    pub fn udp(&self, route: &str) -> UdpMetrics {
        UdpMetrics::new(Arc::clone(&self.all.stream), route)
    }

    /// Counts the panics of these tasks too.
    pub fn watch(&self, tasks: &Tasks) {
        let mut watched = self.all.panics.lock().unwrap_or_else(PoisonError::into_inner);
        watched.push(tasks.clone());
    }

    /// Removes the series of every route that `keep` does not want; one pass for many routes.
    pub fn retain_routes(&self, keep: impl Fn(&str) -> bool) {
        self.all.route.forget_routes(|route| !keep(route));
        self.all.stream.forget_routes(|route| !keep(route));
    }

    /// Removes the series of every pair of route and upstream that `keep` does not want.
    pub fn retain_upstreams(&self, keep: impl Fn(&str, &str) -> bool) {
        let route = &self.all.route;
        route.forget_upstreams(|route, upstream| !keep(route, upstream));
    }

    /// Removes the series of a certificate that is no longer needed. One of another issuer stays.
    pub fn forget_certificate(&self, name: &str, issuer: &str) {
        let gone = |values: &[&str]| values[0] == name;
        let this = |values: &[&str]| values[0] == name && values[1] == issuer;
        forget(&self.all.other.not_after, &f::CERT_NOT_AFTER, this);
        forget(&self.all.other.renew_at, &f::CERT_RENEW_AT, gone);
        forget(&self.all.other.acme_last_error, &f::ACME_LAST_ERROR, gone);
    }

    /// The whole page in the text format of Prometheus.
    pub fn render(&self) -> String {
        let families = self.all.registry.gather();
        // Fails only for a family without series, which gather leaves out.
        TextEncoder::new().encode_to_string(&families).unwrap_or_default()
    }

    pub(super) fn other(&self) -> &Other {
        &self.all.other
    }

    pub(super) fn throttles(&self) -> &Throttles {
        &self.all.throttles
    }

    pub(super) fn refused(&self, route: &str, refusal: Refusal) {
        self.all.route.refused(route, refusal);
    }

    /// An order of `name` succeeded: what went wrong before is history.
    pub(super) fn forget_acme_error(&self, name: &str) {
        let gone = |values: &[&str]| values[0] == name;
        forget(&self.all.other.acme_last_error, &f::ACME_LAST_ERROR, gone);
    }

    /// A name has one certificate in use: that of another issuer is gone.
    pub(super) fn forget_other_issuers(&self, name: &str, issuer: &str) {
        let gone = |values: &[&str]| values[0] == name && values[1] != issuer;
        forget(&self.all.other.not_after, &f::CERT_NOT_AFTER, gone);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Other {
    fn new(registry: &Registry) -> Self {
        Self {
            connections_open: gauge(&f::CONNECTIONS_OPEN, registry),
            connections: counter(&f::CONNECTIONS, registry),
            handshakes: counter(&f::HANDSHAKES, registry),
            handshake_duration: histogram(&f::HANDSHAKE_DURATION, registry).with_label_values::<&str>(&[]),
            dns_lookups: counter(&f::DNS_LOOKUPS, registry),
            not_after: gauge(&f::CERT_NOT_AFTER, registry),
            renew_at: gauge(&f::CERT_RENEW_AT, registry),
            acme_orders: counter(&f::ACME_ORDERS, registry),
            acme_last_error: gauge(&f::ACME_LAST_ERROR, registry),
            routes: gauge(&f::ROUTES, registry),
            generation: gauge(&f::CONFIG_GENERATION, registry).with_label_values::<&str>(&[]),
            reloads: counter(&f::CONFIG_RELOADS, registry),
            last_success: gauge(&f::CONFIG_LAST_SUCCESS, registry).with_label_values::<&str>(&[]),
            access_log_dropped: counter(&f::ACCESS_LOG_DROPPED, registry).with_label_values::<&str>(&[]),
        }
    }
}

/// Sums the panics of all watched tasks when somebody looks.
struct Panics {
    desc: Desc,
    watched: Arc<Mutex<Vec<Tasks>>>,
}

impl Panics {
    fn new(watched: Arc<Mutex<Vec<Tasks>>>) -> Self {
        let desc = register::desc(&f::TASK_PANICS);
        Self { desc, watched }
    }
}

impl Collector for Panics {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let panics: u64 = watched.iter().map(Tasks::panics).sum();
        // Exact up to 2^53, and each is a defect.
        reading(&f::TASK_PANICS, panics as f64)
    }
}

#[cfg(test)]
mod tests;
