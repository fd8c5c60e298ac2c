//! Servers that break the protocol: the client gets a 502 or an answer that is visibly cut, never one that looks whole,
//! and never a part of somebody else's.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod look;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use support::backend::{Backend, Exchange, Then};
use support::edge::TestEdge;
use support::process::eventually;

fn edge(backend: &Backend) -> TestEdge {
    let route = format!("[[route]]\nname = \"app\"\nhost = \"app.test\"\nupstream = \"{}\"\n", backend.url());
    TestEdge::with_routes(&[("app.toml", &route)])
}

const BOTH: [&str; 2] = ["--http1.1", "--http2"];

#[test]
fn an_answer_that_ends_before_its_length_is_visibly_cut() {
    for backend in [Backend::dies_mid_body(), Backend::dies_mid_chunks()] {
        let edge = edge(&backend);
        for version in BOTH {
            let answer = edge.https("https://app.test/", &[version]);
            let cut = matches!(answer.exit, 18 | 56 | 92);
            assert!(answer.status == 502 || cut, "{version}: {answer:?}");
        }
        edge.counts("edge_refusals_total", &["reason=\"upstream_broken\"", "route=\"app\""], 2.0);
    }
}

#[test]
fn a_head_that_cannot_be_read_is_a_502() {
    const HEADS: &[&[u8]] = &[
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ncontent-length: 5\r\n\r\nabcde",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: evil=1\r\ncontent-length: 0\r\n\r\n",
    ];
    for head in HEADS {
        let backend = Backend::raw(head);
        let edge = edge(&backend);
        for version in BOTH {
            let answer = edge.https("https://app.test/", &[version]);
            assert_eq!(answer.status, 502, "{version} {}: {}", head.escape_ascii(), answer.said);
            assert!(answer.text().contains("The server behind this route broke the protocol"), "{}", answer.text());
            assert!(!answer.said.contains("evil") && answer.header("set-cookie").is_none());
        }
    }
}

#[test]
fn chunks_in_another_grammar_are_visibly_cut() {
    const BODIES: &[&[u8]] = &[
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabcXX0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
    ];
    for body in BODIES {
        let backend = Backend::raw(body);
        let edge = edge(&backend);
        for version in BOTH {
            let answer = edge.https("https://app.test/", &[version]);
            assert!(answer.status == 502 || answer.exit != 0, "{version} {}: {answer:?}", body.escape_ascii());
        }
    }
}

#[test]
fn bytes_behind_an_answer_are_nobodys_answer() {
    let backend = Backend::start(|exchange| {
        exchange.drain()?;
        let mine = exchange.target().to_owned();
        exchange.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{mine}", mine.len()).as_bytes())?;
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")?;
        Ok(Then::Keep)
    });
    let edge = edge(&backend);
    for version in BOTH {
        for number in 0..20 {
            let answer = edge.https(&format!("https://app.test/{number}"), &[version]);
            assert_eq!((answer.status, answer.text()), (200, format!("/{number}")), "{}", answer.said);
        }
    }
}

#[test]
fn a_server_that_dies_before_its_head_is_a_502_and_a_post_is_sent_once() {
    let backend = Backend::says_nothing();
    let edge = edge(&backend);
    for version in BOTH {
        let answer = edge.https("https://app.test/", &[version, "-d", "x"]);
        assert_eq!(answer.status, 502, "{}", answer.said);
        let said = answer.header("connection");
        assert_eq!(said, (version == "--http1.1").then_some("close"), "the edge closes, so it says so");
    }
    assert_eq!(backend.requests(), 2);
}

/// A server that does this with every request once it has read it.
type Misdeed = (&'static str, fn(&mut Exchange<'_>) -> std::io::Result<Then>, u16, &'static str);

/// What becomes of a request whose server never gets as far as an answer: status and reason.
const MISDEEDS: &[Misdeed] = &[
    ("silent", |_| Ok(Then::Close), 502, "upstream_broken"),
    (
        "garbage",
        |it| it.send(b"\x16\x03\x01\x02\x00\x01\x00garbage\r\n\r\n").map(|()| Then::Close),
        502,
        "upstream_broken",
    ),
    ("other-protocol", |it| it.send(b"SSH-2.0-OpenSSH_9.2\r\n\r\n").map(|()| Then::Close), 502, "upstream_broken"),
    ("half-head", |it| it.send(b"HTTP/1.1 200 OK\r\ncontent-le").map(|()| Then::Close), 502, "upstream_broken"),
    (
        "no-status",
        |it| it.send(b"HTTP/1.1 OK\r\ncontent-length: 0\r\n\r\n").map(|()| Then::Close),
        502,
        "upstream_broken",
    ),
    (
        "unasked-upgrade",
        |it| {
            it.send(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nbytes")?;
            Ok(Then::Close)
        },
        502,
        "upstream_broken",
    ),
    ("huge-head", huge_head, 502, "upstream_broken"),
    ("hanging", |it| wait_for_the_end(it), 504, "upstream_timeout"),
    ("dripping", drip, 504, "upstream_timeout"),
    ("interim", |it| endless(it, b"HTTP/1.1 102 Processing\r\n\r\n"), 504, "upstream_timeout"),
];

/// On HTTP/2 nothing but a reset ends these.
const NEVER_SILENT: &[&str] = &["dripping", "interim"];

/// How many requests are noted for their route, also those of which the client sees a reset: two on each version.
const NOTED: usize = 4;

/// Nothing more, until the edge hangs up.
fn wait_for_the_end(exchange: &mut Exchange<'_>) -> std::io::Result<Then> {
    exchange.until_end()?;
    Ok(Then::Close)
}

/// A field that is never at its end.
fn huge_head(exchange: &mut Exchange<'_>) -> std::io::Result<Then> {
    exchange.send(b"HTTP/1.1 200 OK\r\nx: ")?;
    for _ in 0..64 {
        exchange.send(&[b'x'; 64 * 1024])?;
    }
    Ok(Then::Close)
}

/// A head of which a byte comes now and then.
fn drip(exchange: &mut Exchange<'_>) -> std::io::Result<Then> {
    exchange.send(b"HTTP/1.1 200 OK\r\nx: ")?;
    endless(exchange, b"x")
}

fn endless(exchange: &mut Exchange<'_>, piece: &[u8]) -> std::io::Result<Then> {
    loop {
        exchange.send(piece)?;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Takes the request and sends a reset.
fn resetting() -> Backend {
    Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), |mut stream: TcpStream, _| {
        let mut some = [0; 16];
        drop(std::io::Read::read(&mut stream, &mut some));
        drop(socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)));
    })
}

/// What clients of each version get from a server of that name, and those of another server meanwhile.
#[track_caller]
fn ask(edge: &TestEdge, name: &str, status: u16, reason: &str) {
    for version in BOTH {
        for body in [&[][..], &["-d", "x"]] {
            let answer = edge.https(&format!("https://{name}.test/"), &[&[version][..], body].concat());
            if NEVER_SILENT.contains(&name) && version == "--http2" {
                assert_eq!((answer.status, answer.exit), (0, 92), "{name} {body:?}: {answer:?}");
                continue;
            }
            assert_eq!((answer.status, answer.exit), (status, 0), "{name} {version} {body:?}: {answer:?}");
            assert!(answer.text().contains("request id: "), "{name}: {}", answer.text());
        }
        assert_eq!(edge.https("https://good.test/", &[version]).text(), "good", "after {name}");
    }
    let labels = [format!("reason=\"{reason}\""), format!("route=\"{name}\"")];
    edge.counts("edge_refusals_total", &labels.each_ref().map(String::as_str), NOTED as f64);
}

#[test]
fn whatever_a_server_does_instead_of_answering_has_its_status_and_reason_and_harms_nobody_else() {
    let (held, release) = Backend::held();
    let good = Backend::hello("good");
    let mut servers: Vec<(&str, Backend, u16, &str)> = MISDEEDS
        .iter()
        .map(|&(name, deed, status, reason)| {
            let script = move |exchange: &mut Exchange<'_>| exchange.drain().and_then(|_| deed(exchange));
            (name, Backend::start(script), status, reason)
        })
        .collect();
    servers.push(("resetting", resetting(), 502, "upstream_broken"));
    let route = |name: &str, url: &str, rest: &str| {
        format!("[[route]]\nname = \"{name}\"\nhost = \"{name}.test\"\n[route.upstream]\nservers = \"{url}\"\n{rest}")
    };
    let mut text = route("good", &good.url(), "") + &route("held", &held.url(), "");
    for (name, server, status, _) in &servers {
        // Elsewhere a busy machine is not to be taken for a server that hangs.
        let times = if *status == 504 { "timeouts = { first_byte = \"1s\", idle = \"1s\" }\n" } else { "" };
        text += &route(name, &server.url(), times);
    }
    let edge = TestEdge::with_routes(&[("all.toml", &text)]);
    std::thread::scope(|scope| {
        let waiting = BOTH.map(|version| scope.spawn(|| edge.https("https://held.test/", &[version])));
        // All at once: those who wait are not to wait for one server after the other.
        let edge = &edge;
        let asking: Vec<_> =
            servers.iter().map(|(name, _, status, reason)| scope.spawn(|| ask(edge, name, *status, reason))).collect();
        asking.into_iter().for_each(|asking| asking.join().expect("what is said of this server holds"));
        BOTH.iter().for_each(|_| release.send("in the end".to_owned()).expect("they wait"));
        for waiting in waiting {
            assert_eq!(waiting.join().expect("no panic").text(), "in the end");
        }
    });
    for (name, _, status, reason) in &servers {
        let told = |line: &&str| {
            line.contains(&format!("\"route\":\"{name}\""))
                && line.contains(reason)
                && line.contains(&status.to_string())
        };
        let lines = || edge.log().lines().filter(told).count();
        eventually(&format!("{name} is in the access log"), || lines() >= NOTED);
        assert_eq!(lines(), NOTED, "{name} in the access log:\n{}", edge.log());
    }
    for name in NEVER_SILENT {
        let labels = ["result=\"timed_out\"", &format!("route=\"{name}\"")];
        edge.counts("edge_upstream_requests_total", &labels, NOTED as f64);
    }
    assert_eq!(edge.metric_sum("edge_refusals_total", &["route=\"\""]), 0.0, "nothing is counted for no route");
}

/// Requirement: idle timeout of a route.
#[test]
fn a_server_that_falls_silent_in_the_middle_of_its_answer_is_cut_and_the_cut_can_be_seen() {
    let backend = Backend::start(|exchange| {
        exchange.drain()?;
        exchange.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789")?;
        wait_for_the_end(exchange)
    });
    let route = format!(
        "[[route]]\nname = \"app\"\nhost = \"app.test\"\n[route.upstream]\nservers = \"{}\"\ntimeouts = {{ first_byte = \"2s\", idle = \"2s\" }}\n",
        backend.url()
    );
    let edge = TestEdge::with_routes(&[("app.toml", &route)]);
    for version in BOTH {
        let answer = edge.https("https://app.test/", &[version]);
        assert!(answer.status == 200 && answer.exit != 0, "{version}: {answer:?}");
    }
    edge.counts("edge_refusals_total", &["reason=\"upstream_timeout\"", "route=\"app\""], 2.0);
    eventually("the server's connections are gone", || backend.open() == 0);
}

#[test]
fn a_server_that_answers_before_it_has_the_body_is_heard() {
    let backend = Backend::start(|exchange| {
        exchange.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 3\r\nconnection: close\r\n\r\nbig")?;
        exchange.until_end()?;
        Ok(Then::Close)
    });
    let edge = edge(&backend);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), vec![b'x'; 1 << 20]).expect("there is room");
    for version in BOTH {
        let upload = format!("@{}", file.path().display());
        let answer = edge.https("https://app.test/", &[version, "-H", "expect:", "--data-binary", &upload]);
        assert_eq!((answer.status, answer.text().as_str()), (413, "big"), "{version}: {}", answer.said);
    }
}
