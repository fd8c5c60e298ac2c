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

/// A route for a backend of that preset at `PRESET.test`.
fn route(preset: &str, address: &str) -> String {
    format!(
        "[[route]]\nname = \"{preset}\"\nhost = \"{preset}.test\"\npreset = \"{preset}\"\nupstream = \"{address}\"\n"
    )
}

#[track_caller]
fn model_clients(part: &str) {
    let (_server, address) = stand_in("llm_standin.py", &[]);
    let routes = ["vllm", "ollama"].map(|preset| route(preset, &address)).concat();
    let edge = TestEdge::with_routes(&[("live.toml", &routes)]);
    let port = edge.address("https").port().to_string();
    for version in ["1", "2"] {
        run(script(&edge, "llm_client.py").args([part, version, &port, &address])).success();
        let spoken = if version == "1" { "/1.1" } else { "/2" };
        for path in ["/api/generate", "/v1/chat/completions"] {
            eventually("it is in the log", || edge.access(path).len() > usize::from(version == "2"));
            let last = edge.access(path).pop().expect("it is there");
            assert!(last["proto"].as_str().is_some_and(|name| name.ends_with(spoken)), "{last}");
        }
    }
    for preset in ["vllm", "ollama"] {
        let in_flight = format!("edge_requests_in_flight{{route=\"{preset}\"}}");
        eventually("nothing is in flight", || edge.metric(&in_flight) == Some(0.0));
    }
}

/// Requirement: SSE and NDJSON flush. Each token arrives before the next one is made.
#[test]
fn tokens_arrive_one_by_one_at_the_clients_of_vllm_and_ollama() {
    model_clients("all_arrive");
}

/// Requirement: disconnect propagation within a second, while the server has nothing to send.
#[test]
fn a_client_that_leaves_is_told_to_the_model_server() {
    model_clients("leaving_is_told");
}

/// Requirement: disconnect propagation within a second, before a byte of the answer.
#[test]
fn a_client_that_leaves_before_the_first_token_is_told_to_the_model_server() {
    model_clients("leaving_before_the_first_token_is_told");
}

/// An edge before a Socket.IO server that knows these transports (all, if none is named).
#[track_caller]
fn before_socketio(transports: &[&str]) -> (Process, TestEdge) {
    let (server, address) = stand_in("socketio_server.py", &[&["one"], transports].concat());
    (server, TestEdge::with_routes(&[("live.toml", &route("open-webui", &address))]))
}

#[track_caller]
fn socketio(edge: &TestEdge, transports: &str, expected: &str) -> String {
    let url = format!("https://open-webui.test:{}", edge.address("https").port());
    run(script(edge, "socketio_client.py").args([&url, transports, expected])).success().trim().to_owned()
}

/// Requirement: websocket upgrade.
#[test]
fn socket_io_talks_by_websocket_and_by_polling() {
    let (_server, edge) = before_socketio(&[]);
    assert_eq!(socketio(&edge, "websocket", "websocket"), "one");
    assert_eq!(socketio(&edge, "polling", "polling"), "one");
    // First by polling, then the same session goes on by websocket.
    assert_eq!(socketio(&edge, "polling,websocket", "websocket"), "one");
}

/// Requirement: websocket upgrade. A session is known to one server alone: that which the client came to first.
#[test]
fn socket_io_stays_with_its_server() {
    let servers = ["one", "two"].map(|name| stand_in("socketio_server.py", &[name]));
    let route = format!(
        "[[route]]\nhost = \"open-webui.test\"\npreset = \"open-webui\"\nupstream.servers = [\"{}\", \"{}\"]\n\
         upstream.balance = \"sticky:SRV\"\n",
        servers[0].1, servers[1].1
    );
    let edge = TestEdge::with_routes(&[("live.toml", &route)]);
    let mut met = Vec::new();
    eventually("each server has had a client of its own", || {
        for (transports, expected) in [("polling", "polling"), ("polling,websocket", "websocket")] {
            let names = socketio(&edge, transports, expected);
            assert!(["one", "two"].contains(&names.as_str()), "{transports}: {names}");
            met.push(names);
        }
        ["one", "two"].iter().all(|name| met.iter().any(|met| met == name))
    });
}

/// Requirement: websocket upgrade; where it is refused, the client falls back to what works.
#[test]
fn socket_io_falls_back_to_polling() {
    let (_server, edge) = before_socketio(&["polling"]);
    assert_eq!(socketio(&edge, "polling,websocket", "polling"), "one");
}
