//! Takes connections in: caps, PROXY header, TLS or plain HTTP, all under one deadline, then the request loops.
//!
//! One per entrypoint. What it refuses it counts; it never decides on a request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use pingora::server::ShutdownWatch;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::caps::{CapFault, Caps, Permit};
use super::open::OpenConns;
use super::proxy_header;
use super::serve::{Engine, ServeLimits, Serving};
use super::tls::{self, Certificates, TlsFault};
use crate::conn::control::Control;
use crate::conn::facts::{ConnFacts, Protocol, TlsFacts};
use crate::conn::h1_guard::H1Guard;
use crate::conn::h2_guard::{H2Guard, H2Limits};
use crate::conn::stream::{EdgeStream, Guard, Refuse, StreamLimits};
use crate::snapshot::Live;
use crate::tasks::Tasks;
use crate::telemetry::{Metrics, events};

/// What an entrypoint speaks and whom it believes.
#[derive(Debug, Clone)]
pub struct Entrypoint {
    /// Its name, the label in logs and metrics.
    pub name: Arc<str>,
    /// The TLS settings; none for plain HTTP.
    pub tls: Option<Arc<ServerConfig>>,
    /// Peers whose PROXY header and forwarding headers are believed.
    pub trusted_proxies: Arc<[IpNet]>,
    /// Whether every connection begins with a PROXY header.
    pub proxy_protocol: bool,
}

/// Time and size limits of connections.
#[derive(Debug, Clone)]
pub struct DoorLimits {
    /// From the accept to the end of the TLS handshake.
    pub handshake: Duration,
    /// Frames on HTTP/2.
    pub h2: H2Limits,
    /// Pace of bodies and tunnels.
    pub stream: StreamLimits,
    /// The request loops.
    pub serve: ServeLimits,
}

/// What all entrypoints share.
pub struct Shared {
    /// Serves requests.
    pub engine: Arc<dyn Engine>,
    /// Words for what never reaches the engine.
    pub refuse: Arc<dyn Refuse>,
    /// Chooses certificates.
    pub certificates: Arc<dyn Certificates>,
    /// Counts connections.
    pub caps: Arc<Caps>,
    /// Knows them.
    pub open: Arc<OpenConns>,
    /// Limits of each.
    pub limits: DoorLimits,
    /// Whose routes say how large a head may be.
    pub live: Arc<Live>,
    /// Owns their tasks.
    pub tasks: Tasks,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Turns true when the edge stops.
    pub stop: ShutdownWatch,
    /// The number of the next connection.
    pub next_id: AtomicU64,
}

/// The front door of one entrypoint.
pub struct FrontDoor {
    entrypoint: Entrypoint,
    shared: Arc<Shared>,
}

/// Idle connections that are asked to end when no place is left.
const SHED: usize = 32;
/// How long accepting rests when the process has no descriptor left.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(50);

impl FrontDoor {
    /// The door of `entrypoint`.
    pub fn new(entrypoint: Entrypoint, shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Self { entrypoint, shared })
    }

    /// Accepts on `listener` until told to stop.
    pub async fn run(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
            match accepted {
                Ok((socket, peer)) => self.admit(socket, peer),
                Err(error) => self.accept_failed(&error).await,
            }
        }
    }

    /// An aborted connection is over before it began; all else means that something has run out.
    async fn accept_failed(&self, error: &io::Error) {
        if error.kind() == io::ErrorKind::ConnectionAborted {
            return;
        }
        self.shared.open.shed(SHED);
        self.refused(IpAddr::from([0, 0, 0, 0]), events::CapReason::Descriptors);
        tokio::time::sleep(OUT_OF_DESCRIPTORS).await;
    }

    fn admit(self: &Arc<Self>, socket: TcpStream, peer: SocketAddr) {
        let admitted = self.shared.caps.admit().and_then(|mut permit| {
            // Behind a PROXY header the peer is the proxy, of whom all clients would be one.
            if !self.names_clients(peer.ip()) {
                permit.of(peer.ip(), Instant::now())?;
            }
            Ok(permit)
        });
        match admitted {
            Ok(permit) => {
                let door = Arc::clone(self);
                // Boxed: a task keeps its future twice over, and an idle connection should be small.
                let serve = move |_| Box::pin(async move { door.connection(socket, peer, permit).await });
                self.shared.tasks.spawn("connection", serve);
            }
            Err(fault) => {
                if fault == CapFault::Connections {
                    self.shared.open.shed(SHED);
                }
                self.refused(peer.ip(), cap_reason(fault));
            }
        }
    }

    /// Whether connections of this peer begin with a header that names their client.
    fn names_clients(&self, peer: IpAddr) -> bool {
        self.entrypoint.proxy_protocol && self.trusts(peer)
    }

    fn refused(&self, client: IpAddr, reason: events::CapReason) {
        events::ConnectionRefused { entrypoint: &self.entrypoint.name, client, reason }.emit(&self.shared.metrics);
    }

    async fn connection(&self, mut socket: TcpStream, peer: SocketAddr, mut permit: Permit) {
        let metrics = &self.shared.metrics;
        let _open = events::ConnectionOpened { entrypoint: &self.entrypoint.name, client: peer.ip() }.emit(metrics);
        // Answers are small and wanted at once; an error means that the client is gone, which the first read tells.
        let _ = socket.set_nodelay(true);
        let began = Instant::now();
        let deadline = tokio::time::Instant::from_std(began + self.shared.limits.handshake);
        let client = match tokio::time::timeout_at(deadline, self.client(&mut socket, peer)).await {
            Ok(Ok(client)) => client,
            Ok(Err(fault)) => {
                tracing::debug!(entrypoint = &*self.entrypoint.name, %peer, %fault, "PROXY header refused");
                return self.refused(peer.ip(), events::CapReason::ProxyHeader);
            }
            Err(_) => return self.refused(peer.ip(), events::CapReason::ProxyHeader),
        };
        if self.names_clients(peer.ip())
            && let Err(fault) = permit.of(client.ip(), began)
        {
            return self.refused(client.ip(), cap_reason(fault));
        }
        let Some(config) = &self.entrypoint.tls else {
            return Box::pin(self.serve(socket, Conn { peer, client, tls: None }, Protocol::H1)).await;
        };
        match tokio::time::timeout_at(deadline, Box::pin(self.handshake(socket, config))).await {
            Ok(Ok((stream, tls, protocol))) => {
                events::TlsHandshakeDone {
                    entrypoint: &self.entrypoint.name,
                    version: tls.version,
                    resumed: tls.resumed,
                    seconds: began.elapsed().as_secs_f64(),
                }
                .emit(metrics);
                Box::pin(self.serve(stream, Conn { peer, client, tls: Some(tls) }, protocol)).await;
            }
            Ok(Err(end)) => self.tls_refused(client.ip(), &end),
            Err(_) => self.tls_refused(client.ip(), &TlsEnd::Timeout),
        }
    }

    /// Who is behind the socket: its peer, or whom the PROXY header of a trusted peer names.
    async fn client(&self, socket: &mut TcpStream, peer: SocketAddr) -> Result<SocketAddr, proxy_header::Fault> {
        if !self.entrypoint.proxy_protocol {
            return Ok(peer);
        }
        if !self.trusts(peer.ip()) {
            return Err(proxy_header::Fault::Untrusted);
        }
        Ok(proxy_header::read(socket).await?.unwrap_or(peer))
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.entrypoint.trusted_proxies.iter().any(|net| net.contains(&peer))
    }

    async fn handshake(
        &self,
        socket: TcpStream,
        config: &ServerConfig,
    ) -> Result<(tokio_rustls::server::TlsStream<TcpStream>, TlsFacts, Protocol), TlsEnd> {
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(1..) if first[0] != TLS_HANDSHAKE => {
                not_tls(socket, first[0]).await;
                Err(TlsEnd::NotTls)
            }
            Ok(1..) => Ok(tls::handshake(socket, config, &*self.shared.certificates).await?),
            Ok(0) | Err(_) => Err(TlsEnd::Fault(TlsFault::Closed)),
        }
    }

    async fn serve<S>(&self, io: S, conn: Conn, protocol: Protocol)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Local + Unpin + Send + Sync + 'static,
        EdgeStream<S>: pingora::protocols::IO,
    {
        let shared = &self.shared;
        let facts = Arc::new(ConnFacts {
            id: shared.next_id.fetch_add(1, Relaxed),
            entrypoint: Arc::clone(&self.entrypoint.name),
            client: conn.client,
            peer: conn.peer,
            local: io.local(),
            trusted_peer: self.trusts(conn.peer.ip()),
            tls: conn.tls,
            control: Control::default(),
        });
        let _entry = shared.open.enter(&facts);
        let heads = shared.live.current().heads;
        let guard = match protocol {
            Protocol::H1 => Guard::H1(H1Guard::new(heads), Arc::clone(&shared.refuse)),
            Protocol::H2 => Guard::H2(H2Guard::new(shared.limits.h2)),
        };
        let stream = Box::new(EdgeStream::new(io, Arc::clone(&facts), guard, shared.limits.stream));
        let serving = Serving {
            engine: &shared.engine,
            refuse: &shared.refuse,
            conn: &facts,
            limits: &shared.limits.serve,
            heads,
            open: &shared.open,
            tasks: &shared.tasks,
            stop: shared.stop.clone(),
        };
        match protocol {
            Protocol::H1 => Box::pin(serving.h1(stream)).await,
            Protocol::H2 => Box::pin(serving.h2(stream)).await,
        }
    }

    fn tls_refused(&self, client: IpAddr, end: &TlsEnd) {
        let detail = match end {
            TlsEnd::Fault(TlsFault::Handshake(error)) => Some(error.to_string()),
            TlsEnd::Fault(fault @ TlsFault::Unavailable { .. }) => Some(fault.to_string()),
            TlsEnd::Timeout | TlsEnd::NotTls | TlsEnd::Fault(_) => None,
        };
        let (entrypoint, reason, detail) = (&*self.entrypoint.name, end.reason(), detail.as_deref());
        events::TlsRefused { entrypoint, client, reason, detail }.emit(&self.shared.metrics);
    }
}

/// What is known of a connection when its handshake is done.
struct Conn {
    peer: SocketAddr,
    client: SocketAddr,
    tls: Option<TlsFacts>,
}

/// A socket that knows its own end.
trait Local {
    fn local(&self) -> SocketAddr;
}

impl Local for TcpStream {
    fn local(&self) -> SocketAddr {
        self.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
    }
}

impl Local for tokio_rustls::server::TlsStream<TcpStream> {
    fn local(&self) -> SocketAddr {
        self.get_ref().0.local()
    }
}

/// Why a connection did not come to speak TLS.
enum TlsEnd {
    Timeout,
    NotTls,
    Fault(TlsFault),
}

impl From<TlsFault> for TlsEnd {
    fn from(fault: TlsFault) -> Self {
        Self::Fault(fault)
    }
}

impl TlsEnd {
    fn reason(&self) -> events::TlsRefusal<'_> {
        use events::TlsRefusal;
        match self {
            Self::Timeout => TlsRefusal::Timeout,
            Self::NotTls => TlsRefusal::NotTls,
            Self::Fault(TlsFault::UnknownName { sni, nearest }) => {
                TlsRefusal::UnknownName { sni, nearest: nearest.as_deref() }
            }
            Self::Fault(TlsFault::NoName) => TlsRefusal::NoName,
            Self::Fault(TlsFault::Closed) => TlsRefusal::Closed,
            Self::Fault(TlsFault::Unavailable { .. }) => TlsRefusal::Protocol,
            Self::Fault(TlsFault::Handshake(error)) => {
                let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
                match cause {
                    Some(rustls::Error::AlertReceived(_)) => TlsRefusal::PeerAlert,
                    _ => TlsRefusal::Protocol,
                }
            }
        }
    }
}

fn cap_reason(fault: CapFault) -> events::CapReason {
    match fault {
        CapFault::ClientConnections => events::CapReason::ClientConnections,
        CapFault::ClientRate => events::CapReason::ClientHandshakeRate,
        CapFault::Connections => events::CapReason::Global,
    }
}

/// The content type of a TLS record that begins a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 22;

/// Somebody typed `http://` with the port of HTTPS: a letter as first byte is worth a sentence, all else is noise.
async fn not_tls(mut socket: TcpStream, first: u8) {
    use tokio::io::AsyncWriteExt;
    if !first.is_ascii_uppercase() {
        return;
    }
    const WORDS: &str = "This port speaks HTTPS. Use https:// in the address.\n";
    let answer = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{WORDS}",
        WORDS.len()
    );
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
    // What the client sent is read before the socket closes, or the reset would take the answer with it.
    let mut rest = [0; 4096];
    let _ = tokio::time::timeout(Duration::from_secs(1), async {
        while matches!(tokio::io::AsyncReadExt::read(&mut socket, &mut rest).await, Ok(1..)) {}
    })
    .await;
}
