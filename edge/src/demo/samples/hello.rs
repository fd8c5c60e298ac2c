//! The first page: greets, links the other samples, and shows what edge tells a backend about the client.

use axum::Router;
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::get;

use super::SAMPLES;
use super::page::{page, port, text};

pub(super) fn router() -> Router {
    Router::new().route("/", get(hello)).fallback(get(hello))
}

async fn hello(headers: HeaderMap) -> Response {
    page("Hello from behind the edge", &format!("{INTRO}{}{}{OUTRO}", told(&headers), links(&port(&headers))))
}

const INTRO: &str = "<p>This page comes from a plain HTTP server on loopback. edge stands in front of it: it ended TLS \
                     with a certificate of its own authority, chose the route by the name, and passed the request on.</p>\n";

const OUTRO: &str = "<p>The routes are in <code>routes/demo.toml</code> of the demo's folder. Edit the file, save it, \
                     and reload: there is nothing to restart.</p>";

/// What edge sets on every request that it passes on.
const TOLD: &[&str] = &[
    "x-request-id",
    "host",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "forwarded",
];

fn told(headers: &HeaderMap) -> String {
    let row = |name: &&str| {
        let value = headers.get(*name)?;
        Some(format!("<tr><th>{name}</th><td>{}</td></tr>\n", text(&String::from_utf8_lossy(value.as_bytes()))))
    };
    let rows: String = TOLD.iter().filter_map(row).collect();
    format!("<h2>What edge told this server about you</h2>\n<table>\n{rows}</table>\n")
}

fn links(port: &str) -> String {
    let row = |name: &str, about: &str| {
        let place = format!("{name}.localhost{port}");
        format!("<tr><th><a href=\"//{place}/\">{place}</a></th><td>{about}</td></tr>\n")
    };
    let others = SAMPLES.iter().filter(|sample| sample.name != "hello");
    let rows: String = others.map(|sample| row(sample.name, sample.about)).collect();
    format!("<h2>More behind the same edge</h2>\n<table>\n{rows}</table>\n")
}
