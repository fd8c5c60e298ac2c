//! What every connection of an entrypoint is taken in with.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use ipnet::IpNet;
use pingora::server::ShutdownWatch;
use routes::world;
use rustls::ServerConfig;

use super::open::OpenConns;
use super::serve::{Engine, ServeLimits};
use super::tls::Certificates;
use crate::conn::caps::Caps;
use crate::conn::h2_guard::H2Limits;
use crate::conn::stream::{Refuse, StreamLimits};
use crate::l4::cancel::CancelTable;
use crate::l4::dial::Place;
use crate::l4::sessions::Sessions;
use crate::l4::site::TcpSite;
use crate::snapshot::Live;
use crate::tasks::Tasks;
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;

/// What an entrypoint speaks and whom it believes.
#[derive(Debug, Clone)]
pub struct Entrypoint {
    /// Its name, the label in logs and metrics.
    pub name: Arc<str>,
    /// What is spoken.
    pub protocol: world::Protocol,
    /// The TLS settings of HTTP; none for plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// The TLS settings of routes below HTTP.
    pub stream_tls: Arc<ServerConfig>,
    /// Peers whose PROXY header and forwarding headers are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Whether every connection begins with a PROXY header.
    pub proxy_protocol: bool,
}

/// Time and size limits of connections.
#[derive(Debug, Clone)]
pub struct DoorLimits {
    /// From the accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// Frames on HTTP/2.
    pub h2: H2Limits,
    /// Pace of bodies and tunnels.
    pub stream: StreamLimits,
    /// The request loops.
    pub serve: ServeLimits,
}

/// What all entrypoints share.
pub struct Shared {
    /// Serves requests.
    pub engine: Arc<dyn Engine>,
    /// Words for what never reaches the engine.
    pub refuse: Arc<dyn Refuse>,
    /// Chooses certificates.
    pub certificates: Arc<dyn Certificates>,
    /// Counts connections.
    pub caps: Arc<Caps>,
    /// Knows them.
    pub open: Arc<OpenConns>,
    /// Limits of each.
    pub limits: DoorLimits,
    /// Whose routes say how large a head may be.
    pub live: Arc<Live>,
    /// Owns their tasks.
    pub tasks: Tasks,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Turns true when the edge stops.
    pub stop: ShutdownWatch,
    /// What connections below HTTP share.
    pub streams: StreamShared,
    /// The number of the next connection.
    pub next_id: AtomicU64,
}

/// What connections below HTTP share.
pub struct StreamShared {
    /// Those that are open.
    pub sessions: Arc<Sessions>,
    /// Which server holds which session of Postgres.
    pub cancels: CancelTable<CancelTarget>,
    /// A line for each.
    pub access_log: AccessLog,
}

/// Where a session of Postgres can be cancelled.
#[derive(Clone, Debug)]
pub struct CancelTarget {
    /// How its server is spoken to.
    pub site: Arc<TcpSite>,
    /// The server.
    pub place: Place,
}
