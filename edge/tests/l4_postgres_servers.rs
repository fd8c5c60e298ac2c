//! Several servers of one route, their health, the client that a proxy in front names, and the end of the edge.

mod support {
    pub(crate) mod backend;
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod l4;
    pub(crate) mod pki;
    pub(crate) mod postgres;
    pub(crate) mod process;
}

use std::collections::BTreeMap;
use std::net::SocketAddr;

use support::backend::Backend;
use support::edge::TestEdge;
use support::l4::{Mangle, echo, edge, entrypoint, postgres_edge, relay, tcp};
use support::pki::Authority;
use support::postgres::{Dsn, Postgres, psql, psql_running};
use support::process::{comes_true, eventually, free_port};

fn route(servers: &[SocketAddr], more: &str) -> String {
    let servers: Vec<_> = servers.iter().map(|server| format!("\"{server}\"")).collect();
    format!(
        "[[tcp]]\nname = \"postgres\"\nhost = \"postgres.test\"\n[tcp.upstream]\nservers = [{}]\n{more}\n",
        servers.join(", ")
    )
}

fn dsn(edge: &TestEdge) -> Dsn {
    Dsn::verified(edge.address("postgres"), "postgres.test", &edge.root())
}

/// How many of these sessions each server has.
#[track_caller]
fn sessions(dsn: &Dsn, count: usize) -> BTreeMap<String, usize> {
    let mut served = BTreeMap::new();
    for _ in 0..count {
        *served.entry(dsn.server()).or_default() += 1;
    }
    served
}

const OFTEN: &str = "health = { every = \"100ms\", timeout = \"500ms\", up_after = 1, down_after = 1 }";

#[test]
fn sessions_are_spread_and_each_is_cancelled_where_it_is() {
    let servers = ["one", "two"].map(Postgres::start);
    let edge = postgres_edge(&[], &route(&servers.each_ref().map(Postgres::address), ""));
    let dsn = dsn(&edge);
    assert_eq!(sessions(&dsn, 6), BTreeMap::from([("one".into(), 3), ("two".into(), 3)]));
    let mut clients = [(); 4].map(|()| psql_running(&dsn, "select pg_sleep(600)"));
    let running = || servers.each_ref().map(|server| server.running("pg_sleep"));
    eventually("two run on each", || running() == [2, 2]);
    for (at, client) in clients.iter_mut().enumerate() {
        client.signal("INT");
        assert!(!client.wait().success() && client.output().contains("user request"), "{}", client.output());
        assert_eq!(running().iter().sum::<usize>(), 3 - at, "one less, and no other");
    }
}

/// Each of these takes a connection, so that nothing less than a question tells that it is no PostgreSQL.
#[test]
fn a_server_is_well_when_it_answers_whether_it_has_tls() {
    let (closes, silent, parrot) = (Backend::serve(any(), |_, _| ()), Backend::serve(any(), hangs), echo());
    let authority = Authority::new();
    let [plain, safe] = [Postgres::start("plain"), Postgres::with_tls("safe", &authority.sign(&["postgres.test"]))];
    let servers = [closes.address(), silent.address(), parrot.address(), plain.address(), safe.address()];
    let edge = postgres_edge(&[], &route(&servers, OFTEN));
    let up = |server: SocketAddr| {
        let upstream = format!("upstream=\"tcp://{server}\"");
        edge.metric_sum("edge_upstream_up", &["route=\"postgres\"", &upstream])
    };
    eventually("those that answer are up, and no other", || servers.map(up) == [0.0, 0.0, 0.0, 1.0, 1.0]);
    assert!(!plain.log().contains("FATAL") && !safe.log().contains("FATAL"), "it troubles no log: {}", plain.log());
}

fn any() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}

/// Reads and says nothing, until its client leaves.
fn hangs(mut stream: std::net::TcpStream, _: &support::backend::Seen) {
    drop(std::io::copy(&mut stream, &mut std::io::sink()));
}

#[test]
fn a_server_that_goes_is_passed_over_until_it_comes_back() {
    let [one, two] = ["one", "two"].map(Postgres::start);
    let dead = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let edge = postgres_edge(&[], &route(&[dead, one.address(), two.address()], ""));
    let dsn = dsn(&edge);
    assert_eq!(sessions(&dsn, 4).values().sum::<usize>(), 4, "nobody notices the one that was never there");
    drop(two);
    assert_eq!(sessions(&dsn, 6), BTreeMap::from([("one".into(), 6)]));
}

/// Rules and counts are for the client, not for the proxy; and only a header of the proxy names one.
#[test]
fn the_client_that_a_proxy_in_front_names_is_the_one_of_the_rules() {
    let server = Postgres::start("one");
    let config = entrypoint("postgres", "postgres", "proxy_protocol = true\ntrusted_proxies = [\"127.0.0.1\"]");
    let keys = "host = \"postgres.test\"\nip = { allow = [\"203.0.113.0/24\"] }";
    let edge = edge(&config, &[], &tcp("postgres", server.address(), keys));
    let proxy = relay(edge.address("postgres"), Mangle::Proxied);
    let proxied = dsn(&edge).with("port", proxy.address().port());
    assert_eq!(proxied.server(), "one");
    let _session = psql_running(&proxied, "select pg_sleep(600)");
    eventually("the query runs", || server.running("pg_sleep") == 1);
    let said = edge.command(&["status"]).success();
    assert!(said.contains("203.0.113.7"), "{said}");
    assert!(!psql(&dsn(&edge), "select 1").status.success(), "without a header nobody comes in");
}

#[test]
fn sessions_go_on_while_the_edge_stops_and_end_with_its_grace() {
    let server = Postgres::start("one");
    let config = entrypoint("postgres", "postgres", "") + "\n[stop]\ngrace = \"3s\"\n";
    let mut edge = edge(&config, &[], &tcp("postgres", server.address(), "host = \"postgres.test\""));
    let dsn = dsn(&edge);
    let mut short = psql_running(&dsn, "select pg_sleep(1), 'finished'");
    let mut long = psql_running(&dsn, "select pg_sleep(600)");
    eventually("both run", || server.running("pg_sleep") == 2);
    edge.process().signal("TERM");
    assert!(short.wait().success() && short.output().contains("finished"), "{}", short.output());
    assert_eq!(edge.process().wait().code(), Some(0));
    assert!(!long.wait().success(), "{}", long.output());
    assert!(comes_true(|| server.running("pg_sleep") == 0), "the server is told that its client is gone");
    assert!(!psql(&dsn, "select 1").status.success(), "nobody listens");
}
