//! The copy of one request: collected while the original passes, sent by a task of its own.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use crate::middleware::client::{CallError, Client};
use crate::middleware::{BodyFault, BodyFilter};
use crate::tasks::Tasks;
use crate::telemetry::{Mirrored, RouteMetrics};

/// Who sends copies, and where to.
#[derive(Debug)]
pub(super) struct Copies {
    client: Client,
    to: String,
    task: Arc<str>,
    metrics: RouteMetrics,
    /// Made by the first request: its runtime is theirs.
    tasks: OnceLock<Tasks>,
}

/// A copy that is being made. It is sent when both its head and its body are known.
#[derive(Debug, Clone)]
pub(super) struct Copy {
    copies: Arc<Copies>,
    parts: Arc<Mutex<Parts>>,
}

#[derive(Debug)]
struct Parts {
    head: Option<(Method, String, HeaderMap)>,
    body: BytesMut,
    is_whole: bool,
    /// Gone once the copy has been sent or given up.
    place: Option<OwnedSemaphorePermit>,
}

/// Fields of the connection that the original came on.
const HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

impl Copies {
    pub(super) fn new(client: Client, to: String, route: &str, metrics: RouteMetrics) -> Self {
        Self { client, to, task: format!("mirror {route}").into(), metrics, tasks: OnceLock::new() }
    }

    pub(super) fn count(&self, result: Mirrored) {
        self.metrics.mirrored(result);
    }

    /// Sends a copy in the background. The place is given back when it was answered.
    fn send(&self, head: (Method, String, HeaderMap), body: Bytes, place: OwnedSemaphorePermit) {
        let (method, target, fields) = head;
        let (Ok(uri), Ok(runtime)) = (format!("{}{target}", self.to).parse::<Uri>(), Handle::try_current()) else {
            return self.count(Mirrored::Failed);
        };
        let (client, metrics) = (self.client.clone(), self.metrics.clone());
        let tasks = self.tasks.get_or_init(|| Tasks::new(runtime));
        tasks.spawn(Arc::clone(&self.task), |stop| async move {
            let _place = place;
            match stop.run_until_cancelled(client.send(method, &uri, fields, body)).await {
                // Nobody reads the answer: a long one is as good as any.
                Some(Ok(_) | Err(CallError::TooLong { .. })) => metrics.mirrored(Mirrored::Sent),
                Some(Err(error)) => {
                    tracing::debug!(%error, "a copy of a request could not be sent");
                    metrics.mirrored(Mirrored::Failed);
                }
                None => metrics.mirrored(Mirrored::Failed),
            }
        });
    }
}

impl Drop for Copies {
    fn drop(&mut self) {
        if let Some(tasks) = self.tasks.get() {
            tasks.stop();
        }
    }
}

impl Copy {
    pub(super) fn new(copies: Arc<Copies>, place: OwnedSemaphorePermit) -> Self {
        let parts = Parts { head: None, body: BytesMut::new(), is_whole: false, place: Some(place) };
        Self { copies, parts: Arc::new(Mutex::new(parts)) }
    }

    /// The head is known: what the server gets.
    pub(super) fn sent(&self, method: &Method, target: &str, fields: &HeaderMap, host: &str) {
        let mut fields = fields.clone();
        HOP.iter().for_each(|name| drop(fields.remove(name)));
        if let (false, Ok(host)) = (fields.contains_key(header::HOST), HeaderValue::from_str(host)) {
            fields.insert(header::HOST, host);
        }
        self.change(|parts| parts.head = Some((method.clone(), target.to_owned(), fields)));
    }

    /// The body is complete.
    pub(super) fn end_body(&self) {
        self.change(|parts| parts.is_whole = true);
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        if !parts.is_whole || parts.head.is_none() {
            return;
        }
        if let (Some(head), Some(place)) = (parts.head.take(), parts.place.take()) {
            let body = std::mem::take(&mut parts.body).freeze();
            self.copies.send(head, body, place);
        }
    }
}

/// Copies a body on its way.
#[derive(Debug)]
pub(super) struct Collect {
    /// Gone once it has been given up.
    copy: Option<Copy>,
    most: usize,
}

impl Collect {
    pub(super) fn new(copy: Copy, most: usize) -> Self {
        Self { copy: Some(copy), most }
    }
}

impl BodyFilter for Collect {
    fn chunk(&mut self, chunk: Option<Bytes>, end: bool) -> Result<Option<Bytes>, BodyFault> {
        let Some(copy) = &self.copy else { return Ok(chunk) };
        let mut fits = true;
        copy.change(|parts| {
            let bytes = chunk.as_deref().unwrap_or_default();
            fits = parts.body.len() + bytes.len() <= self.most;
            if fits {
                parts.body.extend_from_slice(bytes);
                parts.is_whole = end;
            } else {
                (parts.body, parts.place) = (BytesMut::new(), None);
            }
        });
        if !fits {
            copy.copies.count(Mirrored::TooLarge);
            self.copy = None;
        }
        Ok(chunk)
    }
}
