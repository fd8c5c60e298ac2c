//! What is counted for each connection and datagram below HTTP, with the series looked up once instead of each time.

use std::sync::Arc;

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::families as f;
use super::register::{counter, forget, gauge};

/// The families of `[[tcp]]` and `[[udp]]` routes.
#[derive(Debug)]
pub(super) struct StreamFamilies {
    tcp_open: IntGaugeVec,
    tcp_connections: IntCounterVec,
    tcp_bytes: IntCounterVec,
    udp_sessions: IntGaugeVec,
    udp_datagrams: IntCounterVec,
}

impl StreamFamilies {
    pub(super) fn new(registry: &Registry) -> Self {
        Self {
            tcp_open: gauge(&f::TCP_OPEN, registry),
            tcp_connections: counter(&f::TCP_CONNECTIONS, registry),
            tcp_bytes: counter(&f::TCP_BYTES, registry),
            udp_sessions: gauge(&f::UDP_SESSIONS, registry),
            udp_datagrams: counter(&f::UDP_DATAGRAMS, registry),
        }
    }

    /// Removes the series of routes that are `gone`; the empty name (no route) stays.
    pub(super) fn forget_routes(&self, gone: impl Fn(&str) -> bool) {
        let gone = |values: &[&str]| !values[0].is_empty() && gone(values[0]);
        forget(&self.tcp_open, &f::TCP_OPEN, gone);
        forget(&self.tcp_connections, &f::TCP_CONNECTIONS, gone);
        forget(&self.tcp_bytes, &f::TCP_BYTES, gone);
        forget(&self.udp_sessions, &f::UDP_SESSIONS, gone);
        forget(&self.udp_datagrams, &f::UDP_DATAGRAMS, gone);
    }
}

/// What one `[[tcp]]` route counts. Clones count into the same series.
#[derive(Clone, Debug)]
pub struct TcpMetrics {
    families: Arc<StreamFamilies>,
    route: Arc<str>,
    open: IntGauge,
    received: IntCounter,
    sent: IntCounter,
}

impl TcpMetrics {
    pub(super) fn new(families: Arc<StreamFamilies>, route: &str) -> Self {
        let bytes = |direction| families.tcp_bytes.with_label_values(&[route, direction]);
        Self {
            open: families.tcp_open.with_label_values(&[route]),
            received: bytes("received"),
            sent: bytes("sent"),
            route: route.into(),
            families,
        }
    }

    /// The route, as in the label.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Counts a connection as open until the guard is dropped.
    pub fn begin(&self) -> OpenStream {
        self.open.inc();
        OpenStream { gauge: self.open.clone() }
    }

    /// Counts bytes from the client.
    pub fn received(&self, bytes: u64) {
        self.received.inc_by(bytes);
    }

    /// Counts bytes to the client.
    pub fn sent(&self, bytes: u64) {
        self.sent.inc_by(bytes);
    }

    /// Counts a connection by how it ended, or why it was refused: a word of a closed set.
    pub(in crate::telemetry) fn ended(&self, result: &'static str) {
        self.families.tcp_connections.with_label_values(&[&self.route, result]).inc();
    }
}

/// What one `[[udp]]` route counts. Clones count into the same series.
#[derive(Clone, Debug)]
pub struct UdpMetrics {
    families: Arc<StreamFamilies>,
    route: Arc<str>,
    sessions: IntGauge,
}

impl UdpMetrics {
    pub(super) fn new(families: Arc<StreamFamilies>, route: &str) -> Self {
        let sessions = families.udp_sessions.with_label_values(&[route]);
        Self { families, route: route.into(), sessions }
    }

    /// The route, as in the label.
    pub fn route(&self) -> &str {
        &self.route
    }

    /// Counts a session as open until the guard is dropped.
    pub fn begin(&self) -> OpenStream {
        self.sessions.inc();
        OpenStream { gauge: self.sessions.clone() }
    }

    /// The counter of datagrams in one direction (`received` or `sent`) with one result, to be kept at hand.
    pub fn datagrams(&self, direction: &'static str, result: &'static str) -> IntCounter {
        self.families.udp_datagrams.with_label_values(&[&*self.route, direction, result])
    }
}

/// An open connection or session; counted down by drop.
#[derive(Debug)]
pub struct OpenStream {
    gauge: IntGauge,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}
