//! Presets of model servers and what stands around them, before stand-ins that do what such a server trips over.

mod support {
    pub(crate) mod backend;
    pub(crate) mod client;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod presets;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use support::backend::Backend;
use support::client::{Client, Trust};
use support::edge::TestEdge;
use support::presets::{PROTOCOLS, before, own_address, pieces_pass_one_by_one, say, sockets, stream};
use support::process::eventually;
use support::servers::ws_client;

fn pieces() -> (Sender<Vec<u8>>, Mutex<Receiver<Vec<u8>>>) {
    let (sender, pieces) = channel();
    (sender, Mutex::new(pieces))
}

/// Bound to loopback, it knows one name, and pages of no other origin.
fn ollama_stand_in() -> (Backend, Sender<Vec<u8>>) {
    let (sender, pieces) = pieces();
    let backend = Backend::start(move |exchange| {
        let host = exchange.header("host").unwrap_or_default().to_owned();
        let origin = exchange.header("origin").map(str::to_owned);
        match exchange.target() {
            _ if host != "localhost:11434" => say(exchange, "403 Forbidden", &[], &host),
            _ if origin.is_some_and(|origin| !origin.starts_with("http://localhost")) => {
                say(exchange, "403 Forbidden", &[], "origin")
            }
            "/api/generate" => stream(exchange, "application/x-ndjson", &pieces),
            _ => say(exchange, "200 OK", &[], r#"{"version":"0.6.0"}"#),
        }
    });
    (backend, sender)
}

/// Requirements: Host set, Origin dropped; NDJSON flush.
#[test]
fn ollama_answers_under_any_name_line_by_line() {
    for protocol in PROTOCOLS {
        let (ollama, lines) = ollama_stand_in();
        let edge = before("ollama", &ollama.url(), "");
        assert_eq!(edge.https("https://ollama.test/api/version", &[protocol]).text(), r#"{"version":"0.6.0"}"#);
        let foreign = ["-H", "Origin: https://evil.test", protocol];
        assert_eq!(edge.https("https://ollama.test/api/version", &foreign).status, 403);
        let own = [protocol, "-d", "{}", "-H", "Origin: https://ollama.test"];
        pieces_pass_one_by_one(&edge, "https://ollama.test/api/generate", &own, lines);
    }
}

/// Events come for a POST that does not say that it wants a stream.
fn vllm_stand_in() -> (Backend, Sender<Vec<u8>>, Receiver<()>) {
    let (sender, pieces) = pieces();
    let (broken_off, is_broken_off) = channel();
    let backend = Backend::start(move |exchange| match exchange.target() {
        "/v1/chat/completions" => stream(exchange, "text/event-stream", &pieces).inspect_err(|_| {
            let _ = broken_off.send(());
        }),
        _ => say(exchange, "200 OK", &[], "well"),
    });
    (backend, sender, is_broken_off)
}

/// Requirements: SSE flush; path deny list.
#[test]
fn vllm_events_come_one_by_one_and_its_metrics_not_at_all() {
    for protocol in PROTOCOLS {
        let (vllm, events, _) = vllm_stand_in();
        let edge = before("vllm", &vllm.url(), "");
        for path in ["/metrics", "//metrics/", "/%6detrics", "/v1/..;/metrics", "/v1/%2e%2e/metrics", "/METRICS"] {
            let answer = edge.https(&format!("https://vllm.test{path}"), &[protocol, "--path-as-is"]);
            assert_eq!(answer.status, 403, "{path}");
        }
        assert_eq!(edge.https("https://vllm.test/v1/models", &[protocol]).status, 200);
        pieces_pass_one_by_one(&edge, "https://vllm.test/v1/chat/completions", &[protocol, "-d", "{}"], events);
    }
}

/// Requirements: body cap; disconnect propagation.
#[test]
fn vllm_gets_no_body_above_its_cap_and_hears_of_a_client_that_went() {
    let (vllm, events, is_broken_off) = vllm_stand_in();
    let edge = before("vllm", &vllm.url(), "");
    let mut client = connect(&edge, "vllm.test");
    let head = |length: usize| {
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: vllm.test\r\ncontent-length: {length}\r\n\r\n")
    };
    client.send(&head((64 << 20) + 1)).expect("sent");
    assert_eq!(client.reply().expect("an answer").status, 413);
    assert_eq!(vllm.body_bytes(), 0);
    let mut client = connect(&edge, "vllm.test");
    client.send(&(head(2) + "{}")).expect("sent");
    events.send(b"data: 1\n\n".to_vec()).expect("the stand-in waits");
    assert_eq!(client.head().expect("an answer").status, 200);
    drop(client);
    let mut tokens = 0;
    eventually("the generation ends", || {
        events.send(b"data: 2\n\n".to_vec()).expect("the stand-in waits");
        tokens += 1;
        is_broken_off.try_recv().is_ok()
    });
    assert!(tokens <= 50, "it went on for {tokens} tokens, one every 20 ms");
}

fn connect(edge: &TestEdge, host: &str) -> Client {
    let trust = Trust::roots(&[edge.local_root()]);
    Client::connect(edge.address("https"), host, &trust).expect("a connection")
}

/// Requirements: websocket upgrade; untrusted headers are stripped. Its socket is for pages of CORS_ALLOW_ORIGIN alone, and a header may be a login.
#[test]
fn open_webui_has_its_socket_and_no_logins_of_clients() {
    let webui = sockets(Some("https://open-webui.test"));
    let edge = before("open-webui", &webui.url(), "");
    let root = edge.path("state/local-ca/root.pem").display().to_string();
    let to = edge.address("https").to_string();
    let ask = |origin: &str| {
        let url = "wss://open-webui.test/ws/socket.io/?EIO=4&transport=websocket";
        let origin = format!("Origin: {origin}");
        let forged = ["--header", "X-User-Email: root@open-webui.test", "--header", "X-Forwarded-Email: root@x"];
        ws_client(&[&[url, "--connect", &to, "--ca", &root, "--header", &origin], &forged[..], &["one"]].concat())
    };
    let head = ask("https://open-webui.test").success().to_ascii_lowercase();
    assert!(head.contains("get /ws/socket.io/?eio=4&transport=websocket http/1.1"), "{head}");
    assert!(!head.contains("email"), "{head}");
    assert!(!ask("https://evil.test").status.success());
}

/// Requirements: Origin dropped; response rewrite of Location. The two things that MLflow checks or builds from what it believes to be: Origin, and the scheme of its redirect.
#[test]
fn mlflow_takes_changes_of_its_own_page_and_redirects_to_https() {
    let mlflow = Backend::start(|exchange| {
        let origin = exchange.header("origin").map(str::to_owned);
        let at = format!("http://{}/mlflow/", exchange.header("host").unwrap_or_default());
        match exchange.target() {
            "/mlflow" => say(exchange, "308 Permanent Redirect", &[("location", &at)], ""),
            _ if origin.is_some() => say(exchange, "403 Forbidden", &[], "Cross-origin request blocked"),
            _ => say(exchange, "200 OK", &[], &own_address(exchange)),
        }
    });
    let edge = before("mlflow", &mlflow.url(), "");
    for protocol in PROTOCOLS {
        let search = |origin: &str| {
            let origin = format!("Origin: {origin}");
            edge.https("https://mlflow.test/ajax-api/2.0/mlflow/runs/search", &[protocol, "-d", "{}", "-H", &origin])
        };
        assert_eq!((search("https://mlflow.test").status, search("https://evil.test").status), (200, 403));
        let moved = edge.https("https://mlflow.test/mlflow", &[protocol]);
        assert_eq!(moved.header("location"), Some("https://mlflow.test/mlflow/"));
        assert_eq!(edge.https("https://mlflow.test/metrics", &[protocol]).status, 403);
    }
}
