//! A stream of which some bytes were read already: they are read again first, then the rest.
//!
//! What they mean is known to whoever took them; nothing here looks at them.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// `inner` behind bytes that were taken from it.
#[derive(Debug)]
pub struct Prefixed<S> {
    prefix: Vec<u8>,
    at: usize,
    inner: S,
}

impl<S> Prefixed<S> {
    /// `prefix` comes first, then what is left in `inner`.
    pub fn new(prefix: Vec<u8>, inner: S) -> Self {
        Self { prefix, at: 0, inner }
    }

    /// The stream itself; what was taken from it is not there.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// The bytes that were not read again yet, and the stream.
    pub fn into_parts(mut self) -> (Vec<u8>, S) {
        (self.prefix.split_off(self.at), self.inner)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let rest = &this.prefix[this.at..];
        if rest.is_empty() || buf.remaining() == 0 {
            return Pin::new(&mut this.inner).poll_read(cx, buf);
        }
        let taken = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..taken]);
        this.at += taken;
        if this.at == this.prefix.len() {
            // A connection lives for hours; its first bytes need not.
            (this.prefix, this.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn the_prefix_is_read_before_the_stream_however_small_the_reads_are() {
        for size in 1..8 {
            let (mut far, near) = tokio::io::duplex(64);
            far.write_all(b"world").await.expect("room");
            drop(far);
            let mut stream = Prefixed::new(b"hello ".to_vec(), near);
            let (mut all, mut piece) = (Vec::new(), vec![0; size]);
            loop {
                let read = stream.read(&mut piece).await.expect("readable");
                if read == 0 {
                    break;
                }
                all.extend_from_slice(&piece[..read]);
            }
            assert_eq!(all, b"hello world");
            assert_eq!(stream.prefix.capacity(), 0);
        }
    }

    #[tokio::test]
    async fn what_was_not_read_again_is_given_back() {
        let (_far, near) = tokio::io::duplex(64);
        let mut stream = Prefixed::new(b"hello".to_vec(), near);
        let mut two = [0; 2];
        stream.read_exact(&mut two).await.expect("readable");
        assert_eq!(stream.into_parts().0, b"llo");
    }
}
