//! Paths and targets: what two readers could take for two is refused where something depends on it, and what is forwarded
//! is what came, byte for byte.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use support::backend::Backend;
use support::edge::TestEdge;
use support::wire::Wire;

fn edge(backend: &Backend) -> TestEdge {
    let url = backend.url();
    let route = |name: &str, rest: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\nhost = \"{name}.test\"\nentrypoint = [\"http\", \"https\"]\n\
             upstream = \"{url}\"\n{rest}\n"
        )
    };
    let routes = [
        route("whole", ""),
        route("raw", "path_policy = \"raw\""),
        route("ruled", ""),
        "[[route]]\nname = \"admin\"\nhost = \"ruled.test\"\nentrypoint = [\"http\", \"https\"]\npath = \"/admin\"\n\
         respond = { status = 403, body = \"closed\" }\n"
            .to_owned(),
    ];
    TestEdge::with_routes(&[("app.toml", &routes.concat())])
}

#[test]
fn a_raw_wildcard_is_no_way_around_the_rules_of_a_name_below_it() {
    let backend = Backend::echo();
    let edge = TestEdge::with_routes(&[(
        "app.toml",
        &format!(
            "[[route]]\nhost = \"a.x.test\"\npath = \"/admin/\"\nentrypoint = [\"http\"]\nrespond = {{ status = 403 }}\n\
             [[route]]\nhost = \"*.x.test\"\npath_policy = \"raw\"\nentrypoint = [\"http\"]\nupstream = \"{}\"\n",
            backend.url()
        ),
    )]);
    assert_eq!(ask(&edge, "a.x.test", "/admin/s").0, 403);
    for target in ["/x/..%2fadmin/s", "/admin%2fs", "/x/../admin/s"] {
        assert_eq!(ask(&edge, "a.x.test", target).0, 400, "{target}");
        assert_eq!(ask(&edge, "b.x.test", target).0, 200, "{target} where nothing depends on it");
    }
}

#[test]
fn a_raw_name_whose_route_does_not_take_a_request_is_no_way_around_the_rules_of_its_wildcard() {
    let backend = Backend::echo();
    let url = backend.url();
    for condition in ["method = \"PUT\"\nentrypoint = [\"http\"]", "entrypoint = [\"https\"]"] {
        let route = |rest: &str| format!("[[route]]\n{rest}\n");
        let routes = [
            route(&format!("host = \"a.x.test\"\npath_policy = \"raw\"\n{condition}\nupstream = \"{url}\"")),
            route(
                "name = \"admin\"\nhost = \"*.x.test\"\npath = \"/admin/\"\nentrypoint = [\"http\"]\nrespond = { status = 403 }",
            ),
            route(&format!("host = \"*.x.test\"\nentrypoint = [\"http\"]\nupstream = \"{url}\"")),
        ];
        let edge = TestEdge::with_routes(&[("app.toml", &routes.concat())]);
        assert_eq!(ask(&edge, "a.x.test", "/admin/s").0, 403);
        for target in ["/x/..%2fadmin/s", "/admin%2fs", "/x/../admin/s"] {
            assert_eq!(ask(&edge, "a.x.test", target).0, 400, "{target} with {condition}");
        }
    }
}

/// Asks for exactly this target: the status and the first line that the server saw.
fn ask(edge: &TestEdge, host: &str, target: &str) -> (u16, String) {
    let mut wire = Wire::http(edge);
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    let reply = wire.answer();
    (reply.status, reply.text().lines().next().unwrap_or_default().to_owned())
}

const ODD: &[&str] = &[
    "/a%2Fb%2fc",
    "/a%5cb",
    "/a\\b",
    "/a%00b",
    "/a/..;/b",
    "/a/./b",
    "/a/../b",
    "/%2e%2e/b",
    "/a/%2E%2e/b",
    "/a/..%2fb",
    "/%ff",
    "/a%c0%afb",
    "/a%zz",
];

#[test]
fn a_path_with_two_readings_is_refused_where_something_depends_on_the_path() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    for target in ODD {
        let (status, said) = ask(&edge, "ruled.test", target);
        assert_eq!(status, 400, "{target}: {said}");
        assert_eq!(said, "400 The path can be read in more than one way.", "{target}");
    }
    edge.counts("edge_refusals_total", &["reason=\"ambiguous_path\""], ODD.len() as f64);
    for version in ["--http1.1", "--http2"] {
        let answer = edge.https("https://ruled.test/a/%2e%2e/admin/", &[version, "--path-as-is"]);
        assert_eq!(answer.status, 400, "{}", answer.text());
    }
    assert_eq!(backend.requests(), 0);
}

#[test]
fn other_spellings_of_a_path_meet_the_same_rule() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    for target in ["/admin/x", "//admin/x", "/%61dmin/x", "/admin//x", "///%61%64min//x?y", "/admin"] {
        assert_eq!(ask(&edge, "ruled.test", target), (403, "closed".to_owned()), "{target}");
    }
    assert_eq!(backend.requests(), 0);
    assert_eq!(ask(&edge, "ruled.test", "//other//x"), (200, "GET //other//x HTTP/1.1".to_owned()));
}

#[test]
fn what_is_forwarded_is_the_target_as_it_came() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    let plain = [
        "/",
        "/a//b",
        "//a/b",
        "/a;b=c/d;e",
        "/a%20b",
        "/%41",
        "/a?",
        "/?b=2&a=1&b=1",
        "/a?x=%2f%2F+%20;y&&",
        "/a??b",
        "/%E2%82%AC",
        "/a:b@c,d'(e)*!$&+=",
    ];
    for target in plain.iter().chain(ODD) {
        for host in ["whole.test", "raw.test"] {
            assert_eq!(ask(&edge, host, target), (200, format!("GET {target} HTTP/1.1")), "{host}");
        }
    }
}

#[test]
fn http2_forwards_the_target_as_it_came_too() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    for target in ["/a//b;c?b=2&a=1&b=", "/a%2Fb%2fc", "/a/../b?", "/%41?x=%20+"] {
        let answer = edge.https(&format!("https://raw.test{target}"), &["--http2", "--path-as-is"]);
        assert_eq!(answer.version, "2");
        assert!(answer.text().starts_with(&format!("GET {target} HTTP/1.1\r\n")), "{}", answer.text());
    }
}

#[test]
fn an_absolute_target_and_the_asterisk_are_read() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    let mut wire = Wire::http(&edge);
    wire.send("OPTIONS * HTTP/1.1\r\nHost: whole.test\r\n\r\n");
    let reply = wire.answer();
    assert!(reply.text().starts_with("OPTIONS * HTTP/1.1\r\n"), "{}", reply.text());
    wire.send("GET http://ruled.test/a/..;/b HTTP/1.1\r\nHost: ruled.test\r\n\r\n");
    assert_eq!(wire.answer().status, 400, "the path is looked at in absolute form too");
}

/// RFC 9112 section 3.2.1: to the server of a host, a request is in origin form.
#[test]
fn a_server_gets_an_absolute_target_in_origin_form() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    let mut wire = Wire::http(&edge);
    for (method, target, line) in [
        ("GET", "http://whole.test/a//b%2Fc?d=http://e", "GET /a//b%2Fc?d=http://e HTTP/1.1"),
        ("GET", "http://whole.test", "GET / HTTP/1.1"),
        ("GET", "HTTP://whole.test?x", "GET /?x HTTP/1.1"),
        ("OPTIONS", "http://whole.test", "OPTIONS * HTTP/1.1"),
        ("GET", "/plain?x", "GET /plain?x HTTP/1.1"),
    ] {
        wire.send(format!("{method} {target} HTTP/1.1\r\nHost: whole.test\r\n\r\n"));
        let reply = wire.answer();
        assert_eq!(reply.text().lines().next(), Some(line), "{target}");
    }
    assert_eq!(ask(&edge, "ruled.test", "http://ruled.test/admin/x"), (403, "closed".to_owned()));
}
