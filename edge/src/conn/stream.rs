//! The byte stream that the HTTP engine reads a connection from: an accepted socket, with TLS or without, behind the
//! guard of its protocol and the limits on its pace.
//!
//! Drives the sans-IO guards; decides nothing itself. What it refuses is answered in the words of a [`Refuse`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::control::StreamFault;
use super::facts::ConnFacts;
use super::h1_body::BodyFault;
use super::h1_guard::{H1Fault, H1Guard, Wants};
use super::h2_guard::{H2Fault, H2Guard};
use super::linger::Linger;
use super::pace::{Pace, PaceLimits};
use super::timer::{Timer, now};

mod write;

/// Who counts, logs and words what the request logic above never hears of.
pub trait Refuse: Send + Sync {
    /// Notes the refusal of an HTTP/1 head and gives the whole answer to write, `Connection: close` included.
    fn answer(&self, conn: &ConnFacts, fault: StreamFault) -> Bytes;
    /// Notes a refusal that has no answer of ours: on HTTP/2 the engine or a frame says it.
    fn note(&self, conn: &ConnFacts, fault: StreamFault);
}

/// Time limits of one connection.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    /// From the first byte of a request head to its last.
    pub head: Duration,
    /// What is asked of a client that sends a body.
    pub request: PaceLimits,
    /// What is asked of a client that takes an answer.
    pub response: PaceLimits,
    /// Longest silence of a tunnel, both directions together.
    pub tunnel_idle: Duration,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            request: PaceLimits::default(),
            response: PaceLimits::default(),
            tunnel_idle: Duration::from_secs(3600),
        }
    }
}

/// The guard that fits the protocol.
pub enum Guard {
    /// HTTP/1, with the words for what it refuses.
    H1(H1Guard, Arc<dyn Refuse>),
    /// HTTP/2.
    H2(H2Guard),
}

/// A guarded connection; `S` is a TCP or a TLS stream.
pub struct EdgeStream<S> {
    pub(super) io: S,
    pub(super) facts: Arc<ConnFacts>,
    guard: Guard,
    limits: StreamLimits,
    linger: Option<Linger>,
    head_began: Option<Instant>,
    complete_since: Option<Instant>,
    idle_until: Option<Instant>,
    discarded: usize,
    last_activity: Option<Instant>,
    request: Pace,
    response: Pace,
    read_timer: Timer,
    write_timer: Timer,
}

impl<S: AsyncRead + AsyncWrite + Unpin> EdgeStream<S> {
    /// Wraps a connection whose handshake is done.
    pub fn new(io: S, facts: Arc<ConnFacts>, guard: Guard, limits: StreamLimits) -> Self {
        Self {
            io,
            facts,
            guard,
            limits,
            linger: None,
            head_began: None,
            complete_since: None,
            idle_until: None,
            discarded: 0,
            last_activity: None,
            request: Pace::default(),
            response: Pace::default(),
            read_timer: Timer::default(),
            write_timer: Timer::default(),
        }
    }

    /// Waits for a whole and clean request head; false when there will be none, because the client leaves, says nothing
    /// for `within`, or is refused. To wait here rather than in the HTTP engine keeps an idle connection small.
    pub async fn next_request(&mut self, within: Duration) -> bool {
        self.idle_until = Some(now() + within);
        let ready = std::future::poll_fn(|context| self.poll_until_ready(context)).await;
        matches!(ready, Ok(Next::Bytes | Next::Bulk))
    }

    fn poll_read_h1(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match ready!(self.poll_until_ready(context))? {
            Next::End => Poll::Ready(Ok(())),
            Next::Bulk => self.poll_bulk(context, out),
            Next::Bytes => {
                if let Guard::H1(guard, _) = &mut self.guard {
                    let count = guard.ready().len().min(out.remaining());
                    out.put_slice(&guard.ready()[..count]);
                    guard.hand_on(count);
                }
                self.head_began = None;
                Poll::Ready(Ok(()))
            }
        }
    }

    fn poll_until_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Next>> {
        loop {
            if let Some(linger) = &mut self.linger {
                ready!(linger.poll(&mut self.io, context));
                return Poll::Ready(Ok(Next::End));
            }
            let Guard::H1(guard, _) = &mut self.guard else { return Poll::Ready(Ok(Next::End)) };
            if self.facts.control.is_tunnel() {
                guard.tunnel();
            } else if self.facts.control.take_expected() {
                self.request.reset();
                self.response.reset();
                self.complete_since = None;
                if let Err(fault) = guard.next_request() {
                    self.refuse(H1Fault::from(fault).into());
                    continue;
                }
            }
            if !guard.ready().is_empty() {
                return Poll::Ready(Ok(Next::Bytes));
            }
            let step = match guard.wants() {
                Wants::Bulk => return Poll::Ready(Ok(Next::Bulk)),
                Wants::FirstByte if self.facts.control.poll_shed(context) => return Poll::Ready(Ok(Next::End)),
                Wants::FirstByte => ready!(self.poll_first_byte(context)),
                Wants::Head => ready!(self.poll_head(context)),
                Wants::Nothing => ready!(self.poll_between(context)),
                Wants::Fault(fault) => Err(self.malformed(fault)),
            };
            match step? {
                Filled::Some => {}
                Filled::Refused(fault) => self.refuse(fault),
                Filled::End => return Poll::Ready(Ok(Next::End)),
            }
        }
    }

    /// Takes bytes of a head from the socket into the guard.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let Guard::H1(guard, _) = &mut self.guard else { return Poll::Ready(Ok(Filled::End)) };
        let mut space = [std::mem::MaybeUninit::uninit(); 4096];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(poll_read_eof(Pin::new(&mut self.io), context, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Ok(Filled::End));
        }
        self.head_began.get_or_insert_with(now);
        Poll::Ready(Ok(match guard.received(read.filled()) {
            Ok(()) => Filled::Some,
            Err(fault) => Filled::Refused(H1Fault::from(fault).into()),
        }))
    }

    /// As [`Self::poll_fill`], for a client that may be silent for a while.
    fn poll_first_byte(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        if let Poll::Ready(filled) = self.poll_fill(context) {
            return Poll::Ready(filled);
        }
        let Some(idle_until) = self.idle_until else { return Poll::Pending };
        ready!(self.read_timer.poll(idle_until, context));
        Poll::Ready(Ok(Filled::End))
    }

    /// As [`Self::poll_fill`], for a head that has begun and must end in time.
    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        if let Poll::Ready(filled) = self.poll_fill(context) {
            return Poll::Ready(filled);
        }
        let began = *self.head_began.get_or_insert_with(now);
        ready!(self.read_timer.poll(began + self.limits.head, context));
        Poll::Ready(Ok(Filled::Refused(StreamFault::HeadTimeout)))
    }

    /// The request is complete and its answer is awaited: notices a client that leaves, keeps what belongs to the next
    /// request, and gives up on a server that does not answer.
    fn poll_between(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        let room = matches!(&self.guard, Guard::H1(guard, _) if guard.held() < HELD);
        if room && let Poll::Ready(filled) = self.poll_fill(context) {
            return Poll::Ready(filled);
        }
        let Some(within) = self.facts.control.answer_within() else {
            self.complete_since = None;
            return Poll::Pending;
        };
        let since = *self.complete_since.get_or_insert_with(now);
        ready!(self.read_timer.poll(since + within, context));
        Poll::Ready(Err(self.timed_out(StreamFault::NoAnswer)))
    }

    fn refuse(&mut self, fault: StreamFault) {
        if let Guard::H1(_, refuse) = &self.guard {
            self.facts.control.set_fault(fault);
            self.linger = Some(Linger::new(refuse.answer(&self.facts, fault)));
        }
    }

    /// Moves bytes of a body or a tunnel straight into the engine's buffer.
    fn poll_bulk(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Guard::H1(guard, _) = &mut self.guard else { return Poll::Ready(Ok(())) };
        let before = out.filled().len();
        match poll_read_eof(Pin::new(&mut self.io), context, out) {
            Poll::Pending => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let now = now();
                self.last_activity = Some(now);
                self.request.moved(out.filled().len() - before, now);
                return Poll::Ready(match guard.pass(&out.filled()[before..]) {
                    Ok(own) => {
                        out.set_filled(before + own);
                        Ok(())
                    }
                    Err(fault) => {
                        out.set_filled(before);
                        Err(self.malformed(fault))
                    }
                });
            }
        }
        loop {
            let due = if self.facts.control.is_tunnel() {
                self.tunnel_due()
            } else {
                let limits = self.facts.control.min_rate().within(&self.limits.request);
                self.request.waiting(now(), &limits).map_err(StreamFault::SlowRequest)
            };
            match due {
                Ok(due) => ready!(self.read_timer.poll(due, context)),
                Err(fault) => return Poll::Ready(Err(self.timed_out(fault))),
            }
        }
    }

    fn tunnel_due(&mut self) -> Result<Instant, StreamFault> {
        let now = now();
        let due = *self.last_activity.get_or_insert(now) + self.limits.tunnel_idle;
        if now >= due { Err(StreamFault::IdleTunnel) } else { Ok(due) }
    }

    fn malformed(&self, fault: BodyFault) -> io::Error {
        self.facts.control.set_fault(H1Fault::from(fault).into());
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }

    fn timed_out(&self, fault: StreamFault) -> io::Error {
        self.facts.control.set_fault(fault);
        io::Error::new(io::ErrorKind::TimedOut, fault)
    }

    fn poll_read_h2(&mut self, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.facts.control.fault().is_some() {
            return self.poll_discard(context);
        }
        let Guard::H2(guard) = &mut self.guard else { return Poll::Ready(Ok(())) };
        let before = out.filled().len();
        let checked = match poll_read_eof(Pin::new(&mut self.io), context, out) {
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let checked = guard.received(&out.filled()[before..], now());
                self.facts.control.received(guard.data());
                checked
            }
            Poll::Pending => {
                let Some(deadline) = guard.deadline() else { return Poll::Pending };
                ready!(self.read_timer.poll(deadline, context));
                Err(H2Fault::HeadTimeout)
            }
        };
        match checked {
            Ok(()) => Poll::Ready(Ok(())),
            Err(fault) => {
                self.facts.control.set_fault(fault.into());
                self.poll_discard(context)
            }
        }
    }

    /// The request loop says GOAWAY and ends the connection. What a flood has sent meanwhile is thrown away, as far as that
    /// is worth it: a socket closed with bytes unread is reset, and the reset takes the GOAWAY with it.
    fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.discarded < DISCARD {
            let mut space = [std::mem::MaybeUninit::uninit(); 4096];
            let mut read = ReadBuf::uninit(&mut space);
            ready!(poll_read_eof(Pin::new(&mut self.io), context, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.discarded += read.filled().len();
        }
        Poll::Pending
    }
}

/// What there is for the engine.
enum Next {
    /// Checked bytes in the guard.
    Bytes,
    /// Bytes of a body or tunnel, straight from the socket.
    Bulk,
    End,
}

enum Filled {
    Some,
    End,
    Refused(StreamFault),
}

/// Bytes of later requests that are kept while one is being answered.
const HELD: usize = 16 * 1024;
/// Bytes of a flood that are thrown away while it is told to go.
const DISCARD: usize = 1024 * 1024;

/// Many clients close TLS without `close_notify`. HTTP has its own framing, so that is an end like any other here.
fn poll_read_eof<S: AsyncRead>(
    io: Pin<&mut S>,
    context: &mut Context<'_>,
    out: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    match ready!(io.poll_read(context, out)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        other => Poll::Ready(other),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for EdgeStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        match this.guard {
            Guard::H1(..) => this.poll_read_h1(context, out),
            Guard::H2(_) => this.poll_read_h2(context, out),
        }
    }
}

#[cfg(test)]
mod tests;
