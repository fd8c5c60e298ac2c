//! Clients that send exactly what a test says, over TCP or TLS, and show byte by byte what comes back.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, StreamOwned,
    SupportedProtocolVersion,
};

use super::edge::TestEdge;
use super::process::PATIENCE;

/// One connection to the edge.
pub(crate) struct Wire {
    stream: Stream,
    /// Bytes that came and were not asked for yet.
    ahead: Vec<u8>,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// One answer as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Up to and with the empty line.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// The first field of that name, which is given in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        fields.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Wire {
    /// Plain TCP to an address.
    #[track_caller]
    pub(crate) fn tcp(address: SocketAddr) -> Self {
        Self { stream: Stream::Tcp(tcp(address)), ahead: Vec::new() }
    }

    /// Plain TCP to the entrypoint `http`.
    #[track_caller]
    pub(crate) fn http(edge: &TestEdge) -> Self {
        Self::tcp(edge.address("http"))
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the edge reads");
    }

    /// As [`Self::send`], for a client that expects to be cut off.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes.as_ref()),
            Stream::Tls(stream) => stream.write_all(bytes.as_ref()).and_then(|()| stream.flush()),
        }
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) {
        let socket = match &mut self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                drop(stream.flush());
                &mut stream.sock
            }
        };
        drop(socket.shutdown(Shutdown::Write));
    }

    /// Reads one answer with its body; `HEAD` and `101` have none.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Reply {
        let head = self.until(b"\r\n\r\n");
        let head = String::from_utf8_lossy(&head).into_owned();
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
        let mut reply = Reply { status, head, body: Vec::new() };
        if reply.header("transfer-encoding").is_some() {
            reply.body = self.chunks();
        } else if let Some(length) = reply.header("content-length").and_then(|value| value.parse().ok()) {
            reply.body = self.exactly(length);
        }
        reply
    }

    #[track_caller]
    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let line = String::from_utf8_lossy(&self.until(b"\r\n")).into_owned();
            let size = usize::from_str_radix(line.trim(), 16).unwrap_or_else(|_| panic!("no chunk size: {line:?}"));
            body.extend(self.exactly(size));
            self.until(b"\r\n");
            if size == 0 {
                return body;
            }
        }
    }

    /// Reads so many bytes.
    #[track_caller]
    pub(crate) fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.ahead.len() < length {
            assert!(self.more(), "the edge closed after {:?}", self.ahead.escape_ascii().to_string());
        }
        self.ahead.drain(..length).collect()
    }

    /// As [`Self::exactly`]; none when the edge closes before.
    #[track_caller]
    pub(crate) fn exactly_or_end(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.ahead.len() < length {
            if !self.more() {
                return None;
            }
        }
        Some(self.ahead.drain(..length).collect())
    }

    /// Reads up to and with `end`.
    #[track_caller]
    pub(crate) fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.ahead.windows(end.len()).position(|window| window == end) {
                return self.ahead.drain(..at + end.len()).collect();
            }
            assert!(self.more(), "the edge closed after {:?}", self.ahead.escape_ascii().to_string());
        }
    }

    /// Everything until the edge closes, which it must.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.more() {}
        std::mem::take(&mut self.ahead)
    }

    /// What comes first: the end of a head, or of the connection.
    #[track_caller]
    pub(crate) fn rest_or_answer(&mut self) -> Vec<u8> {
        while !self.ahead.windows(4).any(|window| window == b"\r\n\r\n") && self.more() {}
        std::mem::take(&mut self.ahead)
    }

    /// Reads more; false when the edge has closed.
    #[track_caller]
    pub(crate) fn more(&mut self) -> bool {
        self.try_more().unwrap_or_else(|| {
            panic!("the edge neither answers nor closes after {:?}", self.ahead.escape_ascii().to_string())
        })
    }

    /// Whether there is something to read, the end included, at once or within that time.
    pub(crate) fn hears(&mut self, time: Duration) -> bool {
        if !self.ahead.is_empty() {
            return true;
        }
        self.socket().set_read_timeout(Some(time)).expect("a time");
        let heard = self.try_more().is_some();
        self.socket().set_read_timeout(Some(PATIENCE)).expect("a time");
        heard
    }

    /// As [`Self::more`]; none if nothing comes in time.
    fn try_more(&mut self) -> Option<bool> {
        let mut block = [0; 16 * 1024];
        let read = match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut block),
            Stream::Tls(stream) => stream.read(&mut block),
        };
        match read {
            Ok(0) => Some(false),
            Ok(count) => {
                self.ahead.extend(&block[..count]);
                Some(true)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => None,
            // A reset, or a TLS connection that ends without its farewell.
            Err(_) => Some(false),
        }
    }

    fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    fn tls(&self) -> &ClientConnection {
        match &self.stream {
            Stream::Tcp(_) => panic!("not a TLS connection"),
            Stream::Tls(stream) => &stream.conn,
        }
    }

    pub(crate) fn alpn(&self) -> Option<&[u8]> {
        self.tls().alpn_protocol()
    }

    pub(crate) fn version(&self) -> Option<ProtocolVersion> {
        self.tls().protocol_version()
    }

    pub(crate) fn group(&self) -> Option<NamedGroup> {
        self.tls().negotiated_key_exchange_group().map(|group| group.name())
    }

    pub(crate) fn is_resumed(&self) -> bool {
        self.tls().handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

#[track_caller]
fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the edge listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.set_write_timeout(Some(PATIENCE)).expect("a time");
    stream.set_nodelay(true).expect("TCP");
    stream
}

/// A TLS client that trusts the edge's own authority. Its connections share their tickets.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: ClientConfig,
    shared: Arc<ClientConfig>,
    address: SocketAddr,
}

impl TlsClient {
    /// To the entrypoint `https`.
    #[track_caller]
    pub(crate) fn new(edge: &TestEdge) -> Self {
        Self::speaking(edge, aws_lc_rs::default_provider(), rustls::DEFAULT_VERSIONS)
    }

    /// To the entrypoint `https`, with these key exchanges and versions.
    #[track_caller]
    pub(crate) fn speaking(
        edge: &TestEdge,
        provider: CryptoProvider,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(edge.path("state/local-ca/root.pem")).expect("the edge made it");
        roots.add(root).expect("it is a CA");
        let config = ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions);
        let config = config.expect("the provider has them").with_root_certificates(roots).with_no_client_auth();
        Self { shared: Arc::new(config.clone()), config, address: edge.address("https") }
    }

    /// The same with other settings.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut ClientConfig)) -> Self {
        change(&mut self.config);
        self.shared = Arc::new(self.config.clone());
        self
    }

    pub(crate) fn alpn(self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self.with(|config| config.alpn_protocols = protocols)
    }

    pub(crate) fn to(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Shakes hands as a client that wants `name`.
    pub(crate) fn try_connect(&self, name: &str) -> Result<Wire, rustls::Error> {
        self.connect_after(name, b"")
    }

    /// As [`Self::try_connect`], with bytes in clear before the handshake.
    pub(crate) fn connect_after(&self, name: &str, before: &[u8]) -> Result<Wire, rustls::Error> {
        let mut socket = tcp(self.address);
        socket.write_all(before).expect("the edge reads");
        self.shake(name, socket)
    }

    /// TLS on a connection on which both sides have spoken in clear and agreed on it.
    pub(crate) fn over(&self, name: &str, wire: Wire) -> Result<Wire, rustls::Error> {
        assert!(wire.ahead.is_empty(), "the edge spoke before the handshake: {:?}", wire.ahead);
        match wire.stream {
            Stream::Tcp(socket) => self.shake(name, socket),
            Stream::Tls(_) => panic!("it is TLS already"),
        }
    }

    fn shake(&self, name: &str, mut socket: TcpStream) -> Result<Wire, rustls::Error> {
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut session = ClientConnection::new(Arc::clone(&self.shared), name)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket).map_err(|error| {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
                cause.cloned().unwrap_or_else(|| rustls::Error::General(error.to_string()))
            })?;
        }
        Ok(Wire { stream: Stream::Tls(Box::new(StreamOwned::new(session, socket))), ahead: Vec::new() })
    }

    #[track_caller]
    pub(crate) fn connect(&self, name: &str) -> Wire {
        self.try_connect(name).unwrap_or_else(|error| panic!("no TLS for {name}: {error}"))
    }
}
