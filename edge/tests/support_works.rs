//! The pieces of the end-to-end tests by themselves, without edge: what a test leans on is tested too.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use support::backend::{Backend, Then};
use support::curl::curl;
use support::process::{Process, answers, eventually, eventually_some, free_port, run};
use support::servers::{
    Prometheus, file_server, grpc_call, grpc_server, image, promtool_check, registry, skopeo, ws_client,
};

#[test]
fn the_echo_backend_returns_the_exact_head() {
    let backend = Backend::echo();
    let answer =
        curl(&[&format!("{}/a//b%2Fc?d=%20", backend.url()), "-H", "X-Two: 1", "-H", "x-two:  2", "-d", "12345"]);
    assert_eq!((answer.status, answer.exit, answer.version.as_str()), (200, 0, "1.1"), "{}", answer.said);
    assert!(answer.text().starts_with("POST /a//b%2Fc?d=%20 HTTP/1.1\r\n"), "{}", answer.text());
    assert!(answer.text().contains("X-Two: 1\r\nx-two:  2\r\n") && answer.text().ends_with("\r\n\r\n"));
    assert_eq!(answer.header("x-body-bytes"), Some("5"));
    assert_eq!((backend.accepted(), backend.requests(), backend.body_bytes()), (1, 1, 5));
    assert_eq!(backend.heads(), [answer.text()]);
    eventually("the connection is closed", || backend.open() == 0);
}

#[test]
fn a_backend_takes_chunked_bodies_and_expectations() {
    let backend = Backend::echo();
    let chunked = ["-T", "-", "-H", "Expect: 100-continue", "-v"];
    let output = Command::new("sh")
        .args(["-c", "printf 123456 | curl -qs \"$@\"", "sh", &backend.url()])
        .args(chunked)
        .output()
        .expect("curl is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("100 Continue") && said.contains("x-body-bytes: 6"), "{said}");
    let (sent, bodies) = channel();
    let keeper = Backend::start(move |exchange| {
        sent.send((exchange.target().to_owned(), exchange.body()?)).map_err(std::io::Error::other)?;
        exchange.answer("204 No Content", &[], b"")?;
        Ok(Then::Close)
    });
    assert_eq!(curl(&[&format!("{}/x", keeper.url()), "-d", "abc"]).status, 204);
    assert_eq!(bodies.recv(), Ok(("/x".to_owned(), b"abc".to_vec())));
}

#[test]
fn backends_break_off_as_told() {
    let cut = curl(&[&Backend::dies_mid_body().url()]);
    assert_eq!((cut.status, cut.exit, cut.body.len()), (200, 18, 10), "{}", cut.said);
    let chunks = curl(&[&Backend::dies_mid_chunks().url()]);
    assert_eq!((chunks.status, chunks.exit), (200, 18), "{}", chunks.said);
    assert_eq!(curl(&[&Backend::says_nothing().url()]).exit, 52);
    let raw = curl(&[&Backend::raw(b"HTTP/1.1 418 Short\r\nA: 1\r\na: 2\r\ncontent-length: 0\r\n\r\n").url()]);
    assert_eq!((raw.status, raw.all("a")), (418, vec!["1", "2"]));
}

#[test]
fn a_streaming_backend_sends_each_piece_when_the_test_says_so() {
    let (backend, pieces) = Backend::events();
    let mut client = TcpStream::connect(backend.address()).expect("the backend listens");
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").expect("it reads");
    let mut read_until = |end: &str| {
        let mut seen = Vec::new();
        while !seen.ends_with(end.as_bytes()) {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("the backend goes on");
            seen.push(byte[0]);
        }
        String::from_utf8(seen).expect("text")
    };
    assert!(read_until("\r\n\r\n").contains("text/event-stream"));
    pieces.send(b"data: 1\n\n".to_vec()).expect("the backend waits");
    assert_eq!(read_until("\n\n\r\n"), "9\r\ndata: 1\n\n\r\n");
    pieces.send(b"data: 2\n\n".to_vec()).expect("the backend waits");
    drop(pieces);
    assert_eq!(read_until("0\r\n\r\n"), "9\r\ndata: 2\n\n\r\n0\r\n\r\n");
}

#[test]
fn a_held_backend_answers_when_told_and_a_source_sends_its_length() {
    let (backend, answers) = Backend::held();
    let url = backend.url();
    let client = thread::spawn(move || curl(&[&url]).text());
    eventually("the request has arrived", || backend.requests() == 1);
    answers.send("now".to_owned()).expect("the backend waits");
    assert_eq!(client.join().expect("curl ends"), "now");
    assert_eq!(curl(&[&Backend::source(100_000).url()]).body.len(), 100_000);
    assert_eq!(curl(&[&Backend::hello("hi").url()]).text(), "hi");
}

#[test]
fn a_backend_is_gone_when_dropped_and_can_come_back() {
    let backend = Backend::hello("first");
    let address = backend.address();
    let mut idle = TcpStream::connect(address).expect("the backend listens");
    eventually("the idle connection is accepted", || backend.open() == 1);
    drop(backend);
    assert_eq!(idle.read(&mut [0]).unwrap_or(0), 0);
    eventually("nobody listens there", || !answers(address));
    let again = Backend::start_at(address, |exchange| exchange.answer("200 OK", &[], b"second"));
    assert_eq!(curl(&[&again.url()]).text(), "second");
}

#[test]
fn a_websocket_client_talks_to_the_websocket_backend() {
    let backend = Backend::websocket();
    let answers = ws_client(&[&format!("ws://{}/", backend.address()), "one", "two"]).success();
    assert_eq!(answers, "one\ntwo\n");
}

#[test]
fn a_process_is_killed_by_its_id_and_its_output_is_kept() {
    let mut process = Process::start(Command::new("sh").args(["-c", "echo up; exec sleep 600"]));
    process.ready_when("it says up", |output| output.contains("up"));
    assert_eq!(process.tail(), "up");
    assert!(process.ended().is_none());
    process.signal("TERM");
    assert_eq!(process.wait().code(), None);
    let id = Process::start(Command::new("sleep").arg("600")).id();
    assert!(!run(Command::new("kill").args(["-0", &id.to_string()])).status.success());
    assert_eq!(eventually_some("a value", || Some(1)), 1);
    assert!(!answers(([127, 0, 0, 1], free_port()).into()));
}

#[test]
fn the_file_server_serves_its_folder() {
    let server = file_server(&[("hello.txt", "hello")]);
    let answer = curl(&[&format!("{}/hello.txt", server.url())]);
    assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
    assert!(server.path("hello.txt").exists());
}

#[test]
fn skopeo_pushes_to_the_registry_and_pulls_the_same_bytes() {
    let (server, image, back) = (registry(), image(300_000), tempfile::tempdir().expect("a folder"));
    let name = format!("docker://{}/team/x:1", server.address);
    skopeo(&["copy", "--dest-tls-verify=false", &format!("oci:{}:1", image.path().display()), &name]).success();
    skopeo(&["copy", "--src-tls-verify=false", &name, &format!("oci:{}:1", back.path().display())]).success();
    let has_the_layer = |dir: &tempfile::TempDir| {
        let mut blobs = std::fs::read_dir(dir.path().join("blobs/sha256")).expect("an OCI layout").flatten();
        blobs.any(|blob| blob.metadata().is_ok_and(|about| about.len() >= 300_000))
    };
    assert!(has_the_layer(&image) && has_the_layer(&back));
    assert!(curl(&[&format!("{}/v2/team/x/tags/list", server.url())]).text().contains(r#""tags":["1"]"#));
}

#[test]
fn prometheus_scrapes_what_promtool_accepts() {
    let text = "# HELP a_total A.\n# TYPE a_total counter\na_total{b=\"c\"} 7\n";
    promtool_check(text).success();
    assert!(!promtool_check("a{ 1\n").status.success());
    let target = Backend::start(move |exchange| {
        exchange.answer("200 OK", &[("content-type", "text/plain; version=0.0.4")], text.as_bytes())
    });
    let prometheus = Prometheus::scraping(target.address());
    prometheus.wait_until_up();
    eventually("the sample is stored", || prometheus.query(r#"a_total{b="c"}"#) == [7.0]);
}

#[test]
fn a_grpc_client_gets_messages_status_and_trailers() {
    let server = grpc_server();
    let target = server.address.to_string();
    let unary = grpc_call(&[&target, "unary", "hello"]);
    assert_eq!(unary["messages"], serde_json::json!(["hello"]));
    assert_eq!((&unary["code"], &unary["initial"]["x-initial"]), (&"OK".into(), &"before the body".into()));
    assert_eq!(unary["trailers"]["x-binary-bin"], "0001ff");
    let refused = grpc_call(&[&target, "unary", "refuse"]);
    assert_eq!(
        (&refused["code"], &refused["details"]),
        (&"FAILED_PRECONDITION".into(), &"refused: 100% as asked".into())
    );
    let streams = grpc_call(&[&target, "streams", "1", "2", "3"]);
    assert_eq!(streams["messages"], serde_json::json!(["1", "2", "3"]));
    assert_eq!(streams["trailers"]["x-trailer"], "after the body");
}
