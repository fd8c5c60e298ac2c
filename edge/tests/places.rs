//! Which route takes a request: by port, by name, by path and what it excepts; and what routes without a server do.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
}

use support::backend::Backend;
use support::curl::{Answer, curl};
use support::edge::{PLAIN, TestEdge};

fn get(edge: &TestEdge, host: &str, path: &str) -> Answer {
    edge.https(&format!("https://{host}{path}"), &["--path-as-is"])
}

/// Requirements: port routes, bind addresses. Two entrypoints with TLS, each with its own address and its own routes
/// for one name.
#[test]
fn a_name_leads_elsewhere_on_another_port() {
    let config = format!("{PLAIN}\n[entrypoint.mlflow]\nlisten = [\"127.0.0.2:0\"]\ntls = true\n");
    let routes = "[[route]]\nname = \"ui\"\nhost = \"lab.test\"\nentrypoint = \"https\"\nrespond = \"ui\"\n\
        [[route]]\nname = \"mlflow\"\nhost = \"lab.test\"\nentrypoint = \"mlflow\"\nrespond = \"mlflow\"\n";
    let edge = TestEdge::with_config(&config, &[("lab.toml", routes)]);
    let other = edge.address("mlflow");
    assert_eq!(other.ip().to_string(), "127.0.0.2");
    assert_eq!(get(&edge, "lab.test", "/").text(), "ui");
    let resolve = format!("lab.test:{}:{}", other.port(), other.ip());
    let url = format!("https://lab.test:{}/", other.port());
    assert_eq!(curl(&["--insecure", "--resolve", &resolve, &url]).text(), "mlflow");
}

/// Requirement: several TLS names on one port, and wildcard certificates: each name is served with its own, one label of
/// a wildcard with the wildcard's.
#[test]
fn every_name_of_a_port_has_its_certificate() {
    let route = |host: &str| format!("[[route]]\nhost = \"{host}\"\nrespond = \"{host}\"\n");
    let routes = ["a.test", "b.test", "*.s3.test"].map(route).concat();
    let edge = TestEdge::with_routes(&[("names.toml", &routes)]);
    let root = edge.path("state/local-ca/root.pem").display().to_string();
    let verified = |host: &str| {
        let at = edge.address("https");
        let resolve = format!("{host}:{}:{}", at.port(), at.ip());
        curl(&["--cacert", &root, "--resolve", &resolve, &format!("https://{host}:{}/", at.port())])
    };
    for (host, served) in [("a.test", "a.test"), ("b.test", "b.test"), ("bucket.s3.test", "*.s3.test")] {
        let answer = verified(host);
        assert_eq!((answer.status, answer.text().as_str()), (200, served), "{}", answer.said);
    }
}

/// Requirement: exact paths, negation, regex redirect with captures, and a static SPA.
#[test]
fn exact_paths_exceptions_redirects_and_an_spa_live_on_one_name() {
    let backend = Backend::echo();
    let routes = format!(
        "[[route]]\nname = \"api\"\nhost = \"app.test\"\npath = \"/api/\"\nupstream = \"{}\"\n\
         except = {{ path = [\"/api/private/\"] }}\n\
         [[route]]\nname = \"health\"\nhost = \"app.test\"\npath = \"=/health\"\nrespond = \"well\"\n\
         [[route]]\nname = \"old\"\nhost = \"old.test\"\nrespond = \"\"\n\
         use = [{{ kind = \"redirect\", from = \"^/image/([a-z]+)/(.*)$\", to = \"https://new.test/{{1}}/{{2}}{{query}}\", status = 301 }}]\n\
         [[route]]\nname = \"pages\"\nhost = \"app.test\"\nfiles = {{ root = \"dist\", spa = true }}\n",
        backend.url()
    );
    let edge = TestEdge::start(|_| {
        let files =
            [("edge.toml", PLAIN), ("routes/app.toml", &routes), ("dist/index.html", "<p>spa"), ("dist/app.js", "1")];
        files.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec()
    });
    assert!(get(&edge, "app.test", "/api/x").text().starts_with("GET /api/x HTTP/1.1"));
    assert_eq!(get(&edge, "app.test", "/api/private/x").text(), "<p>spa", "the exception is left to the next route");
    assert_eq!(get(&edge, "app.test", "/health").text(), "well");
    assert_eq!(get(&edge, "app.test", "/health/x").text(), "<p>spa");
    assert_eq!(get(&edge, "app.test", "/app.js").text(), "1");
    assert_eq!(get(&edge, "app.test", "/any/page").text(), "<p>spa");
    let moved = get(&edge, "old.test", "/image/monarch/create?x=1");
    assert_eq!((moved.status, moved.header("location")), (301, Some("https://new.test/monarch/create?x=1")));
}
