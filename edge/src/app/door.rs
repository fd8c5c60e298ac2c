//! The limits and TLS settings with which connections are taken in: the defaults of an internet edge, in one place.

use std::sync::Arc;
use std::time::Duration;

use certs::server_config::Policy;
use certs::tickets::Keys;
use pingora::protocols::http::v2::server::default_h2_options;
use routes::world::Protocol;
use rustls::ServerConfig;

use super::RunError;
use crate::config::Config;
use crate::conn::caps::CapLimits;
use crate::conn::h2_guard::H2Limits;
use crate::conn::pace::PaceLimits;
use crate::conn::stream::StreamLimits;
use crate::l4::postgres;
use crate::listen::serve::ServeLimits;
use crate::listen::shared::DoorLimits;
use crate::proxy::cx::KEEPALIVE_SECONDS;

/// Window of one HTTP/2 stream: uploads are slow with less as soon as there is a distance.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// Window of all streams of a connection together.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// What one stream may have waiting for a client that does not read.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that one client may have open on a connection.
const STREAMS: u32 = 100;

pub(super) fn limits(config: &Config) -> DoorLimits {
    let mut h2 = default_h2_options();
    h2.max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    DoorLimits {
        handshake: Duration::from_secs(10),
        h2: H2Limits::default(),
        stream: StreamLimits::default(),
        serve: ServeLimits {
            first_request: Duration::from_secs(10),
            keepalive: Duration::from_secs(KEEPALIVE_SECONDS),
            keepalive_requests: match config.limits.keepalive_requests {
                0 => u32::MAX,
                requests => requests,
            },
            h2_idle: Duration::from_secs(120),
            h2_body: PaceLimits::default(),
            h2,
        },
    }
}

pub(super) fn caps(config: &Config, fit: usize) -> CapLimits {
    let limits = &config.limits;
    CapLimits {
        client_connections: limits.client_connections,
        client_handshakes_per_second: limits.client_handshakes_per_second,
        connections: if limits.connections == 0 { fit } else { limits.connections },
    }
}

/// The TLS settings of the streams of an entrypoint. Tickets of another protocol's sessions mean nothing there.
pub(super) fn stream_tls(
    config: &Config,
    entrypoint: &str,
    protocol: Protocol,
    keys: &Arc<Keys>,
) -> Result<Arc<ServerConfig>, RunError> {
    let alpn = match protocol {
        Protocol::Postgres => vec![postgres::ALPN.to_vec()],
        // What is spoken inside is the server's to know: nothing is agreed on for it.
        Protocol::Http | Protocol::Tcp => Vec::new(),
    };
    let scope = format!("{entrypoint} streams");
    Ok(Arc::new(policy(config, alpn, &scope, keys).config(never())?))
}

/// The TLS settings of an entrypoint; its name is the scope of its tickets.
pub(super) fn tls(config: &Config, entrypoint: &str, keys: &Arc<Keys>) -> Result<Arc<ServerConfig>, RunError> {
    let alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(policy(config, alpn, entrypoint, keys).config(never())?))
}

fn policy(config: &Config, alpn: Vec<Vec<u8>>, scope: &str, keys: &Arc<Keys>) -> Policy {
    Policy { min: config.tls.min, alpn, tickets: Some(keys.scoped(scope)) }
}

/// Certificates are chosen before the handshake; what asks here gets none.
fn never() -> Arc<certs::Resolver> {
    Arc::new(certs::Resolver::new(Arc::default()))
}
