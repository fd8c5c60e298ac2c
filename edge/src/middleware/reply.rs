//! The head of an answer as a middleware sees it, on its way back to the client.

use http::{HeaderMap, StatusCode};

use super::ask::{Asker, Done};
use super::body::BodyFilter;
use super::fields::{Edit, Fields};

/// An answer before it leaves.
pub struct Reply<'a> {
    /// The request that it answers, as it came.
    pub to: Asker<'a>,
    /// What was done with the request.
    pub done: &'a mut Done,
    /// The status; may be changed.
    pub status: StatusCode,
    /// Whether a server made it; else the edge itself did.
    pub from_server: bool,
    /// The host and port of the server that made it, for who rewrites places that name it.
    pub server: Option<&'a str>,
    /// The fields as they came.
    pub base: &'a HeaderMap,
    /// Changes of them.
    pub edits: Vec<Edit>,
}

impl Reply<'_> {
    /// The fields with all changes so far.
    pub fn headers(&mut self) -> Fields<'_> {
        Fields::new(self.base, &mut self.edits)
    }

    /// Has the body go through `filter`, which may change its length: `Content-Length` is dropped.
    pub fn filter_body(&mut self, filter: Box<dyn BodyFilter>) {
        self.done.response_body.push(filter);
        self.headers().remove(http::header::CONTENT_LENGTH);
    }
}
