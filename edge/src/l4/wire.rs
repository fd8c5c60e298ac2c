//! A connection with a server: over the network or a socket of this machine, in clear or in TLS.
//!
//! How it is made is said by `dial`; nothing here connects.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

/// A connection in clear.
#[derive(Debug)]
pub enum Plain {
    /// Over the network.
    Tcp(TcpStream),
    /// Over a socket of this machine.
    Unix(UnixStream),
}

/// A connection with a server.
#[derive(Debug)]
pub enum Wire {
    /// In clear.
    Plain(Plain),
    /// In TLS; boxed, as most are not.
    Tls(Box<TlsStream<Plain>>),
}

/// Hands a call on to whatever is inside.
macro_rules! each {
    ($self:ident, $kind:ident { $($variant:ident),* }, $inner:ident => $call:expr) => {
        match $self { $($kind::$variant($inner) => $call),* }
    };
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, Self { Tcp, Unix }, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Plain {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        each!(this, Self { Tcp, Unix }, io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, Self { Tcp, Unix }, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, Self { Tcp, Unix }, io => Pin::new(io).poll_shutdown(cx))
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, Self { Plain, Tls }, io => Pin::new(io).poll_read(cx, buf))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        each!(this, Self { Plain, Tls }, io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, Self { Plain, Tls }, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        each!(this, Self { Plain, Tls }, io => Pin::new(io).poll_shutdown(cx))
    }
}
