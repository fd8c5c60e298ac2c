//! Cancelling through the edge: a request that comes on a connection of its own, in clear from most clients and over TLS
//! from the newest, stops the right query of the right server and nothing else.

mod support {
    pub(crate) mod backend;
    pub(crate) mod clients;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod l4;
    pub(crate) mod pg_wire;
    pub(crate) mod pki;
    pub(crate) mod postgres;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::path::Path;

use support::edge::TestEdge;
use support::l4::{postgres_edge, tcp};
use support::pg_wire::{cancel, knock, over_tls};
use support::pki::Authority;
use support::postgres::{Dsn, Postgres, ask_newest, psql_running};
use support::process::{Process, eventually};

/// Two servers by name, each with a query that waits.
struct Stage {
    servers: [Postgres; 2],
    edge: TestEdge,
    roots: std::path::PathBuf,
}

const NAMES: [&str; 2] = ["one", "two"];

impl Stage {
    /// The edge speaks their clients' TLS.
    #[track_caller]
    fn terminating() -> Self {
        let servers = NAMES.map(Postgres::start);
        let routes = NAMES.iter().zip(&servers);
        let routes = routes.map(|(name, server)| tcp(name, server.address(), &format!("host = \"{name}.test\"")));
        let edge = postgres_edge(&[], &routes.collect::<String>());
        let roots = edge.root();
        Self { servers, edge, roots }
    }

    fn dsn(&self, name: &str) -> Dsn {
        Dsn::verified(self.edge.address("postgres"), &format!("{name}.test"), &self.roots)
    }

    /// A query that waits, at the server of that name.
    #[track_caller]
    fn waiting(&self, at: usize) -> Process {
        let before = self.servers[at].running("pg_sleep");
        let psql = psql_running(&self.dsn(NAMES[at]), "select pg_sleep(600)");
        eventually("the query runs", || self.servers[at].running("pg_sleep") == before + 1);
        psql
    }

    /// Ctrl-C in each of two clients of each server, one after the other: each stops its own query.
    #[track_caller]
    fn interrupts_stop_their_own_queries(&self) {
        let mut sessions: Vec<_> = [0, 1, 0, 1].into_iter().map(|at| (at, self.waiting(at))).collect();
        let mut left = [2, 2];
        // Not in the order in which they came.
        for number in [2, 1, 0, 0] {
            let (at, mut psql) = sessions.remove(number);
            psql.signal("INT");
            assert!(!psql.wait().success());
            let said = psql.output();
            assert!(said.contains("canceling statement due to user request"), "{said}");
            left[at] -= 1;
            let running = self.servers.each_ref().map(|server| server.running("pg_sleep"));
            assert_eq!(running, left, "the others go on");
        }
    }

    #[track_caller]
    fn the_newest_cancels_over_tls(&self) {
        for (at, name) in NAMES.iter().enumerate() {
            let mut other = self.waiting(1 - at);
            let said = ask_newest(&self.dsn(name), &["cancel"]);
            assert_eq!((&said["ok"], &said["sqlstate"]), (&false.into(), &"57014".into()), "{said}");
            assert_eq!(said["after"][0], 1, "the session lives on: {said}");
            assert!(other.ended().is_none());
            other.kill();
            eventually("it ends with its client", || self.servers[1 - at].running("pg_sleep") == 0);
        }
    }
}

/// Requirement: Postgres cancel.
#[test]
fn an_interrupt_stops_the_right_query_on_the_right_server() {
    Stage::terminating().interrupts_stop_their_own_queries();
}

#[test]
fn the_newest_client_cancels_over_tls() {
    Stage::terminating().the_newest_cancels_over_tls();
}

/// The edge cannot read which key a session has, and the request in clear names no server.
#[test]
fn both_ways_of_cancelling_work_where_tls_passes_through_to_one_server() {
    let authority = Authority::new();
    let server = Postgres::with_tls("one", &authority.sign(&["one.test"]));
    let edge = postgres_edge(&[], &tcp("one", server.address(), "host = \"one.test\"\ntls = \"passthrough\""));
    let roots = edge.file("authority.pem", &authority.root());
    let dsn = Dsn::verified(edge.address("postgres"), "one.test", &roots);
    let said = ask_newest(&dsn, &["cancel"]);
    assert_eq!((&said["ok"], &said["sqlstate"]), (&false.into(), &"57014".into()), "{said}");
    stops_by_interrupt(&server, &dsn);
}

#[track_caller]
fn stops_by_interrupt(server: &Postgres, dsn: &Dsn) {
    let mut psql = psql_running(dsn, "select pg_sleep(600)");
    eventually("the query runs", || server.running("pg_sleep") == 1);
    psql.signal("INT");
    assert!(!psql.wait().success() && psql.output().contains("user request"), "{}", psql.output());
}

#[test]
fn an_interrupt_reaches_a_server_behind_tls_of_its_own_and_one_behind_a_socket() {
    let authority = Authority::new();
    let pair = authority.sign(&["safe.test", "127.0.0.1"]);
    let (safe, local) = (Postgres::with_tls("safe", &pair), Postgres::start("local"));
    let root = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(root.path(), authority.root()).expect("the file is ours");
    let safe_keys = format!(
        "host = \"safe.test\"\ntls = {{ mode = \"reencrypt\", issuer = \"files\" }}\n[tcp.upstream]\n\
         servers = [\"{}\"]\ntls = {{ ca_file = \"{}\" }}",
        safe.address(),
        root.path().display()
    );
    let socket = format!("unix:{}", local.socket().display());
    let routes = format!("[[tcp]]\nname = \"safe\"\n{safe_keys}\n") + &tcp("local", socket, "host = \"local.test\"");
    let edge = postgres_edge(&[("safe", &pair)], &routes);
    let dsn = |host: &str, root: &Path| Dsn::verified(edge.address("postgres"), host, root);
    stops_by_interrupt(&safe, &dsn("safe.test", root.path()));
    stops_by_interrupt(&local, &dsn("local.test", &edge.root()));
}

/// PostgreSQL says nothing to it either.
#[test]
fn a_cancel_with_a_key_that_nobody_has_is_closed_and_stops_nothing() {
    let stage = Stage::terminating();
    let mut session = stage.waiting(0);
    for key in [0, 1, -1, i32::MAX] {
        let mut wire = knock(&stage.edge);
        wire.send(cancel(key, key));
        assert_eq!(wire.rest(), b"");
        let mut wire = over_tls(&stage.edge, "one.test");
        wire.send(cancel(key, key));
        assert_eq!(wire.rest(), b"");
    }
    assert!(session.ended().is_none() && stage.servers[0].running("pg_sleep") == 1);
    session.kill();
}

/// A key is of no more use when its session is gone.
#[test]
fn many_sessions_that_came_and_went_leave_room_for_the_next() {
    let stage = Stage::terminating();
    for _ in 0..50 {
        assert_eq!(stage.dsn("one").server(), "one");
    }
    stops_by_interrupt(&stage.servers[0], &stage.dsn("one"));
    stage.edge.has_open("one", 0.0);
}
