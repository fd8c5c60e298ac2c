//! A route with a preset before a stand-in, and what stand-ins have in common.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Mutex, PoisonError};

use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{accept_hdr, http::StatusCode};

use super::backend::{Backend, Exchange, Then};
use super::edge::TestEdge;

pub(crate) const PROTOCOLS: [&str; 2] = ["--http1.1", "--http2"];

/// A route for `PRESET.test` that is the host, the preset and the upstream, and `more`.
pub(crate) fn route(preset: &str, upstream: &str, more: &str) -> String {
    format!("[[route]]\nhost = \"{preset}.test\"\npreset = \"{preset}\"\nupstream = \"{upstream}\"\n{more}\n")
}

/// An edge with that route alone.
#[track_caller]
pub(crate) fn before(preset: &str, upstream: &str, more: &str) -> TestEdge {
    TestEdge::with_routes(&[("preset.toml", &route(preset, upstream, more))])
}

/// A whole answer in text.
pub(crate) fn say(exchange: &mut Exchange<'_>, status: &str, fields: &[(&str, &str)], body: &str) -> io::Result<Then> {
    exchange.drain()?;
    exchange.answer(status, fields, body.as_bytes())
}

/// Scheme and authority as a server puts them into its own addresses, told by the headers of its proxy.
pub(crate) fn own_address(exchange: &Exchange<'_>) -> String {
    let scheme = exchange.header("x-forwarded-proto").unwrap_or("http");
    format!("{scheme}://{}", exchange.header("host").unwrap_or_default())
}

/// Answers with a chunk for each piece that the test sends, until the test drops its end.
pub(crate) fn stream(exchange: &mut Exchange<'_>, kind: &str, pieces: &Mutex<Receiver<Vec<u8>>>) -> io::Result<Then> {
    exchange.drain()?;
    exchange
        .send(format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n").as_bytes())?;
    let pieces = pieces.lock().unwrap_or_else(PoisonError::into_inner);
    for piece in pieces.iter() {
        exchange.send(&[format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat())?;
    }
    exchange.send(b"0\r\n\r\n")?;
    Ok(Then::Keep)
}

/// Asks with curl and sends each piece only when the client has the one before: fails where something holds them back.
#[track_caller]
pub(crate) fn pieces_pass_one_by_one(edge: &TestEdge, url: &str, args: &[&str], pieces: Sender<Vec<u8>>) {
    let mut curl = Command::new("curl")
        .args(["-q", "--silent", "--no-buffer", "--insecure", "--max-time", "60", "--connect-to"])
        .args([&format!("::{}", edge.address("https")), url])
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("curl is there");
    let mut lines = BufReader::new(curl.stdout.take().expect("it is piped")).lines();
    for number in 0..4 {
        pieces.send(format!("{{\"piece\":{number}}}\n").into_bytes()).expect("the stand-in waits");
        let line = lines.next().expect("the stream goes on").expect("text");
        assert_eq!(line, format!("{{\"piece\":{number}}}"), "{args:?}");
    }
    drop(pieces);
    assert!(lines.next().is_none(), "the end passes too");
    assert!(curl.wait().expect("it ends").success());
}

/// A server of WebSockets that echoes, for pages of one origin alone if one is given; every other request gets 200 and its
/// own head.
pub(crate) fn sockets(origin: Option<&'static str>) -> Backend {
    Backend::serve((Ipv4Addr::LOCALHOST, 0).into(), move |stream, _| {
        // A connection that ends early has nothing to be told.
        let _ = talk(stream, origin);
    })
}

fn talk(mut stream: TcpStream, origin: Option<&'static str>) -> io::Result<()> {
    let mut block = [0; 16 * 1024];
    let head = loop {
        let count = stream.peek(&mut block)?;
        let head = String::from_utf8_lossy(&block[..count]).into_owned();
        if count == 0 || head.contains("\r\n\r\n") {
            break head;
        }
    };
    if !head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n") {
        let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{head}", head.len());
        return stream.write_all(answer.as_bytes());
    }
    #[expect(clippy::result_large_err, reason = "the callback's type is the library's")]
    let judge = move |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let given = request.headers().get("origin").map(|value| value.as_bytes());
        if origin.is_none_or(|origin| given == Some(origin.as_bytes())) {
            return Ok(response);
        }
        let mut refusal = ErrorResponse::new(Some("origin not allowed".to_owned()));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        Err(refusal)
    };
    let mut socket = accept_hdr(stream, judge).map_err(io::Error::other)?;
    let _ = socket.send(head.into());
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            break;
        }
    }
    Ok(())
}
