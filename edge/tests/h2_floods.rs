//! HTTP/2 clients that cost more than they ask for: floods end in GOAWAY, excess in a reset stream, and neither harms
//! anybody else.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod h2_wire;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use support::backend::Backend;
use support::edge::TestEdge;
use support::h2_wire::{
    CALM, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, H2Wire, HEADERS, PING, PRIORITY, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, block, frame, request,
};
use support::process::eventually;

fn edge(backend: &Backend) -> TestEdge {
    let route = format!("[[route]]\nname = \"app\"\nhost = \"app.test\"\nupstream = \"{}\"\n", backend.url());
    TestEdge::with_routes(&[("app.toml", &route)])
}

#[test]
fn frames_that_bring_no_request_forward_end_in_goaway_11() {
    let backend = Backend::hello("app");
    let edge = edge(&backend);
    let mut witness = H2Wire::open(&edge);
    for (name, one) in [
        ("SETTINGS", frame(SETTINGS, 0, 0, b"")),
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("PRIORITY", frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1])),
        ("an unknown frame", frame(0xab, 0, 0, b"x")),
    ] {
        // Far more than a thousand: what is on its way must not cost the client the GOAWAY.
        assert_eq!(H2Wire::open(&edge).flood(&one, 20_000), Some(CALM), "{name}");
    }
    let mut wire = H2Wire::open(&edge);
    wire.send(&frame(HEADERS, END_HEADERS, 1, &block(&request("POST", "/"))));
    wire.flood(&frame(DATA, 0, 1, b""), 5_000);
    witness.get(1, &request("GET", "/"));
    assert_eq!(witness.until(HEADERS).payload[0], 0x88, "another connection is served as before");
}

#[test]
fn rapid_resets_end_in_goaway_and_hardly_reach_the_server() {
    let backend = Backend::hello("app");
    let edge = edge(&backend);
    let mut wire = H2Wire::open(&edge);
    let mut ended = false;
    for number in 0..5_000 {
        let stream = number * 2 + 1;
        let one = [
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&request("GET", "/"))),
            frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
        ];
        if wire.wire.try_send(one.concat()).is_err() {
            ended = true;
            break;
        }
    }
    let mut code = None;
    while let Some(frame) = wire.next() {
        code = if frame.kind == GOAWAY { Some(frame.code()) } else { code };
    }
    assert!(code == Some(CALM) || ended, "{code:?}");
    assert!(backend.requests() < 1_000, "{}", backend.requests());
    assert_eq!(edge.https("https://app.test/", &[]).status, 200);
}

#[test]
fn header_blocks_that_never_end_are_cut() {
    let backend = Backend::hello("app");
    let edge = edge(&backend);
    let mut wire = H2Wire::open(&edge);
    wire.send(&frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/"))));
    let more = frame(CONTINUATION, 0, 1, &block(&[("x-a", &"a".repeat(1000))]));
    wire.flood(&more, 5_000);
    let mut wire = H2Wire::open(&edge);
    wire.send(&frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/"))));
    wire.flood(&frame(CONTINUATION, 0, 1, b""), 5_000);
    assert_eq!(edge.https("https://app.test/", &[]).status, 200);
}

#[test]
fn a_connection_carries_a_hundred_streams_and_no_more() {
    let (backend, answers) = Backend::held();
    let edge = edge(&backend);
    let mut wire = H2Wire::open(&edge);
    let settings = wire.until(SETTINGS);
    let mut values = settings.payload.chunks(6);
    assert!(values.any(|value| value == [0, 3, 0, 0, 0, 100]), "MAX_CONCURRENT_STREAMS is 100: {settings:?}");
    for number in 0..101 {
        wire.get(number * 2 + 1, &request("GET", "/"));
    }
    let refused = wire.until(RST_STREAM);
    assert_eq!((refused.stream, refused.code()), (201, 7), "REFUSED_STREAM");
    eventually("the others wait for their answers", || backend.requests() == 100);
    drop(answers);
}

#[test]
fn windows_are_large_enough_for_uploads_and_bounded() {
    let backend = Backend::hello("app");
    let edge = edge(&backend);
    let mut wire = H2Wire::open(&edge);
    let settings = wire.until(SETTINGS);
    assert!(settings.payload.chunks(6).any(|value| value == [0, 4, 0, 16, 0, 0]), "1 MiB a stream: {settings:?}");
    let update = wire.until(WINDOW_UPDATE);
    let grown = u32::from_be_bytes(update.payload.try_into().expect("four bytes"));
    assert_eq!((update.stream, grown + 65_535), (0, 4 * 1024 * 1024));
}

#[test]
fn what_is_malformed_in_http2_reaches_no_server() {
    let backend = Backend::hello("app");
    let edge = edge(&backend);
    let with = |field: (&'static str, &'static str)| [request("GET", "/"), vec![field]].concat();
    let without = |name: &str| request("GET", "/").into_iter().filter(|field| field.0 != name).collect::<Vec<_>>();
    let table = [
        ("CR LF in a value", with(("x-a", "b\r\nx-c: d"))),
        ("NUL in a value", with(("x-a", "b\0"))),
        ("upper case in a name", with(("X-A", "b"))),
        ("a colon in a name", with(("x:a", "b"))),
        ("a space in a name", with(("x a", "b"))),
        ("Connection", with(("connection", "close"))),
        ("Transfer-Encoding", with(("transfer-encoding", "chunked"))),
        ("Upgrade", with(("upgrade", "websocket"))),
        ("an unknown pseudo-header", with((":extra", "b"))),
        ("a doubled pseudo-header", with((":path", "/other"))),
        ("a Host that is not the authority", with(("host", "shop.test"))),
        ("two lengths", [with(("content-length", "3")), vec![("content-length", "4")]].concat()),
        ("no path", without(":path")),
        ("no method", without(":method")),
        ("no scheme", without(":scheme")),
        ("no authority", without(":authority")),
        ("an empty path", [without(":path"), vec![(":path", "")]].concat()),
        ("CR LF in the path", [without(":path"), vec![(":path", "/a\r\nx: y")]].concat()),
        ("a space in the path", [without(":path"), vec![(":path", "/a b")]].concat()),
        ("CONNECT", vec![(":method", "CONNECT"), (":authority", "app.test:443")]),
    ];
    for (name, fields) in table {
        let mut wire = H2Wire::open(&edge);
        wire.get(1, &fields);
        loop {
            match wire.next() {
                None => break,
                Some(frame) if frame.kind == RST_STREAM || frame.kind == GOAWAY => break,
                Some(frame) if frame.kind == HEADERS => {
                    assert_ne!(frame.payload[0], 0x88, "{name} was answered with 200");
                    break;
                }
                Some(_) => {}
            }
        }
        assert_eq!(backend.heads(), Vec::<String>::new(), "{name}");
    }
}

#[test]
fn a_body_that_is_not_as_long_as_it_says_is_no_whole_request() {
    let backend = Backend::echo();
    let edge = edge(&backend);
    for (said, sent) in [("3", "abcdef"), ("6", "abc")] {
        let mut wire = H2Wire::open(&edge);
        let fields = [request("POST", "/"), vec![("content-length", said)]].concat();
        wire.send(&frame(HEADERS, END_HEADERS, 1, &block(&fields)));
        wire.send(&frame(DATA, END_STREAM, 1, sent.as_bytes()));
        let reset = wire.until(RST_STREAM);
        assert_eq!((reset.stream, reset.code()), (1, 1), "PROTOCOL_ERROR");
    }
}
