//! Host names: patterns as routes write them, and the authority of a request as clients send it.
//! Both end in the same canonical form (lower case, A-labels, no trailing dot, IPv6 in brackets); matching is elsewhere.

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};
use thiserror::Error;

mod names;

pub(crate) use names::Names;

/// The hosts that a route answers for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Host {
    /// One name or address, in canonical form.
    Exact(Box<str>),
    /// `*.` and this: one label more than the suffix, never the suffix itself. Held without the `*.`.
    Wildcard(Box<str>),
}

/// Why a host pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostError {
    /// Nothing is there.
    #[error("a host name is empty")]
    Empty,
    /// A scheme, a path or user information came along.
    #[error("a host is a name alone: no scheme, no path, no user")]
    NotAName,
    /// A port came along.
    #[error("a host has no port: which ports are served is said by the entrypoints")]
    Port {
        /// The host without it.
        host: String,
    },
    /// A star that is not the whole first label.
    #[error("a `*` may only stand for the whole first label, as in `*.s3.example.com`")]
    Star,
    /// No valid name under DNS and IDNA rules.
    #[error("not a valid host name")]
    Syntax,
    /// Looks like an IPv4 address and is none.
    #[error("looks like an IPv4 address and is none")]
    Address,
}

impl HostError {
    /// What to write instead, where that can be known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Port { host } => Some(format!("write \"{host}\"")),
            Self::Syntax => Some("labels are 1 to 63 letters, digits, `-` or `_`, parted by single dots".into()),
            _ => None,
        }
    }
}

impl Host {
    /// Reads a pattern of a route file. International names become A-labels.
    ///
    /// # Errors
    /// When it is no name, no address and no one-label wildcard.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        if text.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(address) = ipv6(text) {
            return Ok(Self::Exact(address.into()));
        }
        if text.contains(['/', '@', '?', '#', '\\']) {
            return Err(HostError::NotAName);
        }
        if let Some((host, port)) = text.rsplit_once(':') {
            let is_whole = !host.contains(':') || host.ends_with(']');
            let is_port = is_whole && port.bytes().all(|byte| byte.is_ascii_digit());
            return Err(if is_port { HostError::Port { host: host.to_owned() } } else { HostError::Syntax });
        }
        match text.strip_prefix("*.") {
            Some(suffix) => wildcard(suffix),
            None if text.contains('*') => Err(HostError::Star),
            None => Ok(Self::Exact(name(text)?.into())),
        }
    }

    /// Whether a canonical host is one that this pattern means.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => **name == *host,
            Self::Wildcard(suffix) => parent(host) == Some(suffix),
        }
    }

    /// Whether it is an address rather than a name.
    pub fn is_address(&self) -> bool {
        matches!(self, Self::Exact(name) if name.starts_with('[') || name.parse::<Ipv4Addr>().is_ok())
    }

    /// Whether it is a wildcard.
    pub fn is_wildcard(&self) -> bool {
        matches!(self, Self::Wildcard(_))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
        }
    }
}

impl serde::Serialize for Host {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A name without its first label, if something is left.
pub fn parent(host: &str) -> Option<&str> {
    host.split_once('.').map(|(_, parent)| parent).filter(|parent| !parent.is_empty())
}

fn wildcard(suffix: &str) -> Result<Host, HostError> {
    if suffix.contains('*') {
        return Err(HostError::Star);
    }
    let suffix = name(suffix)?;
    // A wildcard over addresses would match nothing that a client can mean.
    if suffix.parse::<Ipv4Addr>().is_ok() { Err(HostError::Address) } else { Ok(Host::Wildcard(suffix.into())) }
}

/// The canonical form of an address in or without brackets.
fn ipv6(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<Ipv6Addr>().ok().map(|address| format!("[{address}]"))
}

/// The canonical form of a name or an IPv4 address.
fn name(text: &str) -> Result<String, HostError> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let ascii = Uts46::new()
        .to_ascii(text.as_bytes(), AsciiDenyList::URL, Hyphens::CheckFirstLast, DnsLength::Verify)
        .map_err(|_| HostError::Syntax)?;
    check_name(&ascii).map_err(|error| match error {
        AuthorityError::Address => HostError::Address,
        _ => HostError::Syntax,
    })?;
    Ok(ascii.into_owned())
}

/// The authority of a request: where it wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The host in canonical form; borrowed when the client sent it so.
    pub host: Cow<'a, str>,
    /// The port, if one was given.
    pub port: Option<u16>,
}

/// Why the authority of a request is refused. Always answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthorityError {
    /// There is no host.
    #[error("the host is empty")]
    Empty,
    /// `user@host`: nobody sends that in good faith.
    #[error("the host carries user information")]
    UserInfo,
    /// A byte that no host name has.
    #[error("the host has a byte that no name has")]
    Byte,
    /// Empty or overlong labels, or a hyphen at the edge of one.
    #[error("the host is not a valid name")]
    Name,
    /// In brackets, but no IPv6 address; or an IPv6 address without brackets.
    #[error("the host is not a valid address")]
    Address,
    /// Not a number from 0 to 65535.
    #[error("the port is not a number up to 65535")]
    Port,
}

impl<'a> Authority<'a> {
    /// Reads a `Host` header, an `:authority` or the authority of an absolute target. Allocates only when the
    /// client did not send the canonical form.
    ///
    /// # Errors
    /// When the bytes are not `host [":" port]` of RFC 9110 section 7.2, without user information.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, AuthorityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| AuthorityError::Byte)?;
        if text.contains('@') {
            return Err(AuthorityError::UserInfo);
        }
        let (host, port) = split_port(text)?;
        let port = if port.is_empty() { None } else { Some(read_port(port)?) };
        let host = if host.starts_with('[') { bracketed(host)? } else { plain(host)? };
        Ok(Self { host, port })
    }
}

/// Parts host and port; the port is empty when there is none (RFC 3986 section 3.2.3 allows a colon alone).
fn split_port(text: &str) -> Result<(&str, &str), AuthorityError> {
    if !text.starts_with('[') {
        return Ok(text.split_once(':').unwrap_or((text, "")));
    }
    let end = text.find(']').ok_or(AuthorityError::Address)? + 1;
    match text.split_at(end) {
        (host, "") => Ok((host, "")),
        (host, rest) => rest.strip_prefix(':').map(|port| (host, port)).ok_or(AuthorityError::Address),
    }
}

fn read_port(text: &str) -> Result<u16, AuthorityError> {
    let is_number = text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number).ok_or(AuthorityError::Port)
}

fn bracketed(host: &str) -> Result<Cow<'_, str>, AuthorityError> {
    let canonical = ipv6(host).ok_or(AuthorityError::Address)?;
    Ok(if canonical == host { Cow::Borrowed(host) } else { Cow::Owned(canonical) })
}

fn plain(host: &str) -> Result<Cow<'_, str>, AuthorityError> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.is_empty() {
        return Err(AuthorityError::Empty);
    }
    check_name(host)?;
    let has_upper = host.bytes().any(|byte| byte.is_ascii_uppercase());
    Ok(if has_upper { Cow::Owned(host.to_ascii_lowercase()) } else { Cow::Borrowed(host) })
}

/// Letters, digits, hyphens and underscores (containers have them in their names) in labels of 1 to 63, 253 in all.
/// A last label that is a number makes it an IPv4 address, as browsers read it: then it must be one.
fn check_name(host: &str) -> Result<(), AuthorityError> {
    if host.bytes().any(|byte| !matches!(byte, b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.')) {
        return Err(AuthorityError::Byte);
    }
    let good = |label: &str| matches!(label.len(), 1..=63) && !label.starts_with('-') && !label.ends_with('-');
    if host.len() > 253 || !host.split('.').all(good) {
        return Err(AuthorityError::Name);
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    if is_number(last) && host.parse::<Ipv4Addr>().is_err() { Err(AuthorityError::Address) } else { Ok(()) }
}

fn is_number(label: &str) -> bool {
    let hex = label.strip_prefix("0x").or_else(|| label.strip_prefix("0X"));
    match hex {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

#[cfg(test)]
mod tests;
