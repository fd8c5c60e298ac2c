//! Hostile first bytes at the entrypoint of PostgreSQL: each is refused or closed, no server hears of it, and the next
//! client is served.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod l4;
    pub(crate) mod pg_wire;
    pub(crate) mod pki;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::net::TcpStream;

use support::backend::Backend;
use support::edge::TestEdge;
use support::l4::{echo, postgres_edge, tcp};
use support::pg_wire::{GSSENC_REQUEST, SSL_REQUEST, V3, cancel, knock, over_tls, packet, startup, startup_as};
use support::process::eventually;
use support::wire::Wire;

/// A server that counts who comes and echoes, so that what reaches it is seen.
struct Stage {
    edge: TestEdge,
    server: Backend,
}

impl Stage {
    /// Clients without TLS may come in, so that nothing is refused for that alone.
    #[track_caller]
    fn new() -> Self {
        let server = echo();
        let edge = postgres_edge(&[], &tcp("postgres", server.address(), "host = \"postgres.test\"\nplaintext = true"));
        Self { edge, server }
    }

    /// Whatever came before: a good client is served, and nobody else ever reached the server.
    #[track_caller]
    fn still_serves(&self) {
        assert_eq!(self.server.accepted(), 0, "no server hears of it");
        let mut wire = over_tls(&self.edge, "postgres.test");
        let hello = startup_as("ada", "app");
        wire.send(&hello);
        assert_eq!(wire.exactly(hello.len()), hello, "the startup passes as it is");
    }

    /// Sends it in clear, and in TLS.
    #[track_caller]
    fn both_ways(&self, bytes: &[u8]) -> [Wire; 2] {
        let mut wires = [knock(&self.edge), over_tls(&self.edge, "postgres.test")];
        for wire in &mut wires {
            drop(wire.try_send(bytes));
        }
        wires
    }
}

/// Either nothing or one whole error, and then the end.
#[track_caller]
fn is_closed(wire: &mut Wire, after: &[u8]) {
    let said = wire.rest();
    let is_error = said.first() == Some(&b'E') && said.last() == Some(&0);
    assert!(said.is_empty() || is_error, "{} after {}", said.escape_ascii(), after.escape_ascii());
}

fn with_length(length: i32, rest: &[u8]) -> Vec<u8> {
    [&length.to_be_bytes()[..], rest].concat()
}

#[test]
fn lengths_that_cannot_be_are_closed_at_once() {
    let stage = Stage::new();
    let version = V3.to_be_bytes();
    let lengths = [i32::MIN, -1, 0, 1, 3, 4, 5, 7, 10_001, 1 << 20, i32::MAX];
    for length in lengths {
        let bytes = with_length(length, &version);
        for mut wire in stage.both_ways(&bytes) {
            is_closed(&mut wire, &bytes);
        }
    }
    stage.still_serves();
}

#[test]
fn bytes_of_other_protocols_are_closed_at_once() {
    let stage = Stage::new();
    let smb = b"\x00\x00\x00\x54\xffSMBr\x00\x00\x00\x00\x18\x01\x28\x00";
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: postgres.test\r\n\r\n"[..],
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 5432\r\n",
        smb,
    ] {
        for mut wire in stage.both_ways(bytes) {
            is_closed(&mut wire, bytes);
        }
    }
    // A record of TLS that holds no greeting.
    let mut wire = knock(&stage.edge);
    wire.send(b"\x16\x03\x01\x00\x05hello");
    assert!(!wire.rest().starts_with(b"E"), "an error in clear is no answer to TLS");
    stage.still_serves();
}

/// A known attack: what was sent in clear behind the request would be read as if it had come encrypted.
#[test]
fn bytes_glued_behind_a_request_for_encryption_end_the_connection() {
    let stage = Stage::new();
    for request in [SSL_REQUEST, GSSENC_REQUEST] {
        let glued = [&request[..], &startup_as("mallory", "app")].concat();
        let mut wire = knock(&stage.edge);
        wire.send(&glued);
        let said = wire.rest();
        // A request for Kerberos is refused with N, and PostgreSQL itself reads on then. TLS must never begin.
        assert!(!said.contains(&b'S') || said.contains(&b'E'), "{}", said.escape_ascii());
    }
    let mut wire = knock(&stage.edge);
    wire.send([&SSL_REQUEST[..], b"\x16"].concat());
    assert!(!wire.rest().starts_with(b"S\x16"));
    stage.still_serves();
}

#[test]
fn requests_that_repeat_or_come_too_late_are_refused() {
    let stage = Stage::new();
    let mut wire = over_tls(&stage.edge, "postgres.test");
    wire.send(SSL_REQUEST);
    is_closed(&mut wire, &SSL_REQUEST);
    let mut wire = knock(&stage.edge);
    wire.send(GSSENC_REQUEST);
    assert_eq!(wire.exactly(1), b"N");
    // Asked for ever, it would be a connection that never says who it is.
    let endless = GSSENC_REQUEST.repeat(100);
    drop(wire.try_send(&endless));
    let said = wire.rest();
    assert!(said.len() < 100 + 200, "{}", said.escape_ascii());
    stage.still_serves();
}

#[test]
fn a_startup_without_a_user_is_told() {
    let stage = Stage::new();
    for parameters in [&[][..], &[("database", "app")], &[("user", ""), ("database", "app")]] {
        let bytes = startup(V3, parameters);
        for mut wire in stage.both_ways(&bytes) {
            assert_eq!(wire.refusal().sqlstate, "28000", "{parameters:?}");
        }
    }
    stage.still_serves();
}

#[test]
fn a_startup_that_is_none_is_told() {
    let stage = Stage::new();
    let v3 = V3.to_be_bytes();
    let bodies: [&[u8]; 5] =
        [b"user\0ada\0", b"user\0ada", b"user\0", b"user\0ada\0database\0", b"user\0ada\0\0more\0\0"];
    for body in bodies {
        let bytes = packet(&[&v3[..], body].concat());
        for mut wire in stage.both_ways(&bytes) {
            let sqlstate = wire.refusal().sqlstate;
            assert!(["08P01", "28000"].contains(&sqlstate.as_str()), "{sqlstate} for {}", body.escape_ascii());
        }
    }
    stage.still_serves();
}

#[test]
fn protocols_of_the_past_and_the_future_are_told() {
    let stage = Stage::new();
    for major in [0, 1, 2, 4, 5, 1233, 1235, 32_767] {
        let bytes = startup(major << 16, &[("user", "ada"), ("database", "app")]);
        for mut wire in stage.both_ways(&bytes) {
            assert_eq!(wire.refusal().sqlstate, "0A000", "version {major}");
        }
    }
    stage.still_serves();
    // A newer 3.x is for the server to talk about.
    for minor in [2, 9_999] {
        let bytes = startup(V3 | minor, &[("user", "ada"), ("_pq_.future", "1")]);
        for mut wire in stage.both_ways(&bytes) {
            assert_eq!(wire.exactly(bytes.len()), bytes, "3.{minor}");
        }
    }
}

#[test]
fn cancels_of_a_wrong_length_are_refused() {
    let stage = Stage::new();
    let good = cancel(1, 2);
    let long = packet(&[&good[4..8], &[0; 5000]].concat());
    for bytes in [packet(&good[4..8]), packet(&good[4..12]), packet(&good[4..15]), long] {
        for mut wire in stage.both_ways(&bytes) {
            is_closed(&mut wire, &bytes);
        }
    }
    stage.still_serves();
}

#[test]
fn clients_that_leave_at_any_byte_leave_nothing_behind() {
    let stage = Stage::new();
    let hello = startup_as("ada", "app");
    for end in 0..hello.len() {
        let mut wire = knock(&stage.edge);
        wire.send(&hello[..end]);
        wire.finish();
        is_closed(&mut wire, &hello[..end]);
        drop(over_tls(&stage.edge, "postgres.test").try_send(&hello[..end]));
    }
    let entrypoint = ["entrypoint=\"postgres\""];
    eventually("nobody is left", || stage.edge.metric_sum("edge_connections_open", &entrypoint) == 0.0);
    stage.still_serves();
}

#[test]
fn a_silent_client_and_one_in_the_middle_of_its_startup_are_closed_in_time() {
    let stage = Stage::new();
    let mut waiting = [(knock(&stage.edge), "nothing"), (knock(&stage.edge), "SSLRequest")];
    waiting[1].0.send(SSL_REQUEST);
    assert_eq!(waiting[1].0.exactly(1), b"S");
    let mut half = stage.both_ways(&startup_as("ada", "app")[..20]);
    for (wire, what) in waiting.iter_mut().map(|(wire, what)| (wire, *what)).chain(half.iter_mut().map(|w| (w, "half")))
    {
        // Within the patience of a read: see `Wire::more`.
        let said = wire.rest();
        assert!(said.is_empty() || said.contains(&b'E') || said[0] == 0x15, "{what}: {}", said.escape_ascii());
    }
    stage.still_serves();
}

/// More than there are descriptors for in many a service that keeps what it opened.
#[test]
fn a_thousand_clients_that_say_nothing_do_not_keep_others_out() {
    let stage = Stage::new();
    let to = stage.edge.address("postgres");
    let crowd: Vec<_> = (0..1000).filter_map(|_| TcpStream::connect(to).ok()).collect();
    // One client may have 512 at once: the others are closed, and these when they leave.
    drop(crowd);
    let entrypoint = ["entrypoint=\"postgres\""];
    eventually("they are gone", || stage.edge.metric_sum("edge_connections_open", &entrypoint) == 0.0);
    stage.still_serves();
}
