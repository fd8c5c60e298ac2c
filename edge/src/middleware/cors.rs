//! Lets pages of other origins read answers (CORS, as the Fetch standard says). Preflight requests are answered by the edge
//! with 204; every other answer, also the edge's own refusals behind this middleware, gets the fields that a browser needs
//! to show it. Those that the server sets itself are replaced.
//!
//! ```toml
//! [middleware.pages]
//! kind = "cors"
//! origins = ["https://app.example.com", "https://*.dev.example.com"]
//! methods = ["GET", "POST", "PUT"]
//! headers = ["Authorization", "Content-Type"]
//! credentials = true
//! max_age = "1h"
//! ```
//!
//! Put it first in `use`: a preflight request has no login, and a refusal of a middleware that stands before this one does
//! not get the fields. A preflight of an origin that is not allowed is refused with 403; other requests of such an origin
//! pass without the fields, as browsers then keep the answer from the page. That is no protection of the server:
//! `origin` is.

mod origins;

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::Reading;

use self::origins::Origins;
use super::{Ask, Asker, BuildError, Building, Denial, Fields, Flow, Kind, Middleware, Reply};
use crate::telemetry::Refusal;

pub use self::origins::Origin;

/// The middleware.
#[derive(Debug)]
pub struct Cors {
    origins: Origins,
    methods: HeaderValue,
    headers: Allowed,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

/// Request headers that pages may send.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    /// Those that they ask for.
    Any,
    /// These.
    These(HeaderValue),
}

const MAX_AGE: Duration = Duration::from_secs(3600);

/// What the edge alone says.
const OURS: [HeaderName; 6] = [
    header::ACCESS_CONTROL_ALLOW_ORIGIN,
    header::ACCESS_CONTROL_ALLOW_CREDENTIALS,
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    header::ACCESS_CONTROL_ALLOW_METHODS,
    header::ACCESS_CONTROL_ALLOW_HEADERS,
    header::ACCESS_CONTROL_MAX_AGE,
];

impl Kind for Cors {
    const NAME: &'static str = "cors";
    const KEYS: &'static [Key] = &[
        Key::new(
            "origins",
            Shape::OneOrMany(&Shape::Text("an origin")),
            "Who may: `https://app.example.com`, `https://*.example.com` for all names below, or `*` for everybody.",
        )
        .required(),
        Key::new("methods", Shape::OneOrMany(&Shape::Text("a method")), "Methods that pages may use.")
            .default("[\"GET\", \"HEAD\", \"POST\"]"),
        Key::new(
            "headers",
            Shape::OneOrMany(&Shape::Text("a field's name")),
            "Header fields that pages may send besides the harmless ones; `*` for any.",
        )
        .default("[]"),
        Key::new(
            "expose",
            Shape::OneOrMany(&Shape::Text("a field's name")),
            "Header fields of answers that pages may read besides the harmless ones.",
        )
        .default("[]"),
        Key::new("credentials", Shape::Bool, "Whether pages may send cookies and logins.").default("false"),
        Key::new("max_age", Shape::Duration, "How long a browser may remember a preflight.").default("\"1h\""),
    ];
    type Settings = Cors;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Cors> {
        let credentials = item.get("credentials").and_then(|item| item.as_bool()).unwrap_or(false);
        let origins = origins(&item.get("origins")?, credentials, reading);
        let names =
            |key, reading: &mut Reading<'_>| item.get(key).map(|list| tokens(&list, reading)).unwrap_or_default();
        let methods = names("methods", reading);
        let methods = if methods.is_empty() { "GET, HEAD, POST".to_owned() } else { methods.join(", ") };
        let headers = names("headers", reading);
        let expose = names("expose", reading).join(", ");
        let max_age = item.get("max_age").and_then(|age| age.as_duration()).unwrap_or(MAX_AGE);
        Some(Cors {
            origins: origins?,
            methods: HeaderValue::try_from(methods).ok()?,
            headers: match headers.iter().any(|name| name == "*") {
                true => Allowed::Any,
                false => Allowed::These(HeaderValue::try_from(headers.join(", ")).ok()?),
            },
            expose: if expose.is_empty() { None } else { HeaderValue::try_from(expose).ok() },
            credentials,
            max_age: HeaderValue::from(max_age.as_secs()),
        })
    }

    fn build(settings: Cors, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(settings)
    }
}

fn origins(list: &Item<'_>, credentials: bool, reading: &mut Reading<'_>) -> Option<Origins> {
    let (mut origins, mut all_good) = (Vec::new(), true);
    for item in list.one_or_many() {
        let text = item.as_str()?;
        let fault = match (text, Origin::parse(text)) {
            ("*", _) if credentials => {
                let fault = item.fault("`*` with credentials would let every page act as its visitor");
                fault.hint("name the origins, or leave `credentials` out")
            }
            ("*", _) => return Some(Origins::Any),
            ("null", _) if credentials => {
                let fault = item.fault("`null` is the origin of every sandboxed page: not with credentials");
                fault.hint("leave `credentials` out")
            }
            (_, Some(origin)) => {
                origins.push(origin);
                continue;
            }
            (_, None) => {
                let fault = item.fault(format!("`{text}` is not an origin"));
                fault.hint("a scheme and a host without a path: \"https://app.example.com\"")
            }
        };
        reading.faults.push(fault);
        all_good = false;
    }
    all_good.then_some(Origins::Some(origins))
}

/// Names of methods or fields.
fn tokens(list: &Item<'_>, reading: &mut Reading<'_>) -> Vec<String> {
    let mut names = Vec::new();
    for item in list.one_or_many() {
        let Some(text) = item.as_str() else { continue };
        if !text.is_empty() && text.bytes().all(is_token) {
            names.push(text.to_owned());
        } else {
            reading
                .faults
                .push(item.fault(format!("`{text}` is not a name")).hint("one name without spaces or commas"));
        }
    }
    names
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl Middleware for Cors {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        let is_preflight = *ask.from.method == Method::OPTIONS
            && ask.from.headers.contains_key(header::ORIGIN)
            && ask.from.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        if !is_preflight {
            return Flow::Next;
        }
        let Some(origin) = self.allowed(&ask.from) else { return Denial::new(Refusal::DeniedOrigin).into() };
        let mut fields = vec![
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
            (header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone()),
            (header::ACCESS_CONTROL_MAX_AGE, self.max_age.clone()),
            (
                header::VARY,
                HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
            ),
        ];
        fields.extend(self.allowed_headers(&ask.from).map(|value| (header::ACCESS_CONTROL_ALLOW_HEADERS, value)));
        if self.credentials {
            fields.push((header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true")));
        }
        Flow::answer(StatusCode::NO_CONTENT, fields)
    }

    fn reply(&self, reply: &mut Reply<'_>) {
        // The same for all, also for who names no origin: a cache may give the answer to a page later.
        let same_for_all = self.is_for_everybody();
        let origin = if same_for_all { Some(HeaderValue::from_static("*")) } else { self.allowed(&reply.to) };
        let mut fields = reply.headers();
        for name in OURS {
            if fields.has(&name) {
                fields.remove(name);
            }
        }
        if !same_for_all {
            vary(&mut fields);
        }
        let Some(origin) = origin else { return };
        fields.set(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            fields.set(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        if let Some(expose) = &self.expose {
            fields.set(header::ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }
}

impl Cors {
    /// The origin that the answer names, if the one that asks is allowed.
    fn allowed(&self, from: &Asker<'_>) -> Option<HeaderValue> {
        let mut given = from.headers.get_all(header::ORIGIN).iter();
        let origin = given.next().filter(|_| given.next().is_none())?;
        if self.is_for_everybody() {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.cover(&origin.to_str().ok()?.to_ascii_lowercase()).then(|| origin.clone())
    }

    fn is_for_everybody(&self) -> bool {
        self.origins == Origins::Any
    }

    fn allowed_headers(&self, from: &Asker<'_>) -> Option<HeaderValue> {
        match &self.headers {
            Allowed::These(these) => Some(these.clone()).filter(|these| !these.is_empty()),
            // `*` in the answer does not cover Authorization: what was asked for is said back, if it is a list of names.
            Allowed::Any => {
                let asked = from.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS)?;
                let is_list = asked.as_bytes().iter().all(|byte| is_token(*byte) || b", ".contains(byte));
                is_list.then(|| asked.clone())
            }
        }
    }
}

/// Caches keep an answer for each origin.
fn vary(fields: &mut Fields<'_>) {
    let says = |value: &HeaderValue| {
        let words = value.to_str().unwrap_or_default().split(',').map(str::trim);
        words.into_iter().any(|word| word.eq_ignore_ascii_case("origin") || word == "*")
    };
    if !fields.all(&header::VARY).into_iter().any(says) {
        fields.append(header::VARY, HeaderValue::from_static("Origin"));
    }
}

#[cfg(test)]
mod tests;
