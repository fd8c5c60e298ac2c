//! PostgreSQL behind the edge in each mode, by both generations of its client library: who gets in, over which TLS, and
//! to which server.

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

use std::fs;
use std::path::Path;

use support::edge::TestEdge;
use support::l4::{Mangle, postgres_edge, relay, tcp};
use support::pki::{Authority, Pair};
use support::postgres::{Dsn, Postgres, ask_newest, newest_value, psql, psql_running};
use support::process::eventually;
use tempfile::NamedTempFile;

const HOST: &str = "host = \"postgres.test\"";

fn verified(edge: &TestEdge, root: &Path) -> Dsn {
    Dsn::verified(edge.address("postgres"), "postgres.test", root)
}

/// What both clients get with `channel_binding` as `prefer` (their default), `require` and `disable`: the word `ok`, or
/// a part of what they say.
#[track_caller]
fn matrix(dsn: &Dsn, expected: [&str; 3]) {
    for (binding, expected) in ["prefer", "require", "disable"].into_iter().zip(expected) {
        let dsn = dsn.clone().with("channel_binding", binding);
        let old = psql(&dsn, "select 'o' || 'k'");
        let old = if old.status.success() { old.stdout } else { old.stderr };
        assert!(old.contains(expected), "psql with channel_binding={binding}, not {expected:?}: {old}");
        let new = newest_value(&dsn, "select 'o' || 'k'").unwrap_or_else(|error| error);
        assert!(new.contains(expected), "the newest libpq with channel_binding={binding}, not {expected:?}: {new}");
    }
}

/// How the server itself is reached: `t` over TLS.
#[track_caller]
fn server_sees_tls(dsn: &Dsn) -> String {
    let sql = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
    psql(dsn, sql).success().trim().to_owned()
}

/// Direct TLS is of libpq 17 and later.
#[track_caller]
fn directly(dsn: &Dsn) -> Result<String, String> {
    newest_value(&dsn.clone().with("sslnegotiation", "direct"), "select 'ok'")
}

/// Requirement: Postgres STARTTLS.
#[test]
fn terminating_with_a_server_in_clear_serves_all_but_those_who_require_channel_binding() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), HOST));
    let dsn = verified(&edge, &edge.root());
    matrix(&dsn, ["ok", "channel binding", "ok"]);
    assert_eq!(server_sees_tls(&dsn), "f");
    assert_eq!(directly(&dsn), Ok("ok".into()));
    let other = Authority::new();
    let stranger = dsn.with("sslrootcert", edge.file("other.pem", &other.root()).display());
    assert!(stranger.refusal().contains("certificate verify failed"));
}

#[test]
fn terminating_reaches_a_server_by_its_unix_socket() {
    let server = Postgres::start("one");
    let upstream = format!("unix:{}", server.socket().display());
    let edge = postgres_edge(&[], &tcp("postgres", upstream, HOST));
    let dsn = verified(&edge, &edge.root());
    matrix(&dsn, ["ok", "channel binding", "ok"]);
    assert_eq!(psql(&dsn, "select inet_client_addr() is null").success().trim(), "t");
}

/// The binding is to the edge's certificate, and the server compares it with its own: whoever binds is refused.
#[test]
fn reencrypting_with_another_certificate_serves_only_those_who_do_not_bind() {
    let authority = Authority::new();
    let server = Postgres::with_tls("one", &authority.sign(&["db.internal.test", "127.0.0.1"]));
    let edge = Reencrypting::new(&authority, &server, &[]);
    let dsn = verified(&edge.0, &edge.0.root());
    matrix(&dsn, ["channel binding", "channel binding", "ok"]);
    assert!(checked(&edge.0).contains("channel_binding=prefer"), "{}", checked(&edge.0));
    let dsn = dsn.with("channel_binding", "disable");
    assert_eq!(server_sees_tls(&dsn), "t");
    assert_eq!(directly(&dsn), Ok("ok".into()));
}

#[test]
fn reencrypting_with_the_certificate_of_the_server_serves_everybody() {
    let authority = Authority::new();
    let pair = authority.sign(&["postgres.test", "127.0.0.1"]);
    let server = Postgres::with_tls("one", &pair);
    let edge = Reencrypting::new(&authority, &server, &[("pg", &pair)]);
    let dsn = verified(&edge.0, edge.1.path());
    matrix(&dsn, ["ok", "ok", "ok"]);
    assert!(!checked(&edge.0).contains("channel_binding"), "{}", checked(&edge.0));
    assert_eq!(server_sees_tls(&dsn), "t");
    assert_eq!(directly(&dsn), Ok("ok".into()));
}

/// What `edge check` says of its configuration, which is a good one.
#[track_caller]
fn checked(edge: &TestEdge) -> String {
    let ran = edge.command(&["check"]);
    assert!(ran.status.success(), "{ran:?}");
    ran.stdout + &ran.stderr
}

#[test]
fn passing_through_serves_everybody_with_the_certificate_of_the_server() {
    let authority = Authority::new();
    let server = Postgres::with_tls("one", &authority.sign(&["postgres.test"]));
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), &format!("{HOST}\ntls = \"passthrough\"")));
    let root = edge.file("authority.pem", &authority.root());
    let dsn = verified(&edge, &root);
    matrix(&dsn, ["ok", "ok", "ok"]);
    assert_eq!(server_sees_tls(&dsn), "t");
    // A server before 17 has no direct TLS, and the edge cannot have it for one whose TLS it does not speak.
    assert!(directly(&dsn).is_err());
}

/// An edge that speaks TLS with the server and trusts `authority` for it, whose root is the file. With pairs it shows one
/// of them to its clients.
struct Reencrypting(TestEdge, NamedTempFile);

impl Reencrypting {
    #[track_caller]
    fn new(authority: &Authority, server: &Postgres, pairs: &[(&str, &Pair)]) -> Self {
        let issuer = if pairs.is_empty() { "internal" } else { "files" };
        let root = NamedTempFile::new().expect("a file");
        fs::write(root.path(), authority.root()).expect("the file is ours");
        let route = format!(
            "[[tcp]]\nname = \"postgres\"\n{HOST}\ntls = {{ mode = \"reencrypt\", issuer = \"{issuer}\" }}\n\
             [tcp.upstream]\nservers = [\"{}\"]\ntls = {{ ca_file = \"{}\" }}\n",
            server.address(),
            root.path().display()
        );
        Self(postgres_edge(pairs, &route), root)
    }
}

#[test]
fn a_client_hello_in_pieces_is_understood_in_every_mode() {
    let authority = Authority::new();
    let [one, two] = ["one", "two"].map(|name| (name, authority.sign(&[&format!("{name}.test")])));
    let [one, two] = [one, two].map(|(name, pair)| Postgres::with_tls(name, &pair));
    let plain = Postgres::start("plain");
    let routes = [
        tcp("one", one.address(), "host = \"one.test\"\ntls = \"passthrough\""),
        tcp("two", two.address(), "host = \"two.test\"\ntls = \"passthrough\""),
        tcp("plain", plain.address(), "host = \"plain.test\""),
    ];
    let edge = postgres_edge(&[], &routes.concat());
    let root = edge.file("authority.pem", &authority.root());
    for mangle in [Mangle::SingleBytes, Mangle::TwoRecords] {
        let relay = relay(edge.address("postgres"), mangle);
        for (name, root) in [("one", &root), ("two", &root), ("plain", &edge.root())] {
            let dsn = Dsn::verified(relay.address(), &format!("{name}.test"), root);
            assert_eq!(dsn.server(), name, "{mangle:?}");
            let dsn = dsn.with("max_protocol_version", "latest");
            assert_eq!(newest_value(&dsn, "show cluster_name"), Ok(name.into()), "{mangle:?}");
        }
    }
}

#[test]
fn names_choose_the_server_and_a_client_without_one_gets_the_default() {
    let servers = ["one", "two", "rest"].map(Postgres::start);
    let [one, two, rest] = &servers;
    let routes = [
        tcp("one", one.address(), "host = \"one.test\""),
        tcp("two", two.address(), "host = [\"two.test\", \"*.two.test\"]"),
        tcp("rest", rest.address(), "tls = \"none\"\nplaintext = true"),
    ];
    let edge = postgres_edge(&[], &routes.concat());
    let to = |host: &str| Dsn::verified(edge.address("postgres"), host, &edge.root());
    for (host, server) in [("one.test", "one"), ("two.test", "two"), ("a.two.test", "two")] {
        assert_eq!(to(host).server(), server, "{host}");
        assert_eq!(newest_value(&to(host), "show cluster_name"), Ok(server.into()), "{host}");
    }
    assert_eq!(Dsn::plain(edge.address("postgres")).server(), "rest");
}

#[test]
fn databases_and_users_choose_the_server_where_a_name_does_not() {
    let servers = ["apps", "shops", "admins"].map(Postgres::start);
    let [apps, shops, admins] = &servers;
    let routes = [
        tcp("apps", apps.address(), &format!("{HOST}\ndatabase = \"app\"")),
        tcp("shops", shops.address(), &format!("{HOST}\ndatabase = [\"shop\", \"store\"]")),
        tcp("admins", admins.address(), &format!("{HOST}\nuser = \"postgres\"\ndatabase = \"app\"")),
    ];
    let edge = postgres_edge(&[], &routes.concat());
    let named = verified(&edge, &edge.root());
    // By sslmode alone: it sends no name, and believes what it is shown.
    let nameless = Dsn::plain(edge.address("postgres")).with("sslmode", "require").with("sslsni", 0);
    for dsn in [named, nameless] {
        assert_eq!(dsn.server(), "apps");
        assert_eq!(dsn.clone().with("dbname", "shop").server(), "shops");
        assert_eq!(dsn.clone().with("user", "postgres").server(), "admins");
        let unknown = dsn.with("dbname", "nothing").refusal();
        assert!(unknown.contains("FATAL") && unknown.contains("nothing"), "{unknown}");
    }
    let log = servers.each_ref().map(Postgres::log).concat();
    assert!(!log.contains("nothing"), "no server is asked for what no route has: {log}");
}

#[test]
fn clients_without_tls_come_in_where_the_route_lets_them() {
    let server = Postgres::start("one");
    let routes = [
        tcp("open", server.address(), &format!("{HOST}\ndatabase = \"app\"\nplaintext = true")),
        tcp("safe", server.address(), &format!("{HOST}\ndatabase = \"shop\"")),
    ];
    let edge = postgres_edge(&[], &routes.concat());
    let dsn = Dsn::plain(edge.address("postgres"));
    assert_eq!(dsn.server(), "one");
    // They try without TLS and with it, in both orders.
    for mode in ["allow", "prefer", "require"] {
        assert_eq!(dsn.clone().with("dbname", "shop").with("sslmode", mode).server(), "one", "{mode}");
    }
    let refused = dsn.with("dbname", "shop").refusal();
    assert!(refused.contains("FATAL") && refused.contains("TLS"), "{refused}");
}

#[test]
fn a_renewed_certificate_is_served_to_the_next_client() {
    let [old, new] = [Authority::new(), Authority::new()];
    let server = Postgres::start("one");
    let keys = format!("{HOST}\ntls = {{ mode = \"terminate\", issuer = \"files\" }}");
    let pair = old.sign(&["postgres.test"]);
    let edge = postgres_edge(&[("pg", &pair)], &tcp("postgres", server.address(), &keys));
    let [before, after] =
        [("old", &old), ("new", &new)].map(|(name, authority)| edge.file(&format!("{name}.pem"), &authority.root()));
    let (before, after) = (verified(&edge, &before), verified(&edge, &after));
    let mut session = psql_running(&before, "select pg_sleep(600)");
    eventually("a session is open", || server.running("pg_sleep") == 1);
    let refused = after.refusal();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    edge.renew("pg", &new.sign(&["postgres.test"]));
    eventually("the new one is served", || psql(&after, "select 1").status.success());
    let refused = before.refusal();
    assert!(refused.contains("certificate verify failed"), "{refused}");
    assert!(session.ended().is_none() && server.running("pg_sleep") == 1, "an open session lives on");
    session.kill();
}

#[test]
fn the_edge_shows_and_counts_what_is_open() {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("main-database", server.address(), HOST));
    let dsn = verified(&edge, &edge.root());
    let _session = psql_running(&dsn, "select pg_sleep(600)");
    eventually("the query runs", || server.running("pg_sleep") == 1);
    edge.has_open("main-database", 1.0);
    let said = edge.command(&["status"]).success();
    let line = said.lines().find(|line| line.contains("main-database"));
    let line = line.unwrap_or_else(|| panic!("no session in:\n{said}"));
    assert!(line.contains("127.0.0.1") && line.split_whitespace().any(|word| word == "app"), "{line}");
    let age = |word: &str| word.strip_suffix('s').is_some_and(|count| count.parse::<f64>().is_ok_and(|age| age < 60.0));
    assert!(line.split_whitespace().any(age), "its age in seconds: {line}");
    assert_eq!(ask_newest(&dsn, &["query", "select repeat('x', 100000)"])["ok"], true);
    edge.has_open("main-database", 1.0);
    let label = "route=\"main-database\"";
    assert!(edge.metric_sum("edge_tcp_bytes_total", &[label]) > 100_000.0, "{}", edge.metrics());
    assert!(edge.metric_sum("edge_tcp_connections_total", &[label]) >= 1.0, "{}", edge.metrics());
}
