//! Bodies that flow: each piece passes when it comes, memory does not grow with them, and only silence where an answer
//! is due is cut.

mod support {
    pub(crate) mod backend;
    pub(crate) mod client;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
}

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::backend::{Backend, Then};
use support::client::{Client, Trust};
use support::edge::TestEdge;
use support::process::{eventually, settled};

const CLIENTS: [(&str, &str); 2] = [("--http1.1", "1.1"), ("--http2", "2")];
const BIG: usize = 256 << 20;
/// More memory than buffers and the allocator may take, and far less than one such body.
const SOME: f64 = 64e6;

fn before(backend: &Backend, timeouts: &str) -> TestEdge {
    let url = backend.url();
    let route = format!("[[route]]\nhost = \"app.test\"\n[route.upstream]\nservers = \"{url}\"\n{timeouts}\n");
    TestEdge::with_routes(&[("app.toml", &route)])
}

fn connect(edge: &TestEdge) -> Client {
    let trust = Trust::roots(&[edge.local_root()]);
    Client::connect(edge.address("https"), "app.test", &trust).expect("a connection")
}

#[test]
fn each_event_passes_before_the_next_one_is_sent() {
    for (flag, _) in CLIENTS {
        let (backend, events) = Backend::events();
        let edge = before(&backend, "");
        let mut curl = Command::new("curl")
            .args(["-q", "--silent", "--no-buffer", "--insecure", flag, "--connect-to"])
            .args([&format!("::{}", edge.address("https")), "https://app.test/events"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is there");
        let mut lines = BufReader::new(curl.stdout.take().expect("it is piped")).lines();
        for number in 0..5 {
            events.send(format!("data: {number}\n\n").into_bytes()).expect("the backend waits");
            let line = lines.next().expect("the stream goes on").expect("text");
            assert_eq!(line, format!("data: {number}"), "{flag}");
            assert_eq!(lines.next().expect("the stream goes on").expect("text"), "");
        }
        drop(events);
        assert!(lines.next().is_none(), "the end passes too");
        assert!(curl.wait().expect("it ends").success());
    }
}

/// Requirement: unlimited streaming request bodies, no buffering.
#[test]
fn each_piece_of_an_upload_passes_before_the_next_one_is_sent() {
    let backend = Backend::echo();
    let edge = before(&backend, "");
    let mut client = connect(&edge);
    client.send("POST /up HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n").expect("sent");
    for pieces in 1..=5 {
        client.send("a\r\n0123456789\r\n").expect("sent");
        eventually("the piece arrives", || backend.body_bytes() == 10 * pieces);
    }
    client.send("0\r\n\r\n").expect("sent");
    assert!(client.reply().expect("an answer").says("x-body-bytes: 50"));
}

#[test]
fn memory_does_not_grow_with_a_download() {
    let backend = Backend::source(BIG);
    let edge = before(&backend, "");
    let get = |flag: &str| {
        edge.https("https://app.test/", &[flag, "-o", "/dev/null", "-w", "%{stderr}\n%{size_download}\n0 200"])
    };
    let small = edge.memory();
    for (flag, _) in CLIENTS {
        let answer = get(flag);
        assert_eq!(answer.exit, 0, "{}", answer.said);
        assert!(answer.said.contains(&BIG.to_string()), "{}", answer.said);
        assert!(edge.memory() - small < SOME, "{flag}: {small} then {}", edge.memory());
    }
    edge.counts("edge_response_bytes_total", &["route=\"app.test\""], 2.0 * BIG as f64);
}

#[test]
fn memory_does_not_grow_with_an_upload() {
    let backend = Backend::echo();
    let edge = before(&backend, "");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("big");
    File::create(&file).and_then(|file| file.set_len(BIG as u64)).expect("a sparse file");
    let file = file.display().to_string();
    let small = edge.memory();
    for (flag, _) in CLIENTS {
        let answer = edge.https("https://app.test/", &[flag, "-T", &file]);
        assert_eq!((answer.status, answer.exit), (200, 0), "{}", answer.said);
        assert_eq!(answer.header("x-body-bytes"), Some(BIG.to_string().as_str()));
        assert!(edge.memory() - small < SOME, "{flag}: {small} then {}", edge.memory());
    }
}

#[test]
fn memory_does_not_grow_for_a_client_that_does_not_read() {
    let backend = Backend::source(BIG);
    let edge = before(&backend, "");
    let small = edge.memory();
    let mut clients: Vec<Client> = (0..8).map(|_| connect(&edge)).collect();
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").expect("sent");
        assert_eq!(client.head().expect("a head").status, 200);
    }
    // The server is held up, by what is full on the way.
    let sent = settled("no more passes", || backend.sent());
    assert!(sent < clients.len() * BIG, "all of it went: {sent}");
    assert!(edge.memory() - small < SOME, "{small} then {}", edge.memory());
    assert_eq!(edge.https("https://app.test/", &["-o", "/dev/null"]).exit, 0, "one that reads is not");
}

/// Requirement: first byte timeout of a route.
#[test]
fn a_server_that_does_not_answer_in_time_is_a_504_in_words() {
    for (flag, version) in CLIENTS {
        let (backend, _answers) = Backend::held();
        let edge = before(&backend, "timeouts = { first_byte = \"1s\" }");
        let answer = edge.https("https://app.test/slow", &[flag]);
        assert_eq!((answer.status, answer.version.as_str(), answer.exit), (504, version, 0), "{}", answer.said);
        assert!(answer.text().contains("did not answer in time"), "{}", answer.text());
        assert!(answer.text().contains("request id: "), "{}", answer.text());
        edge.counts("edge_refusals_total", &["reason=\"upstream_timeout\""], 1.0);
        eventually("it is logged", || !edge.access("/slow").is_empty());
        assert_eq!(edge.access("/slow")[0]["reason"], "upstream_timeout");
    }
}

#[test]
fn an_answer_may_pause_for_longer_than_it_may_take_to_begin() {
    let (backend, pieces) = Backend::streaming("text/plain");
    let edge = before(&backend, "timeouts = { first_byte = \"3s\", idle = \"20s\" }");
    let mut client = connect(&edge);
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").expect("sent");
    assert_eq!(client.head().expect("a head").status, 200);
    let begun = Instant::now();
    eventually("a pause", || begun.elapsed() > Duration::from_secs(4));
    pieces.send(b"late".to_vec()).expect("the backend waits");
    assert_eq!(client.exactly(9).expect("a chunk"), b"4\r\nlate\r\n");
}

/// Requirement: disconnect propagation within a second.
#[test]
fn a_client_that_leaves_ends_the_work_of_the_server() {
    // `eventually` looks every 20 ms, and less often where the machine is too busy for the edge too.
    const SOON: usize = 50;
    for (flag, _) in CLIENTS {
        for has_begun in [false, true] {
            let backend = Backend::start(move |exchange| {
                exchange.drain()?;
                if has_begun {
                    exchange.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")?;
                }
                exchange.until_end()?;
                Ok(Then::Close)
            });
            let edge = before(&backend, "");
            let mut curl = Command::new("curl")
                .args(["-q", "--silent", "--no-buffer", "--insecure", flag, "--connect-to"])
                .args([&format!("::{}", edge.address("https")), "https://app.test/events"])
                .stdout(Stdio::piped())
                .spawn()
                .expect("curl is there");
            eventually("the server is asked", || backend.requests() == 1);
            let mut lines = BufReader::new(curl.stdout.take().expect("it is piped")).lines();
            if has_begun {
                assert_eq!(lines.next().expect("an event").expect("text"), "data: 1");
            }
            curl.kill().and_then(|()| curl.wait()).expect("curl ends");
            let mut looks = 0;
            eventually("the server is left too", || {
                looks += 1;
                backend.open() == 0
            });
            assert!(looks <= SOON, "{flag}, begun {has_begun}: after {looks} looks");
            let in_flight = || edge.metric("edge_requests_in_flight{route=\"app.test\"}");
            eventually("it is no longer in flight", || in_flight() == Some(0.0));
        }
    }
}
