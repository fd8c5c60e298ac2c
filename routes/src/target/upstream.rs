//! What a route says about its servers, as types that cannot be wrong, with their defaults.

use std::fmt;
use std::time::Duration;

use super::is_token;
use super::server::Server;

/// Servers and how to talk to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Never empty, no address twice, and one that is no backup has a weight.
    pub servers: Vec<Server>,
    /// How a server is chosen.
    pub balance: Balance,
    /// How servers are asked whether they are well, if they are.
    pub health: Option<Health>,
    /// When a server that fails requests is left alone for a while; none is never.
    pub eject: Option<Eject>,
    /// How long the share of a server that became healthy grows; zero is not at all.
    pub slow_start: Duration,
    /// Deadlines.
    pub timeouts: Timeouts,
    /// What is tried again.
    pub retries: Retries,
    /// How `https` servers are spoken to.
    pub tls: UpstreamTls,
    /// Which version of HTTP is spoken.
    pub http: HttpVersion,
}

/// How a server is chosen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
    /// The one that has the fewest requests for its weight.
    LeastRequests,
    /// Of two by chance, the one that has fewer requests for its weight.
    RandomTwo,
    /// The same one for the same value.
    Hash(HashOn),
    /// One after the other at first, then the one that the cookie of this name stands for.
    Sticky(String),
}

/// What a server is chosen by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// The address of the client.
    ClientIp,
    /// The header of this name, in lower case.
    Header(String),
}

impl Balance {
    /// Reads how it is written in a route file.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "round-robin" => return Some(Self::RoundRobin),
            "least-requests" => return Some(Self::LeastRequests),
            "random-two" => return Some(Self::RandomTwo),
            "hash:client-ip" => return Some(Self::Hash(HashOn::ClientIp)),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("hash:header:") {
            return is_token(name).then(|| Self::Hash(HashOn::Header(name.to_ascii_lowercase())));
        }
        // A cookie's name is a token too (RFC 6265 section 4.1.1).
        text.strip_prefix("sticky:").filter(|name| is_token(name)).map(|name| Self::Sticky(name.to_owned()))
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RoundRobin => f.write_str("round-robin"),
            Self::LeastRequests => f.write_str("least-requests"),
            Self::RandomTwo => f.write_str("random-two"),
            Self::Hash(HashOn::ClientIp) => f.write_str("hash:client-ip"),
            Self::Hash(HashOn::Header(name)) => write!(f, "hash:header:{name}"),
            Self::Sticky(cookie) => write!(f, "sticky:{cookie}"),
        }
    }
}

/// How servers are asked whether they are well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// What is asked.
    pub probe: Probe,
    /// How often.
    pub every: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Good answers in a row after which a server is up.
    pub up_after: u32,
    /// Failures in a row after which it is down.
    pub down_after: u32,
}

impl Default for Health {
    fn default() -> Self {
        let (every, timeout) = (Duration::from_secs(5), Duration::from_secs(2));
        Self { probe: Probe::Connect, every, timeout, up_after: 2, down_after: 3 }
    }
}

/// What a server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// To take a connection.
    Connect,
    /// To answer a request for TLS, with yes or no, as every PostgreSQL does.
    Postgres,
    /// To answer a GET.
    Get {
        /// The target, with a query if there is one.
        path: String,
        /// The answers that are good.
        status: Statuses,
    },
}

/// Ranges of statuses: `200-399`, `200-299,401`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses(Vec<(u16, u16)>);

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![(200, 399)])
    }
}

impl Statuses {
    /// Reads them; at most sixteen ranges within 100 to 599.
    pub fn parse(text: &str) -> Option<Self> {
        let range = |text: &str| {
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            let code = |text: &str| text.trim().parse().ok().filter(|code| (100..=599).contains(code));
            Some((code(from)?, code(to)?)).filter(|(from, to)| from <= to)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.filter(|ranges| ranges.len() <= 16).map(Self)
    }

    /// Whether this status is one of them.
    pub fn contain(&self, status: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// The ranges, both ends in them.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { "," })?;
            if from == to { write!(f, "{from}")? } else { write!(f, "{from}-{to}")? }
        }
        Ok(())
    }
}

/// When a server that fails requests is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eject {
    /// Failures in a row after which it is.
    pub after: u32,
    /// For how long the first time; each time in a row it is twice as long.
    pub time: Duration,
    /// For how long at most.
    pub max: Duration,
}

impl Default for Eject {
    fn default() -> Self {
        Self { after: 5, time: Duration::from_secs(10), max: Duration::from_secs(300) }
    }
}

/// Deadlines towards a server. None is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To a connection, TLS included.
    pub connect: Option<Duration>,
    /// From the end of the request to the first byte of the answer.
    pub first_byte: Option<Duration>,
    /// Between two bytes of the answer.
    pub idle: Option<Duration>,
    /// How long an unused connection is kept for the next request.
    pub pool_idle: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Some(Duration::from_secs(5)),
            first_byte: Some(Duration::from_secs(60)),
            idle: Some(Duration::from_secs(300)),
            // Below the 5 s after which Node and uvicorn close: a connection must not be taken while it closes. Presets of
            // what runs in gunicorn say less than its 2 s.
            pool_idle: Some(Duration::from_secs(4)),
        }
    }
}

/// What is tried again, always before a byte of the body was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retries {
    /// How often, besides the first try.
    pub attempts: u8,
    /// After which failures.
    pub on: Vec<RetryOn>,
}

impl Default for Retries {
    fn default() -> Self {
        Self { attempts: 1, on: vec![RetryOn::Connect] }
    }
}

/// A failure after which another server is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryOn {
    /// No connection was made.
    Connect,
    /// The connection broke before there was an answer, and the request has no body and may be done twice.
    Broken,
    /// The answer is 502, 503 or 504, and the request has no body and may be done twice.
    Unavailable,
}

impl RetryOn {
    /// How it is written in a route file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Broken => "broken",
            Self::Unavailable => "unavailable",
        }
    }

    /// Reads how it is written in a route file.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Connect, Self::Broken, Self::Unavailable].into_iter().find(|on| on.as_str() == text)
    }
}

/// How `https` servers are spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// PEM roots instead of the system's, as written in the file.
    pub ca_file: Option<String>,
    /// The name to send and verify, instead of the server's own.
    pub server_name: Option<String>,
    /// Our own certificate and key for servers that ask for one, as written in the file.
    pub client: Option<ClientIdentity>,
    /// Whether the server's certificate is verified.
    pub verify: bool,
}

impl Default for UpstreamTls {
    fn default() -> Self {
        Self { ca_file: None, server_name: None, client: None, verify: true }
    }
}

/// A certificate and its key, as PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate chain.
    pub cert: String,
    /// The key.
    pub key: String,
}

/// Which version of HTTP is spoken to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpVersion {
    /// HTTP/2 where TLS agrees on it or the URL says `h2c`, else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1.
    One,
    /// HTTP/2 over TLS.
    Two,
    /// HTTP/2 in clear.
    H2c,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_to_balance_is_written_as_it_is_read() {
        for text in
            ["round-robin", "least-requests", "random-two", "hash:client-ip", "hash:header:x-user", "sticky:EDGE_ID"]
        {
            assert_eq!(Balance::parse(text).map(|balance| balance.to_string()).as_deref(), Some(text));
        }
        for text in
            ["", "hash", "hash:", "hash:header:", "hash:header:a b", "sticky:", "sticky:a;b", "random", "Round-Robin"]
        {
            assert_eq!(Balance::parse(text), None, "{text}");
        }
    }

    #[test]
    fn statuses_are_ranges_with_both_ends() {
        let some = Statuses::parse("200-299, 401").expect("good");
        assert!(
            some.contain(200) && some.contain(299) && some.contain(401) && !some.contain(300) && !some.contain(400)
        );
        assert_eq!(some.to_string(), "200-299,401");
        for text in ["", "20", "200-", "-299", "299-200", "200-600", "x", "200,,300", &"200,".repeat(17)] {
            assert_eq!(Statuses::parse(text), None, "{text}");
        }
    }
}
