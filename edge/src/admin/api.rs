//! What the admin API says, as plain data: made by the edge, read by the command line.
//!
//! Times are RFC 3339 in UTC. Fields may be added; readers ignore what they do not know.

use std::time::SystemTime;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::upstream::{ServerState, ServerStatus};

/// Where the admin side gets all it shows from.
#[async_trait]
pub trait Source: Send + Sync + 'static {
    /// The edge as a whole.
    fn status(&self) -> Status;
    /// Every route, rejected ones too, in the order in which they are tried.
    fn routes(&self) -> Vec<Route>;
    /// Every certificate that is served or needed.
    fn certs(&self) -> Vec<Cert>;
    /// Every server of every route.
    fn upstreams(&self) -> Vec<Upstream>;
    /// The connections and datagram sessions of streams that are open.
    fn sessions(&self) -> Sessions;
    /// Whether traffic should be sent here.
    fn ready(&self) -> Readiness;
    /// Loads the configuration again.
    async fn reload(&self) -> Reload;
}

/// The edge as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Commit it was built from; empty if unknown.
    pub commit: String,
    /// Process id.
    pub pid: u32,
    /// When the process started.
    pub started: String,
    /// The `edge.toml` in use.
    pub config: String,
    /// The state folder.
    pub state: String,
    /// Number of the configuration in use.
    pub generation: u64,
    /// When it was put in use.
    pub loaded: String,
    /// Whether the edge is stopping.
    pub draining: bool,
    /// Where it listens.
    pub entrypoints: Vec<Entrypoint>,
}

/// An entrypoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrypoint {
    /// Its name.
    pub name: String,
    /// Such as `http` or `postgres`.
    pub protocol: String,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Addresses in use, with the real ports.
    pub addresses: Vec<String>,
    /// Client connections open now.
    pub connections: u64,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// How it is served.
    pub state: RouteState,
    /// Hosts it matches; empty for any.
    pub hosts: Vec<String>,
    /// Paths it matches, as written; empty for any.
    pub paths: Vec<String>,
    /// Entrypoints it is served on.
    pub entrypoints: Vec<String>,
    /// What it does, such as `proxy`, `redirect`, `files`, `respond`.
    pub action: String,
    /// Servers, files or where it redirects to.
    pub target: Vec<String>,
    /// Middlewares in order.
    pub middlewares: Vec<String>,
    /// File and line it is written at, such as `routes/a.toml:3`.
    pub place: String,
    /// What is wrong with the version in that file.
    pub faults: Vec<Fault>,
}

/// How a route is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteState {
    /// As written.
    #[default]
    Live,
    /// By an older version, because the one in the file has a fault.
    Kept,
    /// Not at all: it has a fault and no older version.
    Rejected,
}

/// One thing wrong in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// File.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column, counted from 1.
    pub column: usize,
    /// Path of the key, such as `route.upstream.timeouts.connect`.
    pub key: String,
    /// What is wrong.
    pub why: String,
    /// What to do; empty if there is nothing to add.
    pub hint: String,
}

/// A certificate that is served or needed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cert {
    /// The name it is needed for.
    pub name: String,
    /// Who is to sign it: `acme`, `internal` or `files`.
    pub issuer: String,
    /// How it is.
    pub state: CertState,
    /// End of what is served now; empty if nothing is.
    pub not_after: String,
    /// When it is due to be renewed; empty if the edge does not renew it.
    pub renew_at: String,
    /// SHA-256 of what is served now, in hex; empty if nothing is.
    pub fingerprint: String,
    /// Why there is no better one.
    pub last_error: Option<ErrorAt>,
}

/// How a certificate is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertState {
    /// As wanted.
    #[default]
    Valid,
    /// The local CA's serves until the wanted one is there.
    StandIn,
    /// Its end has passed; it is served because there is no better one.
    Expired,
    /// Nothing can be served.
    Missing,
}

/// A server of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Name of the route.
    pub route: String,
    /// As written.
    pub server: String,
    /// Its share of the requests.
    pub weight: u16,
    /// Whether it is asked only when no other can be used.
    #[serde(default)]
    pub backup: bool,
    /// `up`, `down` (its health checks fail), `ejected` (its requests fail) or `returning`.
    #[serde(default)]
    pub state: String,
    /// More about the state, such as for how long.
    #[serde(default)]
    pub detail: Option<String>,
    /// Requests under way.
    #[serde(default)]
    pub active: u64,
    /// Where it can be reached; empty while its name is not known.
    pub addresses: Vec<Address>,
    /// Tries since the configuration was loaded.
    pub requests: u64,
    /// The last try that failed.
    pub last_error: Option<ErrorAt>,
    /// Why its name cannot be looked up.
    pub dns_error: Option<String>,
}

/// An address of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    /// Address and port.
    pub address: String,
    /// Whether it could not be reached a moment ago, or its health checks fail.
    pub failing: bool,
}

/// An error and when it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorAt {
    /// When.
    pub at: String,
    /// What.
    pub text: String,
}

/// The connections of `[[tcp]]` routes and the sessions of `[[udp]]` routes that are open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sessions {
    /// How many there are.
    pub count: u64,
    /// Those that are open for the longest, the oldest first.
    pub oldest: Vec<Session>,
}

/// One connection below HTTP, or one client that sends datagrams.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// `tcp` or `udp`.
    pub kind: String,
    /// Name of the route.
    pub route: String,
    /// Address and port of the client.
    pub client: String,
    /// The server as configured, or its address.
    pub server: String,
    /// The database that a Postgres client asked for; empty for others.
    pub database: String,
    /// The user that a Postgres client named; empty for others.
    pub user: String,
    /// When it began.
    pub since: String,
    /// For how long it has been open, in seconds.
    pub age_seconds: f64,
    /// Bytes from the client.
    pub received_bytes: u64,
    /// Bytes to the client.
    pub sent_bytes: u64,
}

/// Whether traffic should be sent here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readiness {
    /// Whether it should.
    pub ready: bool,
    /// What speaks against it or is worth to know, one sentence each.
    pub reasons: Vec<String>,
}

/// What a reload did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// Whether the configuration was put in use. If not, the one before stays.
    pub applied: bool,
    /// Number of the configuration in use now.
    pub generation: u64,
    /// Names of routes that are new.
    pub added: Vec<String>,
    /// Names of routes that differ from before.
    pub changed: Vec<String>,
    /// Names of routes that are no more.
    pub removed: Vec<String>,
    /// Names of routes that have faults; each serves its older version, if there is one.
    pub rejected: Vec<String>,
    /// All faults.
    pub faults: Vec<Fault>,
}

impl Upstream {
    /// A server of the route of that name.
    pub fn new(route: &str, status: ServerStatus) -> Self {
        let ServerStatus { server, weight, backup, state, addresses, requests, active, last_error, dns_error } = status;
        let (state, detail) = match state {
            ServerState::Up => ("up", None),
            ServerState::Down => ("down", Some("its health checks fail".to_owned())),
            ServerState::Ejected(left) => ("ejected", Some(format!("for {} s more", left.as_secs() + 1))),
            ServerState::Returning(percent) => ("returning", Some(format!("with {percent} % of its share"))),
        };
        let address = |known: crate::upstream::AddressStatus| {
            let address = known.address.to_string();
            Address { address, failing: known.failing }
        };
        Self {
            route: route.to_owned(),
            server,
            weight,
            backup,
            state: state.to_owned(),
            detail,
            active,
            addresses: addresses.into_iter().map(address).collect(),
            requests,
            last_error: last_error.map(|error| ErrorAt { at: rfc3339(error.at), text: error.text }),
            dns_error,
        }
    }
}

/// A time as the API writes it, to the second; empty for a time that no calendar has.
pub fn rfc3339(time: SystemTime) -> String {
    Timestamp::try_from(time).map_or_else(|_| String::new(), |time| format!("{time:.0}"))
}
