//! Middlewares on routes of the built binary, over both protocols of clients: what servers see and what clients get.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
}

use support::backend::Backend;
use support::curl::Answer;
use support::edge::{PLAIN, TestEdge};

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
fn nothing_leads_out_of_an_added_prefix() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"add-prefix\", prefix = \"/repository/pypi\" }]");
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/@team%2fapp//x", &[]);
        assert!(answer.text().starts_with("GET /repository/pypi/@team%2fapp//x HTTP/1.1\r\n"), "{}", answer.text());
        let heard = backend.requests();
        for path in ["/../npm-private/x", "/..%2fnpm-private/x", "/a/%2e%2e/%2e%2e/npm-private/x", "/..;/npm-private"] {
            let answer = get(&edge, protocol, path, &[]);
            assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        }
        assert_eq!(backend.requests(), heard);
    }
}

#[test]
fn the_benchmark_has_a_row_for_every_kind() {
    let bench = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/middleware.rs");
    let bench = std::fs::read_to_string(bench).expect("it is there");
    let rows = bench.split("const ROWS").nth(1).and_then(|rest| rest.split("];").next()).expect("a table");
    let kinds = edge::middleware::KINDS.iter().map(|entry| entry.name);
    let missing: Vec<_> = kinds.filter(|kind| !rows.contains(&format!("\"{kind}\","))).collect();
    assert!(missing.is_empty(), "no row in benches/middleware.rs: {missing:?}");
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
    edge.counts_at_least("edge_refusals_total", &["reason=\"denied_path\"", "route=\"app.test\""], 2.0);
}

/// Requirement: Host is set, to the server's own or to a name that it knows.
#[test]
fn a_server_gets_the_host_that_it_wants() {
    let backend = Backend::echo();
    for (written, host) in
        [("localhost:11434", "localhost:11434".to_owned()), ("upstream", backend.address().to_string())]
    {
        let edge = edge(&backend.url(), &format!("host_header = \"{written}\""));
        for protocol in PROTOCOLS {
            let head = get(&edge, protocol, "/", &[]).text().to_ascii_lowercase();
            assert!(head.contains(&format!("\r\nhost: {host}\r\n")), "{head}");
            assert!(head.contains("\r\nx-forwarded-host: app.test"), "{head}");
        }
    }
}

/// Requirement: Origin of the page itself is dropped, and that of others stays.
#[test]
fn the_origin_of_the_page_itself_is_dropped() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"origin\" }]");
    let own = "Origin: https://app.test";
    for protocol in PROTOCOLS {
        let seen = |origin: &str| get(&edge, protocol, "/", &["-H", origin]).text().to_ascii_lowercase();
        assert!(!seen(own).contains("\r\norigin:"), "{}", seen(own));
        assert!(seen("Origin: https://evil.test").contains("\r\norigin: https://evil.test\r\n"));
    }
}

/// Requirements: response rewrite: Location (and Content-Location) that means this place; response rewrite: Link of the same kind;
/// response rewrite: Set-Cookie with Secure, Path and Domain.
#[test]
fn addresses_and_cookies_of_a_server_that_believes_to_be_elsewhere_are_mended() {
    let backend = Backend::start(|exchange| {
        let own = format!("http://{}/created?a=%2F", exchange.header("host").unwrap_or_default());
        let fields = [
            ("location", own.as_str()),
            ("link", "<http://app.test/next>; rel=\"next\", <https://cdn.test/x>; rel=\"preload\""),
            ("set-cookie", "a=1; Path=/; Domain=inner.test"),
            ("set-cookie", "b=2; Path=/x; HttpOnly"),
        ];
        exchange.answer("201 Created", &fields, b"")
    });
    let steps = "use = [{ kind = \"realm\" }, { kind = \"cookies\", secure = true, path = { \"/\" = \"/app\" }, domain = { \"inner.test\" = \"\" } }]";
    let edge = edge(&backend.url(), &format!("host_header = \"upstream\"\n{steps}"));
    let here = "https://app.test";
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/", &[]);
        assert_eq!(answer.header("location"), Some(format!("{here}/created?a=%2F").as_str()));
        let links = format!("<{here}/next>; rel=\"next\", <https://cdn.test/x>; rel=\"preload\"");
        assert_eq!(answer.header("link"), Some(links.as_str()));
        assert_eq!(answer.all("set-cookie"), ["a=1; Path=/app/; Secure", "b=2; Path=/app/x; HttpOnly; Secure"]);
    }
}

#[test]
fn a_step_that_changes_the_path_is_no_way_around_what_a_preset_denies() {
    let backend = Backend::echo();
    for (preset, steps, path) in [
        ("vllm", "{ kind = \"strip-prefix\", prefix = \"/llm\" }", "/llm/metrics"),
        ("prometheus", "{ kind = \"strip-prefix\", prefix = \"/p\" }", "/p/-/quit"),
        ("prometheus", "{ kind = \"rewrite\", from = \"^/p/(.*)$\", to = \"/{1}\" }", "/p/api/v1/admin/tsdb/snapshot"),
        ("grafana", "{ kind = \"strip-prefix\", prefix = \"/g\" }", "/g/metrics"),
    ] {
        let edge = edge(&backend.url(), &format!("preset = \"{preset}\"\nuse = [{steps}]"));
        for protocol in PROTOCOLS {
            let answer = get(&edge, protocol, path, &[]);
            assert_eq!(answer.status, 403, "{preset} {path}: {}", answer.text());
        }
    }
    assert!(backend.heads().iter().all(|head| !head.contains("/metrics") && !head.contains("/quit")));
}

#[test]
fn a_path_is_denied_behind_a_step_of_a_preset_that_changes_it() {
    let backend = Backend::echo();
    let deny = "use = [{ kind = \"deny-path\", paths = [\"/image/monarch/admin\", \"/secret\"] }]";
    let edge = edge(&backend.url(), &format!("preset = \"monarch\"\n{deny}"));
    for protocol in PROTOCOLS {
        for path in ["/image/monarch/admin", "/image//monarch/%61dmin/x", "/image/monarch/secret", "/secret"] {
            assert_eq!(get(&edge, protocol, path, &[]).status, 403, "{path}");
        }
        assert_eq!(get(&edge, protocol, "/image/monarch/display", &[]).status, 200);
    }
    assert!(backend.heads().iter().all(|head| !head.contains("admin") && !head.contains("secret")));
}

#[test]
fn files_are_found_behind_a_prefix_and_steps_that_need_a_server_are_refused() {
    let route = "[[route]]\nhost = \"app.test\"\npath = \"/docs/\"\nfiles = \"site\"\n\
        use = [{ kind = \"strip-prefix\", prefix = \"/docs\" }]\n";
    let edge = TestEdge::start(|_| {
        let files =
            [("edge.toml", PLAIN), ("routes/app.toml", route), ("site/a.txt", "a"), ("site/in/index.html", "in")];
        files.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec()
    });
    assert_eq!(get(&edge, "--http2", "/docs/a.txt", &[]).text(), "a");
    assert_eq!(get(&edge, "--http2", "/docs/in", &[]).header("location"), Some("/docs/in/"));
    edge.write_route(
        "app.toml",
        &route.replace("\"strip-prefix\", prefix = \"/docs\"", "\"buffer\", max_request = \"1KiB\""),
    );
    let ran = edge.command(&["check"]);
    assert!(ran.stdout.contains("`buffer` does nothing on a route without an upstream"), "{}", ran.stdout);
}

/// What a proxy in front says of the client counts for every step, and only what it says.
#[test]
fn steps_see_the_scheme_and_the_client_that_a_trusted_proxy_names() {
    let backend = Backend::echo();
    let config = PLAIN.replace("redirect = \"https\"", "trusted_proxies = [\"127.0.0.0/8\"]");
    let steps = "use = [{ kind = \"ip\", allow = \"127.0.0.0/8\" }, { kind = \"redirect\", scheme = \"https\" }]";
    let route =
        format!("[[route]]\nhost = \"app.test\"\nentrypoint = \"http\"\nupstream = \"{}\"\n{steps}\n", backend.url());
    let edge = TestEdge::with_config(&config, &[("app.toml", &route)]);
    let ask = |fields: &[&str]| edge.http("http://app.test/", fields).status;
    assert_eq!(ask(&[]), 308, "it came in clear");
    assert_eq!(ask(&["-H", "X-Forwarded-Proto: https"]), 200, "it came by HTTPS to the proxy");
    assert_eq!(ask(&["-H", "X-Forwarded-For: 203.0.113.9"]), 403);
    let hidden = "X-Forwarded-For: \u{e9}, 203.0.113.9";
    assert_eq!(ask(&["-H", hidden]), 403, "bytes of a stranger hide nobody");
}
