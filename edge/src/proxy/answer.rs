//! Writes the answers that the edge makes itself, refusals above all: each with its reason, its request id and its counter.
//!
//! The status and words of a reason are in [`Refusal`]; here is only how they look.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};

use super::cx::Cx;
use super::{log, request_id, steps};
use crate::conn::control::StreamFault;
use crate::conn::facts::ConnFacts;
use crate::conn::h1_body::BodyFault;
use crate::conn::h1_guard::H1Fault;
use crate::conn::h1_head::HeadFault;
use crate::conn::h2_guard::H2Fault;
use crate::conn::stream::Refuse;
use crate::middleware::{self, Answer, Denial};
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::{Metrics, Refusal, events};

/// What a refusal may say beyond its reason, from the configuration only: never text of the request.
pub type Detail<'a> = Option<&'a str>;

/// Refuses the request: one event, one answer. The connection stays open when all of the request has been read.
///
/// # Errors
/// When the client cannot be written to.
pub async fn refuse(session: &mut Session, cx: &mut Cx, metrics: &Metrics, denial: Denial) -> pingora::Result<()> {
    let Denial { reason: refusal, detail, headers } = denial;
    let detail = detail.as_deref();
    note(cx, metrics, refusal, detail);
    let wants_json = session
        .get_header(http::header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().windows(5).any(|window| window == b"/json"));
    let (kind, body) = if wants_json { json(refusal, detail, &cx.id) } else { text(refusal, detail, &cx.id) };
    let mut head = ResponseHeader::build(refusal.status(), Some(8))?;
    head.insert_header("Content-Type", kind)?;
    head.insert_header("Cache-Control", "no-store")?;
    head.insert_header("X-Content-Type-Options", "nosniff")?;
    for (name, value) in headers {
        head.append_header(name, value)?;
    }
    write(session, cx, head, body).await
}

/// Notes a refusal whose answer is written by others, or cannot be written any more.
pub fn note(cx: &mut Cx, metrics: &Metrics, refusal: Refusal, detail: Detail<'_>) {
    cx.refusal = Some(refusal);
    cx.last |= refusal.ends_connection();
    events::RequestRefused { route: cx.route(), reason: refusal, request_id: &cx.id, detail }.emit(metrics);
}

/// Writes the answer of a middleware.
///
/// # Errors
/// When the client cannot be written to.
pub async fn write_made(session: &mut Session, cx: &mut Cx, made: Answer) -> pingora::Result<()> {
    let mut head = ResponseHeader::build(made.status, Some(made.headers.len() + 2))?;
    for (name, value) in made.headers {
        head.append_header(name, value)?;
    }
    write(session, cx, head, made.body).await
}

/// Writes one whole answer.
///
/// # Errors
/// When the client cannot be written to.
pub async fn write(session: &mut Session, cx: &mut Cx, mut head: ResponseHeader, body: Bytes) -> pingora::Result<()> {
    head.insert_header("X-Request-Id", cx.id.as_str())?;
    steps::reply(session.req_header(), cx, &mut head, false)?;
    let body = match middleware::through(&mut cx.done.response_body, Some(body), true) {
        Ok(body) => body.unwrap_or_default(),
        Err(fault) => return Err(Error::because(ErrorType::InternalError, "a middleware stopped an answer", fault)),
    };
    // These end with their head, and 204 may not say a length (RFC 9110 section 8.6).
    let has_no_body = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_no_body {
        head.remove_header("Content-Length");
    } else {
        head.insert_header("Content-Length", body.len().to_string())?;
    }
    let bodyless = has_no_body || session.req_header().method == http::Method::HEAD || body.is_empty();
    // A body that is still to come is not waited for: the connection closes behind the answer instead.
    let ends = cx.last || !session.as_downstream_mut().is_body_done();
    session.set_keepalive(cx.keepalive().filter(|_| !ends));
    // What fails is the client's end, not ours.
    session.write_response_header(Box::new(head), bodyless).await.map_err(|error| error.into_down())?;
    if !bodyless {
        session.write_response_body(Some(body), true).await.map_err(|error| error.into_down())?;
    }
    if ends {
        // A socket that is closed with bytes unread is reset, and a reset, of a stream too, takes the answer with it. A
        // client that has read its answer stops by itself; one that does not is cut then.
        let downstream = session.as_downstream_mut();
        downstream.finish_body().await.map_err(|error| error.into_down())?;
        let _ = downstream.drain_request_body().await;
    }
    Ok(())
}

fn text(refusal: Refusal, detail: Detail<'_>, id: &str) -> (&'static str, Bytes) {
    let status = refusal.status();
    let detail = detail.map(|detail| format!("{detail}\n")).unwrap_or_default();
    let body = format!("{} {}\n{detail}request id: {id}\n", status.as_u16(), refusal.words());
    ("text/plain; charset=utf-8", body.into())
}

fn json(refusal: Refusal, detail: Detail<'_>, id: &str) -> (&'static str, Bytes) {
    let body = serde_json::json!({
        "status": refusal.status().as_u16(),
        "reason": refusal.label(),
        "message": refusal.words(),
        "detail": detail,
        "request_id": id,
    });
    ("application/json", format!("{body}\n").into())
}

/// Counts, logs and words what never reaches the engine.
struct HeadWords {
    metrics: Metrics,
    access_log: AccessLog,
}

impl HeadWords {
    fn refused(&self, conn: &ConnFacts, fault: StreamFault) -> (Refusal, String) {
        let (refusal, request_id, detail) = (refusal_of(fault), request_id::next(), fault.to_string());
        events::RequestRefused { route: "", reason: refusal, request_id: &request_id, detail: Some(&detail) }
            .emit(&self.metrics);
        self.access_log.write(&log::refused_head(conn, refusal, &request_id));
        (refusal, request_id)
    }
}

impl Refuse for HeadWords {
    fn answer(&self, conn: &ConnFacts, fault: StreamFault) -> Bytes {
        let (refusal, id) = self.refused(conn, fault);
        let ((kind, body), status) = (text(refusal, None, &id), refusal.status());
        let head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nX-Request-Id: {id}\r\nConnection: close\r\n\r\n",
            status.as_u16(),
            reason_phrase(status),
            body.len()
        );
        [head.as_bytes(), &body].concat().into()
    }

    fn note(&self, conn: &ConnFacts, fault: StreamFault) {
        self.refused(conn, fault);
    }
}

/// Words for what never reaches the engine, behind the pointer that connections share.
pub fn head_words(metrics: Metrics, access_log: AccessLog) -> Arc<dyn Refuse> {
    Arc::new(HeadWords { metrics, access_log })
}

fn reason_phrase(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Refused")
}

/// The reason that a failed stream gives its request.
pub fn refusal_of(fault: StreamFault) -> Refusal {
    match fault {
        StreamFault::H1(H1Fault::Head(head)) => match head {
            HeadFault::LineTooLong => Refusal::UriTooLong,
            HeadFault::HeadTooLarge => Refusal::HeaderTooLarge,
            HeadFault::TooManyFields => Refusal::TooManyFields,
            HeadFault::BadRequestLine => Refusal::BadRequestLine,
            HeadFault::BadVersion => Refusal::VersionNotSupported,
            HeadFault::Connect => Refusal::MethodNotAllowed,
            HeadFault::BadLineEnd | HeadFault::BadField => Refusal::BadHeader,
            HeadFault::BadFraming => Refusal::BadFraming,
            HeadFault::BadHost => Refusal::BadHost,
        },
        StreamFault::H1(H1Fault::Body(BodyFault::BadChunk | BodyFault::TrailersTooLarge)) => Refusal::BadFraming,
        StreamFault::MalformedStream => Refusal::BadHeader,
        StreamFault::H2(H2Fault::FrameFlood) => Refusal::TooManyStreams,
        StreamFault::H2(H2Fault::HeadTimeout) => Refusal::HeaderTimeout,
        StreamFault::HeadTimeout => Refusal::HeaderTimeout,
        StreamFault::SlowRequest(_) | StreamFault::SlowResponse(_) => Refusal::ClientTooSlow,
        StreamFault::IdleTunnel => Refusal::ClientTooSlow,
        StreamFault::NoAnswer => Refusal::UpstreamTimeout,
    }
}
