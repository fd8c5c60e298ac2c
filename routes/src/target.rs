//! What a route does with a request: hand it to servers, redirect it, serve files, answer by itself.
//! Types that cannot be wrong, their defaults, and the parsers of their texts. Nothing is dialled or opened here.

use std::net::IpAddr;
use std::time::Duration;

mod redirect;
mod server;

pub use redirect::{Original, Redirect, RedirectError, Template};
pub use server::{Scheme, Server, ServerError};

/// What a route does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// It goes to one of several servers.
    Upstream(Upstream),
    /// The client is sent elsewhere.
    Redirect(Redirect),
    /// A file of a folder is the answer.
    Files(Files),
    /// The same answer for everybody.
    Respond(Respond),
}

impl Target {
    /// The kind in one word, as it is written in a route file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Upstream(_) => "upstream",
            Self::Redirect(_) => "redirect",
            Self::Files(_) => "files",
            Self::Respond(_) => "respond",
        }
    }
}

/// Servers and how to talk to them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Never empty, no address twice.
    pub servers: Vec<Server>,
    /// How a server is chosen.
    pub balance: Balance,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other, by weight.
    #[default]
    RoundRobin,
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
            // Below the 5 s after which Node and uvicorn close: a connection must not be taken while it closes.
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

/// A folder whose files are the answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// The folder, as written in the file; see [`crate::world::resolve`].
    pub root: String,
    /// Whether the index is the answer for every path that is no file.
    pub spa: bool,
    /// The file that stands for a folder.
    pub index: String,
    /// Whether a folder without index is listed.
    pub listing: bool,
}

impl Files {
    /// The default of `index`.
    pub const INDEX: &'static str = "index.html";
}

/// One answer for everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: u16,
    /// The body, sent as it is.
    pub body: String,
    /// The media type of the body.
    pub content_type: String,
    /// More headers: lower-case name and value, in order of names.
    pub headers: Vec<(String, String)>,
}

impl Respond {
    /// The default of `status`.
    pub const STATUS: u16 = 200;
    /// The default of `content_type`.
    pub const CONTENT_TYPE: &'static str = "text/plain; charset=utf-8";
}

/// Whether this is a header name (RFC 9110 section 5.1), in any case.
pub fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

/// Whether this can be sent as a header value: visible characters, spaces and tabs, neither first nor last.
pub fn is_header_value(value: &str) -> bool {
    value.bytes().all(|byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f)) && value.trim() == value
}

/// Whether an address is one that cloud machines keep secrets at.
pub fn is_link_local(host: &str) -> bool {
    match host.trim_matches(['[', ']']).parse() {
        Ok(IpAddr::V4(address)) => address.is_link_local(),
        Ok(IpAddr::V6(address)) => address.is_unicast_link_local(),
        Err(_) => false,
    }
}
