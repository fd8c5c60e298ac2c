//! Clients that send their bodies too slowly, or not at all, on routes that ask for different rates. The limits are what they
//! are for everybody, 30 seconds: this takes half a minute, once for all of them.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod h2_wire;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::thread;
use std::time::{Duration, Instant};

use support::backend::Backend;
use support::edge::{PLAIN, TestEdge};
use support::h2_wire::{DATA, END_HEADERS, END_STREAM, Frame, H2Wire, HEADERS, RST_STREAM, block, frame, request};
use support::wire::{Reply, Wire};

/// What a client does: a path whose route asks for a rate, and the bytes that it sends there each second.
#[derive(Debug, Clone, Copy)]
struct Slow {
    path: &'static str,
    bytes: usize,
}

/// The default rate, one of a middleware above it, and silence.
const TOO_SLOW: [Slow; 3] =
    [Slow { path: "/", bytes: 100 }, Slow { path: "/fast", bytes: 2_000 }, Slow { path: "/fast", bytes: 0 }];
/// Longer than a rate is taken over.
const LONG: Duration = Duration::from_secs(33);
/// When a client that is not cut gives up.
const NEVER: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn edge(backend: &Backend) -> TestEdge {
    let route = |name: &str, rest: &str| {
        format!(
            "[[route]]\nname = \"{name}\"\nhost = \"app.test\"\nentrypoint = [\"http\", \"https\"]\n\
             upstream = \"{}\"\n{rest}\n",
            backend.url()
        )
    };
    let routes = [
        route("app", ""),
        route("fast", "path = \"/fast\"\nuse = [{ kind = \"min-rate\", rate = \"10KiB/s\" }]"),
        route("any", "path = \"/any\"\nuse = [{ kind = \"min-rate\", rate = \"none\" }]"),
    ];
    TestEdge::with_config(PLAIN, &[("app.toml", &routes.concat())])
}

#[test]
fn whoever_sends_below_the_rate_of_a_route_is_refused_and_nobody_else() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    thread::scope(|clients| {
        for slow in TOO_SLOW {
            let (wire, h2) = (Wire::http(&edge), H2Wire::open(&edge));
            clients.spawn(move || refused_on_http1(wire, slow));
            clients.spawn(move || reset_on_http2(h2, slow));
        }
        let (wire, h2) = (Wire::http(&edge), H2Wire::open(&edge));
        clients.spawn(move || served_on_http1(wire));
        clients.spawn(move || served_on_http2(h2));
    });
    let reason = "reason=\"client_too_slow\"";
    assert_eq!(edge.metric_sum("edge_refusals_total", &[reason]), 6.0);
    assert_eq!(edge.metric_sum("edge_refusals_total", &[]), 6.0);
    edge.logs("\"reason\":\"client_too_slow\"");
    assert_eq!(edge.https("https://app.test/fast", &["--data", "x"]).status, 200);
}

fn refused_on_http1(mut wire: Wire, slow: Slow) {
    wire.send(format!("POST {} HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10000000\r\n\r\n", slow.path));
    let (reply, after) = drip_on_http1(&mut wire, slow.bytes, NEVER);
    let Reply { status, head, .. } = &reply;
    assert_eq!(*status, 408, "{slow:?}: {head}");
    assert!(reply.text().starts_with("408 The client sends or reads too slowly.\n"), "{}", reply.text());
    assert!((29..45).contains(&after.as_secs()), "{slow:?}: {after:?}");
}

fn served_on_http1(mut wire: Wire) {
    wire.send("POST /any HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    let until = Instant::now() + LONG;
    while Instant::now() < until {
        assert!(!wire.hears(SECOND), "an answer before the end: {:?}", wire.answer());
        wire.send("1\r\nx\r\n");
    }
    wire.send("0\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
}

/// Sends so many bytes each second until there is an answer: it and when it came.
fn drip_on_http1(wire: &mut Wire, bytes: usize, patience: Duration) -> (Reply, Duration) {
    let began = Instant::now();
    while !wire.hears(SECOND) {
        assert!(began.elapsed() < patience, "nobody ends it");
        wire.send(vec![b'x'; bytes]);
    }
    (wire.answer(), began.elapsed())
}

/// The stream is reset and the others of its connection are served, meanwhile and behind it.
fn reset_on_http2(mut h2: H2Wire, slow: Slow) {
    h2.send(&frame(HEADERS, END_HEADERS, 1, &block(&request("POST", slow.path))));
    h2.get(3, &request("GET", slow.path));
    let began = Instant::now();
    let mut served = false;
    loop {
        assert!(began.elapsed() < NEVER, "{slow:?}: nobody ends it");
        match h2.next_within(SECOND) {
            Some(Frame { kind: HEADERS, stream: 3, payload, .. }) => served = payload[0] == 0x88,
            Some(Frame { kind: RST_STREAM, stream: 1, .. }) => break,
            Some(frame) => assert!(frame.stream != 1 || frame.kind > HEADERS, "{slow:?}: {frame:?}"),
            None if slow.bytes > 0 => h2.send(&frame(DATA, 0, 1, &vec![b'x'; slow.bytes])),
            None => {}
        }
    }
    let after = began.elapsed();
    assert!(served && (29..45).contains(&after.as_secs()), "{slow:?}: {served} {after:?}");
    h2.get(5, &request("GET", slow.path));
    assert_eq!(h2.until(HEADERS).payload[0], 0x88);
}

fn served_on_http2(mut h2: H2Wire) {
    h2.send(&frame(HEADERS, END_HEADERS, 1, &block(&request("POST", "/any"))));
    let until = Instant::now() + LONG;
    while Instant::now() < until {
        match h2.next_within(SECOND) {
            Some(frame) => assert!(frame.stream == 0, "{frame:?}"),
            None => h2.send(&frame(DATA, 0, 1, b"x")),
        }
    }
    h2.send(&frame(DATA, END_STREAM, 1, b"x"));
    let answer = h2.until(HEADERS);
    assert_eq!((answer.stream, answer.payload[0]), (1, 0x88));
}
