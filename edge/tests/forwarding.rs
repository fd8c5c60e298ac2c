//! What a server is told about a request and its client, and what a client cannot make it believe.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use support::backend::Backend;
use support::curl::Answer;
use support::edge::{PLAIN, TestEdge};
use support::wire::{TlsClient, Wire};

fn edge(config: &str, backend: &Backend) -> TestEdge {
    let url = backend.url();
    let route = format!(
        "[[route]]\nname = \"app\"\nhost = \"app.test\"\nentrypoint = [\"http\", \"https\"]\nupstream = \"{url}\"\n"
    );
    TestEdge::with_config(config, &[("app.toml", &route)])
}

fn trusting(network: &str) -> String {
    PLAIN.replace("tls = true", &format!("tls = true\ntrusted_proxies = [\"{network}\"]"))
}

/// All values of a field that the server saw.
fn seen(answer: &Answer, name: &str) -> Vec<String> {
    values(&answer.text(), name)
}

fn values(head: &str, name: &str) -> Vec<String> {
    let fields = head.lines().skip(1).filter_map(|line| line.split_once(": "));
    fields.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

const SPOOFED: &[&str] = &[
    "X-Forwarded-For: 1.1.1.1",
    "X-Forwarded-Proto: http",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Port: 1",
    "X-Forwarded-Prefix: /evil",
    "X-Real-IP: 1.1.1.1",
    "Forwarded: for=1.1.1.1;host=evil.test",
    "X_Forwarded_For: 1.1.1.1",
];

const LOGINS: &[&str] = &[
    "X-Script-Name: /evil",
    "X_Script_Name: /evil",
    "X-Scheme: evil",
    "X-WEBAUTH-USER: evil",
    "x_webauth_user: evil",
    "Remote-User: evil",
    "REMOTE_USER: evil",
    "Proxy: http://evil.test",
    "X-SSL-Client-Cert: evil",
    "SSL_CLIENT_VERIFY: evil",
    "X-Forwarded-Client-Cert: evil",
    "X-Original-URL: /evil",
    "X-Forwarded-User: evil",
    "x.webauth.user: evil",
    "Remote.User: evil",
    "X-Auth-User: evil",
    "Cf-Access-Authenticated-User-Email: evil",
    "Tailscale-User-Login: evil",
];

fn headers<'a>(fields: &[&'a str]) -> Vec<&'a str> {
    fields.iter().flat_map(|field| ["--header", field]).collect()
}

/// Requirement: untrusted headers are stripped.
#[test]
fn a_strangers_forwarding_headers_are_replaced_on_both_protocols() {
    let backend = Backend::echo();
    let edge = edge(PLAIN, &backend);
    for version in ["--http1.1", "--http2"] {
        let answer = edge.https("https://app.test:8443/", &[&[version], &headers(SPOOFED)[..]].concat());
        assert_eq!(seen(&answer, "x-forwarded-for"), ["127.0.0.1"], "{}", answer.text());
        assert_eq!(seen(&answer, "x-forwarded-proto"), ["https"]);
        assert_eq!(seen(&answer, "x-forwarded-host"), ["app.test:8443"]);
        assert_eq!(seen(&answer, "x-forwarded-port"), ["8443"]);
        assert_eq!(seen(&answer, "x-real-ip"), ["127.0.0.1"]);
        assert_eq!(seen(&answer, "forwarded"), ["for=127.0.0.1;host=\"app.test:8443\";proto=https"]);
        assert_eq!(seen(&answer, "host"), ["app.test:8443"]);
        let text = answer.text();
        assert!(!text.contains("1.1.1.1") && !text.contains("evil"), "{text}");
    }
    let plain = edge.http("http://app.test/", &headers(SPOOFED));
    assert_eq!(
        (seen(&plain, "x-forwarded-proto"), seen(&plain, "x-forwarded-port")),
        (vec!["http".into()], vec!["80".into()])
    );
}

/// Requirement: untrusted headers are stripped, logins and mount points above all.
#[test]
fn logins_and_mount_points_of_clients_never_pass_not_even_from_a_trusted_proxy() {
    for config in [PLAIN.to_owned(), trusting("127.0.0.0/8")] {
        let backend = Backend::echo();
        let edge = edge(&config, &backend);
        for version in ["--http1.1", "--http2"] {
            let answer = edge.https("https://app.test/", &[&[version], &headers(LOGINS)[..]].concat());
            assert_eq!(answer.status, 200, "{}", answer.said);
            assert!(!answer.text().contains("evil"), "{}", answer.text());
        }
    }
}

#[test]
fn a_trusted_proxy_is_believed_and_named_itself() {
    let backend = Backend::echo();
    let edge = edge(&trusting("127.0.0.0/8"), &backend);
    let fields = ["X-Forwarded-For: 203.0.113.9", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: /app"];
    let answer = edge.https("https://app.test/", &headers(&fields));
    assert_eq!(seen(&answer, "x-forwarded-for"), ["203.0.113.9, 127.0.0.1"]);
    assert_eq!(seen(&answer, "x-forwarded-proto"), ["http"]);
    assert_eq!(seen(&answer, "x-forwarded-prefix"), ["/app"]);
    let disguised = edge.https("https://app.test/", &["--header", "X_Forwarded_For: 1.1.1.1"]);
    assert!(!disguised.text().contains("1.1.1.1"), "{}", disguised.text());
}

#[test]
fn rules_and_the_log_see_the_client_behind_a_trusted_proxy() {
    let routes = "[[route]]\nhost = \"app.test\"\nrespond = \"all\"\n\
                  [[route]]\nname = \"inner\"\nhost = \"app.test\"\nclient_ip = [\"127.0.0.0/8\"]\nrespond = \"inner\"\n";
    for (config, outer) in [(trusting("127.0.0.0/8"), "all"), (PLAIN.to_owned(), "inner")] {
        let edge = TestEdge::with_config(&config, &[("app.toml", routes)]);
        assert_eq!(edge.https("https://app.test/own", &[]).text(), "inner");
        let answer = edge.https("https://app.test/far", &["--header", "X-Forwarded-For: 127.0.0.9, 203.0.113.9"]);
        assert_eq!(answer.text(), outer, "{}", answer.said);
        if outer == "all" {
            edge.logs("\"client\":\"203.0.113.9\"");
        }
    }
}

#[test]
fn a_proxy_that_is_not_trusted_is_a_stranger() {
    let backend = Backend::echo();
    let edge = edge(&trusting("192.0.2.0/24"), &backend);
    let answer = edge.https("https://app.test/", &["--header", "X-Forwarded-For: 203.0.113.9"]);
    assert_eq!(seen(&answer, "x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn headers_of_one_hop_stay_on_it() {
    let backend = Backend::echo();
    let edge = edge(PLAIN, &backend);
    let mut wire = Wire::http(&edge);
    wire.send(
        "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\n\
         TE: trailers\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic x\r\nX-Kept: 1\r\n\r\n",
    );
    let head = wire.answer().text();
    for name in ["x-secret", "keep-alive", "proxy-connection", "proxy-authorization", "te"] {
        assert_eq!(values(&head, name), Vec::<String>::new(), "{name}: {head}");
    }
    assert_eq!(values(&head, "x-kept"), ["1"]);
}

#[test]
fn a_client_cannot_have_removed_what_others_rely_on() {
    let backend = Backend::echo();
    let edge = edge(PLAIN, &backend);
    let names =
        ["Host", "Authorization", "Cookie", "X-Forwarded-For", "X-Real-IP", "X_Real_IP", "X-Request-Id", "Forwarded"];
    for name in names {
        let mut wire = Wire::http(&edge);
        wire.send(format!("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close, {name}\r\n\r\n"));
        let reply = wire.answer();
        assert_eq!(reply.status, 400, "{name}");
        assert!(reply.text().contains("Connection names a header that must not be removed."), "{}", reply.text());
        assert_eq!(wire.rest(), b"");
    }
    let counted = edge.metric_sum("edge_refusals_total", &["reason=\"protected_header\""]);
    assert_eq!((counted, backend.requests()), (8.0, 0));
}

#[test]
fn a_request_id_is_kept_if_well_formed_and_made_otherwise() {
    let backend = Backend::echo();
    let edge = edge(PLAIN, &backend);
    for version in ["--http1.1", "--http2"] {
        let kept = edge.https("https://app.test/", &[version, "--header", "X-Request-Id: my-id.1"]);
        assert_eq!(
            (seen(&kept, "x-request-id"), kept.header("x-request-id")),
            (vec!["my-id.1".into()], Some("my-id.1"))
        );
        for bad in ["X-Request-Id: a b", "X-Request-Id: \"x\"", "X-Thing: 1"] {
            let made = edge.https("https://app.test/", &[version, "--header", bad]);
            let ids = seen(&made, "x-request-id");
            assert_eq!((ids.len(), ids[0].len(), made.header("x-request-id")), (1, 32, Some(ids[0].as_str())));
        }
    }
}

#[test]
fn traces_and_repeated_headers_pass_in_their_order_and_nothing_is_added_to_answers() {
    let backend = Backend::start(|exchange| {
        exchange.drain()?;
        let head = exchange.head.clone();
        exchange.answer(
            "200 OK",
            &[("X-Two", "1"), ("x-two", "2"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")],
            head.as_bytes(),
        )
    });
    let edge = edge(PLAIN, &backend);
    let trace = "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for version in ["--http1.1", "--http2"] {
        let answer =
            edge.https("https://app.test/", &[version, "-H", trace, "-H", "Accept: a", "-H", "X-R: 1", "-H", "X-R: 2"]);
        assert_eq!(seen(&answer, "traceparent"), ["00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"]);
        assert_eq!(seen(&answer, "x-r"), ["1", "2"]);
        assert_eq!((answer.all("x-two"), answer.all("set-cookie")), (vec!["1", "2"], vec!["a=1", "b=2"]));
        assert_eq!((answer.header("server"), answer.header("via")), (None, None));
        let refused = edge.https("https://app.test/", &[version, "-H", "Expect: nothing"]);
        assert_eq!((refused.status, refused.header("server")), (417, None));
    }
}

/// PROXY version 2 of a TCP connection from 203.0.113.7:5000.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x07\xc0\0\x02\x01\x13\x88\x01\xbb";
const V1: &[u8] = b"PROXY TCP4 203.0.113.7 192.0.2.1 5000 443\r\n";

fn proxied(network: &str) -> String {
    trusting(network).replace("tls = true", "tls = true\nproxy_protocol = true")
}

#[test]
fn a_trusted_peer_names_the_client_by_the_proxy_protocol() {
    let backend = Backend::echo();
    let edge = edge(&proxied("127.0.0.0/8"), &backend);
    for header in [V1, V2] {
        let mut wire = TlsClient::new(&edge).connect_after("app.test", header).expect("a handshake behind the header");
        wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
        let head = wire.answer().text();
        assert_eq!(values(&head, "x-forwarded-for"), ["203.0.113.7"], "{head}");
        assert_eq!(values(&head, "x-real-ip"), ["203.0.113.7"], "{head}");
    }
    assert!(TlsClient::new(&edge).try_connect("app.test").is_err(), "without the header");
    assert!(TlsClient::new(&edge).connect_after("app.test", b"PROXY TCP4 x y 1 2\r\n").is_err());
    let mut wire = Wire::tcp(edge.address("https"));
    wire.send([b"PROXY ".to_vec(), vec![b'a'; 200]].concat());
    assert_eq!(wire.rest(), b"");
}

#[test]
fn a_stranger_can_name_nobody_by_the_proxy_protocol() {
    let backend = Backend::echo();
    let untrusting = edge(&proxied("192.0.2.0/24"), &backend);
    assert!(TlsClient::new(&untrusting).connect_after("app.test", V1).is_err());
    let backend = Backend::echo();
    let off = edge(&trusting("127.0.0.0/8"), &backend);
    assert!(TlsClient::new(&off).connect_after("app.test", V1).is_err(), "where it is not switched on it is noise");
}
