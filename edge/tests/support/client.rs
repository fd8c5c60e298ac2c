//! An HTTP/1.1 client over TLS that checks certificates as a browser would and keeps its connection: for tests that
//! look at the certificate of a handshake, and for a loop of requests of which none may fail.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};

use super::process::{PATIENCE, eventually};

/// Whom a client believes.
#[derive(Clone)]
pub(crate) struct Trust(Arc<ClientConfig>);

impl Trust {
    /// The roots of these PEM texts. No session is resumed, so that each handshake shows a certificate.
    pub(crate) fn roots(pems: &[String]) -> Self {
        let mut roots = RootCertStore::empty();
        for pem in pems {
            for root in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                roots.add(root.expect("PEM")).expect("a root");
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Self(Arc::new(config))
    }
}

/// One connection.
pub(crate) struct Client {
    stream: BufReader<StreamOwned<ClientConnection, TcpStream>>,
    host: String,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The lines behind the first.
    pub(crate) fields: Vec<String>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Whether the field is there, whatever the case of its name and value.
    pub(crate) fn says(&self, field: &str) -> bool {
        self.fields.iter().any(|line| line.eq_ignore_ascii_case(field))
    }
}

impl Client {
    /// Connects, with its handshake. An error is the socket's or the certificate's.
    pub(crate) fn connect(to: SocketAddr, host: &str, trust: &Trust) -> io::Result<Self> {
        let socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::clone(&trust.0), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { stream: BufReader::new(stream), host: host.to_owned() })
    }

    /// The server's certificate.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        let chain = self.stream.get_ref().conn.peer_certificates();
        chain.and_then(|chain| chain.first()).map(|leaf| leaf.to_vec()).unwrap_or_default()
    }

    pub(crate) fn get(&mut self, path: &str) -> io::Result<Reply> {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host))?;
        self.reply()
    }

    pub(crate) fn send(&mut self, bytes: &str) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes.as_bytes())?;
        stream.flush()
    }

    /// The head of an answer; its body is left for [`Read`].
    pub(crate) fn head(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let first = lines.first().cloned().unwrap_or_default();
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("no status in {first:?}")))?;
        Ok(Reply { status, fields: lines.split_off(1), body: Vec::new() })
    }

    /// An answer with `Content-Length`.
    pub(crate) fn reply(&mut self) -> io::Result<Reply> {
        let mut reply = self.head()?;
        let fields = reply.fields.iter().filter_map(|line| line.split_once(": "));
        let length = fields.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
        reply.body = vec![0; length];
        self.stream.read_exact(&mut reply.body)?;
        Ok(reply)
    }

    /// What comes next of a body that has no stated length, to the end of what has arrived.
    pub(crate) fn more(&mut self) -> io::Result<String> {
        let bytes = self.stream.fill_buf()?.to_vec();
        self.stream.consume(bytes.len());
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads `count` bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

/// A client that asks the same thing again and again, on fresh and on kept connections, and notes what fails.
pub(crate) struct Loop {
    ended: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

/// Requests on one connection of a loop.
const KEPT: usize = 5;

impl Loop {
    /// Begins to ask `host` for `/`; each answer must be 200.
    pub(crate) fn start(to: SocketAddr, host: &str, trust: &Trust) -> Self {
        let (ended, answered, failures) = (Arc::default(), Arc::default(), Arc::default());
        let mut this = Self { ended, answered, failures, thread: None };
        let (ended, answered, failures) = (this.ended.clone(), this.answered.clone(), this.failures.clone());
        let (host, trust) = (host.to_owned(), trust.clone());
        this.thread = Some(thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                if let Err(why) = round(to, &host, &trust, &answered) {
                    failures.lock().expect("no client panics").push(why);
                }
            }
        }));
        this
    }

    /// Waits until this many more requests are answered.
    #[track_caller]
    pub(crate) fn goes_on(&self, more: usize) {
        let goal = self.answered.load(Ordering::SeqCst) + more;
        let failed = || self.failures.lock().is_ok_and(|failures| failures.len() > 3);
        eventually("the client loop goes on", || self.answered.load(Ordering::SeqCst) >= goal || failed());
    }

    /// Ends it: how many requests were answered. Fails the test if one was not.
    #[track_caller]
    pub(crate) fn end_without_failure(mut self) -> usize {
        self.ended.store(true, Ordering::SeqCst);
        self.thread.take().map(JoinHandle::join);
        let failures = self.failures.lock().expect("no client panics");
        assert!(failures.is_empty(), "{} requests failed, first: {:?}", failures.len(), failures.first());
        self.answered.load(Ordering::SeqCst)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn round(to: SocketAddr, host: &str, trust: &Trust, answered: &AtomicUsize) -> Result<(), String> {
    let mut client = Client::connect(to, host, trust).map_err(|error| format!("connect: {error}"))?;
    for turn in 0..KEPT {
        let reply = client.get("/").map_err(|error| format!("request {turn} of a connection: {error}"))?;
        if reply.status != 200 {
            return Err(format!("status {}: {}", reply.status, String::from_utf8_lossy(&reply.body)));
        }
        answered.fetch_add(1, Ordering::SeqCst);
    }
    Ok(())
}
