//! What an edge tells those who look: metrics in Prometheus' own format, health, who may ask, and a line a request.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use support::backend::Backend;
use support::curl::curl;
use support::edge::{PLAIN, TestEdge};
use support::process::eventually_some;
use support::servers::promtool_check;

/// An edge that has been asked for some things, good and bad.
fn used() -> (TestEdge, Backend) {
    let backend = Backend::echo();
    let route = format!("[[route]]\nname = \"app\"\nhost = \"app.test\"\nupstream = \"{}\"\n", backend.url());
    let edge = TestEdge::with_routes(&[("app.toml", &route)]);
    for args in [&["--http1.1"][..], &["--http2", "-d", "12345"], &["-X", "PURGE"]] {
        assert_eq!(edge.https("https://app.test/used?secret=1", args).status, 200);
    }
    assert_eq!(edge.http("http://nobody.test/", &[]).status, 404);
    assert_eq!(edge.https("https://nobody.test/", &[]).exit, 35);
    (edge, backend)
}

#[test]
fn prometheus_tools_accept_the_metrics_of_a_used_edge() {
    let (edge, _backend) = used();
    edge.counts("edge_requests_total", &["route=\"app\""], 3.0);
    edge.counts("edge_refusals_total", &["reason=\"unknown_host\"", "route=\"\""], 1.0);
    let metrics = edge.metrics();
    let said = promtool_check(&metrics);
    assert!(said.status.success(), "{}\n{}", said.stdout, said.stderr);
    let build = metrics.lines().find(|line| line.starts_with("edge_build_info{")).expect("it is always there");
    let version = format!("version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert!(build.contains("commit=\"") && build.ends_with(&version), "{build}");
    for series in [
        "edge_requests_total{code=\"200\",method=\"GET\",route=\"app\"} 1",
        "edge_requests_total{code=\"200\",method=\"POST\",route=\"app\"} 1",
        "edge_requests_total{code=\"200\",method=\"OTHER\",route=\"app\"} 1",
        "edge_refusals_total{reason=\"unknown_host\",route=\"\"} 1",
        "edge_request_bytes_total{route=\"app\"} 5",
        "edge_routes{state=\"live\"} 1",
        "edge_task_panics_total 0",
    ] {
        assert!(metrics.lines().any(|line| line == series), "{series} is not in\n{metrics}");
    }
    assert!(!metrics.contains("nobody.test") && !metrics.contains("/used"), "labels are closed sets");
}

#[test]
fn health_is_told_to_addresses_and_local_names_only() {
    let (edge, _backend) = used();
    assert_eq!(edge.ask_admin("/healthz").text(), "ok\n");
    assert_eq!(edge.ask_admin("/readyz").status, 200);
    let url = format!("http://{}/metrics", edge.admin());
    for (host, allowed) in [("localhost", true), ("127.0.0.1:9180", true), ("evil.example", false), ("app.test", false)]
    {
        let answer = curl(&[&url, "-H", &format!("Host: {host}")]);
        assert_eq!(answer.status == 200, allowed, "{host}: {}", answer.text());
    }
}

#[test]
fn names_of_the_admin_side_can_be_added() {
    let edge = TestEdge::with_config(&format!("{PLAIN}hosts = [\"Metrics.test\"]\n"), &[]);
    let url = format!("http://{}/metrics", edge.admin());
    for (host, status) in [("metrics.test:9180", 200), ("other.test", 421)] {
        assert_eq!(curl(&[&url, "-H", &format!("Host: {host}")]).status, status, "{host}");
    }
}

#[test]
fn every_request_has_a_line_with_what_became_of_it() {
    let (edge, _backend) = used();
    let lines = eventually_some("three lines", || Some(edge.access("/used")).filter(|lines| lines.len() == 3));
    for (line, (method, proto, bytes)) in
        lines.iter().zip([("GET", "HTTP/1.1", 0), ("POST", "HTTP/2", 5), ("PURGE", "HTTP/2", 0)])
    {
        let expected = serde_json::json!({
            "method": method, "proto": proto, "request_bytes": bytes, "host": "app.test", "route": "app", "status": 200,
            "entrypoint": "https", "client": "127.0.0.1", "tls": "1.3", "sni": "app.test", "attempts": 1,
        });
        for (key, value) in expected.as_object().expect("an object") {
            assert_eq!(&line[key], value, "{key} of {line}");
        }
        assert!(line["request_id"].as_str().is_some_and(|id| id.len() >= 16), "{line}");
        assert!(["duration_ms", "first_byte_ms", "upstream_ms"].iter().all(|key| line[*key].is_f64()), "{line}");
        assert!(line["response_bytes"].as_u64().is_some_and(|bytes| bytes > 20), "{line}");
        assert!(!line.to_string().contains("secret=1"), "values of a query are nobody's business: {line}");
    }
    let refused = eventually_some("the refusal's line", || {
        edge.access("/").into_iter().find(|line| line["host"] == "nobody.test")
    });
    assert_eq!((&refused["status"], &refused["reason"]), (&404.into(), &"unknown_host".into()));
}
