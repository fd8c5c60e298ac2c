//! Answers that are written while they are read, and connections that talk both ways: the clients of model servers and of
//! Socket.IO through the edge. The servers are stand-ins, since the real ones need models and graphics cards.

mod support {
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
}

use support::clients::{bare, clients, script};
use support::edge::TestEdge;
use support::process::{Process, eventually, eventually_some, run};

/// A script that prints its port: the process and its address.
#[track_caller]
fn stand_in(name: &str, args: &[&str]) -> (Process, String) {
    let mut command = bare("python");
    let mut process = Process::start(command.arg(clients().join(name)).args(args));
    process.ready_when("it prints its port", |output| output.contains("port "));
    let port = eventually_some("a port", || process.output().split("port ").nth(1)?.trim().parse::<u16>().ok());
    (process, format!("http://127.0.0.1:{port}"))
}

fn url(edge: &TestEdge) -> String {
    format!("https://live.test:{}", edge.address("https").port())
}

#[track_caller]
fn model_clients(part: &str) {
    let (_server, address) = stand_in("llm_standin.py", &[]);
    let edge = TestEdge::with_routes(&[("live.toml", &route(&format!("upstream = \"{address}\"")))]);
    for version in ["1", "2"] {
        run(script(&edge, "llm_client.py").args([part, version, &url(&edge), &address])).success();
        let spoken = if version == "1" { "/1.1" } else { "/2" };
        eventually("both are in the log", || edge.access("/api/generate").len() >= usize::from(version == "2") + 1);
        let last = edge.access("/api/generate").pop().expect("it is there");
        assert!(last["proto"].as_str().is_some_and(|name| name.ends_with(spoken)), "{last}");
    }
    eventually("nothing is in flight", || edge.metric("edge_requests_in_flight{route=\"live\"}") == Some(0.0));
}

fn route(rest: &str) -> String {
    format!("[[route]]\nname = \"live\"\nhost = \"live.test\"\n{rest}\n")
}

/// Requirement: SSE and NDJSON flush. Each token arrives before the next one is made.
#[test]
fn tokens_arrive_one_by_one_at_the_clients_of_vllm_and_ollama() {
    model_clients("all_arrive");
}

/// Requirement: disconnect propagation, while the server has nothing to send.
#[test]
fn a_client_that_leaves_is_told_to_the_model_server() {
    model_clients("leaving_is_told");
}

#[track_caller]
fn socketio(edge: &TestEdge, transports: &str, expected: &str) -> String {
    run(script(edge, "socketio_client.py").args([&url(edge), transports, expected])).success().trim().to_owned()
}

/// Requirement: websocket upgrade.
#[test]
fn socket_io_talks_by_websocket_and_by_polling() {
    let (_server, address) = stand_in("socketio_server.py", &["one"]);
    let edge = TestEdge::with_routes(&[("live.toml", &route(&format!("upstream = \"{address}\"")))]);
    assert_eq!(socketio(&edge, "websocket", "websocket"), "one");
    assert_eq!(socketio(&edge, "polling", "polling"), "one");
    // First by polling, then the same session goes on by websocket.
    assert_eq!(socketio(&edge, "polling,websocket", "websocket"), "one");
}

/// Requirement: websocket upgrade; where it is refused, the client falls back to what works.
#[test]
fn socket_io_falls_back_to_polling() {
    let (_server, address) = stand_in("socketio_server.py", &["one", "polling"]);
    let edge = TestEdge::with_routes(&[("live.toml", &route(&format!("upstream = \"{address}\"")))]);
    assert_eq!(socketio(&edge, "polling,websocket", "polling"), "one");
}
