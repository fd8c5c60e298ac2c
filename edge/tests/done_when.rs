//! The way of an operator from ten lines of TOML to names with certificates of a real authority, with everything that
//! may happen to the files on the way, as one story.

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
    pub(crate) mod servers;
}

use std::fs;

use support::authority::{Gate, config, issuing_root};
use support::backend::Backend;
use support::client::{Loop, Trust};
use support::curl::Answer;
use support::edge::TestEdge;
use support::pebble::{Options, Pebble};
use support::process::{eventually, free_port};
use support::servers::Prometheus;

/// The story's edge, with Pebble behind a gate.
struct Stage {
    edge: TestEdge,
    gate: Gate,
    /// Where Pebble's root is.
    root: String,
    backend: Backend,
    trust: Trust,
    _pebble: Pebble,
}

impl Stage {
    fn new() -> Self {
        let http_port = free_port();
        let pebble = Pebble::start(&Options::new(http_port));
        let port = pebble.directory.split(['/', ':']).find_map(|part| part.parse().ok()).expect("a port");
        let gate = Gate::before(port);
        let directory = format!("https://{}/dir", gate.address());
        let backend = Backend::hello("hello");
        let edge = TestEdge::with_config(
            &config(&pebble, &directory, http_port),
            &[("one.toml", &route("one.edge.test", &backend))],
        );
        let issuing = issuing_root(&pebble);
        let root = edge.path("pebble-root.pem");
        fs::write(&root, &issuing).expect("the folder is writable");
        let trust = Trust::roots(&[issuing, edge.local_root()]);
        Self { edge, gate, root: root.display().to_string(), backend, trust, _pebble: pebble }
    }

    /// As a browser that knows Pebble only.
    fn browse(&self, host: &str, version: &str) -> Answer {
        let to = format!("::{}", self.edge.address("https"));
        support::curl::curl(&[version, "--cacert", &self.root, "--connect-to", &to, &format!("https://{host}/")])
    }

    fn has_a_trusted_certificate(&self, host: &str) {
        eventually(&format!("{host} has a certificate"), || self.browse(host, "--http2").exit == 0);
    }
}

fn route(host: &str, backend: &Backend) -> String {
    format!("[[route]]\nhost = \"{host}\"\nupstream = \"{}\"\n", backend.url())
}

#[test]
fn names_get_routes_and_certificates_while_everybody_is_served() {
    let stage = Stage::new();
    while_the_authority_is_waited_for(&stage);
    stage.gate.open();
    the_first_name_is_served_over_both_protocols(&stage);
    let prometheus = Prometheus::scraping(stage.edge.admin());
    let clients = Loop::start(stage.edge.address("https"), "one.edge.test", &stage.trust);
    clients.goes_on(20);
    a_second_file_is_a_second_name(&stage);
    breaking_it_changes_nothing_for_anyone(&stage, &clients);
    explain_tells_what_would_happen(&stage.edge);
    prometheus_shows_it_all(&prometheus);
    assert!(clients.end_without_failure() > 50);
    assert_eq!(stage.edge.metric("edge_task_panics_total"), Some(0.0));
}

fn while_the_authority_is_waited_for(stage: &Stage) {
    let Stage { edge, .. } = stage;
    assert_eq!(stage.browse("one.edge.test", "--http2").exit, 60, "nobody knows the local authority");
    let local = edge.path("state/local-ca/root.pem").display().to_string();
    let to = format!("::{}", edge.address("https"));
    let answer = support::curl::curl(&["--cacert", &local, "--connect-to", &to, "https://one.edge.test/"]);
    assert_eq!((answer.exit, answer.status, answer.text().as_str()), (0, 200, "hello"), "{}", answer.said);
    let ready = edge.ask_admin("/readyz");
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("one.edge.test has no certificate of its issuer acme yet"), "{}", ready.text());
    let cert = edge.row("certs", "name", "one.edge.test").expect("the name is listed");
    assert_eq!(cert["state"], "stand-in", "{cert}");
    edge.logs("until it is there the name is served with one of the local authority");
}

fn the_first_name_is_served_over_both_protocols(stage: &Stage) {
    stage.has_a_trusted_certificate("one.edge.test");
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let answer = stage.browse("one.edge.test", flag);
        let got = (answer.exit, answer.status, answer.version.as_str(), answer.text());
        assert_eq!(got, (0, 200, version, "hello".to_owned()), "{}", answer.said);
    }
    let edge = &stage.edge;
    eventually("the edge is ready", || edge.ask_admin("/readyz").status == 200);
    let cert = edge.row("certs", "name", "one.edge.test").expect("the name is listed");
    assert_eq!((&cert["state"], &cert["issuer"]), (&"valid".into(), &"acme".into()), "{cert}");
    let dates = ["not_after", "renew_at"].map(|key| cert[key].as_str().unwrap_or_default().len());
    assert!(dates.iter().all(|length| *length > 10), "{cert}");
    edge.logs("certificate obtained");
}

fn a_second_file_is_a_second_name(stage: &Stage) {
    stage.edge.write_route("two.toml", &route("two.edge.test", &stage.backend));
    stage.has_a_trusted_certificate("two.edge.test");
    let answer = stage.browse("two.edge.test", "--http2");
    assert_eq!((answer.exit, answer.text().as_str()), (0, "hello"), "{}", answer.said);
}

fn breaking_it_changes_nothing_for_anyone(stage: &Stage, clients: &Loop) {
    let edge = &stage.edge;
    let good = route("two.edge.test", &stage.backend);
    edge.write_route("two.toml", &good.replace("http://", "gopher://"));
    let kept = || edge.row("routes", "name", "two.edge.test").filter(|row| row["state"] == "kept");
    eventually("the route is kept", || kept().is_some());
    let fault = kept().expect("it is kept")["faults"][0].clone();
    assert_eq!((&fault["line"], &fault["column"]), (&3.into(), &12.into()), "{fault}");
    assert!(fault["file"].as_str().is_some_and(|file| file.ends_with("two.toml")), "{fault}");
    edge.logs("gopher");
    let said = edge.log();
    let line = said.lines().find(|line| line.contains("gopher")).expect("it was logged");
    let line: serde_json::Value = serde_json::from_str(line).expect("the log is JSON");
    assert_eq!((&line["line"], &line["column"]), (&3.into(), &12.into()), "{line}");
    for host in ["one.edge.test", "two.edge.test"] {
        let answer = stage.browse(host, "--http2");
        assert_eq!((answer.exit, answer.status, answer.text().as_str()), (0, 200, "hello"), "{host}");
    }
    clients.goes_on(20);
}

fn explain_tells_what_would_happen(edge: &TestEdge) {
    let said = edge.command(&["explain", "https://one.edge.test/"]).success();
    assert!(said.contains("one.edge.test") && said.contains("one.toml"), "{said}");
    let said = edge.command(&["certs"]).success();
    assert!(["one.edge.test", "two.edge.test", "acme"].iter().all(|word| said.contains(word)), "{said}");
}

fn prometheus_shows_it_all(prometheus: &Prometheus) {
    prometheus.wait_until_up();
    for (what, expression) in [
        ("the live route", r#"edge_routes{state="live"} == 1"#),
        ("the kept route", r#"edge_routes{state="kept"} == 1"#),
        ("two certificates", r#"count(edge_certificate_not_after_seconds{issuer="acme"} > time()) == 2"#),
        ("when they are renewed", "count(edge_certificate_renew_at_seconds > time()) == 2"),
        ("two orders", r#"sum(edge_acme_orders_total{result="ok"}) == 2"#),
        ("requests", r#"sum(edge_requests_total{route="one.edge.test", code="200"}) > 20"#),
        ("handshakes", r#"sum(edge_tls_handshakes_total{result="ok", entrypoint="https"}) > 5"#),
        ("the configuration", "edge_config_generation == 3"),
        ("the load with a fault", r#"edge_config_reloads_total{result="partial"} == 1"#),
        ("the build", "edge_build_info == 1"),
    ] {
        eventually(&format!("Prometheus shows {what}"), || !prometheus.query(expression).is_empty());
    }
}
