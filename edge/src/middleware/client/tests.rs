//! The client before servers that answer well, slowly, at length or not at all.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use http::header::AUTHORIZATION;

use super::*;

/// A server that answers each request of each connection with these bytes; none is silence. The second value counts
/// its connections.
fn server(answer: Option<&'static [u8]>) -> (Uri, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let uri = format!("http://{}/x?y=1", listener.local_addr().expect("it is bound")).parse().expect("a URI");
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::SeqCst);
            thread::spawn(move || {
                let mut block = [0; 4096];
                while stream.read(&mut block).is_ok_and(|count| count > 0) {
                    if answer.is_some_and(|answer| stream.write_all(answer).is_err()) {
                        return;
                    }
                }
            });
        }
    });
    (uri, accepted)
}

fn client(deadline: Duration) -> Client {
    Client::new(&Settings { ca_file: None, deadline, body: 10 }).expect("no file")
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn answers_come_whole_over_one_connection() {
    let (uri, accepted) = server(Some(b"HTTP/1.1 403 No\r\nx-a: b\r\ncontent-length: 5\r\n\r\nhello"));
    let client = client(LONG);
    for _ in 0..3 {
        let fields = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static("Basic x"))]);
        let answer = client.get(&uri, fields).await.expect("an answer");
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-a"]), (403, &HeaderValue::from_static("b")));
        assert_eq!(answer.body().as_ref(), b"hello");
    }
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    let posted = client.post(&uri, HeaderMap::new(), kind, "a=b").await.expect("an answer");
    assert_eq!(posted.body().as_ref(), b"hello");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn what_is_no_whole_answer_in_time_is_an_error() {
    let told: [(Option<&'static [u8]>, &str); 5] = [
        (Some(b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world"), "more than 10 bytes"),
        (
            Some(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n"),
            "more than 10 bytes",
        ),
        (Some(b"SSH-2.0-x\r\n\r\n"), "cannot be asked"),
        (Some(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"), "broke off"),
        (None, "no whole answer within 100ms"),
    ];
    for (answer, wanted) in told {
        let deadline = if answer.is_some() { LONG } else { Duration::from_millis(100) };
        let error = client(deadline).get(&server(answer).0, HeaderMap::new()).await.expect_err(wanted);
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let uri = format!("http://{nobody}/").parse().expect("a URI");
    let error = client(LONG).get(&uri, HeaderMap::new()).await.expect_err("nobody listens");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[test]
fn authorities_that_cannot_be_used_are_told() {
    let dir = tempfile::tempdir().expect("a folder");
    let settings = |name: &str| Settings { ca_file: Some(dir.path().join(name)), deadline: LONG, body: 10 };
    fs::write(dir.path().join("empty"), "no PEM").expect("a file");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fs::write(dir.path().join("broken"), broken).expect("a file");
    for (name, wanted) in [("none", "cannot be read"), ("empty", "no certificate"), ("broken", "cannot be used")] {
        let error = Client::new(&settings(name)).expect_err(name);
        assert!(error.to_string().contains(wanted), "{error}");
    }
}
