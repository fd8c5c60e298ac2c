//! Who is asked: by load, by key, by cookie, by weight, and who steps in when nobody else can.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::collections::HashSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use support::backend::Backend;
use support::curl::Answer;
use support::edge::TestEdge;
use support::process::{Nobody, eventually};
use support::wire::TlsClient;

/// A route of `app.test` with these lines of its own and of its `[route.upstream]`.
fn route(own: &str, upstream: &str) -> String {
    format!("[[route]]\nhost = \"app.test\"\n{own}\n[route.upstream]\n{upstream}\n")
}

fn before(upstream: &str) -> TestEdge {
    TestEdge::with_routes(&[("app.toml", &route("", upstream))])
}

fn get(edge: &TestEdge, args: &[&str]) -> Answer {
    edge.https("https://app.test/", args)
}

fn list(backends: &[&Backend]) -> String {
    let urls: Vec<String> = backends.iter().map(|backend| format!("\"{}\"", backend.url())).collect();
    format!("[{}]", urls.join(", "))
}

/// Requests that are under way at a server.
fn active(edge: &TestEdge, server: &Backend) -> u64 {
    let row = edge.row("upstreams", "server", &server.url()).expect("it is listed");
    row["active"].as_u64().expect("a number")
}

/// The cookie pair of an answer, as a client sends it back.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie is set");
    set.split(';').next().expect("a pair").to_owned()
}

#[test]
fn the_one_with_the_fewest_requests_is_asked() {
    for balance in ["least-requests", "random-two"] {
        let (busy, idle) = (Backend::held(), Backend::hello("idle"));
        let edge = before(&format!("servers = {}\nbalance = \"{balance}\"", list(&[&busy.0, &idle])));
        // Until the busy one has one request under way; whoever gets it hangs in another thread.
        std::thread::scope(|scope| {
            let mut asked = 0;
            while busy.0.requests() == 0 {
                asked += 1;
                scope.spawn(|| get(&edge, &[]));
                eventually("somebody was asked", || busy.0.requests() + idle.requests() == asked);
            }
            let before = idle.requests();
            for _ in 0..5 {
                // A request counts as active until a moment after its answer.
                eventually("the idle one is idle", || active(&edge, &idle) == 0);
                assert_eq!(get(&edge, &[]).text(), "idle", "{balance}");
            }
            assert_eq!(idle.requests(), before + 5);
            assert_eq!(active(&edge, &busy.0), 1);
            busy.1.send("done".to_owned()).expect("it waits");
        });
        eventually("nothing is under way", || active(&edge, &busy.0) == 0);
    }
}

/// Requirement: several servers for one route.
#[test]
fn the_same_header_goes_to_the_same_server_and_to_another_when_that_is_dead() {
    let [a, b, c] = ["a", "b", "c"].map(Backend::hello);
    let edge = before(&format!("servers = {}\nbalance = \"hash:header:X-User\"", list(&[&a, &b, &c])));
    let of = |user: usize| get(&edge, &["-H", &format!("x-user: {user}")]).text();
    let first: Vec<String> = (0..40).map(of).collect();
    assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3, "{first:?}");
    assert_eq!((0..40).map(of).collect::<Vec<_>>(), first);
    drop(c);
    for (user, before) in first.iter().enumerate() {
        let now = of(user);
        assert!(if before == "c" { now == "a" || now == "b" } else { now == *before }, "{user}: {before} {now}");
    }
}

#[test]
fn the_same_client_goes_to_the_same_server() {
    let [a, b] = ["a", "b"].map(Backend::hello);
    let edge = before(&format!("servers = {}\nbalance = \"hash:client-ip\"", list(&[&a, &b])));
    let said: HashSet<String> = (0..6).map(|_| get(&edge, &[]).text()).collect();
    assert_eq!(said.len(), 1);
}

#[test]
fn a_cookie_brings_a_client_back_until_its_server_dies_and_again_after_a_restart() {
    let [a, b] = ["a", "b"].map(Backend::hello);
    let mut edge = before(&format!("servers = {}\nbalance = \"sticky:SRV\"", list(&[&a, &b])));
    let first = get(&edge, &[]);
    let set = first.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.starts_with("SRV=") && set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{set}");
    let port = a.address().port().to_string();
    assert!(!set.contains(&port) && !set.contains("127"), "{set}");
    let sent = format!("cookie: other=1; {}", cookie(&first));
    for _ in 0..4 {
        let again = get(&edge, &["-H", &sent]);
        assert_eq!((again.text(), again.header("set-cookie")), (first.text(), None));
    }
    edge.restart();
    assert_eq!(get(&edge, &["-H", &sent]).text(), first.text(), "the secret is kept");
    let (dead, other) = if first.text() == "a" { (a, "b") } else { (b, "a") };
    drop(dead);
    let fallen = get(&edge, &["-H", &sent]);
    assert_eq!((fallen.status, fallen.text().as_str()), (200, other));
    assert_ne!(cookie(&fallen), cookie(&first), "it has a new server");
}

#[test]
fn a_websocket_comes_back_to_its_server_too() {
    let (a, b) = (Backend::websocket(), Backend::websocket());
    let edge = before(&format!("servers = {}\nbalance = \"sticky:SRV\"", list(&[&a, &b])));
    let open = |cookie: &str| {
        let mut wire = TlsClient::new(&edge).connect("app.test");
        wire.send(format!(
            "GET /ws HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{cookie}\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ));
        let reply = wire.answer();
        assert_eq!(reply.status, 101);
        let set = reply.header("set-cookie").map(|set| set.split(';').next().unwrap_or_default().to_owned());
        (set, wire)
    };
    let (set, _first) = open("");
    let sent = format!("Cookie: {}\r\n", set.expect("a cookie comes with the 101"));
    let _more: Vec<_> = (0..3).map(|_| open(&sent)).map(|(set, wire)| (assert_eq!(set, None), wire)).collect();
    let mut opened = [a.accepted(), b.accepted()];
    opened.sort_unstable();
    assert_eq!(opened, [0, 4]);
}

#[test]
fn a_server_without_weight_keeps_its_clients_and_gets_no_new_ones() {
    let [old, new] = ["old", "new"].map(Backend::hello);
    let servers = |weight: u8| {
        let (old, new) = (old.url(), new.url());
        format!("servers = [{{ url = \"{old}\", weight = {weight} }}, \"{new}\"]\nbalance = \"sticky:SRV\"")
    };
    let edge = before(&servers(1));
    let mut answers = std::iter::repeat_with(|| get(&edge, &[]));
    let sent = format!("cookie: {}", cookie(&answers.find(|answer| answer.text() == "old").expect("by turns")));
    edge.write_route("app.toml", &route("", &servers(0)));
    edge.reload().success();
    assert_eq!(get(&edge, &["-H", &sent]).text(), "old");
    assert!((0..4).all(|_| get(&edge, &[]).text() == "new"));
}

#[test]
fn a_backup_steps_in_and_steps_back() {
    let (spare, main) = (Backend::hello("spare"), Nobody::new());
    let edge = before(&format!(
        "servers = [\"{}\", {{ url = \"{}\", backup = true }}]\nhealth = {{ every = \"100ms\", timeout = \"10s\", up_after = 1, down_after = 3 }}",
        main.url(),
        spare.url()
    ));
    assert_eq!(get(&edge, &[]).text(), "spare");
    let _main = Backend::start_on(main.listen(), |exchange| exchange.answer("200 OK", &[], b"main"));
    eventually("the first server is asked again", || get(&edge, &[]).text() == "main");
    let asked = spare.requests();
    assert!((0..5).all(|_| get(&edge, &[]).text() == "main"));
    assert_eq!(spare.requests(), asked);
}

#[test]
fn a_canary_gets_its_weight_or_those_who_ask_for_it() {
    let [stable, canary] = ["stable", "canary"].map(Backend::hello);
    let weighted = format!(
        "servers = [{{ url = \"{}\", weight = 95 }}, {{ url = \"{}\", weight = 5 }}]",
        stable.url(),
        canary.url()
    );
    let asked_for = format!(
        "[[route]]\nname = \"canary\"\nhost = \"app.test\"\nheader = {{ x-canary = \"1\" }}\nupstream = \"{}\"\n",
        canary.url()
    );
    let edge = TestEdge::with_routes(&[("app.toml", &route("", &weighted)), ("canary.toml", &asked_for)]);
    let args: Vec<String> = (0..39)
        .flat_map(|_| {
            ["--next", "-k", "--connect-to"]
                .map(str::to_owned)
                .into_iter()
                .chain([format!("::{}", edge.address("https")), "https://app.test/".to_owned()])
        })
        .collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let said = get(&edge, &args).text();
    assert_eq!((said.matches("stable").count(), said.matches("canary").count()), (38, 2), "{said}");
    assert_eq!(get(&edge, &["-H", "x-canary: 1"]).text(), "canary");
}

/// Answers every request of every connection to a socket with its head.
fn serve_socket(listener: UnixListener) {
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut head, mut byte) = (Vec::new(), [0]);
                while matches!(stream.read(&mut byte), Ok(1)) {
                    head.push(byte[0]);
                    if head.ends_with(b"\r\n\r\n") {
                        let start = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", head.len());
                        if stream.write_all(&[start.as_bytes(), &head].concat()).is_err() {
                            return;
                        }
                        head.clear();
                    }
                }
            });
        }
    });
}

#[test]
fn a_socket_of_the_machine_is_a_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("app.sock");
    let upstream = format!("servers = \"unix:{}\"\nhealth = {{ path = \"/well\", every = \"100ms\" }}", path.display());
    let edge = TestEdge::with_routes(&[("app.toml", &route("host_header = \"upstream\"", &upstream))]);
    let missing = get(&edge, &[]);
    assert!([502, 503].contains(&missing.status), "{}", missing.text());
    serve_socket(UnixListener::bind(&path).expect("the folder is ours"));
    eventually("the socket is used", || get(&edge, &[]).status == 200);
    for version in ["--http1.1", "--http2"] {
        let said = get(&edge, &[version]).text().to_lowercase();
        assert!(said.starts_with("get / http/1.1\r\n") && said.contains("host: localhost\r\n"), "{said}");
    }
    let row = edge.row("upstreams", "route", "app.test").expect("listed");
    assert_eq!(row["server"], format!("unix:{}", path.display()));
    let log = edge.log();
    assert!(log.contains("app.sock"), "{log}");
}

/// Requirement: a switch of a route for headers that name the client.
#[test]
fn a_server_that_is_not_to_know_the_client_gets_no_header_that_names_it() {
    let backend = Backend::echo();
    let upstream = format!("servers = \"{}\"", backend.url());
    let edge = TestEdge::with_routes(&[("app.toml", &route("client_headers = \"none\"", &upstream))]);
    for version in ["--http1.1", "--http2"] {
        let given = ["-H", "x-forwarded-for: 9.9.9.9", "-H", "x_real_ip: 9.9.9.9", "-H", "forwarded: for=9.9.9.9"];
        let said = get(&edge, &[&[version][..], &given].concat()).text().to_lowercase();
        assert!(!said.contains("9.9.9.9") && !said.contains("127.0.0.1"), "{said}");
        assert!(said.contains("x-forwarded-proto: https") && said.contains("x-forwarded-host: app.test"), "{said}");
    }
}

#[test]
fn an_idempotent_request_goes_on_to_another_server_if_the_route_wants_that_and_no_other_does() {
    let full = Backend::start(|exchange| {
        exchange.drain()?;
        exchange.answer("503 Service Unavailable", &[], b"full")
    });
    let (silent, good) = (Backend::says_nothing(), Backend::hello("good"));
    for (bad, on, status) in [(&full, "unavailable", 503), (&silent, "broken", 502)] {
        let upstream =
            |on: &str| format!("servers = {}\nretries = {{ on = [{on}] }}\neject = false", list(&[bad, &good]));
        let edge = before(&upstream(&format!("\"{on}\"")));
        for version in ["--http1.1", "--http2"] {
            assert!((0..4).all(|_| get(&edge, &[version]).text() == "good"), "{on} {version}");
            let before = bad.requests();
            let posts: Vec<u16> = (0..2).map(|_| get(&edge, &[version, "-d", "x"]).status).collect();
            assert!(posts.contains(&status) && posts.contains(&200), "{on} {version}: {posts:?}");
            assert_eq!(bad.requests(), before + 1, "a body is sent once");
        }
        assert!(edge.metric_sum("edge_retries_total", &[&format!("reason=\"{on}\"")]) >= 4.0, "{}", edge.metrics());
        edge.write_route("app.toml", &route("", &upstream("")));
        edge.reload().success();
        let statuses: Vec<u16> = (0..2).map(|_| get(&edge, &[]).status).collect();
        assert!(statuses.contains(&status), "{on}: {statuses:?}");
    }
}

#[test]
fn servers_on_http2_are_no_exception() {
    let inner = |respond: &str| {
        TestEdge::with_routes(&[("app.toml", &format!("[[route]]\nhost = \"app.test\"\nrespond = {respond}\n"))])
    };
    let (full, good) = (inner("{ status = 503, body = \"full\" }"), inner("\"good\""));
    let url = |edge: &TestEdge| format!("\"https://{}\"", edge.address("https"));
    let edge = before(&format!(
        "servers = [{}, {}]\nhttp = 2\ntls = {{ verify = false, server_name = \"app.test\" }}\n\
         retries = {{ on = [\"unavailable\"] }}",
        url(&full),
        url(&good)
    ));
    for version in ["--http1.1", "--http2"] {
        assert!((0..4).all(|_| get(&edge, &[version]).text() == "good"), "{version}");
        let posts: HashSet<String> = (0..2).map(|_| get(&edge, &[version, "-d", "x"]).text()).collect();
        assert_eq!(posts.len(), 2, "a body is sent once: {posts:?}");
    }
    assert!(edge.metric_sum("edge_retries_total", &["reason=\"unavailable\""]) >= 4.0);
}

#[test]
fn when_all_servers_are_unavailable_the_last_answer_is_the_answer() {
    let full = |text: &'static str| {
        Backend::start(move |exchange| exchange.answer("503 Service Unavailable", &[], text.as_bytes()))
    };
    let (a, b) = (full("full"), full("full"));
    let edge = before(&format!("servers = {}\nretries = {{ attempts = 5, on = [\"unavailable\"] }}", list(&[&a, &b])));
    let answer = get(&edge, &[]);
    assert_eq!((answer.status, answer.text().as_str()), (503, "full"));
    assert_eq!((a.requests(), b.requests()), (1, 1));
}

#[test]
fn explain_tells_how_servers_are_chosen_and_judged() {
    let nobody = Nobody::new();
    let edge = before(&format!(
        "servers = [\"{}\", {{ url = \"unix:/run/x.sock\", backup = true }}]\nbalance = \"least-requests\"\n\
         health = {{ path = \"/ping\" }}\nslow_start = \"30s\"",
        nobody.url()
    ));
    let said = edge.command(&["explain", "https://app.test/"]).success();
    for words in
        ["unix:/run/x.sock (backup)", "least-requests", "GET /ping answered with 200-399", "30s", "after 5 failures"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
}
