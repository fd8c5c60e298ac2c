//! An HTTPS server that is no good authority: error pages, limits, endless bodies, silence.
#![expect(clippy::unwrap_used, reason = "a test says what went wrong by panicking")]

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use acme::{Ca, Challenges, InstantCa, OrderError, OrderRequest, Settings};
use certs::{Issuer, LocalCa, RealDisk};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What it sends to whoever asks for anything; nothing at all if empty.
struct BadServer {
    folder: tempfile::TempDir,
    directory: String,
    _task: JoinSet<()>,
}

impl BadServer {
    async fn start(answer: Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ca, now) = (folder.path().join("local-ca"), SystemTime::now());
        let entry = LocalCa::open(&RealDisk, &ca, now).unwrap().issue("127.0.0.1", now).unwrap();
        assert_eq!(entry.issuer(), Issuer::Internal);
        let policy = certs::server_config::Policy {
            min: certs::server_config::MinVersion::Tls12,
            alpn: Vec::new(),
            tickets: None,
        };
        let config = policy.config(Arc::new(rustls::sign::SingleCertAndKey::from(entry.key().clone()))).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let directory = format!("https://{}/dir", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), answer));
        Self { folder, directory, _task: task }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("local-ca/root.pem")
    }

    fn ca(&self, ca_file: PathBuf) -> InstantCa {
        let settings = Settings {
            email: None,
            directory: self.directory.parse().unwrap(),
            ca_file: Some(ca_file),
            profile: None,
            eab: None,
        };
        InstantCa::new(settings, &self.state(), Arc::new(RealDisk), SystemTime::now)
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("acme")
    }

    async fn refused(&self) -> OrderError {
        let error = order(&self.ca(self.root())).await;
        assert!(fs::read_dir(self.state()).is_err(), "an account was written");
        error
    }
}

async fn order(ca: &InstantCa) -> OrderError {
    let order = OrderRequest::new("a.example.test", None).unwrap();
    ca.issue(&order, &Challenges::new()).await.unwrap_err()
}

async fn serve(listener: TcpListener, tls: TlsAcceptor, answer: Vec<u8>) {
    let mut open = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        let Ok(mut stream) = tls.accept(stream).await else { continue };
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        // The client hanging up in the middle is what some tests are about.
        let _ = stream.write_all(&answer).await;
        let _ = stream.flush().await;
        open.push(stream);
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn an_error_page_with_retry_after_says_how_long_to_wait() {
    let page = answer("503 Service Unavailable", "Retry-After: 7200\r\nContent-Type: text/html\r\n", "<h1>Down</h1>");
    let error = BadServer::start(page).await.refused().await;
    assert_eq!((error.kind(), error.retry_after()), ("unavailable", Some(Duration::from_secs(7200))));
    assert!(error.to_string().contains("status 503): an answer that is not ACME: <h1>Down</h1>"), "{error}");
}

#[tokio::test]
async fn a_limit_is_told_apart_and_its_wait_is_kept() {
    let body = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
    let error = BadServer::start(answer("429 Too Many", "Retry-After: 120\r\n", body)).await.refused().await;
    assert_eq!((error.kind(), error.retry_after()), ("rate_limited", Some(Duration::from_secs(120))));
    assert!(error.to_string().contains("too many"), "{error}");
}

#[tokio::test]
async fn a_page_that_is_no_directory_is_told_as_such() {
    let error = BadServer::start(answer("200 OK", "", "<h1>Welcome</h1>")).await.refused().await;
    assert_eq!(error.kind(), "protocol", "{error}");
    assert!(error.to_string().contains("check [acme] directory"));
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let mut endless = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n".to_vec();
    endless.resize(2 * 1024 * 1024, b' ');
    let error = BadServer::start(endless).await.refused().await;
    assert!(error.to_string().contains("limit"), "{error}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let server = BadServer::start(Vec::new()).await;
    // From here on time passes by itself as soon as everybody waits.
    tokio::time::pause();
    let error = server.refused().await;
    assert_eq!(error.kind(), "unreachable", "{error}");
}

#[tokio::test]
async fn roots_that_cannot_be_read_fail_the_order_alone_and_count_once_they_are_there() {
    let server = BadServer::start(answer("503 Service Unavailable", "", "down")).await;
    let roots = server.folder.path().join("late.pem");
    let ca = server.ca(roots.clone());
    for (text, said) in [(None, "cannot read"), (Some("no PEM"), "put the roots there as PEM")] {
        text.inspect(|text| fs::write(&roots, text).unwrap());
        let error = order(&ca).await;
        assert_eq!(error.kind(), "setup", "{error}");
        let sentence = error.to_string();
        assert!(["[acme] ca_file", "late.pem", said].iter().all(|part| sentence.contains(part)), "{sentence}");
    }
    fs::copy(server.root(), &roots).unwrap();
    assert_eq!(order(&ca).await.kind(), "unavailable", "the server is asked now");
}
