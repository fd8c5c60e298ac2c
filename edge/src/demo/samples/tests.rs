//! Every sample over plain sockets, with no edge in between.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio_tungstenite::tungstenite::Message;

use super::*;

struct Rig {
    tasks: Tasks,
    vars: Vec<(&'static str, String)>,
}

impl Rig {
    fn start() -> Self {
        let (tasks, bound) = (Tasks::new(Handle::current()), Bound::new().expect("loopback has free ports"));
        let vars = bound.vars();
        bound.serve(&tasks);
        Self { tasks, vars }
    }

    fn address(&self, var: &str) -> SocketAddr {
        let url = self.vars.iter().find(|(name, _)| *name == var).map(|(_, url)| url.as_str());
        url.and_then(|url| url.strip_prefix("http://")).and_then(|to| to.parse().ok()).expect("every sample has a URL")
    }

    async fn open(&self, var: &str, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address(var)).await.expect("the sample listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        stream
    }

    /// One request on a connection of its own: the whole answer, head and body.
    async fn ask(&self, var: &str, head: &str, body: &[u8]) -> String {
        let mut stream = self.open(var, &format!("{head}\r\nconnection: close\r\n\r\n")).await;
        stream.write_all(body).await.expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("the answer ends");
        String::from_utf8(answer).expect("samples speak text")
    }

    async fn page(&self, var: &str) -> String {
        self.ask(var, "GET / HTTP/1.1\r\nhost: x.localhost:8443", b"").await
    }
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(end.as_bytes()) {
        seen.push(stream.read_u8().await.expect("the stream goes on"));
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn every_page_is_whole_and_fetches_nothing_from_elsewhere() {
    let rig = Rig::start();
    for var in ["HELLO", "WS", "EVENTS", "UPLOAD"] {
        let answer = rig.page(var).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("</html>\n"), "{answer}");
        assert!(answer.contains("content-security-policy: default-src 'none'") && !answer.contains("{{"), "{answer}");
        assert!(!answer.contains("src=") && !answer.contains("http://") && answer.contains("light dark"), "{answer}");
    }
}

#[tokio::test]
async fn hello_links_every_other_sample_and_shows_what_it_was_told_as_text() {
    let rig = Rig::start();
    let head = "GET /any HTTP/1.1\r\nhost: hello.localhost:8443\r\nx-request-id: <b>7\r\nx-secret: no";
    let answer = rig.ask("HELLO", head, b"").await;
    for sample in SAMPLES.iter().filter(|sample| sample.name != "hello") {
        assert!(answer.contains(&format!("href=\"//{}.localhost:8443/\"", sample.name)), "{answer}");
    }
    assert!(answer.contains("<th>x-request-id</th><td>&lt;b&gt;7</td>") && !answer.contains("secret"), "{answer}");
}

#[tokio::test]
async fn echo_shows_the_request_line_and_every_header() {
    let rig = Rig::start();
    let head = "POST /a//b%2Fc?d=%20 HTTP/1.1\r\nhost: echo.localhost\r\nX-Two: 1\r\nx-two: 2\r\ncontent-length: 3";
    let answer = rig.ask("ECHO", head, b"abc").await;
    assert!(answer.contains("\r\n\r\nPOST /a//b%2Fc?d=%20 HTTP/1.1\n"), "{answer}");
    assert!(answer.contains("x-two: 1\nx-two: 2\n") && answer.ends_with("(3 bytes of body)\n"), "{answer}");
}

#[tokio::test]
async fn upload_counts_and_hashes_whatever_path_it_came_to() {
    let rig = Rig::start();
    // The sum is that of FIPS 180-2 for "abc".
    let sum = "3 bytes\nsha256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    for line in ["PUT /name.bin", "PUT /", "POST /"] {
        let answer = rig.ask("UPLOAD", &format!("{line} HTTP/1.1\r\nhost: u\r\ncontent-length: 3"), b"abc").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(sum), "{answer}");
    }
    let chunked = "PUT /x HTTP/1.1\r\nhost: u\r\ntransfer-encoding: chunked";
    assert!(rig.ask("UPLOAD", chunked, b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n").await.ends_with(sum));
}

#[tokio::test]
async fn upload_takes_more_than_the_usual_limit_of_a_body() {
    let rig = Rig::start();
    let body = vec![b'x'; 3 << 20];
    let answer = rig.ask("UPLOAD", "PUT /x HTTP/1.1\r\nhost: u\r\ncontent-length: 3145728", &body).await;
    assert!(answer.contains("\r\n\r\n3145728 bytes\n"), "{answer}");
}

#[tokio::test(start_paused = true)]
async fn events_come_one_by_one_and_end_when_the_demo_stops() {
    let rig = Rig::start();
    let mut stream = rig.open("EVENTS", "GET /stream HTTP/1.1\r\nhost: e\r\n\r\n").await;
    assert!(read_until(&mut stream, "\r\n\r\n").await.contains("content-type: text/event-stream"));
    for number in 1..=3 {
        assert!(read_until(&mut stream, "\n\n").await.contains(&format!("id: {number}\ndata: event {number}\n")));
    }
    rig.tasks.stop();
    read_until(&mut stream, "0\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_so_many_events_ends_after_them() {
    let rig = Rig::start();
    let answer = rig.ask("EVENTS", "GET /stream?count=2 HTTP/1.1\r\nhost: e", b"").await;
    assert!(answer.contains("data: event 2\n") && !answer.contains("event 3"), "{answer}");
    let strange = rig.ask("EVENTS", "GET /stream?count=-1 HTTP/1.1\r\nhost: e", b"").await;
    assert!(strange.starts_with("HTTP/1.1 400 "), "{strange}");
}

#[tokio::test]
async fn a_websocket_answers_every_message_until_the_demo_stops() {
    let rig = Rig::start();
    let url = format!("ws://{}/", rig.address("WS"));
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.expect("the handshake");
    for message in [Message::text("one"), Message::binary(vec![0, 1, 2])] {
        socket.send(message.clone()).await.expect("it reads");
        assert_eq!(socket.next().await.expect("open").expect("an answer"), message);
    }
    rig.tasks.stop();
    assert!(!matches!(socket.next().await, Some(Ok(_))));
    assert_eq!(rig.tasks.drain(Duration::from_secs(30)).await, Ok(()));
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_its_own_socket_only() {
    let rig = Rig::start();
    let url = format!("ws://{}/", rig.address("WS"));
    let (mut greedy, _) = tokio_tungstenite::connect_async(&url).await.expect("the handshake");
    // The write may fail as well: the server closes as soon as it has read the length.
    let _sent = greedy.send(Message::binary(vec![0; (1 << 20) + 1])).await;
    assert!(!matches!(greedy.next().await, Some(Ok(Message::Binary(_)))));
    let (mut modest, _) = tokio_tungstenite::connect_async(&url).await.expect("the handshake");
    modest.send(Message::text("still there")).await.expect("it reads");
    assert_eq!(modest.next().await.expect("open").expect("an answer"), Message::text("still there"));
}

#[tokio::test]
async fn once_greets_over_a_websocket_and_closes() {
    let rig = Rig::start();
    let head = "GET /once HTTP/1.1\r\nhost: w\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let mut stream = rig.open("WS", head).await;
    let answer = read_until(&mut stream, "\r\n\r\n").await;
    // The key and its answer are the example of RFC 6455.
    assert!(answer.starts_with("HTTP/1.1 101 ") && answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
    read_until(&mut stream, "hello through a WebSocket\n").await;
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("it closes");
    assert_eq!(rest.first(), Some(&0x88), "a close frame");
    let plain = rig.ask("WS", "GET /once HTTP/1.1\r\nhost: w", b"").await;
    assert!(plain.starts_with("HTTP/1.1 426 "), "{plain}");
}

#[tokio::test]
async fn a_body_that_breaks_off_harms_nobody() {
    let rig = Rig::start();
    for var in ["ECHO", "UPLOAD"] {
        let mut stream = rig.open(var, "PUT /x HTTP/1.1\r\nhost: u\r\ncontent-length: 10\r\n\r\nabc").await;
        stream.shutdown().await.expect("half closed");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.expect("it closes");
        let next = rig.ask(var, "PUT /x HTTP/1.1\r\nhost: u\r\ncontent-length: 3", b"abc").await;
        assert!(next.starts_with("HTTP/1.1 200 OK"), "{next}");
    }
    assert_eq!(rig.tasks.panics(), 0);
}
