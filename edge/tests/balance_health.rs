//! Servers that are ill: found out by checks or by requests, left alone, and back again. `/readyz` is not concerned.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod h2c;
    pub(crate) mod look;
    pub(crate) mod process;
}

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, RwLock};

use support::backend::{Backend, Then};
use support::curl::{Answer, curl};
use support::edge::TestEdge;
use support::h2c::H2cServer;
use support::process::{Nobody, eventually, settled};

fn route(own: &str, upstream: &str) -> String {
    format!("[[route]]\nhost = \"app.test\"\n{own}\n[route.upstream]\n{upstream}\n")
}

fn before(upstream: &str) -> TestEdge {
    TestEdge::with_routes(&[("app.toml", &route("", upstream))])
}

fn get(edge: &TestEdge, args: &[&str]) -> Answer {
    edge.https("https://app.test/", args)
}

const OFTEN: &str = "every = \"100ms\", timeout = \"10s\", up_after = 2, down_after = 2";
/// The same for a server that hangs.
const IMPATIENT: &str = "every = \"100ms\", timeout = \"500ms\", up_after = 2, down_after = 2";

fn state(edge: &TestEdge, server: &str) -> String {
    let row = edge.row("upstreams", "server", server).expect("it is listed");
    row["state"].as_str().unwrap_or_default().to_owned()
}

fn up(edge: &TestEdge, server: &str) -> Option<f64> {
    edge.metric(&format!("edge_upstream_up{{route=\"app.test\",upstream=\"{server}\"}}"))
}

/// A server whose `/well` has a status that the test turns.
fn patient() -> (Backend, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let turned = Arc::clone(&status);
    let backend = Backend::start(move |exchange| {
        exchange.drain()?;
        let status = if exchange.target() == "/well" { turned.load(Ordering::SeqCst) } else { 200 };
        exchange.answer(&format!("{status} Some"), &[], b"patient")
    });
    (backend, status)
}

/// Requirement: active health checks.
#[test]
fn a_server_that_fails_its_checks_gets_no_request_until_it_passes_them() {
    let ((ill, status), well) = (patient(), Backend::hello("well"));
    let edge =
        before(&format!("servers = [\"{}\", \"{}\"]\nhealth = {{ path = \"/well\", {OFTEN} }}", ill.url(), well.url()));
    eventually("checks are made", || ill.heads().iter().any(|head| head.starts_with("GET /well ")));
    let check = ill.heads().into_iter().find(|head| head.starts_with("GET /well ")).expect("it was there");
    assert!(check.contains("Host: app.test\r\n"), "{check}");
    status.store(500, Ordering::SeqCst);
    eventually("it is down", || state(&edge, &ill.url()) == "down");
    assert!((0..6).all(|_| get(&edge, &[]).text() == "well"));
    assert_eq!((up(&edge, &ill.url()), up(&edge, &well.url())), (Some(0.0), Some(1.0)));
    let row = edge.row("upstreams", "server", &ill.url()).expect("listed");
    assert_eq!(row["last_error"]["text"], "it answered 500");
    let said = edge.command(&["upstreams"]).success();
    assert!(said.contains("down: its health checks fail"), "{said}");
    edge.logs("is down by its health checks");
    status.store(204, Ordering::SeqCst);
    eventually("it is up", || state(&edge, &ill.url()) == "up");
    assert_eq!(up(&edge, &ill.url()), Some(1.0));
    eventually("it is asked again", || get(&edge, &[]).text() == "patient");
    assert!(edge.metric_sum("edge_upstream_checks_total", &["result=\"failed\""]) >= 2.0);
}

#[test]
fn when_all_servers_are_down_by_their_checks_nobody_waits_for_them_and_the_edge_is_still_ready() {
    let nobody = Nobody::new();
    let edge = before(&format!("servers = \"{}\"\nhealth = {{ {OFTEN} }}", nobody.url()));
    eventually("it is down", || state(&edge, &nobody.url()) == "down");
    let row = edge.row("upstreams", "route", "app.test").expect("listed");
    assert_eq!(row["last_error"]["text"], "no connection: Connection refused (os error 111)");
    for version in ["--http1.1", "--http2"] {
        let answer = get(&edge, &[version]);
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains("No server of this route can be used now"), "{}", answer.text());
    }
    edge.counts("edge_refusals_total", &["reason=\"no_upstream\"", "route=\"app.test\""], 2.0);
    let tried = edge.metric_sum("edge_upstream_requests_total", &["result=\"connect_failed\""]);
    assert_eq!(tried, 0.0, "a request does not try what is known to be down");
    let ready = curl(&[&format!("http://{}/readyz", edge.admin())]).text();
    assert!(!ready.contains("127.0.0.1"), "{ready}");
}

#[test]
fn a_server_that_hangs_is_found_out_within_the_time_of_its_check() {
    let gate = Arc::new(RwLock::new(()));
    let entry = Arc::clone(&gate);
    let hangs = gate.write().expect("nobody panics");
    let backend = Backend::start(move |exchange| {
        drop(entry.read().expect("nobody panics"));
        exchange.answer("200 OK", &[], b"awake")
    });
    let edge = before(&format!("servers = \"{}\"\nhealth = {{ path = \"/\", {IMPATIENT} }}", backend.url()));
    eventually("it is down", || state(&edge, &backend.url()) == "down");
    let row = edge.row("upstreams", "server", &backend.url()).expect("listed");
    assert!(row["last_error"]["text"].as_str().is_some_and(|text| text.contains("no answer within")), "{row}");
    drop(hangs);
    eventually("it is up", || get(&edge, &[]).text() == "awake");
}

#[test]
fn servers_that_keep_their_checks_waiting_delay_no_other_route() {
    // Connections wait in the system's queue: nobody takes them.
    let silent: Vec<TcpListener> = (0..70).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    let servers = silent.iter().map(|server| format!("\"http://{}\"", server.local_addr().expect("bound")));
    let servers = servers.collect::<Vec<_>>().join(", ");
    let waits = "health = { path = \"/\", every = \"1s\", timeout = \"10m\" }";
    let edge = before(&format!("servers = [{servers}]\n{waits}"));
    for server in &silent {
        server.set_nonblocking(true).expect("it is a socket");
    }
    let mut asked = Vec::new();
    eventually("they are asked", || {
        asked.extend(silent.iter().filter_map(|server| server.accept().ok()));
        asked.len() >= 8
    });
    let (well, _) = patient();
    let other = format!("servers = \"{}\"\nhealth = {{ path = \"/well\", {OFTEN} }}", well.url());
    edge.write_route("well.toml", &route("name = \"well\"", &other).replace("app.test", "well.test"));
    eventually("another is asked again and again", || well.requests() >= 20);
}

/// Requirement: active health checks, over upstream TLS with its own CA and SNI.
#[test]
fn checks_speak_the_http_and_the_tls_of_requests() {
    let h2c = H2cServer::start();
    let inner = TestEdge::with_routes(&[("app.toml", "[[route]]\nhost = \"inner.test\"\nrespond = \"inner\"\n")]);
    let root = inner.path("state/local-ca/root.pem").display().to_string();
    let tls = format!("https://{}", inner.address("https"));
    let edge = TestEdge::with_routes(&[
        ("h2c.toml", &route("name = \"h2c\"", &format!("servers = \"{}\"\nhealth = {{ path = \"/x\", {OFTEN} }}", h2c.url()))),
        (
            "tls.toml",
            &route("name = \"tls\"", &format!(
                "servers = \"{tls}\"\ntls = {{ ca_file = \"{root}\", server_name = \"inner.test\" }}\nhealth = {{ path = \"/\", {OFTEN} }}"
            ))
            .replace("\"app.test\"\n", "\"tls.test\"\nhost_header = \"inner.test\"\n"),
        ),
        (
            "bad.toml",
            &route("name = \"bad\"", &format!("servers = \"{tls}\"\nhealth = {{ path = \"/\", {OFTEN} }}"))
                .replace("app.test", "bad.test"),
        ),
    ]);
    let checks = |route: &str, result: &str| {
        edge.metric_sum("edge_upstream_checks_total", &[&format!("route=\"{route}\""), &format!("result=\"{result}\"")])
    };
    eventually("all were asked", || {
        checks("h2c", "ok") >= 2.0 && checks("tls", "ok") >= 2.0 && checks("bad", "failed") >= 2.0
    });
    assert_eq!((checks("h2c", "failed"), checks("tls", "failed"), checks("bad", "ok")), (0.0, 0.0, 0.0));
    let row = edge.row("upstreams", "route", "bad").expect("listed");
    let why = row["last_error"]["text"].as_str().unwrap_or_default();
    assert!(why.contains("TLSHandshakeFailure"), "{why}");
}

#[test]
fn checks_end_with_their_route() {
    let (backend, _) = patient();
    let edge = before(&format!("servers = \"{}\"\nhealth = {{ path = \"/well\", {OFTEN} }}", backend.url()));
    eventually("checks are made", || backend.requests() >= 2);
    edge.write_route("app.toml", &route("", &format!("servers = \"{}\"", backend.url())));
    edge.reload().success();
    let asked = settled("no more checks come", || backend.requests());
    assert!((0..10).all(|_| get(&edge, &[]).status == 200));
    assert!(edge.command(&["upstreams"]).success().contains("up"));
    assert_eq!(backend.requests(), asked + 10);
}

#[test]
fn a_server_that_fails_requests_is_left_alone_and_comes_back() {
    let broken = Arc::new(AtomicBool::new(true));
    let breaks = Arc::clone(&broken);
    let bad = Backend::start(move |exchange| {
        exchange.drain()?;
        match breaks.load(Ordering::SeqCst) {
            true => Ok(Then::Close),
            false => exchange.answer("200 OK", &[], b"mended"),
        }
    });
    let good = Backend::hello("good");
    let ejecting = |time: &str| {
        let (bad, good) = (bad.url(), good.url());
        before(&format!(
            "servers = [\"{bad}\", \"{good}\"]\neject = {{ after = 3, time = \"{time}\", max = \"{time}\" }}"
        ))
    };
    let edge = ejecting("1h");
    let failed = (0..20).filter(|_| get(&edge, &["-d", "x"]).status == 502).count();
    assert_eq!(failed, 3);
    assert_eq!(edge.metric_sum("edge_upstream_ejections_total", &[]), 1.0, "{}", edge.metrics());
    assert_eq!(state(&edge, &bad.url()), "ejected");
    edge.logs("it is left alone for a while");
    let edge = ejecting("1s");
    eventually("it is left alone", || {
        get(&edge, &["-d", "x"]);
        edge.metric_sum("edge_upstream_ejections_total", &[]) >= 1.0
    });
    broken.store(false, Ordering::SeqCst);
    eventually("it is asked again", || get(&edge, &[]).text() == "mended");
    eventually("it has its whole share", || state(&edge, &bad.url()) == "up");
}

#[test]
fn answers_that_break_off_in_the_middle_are_failures_too() {
    let (bad, good) = (Backend::dies_mid_body(), Backend::hello("good"));
    let eject = "eject = { after = 3, time = \"1h\", max = \"1h\" }";
    let edge = before(&format!("servers = [\"{}\", \"{}\"]\n{eject}", bad.url(), good.url()));
    let cut = (0..20).filter(|_| get(&edge, &[]).exit != 0).count();
    assert!((3..=4).contains(&cut), "{cut} of 20");
    assert_eq!(state(&edge, &bad.url()), "ejected");
    assert_eq!(state(&edge, &good.url()), "up");
}

#[test]
fn a_post_that_meets_a_kept_connection_that_is_gone_is_no_failure_of_the_server() {
    let once = || {
        Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), |mut stream, _| {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\nx") {
                let mut byte = [0];
                if stream.read_exact(&mut byte).is_err() {
                    return;
                }
                request.push(byte[0]);
            }
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
            // It goes with the next request.
            drop(stream.read(&mut [0; 4096]));
        })
    };
    let (one, two) = (once(), once());
    let eject = "eject = { after = 1, time = \"1h\", max = \"1h\" }";
    let edge = before(&format!("servers = [\"{}\", \"{}\"]\n{eject}", one.url(), two.url()));
    let gone = (0..20).filter(|_| get(&edge, &["-d", "x"]).status == 502).count();
    assert!(gone > 2, "{gone} of 20");
    assert_eq!(edge.metric_sum("edge_upstream_ejections_total", &[]), 0.0, "{}", edge.metrics());
    assert_eq!(edge.metric_sum("edge_upstream_requests_total", &["result=\"broken\""]), gone as f64);
}

#[test]
fn a_server_that_came_up_starts_with_a_small_share() {
    let ((ill, status), well) = (patient(), Backend::hello("well"));
    status.store(500, Ordering::SeqCst);
    let edge = before(&format!(
        "servers = [\"{}\", \"{}\"]\nhealth = {{ path = \"/well\", {OFTEN} }}\nslow_start = \"1h\"",
        ill.url(),
        well.url()
    ));
    eventually("it is down", || state(&edge, &ill.url()) == "down");
    status.store(200, Ordering::SeqCst);
    eventually("it comes back", || state(&edge, &ill.url()) == "returning");
    let got = (0..60).filter(|_| get(&edge, &[]).text() == "patient").count();
    assert!(got < 20, "{got} of 60, where half would be its share");
}

#[test]
fn a_server_that_is_down_stays_so_when_its_route_is_edited() {
    let ((ill, status), well) = (patient(), Backend::hello("well"));
    let upstream =
        format!("servers = [\"{}\", \"{}\"]\nhealth = {{ path = \"/well\", {OFTEN} }}", ill.url(), well.url());
    let edge = before(&upstream);
    status.store(500, Ordering::SeqCst);
    eventually("it is down", || state(&edge, &ill.url()) == "down");
    let asked = |backend: &Backend| backend.heads().iter().filter(|head| head.starts_with("GET / ")).count();
    let before = asked(&ill);
    for name in ["one", "two", "three"] {
        edge.write_route("app.toml", &route(&format!("query = {{ {name} = \"1\" }}"), &upstream));
        edge.reload().success();
        assert!((0..3).all(|_| edge.https(&format!("https://app.test/?{name}=1"), &[]).text() == "well"));
    }
    assert_eq!(asked(&ill), before);
    status.store(200, Ordering::SeqCst);
    eventually("it is up", || state(&edge, &ill.url()) == "up");
}

#[test]
fn a_client_that_sends_too_much_puts_no_server_out() {
    let [a, b] = ["a", "b"].map(Backend::hello);
    let edge = TestEdge::with_routes(&[(
        "app.toml",
        &route(
            "limits = { body = \"10B\" }",
            &format!("servers = [\"{}\", \"{}\"]\neject = {{ after = 1 }}", a.url(), b.url()),
        ),
    )]);
    for _ in 0..6 {
        let answer = get(&edge, &["-H", "transfer-encoding: chunked", "-d", "this is more than ten bytes"]);
        assert_eq!(answer.status, 413, "{}", answer.said);
    }
    assert_eq!(edge.metric_sum("edge_upstream_ejections_total", &[]), 0.0, "{}", edge.metrics());
    assert_eq!([&a, &b].map(|it| state(&edge, &it.url())), ["up", "up"]);
}

#[test]
fn checks_end_with_their_route_though_a_request_of_it_goes_on() {
    let free = Arc::new(AtomicBool::new(false));
    let freed = Arc::clone(&free);
    let backend = Backend::start(move |exchange| {
        exchange.drain()?;
        while exchange.target() == "/long" && !freed.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        exchange.answer("200 OK", &[], b"ended")
    });
    let upstream = |check: &str| format!("servers = \"{}\"\nhealth = {{ path = \"{check}\", {OFTEN} }}", backend.url());
    let asked = |target: &str| {
        let start = format!("GET {target} ");
        backend.heads().iter().filter(|head| head.starts_with(&start)).count()
    };
    let edge = before(&upstream("/one"));
    std::thread::scope(|scope| {
        let long = scope.spawn(|| edge.https("https://app.test/long", &[]));
        eventually("it is under way", || asked("/long") == 1 && asked("/one") >= 1);
        edge.write_route("app.toml", &route("", &upstream("/two")));
        edge.reload().success();
        eventually("the new checks run", || asked("/two") >= 1);
        let old = settled("the old checks end", || asked("/one"));
        let new = asked("/two");
        eventually("they go on", || asked("/two") >= new + 4);
        assert_eq!(asked("/one"), old);
        free.store(true, Ordering::SeqCst);
        assert_eq!(long.join().expect("no panic").text(), "ended");
    });
}
