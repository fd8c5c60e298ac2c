//! The way of a request to a server: which one, with what head, and whether another may be tried.

use std::time::{Duration, Instant};

use http::{StatusCode, Version, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::ALPN;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use routes::route::{ClientHeaders, HostHeader};

use super::cx::Cx;
use super::failure;
use super::forwarded::{self, Origin};
use crate::telemetry::{Metrics, Outcome, Retry, events};
use crate::upstream::{Pick, Pool, RetryOn, Wish};

/// How long a WebSocket may be silent; its stream enforces it for both directions together.
const WEBSOCKET_IDLE: Duration = Duration::from_secs(3600);
/// How long a long body may take to a server on HTTP/2; client and watch have finer limits meanwhile.
const WHILE_SENDING: Duration = Duration::from_secs(6 * 3600);
/// The engine's limit begins anew with each byte. A head that comes byte by byte on an HTTP/2 client ends so long behind it,
/// by a reset: an answer in words is the engine's to make.
const DRIPPING: Duration = Duration::from_secs(2);
/// Bodies up to so many bytes fit into the windows and buffers on their way.
const SHORT: u64 = 64 * 1024;

/// Picks a server and says how it is to be reached.
///
/// # Errors
/// When the route has no server that can be tried.
pub(super) async fn peer(session: &Session, cx: &mut Cx) -> pingora::Result<Box<HttpPeer>> {
    let pool = cx.site.as_ref().and_then(|site| site.pool()).cloned();
    let timeouts = pool.as_ref().map(|pool| pool.settings().timeouts).unwrap_or_default();
    let head = session.req_header();
    let wish = pool.as_ref().map(|pool| pool.wish(&head.headers, cx.client)).unwrap_or_default();
    let Some(pick) = pick(pool, cx, wish, timeouts.connect).await else {
        return Error::e_explain(ErrorType::HTTPStatus(503), "no server of the route can be tried");
    };
    cx.sticky = pick.cookie(wish, cx.scheme == "https");
    let upgrade = is_websocket(head);
    let mut peer = if upgrade { pick.peer_for_upgrade() } else { pick.peer() };
    if let Some(conn) = cx.conn.as_ref().filter(|_| !session.is_http2()) {
        conn.control.await_answer(timeouts.first_byte);
    }
    if let Some(watch) = &cx.body {
        watch.await_answer(timeouts.first_byte);
    }
    let waits_for_body = cx.has_body && peer.options.alpn != ALPN::H1 && !is_short(head);
    let long = timeouts.idle.max(timeouts.first_byte);
    peer.options.read_timeout = Some(match session.is_http2() {
        // On an HTTP/2 connection to a server the engine's limit runs from the head on, beside the upload.
        _ if waits_for_body => WHILE_SENDING,
        // The stream of the client gives up when no answer begins; this is the silence allowed within one.
        false if upgrade => WEBSOCKET_IDLE,
        false => long,
        // For clients on HTTP/2 the engine has one limit for both. Streams that say so may be silent for longer within.
        true if is_stream(head) => long,
        true => timeouts.first_byte,
    });
    if let (Some(watch), Some(silence), false) = (&cx.body, peer.options.read_timeout, cx.has_body) {
        watch.await_answer_now(silence.saturating_add(DRIPPING));
    }
    let now = Instant::now();
    (cx.upstream, cx.asked_at, cx.connected) = (Some(pick.address().clone()), Some(now), None);
    cx.active = Some(pick.begin());
    cx.attempts += 1;
    cx.pick = Some((pick, now));
    Ok(peer)
}

/// Whether the request asks for a WebSocket. Any other upgrade is not passed on, and has no other limits than a request.
fn is_websocket(head: &RequestHeader) -> bool {
    let upgrade = head.headers.get(header::UPGRADE);
    head.version == Version::HTTP_11 && upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Whether the body is sure to be sent in no time.
fn is_short(head: &RequestHeader) -> bool {
    let length = head.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.is_some_and(|length: u64| length <= SHORT)
}

/// The next server. Names are looked up in the background: only the first request of a new route may come too early.
async fn pick(pool: Option<Pool>, cx: &Cx, wish: Wish, within: Duration) -> Option<Pick> {
    let pool = pool?;
    if let Some(pick) = pool.pick(&cx.tried, wish) {
        return Some(pick);
    }
    // Looked up or not in time: the next pick tells.
    let _ = tokio::time::timeout(within, pool.resolved()).await;
    pool.pick(&cx.tried, wish)
}

/// Whether the request says that its answer is a stream.
fn is_stream(head: &RequestHeader) -> bool {
    let accepts_events = head
        .headers
        .get(header::ACCEPT)
        .is_some_and(|accept| accept.as_bytes().windows(17).any(|window| window == b"text/event-stream"));
    accepts_events || is_grpc(head)
}

/// Whether the request is a gRPC call, whose streams may be silent in both directions.
pub(super) fn is_grpc(head: &RequestHeader) -> bool {
    head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Edits the head that the server will see.
///
/// # Errors
/// None that a checked request could cause.
pub(super) fn head(head: &mut RequestHeader, cx: &Cx) -> pingora::Result<()> {
    let Some(conn) = &cx.conn else {
        return Error::e_explain(ErrorType::InternalError, "a request without a connection");
    };
    let scheme = cx.scheme;
    let default_port = if scheme == "https" { 443 } else { 80 };
    let origin = Origin {
        peer: conn.client.ip(),
        client: cx.client.unwrap_or(conn.client.ip()),
        trusted_peer: conn.trusted_peer,
        scheme,
        host: &cx.asked.authority,
        port: cx.asked.port.unwrap_or(default_port),
        names_client: cx.site.as_ref().is_none_or(|site| site.route.client_headers == ClientHeaders::Send),
    };
    // RFC 9112 section 3.2.1: the absolute form is for proxies, and a server may take it for a path.
    if head.uri.authority().is_none() && !head.raw_path().starts_with(b"/") {
        head.set_raw_path(cx.asked.target().as_bytes())?;
    }
    forwarded::rewrite(head, &origin)?;
    head.insert_header("X-Request-Id", cx.id.as_str())?;
    match cx.site.as_ref().map(|site| &site.route.host_header) {
        Some(HostHeader::Literal(host)) => head.insert_header(header::HOST, host.as_str())?,
        Some(HostHeader::Upstream) => {
            if let Some((pick, _)) = &cx.pick {
                head.insert_header(header::HOST, pick.authority())?;
            }
        }
        Some(HostHeader::Keep) | None => {}
    }
    Ok(())
}

/// Header bytes above which a head is worth to be dropped.
const HEAVY: usize = 2 * 1024;

/// Drops most of a big head once the server has answered it. A client can have a hundred of them on one HTTP/2
/// connection and take no byte of the answers: what it made us decode must not stay in memory meanwhile.
pub(super) fn drop_heavy(head: &mut RequestHeader) {
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if size < HEAVY {
        return;
    }
    const KEPT: [header::HeaderName; 3] = [header::HOST, header::USER_AGENT, header::REFERER];
    let names: Vec<_> = head.headers.keys().filter(|name| !KEPT.contains(name)).cloned().collect();
    for name in names {
        head.remove_header(&name);
    }
}

/// Gives the client the cookie by which it comes back to its server.
pub(super) fn stick(head: &mut ResponseHeader, cx: &mut Cx) -> pingora::Result<()> {
    if let Some(cookie) = cx.sticky.take() {
        head.append_header(header::SET_COOKIE, cookie)?;
    }
    Ok(())
}

/// No connection: another server may be tried, since nothing was sent.
pub(super) fn connect_failed(session: &Session, cx: &mut Cx, metrics: &Metrics, mut error: Box<Error>) -> Box<Error> {
    let Some((pick, _)) = cx.pick.take() else { return error };
    let text = error.to_string();
    pick.done(failure::outcome(&error, None), None, Some(&text));
    events::UpstreamConnectFailed { route: cx.route(), upstream: pick.server(), address: pick.address(), error: &text }
        .emit(metrics);
    cx.tried.add(&pick);
    let again = session.body_bytes_read() == 0 && may_try_another(cx, |on| on.connect);
    error.set_retry(again);
    if again {
        cx.metrics().retried(Retry::ConnectFailed);
    }
    error
}

/// Whether the route allows one more try after such a failure, and has a server for it.
fn may_try_another(cx: &Cx, after: impl Fn(&RetryOn) -> bool) -> bool {
    let Some(pool) = cx.site.as_ref().and_then(|site| site.pool()) else { return false };
    let settings = pool.settings();
    after(&settings.retry_on) && cx.tried.len() <= settings.retries as usize && pool.has_other(&cx.tried)
}

/// Whether nobody can tell that the request was sent twice: it may be, it has no body, and nothing of an answer is out.
fn is_repeatable(session: &Session, cx: &Cx) -> bool {
    let head = session.req_header();
    head.method.is_idempotent()
        && !cx.has_body
        && session.body_bytes_read() == 0
        && session.response_written().is_none()
}

/// Refuses a 101 that nobody asked for: behind it, bytes would flow that neither side has agreed on, and the engine lets it
/// pass. Only WebSocket upgrades are passed on to servers.
pub(super) fn asked_for(session: &Session, head: &ResponseHeader) -> pingora::Result<()> {
    if head.status != StatusCode::SWITCHING_PROTOCOLS || is_websocket(session.req_header()) {
        return Ok(());
    }
    Err(Error::explain(ErrorType::InvalidHTTPHeader, "the server switched to a protocol that was not asked for")
        .into_up())
}

/// An answer that says that the server cannot serve now: an error that has another one tried, if the route wants that.
pub(super) fn unavailable(session: &Session, head: &ResponseHeader, cx: &mut Cx) -> pingora::Result<()> {
    if !matches!(head.status.as_u16(), 502..=504) || !is_repeatable(session, cx) {
        return Ok(());
    }
    let Some((pick, _)) = &cx.pick else { return Ok(()) };
    cx.tried.add(pick);
    if !may_try_another(cx, |on| on.unavailable) {
        return Ok(());
    }
    if let Some((pick, began)) = cx.pick.take() {
        pick.done(Outcome::Answered, Some(began.elapsed().as_secs_f64()), None);
    }
    cx.metrics().retried(Retry::Unavailable);
    let mut error = Error::new_up(ErrorType::HTTPStatus(head.status.as_u16()));
    error.set_retry(true);
    Err(error)
}

/// Tells the server's pool how an answer ended that had begun. What a client, a limit of ours or the end of a tunnel cuts is
/// not held against the server, and neither is silence: a stream may have nothing to say.
pub(super) fn judge(cx: &Cx, error: Option<&Error>) {
    let Some(pick) = &cx.server else { return };
    let ours = cx.conn.as_ref().is_some_and(|conn| conn.control.is_tunnel() || conn.control.fault().is_some());
    let broken = |error: &&Error| !ours && failure::outcome(error, None) == Outcome::Broken;
    let why = error.filter(broken).map(ToString::to_string);
    pick.ended(why.as_deref());
}

/// Whether the connection ended, rather than that somebody said something wrong on it.
fn is_gone(error: &Error) -> bool {
    matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError)
}

/// A connection broke. One that was kept open turned out to be closed: the same again, if nothing can have been done
/// twice. A new one: another server, if the route wants that too.
pub(super) fn broken(session: &Session, cx: &mut Cx, mut error: Box<Error>, reused: bool) -> Box<Error> {
    if matches!(error.etype(), ErrorType::HTTPStatus(_)) && error.retry() {
        return error; // decided by `unavailable`
    }
    let head = session.req_header();
    let harmless =
        head.method.is_idempotent() && session.body_bytes_read() == 0 && session.response_written().is_none();
    error.retry.decide_reuse(reused && harmless);
    if !harmless {
        error.set_retry(false);
    }
    if error.retry() {
        if let Some((pick, _)) = cx.pick.take() {
            pick.stale();
            cx.metrics().retried(Retry::StaleConnection);
        }
        return error;
    }
    let is_broken = *error.esource() == ErrorSource::Upstream && failure::outcome(&error, None) == Outcome::Broken;
    let no_fault = cx.conn.as_ref().is_none_or(|conn| conn.control.fault().is_none());
    if is_broken && no_fault && !harmless && reused && is_gone(&error) {
        // Nobody knows whether it was read, so it is not sent again; but a connection that ended idle is no failure.
        if let Some((pick, _)) = cx.pick.take() {
            pick.stale();
        }
        return error;
    }
    if is_broken
        && no_fault
        && is_repeatable(session, cx)
        && let Some((pick, began)) = cx.pick.take()
    {
        cx.tried.add(&pick);
        if may_try_another(cx, |on| on.broken) {
            pick.done(Outcome::Broken, None, Some(&error.to_string()));
            cx.metrics().retried(Retry::Broken);
            error.set_retry(true);
        } else {
            cx.pick = Some((pick, began));
        }
    }
    error
}
