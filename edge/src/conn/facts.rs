//! What is known of an accepted connection, fixed before its first request.

use std::net::SocketAddr;
use std::sync::Arc;

use super::control::Control;

/// The application protocol of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0 and HTTP/1.1.
    H1,
    /// HTTP/2.
    H2,
}

/// The TLS side of a connection.
#[derive(Debug)]
pub struct TlsFacts {
    /// The name that the client asked for, in lower case; none if it sent no SNI.
    pub sni: Option<Box<str>>,
    /// `1.2` or `1.3`.
    pub version: &'static str,
    /// Whether a ticket spared the full handshake.
    pub resumed: bool,
    /// The certificate that was chosen for the name.
    pub certificate: Arc<certs::Entry>,
}

/// One accepted connection.
#[derive(Debug)]
pub struct ConnFacts {
    /// Number of the connection in this process.
    pub id: u64,
    /// Name of the entrypoint.
    pub entrypoint: Arc<str>,
    /// The client: the TCP peer, or whom a trusted PROXY header names.
    pub client: SocketAddr,
    /// The TCP peer.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Whether the TCP peer's forwarding headers are believed.
    pub trusted_peer: bool,
    /// None on a plaintext entrypoint.
    pub tls: Option<TlsFacts>,
    /// What stream and request logic tell each other.
    pub control: Control,
}

impl ConnFacts {
    /// `https` or `http`.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }

    /// Of nobody in particular.
    #[cfg(test)]
    pub(crate) fn of_a_test(id: u64) -> Arc<Self> {
        let any = ([127, 0, 0, 1], 0).into();
        Arc::new(Self {
            id,
            entrypoint: "https".into(),
            client: any,
            peer: any,
            local: any,
            trusted_peer: false,
            tls: None,
            control: Control::default(),
        })
    }
}
