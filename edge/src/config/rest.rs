//! The parts of `edge.toml` that stand alone: `[limits]`, `[log]`, `[dns]`, `[stop]`.

use std::time::Duration;

use routes::document::Item;
use routes::target::is_token;

use super::reader::{Reader, at, text};
use super::settings::{Access, Level, Limits, Log, LogFormat, Redact};
use crate::upstream::NameServers;

const GRACE: Duration = Duration::from_secs(30);

impl Reader<'_> {
    pub(super) fn limits(&mut self, root: &Item<'_>) -> Limits {
        let number = |key| at(root, &["limits", key]).and_then(|item| item.as_integer());
        let size = |key, default| number(key).and_then(|number| usize::try_from(number).ok()).unwrap_or(default);
        let count = |key, default| number(key).and_then(|number| u32::try_from(number).ok()).unwrap_or(default);
        let Limits { client_connections, client_handshakes_per_second, connections, keepalive_requests } =
            Limits::default();
        Limits {
            client_connections: size("client_connections", client_connections),
            client_handshakes_per_second: count("client_handshakes_per_second", client_handshakes_per_second),
            connections: size("connections", connections),
            keepalive_requests: count("keepalive_requests", keepalive_requests),
        }
    }

    pub(super) fn log(&mut self, root: &Item<'_>) -> Log {
        let word = |key| text(root, &["log", key]).map(|(_, word)| word);
        Log {
            level: word("level").and_then(level).unwrap_or_default(),
            format: word("format").and_then(format).unwrap_or_default(),
            access: match word("access") {
                None | Some("stdout") => Access::Stdout,
                Some("off") => Access::Off,
                Some(path) => Access::File(self.path(path)),
            },
            redact: self.redact(root),
        }
    }

    fn redact(&mut self, root: &Item<'_>) -> Vec<Redact> {
        let mut all = Vec::new();
        for item in at(root, &["log", "redact"]).iter().flat_map(Item::items) {
            let Some(text) = item.as_str() else { continue };
            match redacted(text) {
                Some(field) => all.push(field),
                None => {
                    let fault = item.fault(format!("`{text}` is no field of the access log"));
                    self.faults.push(fault.hint("write \"client\", \"query\", \"query:NAME\" or \"header:NAME\""));
                }
            }
        }
        all
    }

    pub(super) fn dns(&mut self, root: &Item<'_>) -> NameServers {
        let items: Vec<_> = at(root, &["dns", "servers"]).iter().flat_map(Item::items).collect();
        let servers: Vec<_> = items.iter().filter_map(|item| self.address(item)).collect();
        if servers.is_empty() { NameServers::System } else { NameServers::Given(servers) }
    }

    pub(super) fn stop_grace(&mut self, root: &Item<'_>) -> Duration {
        at(root, &["stop", "grace"]).and_then(|item| item.as_duration()).unwrap_or(GRACE)
    }
}

fn level(word: &str) -> Option<Level> {
    match word {
        "error" => Some(Level::Error),
        "warn" => Some(Level::Warn),
        "info" => Some(Level::Info),
        "debug" => Some(Level::Debug),
        "trace" => Some(Level::Trace),
        _ => None,
    }
}

fn format(word: &str) -> Option<LogFormat> {
    match word {
        "auto" => Some(LogFormat::Auto),
        "json" => Some(LogFormat::Json),
        "pretty" => Some(LogFormat::Pretty),
        _ => None,
    }
}

fn redacted(text: &str) -> Option<Redact> {
    match text.split_once(':') {
        None if text == "client" => Some(Redact::Client),
        None if text == "query" => Some(Redact::Query),
        Some(("query", name)) if !name.is_empty() => Some(Redact::Parameter(name.to_owned())),
        Some(("header", name)) if is_token(name) => Some(Redact::Header(name.to_ascii_lowercase())),
        _ => None,
    }
}
