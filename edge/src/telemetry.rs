//! What the edge says about itself: events, metrics, the access log and the log.
//!
//! Logic emits one event; the log line and the counter are made here. Nothing here decides
//! anything about a request.

pub mod access_log;
pub mod events;
mod format;
mod last_good;
mod logins;
mod metrics;
mod provider;
mod refusal;
pub mod setup;
mod stream_end;
mod throttle;

pub use format::Format;
pub use last_good::LastGood;
pub use logins::{LoginMetrics, LoginResult};
pub use metrics::{
    BuildInfo, FAMILIES, Family, InFlight, Kind, Metrics, Mirrored, OpenStream, Outcome, Retry, RouteMetrics, Served,
    TcpMetrics, UdpMetrics, UpstreamMetrics, reference,
};
pub use provider::Provider;
pub use refusal::{Blame, Refusal};
pub use stream_end::{StreamEnd, StreamEnded};
