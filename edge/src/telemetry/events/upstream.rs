//! What becomes of the servers behind routes: up, down, left alone.

use std::fmt::Display;
use std::time::Duration;

use crate::telemetry::metrics::UpstreamMetrics;

/// An address of a server failed its health checks and gets no more requests.
#[derive(Clone, Copy)]
pub struct UpstreamDown<'a> {
    /// The server.
    pub upstream: &'a UpstreamMetrics,
    /// The address that was asked.
    pub address: &'a dyn Display,
    /// What the last check said.
    pub why: &'a str,
}

impl UpstreamDown<'_> {
    /// Says it; the checks themselves are counted.
    pub fn emit(self) {
        let (route, upstream, address) = (self.upstream.route(), self.upstream.server(), self.address);
        tracing::warn!(route, upstream, %address, error = self.why, "a server behind a route is down by its health checks");
    }
}

/// An address of a server passes its health checks again.
#[derive(Clone, Copy)]
pub struct UpstreamUp<'a> {
    /// The server.
    pub upstream: &'a UpstreamMetrics,
    /// The address that was asked.
    pub address: &'a dyn Display,
}

impl UpstreamUp<'_> {
    /// Says it; the checks themselves are counted.
    pub fn emit(self) {
        let (route, upstream, address) = (self.upstream.route(), self.upstream.server(), self.address);
        tracing::info!(route, upstream, %address, "a server behind a route is up again by its health checks");
    }
}

/// Requests on a server failed one after the other, and it is left alone for a while.
#[derive(Clone, Copy)]
pub struct UpstreamEjected<'a> {
    /// The server.
    pub upstream: &'a UpstreamMetrics,
    /// For how long.
    pub time: Duration,
    /// How the last request failed.
    pub why: &'a str,
}

impl UpstreamEjected<'_> {
    /// Counts it and says it.
    pub fn emit(self) {
        self.upstream.ejected();
        let (route, upstream, time) = (self.upstream.route(), self.upstream.server(), self.time);
        tracing::warn!(
            route,
            upstream,
            ?time,
            error = self.why,
            "requests on a server keep failing; it is left alone for a while"
        );
    }
}
