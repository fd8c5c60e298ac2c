//! Runs the middlewares of a route: over the request in their order, over its answer in the reverse order.
//!
//! What they decide is theirs; here it is only put into the engine's words.

use std::sync::Arc;

use http::{Uri, header};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

use super::cx::Cx;
use super::routed::Routed;
use crate::middleware::{Ask, Asker, Done, Edit, Flow, Middleware, OwnCookies, Reply};
use crate::telemetry::Refusal;

/// Has every step see the request, until one of them answers. None if they all let it pass.
pub(super) async fn request(session: &Session, cx: &mut Cx, steps: &[Arc<dyn Middleware>]) -> Option<Routed> {
    if steps.is_empty() {
        return None;
    }
    let mut done = std::mem::take(&mut cx.done);
    let flow = run(session.req_header(), cx, steps, &mut done).await;
    cx.done = done;
    match flow {
        Flow::Next => None,
        Flow::Answer(answer) => Some(Routed::ByStep(answer)),
        Flow::Refuse(denial) => Some(Routed::Refused(denial)),
        // A step that waits says in the end what it wants.
        Flow::Wait => Some(Refusal::Internal.into()),
    }
}

async fn run(head: &RequestHeader, cx: &Cx, steps: &[Arc<dyn Middleware>], done: &mut Done) -> Flow {
    let Some(from) = asker(head, cx) else { return Flow::refuse(Refusal::Internal) };
    for (index, step) in steps.iter().enumerate() {
        let mut ask = Ask { from, done };
        let mut flow = step.request(&mut ask);
        if matches!(flow, Flow::Wait) {
            flow = step.wait(&mut ask).await;
        }
        if !matches!(flow, Flow::Next) {
            return flow;
        }
        done.reached = index + 1;
    }
    for step in steps {
        let flow = step.last_look(&mut Ask { from, done });
        if !matches!(flow, Flow::Next) {
            return flow;
        }
    }
    Flow::Next
}

fn asker<'a>(head: &'a RequestHeader, cx: &'a Cx) -> Option<Asker<'a>> {
    let conn = cx.conn.as_ref()?;
    Some(Asker {
        method: &head.method,
        scheme: cx.scheme,
        host: &cx.asked.host,
        authority: &cx.asked.authority,
        path: &cx.asked.path,
        query: cx.asked.query.as_deref(),
        headers: &head.headers,
        client: cx.client.unwrap_or(conn.client.ip()),
        route: cx.route(),
        request_id: &cx.id,
        has_body: cx.has_body,
    })
}

/// Puts what the steps changed into the head that the server sees.
///
/// # Errors
/// None that a checked request could cause.
pub(super) fn edit_request(head: &mut RequestHeader, done: &Done) -> pingora::Result<()> {
    for edit in &done.edits {
        match edit {
            Edit::Set(name, value) => head.insert_header(name.clone(), value.clone())?,
            Edit::Append(name, value) => drop(head.append_header(name.clone(), value.clone())?),
            Edit::Remove(name) => drop(head.remove_header(name)),
        }
    }
    let Some(target) = &done.target else { return Ok(()) };
    let mut parts = head.uri.clone().into_parts();
    match target.parse() {
        Ok(path_and_query) => {
            parts.path_and_query = Some(path_and_query);
            match Uri::from_parts(parts) {
                Ok(uri) => head.set_uri(uri),
                Err(_) => head.set_raw_path(target.as_bytes())?,
            }
        }
        Err(_) => head.set_raw_path(target.as_bytes())?,
    }
    Ok(())
}

/// Leaves the cookies of logins out of the head that the server sees, whichever route they are of: it could use them there.
///
/// # Errors
/// None that a checked request could cause.
pub(super) fn hide_cookies(head: &mut RequestHeader, own: &OwnCookies) -> pingora::Result<()> {
    let Some(others) = own.hide(&head.headers) else { return Ok(()) };
    head.remove_header(&header::COOKIE);
    others.into_iter().try_for_each(|field| head.append_header(header::COOKIE, field).map(drop))
}

/// Tells the steps that asked for it what the server gets, once: a second try sends the same.
pub(super) fn tell_sent(head: &RequestHeader, done: &mut Done) {
    if done.on_sent.is_empty() {
        return;
    }
    let target = String::from_utf8_lossy(head.raw_path());
    for told in std::mem::take(&mut done.on_sent) {
        told(&head.method, &target, &head.headers);
    }
}

/// Has every step that saw the request see the head of its answer.
///
/// # Errors
/// None that a checked answer could cause.
pub(super) fn reply(
    request: &RequestHeader,
    cx: &mut Cx,
    head: &mut ResponseHeader,
    from_server: bool,
) -> pingora::Result<()> {
    let Some(site) = cx.site.clone().filter(|_| cx.done.reached > 0) else { return Ok(()) };
    let mut done = std::mem::take(&mut cx.done);
    let outcome = change(request, cx, head, &site.steps, &mut done, from_server);
    cx.done = done;
    outcome
}

fn change(
    request: &RequestHeader,
    cx: &Cx,
    head: &mut ResponseHeader,
    steps: &[Arc<dyn Middleware>],
    done: &mut Done,
    from_server: bool,
) -> pingora::Result<()> {
    let Some(to) = asker(request, cx) else { return Ok(()) };
    // An answer may be replaced by a refusal before it is written.
    done.response_body.clear();
    let reached = done.reached.min(steps.len());
    let server = cx.server.as_ref().filter(|_| from_server).map(crate::upstream::Pick::authority);
    let mut reply =
        Reply { to, done, status: head.status, from_server, server, base: &head.headers, edits: Vec::new() };
    steps[..reached].iter().rev().for_each(|step| step.reply(&mut reply));
    let Reply { status, edits, .. } = reply;
    if status != head.status {
        head.set_status(status)?;
    }
    for edit in edits {
        match edit {
            Edit::Set(name, value) => head.insert_header(name, value)?,
            Edit::Append(name, value) => drop(head.append_header(name, value)?),
            Edit::Remove(name) => drop(head.remove_header(&name)),
        }
    }
    let has_no_body = request.method == http::Method::HEAD || matches!(head.status.as_u16(), 101 | 204 | 304);
    let filtered = from_server && !done.response_body.is_empty() && !has_no_body;
    if filtered && !head.headers.contains_key(header::CONTENT_LENGTH) {
        head.insert_header(header::TRANSFER_ENCODING, "chunked")?;
    }
    Ok(())
}
