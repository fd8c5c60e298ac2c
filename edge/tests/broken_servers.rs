//! Servers that break the protocol: the client gets a 502 or an answer that is visibly cut, never one that looks whole,
//! and never a part of somebody else's.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use support::backend::{Backend, Then};
use support::edge::TestEdge;
use support::process::eventually;

fn edge(backend: &Backend) -> TestEdge {
    let route = format!("[[route]]\nname = \"app\"\nhost = \"app.test\"\nupstream = \"{}\"\n", backend.url());
    TestEdge::with_routes(&[("app.toml", &route)])
}

const BOTH: [&str; 2] = ["--http1.1", "--http2"];

#[test]
fn an_answer_that_ends_before_its_length_is_visibly_cut() {
    for backend in [Backend::dies_mid_body(), Backend::dies_mid_chunks()] {
        let edge = edge(&backend);
        for version in BOTH {
            let answer = edge.https("https://app.test/", &[version]);
            let cut = matches!(answer.exit, 18 | 56 | 92);
            assert!(answer.status == 502 || cut, "{version}: {answer:?}");
        }
        let counted = || edge.metric_sum("edge_refusals_total", &["reason=\"upstream_broken\"", "route=\"app\""]);
        eventually("the cuts are counted", || counted() == 2.0);
    }
}

#[test]
fn a_head_that_cannot_be_read_is_a_502() {
    const HEADS: &[&[u8]] = &[
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\ncontent-length: 0\r\n\r\n",
    ];
    for head in HEADS {
        let backend = Backend::raw(head);
        let edge = edge(&backend);
        for version in BOTH {
            let answer = edge.https("https://app.test/", &[version]);
            assert_eq!(answer.status, 502, "{version} {}: {}", head.escape_ascii(), answer.said);
            assert!(answer.text().contains("The server behind this route broke the protocol"), "{}", answer.text());
            assert!(!answer.said.contains("evil") && answer.header("set-cookie").is_none());
        }
    }
}

#[test]
fn chunks_in_another_grammar_are_visibly_cut() {
    const BODIES: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
    ];
    for body in BODIES {
        let backend = Backend::raw(body);
        let edge = edge(&backend);
        for version in BOTH {
            let answer = edge.https("https://app.test/", &[version]);
            assert!(answer.status == 502 || answer.exit != 0, "{version} {}: {answer:?}", body.escape_ascii());
        }
    }
}

#[test]
fn bytes_behind_an_answer_are_nobodys_answer() {
    let backend = Backend::start(|exchange| {
        exchange.drain()?;
        let mine = exchange.target().to_owned();
        exchange.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{mine}", mine.len()).as_bytes())?;
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")?;
        Ok(Then::Keep)
    });
    let edge = edge(&backend);
    for version in BOTH {
        for number in 0..20 {
            let answer = edge.https(&format!("https://app.test/{number}"), &[version]);
            assert_eq!((answer.status, answer.text()), (200, format!("/{number}")), "{}", answer.said);
        }
    }
}

#[test]
fn a_server_that_dies_before_its_head_is_a_502_and_a_post_is_sent_once() {
    let backend = Backend::says_nothing();
    let edge = edge(&backend);
    for version in BOTH {
        let answer = edge.https("https://app.test/", &[version, "-d", "x"]);
        assert_eq!(answer.status, 502, "{}", answer.said);
        let said = answer.header("connection");
        assert_eq!(said, (version == "--http1.1").then_some("close"), "the edge closes, so it says so");
    }
    assert_eq!(backend.requests(), 2);
}
