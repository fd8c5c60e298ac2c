//! What is counted for each request, with the series looked up once instead of each time.
//!
//! A route that nobody asked for has no series: with ten thousand routes the page stays readable
//! and the memory small.

use std::sync::{Arc, OnceLock};

use prometheus::Registry;
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::families as f;
use super::mirrored::Mirrored;
use super::register::{counter, forget, gauge, histogram};
use super::retry::Retry;
use crate::telemetry::last_good::LastGood;
use crate::telemetry::logins::LoginMetrics;
use crate::telemetry::provider::Provider;
use crate::telemetry::refusal::Refusal;

/// The families with a `route` label.
#[derive(Debug)]
pub(super) struct RouteFamilies {
    requests: IntCounterVec,
    duration: HistogramVec,
    refusals: IntCounterVec,
    in_flight: IntGaugeVec,
    request_bytes: IntCounterVec,
    response_bytes: IntCounterVec,
    upstream_duration: HistogramVec,
    upstream_up: IntGaugeVec,
    upstream_requests: IntCounterVec,
    upstream_checks: IntCounterVec,
    upstream_ejections: IntCounterVec,
    retries: IntCounterVec,
    last_good: IntGaugeVec,
    logins: IntCounterVec,
    mirrored: IntCounterVec,
}

impl RouteFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            requests: counter(&f::REQUESTS, registry),
            duration: histogram(&f::REQUEST_DURATION, registry),
            refusals: counter(&f::REFUSALS, registry),
            in_flight: gauge(&f::IN_FLIGHT, registry),
            request_bytes: counter(&f::REQUEST_BYTES, registry),
            response_bytes: counter(&f::RESPONSE_BYTES, registry),
            upstream_duration: histogram(&f::UPSTREAM_DURATION, registry),
            upstream_up: gauge(&f::UPSTREAM_UP, registry),
            upstream_requests: counter(&f::UPSTREAM_REQUESTS, registry),
            upstream_checks: counter(&f::UPSTREAM_CHECKS, registry),
            upstream_ejections: counter(&f::UPSTREAM_EJECTIONS, registry),
            retries: counter(&f::RETRIES, registry),
            last_good: gauge(&f::MIDDLEWARE_LAST_GOOD, registry),
            logins: counter(&f::LOGINS, registry),
            mirrored: counter(&f::MIRRORED, registry),
        }
    }

    pub(super) fn refused(&self, route: &str, refusal: Refusal) {
        let refusals = &self.refusals;
        refusals.with_label_values(&[route, refusal.label()]).inc();
    }

    /// Removes the series of routes that are `gone`; the empty name (no route) stays.
    pub(super) fn forget_routes(&self, gone: impl Fn(&str) -> bool) {
        let gone = |values: &[&str]| !values[0].is_empty() && gone(values[0]);
        forget(&self.requests, &f::REQUESTS, gone);
        forget(&self.duration, &f::REQUEST_DURATION, gone);
        forget(&self.refusals, &f::REFUSALS, gone);
        forget(&self.in_flight, &f::IN_FLIGHT, gone);
        forget(&self.request_bytes, &f::REQUEST_BYTES, gone);
        forget(&self.response_bytes, &f::RESPONSE_BYTES, gone);
        forget(&self.retries, &f::RETRIES, gone);
        forget(&self.last_good, &f::MIDDLEWARE_LAST_GOOD, gone);
        forget(&self.logins, &f::LOGINS, gone);
        forget(&self.mirrored, &f::MIRRORED, gone);
        self.forget_upstreams(|route, _| gone(&[route]));
    }

    /// Removes the series of upstreams, by route and upstream, that are `gone`.
    pub(super) fn forget_upstreams(&self, gone: impl Fn(&str, &str) -> bool) {
        let gone = |values: &[&str]| gone(values[0], values[1]);
        forget(&self.upstream_duration, &f::UPSTREAM_DURATION, gone);
        forget(&self.upstream_up, &f::UPSTREAM_UP, gone);
        forget(&self.upstream_requests, &f::UPSTREAM_REQUESTS, gone);
        forget(&self.upstream_checks, &f::UPSTREAM_CHECKS, gone);
        forget(&self.upstream_ejections, &f::UPSTREAM_EJECTIONS, gone);
    }
}

/// What one route counts. Made once for a route and snapshot; clones count into the same series.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    families: Arc<RouteFamilies>,
    name: Box<str>,
    series: OnceLock<Box<Series>>,
}

#[derive(Debug)]
struct Series {
    duration: Histogram,
    in_flight: IntGauge,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
    requests: [OnceLock<Counted>; COMBINATIONS],
}

/// Most routes see fewer combinations of method and code than this; the others are found by name.
const COMBINATIONS: usize = 16;

#[derive(Debug)]
struct Counted {
    method: &'static str,
    code: u16,
    counter: IntCounter,
}

/// One request that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Served<'a> {
    /// As the client sent it.
    pub method: &'a str,
    /// The status code that was sent.
    pub code: u16,
    /// From the first byte of the request to the last of the answer.
    pub seconds: f64,
    /// Body bytes from the client.
    pub request_bytes: u64,
    /// Body bytes to the client.
    pub response_bytes: u64,
}

impl RouteMetrics {
    pub(super) fn new(families: Arc<RouteFamilies>, name: &str) -> Self {
        let shared = Shared { families, name: name.into(), series: OnceLock::new() };
        Self { shared: Arc::new(shared) }
    }

    /// The route's name, as in the label.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Counts a request as in flight until the guard is dropped.
    pub fn begin(&self) -> InFlight {
        let gauge = self.series().in_flight.clone();
        gauge.inc();
        InFlight { gauge }
    }

    /// Counts a request that has ended.
    pub fn served(&self, served: &Served<'_>) {
        let series = self.series();
        series.duration.observe(served.seconds);
        series.request_bytes.inc_by(served.request_bytes);
        series.response_bytes.inc_by(served.response_bytes);
        self.count(series, method_label(served.method), served.code);
    }

    /// Counts a try after the first.
    pub fn retried(&self, why: Retry) {
        let labels = [self.name(), why.label()];
        let retries = &self.shared.families.retries;
        retries.with_label_values(&labels).inc();
    }

    /// What one server of this route counts.
    pub fn upstream(&self, server: &str) -> UpstreamMetrics {
        UpstreamMetrics { route: self.clone(), server: server.into(), series: OnceLock::new() }
    }

    /// Counts a copy of a request.
    pub fn mirrored(&self, result: Mirrored) {
        self.shared.families.mirrored.with_label_values(&[self.name(), result.label()]).inc();
    }

    /// Whether a middleware of this route works with what it had before.
    pub fn last_good(&self, middleware: &str) -> LastGood {
        let gauge = self.shared.families.last_good.with_label_values(&[self.name(), middleware]);
        LastGood::new(self.name(), middleware, gauge)
    }

    /// What this route counts of logins at a provider.
    pub fn logins(&self) -> LoginMetrics {
        LoginMetrics::new(self.name(), self.shared.families.logins.clone())
    }

    /// The server that checks logins for a middleware of this route.
    pub fn provider(&self, middleware: &str) -> Provider {
        Provider::new(self.name(), middleware)
    }

    fn count(&self, series: &Series, method: &'static str, code: u16) {
        let make = || self.requests(method, code);
        for slot in &series.requests {
            let counted = slot.get_or_init(|| Counted { method, code, counter: make() });
            if counted.code == code && counted.method == method {
                return counted.counter.inc();
            }
        }
        make().inc();
    }

    fn requests(&self, method: &str, code: u16) -> IntCounter {
        let digits = code.to_string();
        // An upstream may invent codes; it must not invent series without end.
        let code = match code {
            100..=599 => digits.as_str(),
            _ => OTHER,
        };
        let requests = &self.shared.families.requests;
        requests.with_label_values(&[self.name(), method, code])
    }

    fn series(&self) -> &Series {
        let make = || {
            let (families, route) = (&self.shared.families, [self.name()]);
            Box::new(Series {
                duration: families.duration.with_label_values(&route),
                in_flight: families.in_flight.with_label_values(&route),
                request_bytes: families.request_bytes.with_label_values(&route),
                response_bytes: families.response_bytes.with_label_values(&route),
                requests: std::array::from_fn(|_| OnceLock::new()),
            })
        };
        self.shared.series.get_or_init(make)
    }
}

/// A request in flight; counted down by drop.
#[derive(Debug)]
pub struct InFlight {
    gauge: IntGauge,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// How a try to have a server answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered, whatever the status.
    Answered,
    /// No connection.
    ConnectFailed,
    /// A connection, but its certificate or TLS was not accepted.
    TlsFailed,
    /// No answer in time.
    TimedOut,
    /// It broke the protocol or closed too early.
    Broken,
    /// The client left before there was an answer.
    ClientClosed,
    /// The edge ended the request itself, as for a body that is too large.
    GivenUp,
}

impl Outcome {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ConnectFailed => "connect_failed",
            Self::TlsFailed => "tls_failed",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::ClientClosed => "client_closed",
            Self::GivenUp => "given_up",
        }
    }

    /// Whether the server was reached; `None` where the outcome does not tell.
    pub const fn reached(self) -> Option<bool> {
        match self {
            Self::Answered => Some(true),
            Self::ConnectFailed | Self::TlsFailed => Some(false),
            Self::TimedOut | Self::Broken | Self::ClientClosed | Self::GivenUp => None,
        }
    }

    /// Whether the server did its work; `None` where the outcome does not tell.
    pub const fn well(self) -> Option<bool> {
        match self {
            Self::Answered => Some(true),
            Self::ConnectFailed | Self::TlsFailed | Self::TimedOut | Self::Broken => Some(false),
            Self::ClientClosed | Self::GivenUp => None,
        }
    }
}

/// What one server of one route counts.
#[derive(Debug)]
pub struct UpstreamMetrics {
    route: RouteMetrics,
    server: Box<str>,
    series: OnceLock<UpstreamSeries>,
}

#[derive(Debug)]
struct UpstreamSeries {
    duration: Histogram,
    up: IntGauge,
    answered: IntCounter,
}

impl UpstreamMetrics {
    /// Counts one try. `seconds` is the time to the head of the answer, if there was one.
    pub fn tried(&self, outcome: Outcome, seconds: Option<f64>) {
        let series = self.series();
        if let Some(seconds) = seconds {
            series.duration.observe(seconds);
        }
        match outcome {
            Outcome::Answered => series.answered.inc(),
            _ => self.requests(outcome).inc(),
        }
    }

    /// Tells whether the server is up.
    pub fn set_up(&self, up: bool) {
        self.series().up.set(up.into());
    }

    /// Counts one health check.
    pub fn checked(&self, good: bool) {
        let result = if good { "ok" } else { "failed" };
        let checks = &self.route.shared.families.upstream_checks;
        checks.with_label_values(&[self.route.name(), &self.server, result]).inc();
    }

    pub(in crate::telemetry) fn ejected(&self) {
        let ejections = &self.route.shared.families.upstream_ejections;
        ejections.with_label_values(&[self.route.name(), &self.server]).inc();
    }

    /// The server, as in the label.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The route, as in the label.
    pub fn route(&self) -> &str {
        self.route.name()
    }

    fn requests(&self, outcome: Outcome) -> IntCounter {
        let requests = &self.route.shared.families.upstream_requests;
        requests.with_label_values(&[self.route.name(), &self.server, outcome.label()])
    }

    fn series(&self) -> &UpstreamSeries {
        let make = || {
            let families = &self.route.shared.families;
            let labels = [self.route.name(), &self.server];
            UpstreamSeries {
                duration: families.upstream_duration.with_label_values(&labels),
                up: families.upstream_up.with_label_values(&labels),
                answered: self.requests(Outcome::Answered),
            }
        };
        self.series.get_or_init(make)
    }
}

const OTHER: &str = "OTHER";

/// Methods are the client's to choose, series are not.
fn method_label(method: &str) -> &'static str {
    const KNOWN: [&str; 9] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE"];
    let known = KNOWN.into_iter().find(|known| *known == method);
    known.unwrap_or(OTHER)
}
