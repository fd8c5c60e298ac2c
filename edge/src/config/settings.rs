//! The settings of `edge.toml` as plain values with their defaults. How they are written is said by `shape`.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use certs::files::FilePair;
use certs::server_config::MinVersion;
use ipnet::IpNet;
use routes::world::Protocol;

use super::around::Around;
use crate::upstream::NameServers;

/// Everything that `edge.toml` says. Paths are absolute or relative to the current folder, ready to be opened.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file itself.
    pub file: PathBuf,
    /// The folder of certificates, accounts and history; `$EDGE_STATE` wins over the file.
    pub state: PathBuf,
    /// The addresses that are served, by name in the order of the file; never empty, names and addresses unique.
    pub entrypoints: Vec<Entrypoint>,
    /// The public CA, if there is one.
    pub acme: Option<acme::Settings>,
    /// TLS towards clients.
    pub tls: Tls,
    /// Certificates that somebody else keeps in files. Some may have been unreadable at the load: that is a fault, and
    /// they are served once they are good.
    pub certificates: Vec<FilePair>,
    /// How much clients may open.
    pub limits: Limits,
    /// Where metrics, health and the API are served.
    pub admin: SocketAddr,
    /// Names besides `localhost` by which the admin side may be asked for, in lower case.
    pub admin_hosts: Vec<String>,
    /// What is logged, and how.
    pub log: Log,
    /// Who is asked for the addresses of upstreams.
    pub dns: NameServers,
    /// How long requests and tunnels may go on after the signal to stop.
    pub stop_grace: Duration,
    /// Where the route files are, and what they need to know.
    pub around: Around,
}

/// An address or several that are served in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entrypoint {
    /// Its name, the label in metrics.
    pub name: String,
    /// The addresses to bind; never empty. Port 0 is any free one.
    pub listen: Vec<SocketAddr>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Whether TLS is terminated for requests; never on entrypoints of other protocols.
    pub tls: bool,
    /// The entrypoint with TLS that everything is redirected to, ACME challenges aside.
    pub redirect: Option<String>,
    /// Peers whose forwarding headers and PROXY header are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether each connection begins with a PROXY header.
    pub proxy_protocol: bool,
}

impl Entrypoint {
    /// The entrypoints of a file that has none: `http` on port 80 with a redirect to `https` on port 443.
    pub fn defaults() -> Vec<Self> {
        let entrypoint = |name: &str, port, tls, redirect: Option<&str>| Self {
            name: name.to_owned(),
            listen: Self::everywhere(port),
            protocol: Protocol::Http,
            tls,
            redirect: redirect.map(str::to_owned),
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
        };
        vec![entrypoint("http", 80, false, Some("https")), entrypoint("https", 443, true, None)]
    }

    /// A port on every address of this machine.
    pub(super) fn everywhere(port: u16) -> Vec<SocketAddr> {
        vec![(Ipv4Addr::UNSPECIFIED, port).into(), (Ipv6Addr::UNSPECIFIED, port).into()]
    }
}

/// TLS towards clients.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The oldest version that is spoken.
    pub min: MinVersion,
    /// The name, in canonical form, whose certificate clients without SNI get.
    pub default_certificate: Option<String>,
}

/// How much clients may open; 0 is no limit. A client is an IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Open connections of one client.
    pub client_connections: usize,
    /// New connections per second of one client.
    pub client_handshakes_per_second: u32,
    /// Open connections in all; 0 is what the descriptor limit allows.
    pub connections: usize,
    /// Requests on one connection.
    pub keepalive_requests: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { client_connections: 512, client_handshakes_per_second: 100, connections: 0, keepalive_requests: 1000 }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// The least important line that is written.
    pub level: Level,
    /// How a line looks.
    pub format: LogFormat,
    /// Where a line for each request goes.
    pub access: Access,
    /// What is never written.
    pub redact: Vec<Redact>,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Level {
    /// A defect, or something that needs a person now.
    Error,
    /// Something that will need a person.
    Warn,
    /// What an operator wants to have seen.
    #[default]
    Info,
    /// What clients do wrong, among other noise.
    Debug,
    /// Everything.
    Trace,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people on a terminal, else JSON.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// Where the access log goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// The standard output.
    #[default]
    Stdout,
    /// Nowhere.
    Off,
    /// A file, opened again on SIGHUP.
    File(PathBuf),
}

/// Something that is never written to a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redact {
    /// The client's address.
    Client,
    /// The whole query.
    Query,
    /// The value of this query parameter.
    Parameter(String),
    /// The value of this header, in lower case.
    Header(String),
}
