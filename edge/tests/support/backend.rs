//! HTTP/1.1 servers that do exactly what a test tells them, well-behaved or not. They speak over plain
//! sockets with a thread for each connection, so that nothing corrects what the script sends.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use tokio_tungstenite::tungstenite;

/// A server on a port of loopback; it and its connections end when this is dropped.
pub(crate) struct Backend {
    address: SocketAddr,
    seen: Arc<Seen>,
}

/// What a backend has seen.
#[derive(Default)]
pub(crate) struct Seen {
    accepted: AtomicUsize,
    open: AtomicUsize,
    requests: AtomicUsize,
    body_bytes: AtomicUsize,
    sent: AtomicUsize,
    heads: Mutex<Vec<String>>,
    trailers: Mutex<Vec<String>>,
    streams: Mutex<Vec<TcpStream>>,
    stopped: AtomicBool,
}

/// What becomes of a connection after an answer.
pub(crate) enum Then {
    Keep,
    Close,
}

/// One request whose head has been read, and the way to answer it.
pub(crate) struct Exchange<'a> {
    /// The exact bytes up to and with the empty line.
    pub(crate) head: String,
    stream: &'a mut BufReader<TcpStream>,
    seen: &'a Seen,
}

impl Backend {
    /// Calls `script` for every request of every connection.
    pub(crate) fn start(script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), script)
    }

    /// The same at a given address.
    pub(crate) fn start_at(
        address: SocketAddr,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        Self::serve(address, move |stream, seen| converse(stream, seen, &script))
    }

    /// The same on what listens already.
    pub(crate) fn start_on(
        listener: TcpListener,
        script: impl Fn(&mut Exchange<'_>) -> io::Result<Then> + Send + Sync + 'static,
    ) -> Self {
        Self::serve_on(listener, move |stream, seen| converse(stream, seen, &script))
    }

    /// Answers 200 with the exact head of the request as the body; `x-body-bytes` is the length of the
    /// body that came with it.
    pub(crate) fn echo() -> Self {
        Self::start(|exchange| {
            let body = exchange.drain()?;
            let head = exchange.head.clone();
            exchange.answer(
                "200 OK",
                &[("content-type", "text/plain"), ("x-body-bytes", &body.to_string())],
                head.as_bytes(),
            )
        })
    }

    /// Answers everything with this text.
    pub(crate) fn hello(text: &'static str) -> Self {
        Self::start(move |exchange| {
            exchange.drain()?;
            exchange.answer("200 OK", &[("content-type", "text/plain")], text.as_bytes())
        })
    }

    /// Sends these bytes whatever was asked, then closes.
    pub(crate) fn raw(bytes: &'static [u8]) -> Self {
        Self::start(move |exchange| {
            exchange.drain()?;
            exchange.send(bytes)?;
            Ok(Then::Close)
        })
    }

    /// Promises 1,000 bytes, sends 10 and closes.
    pub(crate) fn dies_mid_body() -> Self {
        Self::raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n0123456789")
    }

    /// Sends one chunk and closes without the last, empty one.
    pub(crate) fn dies_mid_chunks() -> Self {
        Self::raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\na\r\n0123456789\r\n")
    }

    /// Takes the request and closes without an answer.
    pub(crate) fn says_nothing() -> Self {
        Self::raw(b"")
    }

    /// Sends `length` bytes of body without holding them.
    pub(crate) fn source(length: usize) -> Self {
        Self::start(move |exchange| {
            exchange.send(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())?;
            let block = [b'x'; 16 * 1024];
            for from in (0..length).step_by(block.len()) {
                exchange.send(&block[..block.len().min(length - from)])?;
            }
            Ok(Then::Keep)
        })
    }

    /// Answers a request once the test sends through the returned end: each piece is one chunk of the
    /// body, and dropping the sender ends it. The head goes out at once. One request at a time.
    pub(crate) fn streaming(content_type: &'static str) -> (Self, Sender<Vec<u8>>) {
        let (sender, pieces) = channel::<Vec<u8>>();
        let pieces = Mutex::new(pieces);
        let backend = Self::start(move |exchange| {
            exchange.drain()?;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n");
            exchange.send(head.as_bytes())?;
            for piece in next_pieces(&pieces) {
                exchange.send(&[format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat())?;
            }
            exchange.send(b"0\r\n\r\n")?;
            Ok(Then::Keep)
        });
        (backend, sender)
    }

    /// Server-sent events: each piece that the test sends is to be one whole event.
    pub(crate) fn events() -> (Self, Sender<Vec<u8>>) {
        Self::streaming("text/event-stream")
    }

    /// Holds each request until the test sends the text to answer it with.
    pub(crate) fn held() -> (Self, Sender<String>) {
        let (sender, answers) = channel::<String>();
        let answers = Mutex::new(answers);
        let backend = Self::start(move |exchange| {
            exchange.drain()?;
            let answer = answers.lock().expect("no script panics").recv().map_err(io::Error::other)?;
            exchange.answer("200 OK", &[], answer.as_bytes())
        });
        (backend, sender)
    }

    /// Sends every WebSocket message back; answers nothing but a handshake.
    pub(crate) fn websocket() -> Self {
        Self::serve((Ipv4Addr::LOCALHOST, 0).into(), |stream, _| {
            let Ok(mut socket) = tungstenite::accept(stream) else { return };
            while let Ok(message) = socket.read() {
                let data = message.is_text() || message.is_binary();
                if data && socket.send(message).is_err() {
                    return;
                }
            }
        })
    }

    /// Any bytes: `talk` owns each connection.
    pub(crate) fn serve(address: SocketAddr, talk: impl Fn(TcpStream, &Seen) + Send + Sync + 'static) -> Self {
        Self::serve_on(TcpListener::bind(address).expect("the address is free"), talk)
    }

    fn serve_on(listener: TcpListener, talk: impl Fn(TcpStream, &Seen) + Send + Sync + 'static) -> Self {
        let address = listener.local_addr().expect("a bound socket has an address");
        let seen = Arc::new(Seen::default());
        let (talk, counters) = (Arc::new(talk), Arc::clone(&seen));
        thread::spawn(move || accept(&listener, &counters, &talk));
        Self { address, seen }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// As a route's `upstream`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections that were ever accepted.
    pub(crate) fn accepted(&self) -> usize {
        self.seen.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn open(&self) -> usize {
        self.seen.open.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::SeqCst)
    }

    /// Bytes of request bodies that have arrived, also of bodies still under way.
    pub(crate) fn body_bytes(&self) -> usize {
        self.seen.body_bytes.load(Ordering::SeqCst)
    }

    /// Bytes that scripts have sent.
    pub(crate) fn sent(&self) -> usize {
        self.seen.sent.load(Ordering::SeqCst)
    }

    /// The fields behind all chunked bodies so far, exact.
    pub(crate) fn trailers(&self) -> Vec<String> {
        self.seen.trailers.lock().expect("no script panics").clone()
    }

    /// The heads of all requests so far, exact.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().expect("no script panics").clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.seen.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        for stream in self.seen.streams.lock().expect("no script panics").drain(..) {
            drop(stream.shutdown(Shutdown::Both));
        }
    }
}

fn accept<T: Fn(TcpStream, &Seen) + Send + Sync + 'static>(listener: &TcpListener, seen: &Arc<Seen>, talk: &Arc<T>) {
    for stream in listener.incoming().flatten() {
        if seen.stopped.load(Ordering::SeqCst) {
            return;
        }
        seen.accepted.fetch_add(1, Ordering::SeqCst);
        seen.open.fetch_add(1, Ordering::SeqCst);
        seen.streams.lock().expect("no script panics").extend(stream.try_clone());
        let (seen, talk) = (Arc::clone(seen), Arc::clone(talk));
        thread::spawn(move || {
            let closer = stream.try_clone();
            talk(stream, &seen);
            // The clone kept for the end would hold the connection open.
            drop(closer.map(|stream| stream.shutdown(Shutdown::Both)));
            seen.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

fn converse(stream: TcpStream, seen: &Seen, script: &impl Fn(&mut Exchange<'_>) -> io::Result<Then>) {
    drop(stream.set_nodelay(true));
    let mut stream = BufReader::new(stream);
    while let Ok(Some(head)) = read_head(&mut stream) {
        seen.requests.fetch_add(1, Ordering::SeqCst);
        seen.heads.lock().expect("no script panics").push(head.clone());
        let mut exchange = Exchange { head, stream: &mut stream, seen };
        if !matches!(script(&mut exchange), Ok(Then::Keep)) {
            return;
        }
    }
}

/// The head as it came; `None` at the end of the connection.
fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read_until(b'\n', &mut head)? == 0 {
            return Ok(None);
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

fn next_pieces(pieces: &Mutex<Receiver<Vec<u8>>>) -> impl Iterator<Item = Vec<u8>> {
    std::iter::from_fn(|| pieces.lock().expect("no script panics").recv().ok())
}

impl Exchange<'_> {
    /// The first line of the head: method, target and version.
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// The first field of that name, whatever its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields
            .map(|(key, value)| (key, value.trim()))
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)?;
        self.seen.sent.fetch_add(bytes.len(), Ordering::SeqCst);
        Ok(())
    }

    /// A whole answer with its length.
    pub(crate) fn answer(&mut self, status: &str, fields: &[(&str, &str)], body: &[u8]) -> io::Result<Then> {
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n", body.len());
        let body = if self.line().starts_with("HEAD ") { &[] } else { body };
        self.send(&[head.as_bytes(), body].concat())?;
        Ok(Then::Keep)
    }

    /// Reads the body to its end and says how long it was. `Expect: 100-continue` is answered first.
    pub(crate) fn drain(&mut self) -> io::Result<usize> {
        self.read_body(&mut io::sink())
    }

    /// Reads and forgets whatever comes, until the other side hangs up.
    pub(crate) fn until_end(&mut self) -> io::Result<u64> {
        io::copy(&mut self.stream, &mut io::sink())
    }

    /// The body in memory, for tests that send small ones.
    pub(crate) fn body(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.read_body(&mut body)?;
        Ok(body)
    }

    fn read_body(&mut self, into: &mut impl Write) -> io::Result<usize> {
        if self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if self.header("transfer-encoding").is_some() {
            return self.read_chunks(into);
        }
        let length = self.header("content-length").map_or(Ok(0), str::parse).map_err(io::Error::other)?;
        self.copy(length, into)
    }

    fn read_chunks(&mut self, into: &mut impl Write) -> io::Result<usize> {
        let mut total = 0;
        loop {
            let size = usize::from_str_radix(self.text_line()?.split(';').next().unwrap_or_default().trim(), 16);
            let size = size.map_err(io::Error::other)?;
            if size == 0 {
                loop {
                    let line = self.text_line()?;
                    if line.trim().is_empty() {
                        return Ok(total);
                    }
                    self.seen.trailers.lock().expect("no script panics").push(line);
                }
            }
            total += self.copy(size, into)?;
            self.text_line()?;
        }
    }

    fn text_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line),
        }
    }

    fn copy(&mut self, length: usize, into: &mut impl Write) -> io::Result<usize> {
        let mut block = vec![0; 64 * 1024];
        let mut left = length;
        while left > 0 {
            let most = block.len().min(left);
            let count = self.stream.read(&mut block[..most])?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            into.write_all(&block[..count])?;
            self.seen.body_bytes.fetch_add(count, Ordering::SeqCst);
            left -= count;
        }
        Ok(length)
    }
}
