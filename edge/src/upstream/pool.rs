//! The servers of one upstream, ready to be picked from for each request.
//!
//! It remembers for a short while which addresses could not be reached, and prefers the others.
//! It does not connect, does not retry and does not check health on its own.

mod server;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use pingora::upstreams::peer::{ALPN, HttpPeer};

use super::balance::{Balance, Turn};
use super::dns::Dns;
use super::peer::Template;
use super::settings::{Scheme, Settings};
use super::tls::{BuildError, Profile, SystemRoots};
use crate::telemetry::{Outcome, RouteMetrics};
use server::{Known, Member};

pub use server::{AddressStatus, LastError, ServerStatus};

/// One upstream of one route. Clones are the same upstream.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    balance: Balance,
    members: Vec<Member>,
    since: Instant,
}

impl Pool {
    /// Reads the files that `settings` name and starts to look up its names. Blocks for the files,
    /// not for the names.
    ///
    /// # Errors
    /// What makes the upstream unusable. A route with such an upstream stays closed.
    pub fn build(settings: Settings, dns: &Dns, roots: &SystemRoots, route: &RouteMetrics) -> Result<Self, BuildError> {
        let weights: Vec<u16> = settings.servers.iter().map(|server| server.weight).collect();
        if weights.iter().all(|weight| *weight == 0) {
            return Err(BuildError::NoServer);
        }
        let members = members(&settings, dns, roots, route)?;
        let (balance, since) = (Balance::new(&weights), Instant::now());
        Ok(Self { inner: Arc::new(Inner { settings, balance, members, since }) })
    }

    /// What it was built from.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// A server and address for a request that has already tried `tried`, or `None` if there is
    /// no other. Addresses that could not be reached a moment ago are the last resort.
    pub fn pick(&self, tried: &Tried) -> Option<Pick> {
        let now = self.inner.millis();
        let turn = self.inner.balance.turn();
        self.pick_where(turn, |known| known.is_fresh(now) && !tried.holds(known.address))
            .or_else(|| self.pick_where(turn, |known| !tried.holds(known.address)))
    }

    /// Returns once every name of the upstream was looked up, with success or not.
    pub async fn resolved(&self) {
        for member in &self.inner.members {
            member.resolved().await;
        }
    }

    /// Each server as it is now, in the order written.
    pub fn status(&self) -> Vec<ServerStatus> {
        let now = self.inner.millis();
        self.inner.members.iter().map(|member| member.status(now)).collect()
    }

    fn pick_where(&self, turn: Turn, usable: impl Fn(&Known) -> bool) -> Option<Pick> {
        let members = &self.inner.members;
        let eligible = |position: usize| members[position].has(&usable);
        let server = self.inner.balance.pick(turn, eligible)?;
        let known = members[server].next(&usable)?;
        Some(Pick { pool: Arc::clone(&self.inner), server, known })
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pool").field("settings", &self.inner.settings).finish_non_exhaustive()
    }
}

impl Inner {
    /// Since the pool was made: small numbers that fit an atomic.
    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn members(
    settings: &Settings,
    dns: &Dns,
    roots: &SystemRoots,
    route: &RouteMetrics,
) -> Result<Vec<Member>, BuildError> {
    let first_tls = settings.servers.iter().find(|server| server.scheme == Scheme::Https);
    let profile = match first_tls {
        // The files of a TLS section that nothing uses are not worth a fault.
        None => None,
        Some(server) if roots.is_empty() && settings.tls.verify && settings.tls.ca_file.is_none() => {
            return Err(BuildError::NoRoots { server: server.to_string() });
        }
        Some(_) => Some(Profile::load(&settings.tls)?),
    };
    let member = |server| {
        let template = Template::new(server, settings.http, settings.timeouts, profile.as_ref())?;
        Ok(Member::new(server, template, dns, route))
    };
    settings.servers.iter().map(member).collect()
}

/// The addresses that a request has tried.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    addresses: Vec<SocketAddr>,
}

impl Tried {
    /// Notes an address.
    pub fn add(&mut self, pick: &Pick) {
        self.addresses.push(pick.address());
    }

    /// How many were tried.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    fn holds(&self, address: SocketAddr) -> bool {
        self.addresses.contains(&address)
    }
}

/// A server and one of its addresses, for one try of one request.
#[derive(Clone)]
pub struct Pick {
    pool: Arc<Inner>,
    server: usize,
    known: Arc<Known>,
}

impl Pick {
    /// What Pingora needs to connect.
    pub fn peer(&self) -> Box<HttpPeer> {
        Box::new(self.known.peer.clone())
    }

    /// As [`Pick::peer`], but never HTTP/2: an upgrade to WebSocket needs HTTP/1.1. A server that
    /// is spoken to in HTTP/2 only stays so.
    pub fn peer_for_upgrade(&self) -> Box<HttpPeer> {
        let mut peer = self.peer();
        if peer.options.alpn == ALPN::H2H1 {
            peer.options.alpn = ALPN::H1;
        }
        peer
    }

    /// The server as written, for logs and labels.
    pub fn server(&self) -> &str {
        self.member().metrics.server()
    }

    /// The host that a server expects in `Host` if the route says so: with the port where that is
    /// not the scheme's own.
    pub fn authority(&self) -> &str {
        &self.member().authority
    }

    /// Where it goes.
    pub fn address(&self) -> SocketAddr {
        self.known.address
    }

    /// How the try ended: counted, and remembered where it tells about the server.
    /// `seconds` is the time to the head of the answer, if there was one.
    pub fn done(&self, outcome: Outcome, seconds: Option<f64>, error: Option<&str>) {
        let member = self.member();
        member.metrics.tried(outcome, seconds);
        member.count(outcome, error, SystemTime::now());
        if let Some(reached) = outcome.reached() {
            self.known.mark(reached, self.pool.millis());
        }
    }

    fn member(&self) -> &Member {
        &self.pool.members[self.server]
    }
}

impl std::fmt::Debug for Pick {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} at {}", self.server(), self.address())
    }
}

#[cfg(test)]
mod tests;
