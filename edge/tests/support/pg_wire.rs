//! PostgreSQL's protocol byte by byte: what a client may say before it is let in, and the errors that it hears.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::SocketAddr;

use super::edge::TestEdge;
use super::wire::{TlsClient, Wire};

pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
pub(crate) const GSSENC_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];
/// Version 3.0.
pub(crate) const V3: i32 = 196_608;

/// A packet without a type, as all are before the session: its length and these bytes.
pub(crate) fn packet(body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(body.len() + 4).expect("small");
    [&length.to_be_bytes()[..], body].concat()
}

/// A startup of this version with these parameters.
pub(crate) fn startup(version: i32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend([name.as_bytes(), b"\0", value.as_bytes(), b"\0"].concat());
    }
    body.push(0);
    packet(&body)
}

/// The usual one.
pub(crate) fn startup_as(user: &str, database: &str) -> Vec<u8> {
    startup(V3, &[("user", user), ("database", database)])
}

/// A `CancelRequest`.
pub(crate) fn cancel(process: i32, key: i32) -> Vec<u8> {
    packet(&[80_877_102_i32.to_be_bytes(), process.to_be_bytes(), key.to_be_bytes()].concat())
}

/// An `ErrorResponse`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) severity: String,
    pub(crate) sqlstate: String,
    pub(crate) message: String,
}

/// Connects to the entrypoint `postgres` without a word.
#[track_caller]
pub(crate) fn knock(edge: &TestEdge) -> Wire {
    Wire::tcp(edge.address("postgres"))
}

/// TLS as every libpq asks for it, as one that wants `name`.
#[track_caller]
pub(crate) fn over_tls(edge: &TestEdge, name: &str) -> Wire {
    let mut wire = knock(edge);
    wire.send(SSL_REQUEST);
    assert_eq!(wire.exactly(1), b"S", "the edge speaks TLS");
    TlsClient::new(edge).over(name, wire).unwrap_or_else(|error| panic!("no TLS for {name}: {error}"))
}

/// Direct TLS, without a `SSLRequest`, with these protocols.
pub(crate) fn direct(to: SocketAddr, edge: &TestEdge, name: &str, alpn: &[&str]) -> Result<Wire, rustls::Error> {
    TlsClient::new(edge).alpn(alpn).to(to).try_connect(name)
}

impl Wire {
    /// The next message: its type and its body; none if the edge closes before.
    #[track_caller]
    pub(crate) fn message(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = self.exactly_or_end(5)?;
        let length = i32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(length - 4).expect("a length that can be");
        Some((head[0], self.exactly(length)))
    }

    /// An error, and nothing behind it but the end of the connection.
    #[track_caller]
    pub(crate) fn refusal(&mut self) -> Refusal {
        let (kind, body) = self.message().expect("the edge closed without an error");
        assert_eq!(kind.escape_ascii().to_string(), "E", "{}", body.escape_ascii());
        assert_eq!(body.last(), Some(&0), "it has an end: {}", body.escape_ascii());
        let field = |code: u8| {
            let mut fields = body.split(|byte| *byte == 0);
            let found = fields.find(|field| field.first() == Some(&code)).map(|field| &field[1..]);
            String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
        };
        let refusal = Refusal { severity: field(b'S'), sqlstate: field(b'C'), message: field(b'M') };
        assert_eq!((refusal.severity.as_str(), field(b'V').as_str()), ("FATAL", "FATAL"), "{refusal:?}");
        assert!(refusal.sqlstate.len() == 5 && refusal.message.contains(' '), "a code and a sentence: {refusal:?}");
        assert_eq!(self.rest(), b"", "the edge closes behind an error");
        refusal
    }
}
