//! The Internet at a port: scanners, half handshakes and garbage are counted, and nobody is told of them.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod h2_wire;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use support::backend::Backend;
use support::curl::curl;
use support::edge::{PLAIN, TestEdge};
use support::h2_wire::{H2Wire, HEADERS, RST_STREAM, frame};
use support::process::eventually;
use support::wire::{TlsClient, Wire};

fn edge(backend: &Backend) -> TestEdge {
    let url = backend.url();
    let route = format!(
        "[[route]]\nname = \"app\"\nhost = \"app.test\"\nentrypoint = [\"http\", \"https\"]\nupstream = \"{url}\"\n"
    );
    let config =
        format!("{PLAIN}\n[log]\naccess = \"off\"\nformat = \"json\"\n\n[limits]\nclient_handshakes_per_second = 0\n");
    TestEdge::with_config(&config, &[("app.toml", &route)])
}

/// Bytes without order that are the same in every run.
fn garbage(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Sends `bytes` and leaves in the three ways there are.
fn knock(edge: &TestEdge, entrypoint: &str, bytes: &[u8]) {
    for way in 0..3 {
        let mut wire = Wire::tcp(edge.address(entrypoint));
        drop(wire.try_send(bytes));
        match way {
            0 => {}
            1 => wire.finish(),
            _ => {
                wire.finish();
                wire.rest();
            }
        }
    }
}

/// A ClientHello as a scanner cuts it: a record header and a part of the message.
const HELLO: &[u8] = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\
                       \x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x20\x00\x00\x04\x13\x01\x13\x02\x01\x00";

#[test]
fn noise_is_counted_and_never_told() {
    let backend = Backend::hello("app");
    let edge = edge(&backend);
    assert_eq!(edge.https("https://app.test/", &[]).status, 200);
    let before = edge.log().len();
    for seed in 0..20 {
        knock(&edge, "https", &garbage(seed, 300));
        knock(&edge, "http", &garbage(seed, 300));
        knock(&edge, "https", &[&[22, 3, 1][..], &garbage(seed, 300)].concat());
    }
    for cut in 0..HELLO.len() {
        let mut wire = Wire::tcp(edge.address("https"));
        drop(wire.try_send(&HELLO[..cut]));
    }
    knock(&edge, "https", HELLO);
    knock(&edge, "https", b"\x15\x03\x01\x00\x02\x02\x28");
    knock(&edge, "http", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
    knock(&edge, "http", b"GET / HTTP/1.1\r\nHost: 203.0.113.1\r\nUser-Agent: \xff\xfe\r\n\r\n");
    knock(&edge, "http", b"POST /cgi-bin/.%2e/.%2e/bin/sh HTTP/1.1\r\nHost: app.test\r\nContent-Length: 9\r\n\r\nid");
    knock(&edge, "http", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // A client that does not trust us says so by an alert.
    let stranger = curl(&["--connect-to", &format!("::{}", edge.address("https")), "https://app.test/"]);
    assert_eq!((stranger.status, stranger.exit), (0, 60), "{}", stranger.said);
    let said = |reason: &str| edge.metric_sum("edge_tls_handshakes_total", &[&format!("result=\"{reason}\"")]);
    eventually("everything is counted", || {
        said("not_tls") > 0.0 && said("protocol") > 0.0 && said("closed") > 0.0 && said("peer_alert") > 0.0
    });
    eventually("every connection is closed", || edge.metric_sum("edge_connections_open", &[]) == 0.0);
    assert_eq!(edge.https("https://app.test/", &[]).status, 200);
    assert_eq!(edge.log()[before..].trim(), "", "nothing above debug");
}

#[test]
fn broken_frames_and_blocks_end_their_connection_alone() {
    let backend = Backend::hello("app");
    let edge = edge(&backend);
    let before = edge.log().len();
    for seed in 0..40 {
        let mut wire = H2Wire::open(&edge);
        let payload = garbage(seed, 60);
        let kind = u8::try_from(seed % 12).expect("small");
        drop(wire.wire.try_send(frame(kind, payload[0], u32::from(payload[1] & 3), &payload)));
        drop(wire.wire.try_send(frame(HEADERS, 5, 1, &payload)));
        drop(wire.wire.try_send(frame(RST_STREAM, 0, 7, &payload[..4])));
        wire.wire.finish();
        while wire.next().is_some() {}
    }
    let mut raw = TlsClient::new(&edge).alpn(&["h2"]).connect("app.test");
    raw.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
    raw.rest();
    assert_eq!(edge.https("https://app.test/", &["--http2"]).status, 200);
    assert_eq!(edge.log()[before..].trim(), "", "nothing above debug");
}

#[test]
fn unknown_names_are_told_a_few_times_only() {
    let backend = Backend::hello("app");
    let edge = edge(&backend);
    let client = TlsClient::new(&edge);
    for number in 0..60 {
        assert!(client.try_connect(&format!("scan{number}.test")).is_err());
    }
    let refused = || edge.metric_sum("edge_tls_handshakes_total", &["result=\"unknown_name\""]);
    eventually("all are counted", || refused() == 60.0);
    edge.logs("no route has this name");
    let told = edge.log().matches("no route has this name").count();
    assert!((1..=20).contains(&told), "{told} lines");
}
