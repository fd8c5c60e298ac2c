//! Takes connections in: caps, PROXY header, TLS or plain HTTP, all under one deadline, then the request loops.
//!
//! One per entrypoint. What it refuses it counts; it never decides on a request.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use routes::world;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::proxy_header;
use super::serve::Serving;
use super::shared::{Entrypoint, Shared};
use super::tls::{self, TlsFault};
use super::tls_end::TlsEnd;
use super::visit::{Said, Visit};
use crate::conn::caps::{CapFault, Permit};
use crate::conn::control::Control;
use crate::conn::facts::{ConnFacts, Protocol, TlsFacts};
use crate::conn::h1_guard::H1Guard;
use crate::conn::h2_guard::H2Guard;
use crate::conn::local::Local;
use crate::conn::prefixed::Prefixed;
use crate::conn::stream::{EdgeStream, Guard};
use crate::l4::client_hello;
use crate::l4::first_bytes::{self, First};
use crate::l4::proxy_out::Ends;
use crate::l4::site::TcpSite;
use crate::telemetry::events;

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
        match self.entrypoint.protocol {
            world::Protocol::Http => {}
            world::Protocol::Postgres => {
                let visit = self.visit(&socket, client, began, "postgres");
                return Box::pin(visit.postgres(socket)).await;
            }
            world::Protocol::Tcp => {
                let visit = self.visit(&socket, client, began, "tcp");
                return Box::pin(visit.tcp(socket)).await;
            }
        }
        let Some(config) = &self.entrypoint.tls else {
            return Box::pin(self.serve(socket, Conn { peer, client, tls: None }, Protocol::H1)).await;
        };
        let mut visit = self.visit(&socket, client, began, "tcp");
        match tokio::time::timeout_at(deadline, Box::pin(self.handshake(socket, config, &mut visit))).await {
            Ok(Ok(Shaken::Stream { site, socket, bytes })) => Box::pin(visit.serve(site, socket, bytes)).await,
            Ok(Ok(Shaken::Http(stream, tls, protocol))) => {
                events::TlsHandshakeDone {
                    entrypoint: &self.entrypoint.name,
                    version: tls.version,
                    resumed: tls.resumed,
                    seconds: began.elapsed().as_secs_f64(),
                }
                .emit(metrics);
                Box::pin(self.serve(*stream, Conn { peer, client, tls: Some(tls) }, protocol)).await;
            }
            Ok(Err(end)) => end.tell(&self.entrypoint.name, client.ip(), metrics),
            Err(_) => TlsEnd::Timeout.tell(&self.entrypoint.name, client.ip(), metrics),
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

    /// A connection on an entrypoint below HTTP, or one that may turn out to be.
    fn visit(&self, socket: &TcpStream, client: SocketAddr, began: Instant, proto: &'static str) -> Visit<'_> {
        Visit {
            shared: &self.shared,
            entrypoint: &self.entrypoint,
            ends: Ends { client, local: socket.local() },
            began,
            time: Timestamp::now(),
            deadline: tokio::time::Instant::from_std(began + self.shared.limits.handshake),
            proto,
            said: Said::default(),
        }
    }

    async fn handshake(
        &self,
        mut socket: TcpStream,
        config: &ServerConfig,
        visit: &mut Visit<'_>,
    ) -> Result<Shaken, TlsEnd> {
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(1..) if first[0] != TLS_HANDSHAKE => {
                not_tls(socket, first[0]).await;
                return Err(TlsEnd::NotTls);
            }
            Ok(1..) => {}
            Ok(0) | Err(_) => return Err(TlsEnd::Fault(TlsFault::Closed)),
        }
        let mut bytes = Vec::new();
        match self.beside(&mut socket, &mut bytes, visit).await {
            Beside::Http => {}
            Beside::Stream(site) => return Ok(Shaken::Stream { site, socket, bytes }),
            Beside::Closed(sni) => {
                tls::refuse_name(&mut socket).await;
                return Err(TlsEnd::Fault(TlsFault::UnknownName { sni, nearest: None }));
            }
        }
        let socket = Prefixed::new(bytes, socket);
        let (stream, tls, protocol) = tls::handshake(socket, config, &*self.shared.certificates, None).await?;
        Ok(Shaken::Http(Box::new(stream), tls, protocol))
    }

    /// Whether the name in the ClientHello is that of a `[[tcp]]` route, where there are such routes besides those of HTTP.
    async fn beside(&self, socket: &mut TcpStream, bytes: &mut Vec<u8>, visit: &mut Visit<'_>) -> Beside {
        let snapshot = visit.snapshot();
        let table = &snapshot.streams.table;
        let streams = table.entrypoint(&self.entrypoint.name);
        if streams.is_none() && !table.has_closed() {
            return Beside::Http;
        }
        // What is no good hello is for the handshake to refuse.
        let Ok(First::Hello(client_hello::ClientHello { sni: Some(sni), .. })) = first_bytes::read(socket, bytes).await
        else {
            return Beside::Http;
        };
        let route = streams.and_then(|streams| streams.by_sni(Some(&sni)).iter().next());
        let site = route.and_then(|route| visit.site(&snapshot, route));
        visit.said.sni = Some(sni.as_str().into());
        match site {
            Some(site) => Beside::Stream(site),
            // A wider route of requests would end TLS that was meant to pass.
            None if table.is_closed(&sni) && !snapshot.has_route_of(&sni) => Beside::Closed(sni),
            None => Beside::Http,
        }
    }

    async fn serve<S>(&self, io: S, conn: Conn, protocol: Protocol)
    where
        S: AsyncRead + AsyncWrite + Local + Unpin + Send + Sync + 'static,
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
}

/// Where a ClientHello on an entrypoint of HTTPS leads.
enum Beside {
    /// To requests.
    Http,
    /// To a `[[tcp]]` route.
    Stream(Arc<TcpSite>),
    /// To one that is rejected, under this name.
    Closed(String),
}

/// What a TLS connection turned out to be.
enum Shaken {
    /// One of HTTP, with the handshake done.
    Http(Box<TlsStream<Prefixed<TcpStream>>>, TlsFacts, Protocol),
    /// One of a `[[tcp]]` route, with its ClientHello in `bytes`.
    Stream { site: Arc<TcpSite>, socket: TcpStream, bytes: Vec<u8> },
}

/// What is known of a connection when its handshake is done.
struct Conn {
    peer: SocketAddr,
    client: SocketAddr,
    tls: Option<TlsFacts>,
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
