//! Whatever the reason why a client of PostgreSQL is not served, it reads an error of PostgreSQL: a code for programs, a
//! sentence for people.

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

use std::fs;
use std::net::SocketAddr;

use support::backend::Backend;
use support::edge::TestEdge;
use support::l4::{postgres_edge, tcp};
use support::pg_wire::{GSSENC_REQUEST, SSL_REQUEST, direct, knock, over_tls, startup_as};
use support::pki::Authority;
use support::postgres::{Dsn, Postgres, USER, newest_value, psql_running};
use support::process::{eventually, free_port};
use support::wire::TlsClient;

const HOST: &str = "host = \"postgres.test\"";

fn dsn(edge: &TestEdge) -> Dsn {
    Dsn::verified(edge.address("postgres"), "postgres.test", &edge.root())
}

/// What a client that has come in by TLS hears: its SQLSTATE. Both real clients show the sentence.
#[track_caller]
fn refused(edge: &TestEdge, database: &str) -> String {
    let mut wire = over_tls(edge, "postgres.test");
    wire.send(startup_as(USER, database));
    let refusal = wire.refusal();
    let dsn = dsn(edge).with("dbname", database).with("channel_binding", "disable");
    let said = dsn.refusal();
    assert!(said.contains(&format!("FATAL:  {}", refusal.message)), "{refusal:?}, but psql says: {said}");
    let said = newest_value(&dsn, "select 1").expect_err("it is refused");
    assert!(said.contains(&refusal.message), "{refusal:?}, but the newest libpq says: {said}");
    refusal.sqlstate
}

/// A [`SocketAddr`] at which nobody listens.
fn nobody() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// Class 08 is for connections, 57P03 for a server that cannot take one now.
#[track_caller]
fn is_of_the_server(sqlstate: &str) {
    assert!(sqlstate.starts_with("08") || sqlstate == "57P03", "{sqlstate}");
}

#[test]
fn a_server_that_is_down_is_told() {
    let edge = postgres_edge(&[], &tcp("postgres", nobody(), HOST));
    is_of_the_server(&refused(&edge, "app"));
    let counted = || edge.metric_sum("edge_tcp_connections_total", &["route=\"postgres\""]);
    eventually("each is counted", || counted() >= 3.0);
}

#[test]
fn a_database_of_no_route_is_told() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), &format!("{HOST}\ndatabase = \"app\"")));
    assert_eq!(refused(&edge, "nothing"), "3D000");
    assert_eq!(dsn(&edge).server(), "one");
}

/// The route that has a rule for the database is misspelt: the one without must not take its place.
#[test]
fn a_database_whose_route_is_rejected_is_for_nobody() {
    let [safe, all] = ["safe", "all"].map(Postgres::start);
    let rule = format!("{HOST}\ndatabase = \"app\"\nip = {{ allow = [\"10.0.0.0/8\"], alow = [] }}");
    let edge = postgres_edge(&[], &(tcp("safe", safe.address(), &rule) + &tcp("all", all.address(), HOST)));
    assert_eq!(refused(&edge, "app"), "3D000");
    assert_eq!(dsn(&edge).with("dbname", "shop").server(), "all");
}

/// The server says it, and the edge passes it on.
#[test]
fn a_database_that_the_server_does_not_have_is_told_by_the_server() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), HOST));
    let said = dsn(&edge).with("dbname", "nothing").refusal();
    assert!(said.contains("database \"nothing\" does not exist"), "{said}");
    let said = dsn(&edge).with("password", "wrong").refusal();
    assert!(said.contains("password authentication failed"), "{said}");
}

#[test]
fn a_name_of_no_route_is_told() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), HOST));
    let said = dsn(&edge).with("host", "other.test").refusal();
    // Before there is TLS for a name, only TLS itself can say that there is none.
    assert!(said.contains("unrecognized name") || said.contains("FATAL"), "{said}");
    assert!(!server.log().contains("connection received"), "{}", server.log());
}

#[test]
fn a_server_without_tls_is_told_where_the_route_wants_it() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), &format!("{HOST}\ntls = \"reencrypt\"")));
    is_of_the_server(&refused(&edge, "app"));
    assert!(!server.log().contains("authenticated"), "no password goes there in clear: {}", server.log());
}

#[test]
fn a_server_whose_certificate_is_not_believed_is_told() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let server = Postgres::with_tls("one", &right.sign(&["127.0.0.1"]));
    let roots = tempfile::tempdir().expect("a folder");
    let route = |authority: &Authority, name: &str| {
        let root = roots.path().join("root.pem");
        fs::write(&root, authority.root()).expect("the folder is ours");
        format!(
            "[[tcp]]\nname = \"postgres\"\n{HOST}\ntls = \"reencrypt\"\n[tcp.upstream]\nservers = [\"{}\"]\n\
             tls = {{ ca_file = \"{}\"{name} }}\n",
            server.address(),
            root.display()
        )
    };
    for (authority, name) in [(&wrong, ""), (&right, ", server_name = \"other.test\"")] {
        let edge = postgres_edge(&[], &route(authority, name));
        is_of_the_server(&refused(&edge, "app"));
    }
    let edge = postgres_edge(&[], &route(&right, ""));
    assert_eq!(dsn(&edge).with("channel_binding", "disable").server(), "one");
}

#[test]
fn a_server_that_is_none_is_told() {
    for answer in [&b"N"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SS", b""] {
        let server = Backend::serve(([127, 0, 0, 1], 0).into(), move |mut stream, _| {
            use std::io::{Read as _, Write as _};
            let mut request = [0; 8];
            drop(stream.read_exact(&mut request).and_then(|()| stream.write_all(answer)));
        });
        let edge = postgres_edge(&[], &tcp("postgres", server.address(), &format!("{HOST}\ntls = \"reencrypt\"")));
        is_of_the_server(&refused(&edge, "app"));
    }
}

#[test]
fn too_many_connections_are_told() {
    let server = Postgres::start("one");
    let keys = format!("{HOST}\nlimits = {{ connections = 2 }}");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), &keys));
    let mut sessions = [(); 2].map(|()| psql_running(&dsn(&edge), "select pg_sleep(600)"));
    eventually("two are open", || server.running("pg_sleep") == 2);
    assert_eq!(refused(&edge, "app"), "53300");
    // Ctrl-C must reach a server whose places are all taken.
    sessions[0].signal("INT");
    assert!(!sessions[0].wait().success() && sessions[0].output().contains("user request"));
    eventually("its place is free", || server.running("pg_sleep") == 1);
    edge.has_open("postgres", 1.0);
    assert_eq!(dsn(&edge).server(), "one");
}

#[test]
fn too_many_connections_of_one_client_are_told() {
    let server = Postgres::start("one");
    let keys = format!("{HOST}\nlimits = {{ client_connections = 1 }}");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), &keys));
    let _session = psql_running(&dsn(&edge), "select pg_sleep(600)");
    eventually("one is open", || server.running("pg_sleep") == 1);
    assert_eq!(refused(&edge, "app"), "53300");
}

#[test]
fn a_client_whose_address_is_denied_is_told() {
    let server = Postgres::start("one");
    let edge =
        postgres_edge(&[], &tcp("postgres", server.address(), &format!("{HOST}\nip = {{ deny = [\"127.0.0.1\"] }}")));
    assert_eq!(refused(&edge, "app"), "28000");
    assert!(!server.log().contains("connection received"), "{}", server.log());
}

#[test]
fn a_client_without_tls_is_told_where_the_route_wants_it() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), HOST));
    for before in [&[][..], &GSSENC_REQUEST] {
        let mut wire = knock(&edge);
        wire.send(before);
        if !before.is_empty() {
            assert_eq!(wire.exactly(1), b"N", "there is no encryption by Kerberos");
        }
        wire.send(startup_as(USER, "app"));
        let refusal = wire.refusal();
        assert_eq!(refusal.sqlstate, "28000", "{refusal:?}");
        let said = Dsn::plain(edge.address("postgres")).refusal();
        assert!(said.contains(&refusal.message), "{refusal:?}: {said}");
    }
    assert!(!server.log().contains("connection received"), "{}", server.log());
}

#[test]
fn a_client_that_asks_for_kerberos_first_gets_tls_on_the_same_connection() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), HOST));
    let mut wire = knock(&edge);
    wire.send(GSSENC_REQUEST);
    assert_eq!(wire.exactly(1), b"N");
    wire.send(SSL_REQUEST);
    assert_eq!(wire.exactly(1), b"S");
    let mut wire = TlsClient::new(&edge).over("postgres.test", wire).expect("TLS");
    wire.send(startup_as(USER, "app"));
    assert_eq!(wire.message().map(|(kind, _)| kind), Some(b'R'), "the server asks for the password");
}

/// Requirement: Postgres direct TLS.
#[test]
fn direct_tls_is_for_those_who_name_the_protocol() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), HOST));
    let address = edge.address("postgres");
    let mut wire = direct(address, &edge, "postgres.test", &["postgresql"]).expect("TLS");
    assert_eq!(wire.alpn(), Some(&b"postgresql"[..]));
    wire.send(startup_as(USER, "app"));
    assert_eq!(wire.message().map(|(kind, _)| kind), Some(b'R'));
    for alpn in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
        let Ok(mut wire) = direct(address, &edge, "postgres.test", alpn) else { continue };
        // TLS 1.3 shows the refusal to a client only when it reads.
        drop(wire.try_send(startup_as(USER, "app")));
        assert!(!wire.rest().starts_with(b"R"), "served with {alpn:?}");
    }
    let logins = server.log().matches("connection received").count();
    assert_eq!(logins, 1, "{}", server.log());
    let mut wire = direct(address, &edge, "postgres.test", &["h2", "postgresql"]).expect("TLS");
    wire.send(startup_as(USER, "app"));
    assert_eq!(wire.message().map(|(kind, _)| kind), Some(b'R'), "the one protocol among others");
}
