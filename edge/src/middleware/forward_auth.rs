//! Has another server decide about each request, as Authelia, Authentik, oauth2-proxy and the like do. It is asked with
//! GET and without a body, whatever the request is, and learns of it in `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri`
//! and `-For`, with the client's `Cookie`, `Authorization`, `Accept`, `Accept-Language`, `User-Agent` and
//! `X-Requested-With`.
//!
//! ```toml
//! [middleware.login]
//! kind = "forward-auth"
//! url = "http://127.0.0.1:9091/api/authz/forward-auth"
//! copy_headers = ["Remote-User", "Remote-Groups", "Remote-Email"]
//! user_from = "Remote-User"
//! ```
//!
//! An answer of 200 to 299 lets the request pass. The fields of `copy_headers` are then what the answer says, or are gone if it
//! does not say them: what a client sends in them never passes. Cookies that the answer sets go to the client with the
//! server's answer. Any other answer below 500, such as a redirect to a login page, goes to the client as it is, with at
//! most 64 KiB of body. If the server cannot be asked, is too slow or fails, the request is refused with 503.
//!
//! The path of `X-Forwarded-Uri` is in the one spelling that rules can be written for: `//` is one slash, `%61` is `a`, and
//! `;parameters` are left out. Paths that can be read in two ways are refused with 400 before anybody is asked; `path_rules`
//! changes both.
//!
//! **oauth2-proxy** is asked at its root, where it is made to answer 202 to who is signed in: it leads everybody else to the
//! provider. `/oauth2/auth`, which its own documents have nginx ask, says a bare 401 that no browser can go on from. What lies
//! below `/oauth2/`, where people come back, is a route of its own without the middleware:
//!
//! ```toml
//! # oauth2-proxy --reverse-proxy --upstream=static://202 --set-xauthrequest --skip-provider-button ..
//! [middleware.sso]
//! kind = "forward-auth"
//! url = "http://127.0.0.1:4180/"
//! copy_headers = ["X-Auth-Request-User", "X-Auth-Request-Email"]
//! user_from = "X-Auth-Request-User"
//!
//! [[route]]
//! host = "app.example.com"
//! upstream = "http://127.0.0.1:3000"
//! use = ["sso"]
//!
//! [[route]]
//! name = "app-sign-in"
//! host = "app.example.com"
//! path = "/oauth2/"
//! upstream = "http://127.0.0.1:4180"
//! ```

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, Uri};
use routes::document::Item;
use routes::path::Canonical;
use routes::shape::{Key, Shape};
use routes::world::{Needs, Reading};

use super::authorization::{drop_field, field_name};
use super::client::{self, CallError, Client};
use super::{Answer, Ask, BuildError, Building, Flow, Kind, Middleware, Reply};
use crate::telemetry::{Provider, Refusal};

/// The middleware.
#[derive(Debug)]
pub struct ForwardAuth {
    settings: Settings,
    client: Client,
    provider: Provider,
}

/// What the keys say.
#[derive(Debug)]
pub struct Settings {
    url: Uri,
    ca_file: Option<String>,
    timeout: Duration,
    request_headers: Vec<HeaderName>,
    copy_headers: Vec<HeaderName>,
    user_from: Option<HeaderName>,
    pass_authorization: bool,
    paths: Paths,
}

/// How paths are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Paths {
    /// In the one spelling that rules can be written for.
    Canonical,
    /// As the client wrote them.
    Raw,
}

const FIELDS: Shape = Shape::OneOrMany(&Shape::Text("a field's name"));

/// The most of an answer's body.
const BODY: usize = 64 * 1024;

/// What the other server always learns of a request.
const ASKED_WITH: [HeaderName; 6] = [
    header::COOKIE,
    header::AUTHORIZATION,
    header::ACCEPT,
    header::ACCEPT_LANGUAGE,
    header::USER_AGENT,
    HeaderName::from_static("x-requested-with"),
];

/// Fields of an answer that belong to its connection or are made anew.
const NOT_PASSED_ON: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("x-request-id"),
];

impl Kind for ForwardAuth {
    const NAME: &'static str = "forward-auth";
    const KEYS: &'static [Key] = &[
        Key::new("url", Shape::Text("an http or https URL"), "Where to ask.").required(),
        Key::new("copy_headers", FIELDS, "Fields of its answer that the server gets.").default("[]"),
        Key::new(
            "user_from",
            Shape::Text("a field's name"),
            "The field of its answer that names the user, for the log.",
        ),
        Key::new("request_headers", FIELDS, "More fields of the request that it gets.").default("[]"),
        Key::new("timeout", Shape::Duration, "How long its whole answer may take.").default("\"5s\""),
        Key::new(
            "ca_file",
            Shape::Text("a file"),
            "PEM file of the authorities that its certificate is checked against.",
        )
        .default("those of the system"),
        Key::new("pass_authorization", Shape::Bool, "Whether the server sees `Authorization` too.").default("true"),
        Key::new(
            "path_rules",
            Shape::Bool,
            "Whether it may decide by the path. Paths that can be read in two ways are refused then; `false` is for routes \
             that need those, and tells it the path as the client wrote it.",
        )
        .default("true"),
    ];
    type Settings = Settings;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Settings> {
        let url = item.get("url").and_then(|item| url(&item, reading));
        let ca_file = item.get("ca_file");
        if let Some(file) = &ca_file {
            reading.file(file);
        }
        let mut names = |key: &str| -> Vec<HeaderName> {
            let given = item.get(key).map(|list| list.one_or_many()).unwrap_or_default();
            given.iter().filter_map(|item| field_name(item, reading)).collect()
        };
        let (request_headers, copy_headers) = (names("request_headers"), names("copy_headers"));
        let user_from = names("user_from").pop();
        let timeout = item.get("timeout").and_then(|item| item.as_duration());
        if timeout.is_some_and(|timeout| timeout.is_zero())
            && let Some(timeout) = item.get("timeout")
        {
            reading.faults.push(timeout.fault("without a limit, requests would wait for it forever").hint("\"5s\""));
        }
        let rules = item.get("path_rules").and_then(|item| item.as_bool()).unwrap_or(true);
        Some(Settings {
            url: url?,
            ca_file: ca_file.and_then(|file| file.as_str().map(str::to_owned)),
            timeout: timeout.unwrap_or(Duration::from_secs(5)),
            request_headers,
            copy_headers,
            user_from,
            pass_authorization: item.get("pass_authorization").and_then(|item| item.as_bool()).unwrap_or(true),
            paths: if rules { Paths::Canonical } else { Paths::Raw },
        })
    }

    fn needs(settings: &Settings) -> Needs {
        // What the other server judges must be what the server behind the edge takes the path for.
        Needs { one_reading: settings.paths == Paths::Canonical, ..Needs::default() }
    }

    fn files(settings: &Settings) -> Vec<&str> {
        settings.ca_file.as_deref().into_iter().collect()
    }

    fn build(settings: Settings, building: &Building<'_>) -> Result<Self, BuildError> {
        let ca_file = settings.ca_file.as_deref().map(|file| building.path(file));
        let client = Client::new(&client::Settings { ca_file, deadline: settings.timeout, body: BODY });
        let client = client.map_err(|error| building.error(error))?;
        Ok(Self { settings, client, provider: building.metrics.provider(building.name) })
    }
}

/// A URL of a server that can be asked.
pub(super) fn url(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Uri> {
    let text = item.as_str()?;
    let uri = text.parse::<Uri>().ok().filter(|uri| {
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        known && uri.authority().is_some_and(|authority| !authority.as_str().contains('@')) && !text.contains('#')
    });
    if uri.is_none() {
        let fault = item.fault(format!("`{text}` is not the URL of a server"));
        reading.faults.push(fault.hint("for example \"http://127.0.0.1:9091/verify\""));
    }
    uri
}

impl Middleware for ForwardAuth {
    fn request(&self, _: &mut Ask<'_>) -> Flow {
        Flow::Wait
    }

    fn wait<'a>(&'a self, ask: &'a mut Ask<'_>) -> BoxFuture<'a, Flow> {
        Box::pin(async move {
            let answer = match self.client.get(&self.settings.url, self.question(ask)).await {
                Ok(answer) => answer,
                Err(error) => return self.unavailable(&error),
            };
            match answer.status().as_u16() {
                200..=299 => self.pass(ask, &answer),
                100..=199 | 500.. => {
                    self.provider.failed(&format!("it answered {}", answer.status()));
                    Flow::refuse(Refusal::AuthUnavailable)
                }
                _ => pass_on(answer),
            }
        })
    }

    fn reply(&self, reply: &mut Reply<'_>) {
        if let Some(Cookies(cookies)) = reply.done.notes.remove() {
            cookies.into_iter().for_each(|cookie| reply.headers().append(header::SET_COOKIE, cookie));
        }
    }
}

/// Cookies that an answer sets, on their way to the client.
#[derive(Clone, Default)]
struct Cookies(Vec<HeaderValue>);

impl ForwardAuth {
    /// The fields that the other server is asked with.
    fn question(&self, ask: &Ask<'_>) -> HeaderMap {
        let from = &ask.from;
        let mut fields = HeaderMap::new();
        for name in ASKED_WITH.iter().chain(&self.settings.request_headers) {
            for value in from.headers.get_all(name) {
                fields.append(name, value.clone());
            }
        }
        let path = match self.settings.paths {
            Paths::Canonical => Canonical::read(from.path.as_bytes()).path,
            Paths::Raw => from.path.into(),
        };
        let query = from.query.map(|query| format!("?{query}")).unwrap_or_default();
        // Last, so that no field of the client stands in for them.
        for (name, value) in [
            ("x-forwarded-method", from.method.as_str()),
            ("x-forwarded-proto", from.scheme),
            ("x-forwarded-host", from.authority),
            ("x-forwarded-uri", &format!("{path}{query}")),
            ("x-forwarded-for", &from.client.to_canonical().to_string()),
            ("x-request-id", from.request_id),
        ] {
            // All of them were checked when the request was read, so that none is lost here.
            match HeaderValue::from_str(value) {
                Ok(value) => drop(fields.insert(HeaderName::from_static(name), value)),
                Err(_) => drop(fields.remove(name)),
            }
        }
        fields
    }

    fn pass(&self, ask: &mut Ask<'_>, answer: &Response<Bytes>) -> Flow {
        if !self.settings.pass_authorization {
            drop_field(ask, &header::AUTHORIZATION);
        }
        for name in &self.settings.copy_headers {
            drop_field(ask, name);
            for value in answer.headers().get_all(name) {
                ask.headers().append(name.clone(), value.clone());
            }
        }
        let user = self.settings.user_from.as_ref().and_then(|name| answer.headers().get(name));
        if let Some(user) = user.and_then(|value| std::str::from_utf8(value.as_bytes()).ok()) {
            ask.done.user = Some(user.to_owned());
        }
        let cookies = answer.headers().get_all(header::SET_COOKIE).iter().cloned();
        let known = ask.done.notes.get_or_insert_default::<Cookies>();
        known.0.extend(cookies);
        Flow::Next
    }

    fn unavailable(&self, error: &CallError) -> Flow {
        self.provider.failed(&error.to_string());
        Flow::refuse(Refusal::AuthUnavailable)
    }
}

/// The answer as the client gets it.
fn pass_on(answer: Response<Bytes>) -> Flow {
    let (head, body) = answer.into_parts();
    let passed = head.headers.iter().filter(|(name, _)| !NOT_PASSED_ON.contains(name));
    let headers = passed.map(|(name, value)| (name.clone(), value.clone())).collect();
    Flow::Answer(Box::new(Answer { status: head.status, headers, body }))
}

#[cfg(test)]
mod tests;
