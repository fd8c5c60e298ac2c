//! Prometheus behind the edge, below a prefix, asked by promtool over TLS; what changes it is refused.

mod support {
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use std::process::Command;

use support::edge::TestEdge;
use support::process::{free_port, run, tool};
use support::servers::Prometheus;

/// Requirements: exact and prefix paths, a slash redirect of the backend that is right by itself; path deny list.
#[test]
fn promtool_asks_below_a_prefix_and_nobody_may_reload() {
    let port = free_port();
    let route = format!(
        "[[route]]\nname = \"prometheus\"\nhost = \"localhost\"\npath = \"/prom\"\npreset = \"prometheus\"\nwithout = [\"deny-path\"]\n\
         upstream = {{ servers = \"http://127.0.0.1:{port}\", health = {{ path = \"/prom/-/healthy\" }} }}\n\
         use = [{{ kind = \"deny-path\", paths = [\"/prom/-/reload\", \"/prom/-/quit\", \"/prom/api/v1/admin\"] }}]\n"
    );
    let edge = TestEdge::with_routes(&[("prometheus.toml", &route)]);
    let url = format!("https://localhost:{}/prom", edge.address("https").port());
    let _prometheus = Prometheus::below_a_prefix(port, &url, "/prom");
    let mut promtool = Command::new(tool("promtool"));
    promtool.env("SSL_CERT_FILE", edge.path("state/local-ca/root.pem")).args(["query", "instant", &url, "1 + 1"]);
    let answer = run(&mut promtool).success();
    assert!(answer.contains("scalar: 2"), "{answer}");
    assert_eq!(edge.https(&format!("{url}/-/healthy"), &[]).status, 200);
    let start = edge.https(&format!("{url}/"), &[]);
    let page = start.header("location").unwrap_or_else(|| panic!("{}: {}", start.status, start.text()));
    assert!(page.starts_with("/prom/") && page.ends_with("/graph"), "{page}");
    for path in ["/-/reload", "/-/quit", "/%2d/reload", "/-//reload", "/api/v1/admin/tsdb/snapshot"] {
        let refused = edge.https(&format!("{url}{path}"), &["--request", "POST", "--path-as-is"]);
        assert!([400, 403].contains(&refused.status), "{path}: {} {}", refused.status, refused.text());
    }
    assert_eq!(edge.https(&format!("{url}/-/ready"), &[]).status, 200, "it has not quit");
}
