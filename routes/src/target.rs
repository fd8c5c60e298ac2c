//! What a route does with a request: hand it to servers, redirect it, serve files, answer by itself.
//! Types that cannot be wrong, their defaults, and the parsers of their texts. Nothing is dialled or opened here.

use std::net::IpAddr;

mod redirect;
mod server;
mod upstream;

pub use redirect::{Original, Redirect, RedirectError, Template};
pub use server::{Family, Place, Scheme, Server, ServerError};
pub use upstream::{
    Balance, ClientIdentity, Eject, HashOn, Health, HttpVersion, Probe, Retries, RetryOn, Statuses, Timeouts, Upstream,
    UpstreamTls,
};

/// What a route does with a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// It goes to one of several servers.
    Upstream(Box<Upstream>),
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
