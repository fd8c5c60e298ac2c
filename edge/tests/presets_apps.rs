//! Presets of applications and their pages, before stand-ins that do what such a server trips over.

mod support {
    pub(crate) mod backend;
    pub(crate) mod client;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod presets;
    pub(crate) mod process;
    pub(crate) mod servers;
}

use std::sync::Mutex;
use std::sync::mpsc::channel;

use support::backend::Backend;
use support::client::{Client, Trust};
use support::edge::TestEdge;
use support::presets::{PROTOCOLS, before, own_address, route, say, sockets};
use support::process::{Ran, eventually};
use support::servers::{grpc_call, grpc_server, ws_client};

/// One message of a WebSocket through the edge: prints the head that the stand-in got.
fn socket(edge: &TestEdge, url: &str, headers: &[&str]) -> Ran {
    let root = edge.path("state/local-ca/root.pem").display().to_string();
    let to = edge.address("https").to_string();
    let headers = headers.iter().flat_map(|header| ["--header", header]);
    let args: Vec<&str> = [url, "--connect", &to, "--ca", &root].into_iter().chain(headers).chain(["one"]).collect();
    ws_client(&args)
}

/// A body that says to be one byte too long is refused before any of it is read; one that fits is not.
#[track_caller]
fn the_cap_is(edge: &TestEdge, host: &str, backend: &Backend, mib: usize) {
    let before = backend.body_bytes();
    let trust = Trust::roots(&[edge.local_root()]);
    let mut client = Client::connect(edge.address("https"), host, &trust).expect("a connection");
    let head = |length: usize| format!("POST /up HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n");
    client.send(&head((mib << 20) + 1)).expect("sent");
    assert_eq!(client.reply().expect("an answer").status, 413);
    assert_eq!(backend.body_bytes(), before);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len((mib as u64) << 20).expect("there is room");
    let whole = format!("@{}", file.path().display());
    for protocol in PROTOCOLS {
        let answer = edge.https(&format!("https://{host}/up"), &[protocol, "--data-binary", &whole]);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(backend.body_bytes() - before, mib << 21);
}

/// Requirements: per-route timeouts and body cap. The whole chain of services is done before it answers.
#[test]
fn the_orchestrator_may_take_its_time_over_a_big_request() {
    let (sender, answers) = channel::<String>();
    let answers = Mutex::new(answers);
    let orchestrator = Backend::start(move |exchange| match exchange.target() {
        "/render" => {
            exchange.drain()?;
            let rendering = answers.lock().expect("no script panics").recv().unwrap_or_default();
            exchange.answer("200 OK", &[("access-control-allow-origin", "*")], rendering.as_bytes())
        }
        _ => say(exchange, "200 OK", &[], ""),
    });
    let edge = before("orchestrator", &orchestrator.url(), "");
    the_cap_is(&edge, "orchestrator.test", &orchestrator, 12);
    let asked = orchestrator.body_bytes();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| edge.https("https://orchestrator.test/render", &["-d", "{}"]));
        eventually("it has the request", || orchestrator.body_bytes() == asked + 2);
        sender.send("done".into()).expect("the stand-in waits");
        let answer = waits.join().expect("no panic");
        assert_eq!((answer.text().as_str(), answer.header("access-control-allow-origin")), ("done", Some("*")));
    });
    let explained = edge.command(&["explain", "https://orchestrator.test/render"]).success();
    assert!(explained.contains("600s"), "{explained}");
}

/// Requirement: strip prefix, slash redirect.
#[test]
fn monarch_stands_at_a_root_or_below_its_prefixes() {
    let monarch = Backend::echo();
    let routes = route("monarch", &monarch.url(), "");
    let edge = TestEdge::with_routes(&[("preset.toml", &routes)]);
    for protocol in PROTOCOLS {
        for (path, wanted) in [
            ("/display/1234", "GET /display/1234 "),
            ("/monarch/display/1234?a=%2F", "GET /display/1234?a=%2F "),
            ("/image/monarch/update/1", "GET /update/1 "),
        ] {
            let head = edge.https(&format!("https://monarch.test{path}"), &[protocol]).text();
            assert!(head.starts_with(wanted), "{head}");
        }
        let options = ["-X", "OPTIONS", "-H", "Origin: https://page.test", protocol];
        let head = edge.https("https://monarch.test/monarch/create", &options).text().to_ascii_lowercase();
        assert!(head.starts_with("options /create ") && head.contains("\r\norigin: https://page.test\r\n"), "{head}");
        let bare = edge.https("https://monarch.test/monarch", &[protocol]);
        assert_eq!((bare.status, bare.header("location")), (308, Some("/monarch/")));
    }
    the_cap_is(&edge, "monarch.test", &monarch, 10);
}

/// Requirements: Host kept; active health per sheet. HOMEPAGE_ALLOWED_HOSTS is compared with Host, that of the health
/// check too.
#[test]
fn homepage_sees_the_name_that_it_was_told() {
    let homepage = Backend::start(|exchange| match exchange.header("host") {
        Some("homepage.test") => say(exchange, "200 OK", &[], "home"),
        _ => say(exchange, "400 Bad Request", &[], "Host validation failed"),
    });
    let edge = before("homepage", &homepage.url(), "");
    for protocol in PROTOCOLS {
        let forged = ["-H", "X-Forwarded-Host: evil.test", protocol];
        assert_eq!(edge.https("https://homepage.test/api/services", &forged).text(), "home");
    }
    the_cap_is(&edge, "homepage.test", &homepage, 1);
    eventually("it was asked whether it is well", || {
        homepage.heads().iter().any(|head| head.starts_with("GET /api/healthcheck "))
    });
    let asked = homepage.heads();
    let checks = asked.iter().filter(|head| head.starts_with("GET /api/healthcheck "));
    assert!(
        checks.into_iter().all(|head| head.to_ascii_lowercase().contains("\r\nhost: homepage.test\r\n")),
        "{asked:?}"
    );
}

/// Requirements: response rewrite of Set-Cookie; untrusted headers are stripped. X-Script-Name of anybody is its mount point, and its cookies are not Secure by itself.
#[test]
fn pgadmin_is_mounted_by_the_edge_alone_and_its_cookies_are_secure() {
    let pgadmin = Backend::start(|exchange| {
        let mount = exchange.header("x-script-name").unwrap_or_default().to_owned();
        let at = format!("{mount}/login?next={}", exchange.header("x-scheme").unwrap_or("/"));
        say(exchange, "302 Found", &[("location", &at), ("set-cookie", "pga4_session=1; HttpOnly; Path=/")], "")
    });
    let below = "use = [{ kind = \"headers\", request = { set = { x-script-name = \"/pgadmin\" } } }]";
    for (more, wanted) in [("", "/login?next=/"), (below, "/pgadmin/login?next=/")] {
        let edge = before("pgadmin", &pgadmin.url(), more);
        for protocol in PROTOCOLS {
            let forged = ["-H", "X-Script-Name: /evil", "-H", "X_Script_Name: /evil", "-H", "X-Scheme: evil", protocol];
            let answer = edge.https("https://pgadmin.test/", &forged);
            assert_eq!(answer.header("location"), Some(wanted));
            assert_eq!(answer.header("set-cookie"), Some("pga4_session=1; HttpOnly; Path=/; Secure"));
        }
    }
}

/// Requirements: untrusted headers are stripped; path deny list; websocket upgrade. [auth.proxy] logs in whom a header names; live sockets are for the page of root_url alone.
#[test]
fn grafana_gets_no_login_of_a_client_and_its_live_socket_works() {
    let grafana = sockets(Some("https://grafana.test"));
    let edge = before("grafana", &grafana.url(), "");
    let forged = ["X-WEBAUTH-USER: admin", "X_WEBAUTH_USER: admin", "x-webauth-email: root@x"];
    for protocol in PROTOCOLS {
        let mut args = vec![protocol];
        forged.iter().for_each(|header| args.extend(["-H", header]));
        let head = edge.https("https://grafana.test/api/user", &args).text().to_ascii_lowercase();
        assert!(head.starts_with("get /api/user ") && !head.contains("webauth"), "{head}");
        for path in ["/metrics", "//Metrics", "/%6detrics", "/api/../metrics"] {
            let answer = edge.https(&format!("https://grafana.test{path}"), &[protocol, "--path-as-is"]);
            assert_eq!(answer.status, 403, "{path}");
        }
    }
    let url = "wss://grafana.test/api/live/ws";
    let own = [&["Origin: https://grafana.test"], &forged[..]].concat();
    let head = socket(&edge, url, &own).success().to_ascii_lowercase();
    assert!(head.contains("get /api/live/ws ") && !head.contains("webauth"), "{head}");
    assert!(!socket(&edge, url, &["Origin: https://evil.test"]).status.success());
}

/// A line of `edge hash ada` for the password `secret`.
const ADA: &str =
    "ada:$argon2id$v=19$m=19456,t=2,p=1$IU6yw9aZWJnE2Pkth8cFpQ$k9Ets+Upw4ZSeaP8RHCFIrpcg2imxejsf9e9gl2JsZ0\n";

/// Requirements: auth; untrusted headers are stripped. Whom the edge has checked is who Grafana logs in.
#[test]
fn grafana_logs_in_whom_the_edge_has_checked() {
    let grafana = Backend::echo();
    let login = "use = [{ kind = \"basic-auth\", users_file = \"users.htpasswd\", user_header = \"x-webauth-user\" }]";
    let route = route("grafana", &grafana.url(), login);
    let edge = TestEdge::start(|_| {
        [("edge.toml", support::edge::PLAIN), ("users.htpasswd", ADA), ("routes/grafana.toml", &route)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .to_vec()
    });
    for protocol in PROTOCOLS {
        let forged = [protocol, "-H", "X-WEBAUTH-USER: admin", "-H", "X_WEBAUTH_USER: admin"];
        assert_eq!(edge.https("https://grafana.test/api/user", &forged).status, 401);
        let known = [&forged[..], &["--user", "ada:secret"]].concat();
        let head = edge.https("https://grafana.test/api/user", &known).text().to_ascii_lowercase();
        assert!(head.contains("\r\nx-webauth-user: ada\r\n"), "{head}");
        assert!(!head.contains("admin") && !head.contains("\r\nauthorization:"), "{head}");
    }
}

/// Requirement: path deny list.
#[test]
fn prometheus_answers_questions_and_takes_no_orders() {
    let prometheus = Backend::echo();
    let edge = before("prometheus", &prometheus.url(), "");
    for protocol in PROTOCOLS {
        for path in [
            "/-/reload",
            "/-/quit",
            "/-//quit/",
            "/%2d/quit",
            "/api/v1/admin/tsdb/delete_series",
            "/api/v1/./admin/tsdb/snapshot",
            "/api/v1%2fadmin/tsdb/snapshot",
        ] {
            let url = format!("https://prometheus.test{path}");
            assert_eq!(edge.https(&url, &[protocol, "--path-as-is", "-X", "POST"]).status, 403, "{path}");
        }
        for path in ["/api/v1/query?query=up", "/-/healthy", "/graph"] {
            assert_eq!(edge.https(&format!("https://prometheus.test{path}"), &[protocol]).status, 200, "{path}");
        }
    }
    the_cap_is(&edge, "prometheus.test", &prometheus, 20);
}

/// What the route says wins, and a step of the preset that does not fit goes.
#[test]
fn prometheus_below_a_prefix_has_its_own_closed_paths() {
    let prometheus = Backend::echo();
    let own = "path = \"/prom\"\nlimits = { body = \"1MiB\" }\nwithout = \"deny-path\"\n\
               use = [{ kind = \"deny-path\", paths = [\"/prom/-/quit\"] }]";
    let edge = before("prometheus", &prometheus.url(), own);
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.as_file().set_len((1 << 20) + 1).expect("there is room");
    let long = format!("@{}", file.path().display());
    let status = |path: &str, args: &[&str]| edge.https(&format!("https://prometheus.test{path}"), args).status;
    for protocol in PROTOCOLS {
        assert_eq!(status("/prom/-/quit", &[protocol, "-X", "POST"]), 403);
        assert_eq!(status("/prom/-/reload", &[protocol, "-X", "POST"]), 200, "it is open again");
        assert_eq!(status("/prom/up", &[protocol, "--data-binary", &long]), 413);
    }
}

/// With a base path, the UI's own redirect names it.
#[test]
fn jaegers_page_is_served() {
    let jaeger = Backend::start(|exchange| match exchange.target() {
        "/" => say(exchange, "302 Found", &[("location", "/search")], ""),
        _ => say(exchange, "200 OK", &[], "traces"),
    });
    let edge = before("jaeger", &jaeger.url(), "");
    for protocol in PROTOCOLS {
        assert_eq!(edge.https("https://jaeger.test/", &[protocol]).header("location"), Some("/search"));
        assert_eq!(edge.https("https://jaeger.test/api/traces", &[protocol]).text(), "traces");
    }
}

/// Requirement: gRPC (h2c and trailers). A real gRPC server takes the place of the collector: calls and streams over h2c, with their trailers.
#[test]
fn spans_come_by_grpc_with_trailers() {
    let server = grpc_server();
    let edge = before("jaeger-otlp", &format!("http://{}", server.address), "");
    let root = edge.path("state/local-ca/root.pem").display().to_string();
    let target = edge.address("https").to_string();
    let call = |kind: &str, messages: &[&str]| {
        grpc_call(&[&[&target, kind, "--ca", &root, "--authority", "jaeger-otlp.test"], messages].concat())
    };
    let unary = call("unary", &["spans"]);
    assert_eq!((&unary["code"], &unary["messages"]), (&"OK".into(), &serde_json::json!(["spans"])), "{unary}");
    let refused = call("unary", &["refuse"]);
    assert_eq!(refused["code"], "FAILED_PRECONDITION", "{refused}");
    let streams = call("streams", &["1", "2", "3"]);
    assert_eq!(streams["messages"], serde_json::json!(["1", "2", "3"]), "{streams}");
    assert_eq!(streams["trailers"]["x-trailer"], "after the body");
}

/// Requirements: websocket upgrade; per-route "send client IP" switch. hbbs and hbbr take the address that any of these headers names for that of the client.
#[test]
fn rustdesk_has_both_sockets_and_is_told_no_address() {
    let (hbbs, hbbr) = (sockets(None), sockets(None));
    let relay = format!(
        "[[route]]\nname = \"relay\"\nhost = \"rustdesk.test\"\npath = \"/ws/relay\"\npreset = \"rustdesk\"\nupstream = \"{}\"\n",
        hbbr.url()
    );
    let edge = before("rustdesk", &hbbs.url(), &format!("path = \"/ws/id\"\n{relay}"));
    let forged = ["X-Real-IP: 10.0.0.1", "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1"];
    for (path, server) in [("/ws/id", &hbbs), ("/ws/relay", &hbbr)] {
        let head = socket(&edge, &format!("wss://rustdesk.test{path}"), &forged).success().to_ascii_lowercase();
        assert!(head.contains(&format!("get {path} ")), "{head}");
        for name in ["x-real-ip:", "x-forwarded-for:", "\nforwarded:", "10.0.0.1"] {
            assert!(!head.contains(name), "{head}");
        }
        eventually("the tunnel ends on both sides", || server.open() == 0);
    }
    assert_eq!(edge.https("https://rustdesk.test/", &[]).status, 404, "nothing else of it is served");
}

/// Requirements: strip prefix, exact paths, SPA from a folder. The API's paths beside pages from a folder, and its description below another path.
#[test]
fn dioptra_is_an_api_beside_pages() {
    let api = Backend::echo();
    let url = api.url();
    let routes = route("dioptra", &url, "path = [\"/api/\", \"/swagger.json\", \"/swaggerui/\", \"/health\", \"/up\"]");
    let beside = "[[route]]\nname = \"pages\"\nhost = \"dioptra.test\"\nfiles = { root = \"dist\", spa = true }\n";
    let docs = format!(
        "[[route]]\nname = \"docs\"\nhost = \"dioptra.test\"\npath = \"/api-docs\"\npreset = \"dioptra\"\nupstream = \"{url}\"\n\
         use = [{{ kind = \"strip-prefix\", prefix = \"/api-docs\" }}]\n"
    );
    let edge = TestEdge::start(|_| {
        [
            ("edge.toml", support::edge::PLAIN),
            ("dist/index.html", "the page"),
            ("routes/api.toml", &routes),
            ("routes/docs.toml", &docs),
            ("routes/pages.toml", beside),
        ]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .to_vec()
    });
    for protocol in PROTOCOLS {
        let text = |path: &str| edge.https(&format!("https://dioptra.test{path}"), &[protocol]).text();
        assert!(text("/api/v1/users/").starts_with("GET /api/v1/users/ "));
        assert!(text("/api-docs/").starts_with("GET / "));
        assert_eq!((text("/").as_str(), text("/experiments/3").as_str()), ("the page", "the page"));
    }
    the_cap_is(&edge, "dioptra.test", &api, 10);
}

/// Requirements: Host kept; websocket upgrade. An application that writes the address of its socket into its page, as IHP does.
#[test]
fn an_application_in_a_cluster_has_its_name_and_its_sockets() {
    let app = sockets(None);
    let edge = before("k8s-app", &app.url(), "");
    for protocol in PROTOCOLS {
        let head = edge.https("https://k8s-app.test/Projects", &[protocol]).text().to_ascii_lowercase();
        for field in ["host: k8s-app.test", "x-forwarded-proto: https", "x-forwarded-host: k8s-app.test"] {
            assert!(head.contains(&format!("\r\n{field}\r\n")), "{head}");
        }
    }
    let head = socket(&edge, "wss://k8s-app.test/DataSyncController", &[]).success();
    assert!(head.contains("GET /DataSyncController "), "{head}");
    let own = Backend::start(|exchange| {
        let page = own_address(exchange).replace("https://", "wss://");
        say(exchange, "200 OK", &[], &page)
    });
    let edge = before("k8s-app", &own.url(), "");
    assert_eq!(edge.https("https://k8s-app.test/", &[]).text(), "wss://k8s-app.test");
    the_cap_is(&edge, "k8s-app.test", &own, 10);
}

/// Requirements: Origin dropped; websocket upgrade; body cap. It can take the origin of its own page for a foreign one.
#[test]
fn the_console_of_minio_has_its_sockets_whatever_it_thinks_of_origins() {
    let console = Backend::start(|exchange| match exchange.header("origin") {
        Some(_) => say(exchange, "403 Forbidden", &[], "origin"),
        None => say(exchange, "200 OK", &[], "objects"),
    });
    let edge = before("minio-console", &console.url(), "");
    for protocol in PROTOCOLS {
        let login = |origin: &str| {
            let origin = format!("Origin: {origin}");
            edge.https("https://minio-console.test/api/v1/login", &[protocol, "-d", "{}", "-H", &origin]).status
        };
        assert_eq!((login("https://minio-console.test"), login("https://evil.test")), (200, 403));
    }
    the_cap_is(&edge, "minio-console.test", &console, 100);
    let console = sockets(None);
    let edge = before("minio-console", &console.url(), "");
    let url = "wss://minio-console.test/ws/objectManager";
    let head = socket(&edge, url, &["Origin: https://minio-console.test"]).success().to_ascii_lowercase();
    assert!(head.contains("get /ws/objectmanager ") && !head.contains("\norigin:"), "{head}");
}
