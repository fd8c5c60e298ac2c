//! Bodies and the answers to them: expectations, early answers with a body still to come, and the limits of a route.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::fs::File;
use std::path::PathBuf;

use support::backend::{Backend, Then};
use support::edge::TestEdge;
use support::wire::Wire;

/// More than a client has sent when it is answered early, and little enough that the rest of it is soon read and forgotten.
const LARGE: u64 = 1 << 20;

fn edge(backend: &Backend) -> TestEdge {
    let url = backend.url();
    let both = "entrypoint = [\"http\", \"https\"]";
    TestEdge::with_routes(&[(
        "app.toml",
        &format!(
            "[[route]]\nname = \"app\"\nhost = \"app.test\"\n{both}\nupstream = \"{url}\"\n\
             [[route]]\nname = \"small\"\nhost = \"small.test\"\n{both}\nupstream = \"{url}\"\nlimits = {{ body = \"1KiB\" }}\n\
             [[route]]\nname = \"fixed\"\nhost = \"fixed.test\"\n{both}\nrespond = {{ status = 403, body = \"closed\" }}\n"
        ),
    )])
}

/// A file of zeros for curl to send; it takes no place on the disk.
fn upload(edge: &TestEdge, bytes: u64) -> PathBuf {
    let path = edge.path("upload");
    File::create(&path).and_then(|file| file.set_len(bytes)).expect("the folder is writable");
    path
}

#[test]
fn an_expectation_is_the_servers_to_answer_and_an_unknown_one_is_refused() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    let mut wire = Wire::http(&edge);
    wire.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(wire.answer().status, 100);
    wire.send("abc");
    let reply = wire.answer();
    assert_eq!((reply.status, reply.header("x-body-bytes")), (200, Some("3")));
    assert!(reply.text().to_lowercase().contains("expect: 100-continue\r\n"), "{}", reply.text());

    for version in ["--http1.1", "--http2"] {
        let answer = edge.https("https://app.test/", &[version, "-H", "Expect: a-miracle"]);
        assert_eq!(answer.status, 417, "{}", answer.said);
    }
    edge.counts("edge_refusals_total", &["reason=\"expectation_failed\""], 2.0);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn a_refusal_by_the_server_comes_before_the_body_is_sent() {
    let backend = Backend::start(|exchange| {
        exchange.send(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")?;
        Ok(Then::Close)
    });
    let edge = edge(&backend);
    let mut wire = Wire::http(&edge);
    wire.send("POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(wire.answer().status, 401);
}

#[test]
fn an_early_answer_to_a_large_upload_can_be_read() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    let file = upload(&edge, LARGE);
    let file = file.to_str().expect("text");
    for version in ["--http1.1", "--http2"] {
        for expect in ["Expect: 100-continue", "Expect:"] {
            for (host, status, words) in
                [("fixed.test", 403, "closed"), ("small.test", 413, "larger than this route allows")]
            {
                let answer = edge.https(&format!("https://{host}/"), &[version, "-v", "-H", expect, "-T", file]);
                assert_eq!(answer.status, status, "{version} {expect} {host}: {} {}", answer.exit, answer.said);
                assert!(answer.text().contains(words), "{version} {expect} {host}: {}", answer.text());
            }
        }
    }
    assert_eq!(backend.requests(), 0);
}

#[test]
fn a_server_that_answers_before_it_has_read_the_body_is_heard() {
    let backend = Backend::start(|exchange| {
        exchange.send(b"HTTP/1.1 409 Conflict\r\ncontent-length: 4\r\n\r\nbusy")?;
        exchange.drain()?;
        Ok(Then::Keep)
    });
    let edge = edge(&backend);
    let file = upload(&edge, LARGE);
    for version in ["--http1.1", "--http2"] {
        let answer = edge.https("https://app.test/", &[version, "-H", "Expect:", "-T", file.to_str().expect("text")]);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (409, "busy"),
            "{version}: {} {}",
            answer.exit,
            answer.said
        );
    }
}

/// Requirement: body cap of a route.
#[test]
fn a_body_whose_length_is_not_said_is_cut_at_the_limit_of_its_route() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    let file = upload(&edge, LARGE);
    let file = file.to_str().expect("text");
    for version in ["--http1.1", "--http2"] {
        let chunked = [version, "-X", "POST", "-H", "Transfer-Encoding: chunked", "-H", "Expect:", "--data-binary"];
        let at = format!("@{file}");
        let answer = edge.https("https://small.test/", &[&chunked[..], &[&at]].concat());
        assert_eq!(answer.status, 413, "{version}: {} {}", answer.exit, answer.said);
    }
    edge.counts("edge_refusals_total", &["reason=\"body_too_large\""], 2.0);
    assert!(backend.body_bytes() <= 2 * 1024, "{}", backend.body_bytes());
    let small = edge.https("https://small.test/", &["-d", "abc"]);
    assert_eq!((small.status, small.header("x-body-bytes")), (200, Some("3")));
}

/// Requirement: trailers. Those of HTTP/1 end here, as RFC 9112 (7.1.2) lets them: the engine reads and forgets them. The
/// bodies are whole, and what comes next on their connections is what was sent next. Those of HTTP/2 pass: proxying.rs.
#[test]
fn trailers_of_http1_are_read_to_their_end_and_go_no_further() {
    let backend = Backend::start(|exchange| {
        let length = exchange.drain()?;
        exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n")?;
        exchange.send(format!("2\r\n{length:02}\r\n0\r\nx-sum: of-server\r\n\r\n").as_bytes())?;
        Ok(Then::Keep)
    });
    let edge = edge(&backend);
    let mut wire = Wire::http(&edge);
    for _ in 0..2 {
        wire.send("POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n");
        wire.send("4\r\nbody\r\n0\r\nX-Sum: of-client\r\n\r\n");
        assert_eq!(wire.answer().text(), "04");
    }
    let answer = edge.https("https://app.test/", &["--http2", "-d", "body"]);
    assert_eq!((answer.status, answer.exit, answer.text().as_str()), (200, 0, "04"), "{}", answer.said);
    assert_eq!((answer.header("x-sum"), backend.trailers()), (None, Vec::new()));
    assert_eq!((backend.requests(), backend.accepted()), (3, 1), "{:?}", backend.heads());
}

#[test]
fn an_unread_body_is_never_taken_for_the_next_request() {
    let backend = Backend::start(|exchange| {
        if exchange.target() == "/early" {
            exchange.send(b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n")?;
            return Ok(Then::Close);
        }
        exchange.drain()?;
        exchange.answer("200 OK", &[], b"")
    });
    let edge = edge(&backend);
    for host in ["app.test/early", "fixed.test/"] {
        let (host, path) = host.split_once('/').expect("it has one");
        let mut wire = Wire::http(&edge);
        let inside = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
        wire.send(format!("POST /{path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {}\r\n\r\n", inside.len()));
        let first = wire.answer().status;
        assert!(matches!(first, 409 | 403), "{first}");
        // Whether the edge still reads the body or has closed is its choice.
        drop(wire.try_send(inside));
        drop(wire.try_send("GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n"));
        wire.finish();
        wire.rest();
    }
    assert!(backend.heads().iter().all(|head| !head.contains("/smuggled")), "{:?}", backend.heads());
}
