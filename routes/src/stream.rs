//! One checked `[[tcp]]` or `[[udp]]`: everything the edge needs to carry its bytes, with nothing left to be checked.
//! Made by `check` alone; how it is written is said by `file`. Which one a client is for is found in a [`StreamTable`].

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::host::Host;
use crate::route::{RouteKind, RouteTls};
use crate::target::Upstream;

mod table;

pub use table::{Candidates, StreamTable, Streams};

/// A route below HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// Of connections.
    Tcp(Arc<Tcp>),
    /// Of datagrams.
    Udp(Arc<Udp>),
}

/// One checked `[[tcp]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tcp {
    /// Unique among all routes; the label in logs and metrics.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// The line of its `[[tcp]]`, counted from 1.
    pub line: usize,
    /// Where it is served: never empty, sorted, all of one protocol.
    pub entrypoints: Vec<String>,
    /// The names that clients ask for by SNI; none is what no other route of its entrypoints takes.
    pub hosts: Vec<Host>,
    /// The databases that it is for; none is all.
    pub databases: Vec<String>,
    /// The users that it is for; none is all.
    pub users: Vec<String>,
    /// What becomes of TLS.
    pub mode: Mode,
    /// Who signs the certificates of its hosts; no issuer unless the mode is `terminate` or `reencrypt`.
    pub tls: RouteTls,
    /// Whether clients of Postgres may come in without TLS.
    pub plaintext: bool,
    /// The servers. What it says about HTTP is the default and means nothing.
    pub upstream: Upstream,
    /// For how long nothing may pass in either direction; none is for ever.
    pub idle: Option<Duration>,
    /// The PROXY header that a server gets first, if it gets one.
    pub send_proxy: Option<ProxyVersion>,
    /// Which clients may come in.
    pub ip: IpRule,
    /// How much of everything.
    pub limits: TcpLimits,
    /// This route alone as TOML without variables: checked again in the same world it gives the same route.
    pub text: String,
}

/// What becomes of TLS between a client and a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// There is none.
    None,
    /// It ends at the edge, and the server is spoken to in clear.
    Terminate,
    /// It ends at the edge, and the server is spoken to over TLS of the edge's own.
    Reencrypt,
    /// It passes untouched.
    Passthrough,
}

impl Mode {
    /// The word in route files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Terminate => "terminate",
            Self::Reencrypt => "reencrypt",
            Self::Passthrough => "passthrough",
        }
    }

    /// Reads the word of route files.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::None, Self::Terminate, Self::Reencrypt, Self::Passthrough].into_iter().find(|mode| mode.as_str() == text)
    }

    /// Whether TLS of clients ends at the edge, for which it needs a certificate.
    pub fn ends_tls(self) -> bool {
        matches!(self, Self::Terminate | Self::Reencrypt)
    }
}

/// The version of a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Bytes.
    V2,
}

/// Which clients may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IpRule {
    /// Those that may; none is everyone.
    pub allow: Vec<IpNet>,
    /// Those that may not, whatever `allow` says.
    pub deny: Vec<IpNet>,
}

impl IpRule {
    /// Whether this client may come in. IPv4 within IPv6 is IPv4.
    pub fn admits(&self, client: IpAddr) -> bool {
        let client = client.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        (self.allow.is_empty() || within(&self.allow)) && !within(&self.deny)
    }
}

/// How many connections a [`Tcp`] takes; 0 is no limit. A client is an IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpLimits {
    /// Open connections.
    pub connections: u32,
    /// Open connections of one client.
    pub client_connections: u32,
    /// New connections of one client per second.
    pub client_rate: u32,
}

/// One checked `[[udp]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Udp {
    /// Unique among all routes; the label in logs and metrics.
    pub name: String,
    /// The file it stands in.
    pub file: String,
    /// The line of its `[[udp]]`, counted from 1.
    pub line: usize,
    /// The addresses to bind; never empty. Port 0 is any free one.
    pub listen: Vec<SocketAddr>,
    /// The servers. What it says about HTTP is the default and means nothing.
    pub upstream: Upstream,
    /// For how long nothing may pass until a session ends.
    pub idle: Duration,
    /// Which clients may come in.
    pub ip: IpRule,
    /// How much of everything.
    pub limits: UdpLimits,
    /// This route alone as TOML without variables: checked again in the same world it gives the same route.
    pub text: String,
}

/// How many sessions a [`Udp`] has; 0 is no limit. A client is an IPv4 address or an IPv6 /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpLimits {
    /// Open sessions.
    pub sessions: u32,
    /// Open sessions of one client.
    pub client_sessions: u32,
    /// New sessions of one client per second.
    pub client_rate: u32,
}

impl Default for UdpLimits {
    fn default() -> Self {
        Self { sessions: 10_000, client_sessions: 256, client_rate: 0 }
    }
}

impl Udp {
    /// The default of `idle`.
    pub const IDLE: Duration = Duration::from_secs(60);
}

impl Stream {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Tcp(tcp) => &tcp.name,
            Self::Udp(udp) => &udp.name,
        }
    }

    /// The file it stands in.
    pub fn file(&self) -> &str {
        match self {
            Self::Tcp(tcp) => &tcp.file,
            Self::Udp(udp) => &udp.file,
        }
    }

    /// The line that it begins in, counted from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::Tcp(tcp) => tcp.line,
            Self::Udp(udp) => udp.line,
        }
    }

    /// It alone as TOML.
    pub fn text(&self) -> &str {
        match self {
            Self::Tcp(tcp) => &tcp.text,
            Self::Udp(udp) => &udp.text,
        }
    }

    /// Its servers.
    pub fn upstream(&self) -> &Upstream {
        match self {
            Self::Tcp(tcp) => &tcp.upstream,
            Self::Udp(udp) => &udp.upstream,
        }
    }

    /// Which clients may come in.
    pub fn ip(&self) -> &IpRule {
        match self {
            Self::Tcp(tcp) => &tcp.ip,
            Self::Udp(udp) => &udp.ip,
        }
    }

    /// The names that clients ask for by SNI.
    pub fn hosts(&self) -> &[Host] {
        match self {
            Self::Tcp(tcp) => &tcp.hosts,
            Self::Udp(_) => &[],
        }
    }

    /// What kind of route it is.
    pub fn kind(&self) -> RouteKind {
        match self {
            Self::Tcp(_) => RouteKind::Tcp,
            Self::Udp(_) => RouteKind::Udp,
        }
    }

    /// Whether the other does the same under the same name, wherever it stands.
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Tcp(one), Self::Tcp(other)) => one.same_as(other),
            (Self::Udp(one), Self::Udp(other)) => one.same_as(other),
            (Self::Tcp(_), Self::Udp(_)) | (Self::Udp(_), Self::Tcp(_)) => false,
        }
    }
}

impl Tcp {
    /// Whether the other does the same under the same name, wherever it stands.
    pub fn same_as(&self, other: &Self) -> bool {
        // Its place is all that may differ; a new field is compared without being named.
        *self == Self { file: self.file.clone(), line: self.line, ..other.clone() }
    }

    /// How much it asks of a client beside its host: the one that asks for more comes first. A database is nearer to what
    /// a client wants than the user as whom it wants it.
    pub(crate) fn rank(&self) -> u8 {
        u8::from(!self.databases.is_empty()) * 2 + u8::from(!self.users.is_empty())
    }

    /// Whether it is for this database and user.
    pub fn takes(&self, database: &str, user: &str) -> bool {
        let fits = |wanted: &[String], given: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == given);
        fits(&self.databases, database) && fits(&self.users, user)
    }
}

/// Which sessions of Postgres a stream is for, as far as it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionRule {
    /// The databases; none is all.
    pub databases: Vec<String>,
    /// The users; none is all.
    pub users: Vec<String>,
}

impl SessionRule {
    /// As [`Tcp::rank`].
    pub(crate) fn rank(&self) -> u8 {
        u8::from(!self.databases.is_empty()) * 2 + u8::from(!self.users.is_empty())
    }

    /// Whether it is for this database and user.
    pub fn takes(&self, database: &str, user: &str) -> bool {
        let fits = |wanted: &[String], given: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == given);
        fits(&self.databases, database) && fits(&self.users, user)
    }
}

impl Udp {
    /// Whether the other does the same under the same name, wherever it stands.
    pub fn same_as(&self, other: &Self) -> bool {
        *self == Self { file: self.file.clone(), line: self.line, ..other.clone() }
    }
}

/// Whether two addresses cannot be bound by one process: they are equal, or one is every address of the other's
/// family. Port 0 never clashes.
pub fn cannot_both_be_bound(a: SocketAddr, b: SocketAddr) -> bool {
    let every = a.ip().is_unspecified() || b.ip().is_unspecified();
    a.port() == b.port() && a.port() != 0 && a.is_ipv4() == b.is_ipv4() && (every || a.ip() == b.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deny_wins_over_allow_and_no_allow_is_everyone() {
        let networks = |texts: &[&str]| texts.iter().map(|text| crate::units::network(text).expect("good")).collect();
        let rule = |allow: &[&str], deny: &[&str]| IpRule { allow: networks(allow), deny: networks(deny) };
        for (rule, client, admitted) in [
            (rule(&[], &[]), "192.0.2.1", true),
            (rule(&["10.0.0.0/8"], &[]), "10.1.2.3", true),
            (rule(&["10.0.0.0/8"], &[]), "::ffff:10.1.2.3", true),
            (rule(&["10.0.0.0/8"], &[]), "11.1.2.3", false),
            (rule(&["10.0.0.0/8"], &["10.1.0.0/16"]), "10.1.2.3", false),
            (rule(&[], &["10.1.0.0/16"]), "10.1.2.3", false),
            (rule(&[], &["10.1.0.0/16"]), "2001:db8::1", true),
            (rule(&["2001:db8::/32"], &[]), "10.1.2.3", false),
        ] {
            assert_eq!(rule.admits(client.parse().expect("an address")), admitted, "{rule:?} {client}");
        }
    }

    #[test]
    fn a_mode_is_written_as_it_is_read() {
        for text in ["none", "terminate", "reencrypt", "passthrough"] {
            assert_eq!(Mode::parse(text).map(Mode::as_str), Some(text));
        }
        assert_eq!(Mode::parse("off"), None);
    }

    #[test]
    fn an_address_of_all_takes_those_of_its_family_along() {
        for (a, b, clash) in [
            ("0.0.0.0:53", "127.0.0.1:53", true),
            ("127.0.0.1:53", "127.0.0.1:53", true),
            ("127.0.0.1:53", "127.0.0.2:53", false),
            ("0.0.0.0:53", "[::]:53", false),
            ("[::]:53", "[::1]:53", true),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:53", "127.0.0.1:54", false),
        ] {
            let [a, b] = [a, b].map(|text| text.parse().expect("an address"));
            assert_eq!(cannot_both_be_bound(a, b), clash, "{a} {b}");
        }
    }
}
