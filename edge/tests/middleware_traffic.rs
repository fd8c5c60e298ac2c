//! Middlewares that limit, shape and copy traffic, on routes of the built binary over both protocols of clients.

mod support {
    pub(crate) mod backend;
    pub(crate) mod client;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod h2c;
    pub(crate) mod look;
    pub(crate) mod process;
}

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};

use support::backend::{Backend, Then};
use support::client::{Client, Trust};
use support::curl::Answer;
use support::edge::TestEdge;
use support::h2c::H2cServer;
use support::process::{Nobody, eventually};

const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2"];

fn edge(upstream: &str, rest: &str) -> TestEdge {
    let route = format!("[[route]]\nhost = \"app.test\"\nupstream = \"{upstream}\"\n{rest}\n");
    TestEdge::with_routes(&[("app.toml", &route)])
}

fn get(edge: &TestEdge, protocol: &str, path: &str, args: &[&str]) -> Answer {
    edge.https(&format!("https://app.test{path}"), &[&[protocol, "--path-as-is"], args].concat())
}

fn connect(edge: &TestEdge) -> Client {
    let trust = Trust::roots(&[edge.local_root()]);
    Client::connect(edge.address("https"), "app.test", &trust).expect("a connection")
}

/// Starts curl on a path.
fn curl(edge: &TestEdge, protocol: &str, path: &str) -> Child {
    Command::new("curl")
        .args(["-q", "--silent", "--insecure", protocol, "--connect-to", &format!("::{}", edge.address("https"))])
        .arg(format!("https://app.test{path}"))
        .stdout(Stdio::null())
        .spawn()
        .expect("curl is there")
}

/// Starts curl on a path and gives its output line by line.
fn lines(edge: &TestEdge, protocol: &str, args: &[&str]) -> impl Iterator<Item = String> + use<> {
    let mut curl = Command::new("curl")
        .args(["-q", "--silent", "--no-buffer", "--insecure", protocol, "--connect-to"])
        .args([&format!("::{}", edge.address("https")), "https://app.test/stream"])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is there");
    let out = BufReader::new(curl.stdout.take().expect("it is piped"));
    out.lines().map_while(Result::ok).chain(std::iter::from_fn(move || {
        assert!(curl.wait().expect("it ends").success(), "the end passes too");
        None
    }))
}

#[test]
fn a_request_too_many_is_refused_with_the_time_to_come_back() {
    let backend = Backend::echo();
    for protocol in PROTOCOLS {
        let edge = edge(&backend.url(), "use = [{ kind = \"rate\", rate = \"2/d\", burst = 2 }]");
        for left in ["r=1;", "r=0;"] {
            let answer = get(&edge, protocol, "/", &[]);
            assert_eq!(answer.status, 200);
            assert!(answer.header("ratelimit").is_some_and(|value| value.contains(left)), "{:?}", answer.headers);
            assert_eq!(answer.header("ratelimit-policy"), Some("\"rate\";q=2;w=86400"));
        }
        let answer = get(&edge, protocol, "/", &[]);
        assert_eq!(answer.status, 429);
        let wait: u64 = answer.header("retry-after").and_then(|value| value.parse().ok()).expect("a number");
        assert!((40_000..=43_200).contains(&wait), "half a day at most: {wait}");
        assert!(answer.header("ratelimit").is_some_and(|value| value.starts_with("\"rate\";r=0;t=")));
        assert!(answer.text().starts_with("429 Too many requests; try again later.\n"), "{}", answer.text());
        edge.counts("edge_refusals_total", &["reason=\"rate_limited\""], 1.0);
    }
}

#[test]
fn buckets_stay_over_a_reload_that_does_not_change_their_route() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"rate\", rate = \"1/d\" }]");
    assert_eq!(get(&edge, "--http2", "/", &[]).status, 200);
    edge.write_route("other.toml", "[[route]]\nhost = \"other.test\"\nrespond = { status = 200, body = \"x\" }\n");
    edge.reload().success();
    assert_eq!(get(&edge, "--http2", "/", &[]).status, 429);
}

/// Requirement: body cap of a route, told before the body is sent.
#[test]
fn a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"body-limit\", max = \"10B\" }]");
    let mut client = connect(&edge);
    client
        .send("PUT / HTTP/1.1\r\nhost: app.test\r\ncontent-length: 11\r\nexpect: 100-continue\r\n\r\n")
        .expect("sent");
    let reply = client.head().expect("an answer without the body");
    assert_eq!(reply.status, 413);
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/", &["--data", "12345678901"]);
        assert!(answer.status == 413 && answer.text().starts_with("413 "), "{}", answer.said);
        assert_eq!(get(&edge, protocol, "/", &["--data", "1234567890"]).header("x-body-bytes"), Some("10"));
    }
    assert_eq!(backend.requests(), 2, "refused ones never reach the server");
}

#[test]
fn a_body_without_a_length_is_cut_where_it_grows_too_large() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"body-limit\", max = \"10B\" }]");
    let mut client = connect(&edge);
    client
        .send("PUT / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n")
        .expect("sent");
    eventually("the first part arrives", || backend.body_bytes() == 10);
    client.send("1\r\nx\r\n").expect("sent");
    assert_eq!(client.head().expect("an answer").status, 413);
    assert_eq!(backend.body_bytes(), 10, "what is too much is not passed on");
}

#[test]
fn a_body_without_a_length_is_cut_on_http2_too() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"body-limit\", max = \"10B\" }]");
    let upload = || {
        Command::new("curl")
            .args(["-q", "--silent", "--insecure", "--http2", "-T", "-", "--max-time", "60", "--connect-to"])
            .args([&format!("::{}", edge.address("https")), "https://app.test/"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl is there")
    };
    let said = |curl: Child| {
        let said = curl.wait_with_output().expect("it ends").stdout;
        String::from_utf8_lossy(&said).into_owned()
    };
    let mut curl = upload();
    let mut pieces = curl.stdin.take().expect("it is piped");
    pieces.write_all(b"0123456789").expect("curl reads");
    eventually("the first part arrives", || backend.body_bytes() == 10);
    pieces.write_all(b"x").expect("curl reads");
    drop(pieces);
    let told = said(curl);
    assert!(told.starts_with("413 The request body is larger than this route allows.\n"), "{told}");
    let mut curl = upload();
    // As much of it as curl takes before it is told.
    let _ = curl.stdin.take().expect("it is piped").write_all(&[b'x'; 100_000]);
    let told = said(curl);
    assert!(told.starts_with("413 "), "{told}");
    assert_eq!(backend.body_bytes(), 10, "what is too much is not passed on");
    assert_eq!(edge.metric_sum("edge_refusals_total", &["reason=\"body_too_large\""]), 2.0);
}

#[test]
fn curl_decodes_each_coding_and_tags_are_weak() {
    let text = "a line of text that repeats itself\n".repeat(1000);
    let body = text.clone();
    let backend = Backend::start(move |exchange| {
        exchange.drain()?;
        let fields = [("content-type", "text/plain"), ("etag", "\"v1\""), ("accept-ranges", "bytes")];
        match exchange.target() {
            "/chunked" => {
                exchange.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")?;
                for piece in body.as_bytes().chunks(1000) {
                    exchange.send(&[format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat())?;
                }
                exchange.send(b"0\r\n\r\n")?;
                Ok(Then::Keep)
            }
            "/closed" => {
                exchange.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")?;
                exchange.send(body.as_bytes())?;
                Ok(Then::Close)
            }
            _ => exchange.answer("200 OK", &fields, body.as_bytes()),
        }
    });
    let edge = edge(&backend.url(), "use = [{ kind = \"compress\" }]");
    for protocol in PROTOCOLS {
        for path in ["/", "/chunked", "/closed"] {
            for coding in ["gzip", "br", "zstd"] {
                let accept = format!("accept-encoding: {coding}");
                let plain = get(&edge, protocol, path, &["-H", &accept]);
                assert!(plain.body.len() < text.len() / 10, "{coding}: {} bytes", plain.body.len());
                let answer = get(&edge, protocol, path, &["--compressed", "-H", &accept]);
                assert_eq!((answer.status, answer.exit), (200, 0), "{coding}: {}", answer.said);
                assert!(answer.text() == text, "{coding} {path}");
                assert_eq!(answer.header("content-encoding"), Some(coding));
                assert_eq!(answer.header("vary"), Some("Accept-Encoding"));
                if path == "/" {
                    assert_eq!((answer.header("etag"), answer.header("accept-ranges")), (Some("W/\"v1\""), None));
                }
            }
        }
        let head = get(&edge, protocol, "/", &["--head", "-H", "accept-encoding: gzip"]);
        assert_eq!((head.exit, head.header("content-encoding")), (0, None));
        assert_eq!(get(&edge, protocol, "/", &[]).text(), text);
    }
}

#[test]
fn the_edges_own_answers_and_files_are_compressed_too() {
    let edge = TestEdge::start(|dir| {
        let page = "<p>a paragraph</p>\n".repeat(500);
        let route = format!(
            "[[route]]\nhost = \"app.test\"\nfiles = {{ root = \"{}\" }}\nuse = [{{ kind = \"compress\", min = \"0\" }}]\n",
            dir.join("pages").display()
        );
        let files = [("edge.toml", support::edge::PLAIN), ("routes/app.toml", &route), ("pages/index.html", &page)];
        files.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec()
    });
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/", &["--compressed"]);
        assert_eq!((answer.status, answer.exit, answer.body.len()), (200, 0, 9500), "{}", answer.said);
        assert!(answer.header("content-encoding").is_some());
        let part = get(&edge, protocol, "/", &["--compressed", "-r", "0-9"]);
        assert_eq!((part.status, part.header("content-encoding"), part.body.len()), (206, None, 10));
        let missing = get(&edge, protocol, "/none.png", &["--compressed"]);
        assert!(missing.status == 404 && missing.exit == 0 && missing.text().starts_with("404 "), "{}", missing.said);
        assert!(missing.header("content-encoding").is_some());
    }
}

#[test]
fn the_end_of_an_answer_that_ends_with_trailers_is_not_lost() {
    let server = H2cServer::start();
    let typed = "{ kind = \"headers\", response = { set = { content-type = \"text/plain\" } } }";
    let edge = edge(&server.url(), &format!("use = [{{ kind = \"compress\" }}, {typed}]"));
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/x", &["--compressed"]);
        assert_eq!((answer.status, answer.exit), (200, 0), "{}", answer.said);
        assert!(answer.header("content-encoding").is_some());
        assert_eq!(answer.text(), "GET /x 0");
    }
}

#[test]
fn events_and_pieces_pass_a_compressing_route_before_the_next_one_is_sent() {
    for protocol in PROTOCOLS {
        for (kind, encoded) in [("text/event-stream", false), ("application/x-ndjson", false), ("text/plain", true)] {
            let (backend, pieces) = Backend::streaming(kind);
            let edge = edge(&backend.url(), "use = [{ kind = \"compress\" }]");
            let mut lines = lines(&edge, protocol, &["--compressed", "--dump-header", "-"]);
            pieces.send(b"line 0\n".to_vec()).expect("the backend waits");
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.trim().is_empty()).collect();
            let is_encoded = head.iter().any(|line| line.to_ascii_lowercase().starts_with("content-encoding"));
            assert_eq!(is_encoded, encoded, "{kind}: {head:?}");
            for number in 0..5 {
                assert_eq!(lines.next().as_deref(), Some(format!("line {number}").as_str()), "{kind} {protocol}");
                pieces.send(format!("line {}\n", number + 1).into_bytes()).expect("the backend waits");
            }
            drop(pieces);
            assert_eq!((lines.next().as_deref(), lines.next()), (Some("line 5"), None));
        }
    }
}

/// Answers at once, but holds what is below `/held` until the sender is dropped.
fn holding() -> (Backend, Sender<()>) {
    let (sender, held) = channel::<()>();
    let held = Mutex::new(held);
    let backend = Backend::start(move |exchange| {
        exchange.drain()?;
        if exchange.target() == "/held" {
            let _ = held.lock().expect("no script panics").recv();
        }
        exchange.answer("200 OK", &[], b"free")
    });
    (backend, sender)
}

#[test]
fn a_place_is_free_again_when_its_client_goes_away() {
    for protocol in PROTOCOLS {
        let (backend, _held) = holding();
        let edge = edge(&backend.url(), "use = [{ kind = \"concurrency\", limit = 1 }]");
        let mut first = curl(&edge, protocol, "/held");
        eventually("the server has it", || backend.requests() == 1);
        let full = get(&edge, "--http2", "/", &[]);
        assert_eq!((full.status, full.header("retry-after")), (503, Some("10")));
        assert!(full.text().starts_with("503 Too many requests are waiting"), "{}", full.text());
        first.kill().and_then(|()| first.wait()).expect("curl ends");
        eventually("the place is free", || get(&edge, "--http2", "/", &[]).status == 200);
    }
}

#[test]
fn a_websocket_holds_its_place_until_it_closes() {
    let backend = Backend::websocket();
    let edge = edge(&backend.url(), "use = [{ kind = \"concurrency\", limit = 1 }]");
    let mut socket = connect(&edge);
    let upgrade = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13";
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==";
    socket.send(&format!("GET /ws HTTP/1.1\r\nhost: app.test\r\n{upgrade}\r\n{key}\r\n\r\n")).expect("sent");
    assert_eq!(socket.head().expect("an answer").status, 101);
    assert_eq!(get(&edge, "--http2", "/", &[]).status, 503);
    drop(socket);
    eventually("the place is free", || get(&edge, "--http2", "/", &[]).status != 503);
}

#[test]
fn who_waits_gets_the_place_and_who_waits_in_vain_is_refused() {
    let (backend, answers) = Backend::held();
    let edge = edge(&backend.url(), "use = [{ kind = \"concurrency\", limit = 1, queue = 1, wait = \"1h\" }]");
    let mut clients: Vec<Client> = (0..2).map(|_| connect(&edge)).collect();
    clients[0].send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").expect("sent");
    eventually("the server has it", || backend.requests() == 1);
    clients[1].send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").expect("sent");
    eventually("the second waits", || edge.metric("edge_requests_in_flight{route=\"app.test\"}") == Some(2.0));
    assert_eq!(get(&edge, "--http2", "/", &[]).status, 503, "there is one place in the queue");
    assert_eq!(backend.requests(), 1);
    for (client, text) in clients.iter_mut().zip(["one", "two"]) {
        answers.send(text.to_owned()).expect("the backend waits");
        let reply = client.reply().expect("an answer");
        assert_eq!((reply.status, reply.body.as_slice()), (200, text.as_bytes()));
    }
}

#[test]
fn pages_of_other_origins_may_read_answers_and_refusals() {
    let backend = Backend::echo();
    let edge = edge(
        &backend.url(),
        "use = [{ kind = \"cors\", origins = [\"https://*.front.test\"], credentials = true }, \
         { kind = \"deny-path\", paths = \"/secret\" }]",
    );
    for protocol in PROTOCOLS {
        let origin = "origin: https://a.front.test";
        // More than what is dropped from heavy heads.
        let cookie = format!("cookie: a={}", "x".repeat(4000));
        for (path, status) in [("/", 200), ("/secret", 403)] {
            let answer = get(&edge, protocol, path, &["-H", origin, "-H", &cookie]);
            assert_eq!(answer.status, status);
            assert_eq!(answer.header("access-control-allow-origin"), Some("https://a.front.test"), "{path} {protocol}");
            assert_eq!(answer.all("vary"), ["Origin"]);
        }
        let before = backend.requests();
        let preflight = ["-X", "OPTIONS", "-H", "access-control-request-method: POST", "-H"];
        let answer = get(&edge, protocol, "/", &[&preflight[..], &[origin]].concat());
        assert_eq!((answer.status, answer.body.len()), (204, 0));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, POST"));
        let answer = get(&edge, protocol, "/", &[&preflight[..], &["origin: https://evil.test"]].concat());
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (403, None));
        assert_eq!(backend.requests(), before);
    }
}

#[test]
fn an_answer_that_can_have_no_body_says_no_length_and_the_connection_goes_on() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"cors\", origins = [\"https://a.test\"] }]");
    let preflight =
        "OPTIONS / HTTP/1.1\r\nhost: app.test\r\norigin: https://a.test\r\naccess-control-request-method: PUT\r\n\r\n";
    let mut client = connect(&edge);
    for _ in 0..2 {
        client.send(preflight).expect("the connection is open");
        let head = client.head().expect("an answer");
        let fields: Vec<String> = head.fields.iter().map(|field| field.to_ascii_lowercase()).collect();
        assert_eq!(head.status, 204);
        let says = |name: &str| fields.iter().any(|field| field.starts_with(name));
        assert!(!says("content-length") && !says("transfer-encoding") && !says("connection: close"), "{fields:?}");
    }
    client.send("GET / HTTP/1.1\r\nhost: app.test\r\n\r\n").expect("the connection is open");
    assert_eq!(client.reply().expect("an answer").status, 200);
    let preflight = ["-X", "OPTIONS", "-H", "origin: https://a.test", "-H", "access-control-request-method: PUT"];
    let answer = get(&edge, "--http2", "/", &preflight);
    assert_eq!((answer.status, answer.exit, answer.header("content-length")), (204, 0, None));
}

#[test]
fn a_dead_server_gets_a_page_of_our_own() {
    let nobody = Nobody::new();
    let edge =
        edge(&nobody.url(), "use = [{ kind = \"error-pages\", text = { 502 = \"<h1>{status} of {host}</h1>\" } }]");
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/", &["-H", "accept: text/html,*/*"]);
        assert_eq!((answer.status, answer.text().as_str()), (502, "<h1>502 of app.test</h1>"), "{}", answer.said);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        let answer = get(&edge, protocol, "/", &[]);
        assert!(answer.status == 502 && answer.text().starts_with("502 "), "{}", answer.text());
    }
}

#[test]
fn an_error_of_a_server_gets_a_page_where_it_is_wanted() {
    let backend = Backend::start(|exchange| {
        exchange.drain()?;
        let body = if exchange.target() == "/empty" { "" } else { "{\"a\":1}" };
        exchange.answer("404 Not Found", &[("content-type", "application/json"), ("x-kept", "1")], body.as_bytes())
    });
    let edge =
        edge(&backend.url(), "use = [{ kind = \"error-pages\", servers = true, text = { 4xx = \"a page of ours\" } }]");
    for protocol in PROTOCOLS {
        let html = ["-H", "accept: text/html"];
        let answer = get(&edge, protocol, "/", &html);
        assert_eq!((answer.status, answer.text().as_str(), answer.exit), (404, "a page of ours", 0));
        assert_eq!(answer.header("x-kept"), Some("1"));
        assert_eq!(get(&edge, protocol, "/", &[]).text(), "{\"a\":1}");
        assert_eq!(get(&edge, protocol, "/empty", &html).body.len(), 0);
        let head = get(&edge, protocol, "/", &["-H", "accept: text/html", "--head"]);
        assert_eq!((head.status, head.exit), (404, 0), "{}", head.said);
    }
}

/// Requirements: add prefix, replace prefix, regex redirect.
#[test]
fn moved_and_rewritten_paths_go_where_they_should() {
    let backend = Backend::echo();
    let edge = edge(
        &backend.url(),
        "use = [{ kind = \"redirect\", from = \"^/old/(.*)$\", to = \"/new/{1}{query}\" }, \
         { kind = \"rewrite\", from = \"^/v1(/.*)$\", to = \"/api{1}\" }, { kind = \"add-prefix\", prefix = \"/base\" }]",
    );
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/old/a?b=c", &[]);
        assert_eq!((answer.status, answer.header("location")), (308, Some("/new/a?b=c")));
        let answer = get(&edge, protocol, "/v1/a%20b//c?d=%2F", &[]);
        assert!(answer.text().starts_with("GET /base/api/a%20b//c?d=%2F HTTP/1.1\r\n"), "{}", answer.text());
        assert_eq!(get(&edge, protocol, "/v1/..%2fx", &[]).status, 400);
    }
}

/// Heads and bodies.
type Kept = Arc<Mutex<Vec<(String, String)>>>;

/// Keeps the head and the body of every request.
fn keeping() -> (Backend, Kept) {
    let kept = Kept::default();
    let keep = Arc::clone(&kept);
    let backend = Backend::start(move |exchange| {
        let body = String::from_utf8(exchange.body()?).map_err(std::io::Error::other)?;
        keep.lock().expect("no script panics").push((exchange.head.to_ascii_lowercase(), body));
        exchange.answer("500 Nobody Sees This", &[], b"of the shadow")
    });
    (backend, kept)
}

#[test]
fn a_mirror_gets_what_the_server_gets() {
    let (backend, (shadow, kept)) = (Backend::echo(), keeping());
    for protocol in PROTOCOLS {
        kept.lock().expect("nobody panics").clear();
        let edge = edge(
            &backend.url(),
            &format!(
                "use = [{{ kind = \"mirror\", to = \"{}\", max_body = \"1KiB\" }}, {{ kind = \"strip-prefix\", prefix = \"/app\" }}, \
                 {{ kind = \"deny-path\", paths = \"/secret\" }}]",
                shadow.url()
            ),
        );
        let posted = get(
            &edge,
            protocol,
            "/app/a%20b?c=d",
            &["--data", "the body", "-H", "x-own: 1", "-H", "Remote-User: evil"],
        );
        assert!(posted.status == 200 && posted.header("x-body-bytes") == Some("8"), "{}", posted.said);
        assert_eq!(get(&edge, protocol, "/app/plain", &[]).status, 200);
        assert_eq!(get(&edge, protocol, "/app/secret", &[]).status, 403);
        assert_eq!(get(&edge, protocol, "/app/large", &["--data", &"x".repeat(1025)]).status, 200);
        eventually("both copies came", || kept.lock().expect("nobody panics").len() == 2);
        let mut kept = kept.lock().expect("nobody panics").clone();
        kept.sort_by_key(|(_, body)| body.len());
        let ((plain, _), (head, body)) = (&kept[0], &kept[1]);
        assert!(plain.starts_with("get /plain http/1.1\r\n"), "{plain}");
        assert!(head.starts_with("post /a%20b?c=d http/1.1\r\n") && body == "the body", "{head}{body}");
        for field in ["host: app.test\r\n", "x-own: 1\r\n", "x-forwarded-prefix: /app\r\n", "content-length: 8\r\n"] {
            assert!(head.contains(field), "{field}: {head}");
        }
        assert!(!head.contains("evil"), "{head}");
        edge.counts("edge_mirrored_total", &["result=\"sent\"", "route=\"app.test\""], 2.0);
        edge.counts("edge_mirrored_total", &["result=\"too_large\"", "route=\"app.test\""], 1.0);
    }
}

#[test]
fn a_mirror_that_is_down_or_never_answers_does_not_touch_the_original() {
    let backend = Backend::echo();
    let (silent, _held) = Backend::held();
    let nobody = Nobody::new();
    for (to, wanted) in [(silent.url(), "busy"), (nobody.url(), "failed")] {
        let settings = format!("use = [{{ kind = \"mirror\", to = \"{to}\", at_once = 2, timeout = \"1h\" }}]");
        let edge = edge(&backend.url(), &settings);
        for protocol in PROTOCOLS {
            for _ in 0..5 {
                let answer = get(&edge, protocol, "/", &["--data", "x"]);
                assert_eq!((answer.status, answer.header("x-body-bytes")), (200, Some("1")), "{}", answer.said);
            }
        }
        eventually("it is counted", || edge.metric_sum("edge_mirrored_total", &[wanted]) > 0.0);
    }
}

#[test]
fn a_collected_body_reaches_the_server_whole_or_not_at_all() {
    let backend = Backend::echo();
    let edge = edge(&backend.url(), "use = [{ kind = \"buffer\", max_request = \"20B\", max_answer = \"1MiB\" }]");
    let mut client = connect(&edge);
    client.send("PUT / HTTP/1.1\r\nhost: app.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n").expect("sent");
    eventually("the server has the head", || backend.requests() == 1);
    // The edge reads in order, so a second piece that it has taken means that the first was held.
    client.send("5\r\n56789\r\n").expect("sent");
    assert_eq!(get(&edge, "--http2", "/", &[]).status, 200);
    assert_eq!(backend.body_bytes(), 0, "nothing of it has come");
    client.send("0\r\n\r\n").expect("sent");
    let reply = client.reply().expect("an answer");
    assert!(reply.status == 200 && reply.says("x-body-bytes: 10"), "{:?}", reply.fields);
    for protocol in PROTOCOLS {
        let answer = get(&edge, protocol, "/", &["--data", "0123456789"]);
        assert_eq!((answer.status, answer.header("x-body-bytes"), answer.exit), (200, Some("10"), 0));
        let chunked = ["-H", "transfer-encoding: chunked", "--data", "012345678901234567890"];
        assert_eq!(get(&edge, protocol, "/", &chunked).status, 413);
        assert_eq!(get(&edge, protocol, "/", &["--data", "012345678901234567890"]).status, 413);
        let stream = [&chunked[..], &["-H", "content-type: application/x-ndjson"]].concat();
        assert_eq!(get(&edge, protocol, "/", &stream).status, 413);
    }
    for protocol in ["x", "websocket"] {
        let upgrade = format!("upgrade: {protocol}");
        let upgrade = ["-H", &upgrade, "-H", "connection: upgrade", "--data"];
        assert_eq!(get(&edge, "--http1.1", "/", &[&upgrade[..], &["012345678901234567890"]].concat()).status, 413);
        assert_eq!(get(&edge, "--http1.1", "/", &[&upgrade[..], &["0123456789"]].concat()).status, 200);
    }
}
