//! What people do with a database all day, through the edge: dumps and copies of large tables, sessions that wait,
//! replication, pools, maps. With EDGE_TEST_LARGE=1 the table is a gigabyte and the session waits for ten minutes.

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

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use support::edge::TestEdge;
use support::l4::{postgres_edge, tcp};
use support::l4_servers::pgbouncer;
use support::pki::Authority;
use support::postgres::{Dsn, Postgres, newest, pg, psql};
use support::process::{Process, eventually, run};

const HOST: &str = "host = \"postgres.test\"";

fn large() -> bool {
    std::env::var_os("EDGE_TEST_LARGE").is_some_and(|value| value == "1")
}

/// A server behind an edge that speaks its clients' TLS, and how to reach it.
fn terminating(keys: &str) -> (Postgres, TestEdge, Dsn) {
    let server = Postgres::start("one");
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), &format!("{HOST}\n{keys}")));
    let dsn = Dsn::verified(edge.address("postgres"), "postgres.test", &edge.root());
    (server, edge, dsn)
}

/// One behind an edge that does not look into its TLS.
fn passing_through() -> (Postgres, TestEdge, Dsn) {
    let authority = Authority::new();
    let server = Postgres::with_tls("one", &authority.sign(&["postgres.test"]));
    let edge = postgres_edge(&[], &tcp("postgres", server.address(), &format!("{HOST}\ntls = \"passthrough\"")));
    let root = edge.file("authority.pem", &authority.root());
    let dsn = Dsn::verified(edge.address("postgres"), "postgres.test", &root);
    (server, edge, dsn)
}

/// Bytes of text in the large table.
fn size() -> u64 {
    if large() { 1_000_000_000 } else { 100_000_000 }
}

/// Makes a table of [`size`] bytes that do not compress to nothing, in rows of 1,000.
#[track_caller]
fn fill(server: &Postgres) {
    let rows = size() / 1_000;
    server.ask(&format!(
        "set role ada; create unlogged table big as select id, \
         repeat(md5(id::text), 31) || left(md5(id::text), 8) as text from generate_series(1, {rows}) id"
    ));
}

const SUM: &str = "select count(*) || ' ' || sum(hashtextextended(text, id))::text from ";

/// Copies the table out of the server and into another of it, both through the edge, as a file beside the edge.
#[track_caller]
fn copies_out_and_in(server: &Postgres, edge: &TestEdge, dsn: &Dsn) {
    let file = edge.path("big.copy");
    psql(dsn, &format!("\\copy big to '{}'", file.display())).success();
    assert!(fs::metadata(&file).expect("it was written").len() > size());
    psql(dsn, "create unlogged table back (id int, text text)").success();
    psql(dsn, &format!("\\copy back from '{}'", file.display())).success();
    fs::remove_file(file).expect("it was written");
    let sums = ["big", "back"].map(|table| server.ask(&format!("{SUM}{table}")));
    assert_eq!(sums[0], sums[1]);
    let label = "route=\"postgres\"";
    let through = || edge.metric_sum("edge_tcp_bytes_total", &[label]);
    let least = 2.0 * size() as f64;
    eventually("the bytes are counted", || through() > least);
}

#[test]
fn a_large_table_is_copied_out_and_in_where_the_edge_speaks_tls() {
    let (server, edge, dsn) = terminating("");
    fill(&server);
    let before = edge.memory_now();
    copies_out_and_in(&server, &edge, &dsn);
    assert!(edge.memory_now() < before + 64e6, "nothing is kept: {} after {before}", edge.memory_now());
}

#[test]
fn a_large_table_is_copied_out_and_in_where_tls_passes_through() {
    let (server, edge, dsn) = passing_through();
    fill(&server);
    copies_out_and_in(&server, &edge, &dsn);
}

trait Memory {
    fn memory_now(&self) -> f64;
}

impl Memory for TestEdge {
    fn memory_now(&self) -> f64 {
        self.metric("edge_process_resident_memory_bytes").expect("it is always measured")
    }
}

#[test]
fn pg_dump_takes_a_database_and_pg_restore_brings_it_back() {
    let (server, edge, dsn) = terminating("");
    fill(&server);
    let archive = edge.path("dump");
    run(pg("pg_dump").args(["-Fc", "-Z0", "-d", &dsn.text(), "-f"]).arg(&archive)).success();
    assert!(fs::metadata(&archive).expect("it was written").len() > size());
    let shop = dsn.with("dbname", "shop");
    run(pg("pg_restore").args(["--no-owner", "--exit-on-error", "-d", &shop.text()]).arg(&archive)).success();
    let back = psql(&shop, &format!("{SUM}big")).success();
    assert_eq!(back.trim(), server.ask(&format!("{SUM}big")));
}

/// A client that is slow to read holds its server back, and nothing piles up in between.
#[test]
fn a_client_that_does_not_read_holds_its_server_back() {
    let (server, edge, dsn) = terminating("");
    fill(&server);
    let before = edge.memory_now();
    let mut command = pg("psql");
    command.args(["-X", "-d", &dsn.text(), "-c", "copy big to stdout"]).stdin(Stdio::null());
    let mut psql = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("psql runs");
    let waits = "select count(*) from pg_stat_activity where query like 'copy big%' and wait_event = 'ClientWrite'";
    eventually("the server waits for its client", || server.ask(waits) == "1");
    assert!(edge.memory_now() < before + 64e6, "{} after {before}", edge.memory_now());
    let mut out = psql.stdout.take().expect("it is piped");
    let mut block = vec![0; 1 << 20];
    let mut total = 0;
    while let Ok(count @ 1..) = out.read(&mut block) {
        total += count as u64;
    }
    assert!(psql.wait().expect("our own child").success() && total > size());
}

/// No deadline of the handshake or of requests may reach into a session: it is silent for longer than any of them.
#[test]
fn a_session_that_waits_hears_a_notification() {
    let (server, edge, dsn) = terminating("");
    let mut listener = Process::start(&mut newest(&dsn, &["listen", "news"]));
    listener.ready_when("it listens", |output| output.contains("listening"));
    thread::sleep(Duration::from_secs(if large() { 600 } else { 12 }));
    edge.has_open("postgres", 1.0);
    server.ask("notify news, 'hello'");
    assert!(listener.wait().success(), "{}", listener.output());
    assert!(listener.output().contains(r#""payload": "hello""#), "{}", listener.output());
}

#[test]
fn a_session_that_is_idle_for_longer_than_the_route_allows_is_closed() {
    let (server, edge, dsn) = terminating("idle = \"1s\"");
    let mut listener = Process::start(&mut newest(&dsn, &["listen", "news"]));
    listener.ready_when("it listens", |output| output.contains("listening"));
    edge.has_open("postgres", 0.0);
    listener.wait();
    assert!(listener.output().contains(r#""ok": false"#), "{}", listener.output());
    eventually("the server lets it go", || server.clients() == 0);
}

#[test]
fn changes_are_streamed_as_they_happen() {
    let (server, edge, dsn) = terminating("");
    server.ask("set role ada; create table fruit (name text)");
    let slot = ["--slot", "changes"];
    let command = || {
        let mut command = pg("pg_recvlogical");
        command.args(["-d", &dsn.text()]).args(slot);
        command
    };
    run(command().args(["--create-slot", "-P", "test_decoding"])).success();
    let mut stream = Process::start(command().args(["--start", "-f", "-", "--fsync-interval", "0"]));
    eventually("the server streams", || server.ask("select count(*) from pg_stat_replication") == "1");
    for name in ["apple", "pear"] {
        server.ask(&format!("insert into fruit values ('{name}')"));
        let change = format!("table public.fruit: INSERT: name[text]:'{name}'");
        stream.ready_when("the change is told", |output| output.contains(&change));
    }
    edge.has_open("postgres", 1.0);
    stream.signal("INT");
    stream.wait();
    run(command().arg("--drop-slot")).success();
}

#[test]
fn pgbench_finds_every_answer_right() {
    let (_server, _edge, dsn) = terminating("");
    run(pg("pgbench").args(["-i", "-q", "-s", "1", &dsn.text()])).success();
    // Reads on kept sessions, and a session for each transaction.
    for how in [&["-S", "-c", "16", "-j", "2", "-t", "200"][..], &["-S", "-C", "-c", "4", "-t", "20"]] {
        let said = run(pg("pgbench").args(how).arg(dsn.text())).success();
        assert!(said.contains("number of failed transactions: 0 (0.000%)"), "{said}");
    }
}

#[test]
fn a_pool_behind_the_edge_serves_as_the_server_does() {
    let server = Postgres::start("pooled");
    let pool = pgbouncer(&server);
    let edge = postgres_edge(&[], &tcp("postgres", pool.address(), HOST));
    let dsn = Dsn::verified(edge.address("postgres"), "postgres.test", &edge.root());
    assert_eq!(dsn.server(), "pooled");
    run(pg("pgbench").args(["-i", "-q", "-s", "1", &dsn.text()])).success();
    let said = run(pg("pgbench").args(["-S", "-c", "8", "-t", "100"]).arg(dsn.text())).success();
    assert!(said.contains("number of failed transactions: 0 (0.000%)"), "{said}");
    interrupts(&server, &dsn);
}

/// The key that its client has is the pool's, and the edge takes the cancel there.
#[track_caller]
fn interrupts(server: &Postgres, dsn: &Dsn) {
    let mut psql = support::postgres::psql_running(dsn, "select pg_sleep(600)");
    eventually("the query runs", || server.running("pg_sleep") == 1);
    psql.signal("INT");
    assert!(!psql.wait().success() && psql.output().contains("user request"), "{}", psql.output());
}

#[test]
fn a_map_is_asked_through_the_edge() {
    let (server, _edge, dsn) = terminating("");
    server.ask("create extension postgis");
    let sql = "select st_astext(st_centroid('POLYGON((0 0, 2 0, 2 2, 0 2, 0 0))'::geometry))";
    assert_eq!(psql(&dsn, sql).success().trim(), "POINT(1 1)");
}

#[test]
fn a_server_that_stops_ends_its_sessions_and_one_that_comes_back_is_found() {
    let (server, edge, dsn) = terminating("");
    let mut session = support::postgres::psql_running(&dsn, "select pg_sleep(600)");
    eventually("the query runs", || server.running("pg_sleep") == 1);
    let address = server.address();
    drop(server);
    assert!(!session.wait().success(), "{}", session.output());
    edge.has_open("postgres", 0.0);
    assert!(dsn.refusal().contains("FATAL"));
    let again = Postgres::start("again");
    edge.write_route("l4.toml", &tcp("postgres", again.address(), HOST));
    eventually("the new one is found", || psql(&dsn, "select 1").status.success());
    assert_ne!(again.address(), address);
    assert!(Path::new(&again.socket()).exists());
}
