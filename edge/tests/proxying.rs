//! Requests through the edge to real servers and clients of every protocol, and what must arrive as it was sent.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod h2c;
    pub(crate) mod look;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use support::backend::{Backend, Then};
use support::curl::Answer;
use support::edge::TestEdge;
use support::h2c::H2cServer;
use support::process::eventually;
use support::servers::{Server, file_server, grpc_call, grpc_server, image, registry, skopeo, ws_client};

const CLIENTS: [(&str, &str); 2] = [("--http1.1", "1.1"), ("--http2", "2")];

fn route(upstream: &str) -> String {
    format!("[[route]]\nhost = \"app.test\"\nupstream = \"{upstream}\"\n")
}

fn before(upstream: &str) -> TestEdge {
    TestEdge::with_routes(&[("app.toml", &route(upstream))])
}

/// An edge in front of another one, which it speaks HTTP/2 over TLS with.
fn before_tls(inner: &TestEdge) -> TestEdge {
    let root = inner.path("state/local-ca/root.pem");
    let (address, root) = (inner.address("https"), root.display());
    before_table(&format!(
        "servers = \"https://{address}\"\nhttp = \"2\"\ntls = {{ ca_file = \"{root}\", server_name = \"app.test\" }}"
    ))
}

fn before_table(upstream: &str) -> TestEdge {
    TestEdge::with_routes(&[("app.toml", &format!("[[route]]\nhost = \"app.test\"\n[route.upstream]\n{upstream}\n"))])
}

fn get(edge: &TestEdge, path: &str, args: &[&str]) -> Answer {
    edge.https(&format!("https://app.test{path}"), args)
}

#[test]
fn both_protocols_of_clients_reach_an_http_1_server() {
    let backend = Backend::echo();
    let edge = before(&backend.url());
    for (flag, version) in CLIENTS {
        let answer = get(&edge, "/a//b%2Fc?d=%20&d=2", &[flag, "-d", "12345", "-H", "x-own: 1"]);
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{}", answer.said);
        assert!(answer.text().starts_with("POST /a//b%2Fc?d=%20&d=2 HTTP/1.1\r\n"), "{}", answer.text());
        assert_eq!(answer.header("x-body-bytes"), Some("5"));
        let head = answer.text().to_ascii_lowercase();
        assert!(head.contains("\r\nhost: app.test\r\n") && head.contains("\r\nx-own: 1\r\n"), "{head}");
    }
}

#[test]
fn both_protocols_of_clients_reach_an_http_2_server_over_tls() {
    let backend = Backend::echo();
    let inner = before(&backend.url());
    let edge = before_tls(&inner);
    for (flag, version) in CLIENTS {
        let path = format!("/to-{version}");
        let answer = get(&edge, &path, &[flag, "-d", "12345"]);
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{}", answer.said);
        assert!(answer.text().starts_with(&format!("POST {path} HTTP/1.1\r\n")), "{}", answer.text());
        assert_eq!(answer.header("x-body-bytes"), Some("5"));
        eventually("the inner edge has logged it", || !inner.access(&path).is_empty());
        assert_eq!(inner.access(&path)[0]["proto"], "HTTP/2");
    }
}

#[test]
fn both_protocols_of_clients_reach_an_http_2_server_in_clear() {
    let server = H2cServer::start();
    let edge = before(&server.url());
    for (flag, version) in CLIENTS {
        let answer = get(&edge, "/x?y=1", &[flag, "-d", "12345"]);
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{}", answer.said);
        assert_eq!(answer.text(), "POST /x?y=1 5");
    }
    assert_eq!(get(&edge, "/", &["--http2"]).header("x-trailer"), Some("after the body"));
}

#[test]
fn both_protocols_of_clients_reach_an_http_2_server_at_a_socket_of_the_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = H2cServer::at_socket(&folder.path().join("app.sock"));
    let route =
        format!("[[route]]\nhost = \"app.test\"\nupstream = {{ servers = \"{}\", http = \"h2c\" }}\n", server.url());
    let edge = TestEdge::with_routes(&[("app.toml", &route)]);
    for (flag, version) in CLIENTS {
        let answer = get(&edge, "/x?y=1", &[flag, "-d", "12345"]);
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{}", answer.said);
        assert_eq!(answer.text(), "POST /x?y=1 5");
    }
}

#[test]
fn a_websocket_client_talks_through_the_edge() {
    let backend = Backend::websocket();
    let edge = before(&backend.url());
    let root = edge.path("state/local-ca/root.pem").display().to_string();
    let to = edge.address("https").to_string();
    let big = "x".repeat(100_000);
    let said = ws_client(&["wss://app.test/chat", "--connect", &to, "--ca", &root, "one", &big, "three"]).success();
    assert_eq!(said, format!("one\n{big}\nthree\n"));
    eventually("it is counted", || edge.metric_sum("edge_requests_total", &["code=\"101\""]) == 1.0);
    eventually("nothing stays open", || backend.open() == 0);
}

/// Requirement: gRPC with its trailers, on HTTP/2 from end to end.
#[test]
fn grpc_calls_of_every_kind_pass_with_their_trailers() {
    let server = grpc_server();
    let edge = before(&format!("h2c://{}", server.address));
    let root = edge.path("state/local-ca/root.pem").display().to_string();
    let target = edge.address("https").to_string();
    let call = |kind: &str, messages: &[&str]| {
        grpc_call(&[&[&target, kind, "--ca", &root, "--authority", "app.test"], messages].concat())
    };
    let unary = call("unary", &["hello"]);
    assert_eq!((&unary["code"], &unary["messages"]), (&"OK".into(), &serde_json::json!(["hello"])), "{unary}");
    assert_eq!(unary["initial"]["x-initial"], "before the body");
    assert_eq!(unary["trailers"]["x-binary-bin"], "0001ff");
    let refused = call("unary", &["refuse"]);
    let (code, details) = (&refused["code"], &refused["details"]);
    assert_eq!((code, details), (&"FAILED_PRECONDITION".into(), &"refused: 100% as asked".into()));
    let letters = call("letters", &["abc"]);
    assert_eq!(letters["messages"], serde_json::json!(["a", "b", "c"]), "{letters}");
    let streams = call("streams", &["1", "2", "3"]);
    assert_eq!(streams["messages"], serde_json::json!(["1", "2", "3"]), "{streams}");
    assert_eq!(streams["trailers"]["x-trailer"], "after the body");
}

#[test]
fn images_are_pushed_to_a_registry_and_pulled_from_it() {
    let (server, image, back) = (registry(), image(3_000_000), tempfile::tempdir().expect("a folder"));
    let edge = TestEdge::with_routes(&[(
        "registry.toml",
        &format!("[[route]]\nhost = \"localhost\"\nupstream = \"{}\"\n", server.url()),
    )]);
    let name = format!("docker://localhost:{}/team/x:1", edge.address("https").port());
    skopeo(&["copy", "--dest-tls-verify=false", &format!("oci:{}:1", image.path().display()), &name]).success();
    skopeo(&["copy", "--src-tls-verify=false", &name, &format!("oci:{}:1", back.path().display())]).success();
    let mut blobs = std::fs::read_dir(back.path().join("blobs/sha256")).expect("an OCI layout").flatten();
    assert!(blobs.any(|blob| blob.metadata().is_ok_and(|about| about.len() >= 3_000_000)));
    edge.counts_at_least("edge_requests_total", &["route=\"localhost\"", "code=\"201\""], 3.0);
    assert_eq!(edge.metric_sum("edge_refusals_total", &[]), 0.0, "{}", edge.metrics());
}

#[test]
fn files_of_a_python_server_arrive_whole() {
    let text = "line\n".repeat(20_000);
    let server: Server = file_server(&[("a.txt", &text)]);
    let edge = before(&server.url());
    for (flag, version) in CLIENTS {
        let answer = get(&edge, "/a.txt", &[flag]);
        assert_eq!((answer.status, answer.version.as_str(), answer.text() == text), (200, version, true));
        assert_eq!(get(&edge, "/nothing", &[flag]).status, 404, "the server's own answer");
        let stamp = answer.header("last-modified").expect("Python says it").to_owned();
        let again = get(&edge, "/a.txt", &[flag, "-H", &format!("if-modified-since: {stamp}")]);
        assert_eq!((again.status, again.body.len(), again.exit), (304, 0, 0), "{}", again.said);
    }
    assert_eq!(edge.metric_sum("edge_refusals_total", &[]), 0.0, "a 404 of a server is no refusal of the edge");
}

#[test]
fn repeated_fields_keep_their_number_and_order_both_ways() {
    let backend = Backend::start(|exchange| {
        exchange.drain()?;
        let fields = exchange.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("x-r:"));
        let body = fields.map(|line| format!("{}\n", line.to_ascii_lowercase())).collect::<String>();
        let cookies = [("set-cookie", "a=1; Path=/"), ("x-between", "1"), ("set-cookie", "b=2"), ("set-cookie", "a=3")];
        exchange.answer("200 OK", &cookies, body.as_bytes())
    });
    let edge = before(&backend.url());
    for (flag, _) in CLIENTS {
        let answer = get(&edge, "/", &[flag, "-H", "x-r: 1", "-H", "x-r: 3", "-H", "x-r: 2, 2"]);
        assert_eq!(answer.text(), "x-r: 1\nx-r: 3\nx-r: 2, 2\n");
        assert_eq!(answer.all("set-cookie"), ["a=1; Path=/", "b=2", "a=3"]);
    }
}

#[test]
fn answers_without_a_body_have_none_and_the_connection_goes_on() {
    let backend = Backend::start(|exchange| match exchange.target() {
        "/204" => exchange.send(b"HTTP/1.1 204 No Content\r\nx-a: 1\r\n\r\n").map(|()| Then::Keep),
        "/304" => exchange.send(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 100\r\n\r\n").map(|()| Then::Keep),
        _ => exchange.answer("200 OK", &[("x-a", "1")], b"0123456789"),
    });
    let edge = before(&backend.url());
    for (flag, _) in CLIENTS {
        let head = get(&edge, "/head", &[flag, "--head"]);
        assert_eq!((head.status, head.exit, head.header("content-length")), (200, 0, Some("10")), "{}", head.said);
        // One connection, one after the other: a stray byte would break the next answer.
        let urls = ["https://app.test/304", "https://app.test/last"];
        let answer = get(&edge, "/204", &[&[flag, "-v", "--fail"], &urls[..]].concat());
        assert_eq!((answer.status, answer.exit, answer.text().as_str()), (200, 0, "0123456789"), "{}", answer.said);
        assert_eq!(answer.said.matches("SSL connection using").count(), 1, "{}", answer.said);
    }
}

#[test]
fn an_upload_to_a_server_on_http2_may_take_longer_than_the_limits_of_its_answer() {
    let server = H2cServer::start();
    let route = format!(
        "[[route]]\nhost = \"app.test\"\n[route.upstream]\nservers = [\"{}\"]\ntimeouts = {{ first_byte = \"2s\", idle = \"2s\" }}\n",
        server.url()
    );
    let edge = TestEdge::with_routes(&[("app.toml", &route)]);
    for flag in ["--http1.1", "--http2"] {
        // At 100 kB a second it takes three seconds and more.
        let file = edge.path("upload");
        std::fs::write(&file, vec![0; 350_000]).expect("written");
        let path = file.display().to_string();
        let answer = edge.https("https://app.test/", &[flag, "-T", &path, "--limit-rate", "100K"]);
        assert_eq!((answer.status, answer.exit), (200, 0), "{flag}: {}", answer.said);
    }
}
