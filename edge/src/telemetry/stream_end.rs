//! How connections below HTTP end, and why they are refused: words for metrics and log, and whose matter it is.

use super::access_log::{AccessLog, SessionLine};
use super::metrics::TcpMetrics;
use super::refusal::Blame;

/// How a connection of a `[[tcp]]` route ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The client closed it, and the server behind it.
    ClientClosed,
    /// The server closed it first.
    ServerClosed,
    /// The connection of the client broke.
    ClientBroken,
    /// The connection of the server broke.
    ServerBroken,
    /// Nothing passed for as long as the route allows.
    Idle,
    /// A Postgres client had a query cancelled.
    Cancelled,
    /// The route's `ip` keeps the client out.
    Denied,
    /// The route has as many connections as it may.
    Connections,
    /// The client has as many connections as it may.
    ClientConnections,
    /// The client makes connections too fast.
    ClientRate,
    /// No route takes the connection.
    NoRoute,
    /// No server could be reached.
    NoServer,
    /// The server's TLS or certificate was not accepted, or it has none.
    ServerTls,
    /// The route wants TLS and the client came without.
    TlsRequired,
    /// The client's handshake failed.
    TlsFailed,
    /// The client broke the protocol.
    Protocol,
    /// The client did not say what it wants in time.
    Timeout,
    /// The client left before anything was decided.
    Left,
}

impl StreamEnd {
    /// The metric label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ServerClosed => "server_closed",
            Self::ClientBroken => "client_broken",
            Self::ServerBroken => "server_broken",
            Self::Idle => "idle",
            Self::Cancelled => "cancelled",
            Self::Denied => "denied",
            Self::Connections => "connections",
            Self::ClientConnections => "client_connections",
            Self::ClientRate => "client_rate",
            Self::NoRoute => "no_route",
            Self::NoServer => "no_server",
            Self::ServerTls => "server_tls",
            Self::TlsRequired => "tls_required",
            Self::TlsFailed => "tls_failed",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Left => "left",
        }
    }

    /// Whose matter it is, if it is a refusal.
    pub const fn blame(self) -> Option<Blame> {
        match self {
            Self::ClientClosed | Self::ServerClosed | Self::Idle | Self::Cancelled | Self::Left => None,
            Self::ClientBroken
            | Self::Denied
            | Self::ClientConnections
            | Self::ClientRate
            | Self::NoRoute
            | Self::TlsRequired
            | Self::TlsFailed
            | Self::Protocol
            | Self::Timeout => Some(Blame::Client),
            Self::Connections => Some(Blame::Operator),
            Self::ServerBroken | Self::NoServer | Self::ServerTls => Some(Blame::Upstream),
        }
    }
}

/// A connection of a `[[tcp]]` route has ended, or was refused.
#[derive(Clone, Debug)]
pub struct StreamEnded<'a> {
    /// How; the line's `result` is made of it.
    pub end: StreamEnd,
    /// All that is known of it.
    pub line: SessionLine<'a>,
}

impl StreamEnded<'_> {
    /// Counts it and writes its line in the access log. Servers that cannot be reached have their own event.
    pub fn emit(self, metrics: &TcpMetrics, log: &AccessLog) {
        let Self { end, line } = self;
        let result = end.label();
        metrics.ended(result);
        let line = SessionLine { result, ..line };
        log.write_session(&line);
        if end.blame().is_some() {
            let (entrypoint, route, client, detail) = (line.entrypoint, line.route, line.client, line.detail);
            tracing::debug!(entrypoint, route, %client, result, detail, "connection refused or broken");
        }
    }
}
