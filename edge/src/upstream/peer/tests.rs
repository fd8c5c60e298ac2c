//! What the built peer says, option by option.

use std::fs;

use pingora::upstreams::peer::{H1UpgradePolicy, Peer};

use super::*;
use crate::upstream::settings::Tls;

fn server(url: &str) -> Server {
    let (scheme, rest) = url.split_once("://").expect("a URL");
    let (host, port) = rest.rsplit_once(':').expect("with a port");
    let scheme = match scheme {
        "https" => Scheme::Https,
        "h2c" => Scheme::H2c,
        _ => Scheme::Http,
    };
    Server::net(scheme, host.into(), port.parse().expect("a port"))
}

fn peer(url: &str, http: Http, tls: &Tls) -> HttpPeer {
    let profile = Profile::load(tls).expect("good files");
    let template = Template::new(&server(url), http, Timeouts::default(), Some(&profile));
    let address = SocketAddr::from(([127, 0, 0, 1], 8443));
    template.map(|template| template.peer(&address.into())).expect("good settings")
}

#[test]
fn timeouts_and_limits_are_set() {
    let peer = peer("http://a.x:80", Http::Auto, &Tls::default());
    let options = &peer.options;
    let seconds = |timeout: Option<Duration>| timeout.map(|timeout| timeout.as_secs());
    assert_eq!(seconds(options.connection_timeout), Some(5));
    assert_eq!(seconds(options.total_connection_timeout), Some(5));
    assert_eq!(seconds(options.read_timeout), Some(300));
    assert_eq!(seconds(options.write_timeout), Some(300));
    assert_eq!(seconds(options.idle_timeout), Some(4));
    assert_eq!(options.max_h2_streams, 100);
    assert_eq!(options.tcp_keepalive.as_ref().map(|keepalive| keepalive.idle.as_secs()), Some(60));
    assert_eq!(options.http_upstream_request_policy.h1_upgrade, H1UpgradePolicy::WebSocketOnly);
    assert!(options.http_upstream_request_policy.strip_hop_by_hop);
    assert_eq!(peer.address().to_string(), "127.0.0.1:8443");
}

#[test]
fn the_protocol_follows_scheme_and_choice() {
    let alpn = |url, http| peer(url, http, &Tls::default()).options.alpn;
    let https = "https://a.x:443";
    for (url, http, expected) in [
        (https, Http::Auto, ALPN::H2H1),
        (https, Http::One, ALPN::H1),
        (https, Http::Two, ALPN::H2),
        ("http://a.x:80", Http::Auto, ALPN::H1),
        ("http://a.x:80", Http::Two, ALPN::H2),
        ("http://a.x:80", Http::H2c, ALPN::H2),
        ("h2c://a.x:80", Http::Auto, ALPN::H2),
        ("h2c://a.x:80", Http::One, ALPN::H1),
    ] {
        assert_eq!(alpn(url, http), expected, "{url} {http:?}");
    }
    let clear = Template::new(&server(https), Http::H2c, Timeouts::default(), None);
    assert!(matches!(clear, Err(BuildError::ClearOverTls { .. })));
}

#[test]
fn a_server_in_clear_has_no_tls_and_one_over_tls_verifies_its_name() {
    let clear = peer("h2c://a.x:80", Http::Auto, &Tls::default());
    assert!(!clear.is_tls() && clear.sni().is_empty());
    let tls = peer("https://a.x:443", Http::Auto, &Tls::default());
    assert!(tls.is_tls() && tls.verify_cert() && tls.verify_hostname());
    assert_eq!(tls.sni(), "a.x");
    assert!(tls.get_ca().is_none());
}

#[test]
fn another_name_and_an_address_are_verified_as_they_are() {
    let named = Tls { server_name: Some("b.x".to_owned()), ..Tls::default() };
    assert_eq!(peer("https://a.x:443", Http::Auto, &named).sni(), "b.x");
    assert_eq!(peer("https://10.0.0.1:443", Http::Auto, &Tls::default()).sni(), "10.0.0.1");
    assert_eq!(peer("https://[::1]:443", Http::Auto, &Tls::default()).sni(), "::1");
}

#[test]
fn verification_can_be_turned_off_and_then_still_has_a_root_for_pingora() {
    let tls = Tls { verify: false, ..Tls::default() };
    let peer = peer("https://a.x:443", Http::Auto, &tls);
    assert!(!peer.verify_cert() && !peer.verify_hostname());
    assert_eq!(peer.get_ca().map(|ca| ca.len()), Some(1));
}

struct Files {
    _folder: tempfile::TempDir,
    tls: Tls,
}

/// A CA file and a client certificate, all new.
fn files() -> Files {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = rcgen::generate_simple_self_signed(["ca.x".to_owned()]).expect("a certificate");
    let write = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the folder is writable");
        path
    };
    let cert = write("cert.pem", made.cert.pem());
    let key = write("key.pem", made.signing_key.serialize_pem());
    let tls = Tls { ca_file: Some(cert.clone()), client: Some((cert, key)), ..Tls::default() };
    Files { _folder: folder, tls }
}

#[test]
fn own_authorities_and_client_certificate_are_in_the_peer() {
    let peer = peer("https://a.x:443", Http::Auto, &files().tls);
    assert_eq!(peer.get_ca().map(|ca| ca.len()), Some(1));
    assert!(peer.get_client_cert_key().is_some());
}

/// Pingora hashes the serial of the client certificate, but neither the authorities nor the ALPN.
#[test]
fn connections_of_different_trust_or_identity_are_never_shared() {
    let (one, two) = (files(), files());
    let without_client = Tls { client: None, ..one.tls.clone() };
    let mixed = Tls { client: two.tls.client.clone(), ..one.tls.clone() };
    let unverified = Tls { verify: false, ..Tls::default() };
    let https = |tls: &Tls| peer("https://a.x:443", Http::Auto, tls).reuse_hash();
    let all = [&one.tls, &two.tls, &without_client, &mixed, &unverified, &Tls::default()].map(https);
    for (index, hash) in all.iter().enumerate() {
        assert!(!all[index + 1..].contains(hash), "{index} shares its connections");
    }
    let h1 = peer("https://a.x:443", Http::One, &one.tls).reuse_hash();
    assert_ne!(https(&one.tls), h1);
}

#[test]
fn connections_of_equal_settings_are_shared_between_routes_and_reloads() {
    let files = files();
    let hash = || peer("https://a.x:443", Http::Auto, &files.tls).reuse_hash();
    assert_eq!(hash(), hash());
}

/// Shows that the trap is real: without the group key Pingora would share the connection.
#[test]
fn only_the_group_key_tells_authorities_apart() {
    let (one, two) = (files(), files());
    let hash = |tls: &Tls| {
        let mut peer = peer("https://a.x:443", Http::Auto, &Tls { client: None, ..tls.clone() });
        peer.group_key = 0;
        peer.reuse_hash()
    };
    assert_eq!(hash(&one.tls), hash(&two.tls));
}

#[test]
fn a_socket_shares_no_connection_with_another_socket_or_another_http() {
    use std::path::PathBuf;

    use crate::upstream::address::Address;
    let hash = |path: &str, http| {
        let place = Place::Unix(path.into());
        let server = Server { scheme: Scheme::Http, place, weight: 1, backup: false };
        let template = Template::new(&server, http, Timeouts::default(), None).expect("good settings");
        template.peer(&Address::from(&PathBuf::from(path))).reuse_hash()
    };
    assert_eq!(hash("/run/a.sock", Http::Auto), hash("/run/a.sock", Http::One));
    assert_ne!(hash("/run/a.sock", Http::Auto), hash("/run/a.sock", Http::H2c));
    assert_ne!(hash("/run/a.sock", Http::Auto), hash("/run/b.sock", Http::Auto));
}
