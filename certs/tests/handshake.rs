//! Real handshakes in memory: rustls as the client against the configuration that a listener gets.

#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use certs::server_config::{MinVersion, Policy, for_entry};
use certs::tickets::{EPOCH, Keys};
use certs::{Entry, Issuer, PemPair, Resolver, Store};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig,
    ServerConnection, SupportedProtocolVersion,
};

const NAME: &str = "a.test";

struct World {
    store: Arc<Store>,
    entry: Arc<Entry>,
    roots: RootCertStore,
    keys: Arc<Keys>,
    clock: Arc<AtomicU64>,
}

impl World {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let cert = params.self_signed(&key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let pair = PemPair { chain: cert.pem(), key: key.serialize_pem() };
        let entry = Arc::new(Entry::from_pem(&pair, Issuer::Files, "test").unwrap());
        let store = Arc::new(Store::new());
        store.put(entry.clone(), SystemTime::now()).unwrap();
        let clock = Arc::new(AtomicU64::new(1_700_000_000));
        let read = clock.clone();
        let now = move || SystemTime::UNIX_EPOCH + Duration::from_secs(read.load(Ordering::Relaxed));
        let fill = |bytes: &mut [u8]| ::aws_lc_rs::rand::fill(bytes).map_err(|_| certs::tickets::NoRandomness);
        let keys = Keys::new(Box::new(now), Box::new(fill)).unwrap();
        Self { store, entry, roots, keys, clock }
    }

    fn server(&self, min: MinVersion, scope: &str) -> Arc<ServerConfig> {
        let policy =
            Policy { min, alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()], tickets: Some(self.keys.scoped(scope)) };
        let resolver = Arc::new(Resolver::new(self.store.clone()));
        Arc::new(policy.config(resolver).unwrap())
    }

    fn client(&self, version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

/// A whole handshake and the tickets after it, or the server's error.
fn connect(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    name: &str,
) -> Result<ClientConnection, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client.clone(), name).unwrap();
    let mut server = ServerConnection::new(server.clone()).unwrap();
    for _ in 0..8 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets()?;
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(client)
}

fn kind(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> HandshakeKind {
    connect(client, server, NAME).unwrap().handshake_kind().unwrap()
}

#[test]
fn the_second_connection_resumes_in_tls_1_3_and_in_1_2() {
    let world = World::new();
    let server = world.server(MinVersion::Tls12, "https");
    for version in [&TLS13, &TLS12] {
        let client = world.client(version);
        assert!(matches!(kind(&client, &server), HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest));
        assert_eq!(kind(&client, &server), HandshakeKind::Resumed);
    }
}

#[test]
fn a_ticket_whose_key_has_gone_leads_to_a_full_handshake() {
    let world = World::new();
    let server = world.server(MinVersion::Tls12, "https");
    for version in [&TLS13, &TLS12] {
        let client = world.client(version);
        assert_eq!(kind(&client, &server), HandshakeKind::Full);
        world.clock.fetch_add(2 * EPOCH.as_secs(), Ordering::Relaxed);
        assert_eq!(kind(&client, &server), HandshakeKind::Full);
    }
}

#[test]
fn a_ticket_of_another_scope_leads_to_a_full_handshake() {
    let world = World::new();
    for version in [&TLS13, &TLS12] {
        let client = world.client(version);
        assert_eq!(kind(&client, &world.server(MinVersion::Tls12, "one")), HandshakeKind::Full);
        assert_eq!(kind(&client, &world.server(MinVersion::Tls12, "two")), HandshakeKind::Full);
        assert_eq!(kind(&client, &world.server(MinVersion::Tls12, "two")), HandshakeKind::Resumed);
    }
}

#[test]
fn the_key_exchange_is_hybrid_and_the_protocol_is_agreed() {
    let world = World::new();
    let client = connect(&world.client(&TLS13), &world.server(MinVersion::Tls12, "https"), NAME).unwrap();
    let group = client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(client.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
}

#[test]
fn a_minimum_of_1_3_refuses_a_client_of_1_2() {
    let world = World::new();
    let server = world.server(MinVersion::Tls13, "https");
    assert!(connect(&world.client(&TLS12), &server, NAME).is_err());
    assert!(connect(&world.client(&TLS13), &server, NAME).is_ok());
}

#[test]
fn an_unknown_name_gets_no_certificate_but_a_fixed_one_is_served_to_whoever_asks() {
    let world = World::new();
    let server = world.server(MinVersion::Tls12, "https");
    let client = world.client(&TLS13);
    assert!(connect(&client, &server, "b.test").is_err());
    let fixed = Arc::new(for_entry(&server, &world.entry));
    assert!(connect(&client, &fixed, NAME).is_ok());
    let refused = connect(&client, &fixed, "b.test").unwrap_err();
    assert!(matches!(refused, rustls::Error::InvalidCertificate(_)), "{refused}");
}
