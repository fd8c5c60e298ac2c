//! What would happen to a connection that is no request: of PostgreSQL, of another protocol over TCP, or over TLS beside
//! HTTPS. From the files alone.

use std::net::IpAddr;

use routes::stream::{Mode, StreamTable, Streams, Tcp};
use routes::world::Protocol;
use serde::Serialize;

use super::row;
use super::url::Url;
use crate::cli::out::{Out, Style};
use crate::config::{Config, Entrypoint};

/// Everything about one connection.
#[derive(Debug, Serialize)]
pub(super) struct StreamAnswer {
    entrypoint: String,
    protocol: &'static str,
    listen: Vec<String>,
    host: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// The `[[tcp]]` routes of the entrypoint, in the order of their files.
    routes: Vec<Tried>,
    /// What the one that takes it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    winner: Option<Winner>,
}

#[derive(Debug, Serialize)]
struct Tried {
    name: String,
    place: String,
    why: &'static str,
}

#[derive(Debug, Serialize)]
struct Winner {
    name: String,
    tls: &'static str,
    servers: Vec<String>,
    /// Why the client is refused all the same, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl StreamAnswer {
    /// The answer, if the URL leads to such a connection and not to a request.
    pub(super) fn of(url: &Url, from: IpAddr, table: &StreamTable, config: &Config) -> Option<Self> {
        let entrypoint = entrypoint(url, table, config)?;
        let streams = table.entrypoint(&entrypoint.name);
        let is_postgres = entrypoint.protocol == Protocol::Postgres;
        let database = Some(url.path.trim_start_matches('/').to_owned()).filter(|name| is_postgres && !name.is_empty());
        let user = url.user.clone().filter(|_| is_postgres);
        let (winner, routes) = match streams {
            Some(streams) => tried(streams, url, database.as_deref(), user.as_deref()),
            None => (None, Vec::new()),
        };
        let winner = winner.map(|route| Winner {
            name: route.name.clone(),
            tls: tls_words(route.mode),
            servers: route.upstream.servers.iter().map(ToString::to_string).collect(),
            refused: (!route.ip.admits(from)).then(|| format!("`ip` of the route keeps {from} out")),
        });
        Some(Self {
            entrypoint: entrypoint.name.clone(),
            protocol: entrypoint.protocol.as_str(),
            listen: entrypoint.listen.iter().map(ToString::to_string).collect(),
            host: url.host.clone(),
            database,
            user,
            routes,
            winner,
        })
    }

    pub(super) fn is_served(&self) -> bool {
        self.winner.as_ref().is_some_and(|winner| winner.refused.is_none())
    }

    pub(super) fn write(&self, out: &mut Out) {
        let database = self.database.as_ref().map(|name| format!(", database {name}")).unwrap_or_default();
        let user = self.user.as_ref().map(|name| format!(", user {name}")).unwrap_or_default();
        out.line(out.paint(Style::Bold, format!("{}{database}{user}", self.host)));
        row(out, "entrypoint", &format!("{} ({}, {})", self.entrypoint, self.listen.join(", "), self.protocol));
        let width = self.routes.iter().map(|route| route.name.chars().count()).max().unwrap_or(0);
        for (index, route) in self.routes.iter().enumerate() {
            let won = self.winner.as_ref().is_some_and(|winner| winner.name == route.name);
            let line =
                format!("{} {:width$}  {}  {}", if won { "->" } else { "  " }, route.name, route.place, route.why);
            let line = if won { out.paint(Style::Green, line) } else { line };
            row(out, if index == 0 { "routes" } else { "" }, &line);
        }
        let Some(winner) = &self.winner else {
            return row(
                out,
                if self.routes.is_empty() { "routes" } else { "" },
                "none takes the connection: it is closed",
            );
        };
        row(out, "tls", winner.tls);
        for (index, server) in winner.servers.iter().enumerate() {
            row(out, if index == 0 { "servers" } else { "" }, server);
        }
        if let Some(why) = &winner.refused {
            row(out, "refused", &out.paint(Style::Red, why));
        }
    }
}

/// The entrypoint of such a connection: one of another protocol than HTTP, or one of HTTPS for the names of its streams.
fn entrypoint<'c>(url: &Url, table: &StreamTable, config: &'c Config) -> Option<&'c Entrypoint> {
    let on = |entrypoint: &&Entrypoint, port| entrypoint.listen.iter().any(|address| address.port() == port);
    let below = |entrypoint: &&Entrypoint| entrypoint.protocol != Protocol::Http;
    let by_port = url.port.and_then(|port| config.entrypoints.iter().filter(below).find(|one| on(one, port)));
    if by_port.is_some() || url.is_stream {
        let of_scheme = |entrypoint: &&Entrypoint| !url.is_postgres || entrypoint.protocol == Protocol::Postgres;
        return by_port.or_else(|| config.entrypoints.iter().filter(below).find(of_scheme));
    }
    let https = config.entrypoints.iter().filter(|one| one.tls && url.tls);
    let mut https = https.filter(|one| url.port.is_none_or(|port| on(one, port)));
    https.find(|one| table.entrypoint(&one.name).is_some_and(|streams| named(streams, &url.host)))
}

fn named(streams: &Streams, host: &str) -> bool {
    streams.by_sni(Some(host)).iter().any(|route| !route.hosts.is_empty())
}

fn tried<'t>(
    streams: &'t Streams,
    url: &Url,
    database: Option<&str>,
    user: Option<&str>,
) -> (Option<&'t Tcp>, Vec<Tried>) {
    let candidates = streams.by_sni(Some(&url.host));
    let fits = |route: &&std::sync::Arc<Tcp>| match (database, user) {
        // What is not said may be anything: the first of them stands for all.
        (None, None) => true,
        _ => route.takes(database.or(user).unwrap_or_default(), user.unwrap_or_default()),
    };
    let winner = candidates.passthrough().or_else(|| candidates.iter().find(fits));
    let mut all: Vec<_> = streams.iter().collect();
    all.sort_by_key(|route| (&route.file, route.line));
    let why = |route: &Tcp| {
        if winner.is_some_and(|winner| winner.name == route.name) {
            "takes it"
        } else if candidates.iter().any(|candidate| candidate.name == route.name) {
            "is for other databases or users"
        } else {
            "has another host"
        }
    };
    let tried = all.into_iter().map(|route| Tried {
        name: route.name.clone(),
        place: format!("{}:{}", route.file, route.line),
        why: why(route),
    });
    (winner.map(|route| &**route), tried.collect())
}

fn tls_words(mode: Mode) -> &'static str {
    match mode {
        Mode::None => "none: bytes pass as they come",
        Mode::Terminate => "ends at the edge; the server is spoken to in clear",
        Mode::Reencrypt => "ends at the edge; the server is spoken to over TLS again",
        Mode::Passthrough => "passes untouched to the server",
    }
}
