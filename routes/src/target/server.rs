//! Servers of an upstream: `http://10.0.0.2:8080`, `https://name`, `h2c://[::1]:50051`, `10.0.0.2:8080`, `unix:/run/app.sock`.

use std::fmt;

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
}

impl Scheme {
    /// The scheme as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::H2c => "h2c",
        }
    }

    fn default_port(self) -> u16 {
        if self == Self::Https { 443 } else { 80 }
    }
}

/// Why a server's URL cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ServerError {
    /// Not one of the three schemes.
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
    /// Not a path that a socket can have.
    #[error("a socket has an absolute path of at most {LONGEST_SOCKET} bytes")]
    Socket,
}

/// A path and its final zero fit into `sun_path`, which has 108 bytes on Linux.
const LONGEST_SOCKET: usize = 107;

impl ServerError {
    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::Scheme(_) => "use http://, https://, h2c:// or unix:".into(),
            Self::Path { without } => format!("write \"{without}\"; the client's path is forwarded as it came"),
            Self::UserInfo => "remove what stands before the `@`".into(),
            Self::Socket => "write it like \"unix:/run/app.sock\"".into(),
            Self::Host | Self::Port => "write it like \"http://127.0.0.1:8080\" or \"https://[::1]:8443\"".into(),
        }
    }
}

impl Server {
    /// Reads a server's URL; without a scheme it is `http`. Its weight is 1 and it is no backup.
    ///
    /// # Errors
    /// When it is not scheme, host and port, or carries more than these; or not a socket with its path.
    pub fn parse(text: &str) -> Result<Self, ServerError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::at(Scheme::Http, Place::Unix(socket(path)?)));
        }
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (read_scheme(scheme)?, rest),
            None => (Scheme::Http, text),
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
        let port = authority.port.unwrap_or(scheme.default_port());
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

fn read_scheme(text: &str) -> Result<Scheme, ServerError> {
    match text.to_ascii_lowercase().as_str() {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        "h2c" => Ok(Scheme::H2c),
        _ => Err(ServerError::Scheme(text.to_owned())),
    }
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
            assert_eq!(Server::parse(text).map(|server| server.to_string()).as_deref(), Ok(url), "{text}");
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
            assert_eq!(Server::parse(text), Err(error), "{text}");
        }
        assert!(path("http://a:1").hint().starts_with("write \"http://a:1\";"));
    }
}
