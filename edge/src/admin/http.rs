//! Which URL answers what, and who may ask.
//!
//! The guards are against a web page in the operator's browser: it can make the browser ask here,
//! under a name of its own that it points at us (DNS rebinding), or blindly (CSRF).

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::api::{Cert, Readiness, Reload, Route, Sessions, Source, Status, Upstream};
use super::page;
use crate::telemetry::Metrics;

/// Through which door a request came.
#[derive(Clone)]
pub(super) enum Door {
    /// The socket: who can open the file may ask.
    Socket,
    /// TCP: whoever can connect, under one of these names or an address.
    Tcp(Arc<[String]>),
}

impl Door {
    pub(super) fn tcp(names: &[String]) -> Self {
        Self::Tcp(names.iter().map(|name| name.to_ascii_lowercase()).collect())
    }

    /// Whether a request may be for `authority`. An address cannot be rebound, a name can.
    fn knows(&self, authority: &str) -> bool {
        let Self::Tcp(names) = self else { return true };
        let host = host_of(authority).to_ascii_lowercase();
        let loopback = host == "localhost" || host.ends_with(".localhost");
        loopback || host.parse::<IpAddr>().is_ok() || names.contains(&host)
    }
}

/// The host of `host`, `host:port`, `[v6]` or `[v6]:port`.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

#[derive(Clone)]
struct App {
    source: Arc<dyn Source>,
    metrics: Metrics,
}

pub(super) fn router(source: Arc<dyn Source>, metrics: Metrics, door: Door) -> Router {
    Router::new()
        .route("/", get(dashboard))
        .route("/metrics", get(metrics_page))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/api/v1/status", get(status))
        .route("/api/v1/routes", get(routes))
        .route("/api/v1/certs", get(certs))
        .route("/api/v1/upstreams", get(upstreams))
        .route("/api/v1/sessions", get(sessions))
        .route("/api/v1/reload", post(reload))
        .with_state(App { source, metrics })
        .layer(from_fn_with_state(door, guard))
}

async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&door, &request) {
        Some((status, why)) => (status, format!("{why}\n")).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn refusal(door: &Door, request: &Request) -> Option<(StatusCode, &'static str)> {
    let headers = request.headers();
    let authority = text(headers, &HOST).or_else(|| request.uri().authority().map(|it| it.as_str()));
    if !authority.is_some_and(|authority| door.knows(authority)) {
        let why = "This name is not known here; add it to admin.hosts or use an address.";
        return Some((StatusCode::MISDIRECTED_REQUEST, why));
    }
    if request.method().is_safe() {
        return None;
    }
    // A page of another origin cannot send this type without asking first, which is not answered.
    if !text(headers, &CONTENT_TYPE).is_some_and(is_json) {
        return Some((StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send Content-Type: application/json."));
    }
    let foreign = |origin: &str| origin.split_once("://").map(|(_, rest)| rest) != authority;
    if text(headers, &ORIGIN).is_some_and(foreign) {
        return Some((StatusCode::FORBIDDEN, "Pages of other origins may not do this."));
    }
    None
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

async fn metrics_page(State(app): State<App>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], app.metrics.render())
}

async fn ready(State(app): State<App>) -> (StatusCode, Json<Readiness>) {
    let readiness = app.source.ready();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

async fn status(State(app): State<App>) -> Json<Status> {
    Json(app.source.status())
}

async fn routes(State(app): State<App>) -> Json<Vec<Route>> {
    Json(app.source.routes())
}

async fn certs(State(app): State<App>) -> Json<Vec<Cert>> {
    Json(app.source.certs())
}

async fn upstreams(State(app): State<App>) -> Json<Vec<Upstream>> {
    Json(app.source.upstreams())
}

async fn sessions(State(app): State<App>) -> Json<Sessions> {
    Json(app.source.sessions())
}

async fn reload(State(app): State<App>) -> (StatusCode, Json<Reload>) {
    let reload = app.source.reload().await;
    let status = if reload.applied { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, Json(reload))
}

async fn dashboard(State(app): State<App>) -> Response {
    let nonce = page::nonce();
    let source = &app.source;
    let view = page::View {
        status: source.status(),
        ready: source.ready(),
        routes: source.routes(),
        certs: source.certs(),
        upstreams: source.upstreams(),
        sessions: source.sessions(),
    };
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8".to_owned()), (CONTENT_SECURITY_POLICY, policy)];
    (headers, page::render(&view, &nonce)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_known_at_the_tcp_door() {
        let door = Door::tcp(&["Edge.Internal".to_owned()]);
        for known in [
            "localhost",
            "localhost:9180",
            "a.localhost",
            "127.0.0.1:9180",
            "[::1]:9180",
            "[::1]",
            "10.0.0.1",
            "edge.internal:9180",
            "LOCALHOST",
        ] {
            assert!(door.knows(known), "{known}");
        }
        for strange in ["", ":9180", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "[", "[]"] {
            assert!(!door.knows(strange), "{strange}");
        }
        assert!(Door::Socket.knows("anything"));
    }

    #[test]
    fn only_json_is_json() {
        assert!(is_json("application/json") && is_json("Application/JSON; charset=utf-8"));
        assert!(!is_json("text/plain") && !is_json("application/json-seq") && !is_json(""));
    }
}
