//! Collects bodies in memory and passes them on in one piece: of requests with `max_request`, of answers with
//! `max_answer`. It is off unless a route uses it, and few need it: bodies otherwise flow piece by piece.
//!
//! ```toml
//! [middleware.whole]
//! kind = "buffer"
//! max_request = "1MiB"
//! max_answer = "256KiB"
//! ```
//!
//! A request body larger than `max_request` is refused with 413; so is that of a stream (gRPC, NDJSON and the like), which
//! is not collected. What it cannot do: the server is connected and has the head of the request before the body is
//! complete, so a slow client still takes a connection of the server, and a server with one thread a connection a thread;
//! `min-rate` is the remedy there. What it does: the server never gets a part of a body and then a break, as a client that
//! goes away before the end sends it nothing; and it reads the body at once.
//!
//! An answer larger than `max_answer` is passed on as it comes from that size on; event streams and other answers that say
//! that they are streams never wait. A server that breaks off within `max_answer` has sent no body yet, but its head has left.

use bytes::{Bytes, BytesMut};
use http::header;
use routes::document::Item;
use routes::shape::{Key, Shape};
use routes::world::{Needs, Reading};

use super::body_limit::size;
use super::compress::is_stream;
use super::{Ask, BodyFault, BodyFilter, BuildError, Building, Flow, Kind, Middleware, Reply};

/// The middleware.
#[derive(Debug)]
pub struct Buffer {
    max_request: Option<u64>,
    max_answer: Option<usize>,
}

/// The most that one request may take of memory each way.
const LARGEST: u64 = 64 << 20;

impl Kind for Buffer {
    const NAME: &'static str = "buffer";
    const KEYS: &'static [Key] = &[
        Key::new("max_request", Shape::Bytes, "Request bodies are collected; larger ones are refused. At most 64 MiB."),
        Key::new("max_answer", Shape::Bytes, "Answers are collected up to this size. At most 64 MiB."),
    ];
    type Settings = Buffer;

    fn read(item: &Item<'_>, reading: &mut Reading<'_>) -> Option<Buffer> {
        let mut limit = |key: &str| {
            let given = item.get(key)?;
            let size = size(&given, reading)?;
            if size > LARGEST {
                let fault = given.fault("it would be held in memory for each request: at most 64MiB");
                reading.faults.push(fault.hint("for example \"1MiB\""));
            }
            Some(size)
        };
        let (max_request, max_answer) = (limit("max_request"), limit("max_answer"));
        if item.get("max_request").is_none() && item.get("max_answer").is_none() {
            let fault = item.fault("nothing is collected");
            reading.faults.push(fault.hint("write `max_request`, `max_answer` or both"));
        }
        Some(Buffer { max_request, max_answer: max_answer.and_then(|size| usize::try_from(size).ok()) })
    }

    fn needs(_: &Self::Settings) -> Needs {
        Needs { servers: true, ..Needs::default() }
    }

    fn build(settings: Buffer, _: &Building<'_>) -> Result<Self, BuildError> {
        Ok(settings)
    }
}

impl Middleware for Buffer {
    fn request(&self, ask: &mut Ask<'_>) -> Flow {
        // What an upgraded connection carries comes behind a handshake that has no body.
        let Some(max) = self.max_request.filter(|_| ask.from.has_body) else { return Flow::Next };
        // Before anything else that the client says: no word of it may switch the limit off.
        if let Err(refusal) = ask.limit_body(max) {
            return refusal;
        }
        let kind = ask.from.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // A call of gRPC is a talk in both directions.
        if !is_stream(kind) {
            ask.done.request_body.push(Box::new(Collected { held: BytesMut::new(), most: usize::MAX }));
        }
        Flow::Next
    }

    fn reply(&self, reply: &mut Reply<'_>) {
        let Some(most) = self.max_answer.filter(|_| reply.from_server && reply.status != 101) else { return };
        if !is_stream(reply.headers().text(&header::CONTENT_TYPE).unwrap_or_default()) {
            // The length stays what it is.
            reply.done.response_body.push(Box::new(Collected { held: BytesMut::new(), most }));
        }
    }
}

/// Holds a body back until its end, or until it has become too large.
struct Collected {
    held: BytesMut,
    most: usize,
}

impl BodyFilter for Collected {
    fn chunk(&mut self, chunk: Option<Bytes>, end: bool) -> Result<Option<Bytes>, BodyFault> {
        let length = chunk.as_ref().map_or(0, Bytes::len);
        if self.held.len() + length > self.most {
            self.most = 0;
        }
        if self.held.is_empty() && (end || self.most == 0) {
            return Ok(chunk);
        }
        self.held.extend_from_slice(chunk.as_deref().unwrap_or_default());
        let is_due = (end || self.most == 0) && !self.held.is_empty();
        Ok(is_due.then(|| std::mem::take(&mut self.held).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Request, ask, faults, get, made, reply};
    use super::super::{Asker, Done, through};
    use super::*;

    fn pieces(filters: &mut [Box<dyn BodyFilter>], pieces: &[&'static str]) -> Vec<Option<String>> {
        let last = pieces.len() - 1;
        let text = |bytes: Option<Bytes>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).expect("text"));
        let send = |(index, piece): (usize, &&'static str)| {
            let piece = (!piece.is_empty()).then(|| Bytes::from_static(piece.as_bytes()));
            text(through(filters, piece, index == last).expect("it never fails"))
        };
        pieces.iter().enumerate().map(send).collect()
    }

    fn asked(settings: &str, request: &Request) -> Done {
        let mut done = Done::default();
        let from = Asker { has_body: true, ..request.asker() };
        assert!(matches!(made("buffer", settings).request(&mut Ask { from, done: &mut done }), Flow::Next));
        done
    }

    #[test]
    fn a_request_body_passes_in_one_piece() {
        let mut done = asked("max_request = \"10B\"", &get("/"));
        assert_eq!(done.body_limit, Some(10));
        assert_eq!(pieces(&mut done.request_body, &["abc", "def", ""]), [None, None, Some("abcdef".into())]);
        let mut done = asked("max_request = \"10B\"", &get("/"));
        assert_eq!(pieces(&mut done.request_body, &["abc"]), [Some("abc".into())]);
    }

    #[test]
    fn no_field_of_a_client_switches_the_limit_off() {
        let upgrades = ["websocket", "x"].map(|protocol| (get("/").header("upgrade", protocol), 1));
        let streams = ["application/grpc", "text/event-stream"].map(|kind| (get("/").header("content-type", kind), 0));
        for (request, collecting) in upgrades.into_iter().chain(streams) {
            let done = asked("max_request = \"10B\"", &request);
            assert_eq!((done.body_limit, done.request_body.len()), (Some(10), collecting), "{request:?}");
        }
        let handshake = get("/").header("upgrade", "websocket").header("connection", "upgrade");
        let (_, done) = ask(&made("buffer", "max_request = \"10B\""), &handshake);
        assert!(done.body_limit.is_none() && done.request_body.is_empty(), "a tunnel is no body");
    }

    #[test]
    fn an_answer_that_grows_too_large_flows_from_there_on() {
        let middleware = made("buffer", "max_answer = \"5B\"");
        let answered = |kind: &str| {
            let mut done = Done::default();
            reply(&middleware, &get("/"), &mut done, 200, &[("content-type", kind), ("content-length", "9")]);
            done.response_body
        };
        let found = pieces(&mut answered("text/plain"), &["abc", "def", "g", "hi", ""]);
        assert_eq!(found, [None, Some("abcdef".into()), Some("g".into()), Some("hi".into()), None]);
        assert_eq!(pieces(&mut answered("text/plain"), &["abc", "de", ""]), [None, None, Some("abcde".into())]);
        assert!(answered("text/event-stream").is_empty());
    }

    #[test]
    fn limits_that_are_none_or_too_large_are_faults() {
        for settings in ["", "max_request = \"none\"", "max_answer = \"65MiB\""] {
            assert_eq!(faults("buffer", settings).len(), 1, "{settings}");
        }
    }
}
