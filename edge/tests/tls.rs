//! The TLS side of the front door: which names are served, with what, and what those hear who ask for something else.

mod support {
    pub(crate) mod backend;
    pub(crate) mod curl;
    pub(crate) mod edge;
    pub(crate) mod process;
    pub(crate) mod wire;
}

use std::net::Ipv6Addr;
use std::process::Command;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::{AlertDescription, NamedGroup, ProtocolVersion};
use support::backend::Backend;
use support::curl::curl;
use support::edge::{PLAIN, TestEdge};
use support::process::{eventually, run};
use support::wire::{TlsClient, Wire};

const UNRECOGNISED: rustls::Error = rustls::Error::AlertReceived(AlertDescription::UnrecognisedName);

fn routes(backend: &Backend) -> String {
    let url = backend.url();
    format!(
        "[[route]]\nname = \"app\"\nhost = \"app.test\"\nupstream = \"{url}\"\n\
         [[route]]\nname = \"shop\"\nhost = \"shop.test\"\nupstream = \"{url}\"\n"
    )
}

fn edge(config: &str, backend: &Backend) -> TestEdge {
    TestEdge::with_config(config, &[("app.toml", &routes(backend))])
}

fn with_default() -> String {
    format!("{PLAIN}\n[tls]\ndefault_certificate = \"app.test\"\n")
}

#[test]
fn an_unknown_name_gets_the_alert_a_counter_and_a_line_with_the_nearest_name() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    assert_eq!(TlsClient::new(&edge).try_connect("apq.test").err(), Some(UNRECOGNISED));
    let refused = || edge.metric_sum("edge_tls_handshakes_total", &["result=\"unknown_name\""]);
    eventually("it is counted", || refused() == 1.0);
    edge.logs("no route has this name");
    let log = edge.log();
    let line = log.lines().find(|line| line.contains("no route has this name")).expect("it is there");
    assert!(line.contains("apq.test") && line.contains("\"nearest\":\"app.test\""), "{line}");
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_client_without_a_name_gets_the_alert_or_the_default_certificate() {
    let backend = Backend::hello("app");
    let bare = edge(PLAIN, &backend);
    let nameless = |edge: &TestEdge| TlsClient::new(edge).with(|config| config.enable_sni = false);
    assert_eq!(nameless(&bare).try_connect("app.test").err(), Some(UNRECOGNISED));
    let refused = || bare.metric_sum("edge_tls_handshakes_total", &["result=\"no_name\""]);
    eventually("it is counted", || refused() == 1.0);

    let edge = edge(&with_default(), &backend);
    let mut wire = nameless(&edge).connect("app.test");
    wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
    assert_eq!(wire.answer().text(), "app");
}

#[test]
fn with_a_default_certificate_an_unknown_name_is_told_in_words() {
    let backend = Backend::hello("app");
    let edge = edge(&with_default(), &backend);
    for version in ["--http1.1", "--http2"] {
        let answer = edge.https("https://nobody.test/", &[version]);
        assert_eq!(answer.status, 404, "{}", answer.said);
        assert!(answer.text().contains("No route serves this host."), "{}", answer.text());
    }
    edge.counts("edge_refusals_total", &["reason=\"unknown_host\""], 2.0);
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_plain_request_for_an_unknown_name_is_told_in_words() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    let answer = edge.http("http://nobody.test/", &[]);
    assert_eq!((answer.status, answer.header("location")), (404, None));
    assert!(answer.text().contains("No route serves this host."), "{}", answer.text());
}

#[test]
fn versions_before_1_2_are_refused_and_1_2_is_served() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    let client = |args: &[&str]| {
        let address = edge.address("https").to_string();
        let base = ["s_client", "-connect", &address, "-servername", "app.test", "-cipher", "ALL:@SECLEVEL=0"];
        run(Command::new("openssl").args(base).args(args))
    };
    for old in ["-tls1", "-tls1_1"] {
        let ran = client(&[old]);
        assert!(ran.stderr.contains("protocol version") || ran.stdout.contains("Cipher is (NONE)"), "{ran:?}");
        assert!(!ran.status.success(), "{ran:?}");
    }
    assert!(client(&["-tls1_2"]).stdout.contains("New, TLSv1.2, Cipher is ECDHE-"));
    // The only suites left to a client that has no AEAD.
    assert!(!client(&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384"]).status.success());
    eventually("they are counted", || {
        edge.metric_sum("edge_tls_handshakes_total", &["result=\"protocol\""]) == 3.0
            && edge.metric_sum("edge_tls_handshakes_total", &["result=\"ok\"", "version=\"1.2\""]) == 1.0
    });
}

#[test]
fn the_hybrid_post_quantum_key_exchange_is_preferred() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    let with = |groups| {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = groups;
        TlsClient::speaking(&edge, provider, rustls::DEFAULT_VERSIONS).connect("app.test").group()
    };
    let both = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    assert_eq!(with(both), Some(NamedGroup::X25519MLKEM768));
    assert_eq!(with(vec![kx_group::X25519]), Some(NamedGroup::X25519));
    assert_eq!(with(vec![kx_group::X25519MLKEM768]), Some(NamedGroup::X25519MLKEM768));
}

#[test]
fn both_protocols_are_offered_and_others_are_not() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    let client = TlsClient::new(&edge);
    let agreed =
        |names: &[&str]| client.clone().alpn(names).try_connect("app.test").map(|wire| wire.alpn().map(<[u8]>::to_vec));
    assert_eq!(agreed(&["http/1.1", "h2"]), Ok(Some(b"h2".to_vec())));
    assert_eq!(agreed(&["http/1.1"]), Ok(Some(b"http/1.1".to_vec())));
    assert_eq!(agreed(&[]), Ok(None));
    assert_eq!(agreed(&["spdy/3"]), Err(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)));
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let answer = edge.https("https://app.test/", &[flag]);
        assert_eq!((answer.status, answer.version.as_str()), (200, version), "{}", answer.said);
    }
}

#[test]
fn a_client_that_comes_back_resumes_by_a_ticket_in_both_versions() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    for (name, versions) in [("1.3", &[&rustls::version::TLS13]), ("1.2", &[&rustls::version::TLS12])] {
        let client = TlsClient::speaking(&edge, aws_lc_rs::default_provider(), versions);
        let ask = || {
            let mut wire = client.connect("app.test");
            wire.send("GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n");
            assert_eq!(wire.answer().status, 200);
            wire.rest();
            wire.is_resumed()
        };
        assert!(!ask(), "{name}");
        assert!(ask(), "{name}");
        let resumed = ["resumed=\"true\"", "result=\"ok\"", &format!("version=\"{name}\"")];
        eventually("it is counted", || edge.metric_sum("edge_tls_handshakes_total", &resumed) == 1.0);
    }
}

#[test]
fn a_ticket_for_one_name_is_no_use_for_another() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    let client = TlsClient::new(&edge);
    for name in ["app.test", "shop.test"] {
        let mut wire = client.connect(name);
        wire.send(format!("GET / HTTP/1.1\r\nHost: {name}\r\n\r\n"));
        assert_eq!((wire.answer().status, wire.is_resumed()), (200, false), "{name}");
    }
}

#[test]
fn a_host_that_the_certificate_does_not_cover_is_misdirected() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    for version in ["--http1.1", "--http2"] {
        let answer = edge.https("https://app.test/", &[version, "--header", "Host: shop.test"]);
        assert_eq!(answer.status, 421, "{version}: {}", answer.said);
        assert!(answer.text().contains("The certificate of this connection is not for this host."));
    }
    edge.counts("edge_refusals_total", &["reason=\"misdirected\""], 2.0);
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn plain_http_on_the_port_of_https_is_told_so() {
    let backend = Backend::hello("app");
    let edge = edge(PLAIN, &backend);
    let answer = curl(&[&format!("http://{}/", edge.address("https"))]);
    assert_eq!((answer.status, answer.exit), (400, 0), "{}", answer.said);
    assert_eq!(answer.text(), "This port speaks HTTPS. Use https:// in the address.\n");
    let counted = || edge.metric_sum("edge_tls_handshakes_total", &["result=\"not_tls\""]);
    eventually("it is counted", || counted() == 1.0);
    let mut wire = Wire::tcp(edge.address("https"));
    wire.send("\u{1}\u{2}\u{3}");
    assert_eq!(wire.rest(), b"", "noise is not worth a word");
}

#[test]
fn ipv6_is_served_like_ipv4() {
    let config = PLAIN.replace(r#"["127.0.0.1:0"]"#, r#"["127.0.0.1:0", "[::1]:0"]"#);
    let backend = Backend::echo();
    let edge = edge(&config, &backend);
    let address = edge.addresses("https")[1];
    assert_eq!(address.ip(), Ipv6Addr::LOCALHOST);
    let mut wire = TlsClient::new(&edge).to(address).connect("app.test");
    assert_eq!(wire.version(), Some(ProtocolVersion::TLSv1_3));
    wire.send("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n");
    let seen = wire.answer().text();
    assert!(seen.contains("X-Forwarded-For: ::1\r\n") && seen.contains("for=\"[::1]\""), "{seen}");
    let redirect = curl(&["--connect-to", &format!("::{}", edge.addresses("http")[1]), "http://app.test/x?y"]);
    let to = format!("https://app.test:{}/x?y", edge.address("https").port());
    assert_eq!((redirect.status, redirect.header("location")), (308, Some(to.as_str())));
}
