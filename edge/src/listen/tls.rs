//! The TLS handshake of one connection: look at the ClientHello, choose the certificate, shake hands, or say why not.
//!
//! Names and certificates come from a [`Certificates`]; the deadline around all of it is the front door's.

use std::fmt;
use std::io;
use std::sync::Arc;

use certs::Entry;
use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::conn::facts::{Protocol, TlsFacts};

/// Who knows which certificate a name is served with.
pub trait Certificates: Send + Sync + fmt::Debug {
    /// Chooses for a client that asks for `sni` (lower case, no trailing dot), or for nobody.
    fn choose(&self, sni: Option<&str>) -> Choice;
}

/// What a client gets.
#[derive(Debug)]
pub enum Choice {
    /// This certificate.
    Serve(Arc<Entry>),
    /// No route has the name.
    UnknownName {
        /// The most similar name that a route has.
        nearest: Option<String>,
    },
    /// The client named nobody and there is no default certificate.
    NoName,
    /// The name is ours, but no certificate could be made for it.
    Unavailable,
}

/// Why a handshake did not come about.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// See [`Choice::UnknownName`].
    #[error("no route has the name {sni:?}")]
    UnknownName {
        /// What the client asked for.
        sni: String,
        /// The most similar name that a route has.
        nearest: Option<String>,
    },
    /// See [`Choice::NoName`].
    #[error("the client sent no name and there is no default certificate")]
    NoName,
    /// See [`Choice::Unavailable`].
    #[error("no certificate could be made for {sni:?}")]
    Unavailable {
        /// What the client asked for.
        sni: String,
    },
    /// The client left.
    #[error("the client closed the connection")]
    Closed,
    /// The client did not accept what it was offered, or sent something that is not TLS.
    #[error("the handshake failed")]
    Handshake(#[source] io::Error),
}

/// Fatal alerts that rustls cannot be asked to send (RFC 8446 section 6.2, RFC 6066 section 3).
const UNRECOGNIZED_NAME: u8 = 112;
const INTERNAL_ERROR: u8 = 80;

/// Shakes hands on `io`. A client that asks for no name is served as if it had asked for `unnamed`.
///
/// # Errors
/// See [`TlsFault`]; the client has been told by then, as far as TLS has a word for it.
pub async fn handshake<S>(
    io: S,
    config: &ServerConfig,
    certificates: &dyn Certificates,
    unnamed: Option<&str>,
) -> Result<(TlsStream<S>, TlsFacts, Protocol), TlsFault>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), io).await.map_err(TlsFault::from_io)?;
    let sni = start.client_hello().server_name().map(|name| certs::name::canonical(name).into_owned());
    let (fault, alert) = match (certificates.choose(sni.as_deref().or(unnamed)), sni) {
        (Choice::Serve(certificate), sni) => {
            let own = certs::server_config::for_entry(config, &certificate);
            let stream = start.into_stream(Arc::new(own)).await.map_err(TlsFault::from_io)?;
            let (facts, protocol) = facts(&stream, sni, certificate);
            return Ok((stream, facts, protocol));
        }
        (Choice::UnknownName { nearest }, sni) => {
            (TlsFault::UnknownName { sni: sni.unwrap_or_default(), nearest }, UNRECOGNIZED_NAME)
        }
        (Choice::NoName, _) => (TlsFault::NoName, UNRECOGNIZED_NAME),
        (Choice::Unavailable, sni) => (TlsFault::Unavailable { sni: sni.unwrap_or_default() }, INTERNAL_ERROR),
    };
    tell(&mut start.io, alert).await;
    Err(fault)
}

/// Tells a client that nobody has the name which it asked for.
pub(super) async fn refuse_name(io: &mut (impl AsyncWrite + Unpin)) {
    tell(io, UNRECOGNIZED_NAME).await;
}

/// A fatal alert before any encryption, and the end. A client that is gone already needs none.
async fn tell(io: &mut (impl AsyncWrite + Unpin), alert: u8) {
    let _ = io.write_all(&[21, 3, 3, 0, 2, 2, alert]).await;
    let _ = io.shutdown().await;
}

impl TlsFault {
    fn from_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted => Self::Closed,
            _ => Self::Handshake(error),
        }
    }
}

fn facts<S>(stream: &TlsStream<S>, sni: Option<String>, certificate: Arc<Entry>) -> (TlsFacts, Protocol) {
    let (_, session) = stream.get_ref();
    let protocol = if session.alpn_protocol() == Some(b"h2") { Protocol::H2 } else { Protocol::H1 };
    let facts = TlsFacts {
        sni: sni.map(Into::into),
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        },
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        certificate,
    };
    (facts, protocol)
}
