//! Datagrams through the edge: a real name server, and servers that send back what they get.

mod support {
    pub(crate) mod backend;
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod l4_servers;
    pub(crate) mod pki;
    pub(crate) mod postgres;
    pub(crate) mod process;
    pub(crate) mod udp;
}

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use support::edge::{TestEdge, edge};
use support::l4_servers::{dig, dnsmasq, free_udp_port};
use support::process::eventually;
use support::udp::{Echo, Sender};

/// An edge with one `[[udp]]`, named `datagrams`, and where it listens.
struct Stage {
    edge: TestEdge,
    address: SocketAddr,
}

impl Stage {
    /// `upstream` is one address; `keys` are more lines.
    #[track_caller]
    fn before(upstream: SocketAddr, keys: &str) -> Self {
        Self::with(&format!("upstream = \"{upstream}\"\n{keys}"))
    }

    #[track_caller]
    fn with(keys: &str) -> Self {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_udp_port()));
        let route = format!("[[udp]]\nname = \"datagrams\"\nlisten = \"{address}\"\n{keys}\n");
        Self { edge: TestEdge::with_routes(&[("udp.toml", &route)]), address }
    }

    fn client(&self) -> Sender {
        Sender::to(self.address)
    }

    #[track_caller]
    fn open(&self) -> f64 {
        self.edge.metric_sum("edge_udp_sessions_open", &["route=\"datagrams\""])
    }
}

#[test]
fn a_name_server_answers_through_the_edge() {
    let server = dnsmasq(&[("app.test", "192.0.2.7"), ("shop.test", "2001:db8::7")]);
    let stage = Stage::before(server.address(), "");
    for _ in 0..20 {
        assert_eq!(dig(stage.address, &["app.test"]).success().trim(), "192.0.2.7");
    }
    assert_eq!(dig(stage.address, &["shop.test", "AAAA"]).success().trim(), "2001:db8::7");
    let long = dig(stage.address, &["+bufsize=4096", "+ignore", "long.test", "TXT"]).success();
    assert!(long.len() > 2000, "{long}");
    let datagrams = || stage.edge.metric_sum("edge_udp_datagrams_total", &["route=\"datagrams\""]);
    eventually("they are counted, both ways", || datagrams() >= 44.0);
}

#[test]
fn datagrams_of_every_size_come_back_to_the_client_that_sent_them() {
    let server = Echo::start("");
    let stage = Stage::before(server.address, "");
    let clients: Vec<_> = (0..20).map(|_| stage.client()).collect();
    let body = |number: usize, size| vec![u8::try_from(number).expect("few"); size];
    for size in [0, 1, 512, 1_472] {
        clients.iter().enumerate().for_each(|(number, client)| client.send(&body(number, size)));
        for (number, client) in clients.iter().enumerate() {
            assert!(client.receive() == body(number, size), "{size} bytes of client {number}");
        }
    }
    // All of these at once would fill the buffers of sockets.
    for size in [1_473, 9_000, 65_507] {
        for (number, client) in clients.iter().enumerate() {
            assert!(client.ask(&body(number, size)) == body(number, size), "{size} bytes of client {number}");
        }
    }
    assert_eq!(server.peers(), 20, "each client is a session of its own");
    assert_eq!(stage.open(), 20.0);
}

#[test]
fn datagrams_keep_their_order_and_their_borders() {
    let server = Echo::start("");
    let stage = Stage::before(server.address, "");
    let client = stage.client();
    for round in 0_u32..50 {
        // Few enough at once that no buffer is full.
        let sent: Vec<_> = (0..20).map(|number| format!("{round} {number}")).collect();
        sent.iter().for_each(|text| client.send(text.as_bytes()));
        let came: Vec<_> = sent.iter().map(|_| String::from_utf8(client.receive()).expect("text")).collect();
        assert_eq!(came, sent);
    }
}

#[test]
fn a_client_stays_at_its_server_and_many_clients_use_both() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let stage = Stage::with(&format!("upstream = [\"{}\", \"{}\"]", one.address, two.address));
    let mut used = BTreeSet::new();
    for last in 1..=40 {
        let own = Ipv4Addr::new(127, 0, 0, last);
        let answers: BTreeSet<_> = (0..3).map(|_| Sender::from(own, stage.address).ask(b"")).collect();
        assert_eq!(answers.len(), 1, "{own} is served by one of them");
        used.extend(answers);
    }
    assert_eq!(used.len(), 2);
}

#[test]
fn sessions_may_go_to_the_servers_in_turn() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let servers =
        format!("[udp.upstream]\nservers = [\"{}\", \"{}\"]\nbalance = \"round-robin\"", one.address, two.address);
    let stage = Stage::with(&servers);
    let mut names: Vec<_> = (0..10).map(|_| stage.client().ask(b"")).collect();
    names.sort();
    assert_eq!(names, [vec![b"one".to_vec(); 5], vec![b"two".to_vec(); 5]].concat());
}

/// The system tells by ICMP that nobody listens there, which must end nothing but that session.
#[test]
fn a_server_that_is_not_there_is_used_when_it_comes() {
    let place = SocketAddr::from((Ipv4Addr::LOCALHOST, free_udp_port()));
    let stage = Stage::before(place, "");
    let client = stage.client();
    for _ in 0..5 {
        client.send(b"hello");
    }
    assert_eq!(client.soon(), None);
    let _server = Echo::at(place, "back");
    eventually("the same client is served", || {
        client.send(b"");
        client.soon().is_some_and(|said| said == b"back")
    });
    assert_eq!(stage.client().ask(b""), b"back");
}

/// Such as a client that asks and does not wait: the answer meets a closed port, which must not disturb the others.
#[test]
fn a_client_that_is_gone_disturbs_nobody() {
    let server = Echo::start("one");
    let stage = Stage::before(server.address, "");
    let stays = stage.client();
    for _ in 0..50 {
        stage.client().send(b"never read");
        assert_eq!(stays.ask(b""), b"one");
    }
}

#[test]
fn a_silent_session_is_forgotten_and_begins_anew() {
    let server = Echo::start("one");
    let stage = Stage::before(server.address, "idle = \"1s\"");
    let client = stage.client();
    client.ask(b"");
    assert_eq!((server.peers(), stage.open()), (1, 1.0));
    eventually("it is forgotten", || stage.open() == 0.0);
    assert_eq!(client.ask(b""), b"one");
    assert_eq!(server.peers(), 2, "the same client from another port of the edge");
    // One that is used is kept for longer than that.
    let mut rounds = 0;
    let begun = std::time::Instant::now();
    while begun.elapsed().as_millis() < 2_500 {
        client.ask(b"");
        rounds += 1;
    }
    assert!(rounds > 10 && server.peers() == 2, "{rounds} rounds from {} ports", server.peers());
}

/// The addresses of loopback are clients of their own, as far as the edge can see.
#[test]
fn one_client_has_as_many_sessions_as_it_may_and_others_have_theirs() {
    let server = Echo::start("one");
    let stage = Stage::before(server.address, "limits = { client_sessions = 2 }");
    let clients: Vec<_> = (0..5).map(|_| stage.client()).collect();
    clients.iter().for_each(|client| client.send(b""));
    let served = clients.iter().filter(|client| client.soon().is_some()).count();
    assert_eq!(served, 2);
    assert_eq!(Sender::from(Ipv4Addr::new(127, 0, 0, 2), stage.address).ask(b""), b"one");
    assert_eq!((server.peers(), stage.open()), (3, 3.0));
    let dropped = ["route=\"datagrams\"", "result="];
    assert!(stage.edge.metric_sum("edge_udp_datagrams_total", &dropped) >= 6.0, "{}", stage.edge.metrics());
}

#[test]
fn a_route_has_as_many_sessions_as_it_may() {
    let server = Echo::start("one");
    let stage = Stage::before(server.address, "idle = \"1s\"\nlimits = { sessions = 3 }");
    let clients: Vec<_> = (1..=6).map(|last| Sender::from(Ipv4Addr::new(127, 0, 0, last), stage.address)).collect();
    clients.iter().for_each(|client| client.send(b""));
    assert_eq!(clients.iter().filter(|client| client.soon().is_some()).count(), 3);
    eventually("there is room again", || {
        clients[5].send(b"");
        clients[5].soon().is_some()
    });
}

#[test]
fn a_client_begins_as_many_sessions_in_a_second_as_it_may() {
    let server = Echo::start("one");
    let stage = Stage::before(server.address, "limits = { client_rate = 5 }");
    let clients: Vec<_> = (0..100).map(|_| stage.client()).collect();
    clients.iter().for_each(|client| client.send(b""));
    assert_eq!(Sender::from(Ipv4Addr::new(127, 0, 0, 2), stage.address).ask(b""), b"one");
    assert!((6..60).contains(&server.peers()), "{}", server.peers());
}

#[test]
fn a_flood_from_one_source_leaves_room_for_others() {
    let server = Echo::start("one");
    let stage = Stage::before(server.address, "");
    let before = stage.edge.metric("edge_process_resident_memory_bytes").expect("it is measured");
    let good = Sender::from(Ipv4Addr::new(127, 0, 0, 2), stage.address);
    assert_eq!(good.ask(b""), b"one");
    let flood: Vec<_> = (0..400).map(|_| UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")).collect();
    for _ in 0..50 {
        for socket in &flood {
            // What finds no room is dropped, here or there.
            drop(socket.send_to(&[b'x'; 1_000], stage.address));
        }
    }
    // A datagram may be lost while the flood lasts, and a client asks again then.
    eventually("a good client is served", || {
        good.send(b"");
        good.soon().is_some_and(|said| said == b"one")
    });
    assert!(stage.open() <= 257.0, "256 of one source, one of the other: {}", stage.open());
    let after = stage.edge.metric("edge_process_resident_memory_bytes").expect("it is measured");
    assert!(after < before + 64e6, "{after} after {before}");
}

#[test]
fn only_clients_of_the_rule_are_served() {
    let server = Echo::start("one");
    let stage = Stage::before(server.address, "ip = { allow = [\"127.0.0.0/30\"], deny = [\"127.0.0.2\"] }");
    let served = |last: u8| {
        let client = Sender::from(Ipv4Addr::new(127, 0, 0, last), stage.address);
        client.send(b"");
        client.soon().is_some()
    };
    assert_eq!([1, 2, 3, 9].map(served), [true, false, true, false]);
    assert_eq!(server.peers(), 2);
}

#[test]
fn a_route_that_is_changed_is_used_by_the_next_session_and_one_that_is_removed_by_none() {
    let (one, two) = (Echo::start("one"), Echo::start("two"));
    let stage = Stage::before(one.address, "");
    let route = |to: &Echo| {
        format!("[[udp]]\nname = \"datagrams\"\nlisten = \"{}\"\nupstream = \"{}\"\n", stage.address, to.address)
    };
    assert_eq!(stage.client().ask(b""), b"one");
    stage.edge.write_route("udp.toml", &route(&two));
    stage.edge.reload().success();
    eventually("the new server is used", || stage.client().ask(b"") == b"two");
    stage.edge.remove_route("udp.toml");
    stage.edge.reload().success();
    eventually("nobody listens", || {
        let client = stage.client();
        client.send(b"");
        client.soon().is_none()
    });
    assert!(UdpSocket::bind(stage.address).is_ok(), "the port is free");
}

/// They take whoever comes from this machine for their operator, as the edge does for everybody.
#[test]
fn rustdesk_is_not_served_from_loopback_on_the_ports_that_believe_it() {
    let check = |route: &str| {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("routes")).expect("it is new");
        let config = "[entrypoint.desk]\nlisten = [\"127.0.0.1:0\"]\nprotocol = \"tcp\"\n";
        std::fs::write(dir.path().join("edge.toml"), config).expect("the folder is ours");
        std::fs::write(dir.path().join("routes/desk.toml"), route).expect("the folder is ours");
        let ran = edge(dir.path(), &["check"]);
        (ran.status.success(), ran.stdout + &ran.stderr)
    };
    for (port, good) in [(21115, false), (21116, true), (21117, false)] {
        for host in ["127.0.0.1", "localhost", "[::1]", "127.1.2.3", "10.0.0.9"] {
            let (passed, said) = check(&format!("[[tcp]]\nname = \"desk\"\nupstream = \"{host}:{port}\"\n"));
            assert_eq!(passed, good || host == "10.0.0.9", "{host}:{port}: {said}");
            assert!(passed || said.contains("RustDesk"), "{said}");
        }
    }
    let (passed, said) = check(
        "[[udp]]\nname = \"desk\"\nlisten = \"127.0.0.1:31116\"\nupstream = \"127.0.0.1:21116\"\nidle = \"60s\"\n",
    );
    assert!(passed, "{said}");
}
