//! What the winning route does with the request, in lines of a name and a value.

use std::time::Duration;

use routes::route::{ClientHeaders, HostHeader, Route};
use routes::target::{HttpVersion, Original, Probe, Redirect, Respond, Target, Upstream};
use routes::world::resolve;
use serde::Serialize;

use super::url::Url;
use crate::config::Around;

/// One fact about a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

fn fact(name: &'static str, value: impl Into<String>) -> Fact {
    Fact { name, value: value.into() }
}

/// Everything that somebody who wonders about a request wants to know of its target.
pub(super) fn facts(route: &Route, url: &Url, around: &Around) -> Vec<Fact> {
    let mut facts = match &route.target {
        Target::Upstream(upstream) => of_upstream(upstream, &route.host_header),
        Target::Redirect(redirect) => vec![of_redirect(redirect, url)],
        Target::Files(files) => {
            let spa = if files.spa { ", and its index for every path that is no file" } else { "" };
            vec![fact("files", format!("{}{spa}", resolve(&around.folder, &files.root).display()))]
        }
        Target::Respond(respond) => vec![of_respond(respond)],
    };
    if route.client_headers == ClientHeaders::None && matches!(route.target, Target::Upstream(_)) {
        facts.push(fact("client", "its address is not told to the servers"));
    }
    if let Some(body) = route.limits.body {
        facts.push(fact("body limit", format!("{body} bytes")));
    }
    facts
}

fn of_upstream(upstream: &Upstream, host: &HostHeader) -> Vec<Fact> {
    let weighted = upstream.servers.iter().any(|server| server.weight != 1);
    let server = |(index, server): (usize, &routes::target::Server)| {
        let weight = if weighted { format!(" (weight {})", server.weight) } else { String::new() };
        let backup = if server.backup { " (backup)" } else { "" };
        fact(if index == 0 { "servers" } else { "" }, format!("{server}{weight}{backup}"))
    };
    let mut facts: Vec<Fact> = upstream.servers.iter().enumerate().map(server).collect();
    if upstream.servers.len() > 1 {
        facts.push(fact("balance", upstream.balance.to_string()));
    }
    facts.push(fact("health", health(upstream)));
    if let Some(eject) = &upstream.eject.filter(|_| upstream.servers.len() > 1) {
        let value = format!("after {} failures in a row, for {:?} and longer each time", eject.after, eject.time);
        facts.push(fact("eject", value));
    }
    if upstream.servers.len() > 1 {
        let on: Vec<_> = upstream.retries.on.iter().map(|on| on.as_str()).collect();
        let on = if on.is_empty() || upstream.retries.attempts == 0 { "never".to_owned() } else { on.join(", ") };
        facts.push(fact("retries", format!("{on}; at most {} more", upstream.retries.attempts)));
    }
    facts.push(fact("http", http(upstream.http)));
    let timeouts = &upstream.timeouts;
    let (connect, first_byte, idle) = (time(timeouts.connect), time(timeouts.first_byte), time(timeouts.idle));
    facts.push(fact("timeouts", format!("connect {connect}, first byte {first_byte}, idle {idle}")));
    facts.push(fact(
        "Host",
        match host {
            HostHeader::Keep => "as the client sent it".to_owned(),
            HostHeader::Upstream => "the server's own".to_owned(),
            HostHeader::Literal(literal) => literal.clone(),
        },
    ));
    if !upstream.tls.verify {
        facts.push(fact("tls", "the certificate of the server is NOT verified"));
    }
    facts
}

/// What checks have to say about the servers.
fn health(upstream: &Upstream) -> String {
    let Some(health) = &upstream.health else { return "judged by requests alone".to_owned() };
    let asked = match &health.probe {
        Probe::Connect => "a connection".to_owned(),
        Probe::Postgres => "an answer to SSLRequest".to_owned(),
        Probe::Get { path, status } => format!("GET {path} answered with {status}"),
    };
    let (every, timeout) = (health.every, health.timeout);
    let slow = upstream.slow_start;
    let slow = if slow.is_zero() { String::new() } else { format!(", then with a share that grows for {slow:?}") };
    format!(
        "{asked} every {every:?} within {timeout:?}; down after {}, up after {}{slow}; when all are down, 503 without a try",
        health.down_after, health.up_after
    )
}

fn of_redirect(redirect: &Redirect, url: &Url) -> Fact {
    let scheme = if url.tls { "https" } else { "http" };
    let original = Original { scheme, host: &url.host, path: &url.path, query: url.query.as_deref() };
    fact("redirect", format!("{} to {}", redirect.status, redirect.to.render(&original)))
}

fn of_respond(respond: &Respond) -> Fact {
    fact("respond", format!("{} with {} bytes of {}", respond.status, respond.body.len(), respond.content_type))
}

fn http(version: HttpVersion) -> &'static str {
    match version {
        HttpVersion::Auto => "HTTP/2 where TLS agrees on it, else HTTP/1.1",
        HttpVersion::One => "HTTP/1.1",
        HttpVersion::Two => "HTTP/2",
        HttpVersion::H2c => "HTTP/2 in clear",
    }
}

fn time(limit: Option<Duration>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| format!("{limit:?}"))
}
