//! HTTP/1 requests that two parsers could read differently: each is refused with its status, its reason is counted, its
//! connection is closed and no server hears of it.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use support::backend::Backend;
use support::edge::TestEdge;
use support::process::eventually;
use support::wire::{Reply, Wire};

struct Rig {
    edge: TestEdge,
    backend: Backend,
}

impl Rig {
    fn new() -> Self {
        let backend = Backend::echo();
        let route = format!(
            "[[route]]\nname = \"app\"\nhost = \"app.test\"\nentrypoint = [\"http\", \"https\"]\nupstream = \"{}\"\n",
            backend.url()
        );
        Self { edge: TestEdge::with_routes(&[("app.toml", &route)]), backend }
    }

    /// Sends `request` and a second one behind it: the first must be refused for `reason` and the second never be read.
    #[track_caller]
    fn refuses(&self, request: &str, status: u16, reason: &str) {
        let before = self.edge.metric_sum("edge_refusals_total", &[&format!("reason=\"{reason}\"")]);
        let reply = self.closes(request);
        assert_eq!(reply.status, status, "{request:?}: {}", reply.text());
        assert!(reply.text().contains("request id: "), "{request:?}: {}", reply.text());
        let after = self.edge.metric_sum("edge_refusals_total", &[&format!("reason=\"{reason}\"")]);
        assert_eq!(after - before, 1.0, "{request:?} is counted as {reason}");
        assert_eq!(self.backend.heads(), Vec::<String>::new(), "{request:?}");
    }

    #[track_caller]
    fn closes(&self, request: &str) -> Reply {
        let mut wire = Wire::http(&self.edge);
        wire.send([request.as_bytes(), b"GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"].concat());
        let reply = wire.answer();
        assert_eq!(wire.rest(), b"", "{request:?}: nothing may follow the refusal");
        reply
    }
}

/// A request with these fields behind its Host.
fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n{body}")
}

#[test]
fn a_body_whose_length_is_stated_twice_or_oddly_is_refused() {
    let rig = Rig::new();
    let chunks = "3\r\nabc\r\n0\r\n\r\n";
    for fields in [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: 3\r\nContent-Length: 5\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: +3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: -1\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551619\r\n",
    ] {
        rig.refuses(&post(fields, chunks), 400, "bad_framing");
    }
    let old = format!("POST / HTTP/1.0\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    rig.refuses(&old, 400, "bad_framing");
}

#[test]
fn malformed_lines_are_refused() {
    let rig = Rig::new();
    for fields in [
        "X: a\nY: b\r\n",
        "X: a\r\n folded\r\n",
        "X: a\rb\r\n",
        "X: a\0b\r\n",
        "X : a\r\n",
        ": a\r\n",
        "nocolon\r\n",
        "X: \u{1}\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding : chunked\r\n",
    ] {
        rig.refuses(&post(fields, ""), 400, "bad_header");
    }
    rig.refuses("GET / HTTP/1.1\nHost: app.test\n\n", 400, "bad_header");
}

#[test]
fn malformed_request_lines_are_refused() {
    let rig = Rig::new();
    let line = |line: &str| format!("{line}\r\nHost: app.test\r\n\r\n");
    for wrong in [
        "GET /a b HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET\t/ HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /#top HTTP/1.1",
        "GET app.test HTTP/1.1",
        "GET * HTTP/1.1",
        "GET ftp://app.test/ HTTP/1.1",
        "get / HTTP/1.1",
        "Get / HTTP/1.1",
        "GET /",
    ] {
        rig.refuses(&line(wrong), 400, "bad_request_line");
    }
    rig.refuses(&line("GET / HTTP/1.2"), 505, "version_not_supported");
    rig.refuses(&line("GET / HTTP/2.0"), 505, "version_not_supported");
    rig.refuses("CONNECT app.test:443 HTTP/1.1\r\nHost: app.test:443\r\n\r\n", 405, "method_not_allowed");
}

#[test]
fn a_request_needs_exactly_one_well_formed_host() {
    let rig = Rig::new();
    for fields in [
        "",
        "Host: app.test\r\nHost: app.test\r\n",
        "Host: app.test\r\nhost: other.test\r\n",
        "Host: \r\n",
        "Host: app test\r\n",
        "Host: user@app.test\r\n",
        "Host: app.test:99999\r\n",
        "Host: app.test:8x\r\n",
        "Host: app.test/path\r\n",
        "Host: [::1\r\n",
        "Host: app..test\r\n",
    ] {
        rig.refuses(&format!("GET / HTTP/1.1\r\n{fields}\r\n"), 400, "bad_host");
    }
    rig.refuses("GET / HTTP/1.0\r\n\r\n", 400, "bad_host");
}

#[test]
fn an_absolute_target_must_agree_with_the_host() {
    let rig = Rig::new();
    let reply = rig.closes("GET http://other.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n");
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.text().contains("request id: "), "{}", reply.text());
    assert_eq!(rig.backend.requests(), 0);
    let mut wire = Wire::http(&rig.edge);
    wire.send("GET http://app.test/x?y HTTP/1.1\r\nHost: app.test\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
    assert_eq!(rig.backend.requests(), 1);
}

#[test]
fn a_chunked_body_in_another_grammar_is_cut_off() {
    let rig = Rig::new();
    for body in [
        "3\nabc\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "3 \r\nabc\r\n0\r\n\r\n",
        "3;x=y\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcX\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "ffffffffffffffff\r\nabc",
        "0\r\nX: 1\n\r\n",
    ] {
        let before = rig.edge.metric_sum("edge_refusals_total", &["reason=\"bad_framing\""]);
        let mut wire = Wire::http(&rig.edge);
        wire.send(post("Transfer-Encoding: chunked\r\n", body));
        wire.send("GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n");
        let all = String::from_utf8_lossy(&wire.rest()).into_owned();
        assert!(all.starts_with("HTTP/1.1 400 "), "{body:?}: {all:?}");
        assert_eq!(all.matches("HTTP/1.1").count(), 1, "{body:?}: {all:?}");
        let counted = || rig.edge.metric_sum("edge_refusals_total", &["reason=\"bad_framing\""]) - before;
        eventually("it is counted", || counted() == 1.0);
    }
    assert!(rig.backend.heads().iter().all(|head| !head.contains("smuggled")));
}

#[test]
fn pipelined_requests_are_answered_one_after_the_other() {
    let rig = Rig::new();
    let mut wire = Wire::http(&rig.edge);
    let one = |target: &str| format!("POST {target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\n\r\nabc");
    wire.send([one("/1"), one("/2"), one("/3")].concat());
    for target in ["/1", "/2", "/3"] {
        let reply = wire.answer();
        assert!(reply.text().starts_with(&format!("POST {target} HTTP/1.1\r\n")), "{}", reply.text());
        assert_eq!(reply.header("x-body-bytes"), Some("3"));
    }
}

#[test]
fn a_request_at_every_split_is_the_same_request() {
    let rig = Rig::new();
    let request = "POST /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let mut wire = Wire::http(&rig.edge);
    for cut in 1..request.len() {
        wire.send(&request[..cut]);
        wire.send(&request[cut..]);
        let reply = wire.answer();
        assert_eq!((reply.status, reply.header("x-body-bytes")), (200, Some("3")), "at {cut}");
    }
}
