//! Servers that are slow, dead, gone, moved or not who they say they are: who is asked, who is asked instead, and what
//! the client is told.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod names;
    pub(crate) mod process;
}

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use support::backend::{Backend, Then};
use support::curl::Answer;
use support::edge::{PLAIN, TestEdge};
use support::names::Names;
use support::process::{Nobody, Process, answers, eventually, free_port, run};

/// A route of `app.test` with this `[route.upstream]`.
fn route(upstream: &str) -> String {
    format!("[[route]]\nhost = \"app.test\"\n[route.upstream]\n{upstream}\n")
}

fn before(upstream: &str) -> TestEdge {
    TestEdge::with_routes(&[("app.toml", &route(upstream))])
}

fn get(edge: &TestEdge, args: &[&str]) -> Answer {
    edge.https("https://app.test/", args)
}

fn retries(edge: &TestEdge) -> f64 {
    edge.metric_sum("edge_retries_total", &[])
}

#[test]
fn servers_take_turns_by_their_weights() {
    let [a, b, c] = ["a", "b", "c"].map(Backend::hello);
    let edge = before(&format!(
        "servers = [{{ url = \"{}\", weight = 3 }}, {{ url = \"{}\", weight = 2 }}, \"{}\"]",
        a.url(),
        b.url(),
        c.url()
    ));
    for _ in 0..18 {
        assert_eq!(get(&edge, &[]).status, 200);
    }
    assert_eq!([&a, &b, &c].map(Backend::requests), [9, 6, 3]);
    let rows = edge.api("upstreams");
    let asked: Vec<u64> = rows.as_array().into_iter().flatten().filter_map(|row| row["requests"].as_u64()).collect();
    assert_eq!(asked, [9, 6, 3], "{rows}");
    edge.counts("edge_upstream_requests_total", &["result=\"answered\""], 18.0);
}

#[test]
fn a_dead_server_costs_no_request_while_another_lives() {
    let (dead, backend) = (Nobody::new(), Backend::echo());
    let edge = before(&format!("servers = [\"{}\", \"{}\"]", dead.url(), backend.url()));
    for flag in ["--http1.1", "--http2"] {
        for body in [&[][..], &["-d", "12345"], &["-T", "/etc/services", "-X", "POST"]] {
            let answer = get(&edge, &[&[flag], body].concat());
            assert_eq!(answer.status, 200, "{flag} {body:?}: {}", answer.text());
        }
    }
    assert_eq!(backend.requests(), 6);
    assert!(retries(&edge) >= 1.0, "{}", edge.metrics());
    edge.counts_at_least("edge_upstream_requests_total", &["result=\"connect_failed\""], 1.0);
    let rows = edge.api("upstreams");
    assert_eq!(rows[0]["addresses"][0]["failing"], true, "{rows}");
    assert!(rows[0]["last_error"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{rows}");
}

#[test]
fn when_every_server_is_dead_the_client_is_told_so() {
    let dead = [Nobody::new(), Nobody::new()];
    let edge = before(&format!("servers = [\"{}\", \"{}\"]", dead[0].url(), dead[1].url()));
    for (flag, body) in
        [("--http1.1", &[][..]), ("--http2", &[]), ("--http1.1", &["-d", "x"]), ("--http2", &["-d", "x"])]
    {
        let answer = get(&edge, &[&[flag], body].concat());
        assert_eq!((answer.status, answer.exit), (502, 0), "{flag} {body:?} {}", answer.said);
        let words = answer.text();
        assert!(words.contains("cannot be reached") && words.contains("request id: "), "{words}");
    }
    edge.counts("edge_refusals_total", &["reason=\"connect_failed\""], 4.0);
    let json = get(&edge, &["-H", "accept: application/json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.body).expect("JSON for who asks for it");
    assert_eq!((&json["status"], &json["reason"]), (&502.into(), &"connect_failed".into()));
}

#[test]
fn a_server_that_comes_back_is_asked_again() {
    let nobody = Nobody::new();
    let edge = before(&format!("servers = \"{}\"", nobody.url()));
    assert_eq!(get(&edge, &[]).status, 502);
    let _backend = Backend::start_on(nobody.listen(), |exchange| exchange.answer("200 OK", &[], b"back"));
    assert_eq!(get(&edge, &[]).text(), "back", "the only server is asked, failing or not");
}

/// A server whose queue of connections is full: the system lets who comes next wait without a word.
fn full() -> (TcpListener, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
    socket.listen(0).expect("it is bound");
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().expect("it is bound");
    let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok();
    let waiting = std::iter::from_fn(connect).collect();
    (listener, waiting)
}

/// Requirement: connect timeout of a route.
#[test]
fn a_server_that_takes_no_connection_in_time_is_one_that_cannot_be_reached() {
    let (server, _waiting) = full();
    let address = server.local_addr().expect("it is bound");
    // Without the limit, the client would give up first.
    let edge = before(&format!(
        "servers = \"http://{address}\"\ntimeouts = {{ connect = \"1s\", first_byte = \"10m\" }}\nretries = {{ attempts = 0 }}"
    ));
    for flag in ["--http1.1", "--http2"] {
        let answer = get(&edge, &[flag]);
        assert_eq!((answer.status, answer.exit), (502, 0), "{}", answer.said);
        assert!(answer.text().contains("cannot be reached"), "{}", answer.text());
    }
    edge.counts("edge_refusals_total", &["reason=\"connect_failed\""], 2.0);
}

#[test]
fn an_unused_connection_is_kept_for_its_time_and_no_longer() {
    for (time, accepted) in [("10m", 1), ("100ms", 2)] {
        let backend = Backend::hello("yes");
        let edge = before(&format!("servers = \"{}\"\ntimeouts = {{ pool_idle = \"{time}\" }}", backend.url()));
        assert_eq!(get(&edge, &[]).text(), "yes");
        if accepted == 2 {
            eventually("it is closed", || backend.open() == 0);
        }
        assert_eq!((get(&edge, &[]).text().as_str(), backend.accepted()), ("yes", accepted), "{time}");
    }
}

/// Requirement: no request with a body is sent twice.
#[test]
fn a_kept_connection_that_turns_out_closed_costs_no_get_and_sends_no_post_twice() {
    for (method, status) in [("GET", 200), ("POST", 502)] {
        let count = AtomicUsize::new(0);
        // The second request is read and the connection closed instead of an answer.
        let backend = Backend::start(move |exchange| {
            exchange.drain()?;
            match count.fetch_add(1, Ordering::SeqCst) {
                1 => Ok(Then::Close),
                _ => exchange.answer("200 OK", &[], b"yes"),
            }
        });
        let edge = before(&format!("servers = \"{}\"\ntimeouts = {{ pool_idle = \"1m\" }}", backend.url()));
        assert_eq!(get(&edge, &[]).status, 200);
        let args: &[&str] = if method == "POST" { &["-d", "12345"] } else { &[] };
        let answer = get(&edge, args);
        assert_eq!(answer.status, status, "{method}: {}", answer.text());
        let posts = backend.heads().iter().filter(|head| head.starts_with("POST")).count();
        assert_eq!(posts, usize::from(method == "POST"));
        let tried_again = edge.metric_sum("edge_retries_total", &["reason=\"stale_connection\""]);
        assert_eq!(tried_again, if method == "GET" { 1.0 } else { 0.0 }, "{}", edge.metrics());
        assert_eq!(backend.accepted(), if method == "GET" { 2 } else { 1 });
    }
}

#[test]
fn a_server_that_breaks_off_is_a_502_or_a_visible_cut() {
    for flag in ["--http1.1", "--http2"] {
        let silent = Backend::says_nothing();
        let answer = get(&before(&format!("servers = \"{}\"", silent.url())), &[flag]);
        assert_eq!(answer.status, 502, "{}", answer.said);
        assert!(answer.text().contains("broke"), "{}", answer.text());
        for cut in [Backend::dies_mid_body(), Backend::dies_mid_chunks()] {
            let answer = get(&before(&format!("servers = \"{}\"", cut.url())), &[flag]);
            // Over HTTP/2 the reset may overtake the head.
            assert!(answer.status == 200 || flag == "--http2", "{}", answer.status);
            assert_ne!(answer.exit, 0, "a cut answer must not look whole ({flag})");
        }
    }
}

/// An edge that says `inner` over TLS with its own authority, as a server for others.
fn tls_server() -> TestEdge {
    TestEdge::with_routes(&[("app.toml", "[[route]]\nhost = [\"app.test\", \"named.test\"]\nrespond = \"inner\"\n")])
}

/// Requirement: upstream CA bundle, upstream TLS and SNI.
#[test]
fn a_server_over_tls_is_verified_by_its_own_ca_and_its_name() {
    let (server, other) = (tls_server(), tls_server());
    let root = |edge: &TestEdge| edge.path("state/local-ca/root.pem").display().to_string();
    let (own, wrong, url) = (root(&server), root(&other), format!("https://{}", server.address("https")));
    let good = format!("servers = \"{url}\"\ntls = {{ ca_file = \"{own}\", server_name = \"app.test\" }}");
    let edge = before(&good);
    assert_eq!(get(&edge, &[]).text(), "inner");
    // Each is a route of the same edge, to the same server, with a connection of the good route at hand.
    for (name, tls, status) in [
        ("wrong", format!("ca_file = \"{wrong}\", server_name = \"app.test\""), 502),
        ("system", "server_name = \"app.test\"".to_owned(), 502),
        ("named", format!("ca_file = \"{own}\", server_name = \"named.test\""), 200),
        ("misnamed", format!("ca_file = \"{own}\", server_name = \"other.test\""), 502),
        ("unverified", "verify = false, server_name = \"app.test\"".to_owned(), 200),
    ] {
        let host = if name == "named" { "named.test" } else { "app.test" };
        let text = route(&format!("servers = \"{url}\"\ntls = {{ {tls} }}"))
            .replace("app.test\"\n[", &format!("{name}.out.test\"\nhost_header = \"{host}\"\n["));
        edge.write_route(&format!("{name}.toml"), &text);
        edge.reload().success();
        assert_eq!(get(&edge, &[]).text(), "inner", "a connection is kept");
        for flag in ["--http1.1", "--http2"] {
            let answer = edge.https(&format!("https://{name}.out.test/"), &[flag]);
            assert_eq!(answer.status, status, "{name}: {}", answer.text());
            let expected = if status == 200 { "inner" } else { "certificate of the server behind this route" };
            assert!(answer.text().contains(expected), "{name}: {}", answer.text());
        }
    }
    edge.counts_at_least("edge_refusals_total", &["reason=\"upstream_tls\""], 6.0);
}

#[test]
fn an_authority_that_is_replaced_in_its_file_is_taken_up_by_a_reload_and_only_then_is_the_pool_new() {
    let (server, other) = (tls_server(), tls_server());
    let root = |edge: &TestEdge| edge.path("state/local-ca/root.pem");
    let url = format!("https://{}", server.address("https"));
    let text = route(&format!("servers = \"{url}\"\ntls = {{ ca_file = \"ca.pem\", server_name = \"app.test\" }}"));
    let ca = fs::read_to_string(root(&other)).expect("readable");
    let edge = TestEdge::start(|_| {
        [("routes/app.toml", text.as_str()), ("ca.pem", ca.as_str()), ("edge.toml", PLAIN)]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .to_vec()
    });
    assert_eq!(get(&edge, &[]).status, 502);
    edge.write_route("b.toml", "[[route]]\nhost = \"b.test\"\nrespond = \"b\"\n");
    edge.reload().success();
    let row = || edge.row("upstreams", "route", "app.test").expect("it is listed");
    assert!(row()["last_error"].is_object(), "nothing of it changed, so its pool is still the same: {}", row());
    fs::copy(root(&server), edge.path("ca.pem")).expect("copied");
    let said = edge.reload().success();
    assert!(said.contains("changed  app.test"), "{said}");
    assert_eq!(get(&edge, &[]).text(), "inner");
    assert!(row()["last_error"].is_null(), "{}", row());
}

#[test]
fn a_server_that_asks_for_our_certificate_gets_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = |name: &str| dir.path().join(name).display().to_string();
    let make = |args: &str| run(Command::new("openssl").args(args.split(' ')).current_dir(dir.path())).success();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    make(&format!("req -x509 {key} -keyout ca.key -out ca.pem -subj /CN=ca"));
    for (name, subject) in [("server", "app.test"), ("client", "edge")] {
        make(&format!(
            "req -x509 {key} -CA ca.pem -CAkey ca.key -keyout {name}.key -out {name}.pem -subj /CN={subject} -addext subjectAltName=DNS:{subject} -addext basicConstraints=critical,CA:FALSE"
        ));
    }
    let port = free_port();
    let mut server = Process::start(
        Command::new("openssl")
            .args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-www", "-Verify", "2", "-verify_return_error"])
            .args(["-CAfile", "ca.pem", "-cert", "server.pem", "-key", "server.key"])
            .current_dir(dir.path()),
    );
    server.ready_when("openssl listens", |output| output.contains("ACCEPT"));
    let tls = format!("ca_file = \"{}\", server_name = \"app.test\"", path("ca.pem"));
    let client = format!("client_cert = \"{}\", client_key = \"{}\"", path("client.pem"), path("client.key"));
    let upstream = |tls: &str| format!("servers = \"https://127.0.0.1:{port}\"\ntls = {{ {tls} }}");
    let edge = before(&upstream(&format!("{tls}, {client}")));
    let answer = get(&edge, &[]);
    assert_eq!(answer.status, 200, "{} {}", answer.text(), server.tail());
    assert!(answer.text().contains("CN = edge") || answer.text().contains("CN=edge"), "{}", answer.text());
    edge.write_route("app.toml", &route(&upstream(&tls)));
    edge.reload().success();
    assert_eq!(get(&edge, &[]).status, 502, "without a certificate it lets nobody in");
}

#[test]
fn a_name_that_moves_is_followed_and_one_that_fails_keeps_its_last_address() {
    let names = Names::start();
    names.set("app.upstream.test", &["127.0.0.1"]);
    let first = Backend::hello("first");
    let second = SocketAddr::from(([127, 0, 0, 2], first.address().port()));
    let _second = Backend::start_at(second, |exchange| exchange.answer("200 OK", &[], b"second"));
    let config = format!("{PLAIN}\n[dns]\nservers = [\"{}\"]\n", names.address);
    let upstream = format!("servers = \"http://app.upstream.test:{}\"", second.port());
    let edge = TestEdge::with_config(&config, &[("app.toml", &route(&upstream))]);
    assert_eq!(get(&edge, &[]).text(), "first", "the first request waits for the name");
    names.set("app.upstream.test", &["127.0.0.2"]);
    eventually("the new address is used", || get(&edge, &[]).text() == "second");
    names.fail("app.upstream.test");
    let error = || edge.api("upstreams")[0]["dns_error"].as_str().map(str::to_owned);
    eventually("the failure is shown", || error().is_some());
    assert_eq!(get(&edge, &[]).text(), "second");
    assert!(edge.metric_sum("edge_dns_lookups_total", &["result=\"failed\""]) >= 1.0, "{}", edge.metrics());
    edge.logs("app.upstream.test");
}

#[test]
fn a_name_that_nobody_has_is_a_503_in_words() {
    let names = Names::start();
    let config = format!("{PLAIN}\n[dns]\nservers = [\"{}\"]\n", names.address);
    let edge = TestEdge::with_config(&config, &[("app.toml", &route("servers = \"http://nobody.test:80\""))]);
    let answer = get(&edge, &[]);
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("No server of this route can be used now"), "{}", answer.text());
    edge.counts("edge_refusals_total", &["reason=\"no_upstream\""], 1.0);
}

#[test]
fn a_server_may_have_an_address_of_ipv6() {
    let backend =
        Backend::start_at(([0, 0, 0, 0, 0, 0, 0, 1], 0).into(), |exchange| exchange.answer("200 OK", &[], b"six"));
    assert!(answers(backend.address()));
    let edge = before(&format!("servers = \"{}\"", backend.url()));
    assert_eq!(get(&edge, &[]).text(), "six");
}
