//! Turns the upstream of a checked route into the settings of a pool. Only names and units change; nothing is decided.

use std::path::Path;
use std::time::Duration;

use routes::target::{HttpVersion, RetryOn, Scheme, Upstream};
use routes::world::resolve;

use crate::upstream::{self, Http, Server, Settings, Timeouts, Tls};

/// A limit that the route switched off.
const NONE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The settings of the pool of `upstream`; its paths are relative to `folder`.
pub fn upstream_settings(upstream: &Upstream, folder: &Path) -> Settings {
    let tls = &upstream.tls;
    let timeouts = &upstream.timeouts;
    Settings {
        servers: upstream.servers.iter().map(server).collect(),
        timeouts: Timeouts {
            connect: timeouts.connect.unwrap_or(NONE),
            first_byte: timeouts.first_byte.unwrap_or(NONE),
            idle: timeouts.idle.unwrap_or(NONE),
            pool_idle: timeouts.pool_idle.unwrap_or(NONE),
        },
        http: match upstream.http {
            HttpVersion::Auto => Http::Auto,
            HttpVersion::One => Http::One,
            HttpVersion::Two => Http::Two,
            HttpVersion::H2c => Http::H2c,
        },
        tls: Tls {
            ca_file: tls.ca_file.as_deref().map(|path| resolve(folder, path)),
            server_name: tls.server_name.clone(),
            client: tls.client.as_ref().map(|id| (resolve(folder, &id.cert), resolve(folder, &id.key))),
            verify: tls.verify,
        },
        retries: if upstream.retries.on.contains(&RetryOn::Connect) { upstream.retries.attempts.into() } else { 0 },
    }
}

fn server(server: &routes::target::Server) -> Server {
    Server {
        scheme: match server.scheme {
            Scheme::Http => upstream::Scheme::Http,
            Scheme::Https => upstream::Scheme::Https,
            Scheme::H2c => upstream::Scheme::H2c,
        },
        host: server.host.as_str().into(),
        port: server.port,
        weight: server.weight,
    }
}
