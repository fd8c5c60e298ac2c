//! One look-up of one name: hosts file, then the name servers of the system or those given.
//!
//! Nothing is cached here: who asks decides when to ask again.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use hickory_resolver::config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};

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
    built: Built,
    /// Of the files it was made from.
    stamp: Stamp,
}

#[derive(Clone)]
struct Built {
    resolver: TokioResolver,
    /// Why it has no name servers and knows the hosts file only.
    without: Option<NetError>,
}

type Stamp = [Option<SystemTime>; 2];

impl Resolver {
    pub(super) fn new(servers: NameServers) -> Self {
        Self { servers, made: Mutex::new(None) }
    }

    pub(super) async fn look_up(&self, name: &str) -> Result<Found, LookupError> {
        let Built { resolver, without } = self.current()?;
        let answer = tokio::time::timeout(DEADLINE, resolver.lookup_ip(name)).await;
        let answer = answer.map_err(|_| LookupError::TimedOut(DEADLINE))?;
        let answer = answer.map_err(|error| without.map_or_else(|| failed(error), LookupError::Settings))?;
        let ttl = answer.as_lookup().answers().iter().map(|record| record.ttl).min();
        let addresses: Vec<IpAddr> = answer.iter().collect();
        match (addresses.is_empty(), ttl) {
            (false, Some(ttl)) => Ok(Found { addresses, ttl: Duration::from_secs(ttl.into()) }),
            _ => Err(LookupError::NoAddress),
        }
    }

    /// The resolver for the files as they are now.
    fn current(&self) -> Result<Built, LookupError> {
        let stamp = ["/etc/resolv.conf", "/etc/hosts"].map(modified);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.as_ref().filter(|made| made.stamp == stamp) {
            return Ok(made.built.clone());
        }
        let built = build(&self.servers).map_err(LookupError::Settings)?;
        *made = Some(Made { built: built.clone(), stamp });
        Ok(built)
    }
}

fn modified(path: &str) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

fn build(servers: &NameServers) -> Result<Built, NetError> {
    match servers {
        NameServers::System => with_options(TokioResolver::builder_tokio()),
        NameServers::Given(servers) => with_options(Ok(asking(servers))),
    }
}

fn asking(servers: &[SocketAddr]) -> Builder {
    let servers = servers.iter().copied().map(name_server).collect();
    TokioResolver::builder_with_config(ResolverConfig::from_name_servers(servers), TokioRuntimeProvider::default())
}

/// Without the system's settings, as in a bare container, localhost and the hosts file still work.
fn with_options(builder: Result<Builder, NetError>) -> Result<Built, NetError> {
    let (mut builder, without) = match builder {
        Ok(builder) => (builder, None),
        Err(error) => (asking(&[]), Some(error)),
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.timeout = TRY;
    options.attempts = RETRIES;
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    Ok(Built { resolver: builder.build()?, without })
}

type Builder = ResolverBuilder<TokioRuntimeProvider>;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_the_settings_of_the_system_localhost_works_and_others_say_why() {
        let error = NetError::Msg("no /etc/resolv.conf".to_owned());
        let built = with_options(Err(error)).expect("nothing is missing for it");
        let resolver = Resolver::new(NameServers::System);
        let stamp = ["/etc/resolv.conf", "/etc/hosts"].map(modified);
        *resolver.made.lock().expect("no panic in a test") = Some(Made { built, stamp });
        assert!(resolver.look_up("localhost").await.is_ok());
        let error = resolver.look_up("app.test").await.expect_err("nobody can be asked").to_string();
        assert_eq!(error, "the system's DNS settings cannot be read: no /etc/resolv.conf");
    }
}
