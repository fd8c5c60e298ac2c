//! Turns the upstream of a checked route into the settings of a pool. Only names and units change; nothing is decided
//! but the `Host` of health checks.

use std::path::Path;
use std::time::Duration;

use http::HeaderName;
use routes::host::Host;
use routes::route::{HostHeader, Route};
use routes::target::{Balance, HashOn, HttpVersion, Place, Probe, RetryOn, Scheme, Upstream};
use routes::world::resolve;

use crate::upstream::{self, Choice, Eject, Health, Http, Server, Settings, Timeouts, Tls};

/// A limit that the route switched off.
const NONE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The settings of the pool of the servers of a stream; its paths are relative to `folder`.
pub fn stream_settings(upstream: &Upstream, folder: &Path) -> Settings {
    settings(upstream, folder, |probe| match probe {
        Probe::Connect | Probe::Get { .. } => upstream::Probe::Connect,
        Probe::Postgres => upstream::Probe::Postgres,
    })
}

/// The settings of the pool of `upstream`, which is the target of `route`; its paths are relative to `folder`.
pub fn upstream_settings(route: &Route, upstream: &Upstream, folder: &Path) -> Settings {
    settings(upstream, folder, |asked| probe(route, asked))
}

fn settings(upstream: &Upstream, folder: &Path, probe: impl Fn(&Probe) -> upstream::Probe) -> Settings {
    let tls = &upstream.tls;
    let timeouts = &upstream.timeouts;
    let retries = &upstream.retries;
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
        retries: retries.attempts.into(),
        retry_on: upstream::RetryOn {
            connect: retries.on.contains(&RetryOn::Connect),
            broken: retries.on.contains(&RetryOn::Broken),
            unavailable: retries.on.contains(&RetryOn::Unavailable),
        },
        choice: choice(&upstream.balance),
        health: upstream.health.as_ref().map(|health| Health {
            probe: probe(&health.probe),
            every: health.every,
            timeout: health.timeout,
            up_after: health.up_after,
            down_after: health.down_after,
        }),
        eject: upstream.eject.map(|eject| Eject { after: eject.after, time: eject.time, max: eject.max }),
        slow_start: upstream.slow_start,
    }
}

fn choice(balance: &Balance) -> Choice {
    match balance {
        Balance::RoundRobin => Choice::Turns,
        Balance::LeastRequests => Choice::LeastRequests,
        Balance::RandomTwo => Choice::RandomTwo,
        Balance::Hash(HashOn::ClientIp) => Choice::HashClient,
        // A checked name is a token, which is all that a header's name has to be.
        Balance::Hash(HashOn::Header(name)) => HeaderName::try_from(name).map_or(Choice::Turns, Choice::HashHeader),
        Balance::Sticky(cookie) => Choice::Sticky(cookie.clone()),
    }
}

fn probe(route: &Route, probe: &Probe) -> upstream::Probe {
    match probe {
        Probe::Connect => upstream::Probe::Connect,
        Probe::Postgres => upstream::Probe::Postgres,
        Probe::Get { path, status } => {
            let host = match &route.host_header {
                HostHeader::Literal(host) => Some(host.clone()),
                HostHeader::Upstream => None,
                // What clients send: the first host that is a whole name.
                HostHeader::Keep => route.rule.hosts.iter().find_map(|host| match host {
                    Host::Exact(name) => Some(name.to_string()),
                    Host::Wildcard(_) => None,
                }),
            };
            upstream::Probe::Get { path: path.clone(), host, status: status.ranges().to_vec() }
        }
    }
}

fn server(server: &routes::target::Server) -> Server {
    Server {
        scheme: match server.scheme {
            Scheme::Http => upstream::Scheme::Http,
            Scheme::Https => upstream::Scheme::Https,
            Scheme::H2c => upstream::Scheme::H2c,
            Scheme::Tcp => upstream::Scheme::Tcp,
            Scheme::Udp => upstream::Scheme::Udp,
        },
        place: match &server.place {
            Place::Net { host, port } => upstream::Place::Net { host: host.as_str().into(), port: *port },
            Place::Unix(path) => upstream::Place::Unix(path.into()),
        },
        weight: server.weight,
        backup: server.backup,
    }
}
