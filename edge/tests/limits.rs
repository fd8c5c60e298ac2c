//! How much, how fast and how many: each limit of DESIGN with the answer that somebody gets who passes it.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod h2_wire;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::thread;

use support::backend::Backend;
use support::edge::{PLAIN, TestEdge};
use support::h2_wire::{END_HEADERS, END_STREAM, GOAWAY, H2Wire, HEADERS, RST_STREAM, block, frame, request};
use support::process::eventually;
use support::wire::{TlsClient, Wire};

fn edge(limits: &str, backend: &Backend) -> TestEdge {
    let url = backend.url();
    let route = format!(
        "[[route]]\nname = \"app\"\nhost = \"app.test\"\nentrypoint = [\"http\", \"https\"]\nupstream = \"{url}\"\n\
         [[route]]\nname = \"few\"\nhost = \"few.test\"\nentrypoint = [\"http\", \"https\"]\nupstream = \"{url}\"\n\
         limits = {{ headers = \"1KiB\" }}\n"
    );
    TestEdge::with_config(&format!("{PLAIN}\n[limits]\n{limits}\n"), &[("app.toml", &route)])
}

/// How the engine writes `:status: 200`, which has an index (RFC 7541 appendix A), and 431 (section 6.2.1 and appendix B).
const OK: u8 = 0x88;
const TOO_LARGE: &[u8] = &[0x48, 0x83, 0x69, 0x90, 0xff];

const GET: &str = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";

#[track_caller]
fn refuses(edge: &TestEdge, reason: &str, times: f64) {
    edge.counts("edge_refusals_total", &[&format!("reason=\"{reason}\"")], times);
}

#[test]
fn a_request_line_over_8_kib_is_414() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let target = |bytes: usize| format!("/{}", "a".repeat(bytes));
    let mut wire = Wire::http(&edge);
    wire.send(format!("GET {} HTTP/1.1\r\nHost: app.test\r\n\r\n", target(8192 - 14)));
    assert_eq!(wire.answer().status, 200, "8 KiB fit");
    wire.send(format!("GET {} HTTP/1.1\r\nHost: app.test\r\n\r\n", target(8192 - 13)));
    assert_eq!(wire.answer().status, 414);
    assert_eq!(wire.rest(), b"");
    let long = edge.https(&format!("https://app.test{}", target(9000)), &["--http2"]);
    assert_eq!(long.status, 414, "{}", long.said);
    refuses(&edge, "uri_too_long", 2.0);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn a_head_over_32_kib_or_100_fields_is_431() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let ask = |fields: &str| {
        let mut wire = Wire::http(&edge);
        wire.send(format!("GET / HTTP/1.1\r\nHost: app.test\r\n{fields}\r\n"));
        wire.answer().status
    };
    assert_eq!(ask(&format!("X: {}\r\n", "a".repeat(32 * 1024 - 100))), 200);
    assert_eq!(ask(&format!("X: {}\r\n", "a".repeat(32 * 1024))), 431);
    assert_eq!(ask(&"X: 1\r\n".repeat(99)), 200);
    assert_eq!(ask(&"X: 1\r\n".repeat(100)), 431);
    refuses(&edge, "header_too_large", 1.0);
    refuses(&edge, "too_many_fields", 1.0);
    let mut narrow = Wire::http(&edge);
    narrow.send(format!("GET / HTTP/1.1\r\nHost: few.test\r\nX: {}\r\n\r\n", "a".repeat(2000)));
    assert_eq!(narrow.answer().status, 431, "a route may allow less");
    assert_eq!(backend.requests(), 2);
}

#[test]
fn a_route_may_allow_larger_heads_than_others_without_a_restart() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let (value, many) = (format!("X: {}", "a".repeat(40 * 1024)), ["-H", "X: 1"].repeat(150));
    let statuses = |host: &str| {
        let url = format!("https://{host}/");
        let heads = [vec!["-H", &value], many.clone()];
        let asked = heads.iter().flat_map(|head| {
            ["--http1.1", "--http2"].map(|protocol| edge.https(&url, &[&[protocol], &head[..]].concat()).status)
        });
        asked.collect::<Vec<_>>()
    };
    let wide = |limits: &str| {
        let url = backend.url();
        let route = format!(
            "[[route]]\nhost = \"wide.test\"\nentrypoint = [\"http\", \"https\"]\nupstream = \"{url}\"\n\
             limits = {{ {limits} }}\n"
        );
        edge.write_route("wide.toml", &route);
        edge.reload().success();
    };
    wide("");
    assert_eq!(statuses("wide.test"), [431; 4]);
    wide("headers = \"64KiB\", fields = 200");
    assert_eq!(statuses("wide.test"), [200; 4]);
    assert_eq!(statuses("app.test"), [431; 4], "nobody else");
    let mut most = Wire::http(&edge);
    most.send(format!("GET / HTTP/1.1\r\nHost: app.test\r\n{}\r\n", "X: 1\r\n".repeat(200)));
    assert_eq!(most.answer().status, 431, "more than any route allows");
    wide("fields = 256");
    most = Wire::http(&edge);
    for (fields, status) in [(255, 200), (256, 431)] {
        let fields = "X: 1\r\n".repeat(fields);
        most.send(format!("GET / HTTP/1.1\r\nHost: wide.test\r\n{fields}\r\n"));
        assert_eq!(most.answer().status, status);
    }
}

#[test]
fn http2_counts_every_crumb_of_a_cookie_and_every_byte_of_the_list() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let status = |fields: Vec<(&str, &str)>| {
        let mut wire = H2Wire::open(&edge);
        wire.get(1, &[request("GET", "/"), fields].concat());
        wire.until(HEADERS).payload
    };
    assert_eq!(status(vec![("cookie", "a=b"); 90])[0], OK);
    assert!(status(vec![("cookie", "a=b"); 101]).starts_with(TOO_LARGE));
    let value = "a".repeat(8_000);
    let fields = ["x-a", "x-b", "x-c", "x-d", "x-e"].map(|name| (name, value.as_str()));
    assert_eq!(status(fields[..4].to_vec())[0], OK);
    assert!(status(fields.to_vec()).starts_with(TOO_LARGE));
    refuses(&edge, "header_too_large", 1.0);
    refuses(&edge, "too_many_fields", 1.0);
    assert_eq!(backend.requests(), 2);
}

#[test]
fn a_head_that_is_too_large_for_http2_is_refused_with_its_reason() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let answer = edge.https("https://app.test/", &["--http2", "-H", &format!("X: {}", "a".repeat(40 * 1024))]);
    assert_eq!((answer.status, answer.version.as_str()), (431, "2"), "{}", answer.said);
    assert!(answer.text().starts_with("431 The request header is too large.\n"), "{}", answer.text());
    assert_eq!(edge.metric("edge_refusals_total{reason=\"header_too_large\",route=\"app\"}"), Some(1.0));
    edge.logs("\"reason\":\"header_too_large\"");
    assert_eq!(backend.requests(), 0);
}

#[test]
fn a_head_far_too_large_for_http2_ends_its_stream_alone() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let mut wire = H2Wire::open(&edge);
    let value = "a".repeat(20_000);
    let fields = ["x-a", "x-b", "x-c", "x-d"].map(|name| (name, value.as_str()));
    wire.get(1, &[request("GET", "/"), fields.to_vec()].concat());
    assert!(wire.until(HEADERS).payload.starts_with(TOO_LARGE));
    wire.get(3, &request("GET", "/"));
    assert_eq!(wire.until(HEADERS).payload[0], OK);
    assert_eq!(backend.requests(), 1);
}

#[test]
fn a_client_that_sends_a_megabyte_of_head_can_read_why_it_is_refused() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let mut other = Wire::http(&edge);
    other.send(GET);
    assert_eq!(other.answer().status, 200);
    let field = format!("X: {}", "a".repeat(100 * 1024));
    let curl = ["-H", &field].repeat(9);
    for answer in
        [edge.http("http://app.test/", &curl), edge.https("https://app.test/", &[&["--http1.1"], &curl[..]].concat())]
    {
        assert_eq!(answer.status, 431, "{} {}", answer.exit, answer.said);
        assert!(answer.text().starts_with("431 The request header is too large.\n"), "{}", answer.text());
    }
    let head = format!("GET / HTTP/1.1\r\nHost: app.test\r\nX: {}\r\n\r\n", "a".repeat(1 << 20));
    for mut wire in [Wire::http(&edge), TlsClient::new(&edge).connect("app.test")] {
        wire.send(&head);
        let reply = wire.answer();
        assert!(reply.status == 431 && reply.text().contains("too large"), "{}", reply.head);
        assert_eq!(wire.rest(), b"");
    }
    other.send(GET);
    assert_eq!(other.answer().status, 200, "others go on");
    refuses(&edge, "header_too_large", 4.0);
    assert_eq!(backend.requests(), 2);
}

#[test]
fn a_list_that_is_small_on_the_wire_and_large_in_memory_is_refused() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let mut wire = H2Wire::open(&edge);
    // One field put into the table (RFC 7541 section 6.2.1) and named ten thousand times by one byte each.
    let mut bomb = block(&request("GET", "/"));
    bomb.extend(b"\x40\x03x-a\x00");
    bomb.extend([0xbe; 10_000]);
    wire.send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bomb));
    loop {
        match wire.next() {
            None => break,
            Some(frame) if matches!(frame.kind, RST_STREAM | GOAWAY) => break,
            Some(frame) if frame.kind == HEADERS => {
                assert_ne!(frame.payload[0], 0x88, "it was served");
                break;
            }
            Some(_) => {}
        }
    }
    assert_eq!(backend.requests(), 0);
}

#[test]
fn a_head_has_ten_seconds_however_it_drips() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let drip = |mut wire: Wire| {
        // The second request of a kept connection has the same time.
        wire.send(GET);
        assert_eq!(wire.answer().status, 200);
        thread::spawn(move || {
            // Not beyond the ten seconds: what comes behind the end of a connection resets it, and a reset takes the
            // answer with it.
            for byte in GET.bytes().take(10) {
                if wire.try_send([byte]).is_err() {
                    break;
                }
                thread::sleep(std::time::Duration::from_millis(900));
            }
            wire
        })
    };
    let plain = drip(Wire::http(&edge));
    let tls = drip(TlsClient::new(&edge).connect("app.test"));
    for wire in [plain, tls] {
        let mut wire = wire.join().expect("it drips to its end");
        let reply = wire.answer();
        assert_eq!(reply.status, 408, "{}", reply.text());
        assert!(reply.text().contains("The request header did not arrive in time."));
        assert_eq!(wire.rest(), b"");
    }
    refuses(&edge, "header_timeout", 2.0);
    assert_eq!(backend.requests(), 2);
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let backend = Backend::hello("app");
    let edge = edge("", &backend);
    let mut silent = [Wire::http(&edge), Wire::tcp(edge.address("https"))];
    let half = TlsClient::new(&edge).connect("app.test");
    for wire in silent.iter_mut().chain([half].iter_mut()) {
        assert_eq!(wire.rest(), b"");
    }
    eventually("the handshake is counted", || {
        edge.metric_sum("edge_tls_handshakes_total", &["result=\"timeout\""]) == 1.0
    });
}

#[test]
fn one_client_has_its_number_of_connections() {
    let backend = Backend::hello("app");
    let edge = edge("client_connections = 3", &backend);
    let mut held: Vec<Wire> = (0..3).map(|_| Wire::http(&edge)).collect();
    for wire in &mut held {
        wire.send(GET);
        assert_eq!(wire.answer().status, 200);
    }
    assert_eq!(Wire::http(&edge).rest(), b"");
    let refused = || edge.metric_sum("edge_connections_total", &["result=\"client_connections\""]);
    eventually("it is counted", || refused() == 1.0);
    held.pop();
    eventually("there is a place again", || edge.http("http://app.test/", &[]).status == 200);
}

#[test]
fn one_client_has_its_number_of_connections_per_second() {
    let backend = Backend::hello("app");
    let edge = edge("client_handshakes_per_second = 2", &backend);
    let refused = || edge.metric_sum("edge_connections_total", &["result=\"client_handshake_rate\""]);
    eventually("a third within a second is refused", || {
        let burst: Vec<Wire> = (0..8).map(|_| Wire::http(&edge)).collect();
        drop(burst);
        refused() > 0.0
    });
    eventually("it may come back", || edge.http("http://app.test/", &[]).status == 200);
}

#[test]
fn at_the_global_cap_idle_connections_make_room_and_busy_ones_stay() {
    let (backend, answers) = Backend::held();
    let edge = edge("connections = 3", &backend);
    let mut busy = Wire::http(&edge);
    busy.send(GET);
    eventually("the request waits for its answer", || backend.requests() == 1);
    let mut idle = [Wire::http(&edge), Wire::http(&edge)];
    eventually("all places are taken", || edge.metric_sum("edge_connections_open", &["entrypoint=\"http\""]) == 3.0);
    assert_eq!(Wire::http(&edge).rest(), b"", "no place yet");
    for wire in &mut idle {
        assert_eq!(wire.rest(), b"", "asked to go");
    }
    eventually("a new one has a place", || {
        let mut wire = Wire::http(&edge);
        drop(wire.try_send("GET / HTTP/1.1\r\nHost: nobody.test\r\n\r\n"));
        String::from_utf8_lossy(&wire.rest_or_answer()).contains("404")
    });
    assert!(edge.metric_sum("edge_connections_total", &["result=\"global_connections\""]) >= 1.0);
    answers.send("kept".to_owned()).expect("the server waits");
    assert_eq!(busy.answer().text(), "kept");
}

#[test]
fn a_connection_brings_its_number_of_requests() {
    let backend = Backend::hello("app");
    let edge = edge("keepalive_requests = 3", &backend);
    let mut wire = Wire::http(&edge);
    for number in 1..=3 {
        wire.send(GET);
        let reply = wire.answer();
        let last = reply.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        assert_eq!((reply.status, last), (200, number == 3), "{}", reply.head);
    }
    assert_eq!(wire.rest(), b"");
    let mut other = TlsClient::new(&edge).connect("app.test");
    other.send([GET, GET, GET, GET].concat());
    let all = String::from_utf8_lossy(&other.rest()).into_owned();
    assert_eq!(all.matches("HTTP/1.1 200").count(), 3, "{all}");
}
