//! WebSockets: bytes flow freely only once the server has agreed, and asking for an upgrade is no way around a rule.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::mpsc::channel;

use support::backend::{Backend, Then};
use support::edge::TestEdge;
use support::process::{eventually, python, run};
use support::wire::{TlsClient, Wire};

fn edge(backend: &Backend, rest: &str) -> TestEdge {
    let url = backend.url();
    let route = format!(
        "[[route]]\nname = \"app\"\nhost = \"app.test\"\nentrypoint = [\"http\", \"https\"]\nupstream = \"{url}\"\n{rest}"
    );
    TestEdge::with_routes(&[("app.toml", &route)])
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                       Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[test]
fn a_real_client_talks_through_tls() {
    let backend = Backend::websocket();
    let edge = edge(&backend, "");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/ws_client.py");
    let root = edge.path("state/local-ca/root.pem");
    let mut command = Command::new(python());
    command.args([script, "wss://app.test/ws", "--connect", &edge.address("https").to_string(), "--ca"]);
    let said = run(command.arg(root).args(["one", "two"])).success();
    assert_eq!(said, "one\ntwo\n");
}

#[test]
fn bytes_behind_the_request_wait_for_the_servers_word() {
    let (sender, early) = channel();
    let sender = std::sync::Mutex::new(sender);
    let backend = Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), move |mut stream, _| {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            head.push(byte[0]);
        }
        // Refused: whatever comes behind the head would have been a second request.
        drop(stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"));
        let mut rest = Vec::new();
        drop(stream.set_read_timeout(Some(std::time::Duration::from_secs(2))));
        drop(stream.read_to_end(&mut rest));
        drop(sender.lock().expect("no thread panics").send(rest));
    });
    let edge = edge(&backend, "");
    let mut wire = TlsClient::new(&edge).connect("app.test");
    wire.send([UPGRADE, "GET /smuggled HTTP/1.1\r\nHost: app.test\r\nX: y\r\n\r\n"].concat());
    assert_eq!(wire.answer().status, 403);
    drop(wire);
    let rest = String::from_utf8_lossy(&early.recv().expect("the server ends")).into_owned();
    // As a request of its own, with our headers, it may pass; as bytes of a tunnel it may not.
    assert!(!rest.contains("/smuggled") || rest.contains("X-Forwarded-For"), "{rest}");
}

#[test]
fn after_101_bytes_flow_both_ways_untouched() {
    let backend = Backend::start(|exchange| {
        let line = format!("{} {:?}", exchange.line(), exchange.header("upgrade"));
        exchange.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")?;
        exchange.send(line.as_bytes())?;
        Ok(Then::Close)
    });
    let edge = edge(&backend, "");
    let mut wire = TlsClient::new(&edge).connect("app.test");
    wire.send(UPGRADE);
    let reply = wire.answer();
    assert_eq!((reply.status, reply.header("upgrade")), (101, Some("websocket")));
    assert_eq!(wire.rest(), b"GET /ws HTTP/1.1 Some(\"websocket\")");
}

#[test]
fn a_tunnel_stays_open_however_early_the_server_agrees() {
    let backend = Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), |mut stream, _| {
        // Before it has read anything: so its answer is there at the same moment as the end of the request.
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        drop(stream.write_all(agreed));
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            if stream.read_exact(&mut byte).is_err() {
                return;
            }
            head.push(byte[0]);
        }
        let mut word = [0; 4];
        drop(stream.read_exact(&mut word).and_then(|()| stream.write_all(&word)));
    });
    let edge = edge(&backend, "");
    // By chance the engine can be right: half of the time, at first.
    for _ in 0..24 {
        let mut wire = TlsClient::new(&edge).connect("app.test");
        wire.send(UPGRADE);
        assert_eq!(wire.answer().status, 101);
        wire.send("ping");
        assert_eq!(wire.exactly(4), b"ping");
    }
}

#[test]
fn only_websocket_is_passed_on() {
    let backend = Backend::echo();
    let edge = edge(&backend, "");
    for other in ["h2c", "SPDY/3.1", "TLS/1.0"] {
        let mut wire = Wire::http(&edge);
        wire.send(format!(
            "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {other}\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
        ));
        let reply = wire.answer();
        let head = reply.text().to_lowercase();
        assert!(!head.contains("\r\nupgrade:") && !head.contains("http2-settings"), "{other}: {head}");
    }
}

#[test]
fn an_upgrade_to_anything_else_is_no_way_around_the_time_that_a_server_may_be_silent() {
    let backend = Backend::start(|exchange| {
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789")?;
        exchange.until_end()?;
        Ok(Then::Close)
    });
    let timeouts = "timeouts = { first_byte = \"400ms\", idle = \"400ms\" }";
    let route = format!("[[route]]\nhost = \"app.test\"\nentrypoint = [\"http\"]\n[route.upstream]\n{timeouts}\n");
    let edge = TestEdge::with_routes(&[("app.toml", &format!("{route}servers = \"{}\"\n", backend.url()))]);
    for other in ["x", "h2c"] {
        let mut wire = Wire::http(&edge);
        wire.send(format!("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: {other}\r\n\r\n"));
        assert!(wire.rest().ends_with(b"0123456789"), "{other}");
    }
}

#[test]
fn an_upgrade_is_no_way_around_the_rules() {
    let backend = Backend::websocket();
    let edge = edge(&backend, "path = \"/public\"\n");
    for (request, status) in [
        (UPGRADE.to_owned(), 404),
        (UPGRADE.replace("/ws", "/public/%2e%2e/public/ws"), 400),
        (UPGRADE.replace("Host: app.test", "Host: other.test"), 404),
        (UPGRADE.replace("Connection: Upgrade", "Connection: Upgrade, Authorization"), 400),
        (UPGRADE.replace("GET /ws", "CONNECT /ws"), 405),
    ] {
        let mut wire = TlsClient::new(&edge).connect("app.test");
        wire.send(&request);
        assert_eq!(wire.answer().status, status, "{request}");
    }
    assert_eq!(backend.accepted(), 0);
    let mut wire = TlsClient::new(&edge).connect("app.test");
    wire.send(UPGRADE.replace("/ws", "/public/ws"));
    assert_eq!(wire.answer().status, 101);
    drop(wire);
    eventually("the tunnel ends with its client", || backend.open() == 0);
}

/// A conversation behind a 101 is no body: it has no limit, and nothing but its own bytes comes out of it, also when the
/// server breaks off.
#[test]
fn a_tunnel_may_carry_more_than_a_body_and_gets_no_words_of_ours() {
    const HEARD: usize = 64 * 1024;
    let backend = Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), |mut stream, _| {
        let mut reader = BufReader::new(&stream);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {}
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        let mut write = &stream;
        drop(write.write_all(agreed));
        drop(reader.read_exact(&mut vec![0; HEARD]).and_then(|()| write.write_all(b"heard")));
        drop(stream.flush());
    });
    let edge = edge(&backend, "limits = { body = \"1KiB\" }\n");
    let mut wire = TlsClient::new(&edge).connect("app.test");
    wire.send(UPGRADE);
    assert_eq!(wire.answer().status, 101);
    wire.send(vec![b'x'; HEARD]);
    assert_eq!(wire.exactly(5), b"heard");
    // The server is gone: what is sent now breaks the tunnel from that side.
    eventually("the tunnel ends", || wire.try_send([b'x'; 1024]).is_err());
    assert_eq!(String::from_utf8_lossy(&wire.rest()), "");
}
