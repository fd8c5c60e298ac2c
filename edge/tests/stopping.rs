//! The end of an edge: what is under way ends in its own time, the rest is told to go, and a second signal waits for
//! nobody.

mod support {
    pub(crate) mod backend;
    pub(crate) mod client;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use std::fs;
use std::process::{Command, Stdio};

use support::backend::Backend;
use support::client::{Client, Trust};
use support::edge::{PLAIN, TestEdge};
use support::process::{Process, answers, eventually};
use support::servers::ws_script;

/// An edge before `backend` that gives a stop so much time.
fn before(backend: &Backend, grace: &str) -> TestEdge {
    let config = format!("{PLAIN}\n[stop]\ngrace = \"{grace}\"\n");
    let route =
        format!("[[route]]\nhost = [\"app.test\", \"localhost\"]\nname = \"app\"\nupstream = \"{}\"\n", backend.url());
    TestEdge::with_config(&config, &[("app.toml", &route)])
}

/// Longer than any test waits: who ends within it did not wait for it.
const LONG: &str = "10m";

fn connect(edge: &TestEdge) -> Client {
    let trust = Trust::roots(&[edge.local_root()]);
    Client::connect(edge.address("https"), "app.test", &trust).expect("a connection")
}

fn ask(edge: &TestEdge, head: &str) -> Client {
    let mut client = connect(edge);
    client.send(&format!("{head}\r\nhost: app.test\r\n\r\n")).expect("sent");
    client
}

/// Sends SIGTERM and waits until it is being followed.
#[track_caller]
fn begin_to_stop(edge: &mut TestEdge) {
    let https = edge.address("https");
    edge.process().signal("TERM");
    eventually("no new connection is taken", || !answers(https));
}

/// The exit code, and that nothing is left of what says that it runs.
#[track_caller]
fn ended(edge: &mut TestEdge) -> Option<i32> {
    let code = edge.process().wait().code();
    for name in ["state/run.json", "state/edge.sock"] {
        assert!(!edge.path(name).exists(), "{name} is left");
    }
    code
}

#[test]
fn a_download_and_an_upload_under_way_end_whole() {
    let (backend, pieces) = Backend::streaming("text/plain");
    let upload = Backend::echo();
    let mut edge = before(&backend, LONG);
    edge.write_route(
        "up.toml",
        &format!("[[route]]\nhost = \"app.test\"\npath = \"/up\"\nupstream = \"{}\"\n", upload.url()),
    );
    edge.reload().success();
    let mut down = ask(&edge, "GET / HTTP/1.1");
    assert_eq!(down.head().expect("a head").status, 200);
    let mut up = connect(&edge);
    up.send("POST /up HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n").expect("sent");
    eventually("the upload has begun", || upload.body_bytes() == 3);

    begin_to_stop(&mut edge);
    let ready = edge.ask_admin("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("the edge is stopping"), "{}", ready.text());
    for _ in 0..3 {
        pieces.send(b"01234".to_vec()).expect("the backend waits");
        assert_eq!(down.exactly(10).expect("a chunk"), b"5\r\n01234\r\n");
        up.send("3\r\ndef\r\n").expect("sent");
    }
    assert!(edge.process().ended().is_none(), "it waits for both");
    drop(pieces);
    assert_eq!(down.exactly(5).expect("the end"), b"0\r\n\r\n");
    up.send("0\r\n\r\n").expect("sent");
    let reply = up.reply().expect("an answer");
    assert!(reply.says("x-body-bytes: 12"), "{reply:?}");
    assert_eq!(ended(&mut edge), Some(0));
    assert!(edge.log().contains("stopped: everything had ended"), "{}", edge.log());
}

#[test]
fn an_answer_after_the_signal_says_that_the_connection_closes() {
    let (backend, answer) = Backend::held();
    let mut edge = before(&backend, LONG);
    let mut client = ask(&edge, "GET / HTTP/1.1");
    eventually("the request has arrived", || backend.requests() == 1);
    begin_to_stop(&mut edge);
    answer.send("late".to_owned()).expect("the backend waits");
    let reply = client.reply().expect("an answer");
    assert_eq!(reply.body, b"late");
    assert!(reply.says("connection: close"), "{reply:?}");
    assert_eq!(client.more().expect("its end"), "", "and it does close");
    assert_eq!(ended(&mut edge), Some(0));
}

#[test]
fn an_http_2_client_is_told_to_go_and_gets_its_answer() {
    let (backend, answer) = Backend::held();
    let mut edge = before(&backend, LONG);
    let url = format!("https://localhost:{}/", edge.address("https").port());
    let mut client = Process::start(Command::new("nghttp").args(["--verbose", &url]));
    eventually("the request has arrived", || backend.requests() == 1);
    begin_to_stop(&mut edge);
    client.ready_when("it is told to go", |output| output.contains("recv GOAWAY"));
    answer.send("late".to_owned()).expect("the backend waits");
    assert!(client.wait().success());
    let said = client.output();
    assert!(said.contains("late") && said.contains(":status: 200"), "{said}");
    assert_eq!(ended(&mut edge), Some(0));
}

#[test]
fn a_websocket_ends_with_the_grace() {
    let backend = Backend::websocket();
    let mut edge = before(&backend, "1s");
    let root = edge.path("state/local-ca/root.pem").display().to_string();
    let to = edge.address("https").to_string();
    let args = ["wss://app.test/", "--connect", &to, "--ca", &root, "--stay", "hello"];
    let mut client = Process::start(ws_script().args(args).stdin(Stdio::null()));
    client.ready_when("the tunnel is open", |output| output.contains("hello"));
    edge.process().signal("TERM");
    assert_eq!(ended(&mut edge), Some(0));
    edge.logs("the grace was over, what was left was cut");
    client.wait();
    eventually("the server is told too", || backend.open() == 0);
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (backend, pieces) = Backend::streaming("text/plain");
    let mut edge = before(&backend, LONG);
    let mut client = ask(&edge, "GET / HTTP/1.1");
    assert_eq!(client.head().expect("a head").status, 200);
    begin_to_stop(&mut edge);
    assert!(edge.process().ended().is_none());
    edge.process().signal("TERM");
    assert_eq!(ended(&mut edge), Some(0));
    assert!(edge.log().contains("a second signal came"), "{}", edge.log());
    drop(pieces);
}

#[test]
fn idle_connections_do_not_hold_it() {
    for signal in ["TERM", "INT"] {
        let backend = Backend::hello("hi");
        let mut edge = before(&backend, LONG);
        let mut clients: Vec<Client> = (0..3).map(|_| connect(&edge)).collect();
        // One that never asked, and two that did and stay.
        for client in &mut clients[1..] {
            assert_eq!(client.get("/").expect("an answer").body, b"hi");
        }
        edge.process().signal(signal);
        assert_eq!(ended(&mut edge), Some(0), "{signal}");
        assert!(edge.log().contains("stopped: everything had ended"), "{}", edge.log());
        assert_eq!(clients[1].more().unwrap_or_default(), "", "it is closed");
    }
}

#[test]
fn a_second_signal_ends_a_start_that_hangs() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    // Opening it waits for a reader that never comes, as a disk does that has gone away.
    let access = dir.path().join("access.log");
    assert!(Command::new("mkfifo").arg(&access).status().expect("mkfifo is there").success());
    let config = format!("{PLAIN}\n[log]\naccess = \"{}\"\n", access.display());
    fs::write(dir.path().join("edge.toml"), config).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
    let mut edge =
        Process::start(command.args(["run", "--config", "edge.toml"]).current_dir(dir.path()).env_remove("EDGE_STATE"));
    eventually("it has begun to start", || dir.path().join("state/lock").exists());
    edge.signal("TERM");
    edge.signal("INT");
    assert_eq!(edge.wait().code(), Some(0));
    assert!(edge.output().contains("a second signal came"), "{}", edge.output());
}
