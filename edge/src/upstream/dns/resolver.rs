//! One look-up of one name: hosts file, then the name servers of the system or those given.
//!
//! Nothing is cached here: who asks decides when to ask again.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameServers {
    /// As `/etc/resolv.conf` says, read again when it changes.
    System,
    /// These, whatever the system says.
    Given(Vec<SocketAddr>),
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ttl: Duration,
}

/// Why a name could not be looked up.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookupError {
    #[error("the system's DNS settings cannot be read: {0}")]
    Settings(#[source] NetError),
    #[error("DNS has no such name")]
    NoSuchName,
    #[error("DNS has no address for this name")]
    NoAddress,
    #[error("no DNS server answered within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("DNS failed: {0}")]
    Failed(#[source] NetError),
}

/// One question to one server. A resolver on the same network answers in far less.
const TRY: Duration = Duration::from_secs(2);

const RETRIES: usize = 1;

/// All tries of one look-up together.
const DEADLINE: Duration = Duration::from_secs(10);

pub(super) struct Resolver {
    servers: NameServers,
    made: Mutex<Option<Made>>,
}

struct Made {
    resolver: TokioResolver,
    /// Of the files it was made from.
    stamp: Stamp,
}

type Stamp = [Option<SystemTime>; 2];

impl Resolver {
    pub(super) fn new(servers: NameServers) -> Self {
        Self { servers, made: Mutex::new(None) }
    }

    pub(super) async fn look_up(&self, name: &str) -> Result<Found, LookupError> {
        let resolver = self.current().map_err(LookupError::Settings)?;
        let answer = tokio::time::timeout(DEADLINE, resolver.lookup_ip(name)).await;
        let answer = answer.map_err(|_| LookupError::TimedOut(DEADLINE))?.map_err(failed)?;
        let ttl = answer.as_lookup().answers().iter().map(|record| record.ttl).min();
        let addresses: Vec<IpAddr> = answer.iter().collect();
        match (addresses.is_empty(), ttl) {
            (false, Some(ttl)) => Ok(Found { addresses, ttl: Duration::from_secs(ttl.into()) }),
            _ => Err(LookupError::NoAddress),
        }
    }

    /// The resolver for the files as they are now.
    fn current(&self) -> Result<TokioResolver, NetError> {
        let stamp = ["/etc/resolv.conf", "/etc/hosts"].map(modified);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.stamp == stamp) {
            return Ok(made.resolver.clone());
        }
        let resolver = build(&self.servers)?;
        *made = Some(Made { resolver: resolver.clone(), stamp });
        Ok(resolver)
    }
}

fn modified(path: &str) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn build(servers: &NameServers) -> Result<TokioResolver, NetError> {
    let mut builder = match servers {
        NameServers::System => TokioResolver::builder_tokio()?,
        NameServers::Given(servers) => {
            let servers = servers.iter().copied().map(name_server).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.timeout = TRY;
    options.attempts = RETRIES;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    builder.build()
}

fn name_server(at: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = at.port();
        connection
    });
    NameServerConfig::new(at.ip(), true, connections.into())
}

fn failed(error: NetError) -> LookupError {
    if error.is_nx_domain() {
        LookupError::NoSuchName
    } else if error.is_no_records_found() {
        LookupError::NoAddress
    } else {
        LookupError::Failed(error)
    }
}
