//! The one event at the end of a request: what was counted, and its line in the access log.

use std::time::Instant;

use http::{Version, header};
use jiff::Timestamp;
use pingora::proxy::Session;

use super::Edge;
use super::cx::Cx;
use crate::conn::facts::ConnFacts;
use crate::telemetry::access_log::{AccessLog, Line};
use crate::telemetry::{Refusal, Served};

/// What of a request its session knows.
pub(super) struct Seen<'a> {
    pub(super) method: &'a str,
    pub(super) version: Version,
    /// The status of the head that was sent.
    pub(super) sent: Option<u16>,
    /// Body bytes that were sent.
    pub(super) body_bytes: u64,
    pub(super) user_agent: Option<&'a [u8]>,
    pub(super) referer: Option<&'a [u8]>,
}

impl Edge {
    /// Counts a finished request and writes its line.
    pub(super) fn log(&self, session: &Session, cx: &Cx) {
        let head = session.req_header();
        let field = |name| head.headers.get(name).map(|value: &http::HeaderValue| value.as_bytes());
        let seen = Seen {
            method: head.method.as_str(),
            version: head.version,
            sent: session.response_written().map(|head| head.status.as_u16()),
            body_bytes: session.body_bytes_sent() as u64,
            user_agent: field(header::USER_AGENT),
            referer: field(header::REFERER),
        };
        tell(cx, &self.access_log, &seen);
    }
}

/// Counts a request that is at its end and writes its line.
pub(super) fn tell(cx: &Cx, access_log: &AccessLog, seen: &Seen<'_>) {
    let Some(conn) = &cx.conn else { return };
    let elapsed = cx.began.elapsed();
    let status = seen.sent.or(cx.refusal.map(|refusal| refusal.status().as_u16())).unwrap_or(0);
    cx.metrics().served(&Served {
        method: seen.method,
        code: status,
        seconds: elapsed.as_secs_f64(),
        request_bytes: cx.request_bytes,
        response_bytes: seen.body_bytes,
    });
    let upstream = cx.upstream.as_ref().map(|address| address.to_string());
    let since_begin = |at: Instant| millis(at.saturating_duration_since(cx.began));
    let since_asked =
        |at: Option<Instant>| at.zip(cx.asked_at).map(|(at, asked)| millis(at.saturating_duration_since(asked)));
    access_log.write(&Line {
        time: Timestamp::now().checked_sub(elapsed).unwrap_or_default(),
        request_id: &cx.id,
        entrypoint: &conn.entrypoint,
        client: cx.client.unwrap_or(conn.client.ip()),
        method: seen.method,
        host: cx.asked.authority.as_bytes(),
        path: cx.asked.path.as_bytes(),
        query: cx.asked.query.as_deref().map(str::as_bytes),
        proto: protocol(seen.version),
        status,
        route: cx.route(),
        upstream: upstream.as_deref(),
        reason: cx.refusal,
        duration_ms: millis(elapsed),
        first_byte_ms: cx.answered.map(since_begin),
        upstream_ms: since_asked(cx.answered),
        connect_ms: since_asked(cx.connected),
        request_bytes: cx.request_bytes,
        response_bytes: seen.body_bytes,
        tls: conn.tls.as_ref().map(|tls| tls.version),
        sni: conn.tls.as_ref().and_then(|tls| tls.sni.as_deref()),
        resumed: conn.tls.as_ref().map(|tls| tls.resumed),
        attempts: cx.attempts,
        user_agent: seen.user_agent,
        referer: seen.referer,
        user: cx.done.user.as_deref(),
    });
}

/// The line of a request whose head never became one.
pub(super) fn refused_head<'a>(conn: &'a ConnFacts, refusal: Refusal, request_id: &'a str) -> Line<'a> {
    Line {
        time: Timestamp::now(),
        request_id,
        entrypoint: &conn.entrypoint,
        client: conn.client.ip(),
        method: "",
        host: b"",
        path: b"",
        query: None,
        proto: "",
        status: refusal.status().as_u16(),
        route: "",
        upstream: None,
        reason: Some(refusal),
        duration_ms: 0.0,
        first_byte_ms: None,
        upstream_ms: None,
        connect_ms: None,
        request_bytes: 0,
        response_bytes: 0,
        tls: conn.tls.as_ref().map(|tls| tls.version),
        sni: conn.tls.as_ref().and_then(|tls| tls.sni.as_deref()),
        resumed: conn.tls.as_ref().map(|tls| tls.resumed),
        attempts: 0,
        user_agent: None,
        referer: None,
        user: None,
    }
}

fn millis(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
