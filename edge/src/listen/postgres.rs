//! A connection on a Postgres entrypoint: follows its opening, ends or passes its TLS, finds its route and server, and says
//! in the protocol's own words why one is refused.
//!
//! What bytes mean is said by `l4::postgres`; this only reads, writes and waits.

use std::sync::Arc;
use std::time::Duration;

use routes::stream::{Candidates, Mode, Streams};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::shared::CancelTarget;
use super::streams::no_route;
use super::visit::{ClientTls, Closed, Visit};
use crate::conn::prefixed::Prefixed;
use crate::l4::client_hello::ClientHello;
use crate::l4::dial::{DialError, Greeting, Place, keep_alive};
use crate::l4::first_bytes::{self, First};
use crate::l4::postgres::{
    ALPN, BackendWatch, ErrorResponse, MAX_STARTUP, NO, Opening, Refusal, Startup, Step, Watched, YES,
};
use crate::l4::site::TcpSite;
use crate::snapshot::Snapshot;
use crate::telemetry::StreamEnd;

/// Alerts of TLS (RFC 8446 section 6.2), for clients whose TLS is not ours to speak in.
const ACCESS_DENIED: u8 = 49;
const INTERNAL_ERROR: u8 = 80;
const UNRECOGNIZED_NAME: u8 = 112;

/// A session that knows where it goes.
struct Chosen {
    site: Arc<TcpSite>,
    startup: Startup,
    /// Bytes behind the startup packet.
    behind: Vec<u8>,
}

/// How a connection goes on once it is known where to. Nothing of the routes is held any more by then: a session may outlast
/// many of them.
enum Next {
    /// In clear.
    Clear(Chosen, TcpStream),
    /// In TLS that ends here.
    Own(Chosen, Box<ClientTls>),
    /// In TLS that ends at the server.
    Pass { site: Arc<TcpSite>, socket: TcpStream, bytes: Vec<u8>, wished: Wished },
    /// Not at all; all is said.
    Ended,
}

impl Visit<'_> {
    /// Serves the connection to its end.
    pub(super) async fn postgres(mut self, socket: TcpStream) {
        keep_alive(&socket);
        match Box::pin(self.opening(socket)).await {
            Next::Clear(chosen, mut socket) => self.session(chosen, &mut socket).await,
            Next::Own(chosen, mut stream) => self.session(chosen, &mut *stream).await,
            Next::Pass { site, socket, bytes, wished } => self.pass_tls(&site, socket, bytes, wished).await,
            Next::Ended => {}
        }
    }

    async fn opening(&mut self, mut socket: TcpStream) -> Next {
        let snapshot = self.snapshot();
        let Some(streams) = snapshot.streams.table.entrypoint(&self.entrypoint.name) else {
            let response = Refusal::UnknownName.response();
            self.reject(None, &mut socket, StreamEnd::NoRoute, &response, "no [[tcp]] route").await;
            return Next::Ended;
        };
        let (mut opening, mut bytes) = (Opening::new(), Vec::new());
        let ends_tls = streams.iter().any(|route| route.mode != Mode::None);
        while let Some(step) = self.step(&mut opening, &mut socket, &mut bytes).await {
            match step {
                Step::Ssl if ends_tls && self.answer(&mut socket, &mut bytes, YES).await => {
                    return self.in_tls(&snapshot, streams, socket, bytes, opening, Wished::Asked).await;
                }
                Step::Ssl | Step::Gss if self.answer(&mut socket, &mut bytes, NO).await => continue,
                Step::DirectTls => {
                    return self.in_tls(&snapshot, streams, socket, bytes, opening, Wished::Direct).await;
                }
                Step::Cancel(cancel) => self.cancel(&snapshot, Some(streams), &cancel).await,
                Step::Startup(startup) => {
                    let candidates = streams.by_sni(None);
                    let Some(site) = self.in_clear(&snapshot, &candidates, &startup, &mut socket).await else { break };
                    let behind = bytes.split_off(startup.raw().len());
                    return Next::Clear(Chosen { site, startup, behind }, socket);
                }
                Step::Refuse(fault) => self.break_off(&mut socket, fault.label(), fault.response().as_ref()).await,
                Step::NeedMore | Step::Ssl | Step::Gss => {}
            }
            break;
        }
        Next::Ended
    }

    /// Reads until the client has said something; none if it was ended for that.
    async fn step<S>(&self, opening: &mut Opening, io: &mut S, bytes: &mut Vec<u8>) -> Option<Step>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        loop {
            match opening.feed(bytes) {
                Step::NeedMore => {}
                step => return Some(step),
            }
            bytes.reserve(PIECE);
            let room = (MAX_STARTUP + 1).saturating_sub(bytes.len()).clamp(1, PIECE);
            let mut limited = (&mut *io).take(room as u64);
            match tokio::time::timeout_at(self.deadline, limited.read_buf(bytes)).await {
                Ok(Ok(0)) => self.finish(None, StreamEnd::Left, ""),
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => self.finish(None, StreamEnd::ClientBroken, &error.to_string()),
                Err(_) => {
                    let within = self.shared.limits.handshake;
                    let response = Refusal::StartupTimeout(within).response();
                    self.reject(None, io, StreamEnd::Timeout, &response, "").await;
                }
            }
            return None;
        }
    }

    /// Answers the request in `bytes`, which are done with then.
    async fn answer(&self, socket: &mut TcpStream, bytes: &mut Vec<u8>, answer: &[u8]) -> bool {
        bytes.clear();
        let written = socket.write_all(answer).await;
        if let Err(error) = &written {
            self.finish(None, StreamEnd::ClientBroken, &error.to_string());
        }
        written.is_ok()
    }

    /// The route of a client that came without TLS, if it may.
    async fn in_clear(
        &mut self,
        snapshot: &Snapshot,
        candidates: &Candidates<'_>,
        startup: &Startup,
        socket: &mut TcpStream,
    ) -> Option<Arc<TcpSite>> {
        self.note(startup);
        let may = candidates.iter().any(|route| route.plaintext || route.mode == Mode::None);
        let route = candidates.choose(&startup.database, &startup.user);
        match route {
            Some(route) if route.plaintext || route.mode == Mode::None => return self.site(snapshot, route),
            Some(route) => {
                let site = snapshot.streams.tcp(&route.name).map(|site| &**site);
                let response = Refusal::Plaintext.response();
                self.reject(site, socket, StreamEnd::TlsRequired, &response, "").await;
            }
            None if may => self.unknown_database(socket, startup).await,
            // Whoever comes without TLS learns nothing of what there is.
            None => {
                let why = if candidates.is_empty() { no_route(None) } else { "" };
                self.reject(None, socket, StreamEnd::TlsRequired, &Refusal::Plaintext.response(), why).await;
            }
        }
        None
    }

    /// A client that begins TLS: passed on as it is, or ended here.
    async fn in_tls(
        &mut self,
        snapshot: &Snapshot,
        streams: &Streams,
        mut socket: TcpStream,
        mut bytes: Vec<u8>,
        mut opening: Opening,
        wished: Wished,
    ) -> Next {
        let hello = match self.hello(&mut socket, &mut bytes).await {
            Ok(hello) => hello,
            Err((end, detail)) => {
                self.finish(None, end, &detail);
                return Next::Ended;
            }
        };
        let candidates = streams.by_sni(hello.sni.as_deref());
        self.said.sni = hello.sni.map(Into::into);
        if candidates.is_empty() {
            let why = no_route(self.said.sni.as_deref());
            self.alert(None, socket, UNRECOGNIZED_NAME, StreamEnd::NoRoute, why).await;
            return Next::Ended;
        }
        if let Some(route) = candidates.passthrough() {
            let Some(site) = self.site(snapshot, route) else { return Next::Ended };
            return Next::Pass { site, socket, bytes, wished };
        }
        let unnamed = candidates.certificate_host().map(ToString::to_string);
        let shaken = self.handshake(None, Prefixed::new(bytes, socket), unnamed.as_deref()).await;
        let Some(stream) = shaken else { return Next::Ended };
        let mut stream = Box::new(stream);
        if wished == Wished::Direct && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            let response = Refusal::NoAlpn.response();
            self.reject(None, &mut *stream, StreamEnd::Protocol, &response, "direct TLS without ALPN").await;
            return Next::Ended;
        }
        opening.enter_tls();
        match self.in_own_tls(snapshot, &candidates, &mut opening, &mut *stream).await {
            Some(chosen) => Next::Own(chosen, stream),
            None => Next::Ended,
        }
    }

    async fn hello(&self, socket: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<ClientHello, (StreamEnd, String)> {
        match tokio::time::timeout_at(self.deadline, first_bytes::read(socket, bytes)).await {
            Ok(Ok(First::Hello(hello))) => Ok(hello),
            Ok(Ok(First::NotTls(_))) => Err((StreamEnd::Protocol, "no TLS behind the wish for it".to_owned())),
            Ok(Ok(First::Malformed(why))) => Err((StreamEnd::Protocol, why.to_string())),
            Ok(Ok(First::Left)) => Err((StreamEnd::Left, String::new())),
            Ok(Err(error)) => Err((StreamEnd::ClientBroken, error.to_string())),
            Err(_) => Err((StreamEnd::Timeout, "no ClientHello came".to_owned())),
        }
    }

    /// The startup packet of a client whose TLS is ours, and its route.
    async fn in_own_tls<S>(
        &mut self,
        snapshot: &Snapshot,
        candidates: &Candidates<'_>,
        opening: &mut Opening,
        stream: &mut S,
    ) -> Option<Chosen>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut bytes = Vec::new();
        match self.step(opening, stream, &mut bytes).await? {
            Step::Startup(startup) => {
                self.note(&startup);
                let Some(route) = candidates.choose(&startup.database, &startup.user) else {
                    self.unknown_database(stream, &startup).await;
                    return None;
                };
                let behind = bytes.split_off(startup.raw().len());
                Some(Chosen { site: self.site(snapshot, route)?, startup, behind })
            }
            Step::Cancel(cancel) => {
                self.cancel(snapshot, None, &cancel).await;
                let _ = tokio::time::timeout(LAST_WORDS, stream.shutdown()).await;
                None
            }
            Step::Refuse(fault) => {
                self.break_off(stream, fault.label(), fault.response().as_ref()).await;
                None
            }
            Step::NeedMore | Step::Ssl | Step::Gss | Step::DirectTls => None,
        }
    }

    async fn pass_tls(&self, site: &Arc<TcpSite>, mut socket: TcpStream, bytes: Vec<u8>, wished: Wished) {
        let greeting = match wished {
            Wished::Asked => Greeting::PostgresWish,
            Wished::Direct => Greeting::None,
        };
        match self.open(site, greeting).await {
            Ok(opened) => self.carry(site, &mut socket, opened, bytes, None).await,
            Err(closed) => {
                let alert = match &closed {
                    Closed::NotAdmitted(_) => ACCESS_DENIED,
                    Closed::NoServer(_) => INTERNAL_ERROR,
                };
                self.alert(Some(site), socket, alert, closed.end(), &closed.detail()).await;
            }
        }
    }

    /// Carries a session, and remembers its key for the time that it lasts.
    async fn session<S>(&self, chosen: Chosen, client: &mut S)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Chosen { site, startup, behind } = chosen;
        let greeting = if site.route.mode == Mode::Reencrypt { Greeting::PostgresTls } else { Greeting::None };
        let opened = match self.open(&site, greeting).await {
            Ok(opened) => opened,
            Err(closed) => {
                let response = refusal(&closed).response();
                return self.reject(Some(&site), client, closed.end(), &response, &closed.detail()).await;
            }
        };
        let target = CancelTarget { site: Arc::clone(&site), place: Place::of(&opened.dialled.pick) };
        let (mut watch, mut entry) = (BackendWatch::new(), None);
        let mut tap = |bytes: &[u8]| match watch.feed(bytes) {
            Watched::More => true,
            Watched::Key(key) => {
                entry = Some(self.shared.streams.cancels.enter(key.pid, &key.key, target.clone()));
                false
            }
            Watched::Done => false,
        };
        let first = [startup.raw(), &behind].concat();
        drop((startup, behind));
        self.carry(&site, client, opened, first, Some(&mut tap)).await;
        drop(entry);
    }

    fn note(&mut self, startup: &Startup) {
        self.said.database = startup.database.as_str().into();
        self.said.user = startup.user.as_str().into();
    }

    async fn unknown_database<S>(&self, io: &mut S, startup: &Startup)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (database, user) = (startup.database.clone(), startup.user.clone());
        let response = Refusal::UnknownDatabase { database, user }.response();
        self.reject(None, io, StreamEnd::NoRoute, &response, "no route takes this database and user").await;
    }

    /// Says an error in the protocol's words and closes.
    async fn reject<S>(
        &self,
        site: Option<&TcpSite>,
        io: &mut S,
        end: StreamEnd,
        response: &ErrorResponse,
        detail: &str,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.finish(site, end, detail);
        say(io, &response.encode()).await;
    }

    async fn break_off<S>(&self, io: &mut S, label: &str, response: Option<&ErrorResponse>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.finish(None, StreamEnd::Protocol, label);
        if let Some(response) = response {
            say(io, &response.encode()).await;
        }
    }

    /// The only word that there is for a client whose TLS is not ours.
    async fn alert(&self, site: Option<&TcpSite>, mut socket: TcpStream, alert: u8, end: StreamEnd, detail: &str) {
        self.finish(site, end, detail);
        say(&mut socket, &[21, 3, 3, 0, 2, 2, alert]).await;
    }
}

/// How a client began TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wished {
    /// By an SSLRequest, which was answered.
    Asked,
    /// At once.
    Direct,
}

/// Most startup packets fit into one.
const PIECE: usize = 1024;
/// How long the last words to a client may take.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Says it, closes, and reads what is still on its way, or a reset would take the words along.
async fn say<S: AsyncRead + AsyncWrite + Unpin>(io: &mut S, words: &[u8]) {
    let said = async {
        io.write_all(words).await?;
        io.shutdown().await?;
        let mut rest = [0; 1024];
        while io.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Whoever does not listen need not be waited for.
    let _ = tokio::time::timeout(LAST_WORDS, Box::pin(said)).await;
}

fn refusal(closed: &Closed) -> Refusal {
    match closed {
        Closed::NotAdmitted(StreamEnd::Connections) => Refusal::Connections,
        Closed::NotAdmitted(StreamEnd::ClientConnections) => Refusal::ClientConnections,
        Closed::NotAdmitted(StreamEnd::ClientRate) => Refusal::ClientRate,
        Closed::NotAdmitted(_) => Refusal::Address,
        Closed::NoServer(DialError::NoServer | DialError::Connect { .. } | DialError::Administrator { .. }) => {
            Refusal::Unreachable
        }
        Closed::NoServer(DialError::Late { .. }) => Refusal::UpstreamTimeout,
        Closed::NoServer(DialError::NoTls { .. }) => Refusal::UpstreamNoTls,
        Closed::NoServer(DialError::Tls { .. }) => Refusal::UpstreamCertificate,
        Closed::NoServer(DialError::NotPostgres { .. }) => Refusal::UpstreamProtocol,
    }
}
