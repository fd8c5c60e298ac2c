//! What happens to a client's connection before its first request.

use std::net::IpAddr;
use std::time::Instant;

use prometheus::IntGauge;

use crate::telemetry::metrics::Metrics;

/// A client's connection was accepted.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionOpened<'a> {
    /// Name of the entrypoint.
    pub entrypoint: &'a str,
    /// Where it comes from.
    pub client: IpAddr,
}

impl ConnectionOpened<'_> {
    /// Counts it as open until the guard is dropped.
    pub fn emit(self, metrics: &Metrics) -> OpenConnection {
        let Self { entrypoint, client } = self;
        tracing::trace!(entrypoint, %client, "connection opened");
        let other = metrics.other();
        let accepted = &[entrypoint, "accepted"];
        other.connections.with_label_values(accepted).inc();
        let gauge = other.connections_open.with_label_values(&[entrypoint]);
        gauge.inc();
        OpenConnection { gauge }
    }
}

/// An open connection; counted down by drop.
#[derive(Debug)]
pub struct OpenConnection {
    gauge: IntGauge,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.gauge.dec();
    }
}

/// Which cap a connection ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapReason {
    /// This client has too many connections.
    ClientConnections,
    /// This client makes too many handshakes a second.
    ClientHandshakeRate,
    /// All clients together have too many connections.
    Global,
    /// The process is short of file descriptors.
    Descriptors,
    /// The PROXY header is missing, malformed, late, or of a peer that is not trusted.
    ProxyHeader,
}

impl CapReason {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ClientConnections => "client_connections",
            Self::ClientHandshakeRate => "client_handshake_rate",
            Self::Global => "global_connections",
            Self::Descriptors => "descriptors",
            Self::ProxyHeader => "proxy_header",
        }
    }
}

/// A connection was closed at once because of a cap.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionRefused<'a> {
    /// Name of the entrypoint.
    pub entrypoint: &'a str,
    /// Where it comes from.
    pub client: IpAddr,
    /// Which cap.
    pub reason: CapReason,
}

impl ConnectionRefused<'_> {
    /// Counts it. A cap of one client is that client's matter, the others are the operator's.
    pub fn emit(self, metrics: &Metrics) {
        let (entrypoint, client) = (self.entrypoint, self.client);
        let reason = self.reason.label();
        let connections = &metrics.other().connections;
        connections.with_label_values(&[entrypoint, reason]).inc();
        match self.reason {
            CapReason::ClientConnections | CapReason::ClientHandshakeRate => {
                tracing::debug!(entrypoint, %client, reason, "connection refused");
            }
            CapReason::ProxyHeader => {
                if let Some(suppressed) = metrics.throttles().cap.admit(Instant::now()) {
                    tracing::warn!(entrypoint, %client, reason, suppressed,
                        "connection refused: no good PROXY header; is the peer in trusted_proxies?");
                }
            }
            CapReason::Global | CapReason::Descriptors => {
                if let Some(suppressed) = metrics.throttles().cap.admit(Instant::now()) {
                    tracing::warn!(entrypoint, %client, reason, suppressed,
                        "connection refused: the edge is at its limit");
                }
            }
        }
    }
}

/// A TLS handshake succeeded.
#[derive(Clone, Copy, Debug)]
pub struct TlsHandshakeDone<'a> {
    /// Name of the entrypoint.
    pub entrypoint: &'a str,
    /// Such as `1.3`.
    pub version: &'static str,
    /// Whether a session ticket was used.
    pub resumed: bool,
    /// From the first byte to the end of the handshake.
    pub seconds: f64,
}

impl TlsHandshakeDone<'_> {
    /// Counts it; successes are not worth a line.
    pub fn emit(self, metrics: &Metrics) {
        let resumed = if self.resumed { "true" } else { "false" };
        let other = metrics.other();
        let labels = [self.entrypoint, self.version, resumed, "ok"];
        other.handshakes.with_label_values(&labels).inc();
        other.handshake_duration.observe(self.seconds);
    }
}

/// Why a TLS handshake did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsRefusal<'a> {
    /// No route has the name.
    UnknownName {
        /// As the client sent it; already checked to be a host name.
        sni: &'a str,
        /// The most similar name there is a route for.
        nearest: Option<&'a str>,
    },
    /// The client named nobody and there is no default certificate.
    NoName,
    /// Not done within the deadline.
    Timeout,
    /// The first bytes are not TLS.
    NotTls,
    /// The client ended it with an alert.
    PeerAlert,
    /// The client broke the protocol or has nothing in common with us.
    Protocol,
    /// The client went away.
    Closed,
}

impl TlsRefusal<'_> {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::UnknownName { .. } => "unknown_name",
            Self::NoName => "no_name",
            Self::Timeout => "timeout",
            Self::NotTls => "not_tls",
            Self::PeerAlert => "peer_alert",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
        }
    }
}

/// A TLS handshake did not succeed.
#[derive(Clone, Copy, Debug)]
pub struct TlsRefused<'a> {
    /// Name of the entrypoint.
    pub entrypoint: &'a str,
    /// Where it comes from.
    pub client: IpAddr,
    /// Why.
    pub reason: TlsRefusal<'a>,
    /// What the TLS library said, where it did.
    pub detail: Option<&'a str>,
}

impl TlsRefused<'_> {
    /// Counts it. An unknown name may be a route that somebody forgot, so it is told, a few times a
    /// minute; all else is the client's matter.
    pub fn emit(self, metrics: &Metrics) {
        let reason = self.reason.label();
        let labels = [self.entrypoint, "", "", reason];
        let handshakes = &metrics.other().handshakes;
        handshakes.with_label_values(&labels).inc();
        let (entrypoint, client, detail) = (self.entrypoint, self.client, self.detail);
        let TlsRefusal::UnknownName { sni, nearest } = self.reason else {
            tracing::debug!(entrypoint, %client, reason, detail, "TLS handshake failed");
            return;
        };
        if let Some(suppressed) = metrics.throttles().unknown_name.admit(Instant::now()) {
            tracing::info!(entrypoint, %client, sni, nearest, suppressed,
                "TLS handshake refused: no route has this name");
        }
    }
}
