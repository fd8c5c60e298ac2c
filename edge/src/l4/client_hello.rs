//! Reads the name and the protocols that a TLS ClientHello asks for (RFC 8446 sections 4.1.2 and 5.1, RFC 6066 section 3).
//!
//! It consumes nothing and keeps nothing: [`read`] is asked again with all bytes so far, and until the message is complete it
//! only hops over record heads, so that a client that sends single bytes costs little. It is no TLS implementation:
//! whether the hello may lead to a handshake is for whoever terminates it.

use std::net::IpAddr;

mod cursor;

use cursor::{Cursor, Short};

/// What the bytes so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The beginning of a ClientHello.
    NeedMore,
    /// A whole ClientHello, and perhaps more behind it.
    Hello(ClientHello),
    /// No TLS at all; the first byte.
    NotTls(u8),
    /// It began as TLS and cannot become a ClientHello any more.
    Malformed(Malformed),
}

/// What a ClientHello says about where it wants to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientHello {
    /// The server's name in lower case and without a closing dot. An address is no name and counts as none.
    pub sni: Option<String>,
    /// The protocols of ALPN, in the client's order.
    pub alpn: Vec<Vec<u8>>,
}

/// Why a ClientHello is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The record layer's version is none of TLS.
    #[error("the record version begins with {0}, not 3")]
    RecordVersion(u8),
    /// A record is empty or longer than TLS allows.
    #[error("a record of {0} bytes")]
    RecordLength(u16),
    /// Another kind of record stands within the hello.
    #[error("a record of type {0} within the ClientHello")]
    RecordType(u8),
    /// The client is cutting its hello to dust.
    #[error("the ClientHello takes more than {MAX_RECORDS} records")]
    TooManyRecords,
    /// The handshake begins with another message.
    #[error("the handshake begins with a message of type {0}")]
    NotHello(u8),
    /// Longer than any client's.
    #[error("a ClientHello of {0} bytes")]
    TooLong(u32),
    /// A length inside does not fit what is around it.
    #[error("a length in the ClientHello does not fit")]
    Lengths,
    /// An extension that decides the way stands twice: two readers may choose different ones.
    #[error("extension {0} stands twice")]
    Twice(u16),
    /// The server's name is no name.
    #[error("the server name is not a host name")]
    ServerName,
    /// The list of protocols has an empty name.
    #[error("the list of protocols is malformed")]
    Alpn,
}

impl Malformed {
    /// The reason as a label.
    pub fn label(&self) -> &'static str {
        match self {
            Self::RecordVersion(_) => "record_version",
            Self::RecordLength(_) => "record_length",
            Self::RecordType(_) => "record_type",
            Self::TooManyRecords => "too_many_records",
            Self::NotHello(_) => "not_hello",
            Self::TooLong(_) => "too_long",
            Self::Lengths => "lengths",
            Self::Twice(_) => "twice",
            Self::ServerName => "server_name",
            Self::Alpn => "alpn",
        }
    }
}

impl From<Short> for Malformed {
    fn from(_: Short) -> Self {
        Self::Lengths
    }
}

/// Longest message, its own head included. Those of today's clients are below 2 KiB, post-quantum key shares and all.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// Records that it may be spread over.
pub const MAX_RECORDS: usize = 64;
/// All bytes that may be needed to answer something else than [`Read::NeedMore`].
pub const MAX_BYTES: usize = MAX_MESSAGE + MAX_RECORDS * RECORD_HEAD;

/// Reads all bytes that a client has sent so far.
pub fn read(received: &[u8]) -> Read {
    match received.first() {
        Some(&first) if first != RECORD_HANDSHAKE => return Read::NotTls(first),
        Some(_) => {}
        None => return Read::NeedMore,
    }
    match message(received).and_then(|message| message.map(|message| hello(&message[HANDSHAKE_HEAD..])).transpose()) {
        Ok(Some(hello)) => Read::Hello(hello),
        Ok(None) => Read::NeedMore,
        Err(why) => Read::Malformed(why),
    }
}

/// The handshake message in the records, with its head, once all of it is there.
fn message(received: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let Some(length) = message_length(received)? else { return Ok(None) };
    let whole = HANDSHAKE_HEAD + length;
    let mut there = 0;
    for fragment in Fragments::of(received) {
        there += fragment?.len();
        if there >= whole {
            break;
        }
    }
    if there < whole {
        return Ok(None);
    }
    let mut message = Vec::with_capacity(there);
    for fragment in Fragments::of(received) {
        message.extend_from_slice(fragment?);
        if message.len() >= whole {
            break;
        }
    }
    message.truncate(whole);
    Ok(Some(message))
}

/// The length that the head of the handshake message says; its type is judged as soon as it is there.
fn message_length(received: &[u8]) -> Result<Option<usize>, Malformed> {
    let mut head = [0; HANDSHAKE_HEAD];
    let mut filled = 0;
    for fragment in Fragments::of(received) {
        for byte in fragment?.iter().take(HANDSHAKE_HEAD - filled) {
            head[filled] = *byte;
            filled += 1;
        }
        if filled > 0 && head[0] != CLIENT_HELLO {
            return Err(Malformed::NotHello(head[0]));
        }
        if filled == HANDSHAKE_HEAD {
            let length = u32::from_be_bytes([0, head[1], head[2], head[3]]);
            let fits = usize::try_from(length).ok().filter(|length| HANDSHAKE_HEAD + length <= MAX_MESSAGE);
            return fits.map(Some).ok_or(Malformed::TooLong(length));
        }
    }
    Ok(None)
}

/// What is there of the payload of each record; every byte of a record's head is judged when it comes.
struct Fragments<'a> {
    rest: &'a [u8],
    records: usize,
}

impl<'a> Fragments<'a> {
    fn of(received: &'a [u8]) -> Self {
        Self { rest: received, records: 0 }
    }

    fn record(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        let Some(&kind) = self.rest.first() else { return Ok(None) };
        if kind != RECORD_HANDSHAKE {
            return Err(Malformed::RecordType(kind));
        }
        if self.records == MAX_RECORDS {
            return Err(Malformed::TooManyRecords);
        }
        self.records += 1;
        match self.rest.get(1) {
            Some(&major) if major != 3 => return Err(Malformed::RecordVersion(major)),
            _ => {}
        }
        let Some((head, rest)) = self.rest.split_first_chunk::<RECORD_HEAD>() else {
            self.rest = &[];
            return Ok(None);
        };
        let length = u16::from_be_bytes([head[3], head[4]]);
        if length == 0 || length > MAX_RECORD {
            return Err(Malformed::RecordLength(length));
        }
        let (payload, rest) = rest.split_at_checked(usize::from(length)).unwrap_or((rest, &[]));
        self.rest = rest;
        Ok(Some(payload))
    }
}

impl<'a> Iterator for Fragments<'a> {
    type Item = Result<&'a [u8], Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.record().transpose()
    }
}

fn hello(message: &[u8]) -> Result<ClientHello, Malformed> {
    let mut all = Cursor::new(message);
    all.take(VERSION_AND_RANDOM)?;
    all.vec8()?; // session
    all.vec16()?; // cipher suites
    all.vec8()?; // compression
    let mut found = ClientHello::default();
    if all.is_empty() {
        return Ok(found); // before TLS 1.2 a hello may end without extensions
    }
    let mut extensions = Cursor::new(all.vec16()?);
    if !all.is_empty() {
        return Err(Malformed::Lengths);
    }
    let (mut names, mut protocols) = (false, false);
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let body = extensions.vec16()?;
        match kind {
            SERVER_NAME if std::mem::replace(&mut names, true) => return Err(Malformed::Twice(kind)),
            SERVER_NAME => found.sni = server_name(body)?,
            ALPN if std::mem::replace(&mut protocols, true) => return Err(Malformed::Twice(kind)),
            ALPN => found.alpn = alpn(body)?,
            _ => {}
        }
    }
    Ok(found)
}

/// One host name: no other kind was ever defined, and a second one would leave the choice to each reader.
fn server_name(body: &[u8]) -> Result<Option<String>, Malformed> {
    let mut body = Cursor::new(body);
    let mut list = Cursor::new(body.vec16()?);
    if list.u8()? != HOST_NAME {
        return Err(Malformed::ServerName);
    }
    let name = list.vec16()?;
    if !list.is_empty() || !body.is_empty() {
        return Err(Malformed::ServerName);
    }
    let name = std::str::from_utf8(name).map_err(|_| Malformed::ServerName)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.parse::<IpAddr>().is_ok() {
        return Ok(None);
    }
    if name.len() > MAX_NAME || !name.split('.').all(is_label) {
        return Err(Malformed::ServerName);
    }
    Ok(Some(name.to_ascii_lowercase()))
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

fn alpn(body: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut body = Cursor::new(body);
    let mut list = Cursor::new(body.vec16()?);
    if list.is_empty() || !body.is_empty() {
        return Err(Malformed::Alpn);
    }
    let mut protocols = Vec::new();
    while !list.is_empty() {
        match list.vec8()? {
            [] => return Err(Malformed::Alpn),
            name => protocols.push(name.to_vec()),
        }
    }
    Ok(protocols)
}

const RECORD_HANDSHAKE: u8 = 22;
const RECORD_HEAD: usize = 5;
const MAX_RECORD: u16 = 1 << 14;
const HANDSHAKE_HEAD: usize = 4;
const CLIENT_HELLO: u8 = 1;
const VERSION_AND_RANDOM: usize = 2 + 32;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const ALPN: u16 = 16;
/// Longest host name that DNS can hold, without its closing dot.
const MAX_NAME: usize = 253;

#[cfg(test)]
mod tests;
