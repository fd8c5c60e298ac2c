//! The databases and other servers of the tests below HTTP by themselves, without edge: what a test leans on is tested too.

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
}

use std::path::PathBuf;

use support::l4::{Mangle, relay};
use support::l4_servers::{GitServer, dig, dnsmasq, pgbouncer, redis, redis_cli};
use support::pki::Authority;
use support::postgres::{Dsn, Postgres, ask_newest, newest_value, pg, psql, psql_running};
use support::process::{eventually, run};

/// A server with TLS for `pg.test`, the file of its root, and how to reach it.
fn with_tls() -> (Postgres, tempfile::TempDir, Dsn) {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let server = Postgres::with_tls("one", &authority.sign(&["pg.test"]));
    let root: PathBuf = dir.path().join("root.pem");
    std::fs::write(&root, authority.root()).expect("the folder is ours");
    let dsn = Dsn::verified(server.address(), "pg.test", &root);
    (server, dir, dsn)
}

#[test]
fn both_clients_verify_a_server_and_bind_to_its_channel() {
    let (server, dir, dsn) = with_tls();
    let dsn = dsn.with("channel_binding", "require");
    assert_eq!(dsn.server(), "one");
    let said = ask_newest(&dsn, &["query", "show cluster_name"]);
    assert_eq!(said["rows"][0][0], "one", "{said}");
    assert!(said["tls"] == true && said["libpq"].as_i64() >= Some(180_000), "{said}");
    assert!(dsn.clone().with("host", "other.test").refusal().contains("does not match host name"));
    assert!(Dsn::plain(server.address()).refusal().contains("no pg_hba.conf entry"), "it refuses plaintext");
    assert!(newest_value(&dsn.with("password", "wrong"), "select 1").is_err_and(|why| why.contains("password")));
    assert!(server.socket().exists() && dir.path().exists());
}

#[test]
fn both_clients_cancel_what_runs() {
    let (server, _dir, dsn) = with_tls();
    let said = ask_newest(&dsn, &["cancel"]);
    assert_eq!((&said["ok"], &said["sqlstate"]), (&false.into(), &"57014".into()), "{said}");
    assert_eq!(said["after"][0], 1, "the session lives on: {said}");
    let mut psql = psql_running(&dsn, "select pg_sleep(60)");
    eventually("the query runs", || server.running("pg_sleep") == 1);
    psql.signal("INT");
    assert!(!psql.wait().success() && psql.output().contains("canceling statement due to user request"));
}

#[test]
fn a_mangled_handshake_is_as_good_as_another() {
    let (server, _dir, dsn) = with_tls();
    for mangle in [Mangle::SingleBytes, Mangle::TwoRecords] {
        let relay = relay(server.address(), mangle);
        assert_eq!(dsn.clone().with("port", relay.address().port()).server(), "one", "{mangle:?}");
    }
}

#[test]
fn pgbench_and_pgbouncer_work_with_postgres() {
    let server = Postgres::start("pool");
    let pool = pgbouncer(&server);
    let dsn = Dsn::plain(pool.address());
    assert_eq!(dsn.server(), "pool");
    run(pg("pgbench").args(["-i", "-q", "-s", "1", &Dsn::plain(server.address()).text()])).success();
    let counted = psql(&dsn, "select count(*) from pgbench_accounts").success();
    assert_eq!(counted.trim(), "100000");
    let mut psql = psql_running(&dsn, "select pg_sleep(60)");
    eventually("the query runs", || server.running("pg_sleep") == 1);
    psql.signal("INT");
    assert!(!psql.wait().success() && psql.output().contains("user request"), "{}", pool.log());
}

#[test]
fn postgis_is_there() {
    let server = Postgres::start("gis");
    server.ask("create extension postgis");
    assert_eq!(server.ask("select st_area('POLYGON((0 0, 2 0, 2 2, 0 2, 0 0))'::geometry)"), "4");
}

#[test]
fn redis_answers_with_and_without_tls() {
    let (authority, dir) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    let root = dir.path().join("root.pem");
    std::fs::write(&root, authority.root()).expect("the folder is ours");
    let (plain, tls) = (redis(None), redis(Some(&authority.sign(&["redis.test"]))));
    assert_eq!(run(redis_cli(plain.address(), None).arg("PING")).success().trim(), "PONG");
    assert_eq!(run(redis_cli(tls.address(), Some(("redis.test", &root))).arg("PING")).success().trim(), "PONG");
    assert!(plain.path(".").exists() && !plain.log().is_empty());
}

#[test]
fn dnsmasq_answers_dig() {
    let server = dnsmasq(&[("app.test", "192.0.2.7")]);
    assert_eq!(dig(server.address(), &["app.test"]).success().trim(), "192.0.2.7");
    assert!(dig(server.address(), &["+bufsize=4096", "+ignore", "long.test", "TXT"]).success().len() > 2000);
}

#[test]
fn git_clones_over_ssh() {
    let server = GitServer::start(300_000);
    assert!(server.clone_through(server.address().port()) == server.file());
}
