//! The way of an answer to the client: written through, counted on HTTP/2, and given up when the client does not take it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{EdgeStream, Guard};
use crate::conn::control::StreamFault;
use crate::conn::timer::now;

impl<S: AsyncRead + AsyncWrite + Unpin> EdgeStream<S> {
    /// Applies the pace of the answer to the outcome of one attempt to write.
    fn paced<T>(
        &mut self,
        attempt: Poll<io::Result<T>>,
        moved: usize,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(outcome) = attempt {
            if moved > 0 {
                let now = now();
                self.last_activity = Some(now);
                self.response.moved(moved, now);
            }
            return Poll::Ready(outcome);
        }
        loop {
            let limits = self.facts.control.min_rate().within(&self.limits.response);
            match self.response.waiting(now(), &limits) {
                Ok(due) => ready!(self.write_timer.poll(due, context)),
                Err(fault) => return Poll::Ready(Err(self.timed_out(StreamFault::SlowResponse(fault)))),
            }
        }
    }

    fn note_sent<'a>(&mut self, parts: impl Iterator<Item = &'a [u8]>, mut count: usize) {
        let Guard::H2(guard) = &mut self.guard else { return };
        for part in parts {
            let own = part.len().min(count);
            guard.sent(&part[..own]);
            count -= own;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for EdgeStream<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_write(context, bytes);
        let count = written(&attempt);
        this.note_sent(std::iter::once(bytes), count);
        this.paced(attempt, count, context)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_write_vectored(context, parts);
        let count = written(&attempt);
        this.note_sent(parts.iter().map(|part| &**part), count);
        this.paced(attempt, count, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_flush(context);
        this.paced(attempt, 0, context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let attempt = Pin::new(&mut this.io).poll_shutdown(context);
        ready!(this.paced(attempt, 0, context))?;
        match this.guard {
            Guard::H2(_) if this.facts.control.fault().is_some() => this.poll_discard(context),
            Guard::H1(..) | Guard::H2(_) => Poll::Ready(Ok(())),
        }
    }
}

fn written(attempt: &Poll<io::Result<usize>>) -> usize {
    match attempt {
        Poll::Ready(Ok(count)) => *count,
        Poll::Ready(Err(_)) | Poll::Pending => 0,
    }
}
