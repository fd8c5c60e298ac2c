//! One checked route: everything the edge needs to serve it, with nothing left to be checked.
//! Made by `check` alone; how it is written is said by `file`.

use crate::preset::Applied;
use crate::rule::Rule;
use crate::step::Step;
use crate::target::Target;

/// One checked route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Unique; the label in logs and metrics.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// The line of its `[[route]]`, counted from 1.
    pub line: usize,
    /// When it answers.
    pub rule: Rule,
    /// What it does then.
    pub target: Target,
    /// Who signs the certificates of its hosts.
    pub tls: RouteTls,
    /// How much of everything.
    pub limits: Limits,
    /// What becomes of paths that readers may take for two.
    pub path_policy: PathPolicy,
    /// Which `Host` the servers see.
    pub host_header: HostHeader,
    /// Its middlewares, in the order in which they see a request.
    pub steps: Vec<Step>,
    /// What its preset did, if it has one.
    pub preset: Option<Applied>,
    /// Whether the servers learn the address of the client.
    pub client_headers: ClientHeaders,
    /// This route alone as TOML without variables: checked again in the same world it gives the same route.
    pub text: String,
}

impl Route {
    /// Whether the other route does the same under the same name, wherever it stands.
    pub fn same_as(&self, other: &Self) -> bool {
        // Named one by one, so that a new field does not compile until somebody has decided about it.
        let Self {
            name,
            file: _,
            line: _,
            rule,
            target,
            tls,
            limits,
            path_policy,
            host_header,
            client_headers,
            steps,
            preset,
            text,
        } = self;
        *name == other.name
            && *rule == other.rule
            && *target == other.target
            && *tls == other.tls
            && *limits == other.limits
            && *path_policy == other.path_policy
            && *host_header == other.host_header
            && *steps == other.steps
            && *preset == other.preset
            && *client_headers == other.client_headers
            && *text == other.text
    }

    /// Whether anything about its answers depends on the path.
    pub fn depends_on_path(&self) -> bool {
        self.rule.depends_on_path()
            || matches!(self.target, Target::Files(_))
            || self.steps.iter().any(|step| step.one_reading)
    }
}

/// The kinds of route that a file may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    /// `[[route]]`: requests.
    #[default]
    Http,
    /// `[[tcp]]`: connections.
    Tcp,
    /// `[[udp]]`: datagrams.
    Udp,
}

impl RouteKind {
    /// The key in route files.
    pub fn key(self) -> &'static str {
        match self {
            Self::Http => "route",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// Who signs the certificates of a route's hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteTls {
    /// The issuer; none when the route has no host or is on no entrypoint with TLS.
    pub issuer: Option<Issuer>,
    /// Whether the route says so itself; else it is the default.
    pub chosen: bool,
}

/// Who signs a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Issuer {
    /// The public CA of `[acme]`.
    Acme,
    /// Our own local CA.
    Internal,
    /// The files of a `[[certificate]]`.
    Files,
}

impl Issuer {
    /// The word in route files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acme => "acme",
            Self::Internal => "internal",
            Self::Files => "files",
        }
    }
}

/// How much of everything a client may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request body; none is no limit.
    pub body: Option<u64>,
    /// Bytes of a request head.
    pub headers: u64,
    /// Header fields, cookie crumbs counted.
    pub fields: u32,
    /// The least bytes per second of a body, over 30 s; none is no limit.
    pub min_rate: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { body: None, headers: 32 << 10, fields: 100, min_rate: Some(500) }
    }
}

/// What becomes of paths that readers may take for two, where anything depends on the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathPolicy {
    /// They are refused with 400.
    #[default]
    Strict,
    /// They are forwarded: the route owns its hosts whole, and only its servers read the path.
    Raw,
}

/// Which `Host` the servers see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HostHeader {
    /// The client's.
    #[default]
    Keep,
    /// The server's own.
    Upstream,
    /// This one.
    Literal(String),
}

/// Whether the servers learn the address of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientHeaders {
    /// By `X-Forwarded-For`, `X-Real-IP` and `Forwarded`.
    #[default]
    Send,
    /// None of these headers is sent.
    None,
}
