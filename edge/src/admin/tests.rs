//! The whole admin side over real sockets.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::api::{Cert, Fault, Readiness, Reload, Route, RouteState, Session, Sessions, Status, Upstream};
use super::client::{self, ClientError};
use super::*;
use crate::telemetry::BuildInfo;

#[derive(Default)]
struct Fake {
    ready: AtomicBool,
}

#[async_trait]
impl Source for Fake {
    fn status(&self) -> Status {
        Status { version: "0.1.0".to_owned(), generation: 7, ..Status::default() }
    }

    fn routes(&self) -> Vec<Route> {
        let why = "no such middleware".to_owned();
        let faults = vec![Fault { file: "a.toml".to_owned(), line: 3, column: 1, why, ..Fault::default() }];
        vec![Route { name: "blog".to_owned(), state: RouteState::Rejected, faults, ..Route::default() }]
    }

    fn certs(&self) -> Vec<Cert> {
        vec![Cert { name: "blog.x".to_owned(), ..Cert::default() }]
    }

    fn upstreams(&self) -> Vec<Upstream> {
        vec![Upstream { server: "http://10.0.0.1:80".to_owned(), ..Upstream::default() }]
    }

    fn sessions(&self) -> Sessions {
        let session = Session { route: "db".to_owned(), database: "app".to_owned(), ..Session::default() };
        Sessions { count: 5, oldest: vec![session] }
    }

    fn ready(&self) -> Readiness {
        let ready = self.ready.load(Ordering::SeqCst);
        Readiness { ready, reasons: vec!["blog.x has a stand-in certificate".to_owned()] }
    }

    async fn reload(&self) -> Reload {
        Reload { applied: false, generation: 7, rejected: vec!["blog".to_owned()], ..Reload::default() }
    }
}

struct Rig {
    folder: tempfile::TempDir,
    address: SocketAddr,
    source: Arc<Fake>,
    tasks: Tasks,
}

impl Rig {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (source, tasks) = (Arc::<Fake>::default(), Tasks::new(Handle::current()));
        let settings = Settings {
            listen: Some((Ipv4Addr::LOCALHOST, 0).into()),
            hosts: vec!["edge.internal".to_owned()],
            socket: folder.path().join("edge.sock"),
        };
        let metrics = Metrics::new(BuildInfo { version: "0.1.0", commit: "abc" });
        let started = start(&settings, Arc::clone(&source) as _, metrics, &tasks).await;
        let address = started.expect("both are free").expect("TCP was asked for");
        Self { folder, address, source, tasks }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("edge.sock")
    }

    /// Sends a raw head and returns the whole answer.
    async fn raw(&self, head: &str) -> String {
        let (address, head) = (self.address, head.replace('\n', "\r\n"));
        let exchange = move || {
            let mut stream = TcpStream::connect(address).expect("it listens");
            write!(stream, "{head}\r\nConnection: close\r\n\r\n").expect("sent");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("text");
            answer
        };
        tokio::task::spawn_blocking(exchange).await.expect("no panic")
    }

    async fn get(&self, path: &str) -> String {
        self.raw(&format!("GET {path} HTTP/1.1\nHost: {}", self.address)).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_and_probes_get_their_answers() {
    let rig = Rig::start().await;
    let metrics = rig.get("/metrics").await;
    assert!(metrics.starts_with("HTTP/1.1 200") && metrics.contains("text/plain; version=0.0.4"));
    assert!(metrics.contains(r#"edge_build_info{commit="abc",version="0.1.0"} 1"#));
    assert!(rig.get("/healthz").await.starts_with("HTTP/1.1 200"));

    let not_ready = rig.get("/readyz").await;
    assert!(not_ready.starts_with("HTTP/1.1 503"), "{not_ready}");
    assert!(not_ready.contains("blog.x has a stand-in certificate"));
    rig.source.ready.store(true, Ordering::SeqCst);
    assert!(rig.get("/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(rig.get("/nothing").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_rejected_routes_and_lets_nothing_else_in() {
    let rig = Rig::start().await;
    let page = rig.get("/").await;
    assert!(page.contains("content-type: text/html; charset=utf-8"), "{page}");
    assert!(page.contains("default-src 'none'") && page.contains("cache-control: no-store"));
    assert!(page.contains("rejected") && page.contains("a.toml:3:1") && page.contains("no such middleware"));
    assert!(page.ends_with("</html>\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_another_site_can_neither_read_nor_reload() {
    let rig = Rig::start().await;
    let own = rig.address.to_string();
    let json = "Content-Type: application/json";
    for (head, status) in [
        ("GET /api/v1/status HTTP/1.1\nHost: evil.example".to_owned(), 421),
        ("GET /api/v1/status HTTP/1.1".to_owned(), 421),
        ("GET /api/v1/status HTTP/1.1\nHost: edge.internal".to_owned(), 200),
        (format!("POST /api/v1/reload HTTP/1.1\nHost: {own}\nContent-Type: text/plain"), 415),
        (format!("POST /api/v1/reload HTTP/1.1\nHost: {own}"), 415),
        (format!("POST /api/v1/reload HTTP/1.1\nHost: {own}\n{json}\nOrigin: http://evil.example"), 403),
        (format!("POST /api/v1/reload HTTP/1.1\nHost: {own}\n{json}\nOrigin: null"), 403),
        (format!("POST /api/v1/reload HTTP/1.1\nHost: {own}\n{json}\nOrigin: http://{own}"), 422),
        (format!("OPTIONS /api/v1/reload HTTP/1.1\nHost: {own}\nOrigin: http://evil.example"), 405),
        (format!("GET /api/v1/reload HTTP/1.1\nHost: {own}"), 405),
    ] {
        let answer = rig.raw(&head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}\n{answer}");
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
    }
}

#[tokio::test]
async fn the_command_line_reads_and_reloads_over_the_socket() {
    let rig = Rig::start().await;
    let socket = rig.socket();
    let status: Status = client::get(&socket, "/api/v1/status").await.expect("an answer");
    assert_eq!(status.generation, 7);
    let routes: Vec<Route> = client::get(&socket, "/api/v1/routes").await.expect("an answer");
    assert_eq!(routes, rig.source.routes());
    let certs: Vec<Cert> = client::get(&socket, "/api/v1/certs").await.expect("an answer");
    let upstreams: Vec<Upstream> = client::get(&socket, "/api/v1/upstreams").await.expect("an answer");
    assert_eq!((certs.len(), upstreams.len()), (1, 1));
    let sessions: Sessions = client::get(&socket, "/api/v1/sessions").await.expect("an answer");
    assert_eq!((sessions.count, &*sessions.oldest[0].database), (5, "app"));
    let reload: Reload = client::post(&socket, "/api/v1/reload").await.expect("a refusal is an answer");
    assert_eq!((reload.applied, reload.rejected.len()), (false, 1));
    let ready: Readiness = client::get(&socket, "/readyz").await.expect("a refusal is an answer");
    assert!(!ready.ready);
    let nothing = client::get::<Status>(&socket, "/nothing").await;
    assert!(matches!(nothing, Err(ClientError::Refused { .. })), "{nothing:?}");
}

#[tokio::test]
async fn after_a_stop_the_socket_is_gone_and_the_command_line_says_so() {
    let rig = Rig::start().await;
    let idle = tokio::net::TcpStream::connect(rig.address).await.expect("it listens");
    assert_eq!(rig.tasks.drain(Duration::from_secs(30)).await, Ok(()));
    drop(idle);
    let error = client::get::<Status>(&rig.socket(), "/api/v1/status").await.expect_err("nobody runs");
    let state = rig.folder.path().display();
    assert_eq!(
        error.to_string(),
        format!("no edge is running with the state folder {state}; start one with `edge run`")
    );
}

#[tokio::test]
async fn an_address_in_use_is_named_and_leaves_no_socket() {
    let rig = Rig::start().await;
    let socket = rig.folder.path().join("other.sock");
    let settings = Settings { listen: Some(rig.address), hosts: Vec::new(), socket: socket.clone() };
    let metrics = Metrics::new(BuildInfo { version: "0", commit: "" });
    let error = start(&settings, Arc::clone(&rig.source) as _, metrics, &rig.tasks).await.expect_err("in use");
    assert!(error.to_string().contains(&format!("{} cannot be listened on", rig.address)), "{error}");
    assert!(!socket.exists());
}
