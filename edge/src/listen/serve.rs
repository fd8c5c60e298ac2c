//! Feeds the requests of one connection to the HTTP engine, one after the other on HTTP/1, side by side on HTTP/2.
//!
//! These loops are ours rather than the engine's, so that every request belongs to the task of its connection, an idle
//! connection can be shed, a flood is answered with GOAWAY and a stop drains.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use h2::Reason;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession as H2Session};
use pingora::protocols::{IO, Stream};
use pingora::server::ShutdownWatch;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;

use super::open::OpenConns;
use crate::conn::body_watch::BodyWatch;
use crate::conn::control::StreamFault;
use crate::conn::facts::ConnFacts;
use crate::conn::h1_head::HeadLimits;
use crate::conn::pace::PaceLimits;
use crate::conn::pingora_io::h2_digest;
use crate::conn::stream::{EdgeStream, Refuse};
use crate::tasks::Tasks;

/// Time and count limits of the request loops.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// From the handshake to the first byte of a request.
    pub first_request: Duration,
    /// From an answer to the first byte of the next request, on HTTP/1.
    pub keepalive: Duration,
    /// Requests that one HTTP/1 connection may bring.
    pub keepalive_requests: u32,
    /// How long an HTTP/2 connection may be without an open stream.
    pub h2_idle: Duration,
    /// What is asked of a client that sends a body on HTTP/2.
    pub h2_body: PaceLimits,
    /// What the HTTP/2 engine is told.
    pub h2: H2Options,
}

/// Whatever serves one HTTP session.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Serves one request; gives the connection back if it can carry another.
    async fn serve(self: Arc<Self>, session: ServerSession, stop: &ShutdownWatch) -> Option<ReusedHttpStream>;
}

#[async_trait]
impl<A: HttpServerApp + Send + Sync + 'static> Engine for A {
    async fn serve(self: Arc<Self>, session: ServerSession, stop: &ShutdownWatch) -> Option<ReusedHttpStream> {
        self.process_new_http(session, stop).await
    }
}

/// One connection and what serves it.
pub struct Serving<'a> {
    /// Serves the requests.
    pub engine: &'a Arc<dyn Engine>,
    /// Counts what does not reach it.
    pub refuse: &'a Arc<dyn Refuse>,
    /// The connection.
    pub conn: &'a Arc<ConnFacts>,
    /// Its limits.
    pub limits: &'a ServeLimits,
    /// How large the heads of its requests may be.
    pub heads: HeadLimits,
    /// Keeps the clock of idle times.
    pub open: &'a OpenConns,
    /// Catches and counts a panic of one request beside others.
    pub tasks: &'a Tasks,
    /// Turns true when the edge stops.
    pub stop: ShutdownWatch,
}

type H2Connection = h2::server::Connection<Stream, Bytes>;

/// Malformed streams after which an HTTP/2 connection is ended.
const MALFORMED_STREAMS: u32 = 32;
/// How long a peer may take over the end of its connection: to read our GOAWAY, or to answer a graceful one.
const GOODBYE: Duration = Duration::from_secs(5);

/// How far above the largest head that a route allows the HTTP/2 engine still takes one, so that its route refuses it with a
/// reason: the engine's own 431 is bare, and nobody counts it. The engine also counts 32 bytes more for each field
/// (RFC 9113 section 6.5.2) than routes do, and those have their place here.
const HEADS_TO_REFUSE: usize = 32 * 1024;

/// How an HTTP/2 connection goes on after one event.
enum Next {
    Stream(Box<H2Session>),
    Malformed,
    StreamEnded,
    Drain,
    Flooded,
    Closed,
}

impl Serving<'_> {
    /// Serves an HTTP/1 connection to its end.
    pub async fn h1<S>(self, mut stream: Box<EdgeStream<S>>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        EdgeStream<S>: IO,
    {
        let (mut settings, mut within) = (None, self.limits.first_request);
        while self.next_h1(&mut stream, within).await {
            let mut session = ServerSession::new_http1(stream);
            match settings.take() {
                None => session.set_keepalive_reuses_remaining(Some(self.limits.keepalive_requests.saturating_sub(1))),
                Some(earlier) => HttpPersistentSettings::apply_to_session(earlier, &mut session),
            }
            let served = Arc::clone(self.engine).serve(session, &self.stop).await;
            let Some((back, earlier)) = served.map(ReusedHttpStream::consume) else { return };
            let Ok(back) = back.into_any().downcast() else { return };
            (stream, settings, within) = (back, earlier, self.limits.keepalive);
        }
    }

    /// Waits for the next request head; false when there will be none.
    async fn next_h1<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut EdgeStream<S>, within: Duration) -> bool {
        self.conn.control.expect_request();
        self.mark_idle();
        let mut stop = self.stop.clone();
        tokio::select! {
            biased;
            begun = stream.next_request(within) => return begun,
            _ = stop.wait_for(|stopping| *stopping) => {}
        }
        // A request that has begun is still served.
        self.conn.control.shed();
        stream.next_request(within).await
    }

    /// Serves an HTTP/2 connection to its end.
    pub async fn h2(mut self, stream: Stream) {
        let mut options = self.limits.h2.clone();
        options.max_header_list_size(header_list(&self.heads));
        let handshake = server::handshake(stream, Some(options));
        let Ok(Ok(mut connection)) = tokio::time::timeout(GOODBYE * 2, handshake).await else { return };
        let mut streams = JoinSet::new();
        let (mut malformed, mut draining) = (0, false);
        let mut body = Arc::new(BodyWatch::default());
        let mut idle_at = self.idle_at(draining);
        loop {
            let idle = streams.is_empty().then_some(idle_at);
            match self.next(&mut connection, &mut streams, &body, idle, draining).await {
                Next::Stream(session) => {
                    self.conn.control.set_busy();
                    let request = self.request(session, std::mem::take(&mut body));
                    streams.spawn(self.tasks.watched("request", request));
                }
                Next::StreamEnded if streams.is_empty() => idle_at = self.idle_at(draining),
                Next::StreamEnded => {}
                Next::Malformed => {
                    self.refuse.note(self.conn, StreamFault::MalformedStream);
                    malformed += 1;
                }
                Next::Drain => {
                    connection.graceful_shutdown();
                    draining = true;
                    idle_at = self.idle_at(draining);
                }
                Next::Flooded => {
                    self.conn.control.fault().inspect(|fault| self.refuse.note(self.conn, *fault));
                    return goaway(connection).await;
                }
                Next::Closed => return finish(streams).await,
            }
            if malformed >= MALFORMED_STREAMS {
                return goaway(connection).await;
            }
        }
    }

    async fn next(
        &mut self,
        connection: &mut H2Connection,
        streams: &mut JoinSet<()>,
        body: &Arc<BodyWatch>,
        idle_at: Option<Instant>,
        draining: bool,
    ) -> Next {
        let control = &self.conn.control;
        let digest = Arc::new(h2_digest(self.conn, body));
        let over = if draining { Next::Closed } else { Next::Drain };
        tokio::select! {
            biased;
            () = control.faulted() => Next::Flooded,
            Ok(()) = self.stop.changed(), if !draining => Next::Drain,
            () = poll_fn(|context| if control.poll_shed(context) { Poll::Ready(()) } else { Poll::Pending }),
                if !draining => Next::Drain,
            Some(_) = streams.join_next() => Next::StreamEnded,
            accepted = H2Session::from_h2_conn(connection, digest) => match accepted {
                Ok(Some(H2Accept::Session(session))) => Next::Stream(Box::new(session)),
                Ok(Some(H2Accept::Rejected)) => Next::Malformed,
                Ok(None) | Err(_) => Next::Closed,
            },
            () = sleep_until(idle_at), if idle_at.is_some() => over,
        }
    }

    /// One request with the watch over its body.
    fn request(&self, session: Box<H2Session>, body: Arc<BodyWatch>) -> impl Future<Output = ()> + Send + 'static {
        let (engine, stop, limits) = (Arc::clone(self.engine), self.stop.clone(), self.limits.h2_body);
        let (refuse, conn) = (Arc::clone(self.refuse), Arc::clone(self.conn));
        async move {
            let serving = engine.serve(ServerSession::new_http2(*session), &stop);
            let watching = async {
                let fault = body.stalled(&limits, || conn.control.has_backlog()).await;
                body.cut(fault);
                fault
            };
            tokio::select! {
                biased;
                _ = serving => {}
                // Dropping the session resets the stream. A request that knows its route tells of itself meanwhile.
                fault = watching => if !body.is_told() { refuse.note(&conn, fault) },
            }
        }
    }

    fn mark_idle(&self) {
        self.conn.control.set_idle(self.open.millis(Instant::now()));
    }

    /// Marks the connection idle and says when it has been so for too long.
    fn idle_at(&self, draining: bool) -> Instant {
        self.mark_idle();
        Instant::now() + if draining { GOODBYE } else { self.limits.h2_idle }
    }
}

/// The largest header list that the HTTP/2 engine takes.
fn header_list(heads: &HeadLimits) -> u32 {
    u32::try_from(heads.head_bytes.saturating_add(HEADS_TO_REFUSE)).unwrap_or(u32::MAX)
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Tells a client that floods to calm down, as far as it listens.
async fn goaway(mut connection: H2Connection) {
    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    let _ = tokio::time::timeout(GOODBYE, poll_fn(|context| connection.poll_closed(context))).await;
}

/// The connection is gone: its requests notice by themselves, and must be logged before they go.
async fn finish(mut streams: JoinSet<()>) {
    let ended = async { while streams.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(GOODBYE, ended).await;
}

#[cfg(test)]
mod tests;
