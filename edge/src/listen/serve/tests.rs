//! The request loops over a socket, with an engine that panics when it is asked to.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use pingora::http::ResponseHeader;
use pingora::protocols::http::v2::server::default_h2_options;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::*;
use crate::conn::h2_guard::{H2Guard, H2Limits};
use crate::conn::stream::{Guard, StreamLimits};

struct Panics;

#[async_trait]
impl Engine for Panics {
    async fn serve(self: Arc<Self>, mut session: ServerSession, _: &ShutdownWatch) -> Option<ReusedHttpStream> {
        assert_ne!(session.req_header().uri.path(), "/panic", "as asked");
        let head = ResponseHeader::build(204, None).expect("a status");
        session.write_response_header(Box::new(head)).await.expect("the client reads");
        session.finish().await.expect("the client reads");
        None
    }
}

struct Silent;

impl Refuse for Silent {
    fn answer(&self, _: &ConnFacts, _: StreamFault) -> Bytes {
        Bytes::new()
    }

    fn note(&self, _: &ConnFacts, _: StreamFault) {}
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("it listens");
    (client, listener.accept().await.expect("a client").0)
}

async fn serve_h2(server: TcpStream, tasks: Tasks) {
    let conn = ConnFacts::of_a_test(1);
    let limits = ServeLimits {
        first_request: Duration::from_secs(10),
        keepalive: Duration::from_secs(75),
        keepalive_requests: 1_000,
        h2_idle: Duration::from_secs(120),
        h2_body: PaceLimits::default(),
        h2: default_h2_options(),
    };
    let (engine, refuse): (Arc<dyn Engine>, Arc<dyn Refuse>) = (Arc::new(Panics), Arc::new(Silent));
    let guard = Guard::H2(H2Guard::new(H2Limits::default()));
    let stream = Box::new(EdgeStream::new(server, Arc::clone(&conn), guard, StreamLimits::default()));
    let open = OpenConns::new(Instant::now());
    let (_stop, stopping) = watch::channel(false);
    let serving = Serving {
        engine: &engine,
        refuse: &refuse,
        conn: &conn,
        limits: &limits,
        heads: HeadLimits::default(),
        open: &open,
        tasks: &tasks,
        stop: stopping,
    };
    serving.h2(stream).await;
}

#[tokio::test]
async fn a_request_that_panics_is_counted_and_harms_no_other_of_its_connection() {
    let tasks = Tasks::new(Handle::current());
    let (client, server) = pair().await;
    tasks.spawn("connection", {
        let tasks = tasks.clone();
        move |_| serve_h2(server, tasks)
    });
    let (mut requests, connection) = h2::client::handshake(client).await.expect("HTTP/2");
    tasks.spawn("client", |_| async move { connection.await.expect("the connection ends well") });
    for (path, status) in [("/", Some(204)), ("/panic", None), ("/", Some(204))] {
        let request = http::Request::builder().uri(format!("http://a{path}")).body(()).expect("a request");
        requests = requests.ready().await.expect("the connection is open");
        let (answer, _) = requests.send_request(request, true).expect("a stream");
        assert_eq!(answer.await.ok().map(|answer| answer.status().as_u16()), status, "{path}");
    }
    assert_eq!(tasks.panics(), 1);
    drop(requests);
}

#[tokio::test]
async fn an_http2_connection_without_a_stream_is_told_to_go_after_two_minutes() {
    let tasks = Tasks::new(Handle::current());
    let (client, server) = pair().await;
    tasks.spawn("connection", {
        let tasks = tasks.clone();
        move |_| serve_h2(server, tasks)
    });
    let (mut requests, connection) = h2::client::handshake(client).await.expect("HTTP/2");
    let mut connection = std::pin::pin!(connection);
    let request = http::Request::builder().uri("http://a/").body(()).expect("a request");
    let (answer, _) = requests.send_request(request, true).expect("a stream");
    tokio::select! {
        answer = answer => assert_eq!(answer.expect("an answer").status(), 204),
        ended = &mut connection => panic!("too early: {ended:?}"),
    }
    tokio::time::pause();
    assert!(tokio::time::timeout(Duration::from_secs(110), &mut connection).await.is_err(), "still open");
    let ended = tokio::time::timeout(Duration::from_secs(30), &mut connection).await;
    assert!(ended.is_ok(), "nobody said that it is over");
}
