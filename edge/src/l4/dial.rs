//! Makes a connection with a server of a pool: whose turn it is, then the next one, until one can be used or none is left.
//!
//! Everything that a try does runs under the route's connect timeout, TLS included. What the client sent is not known here.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::postgres::{SSL_REQUEST, SslAnswer, ssl_answer};
use super::proxy_out::{self, Ends};
use super::site::TcpSite;
use super::wire::{Plain, Wire};
use crate::telemetry::{Outcome, events};
use crate::upstream::{Active, Address, Pick, Tried};

/// What is said to a server before the client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Nothing.
    None,
    /// A TLS handshake.
    Tls,
    /// Postgres' wish for TLS, then the handshake.
    PostgresTls,
    /// Postgres' wish for TLS; the handshake is the client's own.
    PostgresWish,
}

/// Why no server could be used. Each sentence names the last one that was tried.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// All are down by their checks, or no name is known.
    #[error("no server of the route can be used now")]
    NoServer,
    /// It took no connection.
    #[error("{server} cannot be reached: {source}")]
    Connect {
        /// As configured.
        server: String,
        /// What the system said.
        source: io::Error,
    },
    /// A name that led to a port of RustDesk on this machine, which takes whoever comes from there for its administrator.
    #[error(
        "{server} is a port of RustDesk on this machine, where it takes every client for its administrator; run edge elsewhere"
    )]
    Administrator {
        /// As configured.
        server: String,
    },
    /// It was not ready in time.
    #[error("{server} was not ready within {within:?}")]
    Late {
        /// As configured.
        server: String,
        /// The connect timeout.
        within: Duration,
    },
    /// It refuses TLS.
    #[error("{server} speaks no TLS; set ssl = on there, or tls = \"terminate\" on this route")]
    NoTls {
        /// As configured.
        server: String,
    },
    /// Its TLS or certificate is not accepted.
    #[error("the TLS of {server} is not accepted: {source}")]
    Tls {
        /// As configured.
        server: String,
        /// What the TLS library said.
        source: io::Error,
    },
    /// It answered the wish for TLS with something that is no answer.
    #[error("{server} does not answer as a Postgres server")]
    NotPostgres {
        /// As configured.
        server: String,
    },
}

impl DialError {
    fn outcome(&self) -> Outcome {
        match self {
            Self::NoServer | Self::Connect { .. } | Self::Administrator { .. } | Self::Late { .. } => {
                Outcome::ConnectFailed
            }
            Self::NoTls { .. } | Self::Tls { .. } | Self::NotPostgres { .. } => Outcome::TlsFailed,
        }
    }
}

/// A connection with a server, which counts as open on it until dropped.
pub struct Dialled {
    /// The connection, ready for the client's bytes.
    pub wire: Wire,
    /// Which server.
    pub pick: Pick,
    /// Counts it.
    pub active: Active,
}

/// The most servers that are tried for one client.
const MOST_TRIES: usize = 16;

/// A connection for `ends.client` with a server of the site.
///
/// # Errors
/// How the last try failed, if no server could be used.
pub async fn dial(site: &TcpSite, ends: Ends, greeting: Greeting) -> Result<Dialled, DialError> {
    let wish = site.pool.wish(&HeaderMap::new(), Some(ends.client.ip()));
    let (mut tried, mut last) = (Tried::default(), DialError::NoServer);
    while tried.len() < MOST_TRIES {
        let mut pick = site.pool.pick(&tried, wish);
        if pick.is_none() && tried.is_empty() {
            // Right after a load the names of its servers may not be looked up yet.
            let within = site.pool.settings().timeouts.connect;
            let _ = tokio::time::timeout(within, site.pool.resolved()).await;
            pick = site.pool.pick(&tried, wish);
        }
        let Some(pick) = pick else { break };
        tried.add(&pick);
        let (active, began) = (pick.begin(), Instant::now());
        match attempt(site, &pick, ends, greeting).await {
            Ok(wire) => {
                pick.done(Outcome::Answered, Some(began.elapsed().as_secs_f64()), None);
                return Ok(Dialled { wire, pick, active });
            }
            Err(error) => {
                let text = error.to_string();
                pick.done(error.outcome(), None, Some(&text));
                let (route, upstream, address) = (&*site.route.name, pick.server(), pick.address());
                events::UpstreamConnectFailed { route, upstream, address, error: &text }.emit(&site.all_metrics);
                last = error;
            }
        }
    }
    Err(last)
}

async fn attempt(site: &TcpSite, pick: &Pick, ends: Ends, greeting: Greeting) -> Result<Wire, DialError> {
    let within = site.pool.settings().timeouts.connect;
    let server = Server { name: pick.server(), tls_name: pick.tls_name() };
    let late = || DialError::Late { server: pick.server().to_owned(), within };
    let made = Box::pin(make(site, pick.address(), &server, ends, greeting));
    tokio::time::timeout(within, made).await.unwrap_or_else(|_| Err(late()))
}

/// A connection with the server at this very address, for a message that is meant for it alone.
///
/// # Errors
/// Why there is none.
pub async fn dial_at(site: &TcpSite, at: &Place, ends: Ends, greeting: Greeting) -> Result<Wire, DialError> {
    let within = site.pool.settings().timeouts.connect;
    let server = Server { name: &at.server, tls_name: at.tls_name.clone() };
    let made = Box::pin(make(site, &at.address, &server, ends, greeting));
    let late = || DialError::Late { server: at.server.to_string(), within };
    tokio::time::timeout(within, made).await.unwrap_or_else(|_| Err(late()))
}

/// One address of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is.
    pub address: Address,
    /// The server as configured.
    pub server: Arc<str>,
    /// The name that its certificate is to have.
    pub tls_name: String,
}

impl Place {
    /// Where `pick` goes.
    pub fn of(pick: &Pick) -> Self {
        Self { address: pick.address().clone(), server: pick.server().into(), tls_name: pick.tls_name() }
    }
}

struct Server<'a> {
    name: &'a str,
    tls_name: String,
}

async fn make(
    site: &TcpSite,
    address: &Address,
    server: &Server<'_>,
    ends: Ends,
    greeting: Greeting,
) -> Result<Wire, DialError> {
    let name = || server.name.to_owned();
    if is_administrator(address) {
        return Err(DialError::Administrator { server: name() });
    }
    let refused = |source| DialError::Connect { server: name(), source };
    let mut plain = connect(address).await.map_err(refused)?;
    if let Some(version) = site.route.send_proxy {
        plain.write_all(&proxy_out::header(version, ends)).await.map_err(refused)?;
    }
    if matches!(greeting, Greeting::PostgresTls | Greeting::PostgresWish) {
        wish_for_tls(&mut plain, server.name).await?;
    }
    match (greeting, &site.tls) {
        (Greeting::Tls | Greeting::PostgresTls, Some(client)) => {
            let failed = |source| DialError::Tls { server: name(), source };
            let host = client.name_for(&server.tls_name).map_err(|error| failed(io::Error::other(error)))?;
            let connector = TlsConnector::from(Arc::clone(&client.config));
            Ok(Wire::Tls(Box::new(connector.connect(host, plain).await.map_err(failed)?)))
        }
        // A site that encrypts is not built without its TLS.
        (Greeting::Tls | Greeting::PostgresTls, None) => Err(DialError::NoTls { server: name() }),
        (Greeting::None | Greeting::PostgresWish, _) => Ok(Wire::Plain(plain)),
    }
}

/// What the check of routes refuses where the address is written; here it came from a name.
fn is_administrator(address: &Address) -> bool {
    let inet = address.inet();
    inet.is_some_and(|address| address.ip().to_canonical().is_loopback() && matches!(address.port(), 21115 | 21117))
}

async fn connect(address: &Address) -> io::Result<Plain> {
    match address {
        Address::Inet(address) => {
            let socket = TcpStream::connect(address).await?;
            keep_alive(&socket);
            Ok(Plain::Tcp(socket))
        }
        Address::Unix(path) => Ok(Plain::Unix(UnixStream::connect(path).await?)),
    }
}

/// Small messages go out at once, and a peer that vanished without a word is found out within about two minutes: tunnels
/// have no idle limit that would.
pub fn keep_alive(socket: &TcpStream) {
    let probes =
        TcpKeepalive::new().with_time(Duration::from_secs(60)).with_interval(Duration::from_secs(15)).with_retries(4);
    // An error means that the connection is gone, which the first read tells.
    let _ = socket.set_nodelay(true);
    let _ = SockRef::from(socket).set_tcp_keepalive(&probes);
}

async fn wish_for_tls(plain: &mut Plain, server: &str) -> Result<(), DialError> {
    let broken = |source| DialError::Connect { server: server.to_owned(), source };
    plain.write_all(&SSL_REQUEST).await.map_err(broken)?;
    // Room for more than the answer: what comes along with it in clear would be taken for the server's own.
    let mut answer = [0; 16];
    let read = plain.read(&mut answer).await.map_err(broken)?;
    match ssl_answer(&answer[..read]) {
        SslAnswer::Yes => Ok(()),
        SslAnswer::No => Err(DialError::NoTls { server: server.to_owned() }),
        SslAnswer::NeedMore => Err(broken(io::ErrorKind::UnexpectedEof.into())),
        SslAnswer::Error | SslAnswer::BytesBehind | SslAnswer::Other(_) => {
            Err(DialError::NotPostgres { server: server.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_vanished_is_looked_for() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let socket = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
        assert!(!SockRef::from(&socket).keepalive().expect("asked"));
        keep_alive(&socket);
        let socket = SockRef::from(&socket);
        assert!(socket.keepalive().expect("asked") && socket.tcp_nodelay().expect("asked"));
        assert_eq!(socket.tcp_keepalive_time().expect("asked"), Duration::from_secs(60));
    }

    #[test]
    fn an_administrators_port_of_this_machine_is_none_for_clients() {
        let is = |text: &str| is_administrator(&Address::Inet(text.parse().expect("an address")));
        assert!(is("127.0.0.1:21117") && is("[::1]:21115") && is("[::ffff:127.0.0.1]:21115"));
        assert!(!is("127.0.0.1:21116") && !is("10.0.0.9:21117"));
    }
}
