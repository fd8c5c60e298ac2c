//! A request as a middleware sees it, and what middlewares have done with it.

use std::any::Any;
use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use routes::path::Canonical;

use super::body::BodyFilter;
use super::fields::{Edit, Fields};
use super::flow::Flow;
use crate::telemetry::Refusal;

/// Who asks for what, as it came. Nothing in it changes on its way.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// The method.
    pub method: &'a Method,
    /// `http` or `https`, as the client spoke it.
    pub scheme: &'static str,
    /// The canonical host.
    pub host: &'a str,
    /// The host as the client wrote it, with its port.
    pub authority: &'a str,
    /// The raw path.
    pub path: &'a str,
    /// The raw query without its `?`.
    pub query: Option<&'a str>,
    /// The header fields.
    pub headers: &'a HeaderMap,
    /// Who asks, as far as trusted proxies tell.
    pub client: IpAddr,
    /// The name of the route.
    pub route: &'a str,
    /// The name of the request in logs.
    pub request_id: &'a str,
    /// Whether a body is still to come.
    pub has_body: bool,
}

/// Is told the method, the raw path and query, and the header fields that a server gets.
pub type OnSent = Box<dyn FnOnce(&Method, &str, &HeaderMap) + Send + Sync>;

/// What middlewares have done with one request. It lives until the request ends.
#[derive(Default)]
pub struct Done {
    /// How many steps have seen the request: those see its answer.
    pub reached: usize,
    /// Changes of the header fields that the server will see.
    pub edits: Vec<Edit>,
    /// The path and query that the server will see, if not those of the client.
    pub target: Option<String>,
    /// Who asks, once a login was checked: for logs, limits and the server.
    pub user: Option<String>,
    /// Fields with the credential of a checked login that the server does not see.
    pub credentials: Vec<HeaderName>,
    /// The most bytes of a body, if fewer than those of the route.
    pub body_limit: Option<u64>,
    /// The least bytes per second of a body, if not those of the route.
    pub min_rate: Option<Option<u64>>,
    /// What is given back when the request ends, such as a place in a queue.
    pub held: Vec<Box<dyn Any + Send + Sync>>,
    /// What a step wants to know again when it sees the answer.
    pub notes: http::Extensions,
    /// Who wants to know the head that is sent to the server, once it is sent for the first time.
    pub on_sent: Vec<OnSent>,
    /// What the body of the request goes through.
    pub request_body: Vec<Box<dyn BodyFilter>>,
    /// What the body of the answer goes through.
    pub response_body: Vec<Box<dyn BodyFilter>>,
}

/// A request before a step.
pub struct Ask<'a> {
    /// As it came.
    pub from: Asker<'a>,
    /// What was done with it so far.
    pub done: &'a mut Done,
}

impl Ask<'_> {
    /// The header fields with all changes so far.
    pub fn headers(&mut self) -> Fields<'_> {
        Fields::new(self.from.headers, &mut self.done.edits)
    }

    /// The text of a field of the request with all changes so far, if it is there and is text.
    pub fn text(&mut self, name: &HeaderName) -> Option<String> {
        self.headers().text(name).map(str::to_owned)
    }

    /// Sets a field for the server.
    pub fn set_header(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers().set(name, value);
    }

    /// The raw path and query that the server will see.
    pub fn target(&self) -> (&str, Option<&str>) {
        match self.done.target.as_deref() {
            Some(target) => match target.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (target, None),
            },
            None => (self.from.path, self.from.query),
        }
    }

    /// The canonical reading of the path that the server will see.
    pub fn path(&self) -> Canonical<'_> {
        Canonical::read(self.target().0.as_bytes())
    }

    /// Changes the raw path that the server will see; the query stays.
    pub fn set_path(&mut self, path: &str) {
        let target = match self.target().1 {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        self.done.target = Some(target);
    }

    /// Allows no more bytes of a body than this, however many the route and others allow.
    ///
    /// # Errors
    /// The refusal, when the request says already that it has more.
    pub fn limit_body(&mut self, most: u64) -> Result<(), Flow> {
        let length = self.from.headers.get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > most) {
            return Err(Flow::refuse(Refusal::BodyTooLarge));
        }
        self.done.body_limit = Some(self.done.body_limit.map_or(most, |limit| limit.min(most)));
        Ok(())
    }

    /// Keeps something until the request ends.
    pub fn hold(&mut self, held: impl Any + Send + Sync) {
        self.done.held.push(Box::new(held));
    }
}
