//! One connection below HTTP: what is known of it, and the ways in which it goes on: a tunnel to a server of its route, or
//! a refusal that is counted and logged.
//!
//! Which route it is for is decided by `streams` and `postgres`.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::shared::{Entrypoint, Shared};
use super::tls;
use super::tls_end::TlsEnd;
use crate::conn::caps::Permit;
use crate::conn::prefixed::Prefixed;
use crate::l4::dial::{DialError, Dialled, Greeting, dial};
use crate::l4::proxy_out::Ends;
use crate::l4::sessions::Session;
use crate::l4::site::TcpSite;
use crate::l4::tunnel::{self, Counts, End, Options, Tap};
use crate::snapshot::Snapshot;
use crate::telemetry::access_log::SessionLine;
use crate::telemetry::{StreamEnd, StreamEnded, events};

/// One connection and what it has said so far.
pub(super) struct Visit<'a> {
    pub(super) shared: &'a Shared,
    pub(super) entrypoint: &'a Entrypoint,
    pub(super) ends: Ends,
    pub(super) began: Instant,
    pub(super) time: Timestamp,
    /// Until when it has to say what it wants.
    pub(super) deadline: tokio::time::Instant,
    pub(super) proto: &'static str,
    pub(super) said: Said,
}

/// What a client has said of itself.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) sni: Option<Box<str>>,
    /// Of the TLS that the edge ends.
    pub(super) tls: &'static str,
    pub(super) database: Box<str>,
    pub(super) user: Box<str>,
}

/// A client's TLS that ends at the edge.
pub(super) type ClientTls = TlsStream<Prefixed<TcpStream>>;

/// A connection that its route has let in, and the server that waits for it.
pub(super) struct Opened {
    pub(super) dialled: Dialled,
    permit: Permit,
}

/// Why a connection gets no server.
pub(super) enum Closed {
    /// The route does not let it in.
    NotAdmitted(StreamEnd),
    /// No server can be used.
    NoServer(DialError),
}

impl Closed {
    pub(super) fn end(&self) -> StreamEnd {
        match self {
            Self::NotAdmitted(end) => *end,
            Self::NoServer(DialError::NoTls { .. } | DialError::Tls { .. } | DialError::NotPostgres { .. }) => {
                StreamEnd::ServerTls
            }
            Self::NoServer(
                DialError::NoServer
                | DialError::Connect { .. }
                | DialError::Administrator { .. }
                | DialError::Late { .. },
            ) => StreamEnd::NoServer,
        }
    }

    pub(super) fn detail(&self) -> String {
        match self {
            Self::NotAdmitted(_) => String::new(),
            Self::NoServer(error) => error.to_string(),
        }
    }
}

impl Visit<'_> {
    /// The routes of now.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.live.current()
    }

    /// Counts and logs that it ends before it has carried anything.
    pub(super) fn finish(&self, site: Option<&TcpSite>, end: StreamEnd, detail: &str) {
        self.ended(site, end, "", &Counts::default(), detail);
    }

    /// Asks the route to let it in, and a server to take it.
    pub(super) async fn open(&self, site: &TcpSite, greeting: Greeting) -> Result<Opened, Closed> {
        let permit = site.admit(self.ends.client.ip(), Instant::now()).map_err(Closed::NotAdmitted)?;
        let dialled = Box::pin(dial(site, self.ends, greeting)).await.map_err(Closed::NoServer)?;
        Ok(Opened { dialled, permit })
    }

    /// Carries bytes until one side has had enough; `first` are those that the server gets before all others.
    pub(super) async fn carry<C>(
        &self,
        site: &Arc<TcpSite>,
        client: &mut C,
        opened: Opened,
        first: Vec<u8>,
        tap: Option<Tap<'_>>,
    ) where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let Opened { dialled: Dialled { mut wire, pick, active }, permit } = opened;
        let counts = Arc::<Counts>::new(Counts::of(&site.metrics));
        let _open = (site.metrics.begin(), permit, active, self.enter(site, pick.server(), &counts));
        let upstream: Arc<str> = pick.server().into();
        drop(pick);
        let end = match wire.write_all(&first).await {
            Ok(()) => {
                counts.add_from_client(first.len());
                drop(first);
                tunnel::run(client, &mut wire, Options { counts: &counts, idle: site.route.idle, tap }).await
            }
            Err(error) => End::ServerError(error),
        };
        let (end, detail) = match end {
            End::ClientClosed => (StreamEnd::ClientClosed, String::new()),
            End::ServerClosed => (StreamEnd::ServerClosed, String::new()),
            End::Idle => (StreamEnd::Idle, String::new()),
            End::ClientError(error) => (StreamEnd::ClientBroken, error.to_string()),
            End::ServerError(error) => (StreamEnd::ServerBroken, error.to_string()),
        };
        self.ended(Some(site), end, &upstream, &counts, &detail);
    }

    /// Ends the client's TLS, with the certificate of `unnamed` if it asks for no name.
    pub(super) async fn handshake(
        &mut self,
        site: Option<&TcpSite>,
        socket: Prefixed<TcpStream>,
        unnamed: Option<&str>,
    ) -> Option<ClientTls> {
        let (config, certificates) = (&self.entrypoint.stream_tls, &*self.shared.certificates);
        let began = Instant::now();
        let shaken = Box::pin(tls::handshake(socket, config, certificates, unnamed));
        let detail = match tokio::time::timeout_at(self.deadline, shaken).await {
            Ok(Ok((stream, facts, _))) => {
                self.said.tls = facts.version;
                let (entrypoint, seconds) = (&*self.entrypoint.name, began.elapsed().as_secs_f64());
                let (version, resumed) = (facts.version, facts.resumed);
                events::TlsHandshakeDone { entrypoint, version, resumed, seconds }.emit(&self.shared.metrics);
                return Some(stream);
            }
            Ok(Err(fault)) => {
                self.tell(&fault.into());
                "the handshake failed"
            }
            Err(_) => {
                self.tell(&TlsEnd::Timeout);
                "the handshake took too long"
            }
        };
        self.finish(site, StreamEnd::TlsFailed, detail);
        None
    }

    fn tell(&self, end: &TlsEnd) {
        end.tell(&self.entrypoint.name, self.ends.client.ip(), &self.shared.metrics);
    }

    fn enter(&self, site: &TcpSite, server: &str, counts: &Arc<Counts>) -> impl Drop + use<> {
        self.shared.streams.sessions.enter(Session {
            route: site.route.name.as_str().into(),
            client: self.ends.client,
            server: server.into(),
            database: self.said.database.clone(),
            user: self.said.user.clone(),
            since: SystemTime::now(),
            counts: Arc::clone(counts),
        })
    }

    fn ended(&self, site: Option<&TcpSite>, end: StreamEnd, upstream: &str, counts: &Counts, detail: &str) {
        let line = SessionLine {
            time: self.time,
            entrypoint: &self.entrypoint.name,
            client: self.ends.client.ip(),
            proto: self.proto,
            route: site.map_or("", |site| &site.route.name),
            result: "",
            upstream,
            sni: self.said.sni.as_deref().unwrap_or_default(),
            tls: self.said.tls,
            database: &self.said.database,
            user: &self.said.user,
            duration_ms: self.began.elapsed().as_secs_f64() * 1000.0,
            received_bytes: counts.from_client(),
            sent_bytes: counts.from_server(),
            detail,
        };
        let none = self.shared.metrics.tcp("");
        let metrics = site.map_or(&none, |site| &site.metrics);
        StreamEnded { end, line }.emit(metrics, &self.shared.streams.access_log);
    }
}
