//! Finds out what becomes of a request: an ACME answer, a redirect to HTTPS, a refusal, an answer of the edge, or a server.
//!
//! The order is the policy: ACME before all else, the certificate's word before the route's, the path's ambiguity before
//! the target.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use routes::path::Canonical;
use routes::route::Route;
use routes::rule::{Headers, Request};
use routes::table::Found;

use super::cx::Cx;
use super::routed::Routed;
use super::{Edge, answer, asked, http01, itself, steps};
use crate::middleware::Denial;
use crate::snapshot::{Serve, Site, Snapshot};
use crate::telemetry::Refusal;

/// Routes one request.
///
/// # Errors
/// When an answer cannot be written.
pub(super) async fn route(edge: &Edge, session: &mut Session, cx: &mut Cx) -> pingora::Result<Routed> {
    cx.asked = match asked::read(session.req_header(), &cx.snapshot.heads) {
        Ok(asked) => asked,
        Err(refusal) => return Ok(refusal.into()),
    };
    if let Some(key_authorization) = challenge(edge, cx) {
        let mut head = ResponseHeader::build(200, Some(4))?;
        head.insert_header("Content-Type", "application/octet-stream")?;
        head.insert_header("X-Content-Type-Options", "nosniff")?;
        answer::write(session, cx, head, key_authorization.into()).await?;
        return Ok(Routed::Answered);
    }
    let snapshot = Arc::clone(&cx.snapshot);
    let site = match find(&snapshot, session, cx) {
        Ok(site) => site,
        Err(denial)
            if matches!(denial.reason, Refusal::NoRoute | Refusal::UnknownHost) && leads_to_https(cx).is_some() =>
        {
            return to_https(session, cx).await;
        }
        Err(denial) => return Ok(denial.into()),
    };
    cx.in_flight = Some(site.metrics.begin());
    cx.site = Some(Arc::clone(&site));
    if let Some(refusal) = bounds(&site.route, session) {
        return Ok(refusal.into());
    }
    if let Some(routed) = steps::request(session, cx, &site.steps).await {
        return Ok(routed);
    }
    ask_for_pace(&site.route, cx);
    match &site.serve {
        Serve::Upstream(_) => Ok(Routed::Upstream),
        Serve::Files(root) => itself::files(session, cx, &site.route, root).await,
        Serve::Itself => itself::answer(session, cx, &site.route).await,
    }
}

fn challenge(edge: &Edge, cx: &Cx) -> Option<String> {
    edge.http01.answer(&cx.asked.host, http01::token(&cx.asked.path)?)
}

/// The site for the request, or why there is none.
fn find(snapshot: &Snapshot, session: &Session, cx: &Cx) -> Result<Arc<Site>, Denial> {
    let (asked, Some(conn)) = (&cx.asked, &cx.conn) else { return Err(Denial::new(Refusal::Internal)) };
    let table = &snapshot.table;
    let canonical = Canonical::read(asked.path.as_bytes());
    let found = table.find(&Request {
        entrypoint: &conn.entrypoint,
        host: &asked.host,
        path: &canonical.path,
        method: &asked.method,
        query: asked.query.as_deref().unwrap_or_default(),
        headers: &Fields(&session.req_header().headers),
        client: cx.client.unwrap_or(conn.client.ip()),
    });
    let route = match found {
        Found::Route(route) => route,
        Found::Closed(closed) => {
            let detail = format!("The fault has the id {}.", closed.fault_id);
            return Err(Denial::new(Refusal::RejectedRoute).detail(detail));
        }
        Found::Nothing if table.serves(&asked.host) => return Err(Denial::new(Refusal::NoRoute)),
        Found::Nothing => return Err(Denial::new(Refusal::UnknownHost)),
    };
    let covered = conn
        .tls
        .as_ref()
        .is_none_or(|tls| tls.sni.as_deref() == Some(asked.host.as_str()) || tls.certificate.covers(&asked.host));
    if !covered {
        return Err(Denial::new(Refusal::Misdirected));
    }
    // Of the hosts on the way, not of the route: a raw wildcard must be no way around the rules of a name below it.
    if !canonical.ambiguities.is_empty() && table.path_matters(&asked.host, route) {
        let detail =
            format!("The path has {}. A route may allow that with path_policy = \"raw\".", canonical.ambiguities);
        return Err(Denial::new(Refusal::AmbiguousPath).detail(detail));
    }
    snapshot.site(route).cloned().ok_or_else(|| Denial::new(Refusal::Internal))
}

/// The stream knows no routes: it is told what this one asks of its client. On HTTP/2 the connection is not one route's,
/// so only the body of the request is held to it there.
fn ask_for_pace(route: &Route, cx: &Cx) {
    let min_rate = cx.done.min_rate.unwrap_or(route.limits.min_rate);
    match (&cx.body, &cx.conn) {
        (Some(watch), _) => watch.min_rate().set(min_rate),
        (None, Some(conn)) => conn.control.min_rate().set(min_rate),
        (None, None) => {}
    }
}

/// What a route allows less of than some other does.
fn bounds(route: &Route, session: &Session) -> Option<Refusal> {
    let (limits, head) = (&route.limits, session.req_header());
    if head.headers.len() > limits.fields as usize {
        return Some(Refusal::TooManyFields);
    }
    let size: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if (size + head.raw_path().len()) as u64 > limits.headers {
        return Some(Refusal::HeaderTooLarge);
    }
    let length =
        head.headers.get(http::header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let too_large = limits.body.is_some_and(|limit| length.is_some_and(|length| length > limit));
    too_large.then_some(Refusal::BodyTooLarge)
}

/// The port of HTTPS, if this entrypoint leads there and a route serves the host there.
fn leads_to_https(cx: &Cx) -> Option<u16> {
    let port = cx.snapshot.redirect_port(&cx.conn.as_ref()?.entrypoint)?;
    cx.snapshot.table.serves(&cx.asked.host).then_some(port)
}

async fn to_https(session: &mut Session, cx: &mut Cx) -> pingora::Result<Routed> {
    let Some(port) = leads_to_https(cx) else { return Ok(Refusal::NoRoute.into()) };
    let asked = &cx.asked;
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    let query = asked.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    let to = format!("https://{}{port}{}{query}", asked.host, asked.path);
    itself::redirect(session, cx, 308, &to).await
}

/// Header fields as conditions see them.
struct Fields<'a>(&'a HeaderMap<HeaderValue>);

impl Headers for Fields<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.get_all(name).iter().any(|value| test(value.as_bytes()))
    }
}
