//! Shows pages of your own for errors of the edge (no server can be reached, a login is needed, too many requests ..), and
//! with `servers = true` for those of the servers too. The status stays, and so do all fields that do not describe the body.
//!
//! ```toml
//! [middleware.pages]
//! kind = "error-pages"
//! text = { 404 = "<h1>Not here</h1><p>{request_id}</p>", "500-599" = "<h1>{status} {reason}</h1>" }
//! # file = { "5xx" = "errors/down.html" }     # relative to the folder of edge.toml
//! ```
//!
//! A key is a status, a range such as `500-599`, or `4xx`; the narrowest that fits is taken. In a page `{status}`,
//! `{reason}`, `{host}` and `{request_id}` are replaced, safely for HTML; other braces stay as they are. Files are read when
//! the route is loaded, at most 1 MiB each: a reload takes those that have changed.
//!
//! Only clients that accept `text/html` by name get a page; programs keep the plain or JSON answer. Errors that happen
//! before a route's middlewares run (an unknown host, a malformed request) or in a middleware before this one have no
//! page, so put it first. An error of a server without a body, as `Content-Length: 0` says, stays without one.

mod page;

use std::fs;
use std::io::Read as _;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use self::page::{Facts, Page, Statuses};
use super::{BodyFault, BodyFilter, BuildError, Building, Kind, Middleware, Reply};

/// The middleware.
#[derive(Debug)]
pub struct ErrorPages {
    /// The narrowest first.
    pages: Vec<(Statuses, Page)>,
    servers: bool,
}

/// What was written.
#[derive(Debug)]
pub struct Settings {
    pages: Vec<(Statuses, Source)>,
    servers: bool,
}

/// Where a page comes from.
#[derive(Debug)]
enum Source {
    Text(String),
    File(String),
}

impl Source {
    fn file(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::File(path) => Some(path),
        }
    }
}

/// The most bytes of a file.
const LARGEST: u64 = 1 << 20;

/// Fields that describe the body that goes.
const OF_BODY: [HeaderName; 10] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::CONTENT_DISPOSITION,
    header::CONTENT_RANGE,
    header::ACCEPT_RANGES,
    header::ETAG,
    header::LAST_MODIFIED,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
];

impl Kind for ErrorPages {
    const NAME: &'static str = "error-pages";
    const KEYS: &'static [Key] = &[
        Key::new("text", Shape::Map(&Shape::Text("HTML")), "Pages by status, as they are."),
        Key::new("file", Shape::Map(&Shape::Text("a path")), "Pages by status, each in a file."),
        Key::new("servers", Shape::Bool, "Whether errors of the servers get pages too.").default("false"),
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        let mut pages: Vec<(Statuses, Source)> = Vec::new();
        for key in ["text", "file"] {
            let Some(table) = item.get(key) else { continue };
            for (statuses, value) in table.entries() {
                let (Some(statuses), Some(text)) = (self::statuses(statuses, &value, reading), value.as_str()) else {
                    continue;
                };
                if pages.iter().any(|(known, _)| *known == statuses) {
                    reading.faults.push(value.key_fault("there are two pages for the same errors").hint("keep one"));
                }
                if key == "file" {
                    reading.file(&value);
                }
                let source = if key == "file" { Source::File } else { Source::Text };
                pages.push((statuses, source(text.to_owned())));
            }
        }
        if pages.is_empty() && !reading.faults.has_errors() {
            let fault = item.fault("there is no page");
            reading
                .faults
                .push(fault.hint("write text = { 404 = \"..\" } or file = { \"5xx\" = \"errors/down.html\" }"));
        }
        let servers = item.get("servers").and_then(|item| item.as_bool()).unwrap_or(false);
        Some(Settings { pages, servers })
    }

    fn files(settings: &Settings) -> Vec<&str> {
        let sources = settings.pages.iter().map(|(_, source)| source);
        sources.filter_map(Source::file).collect()
    }

    fn build(settings: Settings, building: &Building<'_>) -> Result<Self, BuildError> {
        let mut pages = Vec::new();
        for (statuses, source) in settings.pages {
            let text = match source {
                Source::Text(text) => text,
                Source::File(path) => file(&path, building)?,
            };
            pages.push((statuses, Page::parse(&text)));
        }
        pages.sort_by_key(|(statuses, _)| statuses.width());
        Ok(Self { pages, servers: settings.servers })
    }
}

fn statuses(text: &str, at: &Item<'_>, reading: &mut Reading<'_>) -> Option<Statuses> {
    let statuses = Statuses::parse(text);
    if statuses.is_none() {
        let fault = at.key_fault(format!("`{text}` is not an error status"));
        reading.faults.push(fault.hint("a status from 400 to 599 as in 404, a range as in \"500-599\", or \"4xx\""));
    }
    statuses
}

fn file(path: &str, building: &Building<'_>) -> Result<String, BuildError> {
    let path = building.path(path);
    let mut text = String::new();
    let read = fs::File::open(&path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > LARGEST => Err(building.error(format!("{} is larger than 1 MiB", path.display()))),
        Ok(_) => Ok(text),
        Err(error) => Err(building.error(format!("{} cannot be read: {error}", path.display()))),
    }
}

impl Middleware for ErrorPages {
    fn reply(&self, reply: &mut Reply<'_>) {
        let Some(page) = self.page(reply) else { return };
        // A cache keeps both, this one and the one that is left alone.
        vary(reply);
        if !accepts_html(reply) {
            return;
        }
        let facts = Facts {
            status: reply.status.as_u16(),
            reason: reply.status.canonical_reason().unwrap_or("Error"),
            host: reply.to.host,
            request_id: reply.to.request_id,
        };
        let page = page.render(&facts);
        let mut fields = reply.headers();
        for name in OF_BODY {
            if fields.has(&name) {
                fields.remove(name);
            }
        }
        fields.set(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        reply.filter_body(Box::new(Instead { page: Some(page.into()) }));
    }
}

impl ErrorPages {
    /// The page of this answer for those who accept one.
    fn page(&self, reply: &mut Reply<'_>) -> Option<&Page> {
        if reply.from_server && (!self.servers || *reply.to.method == Method::HEAD || is_empty(reply)) {
            return None;
        }
        self.of(reply.status).filter(|_| reply.to.headers.get(header::UPGRADE).is_none())
    }

    fn of(&self, status: StatusCode) -> Option<&Page> {
        self.pages.iter().find(|(statuses, _)| statuses.contain(status.as_u16())).map(|(_, page)| page)
    }
}

/// Says that the answer depends on what the client accepts, unless it does already.
fn vary(reply: &mut Reply<'_>) {
    let says = |value: &HeaderValue| {
        let mut words = value.to_str().unwrap_or_default().split(',').map(str::trim);
        words.any(|word| word.eq_ignore_ascii_case("accept") || word == "*")
    };
    let mut fields = reply.headers();
    if !fields.all(&header::VARY).into_iter().any(says) {
        fields.append(header::VARY, HeaderValue::from_static("Accept"));
    }
}

/// Whether the server said that no body follows: there is no way to add one then.
fn is_empty(reply: &mut Reply<'_>) -> bool {
    reply.headers().text(&header::CONTENT_LENGTH) == Some("0")
}

/// Whether the client names HTML among what it takes: a browser does, a program rarely.
fn accepts_html(reply: &Reply<'_>) -> bool {
    let values = reply.to.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
    })
}

/// Sends a page and drops what was to be sent.
struct Instead {
    page: Option<Bytes>,
}

impl BodyFilter for Instead {
    fn chunk(&mut self, _: Option<Bytes>, _: bool) -> Result<Option<Bytes>, BodyFault> {
        Ok(self.page.take())
    }
}

#[cfg(test)]
mod tests;
