//! Raw TCP and TLS through the edge: real Redis and git over ssh, and scripted servers for what they cannot show.

mod support {
    pub(crate) mod backend;
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod l4;
    pub(crate) mod l4_servers;
    pub(crate) mod pki;
    pub(crate) mod postgres;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::path::Path;

use support::backend::Backend;
use support::edge::{PLAIN, TestEdge};
use support::l4::{Mangle, echo, edge, entrypoint, relay, tcp, tcp_edge};
use support::l4_servers::{GitServer, Served, redis, redis_cli};
use support::pki::Authority;
use support::process::{Process, eventually, run};
use support::wire::{TlsClient, Wire};

#[track_caller]
fn ask(edge: &TestEdge, entrypoint: &str, tls: Option<(&str, &Path)>, args: &[&str]) -> String {
    run(redis_cli(edge.address(entrypoint), tls).args(args)).success().trim().to_owned()
}

/// A pop that waits gets what is pushed later, past the edge or through it.
#[track_caller]
fn a_blocking_pop_waits(edge: &TestEdge, entrypoint: &str, tls: (&str, &Path), server: &Served) {
    let mut pop = Process::start(redis_cli(edge.address(entrypoint), Some(tls)).args(["BLPOP", "queue", "0"]));
    let blocked = || ask(edge, entrypoint, Some(tls), &["INFO", "clients"]).contains("blocked_clients:1");
    eventually("the pop waits", blocked);
    ask(edge, entrypoint, Some(tls), &["RPUSH", "queue", "hello"]);
    assert!(pop.wait().success() && pop.output().contains("hello"), "{}", server.log());
}

/// Requirement: TLS terminated for TCP.
#[test]
fn redis_gets_tls_from_the_edge_and_pops_wait_in_it() {
    let server = redis(None);
    let edge = tcp_edge(&[], &tcp("redis", server.address(), "host = \"redis.test\""));
    let (root, big) = (edge.root(), "x".repeat(100_000));
    let tls = Some(("redis.test", root.as_path()));
    assert_eq!(ask(&edge, "tcp", tls, &["SET", "key", &big]), "OK");
    assert_eq!(ask(&edge, "tcp", tls, &["GET", "key"]), big);
    a_blocking_pop_waits(&edge, "tcp", ("redis.test", &root), &server);
    let other = run(redis_cli(edge.address("tcp"), Some(("other.test", &root))).arg("PING"));
    assert!(!other.stdout.contains("PONG"), "{other:?}");
}

/// Requirement: SNI passthrough.
#[test]
fn redis_keeps_its_own_tls_where_the_edge_passes_it_by_its_name() {
    let authority = Authority::new();
    let [one, two] = ["one", "two"].map(|name| redis(Some(&authority.sign(&[&format!("{name}.test")]))));
    let routes = [
        tcp("one", one.address(), "host = \"one.test\"\ntls = \"passthrough\""),
        tcp("two", two.address(), "host = \"two.test\"\ntls = \"passthrough\""),
    ];
    let edge = tcp_edge(&[], &routes.concat());
    let root = edge.file("authority.pem", &authority.root());
    for (name, server) in [("one.test", &one), ("two.test", &two)] {
        assert_eq!(ask(&edge, "tcp", Some((name, &root)), &["SET", "name", name]), "OK");
        assert_eq!(run(redis_cli(server.address(), Some((name, &root))).args(["GET", "name"])).success().trim(), name);
        a_blocking_pop_waits(&edge, "tcp", (name, &root), server);
    }
}

#[test]
fn redis_is_spoken_to_over_tls_with_a_server_that_is_believed() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let server = redis(Some(&right.sign(&["redis.internal.test"])));
    let dir = tempfile::tempdir().expect("a folder");
    let route = |name: &str, authority: &Authority| {
        let root = dir.path().join(format!("{name}.pem"));
        std::fs::write(&root, authority.root()).expect("the folder is ours");
        format!(
            "[[tcp]]\nname = \"{name}\"\nhost = \"{name}.test\"\ntls = \"reencrypt\"\n[tcp.upstream]\n\
             servers = [\"{}\"]\ntls = {{ ca_file = \"{}\", server_name = \"redis.internal.test\" }}\n",
            server.address(),
            root.display()
        )
    };
    let edge = tcp_edge(&[], &[route("right", &right), route("wrong", &wrong)].concat());
    assert_eq!(ask(&edge, "tcp", Some(("right.test", &edge.root())), &["PING"]), "PONG");
    let refused = run(redis_cli(edge.address("tcp"), Some(("wrong.test", &edge.root()))).arg("PING"));
    assert!(!refused.stdout.contains("PONG"), "{refused:?}");
}

#[test]
fn one_port_serves_https_routes_and_names_of_other_protocols() {
    let authority = Authority::new();
    let (own, plain) = (redis(Some(&authority.sign(&["own.test"]))), redis(None));
    let app = Backend::hello("app");
    let routes = [
        format!("[[route]]\nhost = \"app.test\"\nupstream = \"{}\"\n", app.url()),
        tcp("own", own.address(), "entrypoint = \"https\"\nhost = \"own.test\""),
        tcp("plain", plain.address(), "entrypoint = \"https\"\nhost = \"plain.test\"\ntls = \"terminate\""),
    ];
    let edge = TestEdge::with_config(PLAIN, &[("all.toml", &routes.concat())]);
    let root = edge.file("authority.pem", &authority.root());
    assert_eq!(ask(&edge, "https", Some(("own.test", &root)), &["PING"]), "PONG");
    assert_eq!(ask(&edge, "https", Some(("plain.test", &edge.root())), &["PING"]), "PONG");
    for version in ["--http1.1", "--http2"] {
        assert_eq!(edge.https("https://app.test/", &[version]).text(), "app");
    }
    // A name of the one is not an address of the other.
    assert_ne!(edge.https("https://own.test/", &[]).status, 200);
    let mut wire = TlsClient::new(&edge).alpn(&["http/1.1"]).connect("app.test");
    wire.send("GET / HTTP/1.1\r\nHost: plain.test\r\n\r\n");
    let status = wire.answer().status;
    assert!([404, 421].contains(&status), "{status}");
}

/// Its TLS was meant to pass untouched: no wildcard of requests may end it in its place.
#[test]
fn a_name_whose_route_is_rejected_is_for_nobody_beside_https() {
    let app = Backend::hello("app");
    let routes = [
        format!("[[route]]\nname = \"wild\"\nhost = \"*.x.test\"\nupstream = \"{}\"\n", app.url()),
        tcp("own", "127.0.0.1:1", "entrypoint = \"https\"\nhost = \"own.x.test\"\ntls = \"passthru\""),
    ];
    let edge = TestEdge::with_config(PLAIN, &[("all.toml", &routes.concat())]);
    assert_eq!(edge.https("https://other.x.test/", &[]).text(), "app");
    let refused = edge.https("https://own.x.test/", &[]);
    assert!(refused.status == 0 && refused.said.contains("unrecognized name"), "{}", refused.said);
}

/// Requirement: plain TCP.
#[test]
fn git_clones_over_ssh_through_the_edge() {
    let server = GitServer::start(3_000_000);
    let edge = tcp_edge(&[], &tcp("ssh", server.address(), ""));
    assert!(server.clone_through(edge.address("tcp").port()) == server.file());
    let through = || edge.metric_sum("edge_tcp_bytes_total", &["route=\"ssh\""]);
    eventually("the bytes are counted", || through() > 3e6);
}

#[test]
fn names_are_found_in_a_greeting_that_comes_in_pieces() {
    let authority = Authority::new();
    let server = redis(Some(&authority.sign(&["own.test"])));
    let routes = [
        tcp("own", server.address(), "host = \"own.test\"\ntls = \"passthrough\""),
        tcp("other", server.address(), "host = \"other.test\""),
    ];
    let edge = tcp_edge(&[], &routes.concat());
    let root = edge.file("authority.pem", &authority.root());
    let relay = relay(edge.address("tcp"), Mangle::SingleBytes);
    let said = run(redis_cli(relay.address(), Some(("own.test", &root))).arg("PING")).success();
    assert_eq!(said.trim(), "PONG");
}

#[test]
fn each_side_may_end_its_half_first() {
    let server = echo();
    let edge = edge(
        &[entrypoint("tcp", "tcp", ""), entrypoint("raw", "tcp", "")].concat(),
        &[],
        &[
            tcp("tls", server.address(), "entrypoint = \"tcp\"\nhost = \"echo.test\""),
            tcp("raw", server.address(), "entrypoint = \"raw\""),
        ]
        .concat(),
    );
    let tls = TlsClient::new(&edge).to(edge.address("tcp")).connect("echo.test");
    for mut wire in [Wire::tcp(edge.address("raw")), tls] {
        wire.send("hello ");
        assert_eq!(wire.exactly(6), b"hello ");
        wire.finish();
        assert_eq!(wire.rest(), b"bye", "the server still answers a client that has said all it has");
    }
    edge.has_open("raw", 0.0);
    edge.has_open("tls", 0.0);
}

#[test]
fn a_route_that_is_changed_or_removed_leaves_its_open_connections() {
    let (one, two) = (support::l4::greeting("one"), support::l4::greeting("two"));
    let edge = tcp_edge(&[], &tcp("raw", one.address(), ""));
    let mut old = Wire::tcp(edge.address("tcp"));
    assert_eq!(old.until(b"\n"), b"one\n");
    edge.write_route("l4.toml", &tcp("raw", two.address(), ""));
    edge.reload().success();
    assert_eq!(Wire::tcp(edge.address("tcp")).until(b"\n"), b"two\n");
    old.send("still here");
    assert_eq!(old.exactly(10), b"still here");
    edge.remove_route("l4.toml");
    edge.reload().success();
    assert_eq!(Wire::tcp(edge.address("tcp")).rest(), b"");
    old.send("and here");
    assert_eq!(old.exactly(8), b"and here");
}
