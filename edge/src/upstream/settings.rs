//! What may be said about an upstream, already checked for form. Files are not read here.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

/// One upstream of one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// In the order written.
    pub servers: Vec<Server>,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Which HTTP to speak.
    pub http: Http,
    /// For servers with `https`.
    pub tls: Tls,
    /// How many more tries a request gets after the first, at most.
    pub retries: u32,
    /// After which failures.
    pub retry_on: RetryOn,
    /// How a server is chosen.
    pub choice: Choice,
    /// How servers are asked whether they are well, if they are.
    pub health: Option<Health>,
    /// When a server that fails requests is left alone, if ever.
    pub eject: Option<Eject>,
    /// How long the share of a server grows that became healthy.
    pub slow_start: Duration,
}

/// The failures after which another server may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryOn {
    /// No connection.
    pub connect: bool,
    /// A connection that broke before an answer.
    pub broken: bool,
    /// 502, 503 and 504.
    pub unavailable: bool,
}

impl Default for RetryOn {
    fn default() -> Self {
        Self { connect: true, broken: false, unavailable: false }
    }
}

/// How a server is chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// By turns, in proportion to the weights.
    #[default]
    Turns,
    /// The fewest requests for its weight.
    LeastRequests,
    /// The one with fewer requests of two by chance.
    RandomTwo,
    /// By the address of the client.
    HashClient,
    /// By a header.
    HashHeader(HeaderName),
    /// By the cookie of this name, which the edge sets.
    Sticky(String),
}

/// How a server is asked whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// How often.
    pub every: Duration,
    /// How long the answer may take.
    pub timeout: Duration,
    /// Good answers in a row after which it is up.
    pub up_after: u32,
    /// Failures in a row after which it is down.
    pub down_after: u32,
}

/// What a server is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probe {
    /// To take a connection.
    Connect,
    /// To answer a request for TLS as PostgreSQL does, with yes or no.
    Postgres,
    /// To answer a GET.
    Get {
        /// The target.
        path: String,
        /// The `Host`; `None` is the server's own.
        host: Option<String>,
        /// Ranges of good statuses, both ends in them.
        status: Vec<(u16, u16)>,
    },
}

/// When a server that fails requests is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Eject {
    /// Failures in a row after which it is.
    pub after: u32,
    /// How long the first time; twice as long each time in a row.
    pub time: Duration,
    /// How long at most.
    pub max: Duration,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Where it is.
    pub place: Place,
    /// Its share of the requests relative to the others; 0 takes it out of turn.
    pub weight: u16,
    /// Whether it is asked only when no other can be used.
    pub backup: bool,
}

impl Server {
    /// A server in the network, with the weight 1.
    pub fn net(scheme: Scheme, host: Host, port: u16) -> Self {
        Self { scheme, place: Place::Net { host, port }, weight: 1, backup: false }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Net { host, port } => write!(out, "{}://{host}:{port}", self.scheme.word()),
            Place::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// In the network.
    Net {
        /// A name or an address.
        host: Host,
        /// TCP port.
        port: u16,
    },
    /// A socket of this machine.
    Unix(PathBuf),
}

/// The scheme of a server's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// In clear, HTTP/1.1 unless said otherwise.
    Http,
    /// Over TLS.
    Https,
    /// In clear, HTTP/2 from the first byte (RFC 9113 section 3.3).
    H2c,
    /// A stream of any bytes.
    Tcp,
    /// Datagrams.
    Udp,
}

impl Scheme {
    const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Looked up again and again.
    Name(String),
    /// As it is.
    Ip(IpAddr),
}

impl From<&str> for Host {
    /// An IPv6 address may stand in brackets, as in a URL.
    fn from(text: &str) -> Self {
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Some(Ok(ip)) = inner.map(str::parse::<Ipv6Addr>) {
            return Self::Ip(ip.into());
        }
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Ip)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(out, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(out, "[{ip}]"),
        }
    }
}

/// How long to wait for a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// For the connection with its TLS handshake.
    pub connect: Duration,
    /// From the end of the request to the head of the answer.
    pub first_byte: Duration,
    /// Between two reads or writes of a body.
    pub idle: Duration,
    /// How long an unused connection is kept; shorter than the server keeps it.
    pub pool_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(300),
            // Node.js and uvicorn close after 5 s. Gunicorn does so after 2 s: presets of what runs in it
            // say less. A request on a connection that closes at that moment cannot always be sent again.
            pool_idle: Duration::from_secs(4),
        }
    }
}

/// Which HTTP to speak to the servers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Http {
    /// What the server prefers by ALPN; in clear HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    One,
    /// HTTP/2 only; in clear without asking first.
    Two,
    /// As `Two`, and only in clear.
    H2c,
}

/// TLS towards the servers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tls {
    /// PEM file of the only authorities to trust; else those of the system.
    pub ca_file: Option<PathBuf>,
    /// The name to ask for and to verify; else the host.
    pub server_name: Option<String>,
    /// PEM files of our certificate chain and its key, for servers that ask for one.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Whether the server's certificate is checked at all.
    pub verify: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { ca_file: None, server_name: None, client: None, verify: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_read_and_written_as_in_a_url() {
        for (text, written) in
            [("10.0.0.1", "10.0.0.1"), ("[::1]", "[::1]"), ("::1", "[::1]"), ("db.x", "db.x"), ("[x]", "[x]")]
        {
            let server = Server::net(Scheme::Http, text.into(), 80);
            assert_eq!(server.to_string(), format!("http://{written}:80"));
        }
        assert_eq!(Host::from("[::1]"), Host::Ip(Ipv6Addr::LOCALHOST.into()));
        assert_eq!(Host::from("[10.0.0.1]"), Host::Name("[10.0.0.1]".to_owned()));
    }
}
