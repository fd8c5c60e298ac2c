//! The URL that is asked about, as a client would send it: nothing of it is decoded but the host.

use routes::host::{Host, HostError};

/// A URL in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// Whether it is `https`; so is a URL without a scheme.
    pub(super) tls: bool,
    /// Whether it is a connection below HTTP: `postgres`, `postgresql`, `tcp`.
    pub(super) is_stream: bool,
    /// Whether it is one of PostgreSQL.
    pub(super) is_postgres: bool,
    /// The user, if one is written.
    pub(super) user: Option<String>,
    /// The host in canonical form.
    pub(super) host: String,
    /// The port, if one is written.
    pub(super) port: Option<u16>,
    /// The path as it is written; `/` if there is none.
    pub(super) path: String,
    /// The query without its `?`, if there is one.
    pub(super) query: Option<String>,
}

/// Why a text is no URL that a client could ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UrlError {
    #[error("the scheme `{0}` is not served here; write http://, https://, postgres:// or tcp://")]
    Scheme(String),
    #[error("`{host}`: {why}")]
    Host { host: String, why: HostError },
    #[error("`{0}` stands for many hosts; name one of them")]
    Wildcard(String),
    #[error("`{0}` is not a port from 1 to 65535")]
    Port(String),
}

impl std::str::FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("https", text));
        let scheme = scheme.to_ascii_lowercase();
        let is_postgres = matches!(scheme.as_str(), "postgres" | "postgresql");
        let is_stream = is_postgres || scheme == "tcp";
        let tls = is_stream || is_tls(&scheme)?;
        // A client keeps the fragment to itself.
        let rest = rest.split_once('#').map_or(rest, |(sent, _)| sent);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user, authority) = match authority.rsplit_once('@') {
            Some((user, host)) => (user.split(':').next().filter(|user| !user.is_empty()), host),
            None => (None, authority),
        };
        let user = user.map(str::to_owned);
        let (host, port) = split_port(authority)?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let path = if path.is_empty() { "/" } else { path }.to_owned();
        Ok(Self { tls, is_stream, is_postgres, user, host: canonical(host)?, port, path, query })
    }
}

fn is_tls(scheme: &str) -> Result<bool, UrlError> {
    match scheme {
        "https" | "wss" => Ok(true),
        "http" | "ws" => Ok(false),
        _ => Err(UrlError::Scheme(scheme.to_owned())),
    }
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), UrlError> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => {
            let number = port.parse().ok().filter(|number| *number > 0);
            number.map(|number| (host, Some(number))).ok_or_else(|| UrlError::Port(port.to_owned()))
        }
        _ => Ok((authority, None)),
    }
}

fn canonical(host: &str) -> Result<String, UrlError> {
    match Host::parse(host) {
        Ok(Host::Exact(name)) => Ok(name.into()),
        Ok(Host::Wildcard(_)) => Err(UrlError::Wildcard(host.to_owned())),
        Err(why) => Err(UrlError::Host { host: host.to_owned(), why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Result<Url, UrlError> {
        text.parse()
    }

    #[test]
    fn a_url_is_taken_apart_as_a_client_does() {
        let parts = |text| url(text).map(|url| (url.tls, url.host, url.port, url.path, url.query)).expect("a URL");
        let parted = |tls, host: &str, port, path: &str, query: Option<&str>| {
            (tls, host.to_owned(), port, path.to_owned(), query.map(str::to_owned))
        };
        assert_eq!(parts("https://A.example/x?y=1#z"), parted(true, "a.example", None, "/x", Some("y=1")));
        assert_eq!(parts("a.example"), parted(true, "a.example", None, "/", None));
        assert_eq!(parts("http://a.example:8080?q"), parted(false, "a.example", Some(8080), "/", Some("q")));
        assert_eq!(parts("wss://u:p@[::1]:1/%2f"), parted(true, "[::1]", Some(1), "/%2f", None));
        assert_eq!(parts("https://[::1]"), parted(true, "[::1]", None, "/", None));
        assert_eq!(parts("bücher.example"), parted(true, "xn--bcher-kva.example", None, "/", None));
    }

    #[test]
    fn what_no_client_could_ask_for_is_refused_in_words() {
        for (text, why) in [
            ("ftp://a", "the scheme `ftp` is not served here; write http://, https://, postgres:// or tcp://"),
            ("https://", "``: a host name is empty"),
            ("https://*.a.example", "`*.a.example` stands for many hosts; name one of them"),
            ("a:0", "`0` is not a port from 1 to 65535"),
            ("a:b", "`b` is not a port from 1 to 65535"),
        ] {
            assert_eq!(url(text).map_err(|error| error.to_string()), Err(why.to_owned()), "{text}");
        }
    }

    #[test]
    fn no_prefix_of_a_url_panics() {
        let text = "https://ü@[::1]:443/é%2?é#é";
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            drop(url(&text[..end]));
        }
    }
}
