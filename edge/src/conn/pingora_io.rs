//! Makes an [`EdgeStream`] what Pingora calls an `IO`: the traits through which its HTTP layer asks for the facts of a connection.
//!
//! The only place where Pingora's connection types are named; no logic.

use std::fmt;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora::protocols::l4::socket::SocketAddr as PingoraAddr;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    ALPN, Digest, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, TimingDigest,
    UniqueID,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::body_watch::BodyWatch;
use super::facts::ConnFacts;
use super::prefixed::Prefixed;
use super::stream::EdgeStream;

/// A stream with a descriptor of its own.
pub trait Descriptor {
    /// The descriptor of the socket below.
    fn descriptor(&self) -> RawFd;
}

impl Descriptor for TcpStream {
    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }
}

impl<S: Descriptor> Descriptor for Prefixed<S> {
    fn descriptor(&self) -> RawFd {
        self.inner().descriptor()
    }
}

impl<S: Descriptor> Descriptor for TlsStream<S> {
    fn descriptor(&self) -> RawFd {
        self.get_ref().0.descriptor()
    }
}

/// What a request finds behind `Session::digest()`.
#[derive(Debug, Clone)]
pub struct RequestLink {
    /// The connection it came on.
    pub conn: Arc<ConnFacts>,
    /// The watch over the body of this very request; HTTP/2 only.
    pub body: Option<Arc<BodyWatch>>,
}

/// The digest through which one HTTP/2 request reaches the facts of its connection.
pub fn h2_digest(conn: &Arc<ConnFacts>, body: &Arc<BodyWatch>) -> Digest {
    Digest { proxy_digest: Some(proxy_digest(conn, Some(Arc::clone(body)))), ..Digest::default() }
}

fn proxy_digest(conn: &Arc<ConnFacts>, body: Option<Arc<BodyWatch>>) -> Arc<ProxyDigest> {
    let head = ResponseHeader::build_no_case(200, None).expect("200 is a status");
    let link = RequestLink { conn: Arc::clone(conn), body };
    Arc::new(ProxyDigest::new(Box::new(head), Some(Box::new(link))))
}

fn socket_digest(conn: &ConnFacts, descriptor: RawFd) -> Arc<SocketDigest> {
    let digest = SocketDigest::from_raw_fd(descriptor);
    // Set before anyone could ask the socket itself: behind a PROXY header the client is not the TCP peer.
    let _ = digest.peer_addr.set(Some(PingoraAddr::Inet(conn.client)));
    let _ = digest.local_addr.set(Some(PingoraAddr::Inet(conn.local)));
    Arc::new(digest)
}

impl<S> fmt::Debug for EdgeStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EdgeStream").field("conn", &self.facts).finish_non_exhaustive()
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Unpin + Send + Sync> Shutdown for EdgeStream<S> {
    async fn shutdown(&mut self) {
        // A client that does not read must not hold the task; an error here changes nothing any more.
        let _ = tokio::time::timeout(Duration::from_secs(1), AsyncWriteExt::shutdown(self)).await;
    }
}

impl<S: Descriptor> UniqueID for EdgeStream<S> {
    fn id(&self) -> RawFd {
        self.io.descriptor()
    }
}

impl<S> Ssl for EdgeStream<S> {
    fn selected_alpn_proto(&self) -> Option<ALPN> {
        None // our own loops choose the protocol
    }
}

impl<S> GetTimingDigest for EdgeStream<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S> GetProxyDigest for EdgeStream<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        Some(proxy_digest(&self.facts, None))
    }
}

impl<S: Descriptor> GetSocketDigest for EdgeStream<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(socket_digest(&self.facts, self.io.descriptor()))
    }
}

impl<S> Peek for EdgeStream<S> {}
