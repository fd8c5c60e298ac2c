//! Which server a connection gets, who may come at all and how often, and what servers are told of their clients.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod l4;
    pub(crate) mod pki;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use support::edge::TestEdge;
use support::l4::{echo, edge, entrypoint, greeting, greeting_at, tcp, tcp_edge};
use support::process::{eventually, free_port};
use support::wire::Wire;

/// Who greets a new connection; empty if it is closed instead.
#[track_caller]
fn greeted(edge: &TestEdge) -> String {
    let mut wire = Wire::tcp(edge.address("tcp"));
    let mut name = Vec::new();
    while let Some(byte) = wire.exactly_or_end(1) {
        if byte == b"\n" {
            break;
        }
        name.extend(byte);
    }
    String::from_utf8_lossy(&name).into_owned()
}

/// How often each of these greets in so many connections.
#[track_caller]
fn counts(edge: &TestEdge, names: [&str; 2], connections: usize) -> [usize; 2] {
    let greeted: Vec<_> = (0..connections).map(|_| greeted(edge)).collect();
    names.map(|name| greeted.iter().filter(|greeted| *greeted == name).count())
}

fn route(servers: &str, more: &str) -> String {
    format!("[[tcp]]\nname = \"raw\"\n[tcp.upstream]\nservers = [{servers}]\n{more}\n")
}

#[test]
fn connections_go_to_the_servers_in_turn_by_their_weights() {
    let (one, two) = (greeting("one"), greeting("two"));
    let servers = format!("\"{}\", {{ url = \"{}\", weight = 3 }}", one.address(), two.address());
    let edge = tcp_edge(&[], &route(&servers, ""));
    assert_eq!(counts(&edge, ["one", "two"], 40), [10, 30]);
}

#[test]
fn one_client_stays_at_one_server_by_its_address() {
    let (one, two) = (greeting("one"), greeting("two"));
    let servers = format!("\"{}\", \"{}\"", one.address(), two.address());
    let edge = tcp_edge(&[], &route(&servers, "balance = \"hash:client-ip\""));
    let counts = counts(&edge, ["one", "two"], 10);
    assert!(counts.contains(&10), "{counts:?}");
}

#[test]
fn the_server_with_fewer_open_connections_is_next() {
    let (one, two) = (greeting("one"), greeting("two"));
    let servers = format!("\"{}\", \"{}\"", one.address(), two.address());
    let edge = tcp_edge(&[], &route(&servers, "balance = \"least-requests\""));
    let mut open: Vec<_> = (0..10).map(|_| Wire::tcp(edge.address("tcp"))).collect();
    for wire in &mut open {
        wire.until(b"\n");
    }
    assert_eq!([one.open(), two.open()], [5, 5]);
}

#[test]
fn a_server_that_refuses_is_passed_over_and_a_backup_helps_last() {
    let (one, backup) = (greeting("one"), greeting("backup"));
    let dead = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let servers = format!("\"{dead}\", \"{}\", {{ url = \"{}\", backup = true }}", one.address(), backup.address());
    let edge = tcp_edge(&[], &route(&servers, ""));
    assert_eq!(counts(&edge, ["one", "backup"], 10), [10, 0]);
    drop(one);
    eventually("the backup greets", || greeted(&edge) == "backup");
    drop(backup);
    eventually("nobody greets, and the client is closed", || greeted(&edge).is_empty());
}

#[test]
fn health_finds_servers_that_go_and_come() {
    let one = greeting("one");
    let place = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let health = "health = { every = \"100ms\", timeout = \"1s\", up_after = 1, down_after = 1 }";
    let servers = format!("\"{}\", \"{place}\"", one.address());
    let edge = tcp_edge(&[], &route(&servers, health));
    let up = || edge.metric_sum("edge_upstream_up", &["route=\"raw\""]);
    let failed = || edge.metric_sum("edge_upstream_checks_total", &["route=\"raw\"", "result=\"failed\""]);
    eventually("one of two is up and the other was asked", || up() == 1.0 && failed() >= 1.0);
    assert_eq!(counts(&edge, ["one", "two"], 6), [6, 0]);
    let two = greeting_at(place, "two");
    eventually("both are up", || up() == 2.0);
    assert_eq!(counts(&edge, ["one", "two"], 6), [3, 3]);
    drop(two);
    eventually("one is up again", || up() == 1.0);
    assert_eq!(counts(&edge, ["one", "two"], 6), [6, 0]);
}

const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n";

/// The same in version 2.
fn v2() -> Vec<u8> {
    let addresses = [203, 0, 113, 7, 192, 0, 2, 1, 0x13, 0x88, 0x01, 0xbb];
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c", &addresses[..]].concat()
}

/// An entrypoint `tcp` that believes PROXY headers of these.
fn believing(trusted: &str) -> String {
    entrypoint("tcp", "tcp", &format!("proxy_protocol = true\ntrusted_proxies = [\"{trusted}\"]"))
}

#[test]
fn a_server_is_told_the_client_in_either_version() {
    let server = echo();
    for version in ["v1", "v2"] {
        let keys = format!("send_proxy = \"{version}\"");
        let edge = tcp_edge(&[], &tcp("raw", server.address(), &keys));
        let mut wire = Wire::tcp(edge.address("tcp"));
        wire.send("hello");
        // The server sends back what it hears, the header first.
        if version == "v1" {
            let line = String::from_utf8(wire.until(b"\r\n")).expect("text");
            assert!(line.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{line}");
            let port = edge.address("tcp").port();
            assert!(line.trim_end().ends_with(&format!(" {port}")), "the client's address and the edge's own: {line}");
        } else {
            let head = wire.exactly(28);
            assert!(head.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x7f\0\0\x01\x7f\0\0\x01"), "{head:?}");
        }
        assert_eq!(wire.exactly(5), b"hello");
    }
}

#[test]
fn the_client_that_a_trusted_proxy_names_is_handed_on() {
    let server = echo();
    for header in [V1.to_vec(), v2()] {
        let edge = edge(&believing("127.0.0.0/8"), &[], &tcp("raw", server.address(), "send_proxy = \"v1\""));
        let mut wire = Wire::tcp(edge.address("tcp"));
        wire.send([&header[..], b"hello"].concat());
        let line = String::from_utf8(wire.until(b"\r\n")).expect("text");
        assert!(line.starts_with("PROXY TCP4 203.0.113.7 "), "{line}");
        assert!(line.contains(" 5000 "), "{line}");
        assert_eq!(wire.exactly(5), b"hello");
    }
}

#[test]
fn a_stranger_names_nobody() {
    let server = echo();
    let edge = edge(&believing("192.0.2.1"), &[], &tcp("raw", server.address(), ""));
    for header in [V1.to_vec(), v2(), b"PROXY UNKNOWN\r\n".to_vec()] {
        let mut wire = Wire::tcp(edge.address("tcp"));
        drop(wire.try_send(&header));
        assert_eq!(wire.rest(), b"");
    }
    assert_eq!(server.accepted(), 0);
}

/// Where no header is awaited it is bytes like others: no server may take it for the edge's word.
#[test]
fn a_header_that_is_not_awaited_comes_after_the_edges_own() {
    let server = echo();
    let edge = tcp_edge(&[], &tcp("raw", server.address(), "send_proxy = \"v1\""));
    let mut wire = Wire::tcp(edge.address("tcp"));
    wire.send(V1);
    let line = String::from_utf8(wire.until(b"\r\n")).expect("text");
    assert!(line.starts_with("PROXY TCP4 127.0.0.1 "), "{line}");
    assert_eq!(wire.until(b"\r\n"), V1);
}

#[test]
fn only_clients_of_the_rule_come_in() {
    let server = greeting("one");
    let rule = "ip = { allow = [\"203.0.113.0/24\"], deny = [\"203.0.113.7\"] }";
    let edge = edge(&believing("127.0.0.1"), &[], &tcp("raw", server.address(), rule));
    let from = |client: &str| {
        let mut wire = Wire::tcp(edge.address("tcp"));
        drop(wire.try_send(format!("PROXY TCP4 {client} 192.0.2.1 5000 443\r\n")));
        wire.exactly_or_end(4).is_some()
    };
    for (client, comes_in) in [("203.0.113.8", true), ("203.0.113.7", false), ("198.51.100.1", false)] {
        assert_eq!(from(client), comes_in, "{client}");
    }
    assert_eq!(server.accepted(), 1);
}

#[test]
fn a_route_holds_as_many_connections_as_it_may() {
    let server = greeting("one");
    for limit in ["connections", "client_connections"] {
        let edge = tcp_edge(&[], &tcp("raw", server.address(), &format!("limits = {{ {limit} = 2 }}")));
        let mut open = [(); 2].map(|()| Wire::tcp(edge.address("tcp")));
        for wire in &mut open {
            assert_eq!(wire.until(b"\n"), b"one\n");
        }
        assert_eq!(Wire::tcp(edge.address("tcp")).rest(), b"", "{limit}");
        open[0].finish();
        assert_eq!(open[0].rest(), b"");
        eventually("there is room again", || greeted(&edge) == "one");
    }
}

#[test]
fn a_client_comes_as_often_in_a_second_as_it_may() {
    let server = greeting("one");
    let edge = tcp_edge(&[], &tcp("raw", server.address(), "limits = { client_rate = 5 }"));
    let [came, _] = counts(&edge, ["one", "two"], 200);
    assert!((5..150).contains(&came), "{came} of 200");
    eventually("a second later it may come again", || greeted(&edge) == "one");
}

#[test]
fn a_tunnel_on_which_nothing_passes_is_closed_and_one_that_is_used_is_not() {
    let server = echo();
    let edge = tcp_edge(&[], &tcp("raw", server.address(), "idle = \"1s\""));
    let (mut silent, mut used) = (Wire::tcp(edge.address("tcp")), Wire::tcp(edge.address("tcp")));
    for wire in [&mut silent, &mut used] {
        wire.send("a");
        assert_eq!(wire.exactly(1), b"a");
    }
    edge.has_open("raw", 2.0);
    let label = ["route=\"raw\""];
    eventually("the silent one is closed while the other is used", || {
        used.send("b");
        assert_eq!(used.exactly(1), b"b");
        edge.metric_sum("edge_tcp_connections_open", &label) == 1.0
    });
    assert_eq!(silent.rest(), b"");
    edge.has_open("raw", 0.0);
    assert_eq!(used.rest(), b"");
    eventually("the server lets them go", || server.open() == 0);
}

#[test]
fn a_server_that_resets_ends_its_client() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let edge = tcp_edge(&[], &tcp("raw", listener.local_addr().expect("bound"), ""));
    let mut wire = Wire::tcp(edge.address("tcp"));
    let (socket, _) = listener.accept().expect("the edge connects");
    wire.send("never read");
    // Closed with bytes unread: a reset.
    eventually("the bytes are there", || socket.peek(&mut [0; 10]).is_ok_and(|count| count == 10));
    drop(socket);
    assert_eq!(wire.rest(), b"");
    edge.has_open("raw", 0.0);
}
