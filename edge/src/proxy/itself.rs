//! Answers that need no server: redirects, fixed answers and files.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use pingora::{Error, ErrorType};
use routes::route::Route;
use routes::target::{Original, Respond, Target};
use tokio::io::AsyncReadExt;

use super::answer;
use super::cx::Cx;
use super::files::{self, Found, Looked, Part};
use super::routed::Routed;
use super::steps;
use crate::middleware;
use crate::telemetry::Refusal;

/// One read of a file and one write to the client.
const CHUNK: usize = 64 * 1024;

/// Answers as the target of the route says.
pub(super) async fn answer(session: &mut Session, cx: &mut Cx, route: &Arc<Route>) -> pingora::Result<Routed> {
    match &route.target {
        Target::Redirect(target) => {
            let scheme = cx.scheme;
            let asked = &cx.asked;
            let original = Original { scheme, host: &asked.host, path: &asked.path, query: asked.query.as_deref() };
            let to = target.to.render(&original);
            redirect(session, cx, target.status, &to).await
        }
        Target::Respond(target) => respond(session, cx, target).await,
        Target::Upstream(_) | Target::Files(_) => Ok(Refusal::Internal.into()),
    }
}

/// Sends the client elsewhere.
pub(super) async fn redirect(session: &mut Session, cx: &mut Cx, status: u16, to: &str) -> pingora::Result<Routed> {
    let mut head = ResponseHeader::build(status, Some(4))?;
    head.insert_header("Location", to)?;
    answer::write(session, cx, head, Bytes::new()).await?;
    Ok(Routed::Answered)
}

async fn respond(session: &mut Session, cx: &mut Cx, target: &Respond) -> pingora::Result<Routed> {
    let mut head = ResponseHeader::build(target.status, Some(4 + target.headers.len()))?;
    head.insert_header("Content-Type", target.content_type.as_str())?;
    for (name, value) in &target.headers {
        head.append_header(name.clone(), value.as_str())?;
    }
    answer::write(session, cx, head, target.body.clone().into()).await?;
    Ok(Routed::Answered)
}

/// Serves a file below `root`.
pub(super) async fn files(session: &mut Session, cx: &mut Cx, route: &Route, root: &Path) -> pingora::Result<Routed> {
    let Target::Files(settings) = &route.target else { return Ok(Refusal::Internal.into()) };
    if !matches!(session.req_header().method, Method::GET | Method::HEAD) {
        return Ok(Refusal::MethodNotAllowed.into());
    }
    // Steps may have taken a prefix off, as for a server.
    let changed = cx.done.target.as_deref().map(|target| target.split_once('?').map_or(target, |(path, _)| path));
    let path = routes::path::Canonical::read(changed.unwrap_or(&cx.asked.path).as_bytes()).path.into_owned();
    match files::look(root, &path, settings).await {
        Ok(Looked::File(found)) => send(session, cx, found).await,
        Ok(Looked::Folder) => {
            let query = cx.asked.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
            // Made of the canonical path, which begins with exactly one slash: it cannot lead to another host.
            let asked = routes::path::Canonical::read(cx.asked.path.as_bytes()).path.into_owned();
            redirect(session, cx, 308, &format!("{asked}/{query}")).await
        }
        Ok(Looked::Listing(names)) => {
            let mut head = ResponseHeader::build(200, Some(4))?;
            head.insert_header("Content-Type", "text/html; charset=utf-8")?;
            answer::write(session, cx, head, files::listing_page(&path, &names).into()).await?;
            Ok(Routed::Answered)
        }
        Ok(Looked::Missing) => Ok(Refusal::NoRoute.into()),
        Err(error) => {
            tracing::warn!(route = route.name, %error, "a file of a route cannot be read");
            Ok(Refusal::Internal.into())
        }
    }
}

async fn send(session: &mut Session, cx: &mut Cx, found: Found) -> pingora::Result<Routed> {
    let part = files::part(session.req_header(), &found);
    let mut head = files::head(&found, &part)?;
    head.insert_header("X-Request-Id", cx.id.as_str())?;
    steps::reply(session.req_header(), cx, &mut head, true)?;
    let bodyless =
        session.req_header().method == Method::HEAD || matches!(part, Part::NotModified | Part::Unsatisfiable);
    session.write_response_header(Box::new(head), bodyless).await.map_err(|error| error.into_down())?;
    if bodyless {
        return Ok(Routed::Answered);
    }
    let failed = |error| Error::because(ErrorType::FileReadError, "reading a file of a route", error);
    let mut reader = files::reader(found, &part).await.map_err(failed)?;
    loop {
        let mut chunk = Vec::with_capacity(CHUNK);
        let count = (&mut reader).take(CHUNK as u64).read_to_end(&mut chunk).await.map_err(failed)?;
        if count == 0 {
            break;
        }
        let chunk = through(cx, Some(chunk.into()), false)?;
        cx.response_bytes += chunk.as_ref().map_or(0, Bytes::len) as u64;
        if chunk.is_none() {
            continue;
        }
        session.write_response_body(chunk, false).await.map_err(|error| error.into_down())?;
    }
    if reader.limit() > 0 {
        // The file shrank while it was sent: a clean end would pass for the whole.
        return Error::e_explain(ErrorType::FileReadError, "the file became shorter while it was sent");
    }
    let last = through(cx, None, true)?;
    session.write_response_body(last, true).await.map_err(|error| error.into_down())?;
    Ok(Routed::Answered)
}

fn through(cx: &mut Cx, chunk: Option<Bytes>, end: bool) -> pingora::Result<Option<Bytes>> {
    let failed = |fault| Error::because(ErrorType::InternalError, "a middleware stopped a file", fault);
    middleware::through(&mut cx.done.response_body, chunk, end).map_err(failed)
}
