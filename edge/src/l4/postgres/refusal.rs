//! What the edge refuses on its own, when the client did nothing wrong that its bytes could tell.

use std::borrow::Cow;
use std::time::Duration;

use super::error_response::ErrorResponse;

/// Why a session does not begin, or ends, by the edge's decision.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The client asked for a session in clear, and the route wants TLS.
    #[error("this server takes connections with TLS only")]
    Plaintext,
    /// `sslnegotiation=direct` without the protocol's name in ALPN: it may be another protocol's client that was lured here.
    #[error("a direct TLS connection without ALPN \"postgresql\"")]
    NoAlpn,
    /// No route has the name that the client asked for in TLS, or it gave none and there are several.
    #[error("no database server is published under this name")]
    UnknownName,
    /// No route takes this database and user.
    #[error("no route for database \"{database}\" and user \"{user}\"")]
    UnknownDatabase {
        /// The database that was asked for.
        database: String,
        /// The user that was asked for.
        user: String,
    },
    /// The rule of the route on addresses.
    #[error("connections from your address are not allowed")]
    Address,
    /// The cap of the route.
    #[error("sorry, too many clients already")]
    Connections,
    /// The cap on connections of one client.
    #[error("too many connections from your address")]
    ClientConnections,
    /// The cap on new connections of one client.
    #[error("too many new connections from your address")]
    ClientRate,
    /// The client did not come to its startup packet in time.
    #[error("the startup packet was not complete within {} s", .0.as_secs())]
    StartupTimeout(Duration),
    /// No server of the route can be reached.
    #[error("the database server cannot be reached")]
    Unreachable,
    /// A server did not answer in time.
    #[error("the database server did not answer in time")]
    UpstreamTimeout,
    /// `reencrypt` or `passthrough`, and the server has no TLS.
    #[error("the database server behind this route offers no TLS")]
    UpstreamNoTls,
    /// `reencrypt`, and the certificate of the server is not the one that the route expects.
    #[error("the certificate of the database server behind this route is not valid")]
    UpstreamCertificate,
    /// The server said something that PostgreSQL does not say.
    #[error("the server behind this route does not speak PostgreSQL's protocol")]
    UpstreamProtocol,
    /// The edge stops.
    #[error("terminating connection due to administrator command")]
    Stopping,
}

impl Refusal {
    /// What the client is told.
    pub fn response(&self) -> ErrorResponse {
        let (sqlstate, _, hint) = self.decided();
        ErrorResponse { sqlstate, message: Cow::Owned(self.to_string()), hint }
    }

    /// The reason as a label.
    pub fn label(&self) -> &'static str {
        self.decided().1
    }

    fn decided(&self) -> (&'static str, &'static str, Option<&'static str>) {
        match self {
            Self::Plaintext => ("28000", "plaintext", Some("Connect with sslmode=require or stricter.")),
            Self::NoAlpn => ("08P01", "no_alpn", Some("Use a client of PostgreSQL 17 or later for direct TLS.")),
            Self::UnknownName => ("08004", "unknown_name", Some("Check the host, and that the client sends it (SNI).")),
            Self::UnknownDatabase { .. } => ("3D000", "unknown_database", None),
            Self::Address => ("28000", "address", None),
            Self::Connections => ("53300", "connections", None),
            Self::ClientConnections => ("53300", "client_connections", None),
            Self::ClientRate => ("53300", "client_rate", Some("Reuse connections, such as by a pool.")),
            Self::StartupTimeout(_) => ("08006", "startup_timeout", None),
            Self::Unreachable => ("08001", "unreachable", None),
            Self::UpstreamTimeout => ("08001", "upstream_timeout", None),
            Self::UpstreamNoTls => ("08001", "upstream_no_tls", None),
            Self::UpstreamCertificate => ("08001", "upstream_certificate", None),
            Self::UpstreamProtocol => ("08P01", "upstream_protocol", None),
            Self::Stopping => ("57P01", "stopping", None),
        }
    }
}
