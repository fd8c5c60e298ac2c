//! Our end of a connection, whatever lies over its socket.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::prefixed::Prefixed;

/// A socket that knows its own end.
pub trait Local {
    /// Its address on this machine; unspecified where the system does not say.
    fn local(&self) -> SocketAddr;
}

impl Local for TcpStream {
    fn local(&self) -> SocketAddr {
        self.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
    }
}

impl<S: Local> Local for Prefixed<S> {
    fn local(&self) -> SocketAddr {
        self.inner().local()
    }
}

impl<S: Local> Local for TlsStream<S> {
    fn local(&self) -> SocketAddr {
        self.get_ref().0.local()
    }
}
