//! What happens to a request and to the servers behind its route.

use std::fmt::Display;
use std::net::IpAddr;
use std::time::Instant;

use crate::telemetry::metrics::Metrics;
use crate::telemetry::refusal::{Blame, Refusal};

/// The edge refused or cut a request itself.
#[derive(Clone, Copy, Debug)]
pub struct RequestRefused<'a> {
    /// Name of the route; empty if none was chosen.
    pub route: &'a str,
    /// Why.
    pub reason: Refusal,
    /// Id that the client was told.
    pub request_id: &'a str,
    /// More than the reason says, for the log only.
    pub detail: Option<&'a str>,
}

impl RequestRefused<'_> {
    /// Counts it. The access log has the reason too, so only a defect of the edge is louder than
    /// debug; a server that cannot be reached has its own event.
    pub fn emit(self, metrics: &Metrics) {
        metrics.refused(self.route, self.reason);
        let (route, request_id, detail) = (self.route, self.request_id, self.detail);
        let (reason, status) = (self.reason.label(), self.reason.status().as_u16());
        if self.reason == Refusal::Internal {
            tracing::error!(route, reason, status, request_id, detail, "request failed");
            return;
        }
        let blame = match self.reason.blame() {
            Blame::Client => "client",
            Blame::Operator => "operator",
            Blame::Upstream => "upstream",
        };
        tracing::debug!(route, reason, status, blame, request_id, detail, "request refused");
    }
}

/// A server behind a route could not be reached.
#[derive(Clone, Copy)]
pub struct UpstreamConnectFailed<'a> {
    /// Name of the route.
    pub route: &'a str,
    /// The server as configured.
    pub upstream: &'a str,
    /// The address that was tried.
    pub address: &'a dyn Display,
    /// What went wrong.
    pub error: &'a str,
}

impl UpstreamConnectFailed<'_> {
    /// Says it, a few times a minute. The try itself is counted with its outcome.
    pub fn emit(self, metrics: &Metrics) {
        let Some(suppressed) = metrics.throttles().connect_failed.admit(Instant::now()) else {
            return;
        };
        let (route, upstream, address) = (self.route, self.upstream, self.address);
        tracing::warn!(route, upstream, %address, error = self.error, suppressed,
            "a server behind a route cannot be reached");
    }
}

/// The name of a server was looked up.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamResolved<'a> {
    /// The name.
    pub name: &'a str,
    /// What it stands for now.
    pub addresses: &'a [IpAddr],
    /// Whether that differs from before, or the look-up before had failed.
    pub changed: bool,
}

impl UpstreamResolved<'_> {
    /// Counts it and tells changes.
    pub fn emit(self, metrics: &Metrics) {
        metrics.other().dns_lookups.with_label_values(&["ok"]).inc();
        if self.changed {
            let (name, addresses) = (self.name, self.addresses);
            tracing::info!(name, ?addresses, "the addresses of an upstream name are known");
        }
    }
}

/// The name of a server could not be looked up.
#[derive(Clone, Copy, Debug)]
pub struct UpstreamUnresolved<'a> {
    /// The name.
    pub name: &'a str,
    /// What went wrong.
    pub error: &'a str,
    /// How many addresses from before stay in use.
    pub kept: usize,
    /// Whether the look-up before had succeeded; later failures in a row are not told again.
    pub first: bool,
}

impl UpstreamUnresolved<'_> {
    /// Counts it and tells the first of a row.
    pub fn emit(self, metrics: &Metrics) {
        let lookups = &metrics.other().dns_lookups;
        lookups.with_label_values(&["failed"]).inc();
        let (name, error, kept) = (self.name, self.error, self.kept);
        if self.first {
            tracing::warn!(
                name,
                error,
                kept,
                "an upstream name cannot be looked up; its last good addresses stay in use"
            );
        } else {
            tracing::debug!(name, error, kept, "an upstream name still cannot be looked up");
        }
    }
}
