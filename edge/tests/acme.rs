//! Certificates of a real authority over the life of an edge: renewed under load, kept over a restart, and what is said
//! when none can be had.

mod support {
    pub(crate) mod authority;
    pub(crate) mod backend;
    pub(crate) mod client;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    #[path = "../../../acme/tests/support/pebble.rs"]
    pub(crate) mod pebble;
    pub(crate) mod process;
}

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use support::authority::{config, issuing_root, orders};
use support::client::{Client, Loop, Trust};
use support::edge::TestEdge;
use support::pebble::{Options, Pebble};
use support::process::{Nobody, eventually, eventually_some, free_port};

const ROUTE: &str = "[[route]]\nhost = \"a.edge.test\"\nrespond = \"hello\"\n";
const NAME: &str = "a.edge.test";

fn start(change: impl FnOnce(&mut Options)) -> (TestEdge, Pebble) {
    let http_port = free_port();
    let mut options = Options::new(http_port);
    change(&mut options);
    let pebble = Pebble::start(&options);
    let edge = TestEdge::with_config(&config(&pebble, &pebble.directory, http_port), &[("a.toml", ROUTE)]);
    (edge, pebble)
}

fn trust(edge: &TestEdge, pebble: &Pebble) -> Trust {
    Trust::roots(&[issuing_root(pebble), edge.local_root()])
}

/// The row of a name once its certificate is there.
#[track_caller]
fn valid(edge: &TestEdge, name: &str) -> Value {
    let row = || edge.row("certs", "name", name).filter(|row| row["state"] == "valid");
    eventually_some(&format!("{name} has a certificate"), row)
}

/// The row of a name once its order has failed.
#[track_caller]
fn failed(edge: &TestEdge, name: &str) -> Value {
    let row = || edge.row("certs", "name", name).filter(|row| !row["last_error"].is_null());
    eventually_some(&format!("the order for {name} has failed"), row)
}

#[test]
fn a_certificate_is_renewed_while_clients_are_served() {
    let (edge, pebble) = start(|options| options.validity = 14);
    let first = valid(&edge, NAME);
    let trust = trust(&edge, &pebble);
    let https = edge.address("https");
    let mut open = Client::connect(https, NAME, &trust).expect("its certificate is good");
    let before = open.certificate();
    let clients = Loop::start(https, NAME, &trust);
    assert_eq!(open.get("/").expect("an answer").status, 200);
    let renewed = || edge.row("certs", "name", NAME).filter(|row| row["fingerprint"] != first["fingerprint"]);
    eventually_some("the certificate is renewed", renewed);
    assert_eq!(open.get("/").expect("the connection lives on").status, 200);
    assert_eq!(open.certificate(), before);
    let next = Client::connect(https, NAME, &trust).expect("the next one is good too");
    assert_ne!(next.certificate(), before);
    clients.goes_on(5);
    assert!(clients.end_without_failure() > 20);
    assert_eq!(edge.metric_sum("edge_acme_orders_total", &["result=\"failed\""]), 0.0);
    edge.logs("ordering the next certificate");
}

#[test]
fn account_and_certificate_are_kept_over_a_restart() {
    let (mut edge, pebble) = start(|_| {});
    let before = valid(&edge, NAME);
    assert_eq!(orders(&pebble), 1);
    let series = format!("edge_certificate_not_after_seconds{{issuer=\"acme\",name=\"{NAME}\"}}");
    let ends = edge.metric(&series).expect("it is in use");
    assert_eq!(edge.stop(), Some(0));
    edge.restart();
    assert_eq!(edge.row("certs", "name", NAME).expect("it is listed"), before);
    assert_eq!(edge.ask_admin("/readyz").status, 200);
    assert_eq!(edge.metric(&series), Some(ends));
    let due = edge.metric(&format!("edge_certificate_renew_at_seconds{{name=\"{NAME}\"}}"));
    assert!(due.is_some_and(|due| due < ends), "{due:?}");
    // A name that is new needs an order, by the account of before: nothing else was asked for until then.
    edge.write_route("b.toml", &ROUTE.replace(NAME, "b.edge.test"));
    valid(&edge, "b.edge.test");
    assert_eq!(orders(&pebble), 2);
    assert!(!pebble.log().contains("There are now 2 accounts"), "{}", pebble.log());
}

#[test]
fn what_is_kept_of_an_authority_is_for_nobody_else() {
    let (edge, _pebble) = start(|_| {});
    valid(&edge, NAME);
    let mut seen = 0;
    let mut look = vec![edge.path("state")];
    while let Some(path) = look.pop() {
        let mode = fs::symlink_metadata(&path).expect("it is there").permissions().mode() & 0o777;
        if path.is_symlink() {
            continue;
        }
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
        seen += 1;
        if path.is_dir() {
            look.extend(fs::read_dir(&path).expect("readable").flatten().map(|entry| entry.path()));
        }
    }
    assert!(seen > 8, "keys, accounts and certificates are below");
}

#[test]
fn an_authority_that_cannot_be_reached_is_said_and_stops_nobody() {
    let (http_port, nobody) = (free_port(), Nobody::new());
    let pebble = Pebble::start(&Options::new(http_port));
    let directory = format!("https://{}/dir", nobody.address());
    let mut edge = TestEdge::with_config(&config(&pebble, &directory, http_port), &[("a.toml", ROUTE)]);
    let row = failed(&edge, NAME);
    let said = row["last_error"]["text"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains("cannot be reached") && said.contains("check the network"), "{said}");
    assert_eq!(row["state"], "stand-in");
    edge.logs("no certificate obtained");
    let trust = Trust::roots(&[edge.local_root()]);
    let mut client = Client::connect(edge.address("https"), NAME, &trust).expect("the local authority stands in");
    assert_eq!(client.get("/").expect("an answer").body, b"hello");
    let ready = edge.ask_admin("/readyz").text();
    assert!(ready.contains(NAME) && ready.contains("cannot be reached"), "{ready}");
    assert!(edge.metric_sum("edge_acme_last_error", &["kind=\"unreachable\""]) > 0.0);
    // The wait for the next try is not forgotten by a restart.
    assert_eq!(edge.stop(), Some(0));
    edge.restart();
    assert_eq!(edge.row("certs", "name", NAME).expect("it is listed")["last_error"]["text"], said.as_str());
    assert_eq!(edge.metric_sum("edge_acme_orders_total", &[]), 0.0);
}

#[test]
fn a_refused_name_is_said_and_the_others_get_theirs() {
    let (edge, pebble) = start(|options| options.blocked = "blocked.edge.test");
    valid(&edge, NAME);
    edge.write_route("b.toml", &ROUTE.replace(NAME, "x.blocked.edge.test"));
    let row = failed(&edge, "x.blocked.edge.test");
    let said = row["last_error"]["text"].as_str().unwrap_or_default();
    assert!(said.contains("x.blocked.edge.test") && said.contains("refuse"), "{said}");
    edge.write_route("c.toml", &ROUTE.replace(NAME, "c.edge.test"));
    valid(&edge, "c.edge.test");
    let trust = trust(&edge, &pebble);
    for name in [NAME, "c.edge.test", "x.blocked.edge.test"] {
        let mut client = Client::connect(edge.address("https"), name, &trust).expect("a certificate");
        assert_eq!(client.get("/").expect("an answer").status, 200, "{name}");
    }
}

#[test]
fn a_challenge_that_fails_is_said_and_is_waited_for_over_a_restart() {
    let (http_port, elsewhere) = (free_port(), free_port());
    let pebble = Pebble::start(&Options::new(elsewhere));
    let config = config(&pebble, &pebble.directory, http_port);
    let mut edge = TestEdge::with_config(&config, &[("a.toml", ROUTE)]);
    let row = failed(&edge, NAME);
    let said = row["last_error"]["text"].as_str().unwrap_or_default().to_owned();
    assert!(said.contains(NAME) && said.contains("port 80"), "{said}");
    assert!(edge.metric_sum("edge_acme_last_error", &["kind=\"challenge_failed\""]) > 0.0);
    let before = orders(&pebble);
    assert_eq!(edge.stop(), Some(0));
    edge.restart();
    let after = edge.row("certs", "name", NAME).expect("it is listed");
    assert_eq!(after["last_error"]["text"], said.as_str());
    edge.write_route("b.toml", &ROUTE.replace(NAME, "b.edge.test"));
    failed(&edge, "b.edge.test");
    assert_eq!(orders(&pebble), before + 1, "the first name waits for its time");
}

#[test]
fn the_metrics_of_a_name_go_with_it() {
    let (edge, _pebble) = start(|_| {});
    valid(&edge, NAME);
    let series = || edge.metric_sum("edge_certificate_not_after_seconds", &[NAME]);
    assert!(series() > 0.0);
    edge.remove_route("a.toml");
    eventually("its certificate is forgotten", || series() == 0.0);
    assert_eq!(edge.metric_sum("edge_certificate_renew_at_seconds", &[NAME]), 0.0);
}
