//! Servers of an upstream: `http://10.0.0.2:8080`, `https://name`, `h2c://[::1]:50051`, `10.0.0.2:8080`, `unix:/run/app.sock`;
//! of streams `tcp://10.0.0.2:5432`, `udp://10.0.0.2:53` or without a scheme.

use std::fmt;
use std::net::IpAddr;

use thiserror::Error;

use crate::host::{Authority, AuthorityError};

/// One server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// Where it is.
    pub place: Place,
    /// Its share among the servers, 0 to 1000.
    pub weight: u16,
    /// Whether it is asked only when no other can be used.
    pub backup: bool,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In the network.
    Net {
        /// A name or an address in canonical form; IPv6 in brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket of this machine: an absolute path.
    Unix(String),
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// HTTP in clear.
    Http,
    /// HTTP over TLS.
    Https,
    /// HTTP/2 in clear.
    H2c,
    /// Any bytes; whether over TLS is said by the route.
    Tcp,
    /// Datagrams.
    Udp,
}

/// What kind of route a server is written for: by it are judged the schemes and what an address without one means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `[[route]]`.
    Http,
    /// `[[tcp]]`.
    Tcp,
    /// `[[udp]]`.
    Udp,
}

impl Family {
    fn without_scheme(self) -> Scheme {
        match self {
            Self::Http => Scheme::Http,
            Self::Tcp => Scheme::Tcp,
            Self::Udp => Scheme::Udp,
        }
    }

    fn scheme(self, text: &str) -> Option<Scheme> {
        let known: &[Scheme] = match self {
            Self::Http => &[Scheme::Http, Scheme::Https, Scheme::H2c],
            Self::Tcp => &[Scheme::Tcp],
            Self::Udp => &[Scheme::Udp],
        };
        known.iter().copied().find(|scheme| scheme.as_str().eq_ignore_ascii_case(text))
    }
}

impl Scheme {
    /// The scheme as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Self::Http | Self::H2c => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Udp => None,
        }
    }
}

/// Why a server's URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServerError {
    /// Not a scheme of this kind of route.
    #[error("the scheme `{0}` is not known")]
    Scheme(String),
    /// A path, query or fragment came along.
    #[error("a server is a scheme, a host and a port: it has no path, query or fragment")]
    Path {
        /// The URL without it.
        without: String,
    },
    /// Credentials came along.
    #[error("a server has no user information")]
    UserInfo,
    /// Neither a name nor an address.
    #[error("the server's host is not valid")]
    Host,
    /// Not a port from 1 to 65535.
    #[error("the server's port is not a number from 1 to 65535")]
    Port,
    /// No port, where there is no usual one.
    #[error("the server has no port")]
    NoPort,
    /// A socket of this machine, for datagrams.
    #[error("datagrams are sent to a host and a port, not to a socket of this machine")]
    NoSocket,
    /// Not a path that a socket can have.
    #[error("a socket has an absolute path of at most {LONGEST_SOCKET} bytes")]
    Socket,
}

/// A path and its final zero fit into `sun_path`, which has 108 bytes on Linux.
const LONGEST_SOCKET: usize = 107;

impl ServerError {
    /// What to write instead.
    pub fn hint(&self, family: Family) -> String {
        match (self, family) {
            (Self::Scheme(_), Family::Http) => "use http://, https://, h2c:// or unix:".into(),
            (Self::Scheme(_), Family::Tcp) => "use tcp:// or unix:, or no scheme".into(),
            (Self::Scheme(_), Family::Udp) => "use udp://, or no scheme".into(),
            (Self::Path { without }, Family::Http) => {
                format!("write \"{without}\"; the client's path is forwarded as it came")
            }
            (Self::Path { without }, Family::Tcp | Family::Udp) => format!("write \"{without}\""),
            (Self::UserInfo, _) => "remove what stands before the `@`".into(),
            (Self::Socket, _) => "write it like \"unix:/run/app.sock\"".into(),
            (Self::Host | Self::Port | Self::NoPort, Family::Http) => {
                "write it like \"http://127.0.0.1:8080\" or \"https://[::1]:8443\"".into()
            }
            (Self::Host | Self::Port | Self::NoPort | Self::NoSocket, Family::Tcp | Family::Udp)
            | (Self::NoSocket, Family::Http) => "write it like \"127.0.0.1:5432\" or \"[::1]:5432\"".into(),
        }
    }
}

impl Server {
    /// Reads a server's URL; without a scheme it is `http`, `tcp` or `udp`, and the last two need a port. Its weight is 1
    /// and it is no backup.
    ///
    /// # Errors
    /// When it is not scheme, host and port, or carries more than these; or not a socket with its path.
    pub fn parse(text: &str, family: Family) -> Result<Self, ServerError> {
        if let Some(path) = text.strip_prefix("unix:") {
            if family == Family::Udp {
                return Err(ServerError::NoSocket);
            }
            return Ok(Self::at(family.without_scheme(), Place::Unix(socket(path)?)));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => {
                (family.scheme(scheme).ok_or_else(|| ServerError::Scheme(scheme.to_owned()))?, rest)
            }
            None => (family.without_scheme(), text),
        };
        if let Some(end) = rest.find(['/', '?', '#', '\\']) {
            let without = text[..text.len() - rest.len() + end].to_owned();
            return Err(ServerError::Path { without });
        }
        let authority = Authority::parse(rest.as_bytes()).map_err(|error| match error {
            AuthorityError::UserInfo => ServerError::UserInfo,
            AuthorityError::Port => ServerError::Port,
            _ => ServerError::Host,
        })?;
        let port = authority.port.or(scheme.default_port()).ok_or(ServerError::NoPort)?;
        if port == 0 || rest.ends_with(':') {
            return Err(ServerError::Port);
        }
        Ok(Self::at(scheme, Place::Net { host: authority.host.into_owned(), port }))
    }

    fn at(scheme: Scheme, place: Place) -> Self {
        Self { scheme, place, weight: 1, backup: false }
    }

    /// Where it is dialled: `10.0.0.2:8080`, `[::1]:80`, `/run/app.sock`.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Net { host, port } => format!("{host}:{port}"),
            Place::Unix(path) => path.clone(),
        }
    }

    /// Its name or address in the network, if it is there.
    pub fn host(&self) -> Option<&str> {
        match &self.place {
            Place::Net { host, .. } => Some(host),
            Place::Unix(_) => None,
        }
    }

    /// Its port, if it is in the network.
    pub fn port(&self) -> Option<u16> {
        match &self.place {
            Place::Net { port, .. } => Some(*port),
            Place::Unix(_) => None,
        }
    }

    /// Whether what is sent there stays on this machine. A name is taken for `localhost` only where it says so.
    pub fn is_loopback(&self) -> bool {
        let Place::Net { host, .. } = &self.place else { return true };
        match address(host) {
            // To connect to no address in particular is to connect to oneself.
            Some(ip) => ip.is_loopback() || ip.is_unspecified(),
            None => host == "localhost" || host.ends_with(".localhost"),
        }
    }

    /// Whether it is on this machine or in a private network, as far as its text tells: a name without a dot and one of a
    /// private domain have no meaning in the Internet.
    pub fn is_private(&self) -> bool {
        let Place::Net { host, .. } = &self.place else { return true };
        match address(host) {
            Some(IpAddr::V4(ip)) => ip.is_private() || ip.is_link_local() || self.is_loopback(),
            Some(IpAddr::V6(ip)) => ip.is_unique_local() || ip.is_unicast_link_local() || self.is_loopback(),
            None => !host.contains('.') || PRIVATE.iter().any(|domain| host.ends_with(domain)),
        }
    }
}

/// Domains that are nobody's in the Internet (RFC 6761, RFC 6762, RFC 8375, and `internal` by decision of ICANN).
const PRIVATE: &[&str] = &[".localhost", ".local", ".internal", ".home.arpa"];

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Net { host, port } => write!(f, "{}://{host}:{port}", self.scheme.as_str()),
            Place::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

/// The path of a socket; `unix:///run/x.sock` is `unix:/run/x.sock`.
fn socket(text: &str) -> Result<String, ServerError> {
    let path = text.strip_prefix("//").filter(|rest| rest.starts_with('/')).unwrap_or(text);
    let is_good =
        path.starts_with('/') && !path.starts_with("//") && !path.ends_with('/') && path.len() <= LONGEST_SOCKET;
    if is_good && !path.chars().any(char::is_control) { Ok(path.to_owned()) } else { Err(ServerError::Socket) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_scheme_host_and_port_with_defaults() {
        for (text, url) in [
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
            ("https://Backend.Example", "https://backend.example:443"),
            ("h2c://[::1]:50051", "h2c://[::1]:50051"),
            ("10.0.0.2:8080", "http://10.0.0.2:8080"),
            ("backend", "http://backend:80"),
            ("HTTP://my_container:80", "http://my_container:80"),
            ("unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock"),
        ] {
            let server = Server::parse(text, Family::Http).map(|server| server.to_string());
            assert_eq!(server.as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn a_server_that_carries_more_or_less_is_refused_with_what_to_write() {
        let path = |without: &str| ServerError::Path { without: without.into() };
        let long = format!("unix:/{}", "x".repeat(LONGEST_SOCKET));
        for (text, error) in [
            ("http://a:1/", path("http://a:1")),
            ("http://a:1/base?x", path("http://a:1")),
            ("a:1#f", path("a:1")),
            ("http://user:pw@a", ServerError::UserInfo),
            ("ftp://a", ServerError::Scheme("ftp".into())),
            ("tcp://a:1", ServerError::Scheme("tcp".into())),
            ("unix:", ServerError::Socket),
            ("unix:run/x.sock", ServerError::Socket),
            ("unix://run/x.sock", ServerError::Socket),
            ("unix:/run/", ServerError::Socket),
            ("unix:/run/x\0y", ServerError::Socket),
            (&long, ServerError::Socket),
            ("http://", ServerError::Host),
            ("", ServerError::Host),
            ("http://a b", ServerError::Host),
            ("http://a:", ServerError::Port),
            ("http://a:0", ServerError::Port),
            ("http://a:70000", ServerError::Port),
            ("http://[::1", ServerError::Host),
            ("http://127.0.0.256:80", ServerError::Host),
        ] {
            assert_eq!(Server::parse(text, Family::Http), Err(error), "{text}");
        }
        assert!(path("http://a:1").hint(Family::Http).starts_with("write \"http://a:1\";"));
    }

    #[test]
    fn a_server_of_a_stream_is_host_and_port() {
        let scheme = |name: &str| ServerError::Scheme(name.into());
        for (text, tcp, udp) in [
            ("127.0.0.1:5432", Ok("tcp://127.0.0.1:5432"), Ok("udp://127.0.0.1:5432")),
            ("tcp://Db.Example:5432", Ok("tcp://db.example:5432"), Err(scheme("tcp"))),
            ("UDP://[::1]:53", Err(scheme("UDP")), Ok("udp://[::1]:53")),
            ("unix:/run/x.sock", Ok("unix:/run/x.sock"), Err(ServerError::NoSocket)),
            ("db", Err(ServerError::NoPort), Err(ServerError::NoPort)),
            ("db:0", Err(ServerError::Port), Err(ServerError::Port)),
            ("http://db:80", Err(scheme("http")), Err(scheme("http"))),
            ("tcp://db:1/x", Err(ServerError::Path { without: "tcp://db:1".into() }), Err(scheme("tcp"))),
            ("ada@db:1", Err(ServerError::UserInfo), Err(ServerError::UserInfo)),
            ("", Err(ServerError::Host), Err(ServerError::Host)),
        ] {
            for (family, expected) in [(Family::Tcp, tcp), (Family::Udp, udp)] {
                let read = Server::parse(text, family).map(|server| server.to_string());
                assert_eq!(read, expected.map(str::to_owned), "{text}");
            }
        }
        let unix = Server::parse("unix:/x", Family::Tcp).expect("good");
        assert_eq!(unix.scheme, Scheme::Tcp);
        assert_eq!(scheme("http").hint(Family::Tcp), "use tcp:// or unix:, or no scheme");
    }

    #[test]
    fn what_is_on_this_machine_or_in_a_private_network_is_known_by_its_text() {
        for (host, loopback, private) in [
            ("127.0.0.1", true, true),
            ("127.8.8.8", true, true),
            ("[::1]", true, true),
            ("[::ffff:127.0.0.1]", true, true),
            ("0.0.0.0", true, true),
            ("[::]", true, true),
            ("localhost", true, true),
            ("db.localhost", true, true),
            ("10.0.0.2", false, true),
            ("192.168.1.1", false, true),
            ("[fd00::1]", false, true),
            ("[fe80::1]", false, true),
            ("postgres", false, true),
            ("db.internal", false, true),
            ("192.0.2.1", false, false),
            ("[2001:db8::1]", false, false),
            ("db.example.com", false, false),
            ("notlocalhost", false, true),
        ] {
            let server = Server::parse(&format!("{host}:1"), Family::Tcp).expect("good");
            assert_eq!((server.is_loopback(), server.is_private()), (loopback, private), "{host}");
        }
        let unix = Server::parse("unix:/x", Family::Tcp).expect("good");
        assert!(unix.is_loopback() && unix.is_private());
    }
}
