//! The table of contents of a request: one call per phase of the HTTP engine, in the order in which they happen.
//!
//! What a phase does is in the files beside this one; what a route is, in `routes`; what is counted, in `telemetry`.

pub mod answer;
pub mod asked;
mod client;
mod cut;
pub mod cx;
mod failure;
mod files;
pub mod forwarded;
pub mod http01;
mod itself;
mod log;
mod request_id;
mod routed;
mod routing;
mod steps;
mod upstream_request;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use ipnet::IpNet;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};

use crate::conn::pingora_io::RequestLink;
use crate::middleware::{self, BodyFault, Denial};
use crate::proxy::cx::{Cx, Unfinished};
use crate::proxy::routed::Routed;
use crate::snapshot::Live;
use crate::telemetry::Metrics;
use crate::telemetry::access_log::AccessLog;

/// How long the rest of a request body is read and thrown away before a connection is used again.
const DRAIN: Duration = Duration::from_secs(5);
/// How long an HTTP/2 stream may be without the client taking a byte of the answer.
const STREAM_WRITE: Duration = Duration::from_secs(30);

/// Answers HTTP-01 validations.
pub trait Http01: Send + Sync {
    /// The key authorization for `token` of `host`, while an order holds it open.
    fn answer(&self, host: &str, token: &str) -> Option<String>;
}

/// What serves requests.
pub struct Edge {
    /// The routes.
    pub live: Arc<Live>,
    /// Set when the edge stops: connections then close behind their answer.
    pub draining: Arc<AtomicBool>,
    /// Open ACME challenges.
    pub http01: Arc<dyn Http01>,
    /// Whose forwarding headers are believed, by entrypoint.
    pub trusted_proxies: HashMap<String, Arc<[IpNet]>>,
    /// Counts.
    pub metrics: Metrics,
    /// Writes one line a request.
    pub access_log: AccessLog,
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Cx;

    fn new_ctx(&self) -> Cx {
        Cx::new(self.live.current(), Arc::clone(&self.draining))
    }

    async fn request_filter(&self, session: &mut Session, cx: &mut Cx) -> pingora::Result<bool> {
        self.begin(session, cx);
        match routing::route(self, session, cx).await {
            Ok(Routed::Upstream) => Ok(false),
            Ok(Routed::Answered) => Ok(true),
            Ok(Routed::ByStep(made)) => {
                answer::write_made(session, cx, *made).await?;
                Ok(true)
            }
            Ok(Routed::Refused(denial)) => {
                answer::refuse(session, cx, &self.metrics, *denial).await?;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    async fn upstream_peer(&self, session: &mut Session, cx: &mut Cx) -> pingora::Result<Box<HttpPeer>> {
        upstream_request::peer(session, cx).await
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        _reused: bool,
        _peer: &HttpPeer,
        _fd: std::os::fd::RawFd,
        _digest: Option<&Digest>,
        cx: &mut Cx,
    ) -> pingora::Result<()> {
        cx.connected = Some(Instant::now());
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        cx: &mut Cx,
    ) -> pingora::Result<()> {
        upstream_request::head(head, cx)?;
        steps::edit_request(head, &cx.done)?;
        steps::hide_cookies(head, &cx.snapshot.own_cookies)?;
        steps::tell_sent(head, &mut cx.done);
        Ok(())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        cx: &mut Cx,
    ) -> pingora::Result<()> {
        let bytes = body.as_ref().map_or(0, Bytes::len);
        cx.request_bytes += bytes as u64;
        if let Some(watch) = &cx.body {
            watch.came(bytes);
            if end {
                watch.ended();
            } else if bytes > 0 && upstream_request::is_grpc(session.req_header()) {
                // Behind its first message a stream may be quiet for as long as both sides like.
                watch.settle();
            }
        }
        if let Some(conn) = &cx.conn {
            conn.control.took(bytes);
        }
        // What passes behind a 101 is a conversation, not a body.
        let is_tunnel = cx.conn.as_ref().is_some_and(|conn| conn.control.is_tunnel());
        if is_tunnel {
            return Ok(());
        }
        if cx.body_limit().is_some_and(|limit| cx.request_bytes > limit) {
            return Error::e_explain(ErrorType::HTTPStatus(413), "the body is larger than the route allows");
        }
        if !cx.done.request_body.is_empty() {
            let passed = middleware::through(&mut cx.done.request_body, body.take(), end).map_err(cut)?;
            // To the engine nothing is the end of the body, and an empty piece is none.
            *body = if end { passed } else { Some(passed.unwrap_or_default()) };
        }
        Ok(())
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        cx: &mut Cx,
    ) -> pingora::Result<()> {
        if head.status.is_informational() && head.status != 101 {
            return Ok(());
        }
        upstream_request::asked_for(session, head)?;
        upstream_request::unavailable(session, head, cx)?;
        cx.answered = Some(Instant::now());
        if let Some(conn) = &cx.conn {
            conn.control.answer_began();
        }
        if let Some(watch) = &cx.body {
            watch.settle();
        }
        if let Some((pick, began)) = cx.pick.take() {
            pick.began_answer(began.elapsed().as_secs_f64());
            cx.server = Some(pick);
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        head: &mut ResponseHeader,
        cx: &mut Cx,
    ) -> pingora::Result<()> {
        if head.status == 101
            && let Some(conn) = &cx.conn
        {
            conn.control.open_tunnel();
        }
        if head.status == 101 || !head.status.is_informational() {
            upstream_request::stick(head, cx)?;
        }
        if !head.status.is_informational() {
            session.set_keepalive(cx.keepalive());
            // The version is each hop's own (RFC 9110 section 6.2): a server's HTTP/1.0 is not the client's.
            head.set_version(http::Version::HTTP_11);
            head.insert_header("X-Request-Id", cx.id.as_str())?;
        }
        if !head.status.is_informational() || head.status == 101 {
            steps::reply(session.req_header(), cx, head, true)?;
            // Not before: steps look at the request again.
            if session.is_http2() {
                upstream_request::drop_heavy(session.req_header_mut());
            }
        }
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        cx: &mut Cx,
    ) -> pingora::Result<Option<Duration>> {
        if !cx.done.response_body.is_empty() {
            *body = middleware::through(&mut cx.done.response_body, body.take(), end).map_err(cut)?;
        }
        cx.response_bytes += body.as_ref().map_or(0, Bytes::len) as u64;
        Ok(None)
    }

    /// Trailers end a body: what filters still hold is sent in their place, as there can be one end only.
    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        _trailers: &mut HeaderMap,
        cx: &mut Cx,
    ) -> pingora::Result<Option<Bytes>> {
        if cx.done.response_body.is_empty() {
            return Ok(None);
        }
        let last = middleware::through(&mut cx.done.response_body, None, true).map_err(cut)?.unwrap_or_default();
        cx.response_bytes += last.len() as u64;
        Ok(Some(last))
    }

    fn fail_to_connect(&self, session: &mut Session, _peer: &HttpPeer, cx: &mut Cx, error: Box<Error>) -> Box<Error> {
        upstream_request::connect_failed(session, cx, &self.metrics, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        cx: &mut Cx,
        reused: bool,
    ) -> Box<Error> {
        upstream_request::broken(session, cx, error, reused)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, cx: &mut Cx) -> FailToProxy {
        cx.last = true;
        let fault = cx.conn.as_ref().and_then(|conn| conn.control.fault());
        let refusal = failure::refusal(error, fault);
        if let Some((pick, _)) = cx.pick.take() {
            pick.done(failure::outcome(error, fault), None, Some(&error.to_string()));
        }
        tracing::debug!(request_id = cx.id, route = cx.route(), %error, "the request failed");
        let has_begun = |head: &ResponseHeader| head.status == 101 || !head.status.is_informational();
        if session.response_written().is_some_and(has_begun) {
            // Too late for words: the connection is closed or the stream reset, so that the cut can be seen.
            answer::note(cx, &self.metrics, refusal, None);
        } else if let Err(error) = answer::refuse(session, cx, &self.metrics, Denial::new(refusal)).await {
            tracing::debug!(request_id = cx.id, %error, "the refusal could not be written");
        }
        session.set_keepalive(None);
        FailToProxy { error_code: refusal.status().as_u16(), can_reuse_downstream: false }
    }

    /// Failures are events of ours; the engine's own lines would say them again, at error.
    fn suppress_error_log(&self, _session: &Session, _cx: &Cx, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _cx: &Cx,
        _error: &Error,
        _context: pingora::proxy::ProxyWarnLogContext,
    ) -> bool {
        true
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, cx: &mut Cx) {
        cx.unfinished = None;
        upstream_request::judge(cx, error);
        self.log(session, cx);
    }
}

/// A body that cannot go on is cut so that both sides see it.
fn cut(fault: BodyFault) -> Box<Error> {
    Error::because(ErrorType::InternalError, "a middleware stopped the body", fault)
}

impl Edge {
    fn begin(&self, session: &mut Session, cx: &mut Cx) {
        let link = session
            .digest()
            .and_then(|digest| digest.proxy_digest.as_ref()?.user_data.as_ref()?.downcast_ref::<RequestLink>());
        if let Some(RequestLink { conn, body }) = link {
            conn.control.set_busy();
            (cx.conn, cx.body) = (Some(Arc::clone(conn)), body.clone());
            cx.unfinished = body.as_ref().map(|_| Unfinished {
                metrics: self.metrics.clone(),
                access_log: self.access_log.clone(),
                tell: cut::tell,
            });
        }
        session.set_keepalive(cx.keepalive());
        session.set_read_timeout(None); // the stream has its own, finer limits
        let write_timeout = session.is_http2().then_some(STREAM_WRITE);
        session.set_write_timeout(write_timeout);
        session.set_total_drain_timeout(Some(DRAIN));
        let known = session.get_header("x-request-id").map(http::HeaderValue::as_bytes);
        cx.id = match known.filter(|id| request_id::is_well_formed(id)).map(std::str::from_utf8) {
            Some(Ok(id)) => id.to_owned(),
            Some(Err(_)) | None => request_id::next(),
        };
        cx.client = self.client(session, cx);
        cx.scheme = client::scheme(&session.req_header().headers, cx.conn.as_deref());
        cx.has_body = !session.as_downstream_mut().is_body_done();
        if let Some(watch) = cx.body.as_ref().filter(|_| cx.has_body) {
            watch.expect();
        }
    }

    /// Who asked, as far as trusted proxies tell.
    fn client(&self, session: &Session, cx: &Cx) -> Option<IpAddr> {
        let conn = cx.conn.as_ref()?;
        let trusted = self.trusted_proxies.get(&*conn.entrypoint).filter(|_| conn.trusted_peer);
        let values = session.req_header().headers.get_all("x-forwarded-for").iter();
        let values = values.map(http::HeaderValue::as_bytes);
        Some(trusted.map_or(conn.client.ip(), |trusted| client::of(conn.client.ip(), values, trusted)))
    }
}
