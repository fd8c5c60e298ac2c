//! Connections for upgrades to WebSocket, which keep clear of a race in the HTTP engine.
//!
//! The engine (`proxy_h1.rs` of pingora-proxy 0.9.1) learns from one side that the request has no body and from the other
//! what the server answers, and takes whichever is there, by chance if both are. A 101 that is taken first makes a tunnel, and
//! the word about the body, taken next, ends it: the client sees a connection that closes behind the 101. Both are there
//! together where a quick server meets a busy machine. So a read that follows a write has everybody else go first, once.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext::{connect, connect_uds, set_tcp_keepalive};
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::{ALPN, HttpPeer};
use pingora::{Error, ErrorType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_util::either::Either;

/// Has this peer be asked in HTTP/1.1 and on a connection made for it. One that is spoken to in HTTP/2 only stays so.
pub(super) fn prepare(peer: &mut HttpPeer) {
    if peer.options.alpn == ALPN::H2H1 {
        peer.options.alpn = ALPN::H1;
    }
    if peer.options.alpn == ALPN::H1 {
        // A connection that an earlier request has left would be one of the usual kind.
        peer.group_key = peer.group_key.wrapping_add(1);
        let within = peer.options.connection_timeout.unwrap_or(WITHIN);
        peer.options.custom_l4 = Some(Arc::new(ForUpgrade { within }));
    }
}

/// To connect in, where nothing else is said.
const WITHIN: Duration = Duration::from_secs(5);

/// How to connect for an upgrade.
#[derive(Debug)]
struct ForUpgrade {
    within: Duration,
}

#[async_trait]
impl L4Connect for ForUpgrade {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let io = timeout(self.within, dial(address)).await;
        let io = io.map_err(|_| {
            let within = self.within;
            Error::explain(ErrorType::ConnectTimedout, format!("timeout {within:?} connecting to server {address}"))
        })??;
        Ok(VirtualSocketStream::new(Box::new(OthersFirst { io, written: false })).into())
    }
}

async fn dial(address: &SocketAddr) -> pingora::Result<Either<TcpStream, UnixStream>> {
    match address {
        SocketAddr::Inet(address) => connect(address, None).await.map(Either::Left),
        SocketAddr::Unix(address) => match address.as_pathname() {
            Some(path) => connect_uds(path).await.map(Either::Right),
            None => Error::e_explain(ErrorType::ConnectError, "a socket without a path"),
        },
    }
}

/// A stream whose reader waits one turn after each write.
#[derive(Debug)]
struct OthersFirst<S> {
    io: S,
    written: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for OthersFirst<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.written) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(context, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for OthersFirst<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(context, bytes));
        self.written = true;
        Poll::Ready(count)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

impl VirtualSocket for OthersFirst<Either<TcpStream, UnixStream>> {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        let Either::Left(tcp) = &self.io else { return Ok(()) };
        match option {
            VirtualSockOpt::KeepAlive(keepalive) => set_tcp_keepalive(tcp, &keepalive).map_err(io::Error::other),
            VirtualSockOpt::NoDelay => tcp.set_nodelay(true),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_read_waits_one_turn_after_a_write_and_only_then() {
        let (mut server, io) = tokio::io::duplex(100);
        let mut stream = OthersFirst { io, written: false };
        server.write_all(b"early").await.expect("there is room");
        stream.write_all(b"request").await.expect("there is room");
        let mut bytes = [0; 5];
        let read = stream.read_exact(&mut bytes);
        tokio::pin!(read);
        assert!(std::future::poll_fn(|context| Poll::Ready(read.as_mut().poll(context).is_pending())).await);
        read.await.expect("it is there");
        assert_eq!(&bytes, b"early");
        server.write_all(b"more").await.expect("there is room");
        let more = std::future::poll_fn(|context| {
            Poll::Ready(Pin::new(&mut stream).poll_read(context, &mut ReadBuf::new(&mut bytes)).is_ready())
        });
        assert!(more.await, "nothing was written in between");
    }
}
