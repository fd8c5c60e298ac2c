//! Peers as Pingora uses them, against a real TLS server on loopback: whom we trust, who we are,
//! and that a kept connection is only used by those who would have trusted it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use edge::tasks::Tasks;
use edge::telemetry::{BuildInfo, Metrics};
use edge::upstream::{
    Checks, Dns, Host, Means, NameServers, Pool, Scheme, Server, Settings, StickyKey, SystemRoots, Tls, Tried, Wish,
};
use pingora::connectors::TransportConnector;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::runtime::Handle;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca() -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA")
}

/// A certificate for `names` with its key.
fn leaf(ca: &Ca, names: &[&str]) -> (rcgen::Certificate, KeyPair) {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(names).expect("good names");
    (params.signed_by(&key, ca).expect("a certificate"), key)
}

struct Rig {
    folder: tempfile::TempDir,
    ca: Ca,
    tasks: Tasks,
}

impl Rig {
    fn new() -> Self {
        // Whichever test comes first installs it; the others find it there.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { folder, ca: ca(), tasks: Tasks::new(Handle::current()) }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("the folder is writable");
        path
    }

    fn ca_file(&self) -> Option<PathBuf> {
        Some(self.file("ca.pem", &self.ca.pem()))
    }

    fn client(&self) -> Option<(PathBuf, PathBuf)> {
        let (cert, key) = leaf(&self.ca, &["client.test"]);
        Some((self.file("client.pem", &cert.pem()), self.file("client.key", &key.serialize_pem())))
    }

    /// Serves TLS with a certificate for 127.0.0.1 and app.test, and keeps each connection open.
    /// A client that was asked for its certificate is greeted with a byte.
    async fn serve(&self, asks_for_client: bool) -> SocketAddr {
        let (cert, key) = leaf(&self.ca, &["127.0.0.1", "app.test"]);
        let mut roots = RootCertStore::empty();
        roots.add(self.ca.der().clone()).expect("it is a CA");
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("there is a root");
        let builder = ServerConfig::builder();
        let builder =
            if asks_for_client { builder.with_client_cert_verifier(verifier) } else { builder.with_no_client_auth() };
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = builder.with_single_cert(vec![cert.der().clone()], key).expect("they belong together");
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let tasks = self.tasks.clone();
        self.tasks.spawn("server", move |_| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tasks.spawn("connection", move |stop| async move {
                    let mut open = acceptor.accept(stream).await;
                    if let (Ok(stream), true) = (&mut open, asks_for_client) {
                        // A client that was refused does not read it.
                        let _ = stream.write_all(b"!").await;
                    }
                    stop.cancelled().await;
                    drop(open);
                });
            }
        });
        address
    }

    fn peer(&self, address: SocketAddr, tls: Tls) -> Box<HttpPeer> {
        let host = Host::Ip(address.ip());
        let server = Server::net(Scheme::Https, host, address.port());
        let settings = Settings { servers: vec![server], tls, ..Settings::default() };
        let metrics = Metrics::new(BuildInfo { version: "0", commit: "" });
        let dns = Dns::new(NameServers::Given(Vec::new()), self.tasks.clone(), metrics.clone());
        let means = Means {
            dns,
            roots: SystemRoots::from_certs(vec![ca().der().clone()]),
            checks: Checks::new(&ServerConf::default(), self.tasks.clone()),
            sticky: StickyKey::new(&[0; StickyKey::LENGTH]),
        };
        let pool = Pool::build(settings, &means, &metrics.route("app"), None).expect("good settings");
        pool.pick(&Tried::default(), Wish::Any).expect("an address").peer()
    }
}

/// Why a connection cannot be made; `None` if it can.
async fn refused(peer: &HttpPeer) -> Option<String> {
    let connected = TransportConnector::new(None).new_stream(peer).await;
    connected.err().map(|error| error.to_string())
}

#[tokio::test]
async fn a_server_is_trusted_by_its_own_ca_and_by_no_other() {
    let rig = Rig::new();
    let address = rig.serve(false).await;
    let with = |tls| rig.peer(address, tls);
    let own = Tls { ca_file: rig.ca_file(), ..Tls::default() };
    assert_eq!(refused(&with(own.clone())).await, None, "verified by address");
    let named = Tls { server_name: Some("app.test".to_owned()), ..own.clone() };
    assert_eq!(refused(&with(named)).await, None);
    let misnamed = Tls { server_name: Some("other.test".to_owned()), ..own };
    assert!(refused(&with(misnamed)).await.is_some());
    let foreign = Tls { ca_file: Some(rig.file("other.pem", &ca().pem())), ..Tls::default() };
    assert!(refused(&with(foreign)).await.is_some());
    assert!(refused(&with(Tls::default())).await.is_some(), "the system does not know it");
}

#[tokio::test]
async fn without_verification_any_server_will_do() {
    let rig = Rig::new();
    let address = rig.serve(false).await;
    let peer = rig.peer(address, Tls { verify: false, ..Tls::default() });
    assert_eq!(refused(&peer).await, None);
}

#[tokio::test]
async fn a_kept_connection_is_not_used_by_who_would_not_trust_the_server() {
    let rig = Rig::new();
    let address = rig.serve(false).await;
    let right = rig.peer(address, Tls { ca_file: rig.ca_file(), ..Tls::default() });
    let wrong = Tls { ca_file: Some(rig.file("other.pem", &ca().pem())), ..Tls::default() };
    let wrong = rig.peer(address, wrong);
    let connector = TransportConnector::new(None);
    let keep = async |peer: &HttpPeer| {
        let (stream, reused) = connector.get_stream(peer).await.expect("a connection");
        connector.release_stream(stream, pingora::upstreams::peer::Peer::reuse_hash(peer), None);
        reused
    };
    assert!(!keep(&right).await);
    assert!(keep(&right).await, "there is a connection to ride on");
    assert!(connector.get_stream(&*wrong).await.is_err());
    assert!(keep(&right).await);

    let mut shared = wrong.clone();
    shared.group_key = right.group_key;
    assert!(keep(&shared).await, "without its own group key it would ride on it");
}

#[tokio::test]
async fn a_client_certificate_is_shown_to_a_server_that_asks() {
    let rig = Rig::new();
    let address = rig.serve(true).await;
    let tls = Tls { ca_file: rig.ca_file(), client: rig.client(), ..Tls::default() };
    let peer = rig.peer(address, tls);
    let (mut stream, _) = TransportConnector::new(None).get_stream(&*peer).await.expect("a connection");
    // In TLS 1.3 the server's refusal comes after the client's part of the handshake.
    let mut byte = [0];
    let greeted = stream.read(&mut byte).await;
    assert!(matches!(greeted, Ok(1)), "{greeted:?}");
}

#[tokio::test]
async fn a_server_that_asks_refuses_who_shows_nothing() {
    let rig = Rig::new();
    let address = rig.serve(true).await;
    let peer = rig.peer(address, Tls { ca_file: rig.ca_file(), ..Tls::default() });
    let connected = TransportConnector::new(None).get_stream(&*peer).await;
    let Ok((mut stream, _)) = connected else { return };
    let mut byte = [0];
    let ended = stream.read(&mut byte).await;
    assert!(!matches!(ended, Ok(1..)), "{ended:?}");
}
