//! What a middleware decides about a request.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode};

use crate::telemetry::Refusal;

/// What becomes of a request after a step.
#[derive(Debug)]
pub enum Flow {
    /// The next step sees it, at last the target of the route.
    Next,
    /// The step needs time: its [`wait`](super::Middleware::wait) says what becomes of it.
    Wait,
    /// It is answered.
    Answer(Box<Answer>),
    /// It is refused.
    Refuse(Box<Denial>),
}

/// An answer that a middleware makes.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The fields; the length is added.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

/// A refusal with what it has to say.
#[derive(Debug, Clone)]
pub struct Denial {
    /// The reason: status, label and words.
    pub reason: Refusal,
    /// What else the client may know, never text of the request.
    pub detail: Option<String>,
    /// More fields of the answer, such as `WWW-Authenticate` or `Retry-After`.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Flow {
    /// An answer without a body.
    pub fn answer(status: StatusCode, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self::Answer(Box::new(Answer { status, headers, body: Bytes::new() }))
    }

    /// A refusal with nothing more to say.
    pub fn refuse(reason: Refusal) -> Self {
        Self::from(Denial::new(reason))
    }
}

impl Denial {
    /// A refusal with nothing more to say.
    pub fn new(reason: Refusal) -> Self {
        Self { reason, detail: None, headers: Vec::new() }
    }

    /// With a sentence for the client, never text of the request.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// With one more field of the answer.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl From<Denial> for Flow {
    fn from(denial: Denial) -> Self {
        Self::Refuse(Box::new(denial))
    }
}
