//! What serves one `[[tcp]]` route: its servers, how they are spoken to, and who may use them.
//!
//! Built by a load and unchanging; connections keep the one that they began with.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use routes::stream::{Mode, Tcp};

use crate::conn::caps::{CapFault, CapLimits, Caps, Permit};
use crate::telemetry::{Metrics, RouteMetrics, StreamEnd, TcpMetrics};
use crate::upstream::{BuildError, Means, Pool, Settings, TlsClient};

/// One `[[tcp]]` route with everything that serves it.
#[derive(Debug)]
pub struct TcpSite {
    /// The route as it was checked.
    pub route: Arc<Tcp>,
    /// Its servers.
    pub pool: Pool,
    /// How they are spoken to in TLS; there whenever the route encrypts anew.
    pub tls: Option<TlsClient>,
    /// What it counts.
    pub metrics: TcpMetrics,
    /// What everything counts.
    pub all_metrics: Metrics,
    /// The files beside the route's own that were read for it: they may change although the route does not.
    pub files: Arc<[PathBuf]>,
    /// Of what stood in them, if there are any.
    pub files_digest: Option<u64>,
    caps: Arc<Caps>,
}

/// What a site is built from besides its route.
pub struct Around<'a> {
    /// What pools are built with.
    pub means: &'a Means,
    /// Of the pool.
    pub settings: Settings,
    /// The site of the same name before, for what it knows and counts.
    pub before: Option<&'a TcpSite>,
    /// Whether its entrypoints speak Postgres.
    pub is_postgres: bool,
    /// See [`TcpSite::files`].
    pub files: Arc<[PathBuf]>,
    /// See [`TcpSite::files_digest`].
    pub files_digest: Option<u64>,
    /// What everything counts.
    pub metrics: &'a Metrics,
}

impl TcpSite {
    /// Builds it. Blocks for the files.
    ///
    /// # Errors
    /// What makes its servers unusable.
    pub fn build(route: &Arc<Tcp>, around: Around<'_>) -> Result<Self, BuildError> {
        let Around { means, settings, before, is_postgres, files, files_digest, metrics } = around;
        // Only Postgres servers of version 17 and later know ALPN, and those older do not mind it.
        let alpn: &[&[u8]] = if is_postgres { &[b"postgresql"] } else { &[] };
        let tls = match route.mode {
            Mode::Reencrypt => Some(TlsClient::load(&settings.tls, &means.roots, alpn)?),
            Mode::None | Mode::Terminate | Mode::Passthrough => None,
        };
        let counters: RouteMetrics = metrics.route(&route.name);
        let pool = Pool::build(settings, means, &counters, before.map(|site| &site.pool))?;
        let limits = CapLimits {
            client_connections: size(route.limits.client_connections),
            client_handshakes_per_second: route.limits.client_rate,
            connections: size(route.limits.connections),
        };
        // The connections of before are still open: they go on counting where the limits are the same.
        let kept = before.filter(|site| site.route.limits == route.limits).map(|site| Arc::clone(&site.caps));
        let caps = kept.unwrap_or_else(|| Caps::new(limits));
        let (route, all_metrics) = (Arc::clone(route), metrics.clone());
        let metrics = metrics.tcp(&route.name);
        Ok(Self { route, pool, tls, metrics, all_metrics, files, files_digest, caps })
    }

    /// The same site for a route that only stands elsewhere now.
    #[must_use]
    pub fn moved(&self, route: &Arc<Tcp>) -> Self {
        Self {
            route: Arc::clone(route),
            pool: self.pool.clone(),
            tls: self.tls.clone(),
            metrics: self.metrics.clone(),
            all_metrics: self.all_metrics.clone(),
            files: Arc::clone(&self.files),
            files_digest: self.files_digest,
            caps: Arc::clone(&self.caps),
        }
    }

    /// Lets one more connection of `client` in, which counts until the permit is dropped.
    ///
    /// # Errors
    /// Why it may not come in: [`StreamEnd::Denied`] or one of the route's limits.
    pub fn admit(&self, client: IpAddr, now: Instant) -> Result<Permit, StreamEnd> {
        if !self.route.ip.admits(client) {
            return Err(StreamEnd::Denied);
        }
        let mut permit = self.caps.admit().map_err(refusal)?;
        permit.of(client, now).map_err(refusal)?;
        Ok(permit)
    }
}

fn refusal(fault: CapFault) -> StreamEnd {
    match fault {
        CapFault::Connections => StreamEnd::Connections,
        CapFault::ClientConnections => StreamEnd::ClientConnections,
        CapFault::ClientRate => StreamEnd::ClientRate,
    }
}

fn size(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
