//! Middlewares on routes of the built binary, over both protocols of clients: what servers see and what clients get.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
}

use support::backend::Backend;
use support::curl::Answer;
use support::edge::TestEdge;

const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2"];

fn edge(upstream: &str, rest: &str) -> TestEdge {
    let route = format!("[[route]]\nhost = \"app.test\"\nupstream = \"{upstream}\"\n{rest}\n");
    TestEdge::with_routes(&[("app.toml", &route)])
}

fn get(edge: &TestEdge, protocol: &str, path: &str, args: &[&str]) -> Answer {
    edge.https(&format!("https://app.test{path}"), &[&[protocol, "--path-as-is"], args].concat())
}

#[test]
fn steps_run_in_the_order_written_and_answers_in_the_reverse_order() {
    let backend = Backend::echo();
    let edge = edge(
        &backend.url(),
        "use = [\"one\", { kind = \"headers\", response = { add = { x-seen = \"2\" } }, request = { add = { x-seen = \"2\" } } }]\n\
         [middleware.one]\nkind = \"headers\"\nrequest = { add = { x-seen = \"1\" } }\nresponse = { add = { x-seen = \"1\" } }",
    );
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/", &[]);
        let head = answer.text().to_ascii_lowercase();
        let (first, second) = (head.find("x-seen: 1"), head.find("x-seen: 2"));
        assert!(first.is_some() && first < second, "{head}");
        assert_eq!(answer.all("x-seen"), ["2", "1"]);
    }
}

#[test]
fn a_stripped_prefix_leaves_the_rest_of_the_target_untouched() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"strip-prefix\", prefix = \"/app\" }]");
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/app/a%20b//c?d=%2F&d", &["-H", "X-Forwarded-Prefix: /evil"]);
        assert!(answer.text().starts_with("GET /a%20b//c?d=%2F&d HTTP/1.1\r\n"), "{}", answer.text());
        let head = answer.text().to_ascii_lowercase();
        assert!(head.contains("x-forwarded-prefix: /app\r\n") && !head.contains("evil"), "{head}");
        let bare = get(&edge, protocol, "/app?x", &[]);
        assert_eq!((bare.status, bare.header("location")), (308, Some("/app/?x")));
        assert_eq!(get(&edge, protocol, "/app/%2e%2e/x", &[]).status, 400, "a path with two readings");
    }
}

#[test]
fn a_denied_path_is_refused_with_its_reason_everywhere() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"deny-path\", paths = \"/admin\" }]");
    for protocol in PROTOCOLS {
        for path in ["/admin", "/x/../admin/", "/%61dmin", "//admin", "/admin;x"] {
            let answer = get(&edge, protocol, path, &[]);
            assert!(answer.status == 403 || answer.status == 400, "{path}: {}", answer.status);
        }
        let answer = get(&edge, protocol, "/admin", &[]);
        assert!(answer.text().starts_with("403 This path is not open to this client.\n"), "{}", answer.text());
        assert_eq!(get(&edge, protocol, "/open", &[]).status, 200);
    }
    let metrics = edge.metrics();
    assert!(metrics.contains("edge_refusals_total{reason=\"denied_path\",route=\"app.test\"}"), "{metrics}");
}
