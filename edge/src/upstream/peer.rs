//! How to connect to one address of one server, as Pingora wants it said.
//!
//! Made when an address becomes known, not for each request. Nothing here connects.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::time::Duration;

use pingora::protocols::TcpKeepalive;
use pingora::upstreams::peer::{ALPN, HttpPeer, HttpUpstreamRequestPolicy};

use super::address::Address;
use super::settings::{Host, Http, Place, Scheme, Server, Timeouts};
use super::tls::{BuildError, Profile};

/// All of a peer but its address.
#[derive(Clone)]
pub(super) struct Template {
    alpn: ALPN,
    timeouts: Timeouts,
    /// The TLS profile and the name for it; `None` in clear.
    tls: Option<(Profile, String)>,
    group_key: u64,
}

impl Template {
    pub(super) fn new(
        server: &Server,
        http: Http,
        timeouts: Timeouts,
        profile: Option<&Profile>,
    ) -> Result<Self, BuildError> {
        let name = |profile: &Profile| profile.name_for(&verified_name(&server.place));
        let tls = match profile {
            Some(profile) if server.scheme == Scheme::Https => Some((profile.clone(), name(profile)?)),
            _ => None,
        };
        let alpn = alpn(server, http)?;
        let group_key = group_key(tls.as_ref().map(|(profile, _)| profile), &alpn);
        Ok(Self { alpn, timeouts, tls, group_key })
    }

    /// The peer for one address of the server.
    pub(super) fn peer(&self, address: &Address) -> HttpPeer {
        let name = self.tls.as_ref().map_or_else(String::new, |(_, name)| name.clone());
        // A SocketAddr is not looked up, so this neither blocks nor fails.
        let mut peer = HttpPeer::new(address.inet().unwrap_or(NOWHERE), self.tls.is_some(), name);
        if let Some(socket) = address.unix_socket() {
            peer._address = socket;
        }
        peer.group_key = self.group_key;
        let options = &mut peer.options;
        options.alpn = self.alpn.clone();
        options.max_h2_streams = H2_STREAMS;
        options.tcp_keepalive = Some(keepalive());
        options.http_upstream_request_policy = HttpUpstreamRequestPolicy::standard();
        let Timeouts { connect, first_byte, idle, pool_idle } = self.timeouts;
        options.connection_timeout = Some(connect);
        options.total_connection_timeout = Some(connect);
        // Pingora has one limit for the head and for each read of the body. The shorter one would
        // cut streams that pause; who proxies watches for the first byte.
        options.read_timeout = Some(first_byte.max(idle));
        options.write_timeout = Some(idle);
        options.idle_timeout = Some(pool_idle);
        if let Some((profile, _)) = &self.tls {
            options.verify_cert = profile.verify;
            options.verify_hostname = profile.verify;
            options.ca.clone_from(&profile.ca);
            peer.client_cert_key.clone_from(&profile.client);
        }
        peer
    }
}

/// Stands for a place that no connection can be made to.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);

/// Requests at once on one HTTP/2 connection. Pingora's default of 1 makes a connection for each.
const H2_STREAMS: usize = 100;

/// Finds servers that vanished without a word within about two minutes.
fn keepalive() -> TcpKeepalive {
    TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(15),
        count: 4,
        // The system's own.
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    }
}

/// The name or address without brackets: rustls verifies an address against the certificate's
/// addresses and sends no SNI for it (RFC 6066 section 3 allows names only).
pub(super) fn verified_name(place: &Place) -> String {
    match place {
        Place::Net { host: Host::Name(name), .. } => name.clone(),
        Place::Net { host: Host::Ip(ip), .. } => ip.to_string(),
        Place::Unix(_) => "localhost".to_owned(),
    }
}

fn alpn(server: &Server, http: Http) -> Result<ALPN, BuildError> {
    match (server.scheme, http) {
        (Scheme::Https, Http::H2c) => Err(BuildError::ClearOverTls { server: server.to_string() }),
        (Scheme::Https, Http::Auto) => Ok(ALPN::H2H1),
        // No HTTP is spoken to the servers of streams, and nothing asks for what it would be.
        (_, Http::One) | (Scheme::Http, Http::Auto) | (Scheme::Tcp | Scheme::Udp, _) => Ok(ALPN::H1),
        (Scheme::H2c, Http::Auto | Http::Two | Http::H2c)
        | (Scheme::Https, Http::Two)
        | (Scheme::Http, Http::Two | Http::H2c) => Ok(ALPN::H2),
    }
}

/// Keeps connections apart that Pingora would share: it looks neither at the authorities nor at
/// the ALPN, and only at the serial of the client certificate. Without this a route with the wrong
/// CA works as long as another route has left a connection with the right one.
fn group_key(profile: Option<&Profile>, alpn: &ALPN) -> u64 {
    let mut hasher = DefaultHasher::new();
    profile.map(|profile| profile.fingerprint).hash(&mut hasher);
    alpn.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
